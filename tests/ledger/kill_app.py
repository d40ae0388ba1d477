"""Processes that share a ledger and are killed again and again: run by test_kill.py.

Each notes on a file what it is about to record, and again when it was acknowledged. Some record as an application does,
with a thread that takes in; some only write to the journal; some only take in.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from aicost.ledger import Ledger, ingest

from .charges import event, priced

PLACES = ("recording",) * 5 + ("journal only",) * 3 + ("taking in",) * 2
"""What each process at a time does: eight that write, and two that take in."""
SHARED = 200
"""Events that all writers tell of."""


def write(life: int, ledger: Ledger, note: Callable[[str], None]) -> None:
    """Record until killed: charges, corrections, events that others tell of as well, and outcomes."""
    turn = 0
    while True:
        turn += 1
        name, atto = f"e-{life}-{turn}", 1_000_000 * life + turn
        if turn % 4 == 0:
            name, atto = f"shared-{turn % SHARED}", 3
        if turn % 5 == 0:
            note(f"began {name} {atto - 1}")
            ledger.record([(event(name, usage={"input": 10}, complete=False), priced(atto - 1))])
        else:
            note(f"began {name} {atto}")
        ledger.record([(event(name, usage={"input": 10, "output": 10}), priced(1, atto - 1))])
        assert not ledger.lost
        note(f"kept {name} {atto}")
        if turn % 7 == 0:
            ledger.record_outcome("o", count=1, run_id=None, attribution={}, at_ns=1, outcome_id=f"o-{life}-{turn}")
            note(f"outcome o-{life}-{turn} 1")


def live(place: str, life: int, path: Path, note: Callable[[str], None]) -> None:
    """One life, as long as it lasts."""
    ingest.BATCH_BYTES = 3000  # a few records: many transactions, and so many moments to be killed in
    if place == "taking in":
        ingester = ingest.Ingester(path)
        while True:
            if path.exists():
                ingester.ingest(wait_s=1.0)
            time.sleep(0.001)
    ledger = Ledger.open(path, segment_bytes=20_000)
    ledger._is_due = place == "journal only"  # then no thread is begun
    write(life, ledger, note)


def main() -> None:
    """Kill so many processes at random moments, and begin another in the place of each."""
    path, notes_path, kills, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    chance = random.Random(seed)
    notes = os.open(notes_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    alive: dict[int, str] = {}

    def begin(place: str, life: int) -> None:
        child = os.fork()
        if child:
            alive[child] = place
            return
        try:
            live(place, life, path, lambda text: os.write(notes, f"{text}\n".encode()) and None)
        finally:
            os.write(notes, b"died by itself\n")
            os._exit(1)

    def kill(child: int) -> str:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return alive.pop(child)

    for life, place in enumerate(PLACES):
        begin(place, life)
    for turn in range(kills):
        time.sleep(chance.uniform(0, 0.05))
        begin(kill(chance.choice(list(alive))), len(PLACES) + turn)
    for child in list(alive):
        kill(child)


if __name__ == "__main__":
    main()
