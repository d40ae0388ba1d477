"""What a ClickHouse database says of itself: whether it is a ledger, who has its lock, and what ended last."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from aicost._errors import LedgerError
from aicost.ledger.schema import CONTEXTS, ENTRIES, PEOPLE, SCHEMA_VERSION

from .clickhouse_client import Connection
from .clickhouse_tables import BEING_MADE, LOCK, type_of


class Opened(NamedTuple):
    """What a database says of itself at once."""

    until: int
    """The last transaction that ended."""
    now_us: int
    lock: int | None
    lock_age_s: float
    left: list[int]
    """Transactions of writers that are gone."""


def opened(db: Connection) -> Opened:
    """Raises `LedgerError` for what is no ledger, or a newer one."""
    tables = {row["name"]: row for row in db.ask(TABLES_SAID)}
    check_tables(db, {name: row["comment"] for name, row in tables.items()})
    (row,) = db.ask(_NOW)
    lock = tables.get(LOCK)
    left = [int(name.removeprefix(f"{LOCK}_")) for name in tables if name.startswith(f"{LOCK}_")]
    return Opened(
        row["until"],
        row["now_us"],
        None if lock is None else int(lock["comment"]),
        0.0 if lock is None else row["now_us"] / 1e6 - lock["changed_s"],
        sorted(left),
    )


TABLES_SAID = (
    "SELECT name, comment, toUnixTimestamp(metadata_modification_time) AS changed_s FROM system.tables "
    "WHERE database = currentDatabase()"
)
_NOW = (
    "SELECT max(reached) AS until, toUnixTimestamp64Micro(now64(6)) AS now_us FROM places_told FINAL WHERE segment = ''"
)


def check_tables(db: Connection, tables: Mapping[str, str]) -> None:
    said = tables.get(ENTRIES.name)
    if said is None:
        if not tables:
            raise LedgerError(f"no ledger at {db.name}; run something that writes to it first, or name another one")
        raise LedgerError(
            f"{db.name} is a database but not an aicost ledger (it has table {min(tables)!r}); choose another one"
        )
    if said == BEING_MADE:
        raise LedgerError(f"ledger {db.name} is being made; try again")
    known = re.fullmatch(r"aicost ledger, schema (\d+)", said)
    if known is None:
        raise LedgerError(
            f"{db.name} is a database but not an aicost ledger (its entries are others); choose another one"
        )
    if int(known[1]) > SCHEMA_VERSION:
        raise LedgerError(
            f"ledger {db.name} was written by a newer aicost "
            f"(schema {known[1]}, this one knows {SCHEMA_VERSION}); upgrade"
        )


def add_dimensions(db: Connection) -> None:
    """Add the columns of dimensions that were none when the ledger was made."""
    rows = db.ask("SELECT table, name FROM system.columns WHERE database = currentDatabase()")
    there = {(row["table"], row["name"]) for row in rows}
    for table in (CONTEXTS, PEOPLE):
        for column in table.columns:
            if (table.name, column.name) not in there:
                db.tell(f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS `{column.name}` {type_of(table, column)}")
