"""Making the sums of a ledger anew."""

from __future__ import annotations

import time
from contextlib import closing

from .connection import as_ledger_error
from .ingest import READ_TIMEOUT_S
from .rollups import make_anew
from .where import Where, open_store


def rebuild(where: Where) -> int | None:
    """Make the sums anew from the entries, in one transaction; returns how many rows they are.

    None where none are kept: there entries are asked. Raises `LedgerError` for what is no ledger, or cannot be written.
    """
    way_out = "make it writable, or look at it with `aicost ledger check`"
    with (
        as_ledger_error(f"cannot write ledger {where}", way_out),
        closing(open_store(where, timeout_s=READ_TIMEOUT_S)) as store,
        store.transaction(time.monotonic() + READ_TIMEOUT_S),
    ):
        return make_anew(store) if store.has_sums else None
