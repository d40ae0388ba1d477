"""The ledger's tables as SQLite has them.

An amount is three whole numbers of one sign, units, 1e-9 and 1e-18 of the currency, so that SQL adds amounts exactly
and cannot overflow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from aicost._errors import LedgerError
from aicost.ledger.columns import CONTEXT, SUBJECT
from aicost.ledger.rollups import added_sql
from aicost.ledger.schema import COUNTS, DERIVED, ENTRIES, SCHEMA_VERSION, TABLES, LedgerTable, StoredColumn
from aicost.ledger.sql_dialects import SQLITE, Kind
from aicost.ledger.store import Row

_TYPES: dict[Kind, str] = {
    "id": "BLOB",
    "digest": "BLOB",
    "bytes": "BLOB",
    "whole": "INTEGER",
    "number": "INTEGER",
    "count": "INTEGER",
    "money": "INTEGER",
    "text": "TEXT",
    "json": "TEXT",
    "identifier": "",
}


def _column(column: StoredColumn) -> str:
    required = " NOT NULL" if column.required else ""
    names = SQLITE.columns_of_money(column.name) if column.kind == "money" else (column.name,)
    return ", ".join(f"{name} {_TYPES[column.kind]}{required}".replace("  ", " ") for name in names)


def _created(table: LedgerTable) -> str:
    columns = [_column(column) for column in table.columns]
    by_number = table.columns[0].kind == "number" and table.key == (table.columns[0].name,)
    if table is ENTRIES:  # as they came: by an id of their own the file would grow everywhere at once
        columns.insert(0, "number INTEGER PRIMARY KEY")
        columns.append(f"UNIQUE ({', '.join(table.key)})")
    else:
        columns.append(f"PRIMARY KEY ({', '.join(table.key)})")
    end = "" if by_number or table is ENTRIES else " WITHOUT ROWID"
    inside = ",\n    ".join(columns)
    made = [f"-- {table.about}\nCREATE TABLE IF NOT EXISTS {table.name} (\n    {inside}\n){end};"]
    for name, of, condition in table.indexes:
        where = f" WHERE {condition}" if condition else ""
        made.append(f"CREATE INDEX IF NOT EXISTS {name} ON {table.name} ({of}){where};")
    return "\n".join(made)


CREATED = "\n".join(map(_created, (*TABLES, *DERIVED))) + "\n"

_CONTEXT_OF = ", ".join(f"c.{name}" for name in CONTEXT)
_SUBJECT_OF = ", ".join(f"s.{name}" for name in SUBJECT)

VIEWS = f"""
-- What counts, one row per attempt, for whoever asks in SQL. Ids are text; `amount` is for the eye, and no exact sum.
CREATE VIEW IF NOT EXISTS charges AS
SELECT COALESCE(w.name, lower(hex(COALESCE(e.event, e.id)))) AS event_id,
    {_CONTEXT_OF}, {_SUBJECT_OF},
    e.charge_start AS started_ns, e.charge_start + e.charge_ns AS ended_ns, e.attempt, e.retry_count,
    CASE typeof(e.run_id) WHEN 'blob' THEN lower(hex(e.run_id)) ELSE e.run_id END AS run_id,
    CASE typeof(e.step_id) WHEN 'blob' THEN lower(hex(e.step_id)) ELSE e.step_id END AS step_id,
    CASE typeof(e.span_id) WHEN 'blob' THEN lower(hex(e.span_id)) ELSE e.span_id END AS span_id,
    e.request_id, e.response_id, e.amount_units, e.amount_nano, e.amount_atto,
    e.amount_units + e.amount_nano / 1e9 + e.amount_atto / 1e18 AS amount
FROM entries e JOIN contexts c ON c.id = e.context LEFT JOIN subjects s ON s.id = e.subject
    LEFT JOIN names w ON w.id = COALESCE(e.event, e.id)
WHERE {COUNTS.format("e")};
"""


_OURS = ({"charges", "charge_lines"}, {"entries", "contexts"})
"""What is in a ledger: of schemas 1 to 4, and of those since."""


def version_of(db: sqlite3.Connection, path: Path) -> int | None:
    """The schema version of the ledger, or None for an empty file. Raises `LedgerError` for what is no ledger."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if not any(tables >= ours for ours in _OURS):
        raise LedgerError(
            f"{path} is a database but not an aicost ledger (it has table {min(tables)!r}); choose another path"
        )
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"ledger {path} was written by a newer aicost (schema {version}, this one knows {SCHEMA_VERSION}); upgrade"
        )
    return version


def missing_columns(db: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns, of dimensions and of places, that a ledger has not yet, by table."""
    missing: dict[str, list[str]] = {}
    for table, columns in (("contexts", CONTEXT), ("subjects", SUBJECT), ("places", ("journal",))):
        there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        missing[table] = [name for name in columns if name not in there]
    return missing


def has_sums(db: sqlite3.Connection) -> bool:
    """Whether the tables are there that are derived from entries."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return there.issuperset(table.name for table in DERIVED)


@cache
def inserted(table: LedgerTable, otherwise: str = "IGNORE") -> str:
    """How a row of a table is added; where there is one of its key it is ignored, or takes its place: `REPLACE`."""
    names = table.names(SQLITE)
    return f"INSERT OR {otherwise} INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


class SqliteTables:
    """The tables of a connection whose transaction is the caller's."""

    dialect = SQLITE

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def rows(self, select: str, values: Sequence[Any] = ()) -> Iterator[Mapping[str, Any]]:
        """What SQL finds, by name."""
        cursor = self.db.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(select, values)

    def add(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add sums."""
        self.db.executemany(added_sql(table, SQLITE), rows)

    def clear(self, table: LedgerTable) -> None:
        """Remove all rows."""
        self.db.execute(f"DELETE FROM {table.name}")


def statements(script: str) -> Iterator[str]:
    """The statements of a script. `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
