"""Questions as SQLite is asked them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from aicost.semconv.dimensions import LABEL

from .columns import MOST, entry_id, pack, unpack
from .query import COLUMNS, METER, RUN, SUBJECTS, Filter, Query
from .schema import BOOKS, QUANTITY_COLUMNS

# What bought nothing: a call that failed after it was billed, and what was called in a step or run that failed, or is
# inside of one that did. `is_waste` in `aicost.scopes.runs` says the same of a run that is going on. Steps are found
# by their run, which has an index: a step is in the run of the one around it.
_FAILED = """
WITH RECURSIVE failed_steps(step_id, run_id) AS (
    SELECT step_id, run_id FROM steps WHERE status = 'failed'
    UNION SELECT s.step_id, s.run_id FROM failed_steps f CROSS JOIN steps s
    ON s.run_id = f.run_id AND s.parent_step_id = f.step_id
),
failed_runs(run_id) AS (
    SELECT run_id FROM runs
    WHERE status = 'failed' OR parent_step_id IN (SELECT step_id FROM failed_steps)
    UNION SELECT r.run_id FROM failed_runs f CROSS JOIN runs r ON r.parent_run_id = f.run_id
)
"""
_FAILED_INSIDE = "(e.step_id IN (SELECT step_id FROM failed_steps) OR e.run_id IN (SELECT run_id FROM failed_runs))"

# What a run or step is called may be known only after what was called in it: then nothing names it there.
_LATE = {
    "workflow": "SELECT r.workflow FROM runs r WHERE r.run_id = e.run_id",
    "step": "SELECT s.name FROM steps s WHERE s.step_id = e.step_id",
}


def groups_sql(query: Query) -> tuple[str, list[Any]]:
    """What finds the entries a question is about, those that are alike in all that it asks in one row."""
    condition, values = where_sql(query.where, book=query.book)
    names = query.group_by
    columns = {
        "subject": any(name in SUBJECTS or name.startswith(LABEL) for name in names),
        "run_id": RUN in names,
        **{
            f"({late} AND e.context IN (SELECT id FROM contexts WHERE {name} IS NULL)) AS late_{name}": name in names
            for name, late in _LATE.items()
        },
        # Rounded down: `/` rounds towards 1970.
        "e.charge_start / 3600000000000 - (e.charge_start % 3600000000000 < 0) AS hour": query.bucket is not None,
    }
    more = [column for column, is_asked in columns.items() if is_asked]
    group = ", ".join(str(n + 1) for n in range(len(more) + 5))
    quantities = ", ".join(f"SUM(e.{name}) AS {name}" for name in QUANTITY_COLUMNS)
    selected = ", ".join([*more, "e.context", "e.layout", "e.quantities", f"{_FAILED_INSIDE} AS failed"])
    facts = dict.fromkeys(("currency", "status", "chargeable", "charge_status", *_columns_of(names, COLUMNS)))
    whose = ["labels", *_columns_of(names, SUBJECTS)]
    # Contexts are as many as there are, and are looked up once the entries are few.
    select = (
        f"{_FAILED}, g AS (SELECT {selected}, e.amount_units IS NOT NULL AS known, "
        "SUM(e.n) AS n, COUNT(*) AS rows, SUM(e.amount_units) AS units, SUM(e.amount_nano) AS nano, "
        "SUM(e.amount_atto) AS atto, SUM(CASE WHEN e.retry_of IS NOT NULL THEN e.n ELSE 0 END) AS app_retries, "
        "SUM(CASE WHEN e.fallback_of IS NOT NULL THEN e.n ELSE 0 END) AS fallbacks, "
        "SUM(e.at_most_units) AS most_units, SUM(e.at_most_nano) AS most_nano, SUM(e.at_most_atto) AS most_atto, "
        "SUM(CASE WHEN e.at_most_units IS NOT NULL THEN e.n ELSE 0 END) AS bounded, "
        f"{quantities} FROM entries e {condition} GROUP BY {group}) "
        f"SELECT g.*, {', '.join(f'c.{name}' for name in facts)}"
        + (f", {', '.join(f's.{name}' for name in whose)}" if columns["subject"] else "")
        + " FROM g LEFT JOIN contexts c ON c.id = g.context"
        + (" LEFT JOIN subjects s ON s.id = g.subject" if columns["subject"] else "")
    )
    return select, values


def where_sql(where: Filter, *, book: str | None = "metered") -> tuple[str, list[Any]]:
    """The condition on entries `e` of a book; on sightings, which are of none, if that is None."""
    parts: list[str] = [] if book is None else [f"e.book = {BOOKS.index(book)}"]
    values: list[Any] = []

    def narrow(condition: str, value: Any) -> None:
        if value is not None:
            parts.append(condition)
            values.append(max(value, -MOST) if isinstance(value, int) else value)

    if where.since_ns is not None and where.since_ns > MOST:
        parts.append("0")
    else:
        narrow("e.charge_start >= ?", where.since_ns)
    if where.until_ns is None or where.until_ns <= MOST:
        narrow("e.charge_start < ?", where.until_ns)
    narrow("e.run_id = ?", pack(where.run_id))
    narrow("e.span_id = ?", pack(where.span_id))
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
            # No path of JSON: one cannot name a key with a quote in it (SQLite 3.40).
            said = "SELECT s.id FROM subjects s, json_each(s.labels) l WHERE l.key = ? AND l.value = ?"
            parts.append(f"e.subject IN ({said})")
            values += [name.removeprefix(LABEL), value]
    return (f"WHERE {' AND '.join(parts)}" if parts else "WHERE 1"), values


def _columns_of(names: Iterable[str], columns: Mapping[str, str]) -> list[str]:
    return [columns[name] for name in names if name in columns]


def key_in(name: str, row: sqlite3.Row) -> str | None:
    """The value of a dimension in a row; None where it has none."""
    if name == METER:
        return None
    if name == RUN:
        return unpack(row["run_id"])
    value: str | None
    if name in COLUMNS:
        value = row[COLUMNS[name]]
        return row[f"late_{name}"] if value is None and name in ("workflow", "step") else value
    if name in SUBJECTS:
        value = row[SUBJECTS[name]]
        return value
    value = json.loads(row["labels"] or "{}").get(name.removeprefix(LABEL))
    return value


def conditions_of(identifier: str, *, is_whole: bool) -> list[tuple[str, tuple[Any, ...]]]:
    """How an id is looked for, as text and as bytes; an index can serve each."""
    if is_whole:
        forms = [identifier, pack(identifier)]
        return [("{0} = ?", (form,)) for form in dict.fromkeys(forms)]
    found: list[tuple[str, tuple[Any, ...]]] = [
        ("{0} >= ? AND {0} < ?", (identifier, identifier + "\U0010ffff")),
    ]
    if not identifier.strip("0123456789abcdef") and len(identifier) <= 32:
        low = bytes.fromhex(identifier + "0" * (len(identifier) % 2))
        high = bytes.fromhex(identifier + "f" * (len(identifier) % 2)) + b"\xff" * 16
        found.append(("{0} >= ? AND {0} <= ?", (low, high)))
    return found
