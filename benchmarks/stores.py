"""What it takes to put charges into a ledger on a server, and to COPY the same rows and no more."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from aicost.cli import FEWER_COLLECTIONS
from aicost.ledger.engines.postgresql import PostgresqlStore, open_store
from aicost.ledger.records import read_record
from aicost.ledger.schema import ENTRIES
from aicost.ledger.writing import Writer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.servers.postgresql import running_postgresql

_BATCH = 2_000


def into_postgresql(records: Sequence[bytes]) -> tuple[float, float, float]:
    """Microseconds of processor for each record of one charge: as the ledger does it, and by a plain COPY of its rows;
    and bytes on the server's disk. Client and server together, as one waits for the other."""
    before = gc.get_threshold()
    gc.set_threshold(*FEWER_COLLECTIONS)
    try:
        with running_postgresql() as server, server.database() as url:
            store = open_store(url, timeout_s=5.0)
            taken = _processor(store, lambda: _take_in(store, records)) / len(records) * 1e6
            (size,) = (
                row["bytes"]
                for row in store.rows(
                    "SELECT SUM(pg_total_relation_size(inhrelid)) AS bytes FROM pg_inherits "
                    "WHERE inhparent = 'entries'::regclass"
                )
            )
            rows = [tuple(row.values()) for row in store.rows("SELECT * FROM entries")]
            store._say("CREATE TABLE bare (LIKE entries)")
            copied = _processor(store, lambda: _copy(store, rows)) / len(records) * 1e6
            store.close()
    finally:
        gc.set_threshold(*before)
    return taken, copied, float(size) / len(records)


def _processor(store: PostgresqlStore, work: Callable[[], None]) -> float:
    backend = psutil.Process(store._db.info.backend_pid)
    ours, theirs = time.process_time(), sum(backend.cpu_times()[:2])
    work()
    return time.process_time() - ours + sum(backend.cpu_times()[:2]) - theirs


def _take_in(store: PostgresqlStore, records: Sequence[bytes]) -> None:
    writer = Writer(store)
    for start in range(0, len(records), _BATCH):
        read = [("w", start + n, read_record(data)) for n, data in enumerate(records[start : start + _BATCH])]
        with store.transaction(time.monotonic() + 5):
            writer.take_in([(name, number, record) for name, number, record in read if record is not None])


def _copy(store: PostgresqlStore, rows: Sequence[tuple[object, ...]]) -> None:
    columns = ", ".join(column.name for column in ENTRIES.columns)
    for start in range(0, len(rows), _BATCH):
        with store._db.cursor() as cursor, cursor.copy(f"COPY bare ({columns}) FROM STDIN".encode()) as copy:
            for row in rows[start : start + _BATCH]:
                copy.write_row(row)
