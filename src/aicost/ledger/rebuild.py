"""Making the sums of a ledger anew."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from .connection import as_ledger_error
from .engines.sqlite import SqliteStore
from .ingest import READ_TIMEOUT_S
from .rollups import make_anew


def rebuild(path: Path) -> int:
    """Make the sums anew from the entries, in one transaction; returns how many rows they are.

    Raises `LedgerError` for what is no ledger, or cannot be written.
    """
    way_out = "make it writable, or look at it with `aicost ledger check`"
    with (
        as_ledger_error(f"cannot write ledger {path}", way_out),
        closing(SqliteStore(path, synchronous="FULL", timeout_s=READ_TIMEOUT_S)) as store,
        store.transaction(time.monotonic() + READ_TIMEOUT_S),
    ):
        return make_anew(store)
