"""A program whose children append until they are killed, and note what was acknowledged: run by test_crash.py."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from aicost.journal import Journal, ingesting, read, release


def content(life: int, turn: int, most: int) -> bytes:
    """What a life appends in a turn."""
    chance = random.Random(life * 1_000_003 + turn)
    return b"%d %d " % (life, turn) + chance.randbytes(chance.randrange(most))


def live(life: int, folder: Path, notes: int, settings: dict[str, object], most: int, ready: int) -> None:
    """One life: append until killed."""
    journal = Journal(folder, **settings)  # type: ignore[arg-type] - from the table of cases
    turn = 0
    while True:
        journal.append(content(life, turn, most))
        os.write(notes, b"%d %d\n" % (life, turn))
        turn += 1
        if turn == 1:
            os.write(ready, b"!")


def main() -> None:
    """Kill `lives` children at random moments, and take in what they wrote meanwhile."""
    folder, notes_path, taken_path, lives, settings, most = sys.argv[1:]
    chance = random.Random(7)
    notes = os.open(notes_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    places: dict[str, int] = {}

    def ingest(limit_bytes: int) -> None:
        with ingesting(Path(folder)) as alone, Path(taken_path).open("ab") as taken:
            assert alone
            for record in read(Path(folder), places, limit_bytes=limit_bytes):
                taken.write(record.writer.encode() + b" %d %d\n" % (record.number, len(record.data)) + record.data)
                places.update([record.end])
            for name in release(Path(folder), places):
                places.pop(name, None)

    for life in range(int(lives)):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            live(life, Path(folder), notes, json.loads(settings), int(most), write_end)
        os.read(read_end, 1)
        time.sleep(chance.uniform(0, 0.01))
        if life % 3 == 0:
            ingest(200_000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read_end)
        os.close(write_end)
    ingest(2**40)


if __name__ == "__main__":
    main()
