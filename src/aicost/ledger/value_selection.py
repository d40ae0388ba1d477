"""Questions whose answer is no sum, in SQL: how many different runs, how long it took, what one unit costs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from aicost.semconv.dimensions import LABEL

from .quantiles import Listed
from .query import COLUMNS, REQUEST, RUN, SUBJECTS, Query, start_of
from .rollups import alike_contexts
from .row_sources import LATE, RowSource, sources_of
from .schema import OF_RUN, SUMS_BY_RUN
from .selection import columns_of, hour_of, rows_sql, source_sql
from .sql_dialects import Condition, SqlDialect
from .store import Snapshot
from .sums import RowKey, Weights

_Found = dict[RowKey, Counter[int | None]]


def values_sql(query: Query, measure: str, snapshot: Snapshot) -> Condition:
    """What finds the values of a measure, with how often each is there, by the keys, which are `key_0` and so on.

    First entries that are alike are put together (`g`), as they are for sums, so that contexts and subjects are looked
    up once for each kind. What was entered and taken back is gone with that: its `n` is 0.
    """
    dialect = snapshot.dialect
    values: list[Any] = []
    sources = _sources(query, measure, snapshot)
    alike = " UNION ALL ".join([_alike_sql(query, measure, source, dialect, values) for source in sources])
    found = _found(query, measure)
    by = [f"{_key(name, dialect, values)} AS key_{n}" for n, name in enumerate(query.group_by)]
    by += ["c.currency AS currency", *(["g.hour AS hour"] if query.bucket is not None else [])]
    weight = "SUM(g.n) AS weight"
    if measure == "runs":
        select = _runs_sql(by, found, is_counted=query.bucket is None)
    elif measure == "latency":
        # In nanoseconds hardly two are alike: to group them is to sort them all for nothing.
        select = f"SELECT {', '.join((*by, 'g.value AS value', 'g.n AS weight'))} {found}"
    elif _is_of_unit(query, measure):
        billed = "CASE WHEN c.chargeable <> 'no' THEN g.n ELSE 0 END"
        counted = [f"SUM({billed}) AS billed", f"SUM(g.known * {billed}) AS known", weight]
        amount = dialect.sum_of_money("g.amount", "amount")
        select = _grouped([*by, f"{_key(query.unit, dialect, values)} AS unit"], [*counted, amount], found)
    else:
        amounts = [f"g.{column} AS {column}" for column in dialect.columns_of_money("amount")]
        select = _grouped([*by, *amounts], [weight], f"{found} WHERE c.status <> 'retry'")
    return f"WITH g AS ({alike}) {select}", values


def values_of(
    query: Query, measure: str, dialect: SqlDialect, rows: Iterable[Mapping[str, Any]]
) -> Mapping[RowKey, Weights | Listed]:
    """What `values_sql` finds, by row. The value of a run is whether it has ended well."""
    found: _Found = defaultdict(Counter)
    listed: dict[RowKey, Listed] = {}
    units: dict[tuple[RowKey, Any], tuple[int, int, int]] = {}
    row_of = _RowKeys(query, dialect)
    for row in rows:
        key = row_of(row)
        if _is_of_unit(query, measure):
            if row["unit"] is not None:  # else it belongs to none
                billed, known, atto = units.get((key, row["unit"]), (0, 0, 0))  # another hour of the stretch of time
                atto += dialect.atto(row, "amount") or 0
                units[key, row["unit"]] = (billed + int(row["billed"]), known + int(row["known"]), atto)
        elif measure == "runs" and query.bucket is not None:
            units[key, row["run_id"]] = (1, 1, row["value"])
        elif measure == "latency" and isinstance(row["value"], str):  # a list of them
            mine = listed.setdefault(key, Listed())
            (mine.entered if row["weight"] > 0 else mine.taken_back).extend(json.loads(row["value"]))
        else:
            value = dialect.atto(row, "amount") if measure == "cost_each" else row["value"]
            found[key][value] += int(row["weight"])
    for (key, _), (billed, known, atto) in units.items():
        found[key][atto if known or not billed else None] += 1
    return listed or found


class _RowKeys:
    """Which row of the answer what is found belongs to; each is made once."""

    def __init__(self, query: Query, dialect: SqlDialect) -> None:
        self._names = [f"key_{n}" for n in range(len(query.group_by))]
        self._runs = [dialect.identifier_text if name == RUN else None for name in query.group_by]
        self._bucket = query.bucket
        self._made: dict[tuple[Any, ...], RowKey] = {}

    def __call__(self, row: Mapping[str, Any]) -> RowKey:
        hour = None if self._bucket is None else row["hour"]
        said = (*[row[name] for name in self._names], hour, row["currency"])
        made = self._made.get(said)
        if made is None:
            keys = [text(key) if text else key for text, key in zip(self._runs, said, strict=False)]
            start = None if self._bucket is None else start_of(self._bucket, said[-2])
            made = self._made[said] = (tuple(keys), start, said[-1])
        return made


def _asks_for_subjects(query: Query, measure: str) -> bool:
    names = (*query.group_by, query.unit) if _is_of_unit(query, measure) else query.group_by
    return any(name in SUBJECTS or name.startswith(LABEL) for name in names)


def _found(query: Query, measure: str) -> str:
    """Where the columns of an answer are."""
    subjects = " LEFT JOIN subjects s ON s.id = g.subject" if _asks_for_subjects(query, measure) else ""
    return f"FROM g JOIN contexts c ON c.id = g.context{subjects}"


def _is_of_unit(query: Query, measure: str) -> bool:
    return measure == "cost_each" and query.unit != REQUEST


def _sources(query: Query, measure: str, snapshot: Snapshot) -> list[RowSource]:
    """What answers: of runs their sums, as far as those go. What is in no run is in none of them."""
    if measure != "runs" and not (_is_of_unit(query, measure) and query.unit == RUN):
        return [RowSource(where=query.where)]
    asked = replace(query, group_by=(*query.group_by, RUN), measures=())
    return [one for one in sources_of(asked, snapshot, SUMS_BY_RUN, facts=OF_RUN) if one.kind != "moved"]


def _alike_sql(query: Query, measure: str, source: RowSource, dialect: SqlDialect, values: list[Any]) -> str:
    condition, more = source_sql(source, dialect, query.book)
    values += more
    names = (*query.group_by, query.unit) if _is_of_unit(query, measure) else query.group_by
    said = columns_of(source, SUMS_BY_RUN, dialect)
    keys = ["e.context AS context", *(["e.subject AS subject"] if _asks_for_subjects(query, measure) else [])]
    keys += [f"{f'e.late_{name}' if source.is_late else 'NULL'} AS late_{name}" for name in LATE if name in names]
    if query.bucket is not None:
        keys.append(f"{hour_of(source, query, dialect)} AS hour")
    if RUN in names or measure == "runs":
        keys.append("e.run_id AS run_id")
    entries = f"FROM {rows_sql(source, names)} e {condition}"
    if measure == "latency":
        keys.append("e.n AS n")
        listed = dialect.listed("e.charge_ns")
        grouped = "" if listed is None else f" GROUP BY {_ordinals(keys)}"
        columns = ", ".join((*keys, f"{listed or 'e.charge_ns'} AS value"))
        return f"SELECT {columns} {entries}{grouped}"
    sums = ["n"]
    if _is_of_unit(query, measure):
        keys.append(f"{said['known']} AS known")
        sums += dialect.columns_of_money("amount")
    elif measure == "cost_each":
        # A reversal has the amount negated: it is of the same value.
        keys += [f"e.n * e.{column} AS {column}" for column in dialect.columns_of_money("amount")]
    if source.kind == "sums":  # whoever asks adds them up
        return f"SELECT {', '.join((*keys, *(f'{said[name]} AS {name}' for name in sums)))} {entries}"
    selected = [*keys, *(f"SUM({said[name]}) AS {name}" for name in sums)]
    return f"SELECT {', '.join(selected)} {entries} GROUP BY {_ordinals(keys)}"


def runs_sql(query: Query, snapshot: Snapshot) -> Condition:
    """What finds each run with its amount, by currency."""
    dialect = snapshot.dialect
    found: list[str] = []
    values: list[Any] = []
    columns = ["run_id", "context", "n", *dialect.columns_of_money("amount")]
    for source in sources_of(query, snapshot, SUMS_BY_RUN, facts=OF_RUN):
        if source.kind != "moved":
            condition, more = source_sql(source, dialect, query.book)
            values += more
            said = columns_of(source, SUMS_BY_RUN, dialect)
            selected = ", ".join(f"{said[name]} AS {name}" for name in columns)
            found.append(f"SELECT {selected} FROM {source.table} e {condition} AND e.run_id IS NOT NULL")
    select = (
        f"WITH k AS ({alike_contexts(('currency',))}), g AS ({' UNION ALL '.join(found)}), r AS (SELECT g.run_id "
        "AS run_id, COALESCE(k.alike, g.context) AS context, SUM(g.n) AS n, "
        f"{dialect.sum_of_money('g.amount', 'amount')} FROM g LEFT JOIN k ON k.id = g.context GROUP BY 1, 2) "
        "SELECT r.*, c.currency AS currency FROM r LEFT JOIN contexts c ON c.id = r.context"
    )
    return select, values


def _runs_sql(by: list[str], found: str, *, is_counted: bool) -> str:
    """Each run, or how many there are: of hours it is to be told in which stretches of time each is."""
    of_run = [*by, "CASE WHEN r.status = 'ok' THEN 1 ELSE 0 END AS value", "g.run_id AS run_id"]
    known = f"{found} LEFT JOIN runs r ON r.run_id = g.run_id WHERE g.run_id IS NOT NULL"
    names = [column.rpartition(" AS ")[2] for column in of_run[:-1]]
    each = _grouped(of_run, [], known)
    if not is_counted:
        return each
    return f"SELECT {', '.join(names)}, COUNT(*) AS weight FROM ({each}) each_run GROUP BY {_ordinals(names)}"


def _grouped(by: list[str], counted: list[str], found: str) -> str:
    return f"SELECT {', '.join((*by, *counted))} {found} GROUP BY {_ordinals(by)} HAVING SUM(g.n) <> 0"


def _key(name: str, dialect: SqlDialect, values: list[Any]) -> str:
    """What says the value of a dimension, of what is in `g`, with its context and subject."""
    if name == RUN:
        return "g.run_id"
    if name in LATE:
        return f"COALESCE(c.{name}, g.late_{name})"
    if name in COLUMNS:
        return f"c.{COLUMNS[name]}"
    if name in SUBJECTS:
        return f"s.{SUBJECTS[name]}"
    values.append(name.removeprefix(LABEL))
    return dialect.label("s.labels")


def _ordinals(columns: list[str]) -> str:
    return ", ".join(str(n) for n, _ in enumerate(columns, 1))
