"""The ledger's tables as PostgreSQL has them.

`entries` has a partition for each month of the times that minted ids begin with. What has an id without a time, as a
digest has none, is in the partition `entries_default`. So a row's id alone says where it is, and where a second row of
that id would be: docs/decisions/017.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from aicost.ledger.columns import CONTEXT, SUBJECT
from aicost.ledger.schema import CONTEXTS, COUNTS, DERIVED, ENTRIES, PEOPLE, TABLES, LedgerTable, StoredColumn
from aicost.ledger.sql_dialects import Kind

VERSION_TABLE = "aicost_schema"

_TEXT = 'text COLLATE "C"'
"""Compared by its bytes, as everywhere: whatever the database's own order, an index serves what begins with an id."""

_TYPES: dict[Kind, str] = {
    "id": "bytea",
    "digest": "bytea",
    "bytes": "bytea",
    "whole": "bigint",
    "number": "bigint",
    "count": "integer",
    "money": "numeric(38, 18)",
    "text": _TEXT,
    "json": _TEXT,
    "identifier": _TEXT,
}


def _column(column: StoredColumn) -> str:
    return f"{column.name} {_TYPES[column.kind]}{' NOT NULL' if column.required else ''}"


def _created(table: LedgerTable) -> list[str]:
    inside = ", ".join([*map(_column, table.columns), f"PRIMARY KEY ({', '.join(table.key)})"])
    by_time = " PARTITION BY RANGE (id)" if table is ENTRIES else ""
    about = table.about.replace("'", "''")
    made = [f"CREATE TABLE {table.name} ({inside}){by_time}", f"COMMENT ON TABLE {table.name} IS '{about}'"]
    if table is ENTRIES:
        made.append(f"CREATE TABLE {DEFAULT} PARTITION OF entries DEFAULT")
    for name, of, condition in table.indexes:
        first = of.split(",")[0]  # two ids may be longer than a row of an index may be
        made.append(f"CREATE INDEX {name} ON {table.name} ({first}){f' WHERE {condition}' if condition else ''}")
    return made


DEFAULT = "entries_default"

CREATED = [statement for table in (*TABLES, *DERIVED) for statement in _created(table)]

_SHOWN = {
    "event_id": "COALESCE(w.name, encode(COALESCE(e.event, e.id), 'hex'))",
    **{name: f"c.{name}" for name in CONTEXT},
    **{name: f"s.{name}" for name in SUBJECT},
    "started_ns": "e.charge_start",
    "ended_ns": "e.charge_start + e.charge_ns",
    **{name: f"e.{name}" for name in ("attempt", "retry_count", "run_id", "step_id", "span_id")},
    **{name: f"e.{name}" for name in ("request_id", "response_id", "amount", "at_most")},
    "started_at": "to_timestamp(e.charge_start / 1e9)",
}


def view(there: Iterable[str] = ()) -> str:
    """The view `charges`; columns that it has already stay where they are, as PostgreSQL wants it."""
    names = [*(name for name in there if name in _SHOWN), *(name for name in _SHOWN if name not in set(there))]
    return (
        f"CREATE OR REPLACE VIEW charges AS SELECT {', '.join(f'{_SHOWN[name]} AS {name}' for name in names)} "
        "FROM entries e JOIN contexts c ON c.id = e.context LEFT JOIN subjects s ON s.id = e.subject "
        f"LEFT JOIN names w ON w.id = COALESCE(e.event, e.id) WHERE {COUNTS.format('e')}"
    )


def missing_columns(there: Mapping[str, Sequence[str]]) -> list[str]:
    """How the columns of dimensions that a ledger has not yet are added to it; `there` are those of each table."""
    return [
        f"ALTER TABLE {table.name} ADD COLUMN {name} {_TEXT}"
        for table, columns in ((CONTEXTS, CONTEXT), (PEOPLE, SUBJECT))
        for name in columns
        if name not in there.get(table.name, ())
    ]


def waiting_room(table: LedgerTable) -> tuple[str, str]:
    """A temporary table for rows on their way: its name, and how it is made."""
    # With the number of columns, as a connection that a pool gives out again may still have that of an older version.
    name = f"aicost_new_{table.name}_{len(table.columns)}"
    columns = ", ".join(f"{column.name} {_TYPES[column.kind]}" for column in table.columns)
    return name, f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS"


class Month(NamedTuple):
    """A partition of its own: the ids from `first` to before `end`."""

    name: str
    first: bytes
    end: bytes

    def made(self) -> list[str]:
        """How it is made; rows that had no partition of their own come along."""
        within = f"id >= '\\x{self.first.hex()}' AND id < '\\x{self.end.hex()}'"
        return [
            f"CREATE TABLE {self.name} (LIKE entries INCLUDING DEFAULTS)",
            (
                f"WITH moved AS (DELETE FROM {DEFAULT} WHERE {within} RETURNING *) "
                f"INSERT INTO {self.name} SELECT * FROM moved"
            ),
            (
                f"ALTER TABLE entries ATTACH PARTITION {self.name} FOR VALUES FROM ('\\x{self.first.hex()}') "
                f"TO ('\\x{self.end.hex()}')"
            ),
        ]


_FIRST_YEAR = 2024


def months_of(ids: Iterable[bytes], now: datetime) -> set[Month]:
    """The months up to the next one that these ids are of. An id of another time may be of none, as a digest is.

    >>> {month.name for month in months_of([bytes.fromhex("019abd3c8800") + bytes(10)], datetime(2025, 11, 26))}
    {'entries_2025_11'}
    """
    months, bounds = _months(now.year, now.month)
    found = {bisect_right(bounds, identity) for identity in ids}
    return {months[n - 1] for n in found if 0 < n <= len(months)}


@lru_cache(2)
def _months(year: int, month: int) -> tuple[list[Month], list[bytes]]:
    count = (year - _FIRST_YEAR) * 12 + month + 1
    starts = [(_FIRST_YEAR + n // 12, n % 12 + 1) for n in range(max(count, 0) + 1)]
    bounds = [_bound(*start) for start in starts]
    months = [
        Month(f"entries_{y}_{m:02}", first, end) for (y, m), first, end in zip(starts, bounds, bounds[1:], strict=False)
    ]
    return months, bounds


def _bound(year: int, month: int) -> bytes:
    since = datetime(year, month, 1, tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since // timedelta(milliseconds=1)).to_bytes(6, "big") + bytes(10)
