"""Questions as stores are asked them, in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aicost.semconv.dimensions import LABEL

from .columns import MOST, entry_id
from .query import COLUMNS, METER, RUN, SUBJECTS, Filter, Query
from .schema import BOOKS
from .sql_dialects import QUANTITY_COLUMNS, Condition, Kind, SqlDialect
from .store import Snapshot

HOUR_NS = 3_600_000_000_000

# What a run or step is called may be known only after what was called in it: then nothing names it there.
_LATE = {
    "workflow": "SELECT r.workflow FROM runs r WHERE r.run_id = e.run_id",
    "step": "SELECT s.name FROM steps s WHERE s.step_id = e.step_id",
}


def groups_sql(query: Query, snapshot: Snapshot) -> Condition:
    """What finds the entries a question is about, those that are alike in all that it asks in one row."""
    dialect = snapshot.dialect
    condition, values = where_sql(query.where, dialect, book=query.book)
    names = query.group_by
    before, failed_steps, failed_runs = snapshot.failed()
    failed = (
        f"CASE WHEN e.step_id IN (SELECT step_id FROM {failed_steps}) "
        f"OR e.run_id IN (SELECT run_id FROM {failed_runs}) THEN 1 ELSE 0 END"
    )
    keys = {
        "subject": ("e.subject", any(name in SUBJECTS or name.startswith(LABEL) for name in names)),
        "run_id": ("e.run_id", RUN in names),
        **{f"late_{name}": (f"e.late_{name}", name in names) for name in _LATE},
        "hour": (dialect.rounded_down("e.charge_start", HOUR_NS), query.bucket is not None),
        "context": ("e.context", True),
        "layout": ("e.layout", True),
        "quantities": ("e.quantities", True),
        "failed": (failed, True),
        "known": (f"CASE WHEN {dialect.is_known('e.amount')} THEN 1 ELSE 0 END", True),
    }
    keys = {name: key for name, key in keys.items() if key[1]}
    late = [f"CASE WHEN c.{name} IS NULL THEN ({_LATE[name]}) END AS late_{name}" for name in _LATE if name in names]
    # ClickHouse groups by columns only.
    entries = (
        f"(SELECT e.*, {', '.join(late)} FROM entries e JOIN contexts c ON c.id = e.context)" if late else "entries"
    )
    selected = ", ".join(f"{column} AS {name}" for name, (column, _) in keys.items())
    bounded = dialect.is_known("e.at_most")
    quantities = ", ".join(f"SUM(e.{name}) AS {name}" for name in QUANTITY_COLUMNS)
    facts = dict.fromkeys(("currency", "status", "chargeable", "charge_status", *_columns_of(names, COLUMNS)))
    whose = ["labels", *_columns_of(names, SUBJECTS)]
    # Contexts are as many as there are, and are looked up once the entries are few.
    select = (
        f"{before}{',' if before else 'WITH'} g AS (SELECT {selected}, "
        f"SUM(e.n) AS n, COUNT(*) AS row_count, {dialect.sum_of_money('e.amount', 'amount')}, "
        "SUM(CASE WHEN e.retry_of IS NOT NULL THEN e.n ELSE 0 END) AS app_retries, "
        "SUM(CASE WHEN e.fallback_of IS NOT NULL THEN e.n ELSE 0 END) AS fallbacks, "
        f"{dialect.sum_of_money('e.at_most', 'at_most')}, "
        f"SUM(CASE WHEN {bounded} THEN e.n ELSE 0 END) AS bounded, {quantities} FROM {entries} e {condition} "
        f"GROUP BY {', '.join(str(n + 1) for n in range(len(keys)))}) "
        f"SELECT g.*, {', '.join(f'c.{name}' for name in facts)}"
        + (f", {', '.join(f's.{name}' for name in whose)}" if "subject" in keys else "")
        + " FROM g LEFT JOIN contexts c ON c.id = g.context"
        + (" LEFT JOIN subjects s ON s.id = g.subject" if "subject" in keys else "")
    )
    return select, values


def where_sql(where: Filter, dialect: SqlDialect, *, book: str | None = "metered") -> Condition:
    """The condition on entries `e` of a book; on sightings, which are of none, if that is None."""
    parts: list[str] = [] if book is None else [f"e.book = {BOOKS.index(book)}"]
    values: list[Any] = []

    def narrow(condition: str, value: Any) -> None:
        if value is not None:
            parts.append(condition)
            values.append(max(value, -MOST) if isinstance(value, int) else value)

    if where.since_ns is not None and where.since_ns > MOST:
        parts.append("1 = 0")
    else:
        narrow("e.charge_start >= ?", where.since_ns)
    if where.until_ns is None or where.until_ns <= MOST:
        narrow("e.charge_start < ?", where.until_ns)
    narrow("e.run_id = ?", dialect.identifier(where.run_id))
    narrow("e.span_id = ?", dialect.identifier(where.span_id))
    if where.event_id is not None:
        identity = entry_id(where.event_id)
        if book is None:
            narrow("e.event = ?", identity)
        else:
            parts.append("(e.id = ? OR e.event = ?)")
            values += [identity, identity]
    for name, value in where.dimensions.items():
        if name in _LATE and (book is not None or name != "step"):  # a sighting is in no step
            late = _LATE[name]
            parts.append(f"COALESCE((SELECT x.{name} FROM contexts x WHERE x.id = e.context), ({late})) = ?")
            values.append(value)
        elif name in COLUMNS:
            narrow(f"e.context IN (SELECT id FROM contexts WHERE {COLUMNS[name]} = ?)", value)
        elif name in SUBJECTS:
            narrow(f"e.subject IN (SELECT id FROM subjects WHERE {SUBJECTS[name]} = ?)", value)
        else:
            said = f"SELECT s.id FROM subjects s WHERE s.labels IS NOT NULL AND {dialect.has_label('s.labels')}"
            parts.append(f"e.subject IN ({said})")
            values += [name.removeprefix(LABEL), value]
    return (f"WHERE {' AND '.join(parts)}" if parts else "WHERE 1 = 1"), values


def _columns_of(names: Iterable[str], columns: Mapping[str, str]) -> list[str]:
    return [columns[name] for name in names if name in columns]


def key_in(name: str, row: Mapping[str, Any], dialect: SqlDialect) -> str | None:
    """The value of a dimension in a row; None where it has none."""
    if name == METER:
        return None
    if name == RUN:
        return dialect.identifier_text(row["run_id"])
    value: str | None
    if name in COLUMNS:
        value = row[COLUMNS[name]]
        return row[f"late_{name}"] if value is None and name in ("workflow", "step") else value
    if name in SUBJECTS:
        value = row[SUBJECTS[name]]
        return value
    value = json.loads(row["labels"] or "{}").get(name.removeprefix(LABEL))
    return value


def conditions_of(
    dialect: SqlDialect, column: str, kind: Kind, identifier: str, *, is_whole: bool
) -> list[tuple[str, tuple[Any, ...]]]:
    """How an id, or the start of one, is looked for in a column."""
    if not is_whole:
        return dialect.beginning(column, identifier, kind)
    if kind != "id":
        return [(f"{column} = ?", (form,)) for form in {identifier, dialect.identifier(identifier)}]
    is_hex = len(identifier) == 32 and not identifier.strip("0123456789abcdef")
    return [(f"{column} = ?", (bytes.fromhex(identifier),))] if is_hex else []
