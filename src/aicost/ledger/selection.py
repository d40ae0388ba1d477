"""Questions as stores are asked them, in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aicost.semconv.dimensions import LABEL

from .columns import MOST, entry_id
from .query import COLUMNS, METER, RUN, SUBJECTS, Filter, Query
from .rollups import DAY_NS, NONE, alike_contexts, entries_as_sums
from .row_sources import LATE, RowSource
from .schema import BOOKS, SUMS_BY_DAY, LedgerTable
from .sql_dialects import QUANTITY_COLUMNS, Condition, Kind, SqlDialect
from .store import Snapshot

HOUR_NS = 3_600_000_000_000

_ASKED = ("currency", "status", "chargeable", "charge_status", "confidence")
"""Facts that every question goes by."""


def groups_sql(query: Query, source: RowSource, snapshot: Snapshot) -> Condition:
    """What finds the rows of a source that a question is about, those that are alike in all that it asks in one row."""
    dialect, names = snapshot.dialect, query.group_by
    condition, values = source_sql(source, dialect, query.book)
    said = columns_of(source, SUMS_BY_DAY, dialect)
    is_moved, is_late = source.kind == "moved", source.is_late
    before, failed_steps, failed_runs = snapshot.failed() if source.kind != "sums" else ("", "", "")
    failed = (
        f"CASE WHEN e.step_id IN (SELECT step_id FROM {failed_steps}) THEN 2 "
        f"WHEN e.run_id IN (SELECT run_id FROM {failed_runs}) THEN 1 ELSE 0 END"
    )
    # What is moved changes what is wasted and nothing else, so that its quantities matter by meter alone.
    has_parts = not is_moved or METER in names
    facts = dict.fromkeys((*_ASKED, *_columns_of(names, COLUMNS)))
    whose = ["labels", *_columns_of(names, SUBJECTS)]
    by_subject = any(name in SUBJECTS or name.startswith(LABEL) for name in names)
    keys = {
        **({"subject": "e.subject"} if by_subject else {}),
        **({"run_id": "e.run_id"} if RUN in names else {}),
        **{f"late_{name}": f"e.late_{name}" if is_late else "NULL" for name in LATE if name in names},
        **({} if query.bucket is None else {"hour": hour_of(source, query, dialect)}),
        "context": "COALESCE(k.alike, e.context)",
        "layout": _layout(source) if has_parts else "NULL",
        "quantities": "e.quantities" if has_parts else "NULL",
        "failed": failed if source.kind != "sums" else "0",
        **{name: said[name] for name in ("known", "bounded", "is_fallback")},
    }
    sums = ["n", "row_count", "app_retries", *dialect.columns_of_money("amount")]
    sums += [*dialect.columns_of_money("at_most"), *QUANTITY_COLUMNS] if has_parts else []
    selected = [*(f"{column} AS {name}" for name, column in keys.items()), *(f"SUM({said[n]}) AS {n}" for n in sums)]
    grouped = ", ".join(str(n) for n, _ in enumerate(keys, 1))
    # Contexts are as many as there are: first those that are alike in what is asked are taken for one.
    select = (
        f"{before}{',' if before else 'WITH'} k AS ({alike_contexts(facts)}), "
        f"g AS (SELECT {', '.join(selected)} FROM {rows_sql(source, names)} e LEFT JOIN k ON k.id = e.context "
        f"{condition}{_failed_alone(failed_steps, failed_runs) if is_moved else ''} GROUP BY {grouped}) "
        f"SELECT g.*, {', '.join(f'c.{name}' for name in facts)}"
        + (f", {', '.join(f's.{name}' for name in whose)}" if by_subject else "")
        + " FROM g LEFT JOIN contexts c ON c.id = g.context"
        + (" LEFT JOIN subjects s ON s.id = g.subject" if by_subject else "")
    )
    return select, values


def _failed_alone(failed_steps: str, failed_runs: str) -> str:
    return f" AND (e.step_id IN (SELECT step_id FROM {failed_steps}) OR e.run_id IN (SELECT run_id FROM {failed_runs}))"


def _layout(source: RowSource) -> str:
    return f"NULLIF(e.layout, {NONE})" if source.kind == "sums" else "e.layout"


def rows_sql(source: RowSource, names: Iterable[str]) -> str:
    """The rows of a source, those of entries with the late name of each that a question is by."""
    late = [f"CASE WHEN c.{name} IS NULL THEN ({LATE[name]}) END AS late_{name}" for name in LATE if name in names]
    if not late or not source.is_late:
        return source.table
    # ClickHouse groups by columns only.
    return f"(SELECT e.*, {', '.join(late)} FROM entries e JOIN contexts c ON c.id = e.context)"


def columns_of(source: RowSource, table: LedgerTable, dialect: SqlDialect) -> dict[str, str]:
    """The columns of a table of sums as the rows `e` of a source say them."""
    if source.kind == "sums":
        return {name: f"e.{name}" for name in table.names(dialect)}
    return entries_as_sums(table, dialect)


def hour_of(source: RowSource, query: Query, dialect: SqlDialect) -> str:
    """An hour since the epoch that is in the same stretch of time as a row."""
    if query.bucket == "hour":
        return dialect.rounded_down("e.charge_start", HOUR_NS)
    return f"24 * {'e.day' if source.kind == 'sums' else dialect.rounded_down('e.charge_start', DAY_NS)}"


def source_sql(source: RowSource, dialect: SqlDialect, book: str) -> Condition:
    """The condition on the rows `e` of a source."""
    condition, values = where_sql(source.where, dialect, book=book, is_late=source.is_late)
    return " AND ".join((condition, *source.conditions)), [*values, *source.values]


def where_sql(where: Filter, dialect: SqlDialect, *, book: str | None = "metered", is_late: bool = True) -> Condition:
    """The condition on entries `e` of a book; on sightings, which are of none, if that is None.

    `is_late` is whether a run or step may have got its name since.
    """
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
        if name in LATE and is_late and (book is not None or name != "step"):  # a sighting is in no step
            late = LATE[name]
            parts.append(f"COALESCE((SELECT x.{name} FROM contexts x WHERE x.id = e.context), ({late})) = ?")
            values.append(value)
        elif name in COLUMNS:
            narrow(f"e.context IN (SELECT id FROM contexts WHERE {COLUMNS[name]} = ?)", value)
        elif name in SUBJECTS:
            narrow(f"e.subject IN (SELECT id FROM subjects WHERE {SUBJECTS[name]} = ?)", value)
        else:
            said = f"SELECT s.id FROM subjects s WHERE s.labels IS NOT NULL AND {dialect.label('s.labels')} = ?"
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
