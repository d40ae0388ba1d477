"""Takes a journal into a ledger on a server until nothing is left of it: run, and killed, by test_server_kill.py."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from aicost import LedgerError, journal
from aicost.ledger.engines import engine_of
from aicost.ledger.records import read_record
from aicost.ledger.writing import Writer


def take_in_all(folder: Path, url: str) -> None:
    """Take in what is there; raises what the server makes of it."""
    writer = Writer(engine_of(url).open_store(url, timeout_s=2.0))
    places = writer.places("of-the-test")
    while batch := list(journal.read(folder, places, limit_bytes=4_000)):
        reached = {one.end.segment: one.end.offset for one in batch}
        read = [(one.writer, one.number, read_record(one.data)) for one in batch]
        with writer.store.transaction(time.monotonic() + 5):
            writer.take_in([(name, number, record) for name, number, record in read if record is not None])
            writer.put_places("of-the-test", reached)
        places.update(reached)


def main() -> None:
    """Go on until it is done, however often the server goes away."""
    folder, url = Path(sys.argv[1]), sys.argv[2]
    while True:
        try:
            take_in_all(folder, url)
            return
        except LedgerError:  # noqa: PERF203 - trying again is the point
            time.sleep(0.05)


if __name__ == "__main__":
    main()
