"""Questions whose answer is no sum, in SQL: how many different runs, how long it took, what one unit costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from aicost.semconv.dimensions import LABEL

from .query import COLUMNS, REQUEST, RUN, SUBJECTS, Query, start_of
from .rollups import alike_contexts, entries_as_sums
from .schema import OF_RUN, SUMS_BY_DAY, SUMS_BY_RUN
from .selection import columns_of, hour_of, source_sql, where_sql
from .sources import LATE, Source, sources_of
from .sql_dialects import Condition, SqlDialect
from .store import Snapshot
from .sums import Keys, Value, Values

_FOUND = "FROM g JOIN contexts c ON c.id = g.context LEFT JOIN subjects s ON s.id = g.subject"


def values_sql(query: Query, measure: str, snapshot: Snapshot) -> Condition:
    """What finds the values of a measure, with how often each is there, by the keys, which are `key_0` and so on.

    First entries that are alike are put together (`g`), as they are for sums, so that contexts and subjects are looked
    up once for each kind. What was entered and taken back is gone with that: its `n` is 0.
    """
    dialect = snapshot.dialect
    values: list[Any] = []
    if is_listed(query, measure):
        alike = _listed_sql(query, measure, dialect, values)
    else:
        alike = _of_units_sql(query, measure, snapshot, values)
    by = [f"{_key(name, dialect, values)} AS key_{n}" for n, name in enumerate(query.group_by)]
    by += ["c.currency AS currency", *(["g.hour AS hour"] if query.bucket is not None else [])]
    if is_listed(query, measure):
        # Groups are few, and each has all its values in one text.
        only = "" if measure == "latency" else " WHERE c.status <> 'retry'"
        lists = ", ".join(_lists(measure, dialect))
        select = f"SELECT {', '.join(by)}, g.n AS n, g.known AS known, g.many AS many, {lists} {_FOUND}{only}"
    elif measure == "runs":
        select = _runs_sql(by, is_counted=query.bucket is None)
    else:
        billed = "CASE WHEN c.chargeable <> 'no' THEN g.n ELSE 0 END"
        counted = [f"SUM({billed}) AS billed", f"SUM(g.known * {billed}) AS known", "SUM(g.n) AS weight"]
        amount = dialect.sum_of_money("g.amount", "amount")
        select = _grouped([*by, f"{_key(query.unit, dialect, values)} AS unit"], [*counted, amount], _FOUND)
    return f"WITH g AS ({alike}) {select}", values


def values_of(
    query: Query, measure: str, dialect: SqlDialect, rows: Iterable[Mapping[str, Any]]
) -> Iterator[Value | Values]:
    """What `values_sql` finds. The value of a run is whether it has ended well."""
    text_of = [dialect.identifier_text if name == RUN else str for name in query.group_by]
    units: dict[tuple[Keys, datetime | None, str, Any], tuple[int, int, int]] = {}
    for row in rows:
        keys = tuple([None if (key := row[f"key_{n}"]) is None else text(key) for n, text in enumerate(text_of)])
        start = None if query.bucket is None else start_of(query.bucket, row["hour"])
        if is_listed(query, measure):
            values = None
            if row["known"]:
                is_latency = measure == "latency"
                values = dialect.numbers(row["took"]) if is_latency else dialect.listed_atto(row, "amount")
            yield Values(keys, start, row["currency"], values, int(row["n"]), int(row["many"]))
        elif _is_of_unit(query, measure):
            if row["unit"] is not None:  # else it belongs to none
                unit = (keys, start, row["currency"], row["unit"])
                billed, known, atto = units.get(unit, (0, 0, 0))  # of another hour of the same stretch of time
                atto += dialect.atto(row, "amount") or 0
                units[unit] = (billed + int(row["billed"]), known + int(row["known"]), atto)
        elif query.bucket is not None:
            units[keys, start, row["currency"], row["run_id"]] = (1, 1, row["value"])
        else:
            yield Value(keys, start, row["currency"], row["value"], int(row["weight"]))
    for (keys, start, currency, _), (billed, known, found) in units.items():
        yield Value(keys, start, currency, found if known or not billed else None, 1)


def is_listed(query: Query, measure: str) -> bool:
    """Whether each entry has a value of its own, so that a store answers with lists of them."""
    return measure == "latency" or (measure == "cost_each" and query.unit == REQUEST)


def _is_of_unit(query: Query, measure: str) -> bool:
    return measure == "cost_each" and query.unit != REQUEST


def _lists(measure: str, dialect: SqlDialect) -> list[str]:
    return ["took"] if measure == "latency" else list(dialect.columns_of_money("amount"))


def _listed_sql(query: Query, measure: str, dialect: SqlDialect, values: list[Any]) -> str:
    """Entries that are alike, each with its value in a list. A reversal has an amount negated: it is of the same."""
    names = query.group_by
    condition, more = where_sql(query.where, dialect, book=query.book)
    values += more
    is_late = any(name in LATE for name in names)
    keys = _asked_keys(names, Source(), query, dialect)
    is_known = "1" if measure == "latency" else entries_as_sums(SUMS_BY_DAY, dialect)["known"]
    keys |= {"context": "COALESCE(k.alike, e.context)", "n": "e.n", "known": is_known}
    listed = {"took": "e.charge_ns"} if measure == "latency" else {}
    listed |= {name: f"e.n * e.{name}" for name in _lists(measure, dialect) if name != "took"}
    selected = [*(f"{column} AS {name}" for name, column in keys.items()), "COUNT(*) AS many"]
    selected += [f"{dialect.listed(column)} AS {name}" for name, column in listed.items()]
    facts = ("currency", "status", *(COLUMNS[name] for name in names if name in COLUMNS))
    named = " LEFT JOIN contexts c ON c.id = e.context" if is_late else ""
    return (
        f"SELECT {', '.join(selected)} FROM entries e LEFT JOIN ({alike_contexts(facts)}) k ON k.id = e.context{named} "
        f"{condition} GROUP BY {_ordinals(list(keys))}"
    )


def _of_units_sql(query: Query, measure: str, snapshot: Snapshot, values: list[Any]) -> str:
    """Rows of entries, or of sums of runs, that say of each unit what it cost, or that there was a run."""
    dialect = snapshot.dialect
    unit = RUN if measure == "runs" else query.unit
    names = (*query.group_by, unit)
    found = []
    sources = [Source(where=query.where)]
    if unit == RUN:  # what is in no run is in no such sum
        asked = replace(query, group_by=names, measures=())
        sources = [one for one in sources_of(asked, snapshot, SUMS_BY_RUN, facts=OF_RUN) if one.kind != "moved"]
    for source in sources:
        condition, more = source_sql(source, dialect, query.book)
        values += more
        said = columns_of(source, SUMS_BY_RUN, dialect)
        keys = {**_asked_keys(names, source, query, dialect), "context": "e.context", "known": said["known"]}
        sums = ["n", *dialect.columns_of_money("amount")]
        selected = [
            *(f"{column} AS {name}" for name, column in keys.items()),
            *(f"SUM({said[n]}) AS {n}" for n in sums),
        ]
        named = " LEFT JOIN contexts c ON c.id = e.context" if any(name in LATE for name in names) else ""
        found.append(
            f"SELECT {', '.join(selected)} FROM {source.table} e{named} {condition} GROUP BY {_ordinals(list(keys))}"
        )
    return " UNION ALL ".join(found)


def runs_sql(query: Query, snapshot: Snapshot) -> Condition:
    """What finds each run with its amount, by currency."""
    dialect = snapshot.dialect
    found: list[str] = []
    values: list[Any] = []
    columns = ["run_id", "context", "n", *dialect.columns_of_money("amount")]
    for source in sources_of(query, snapshot, SUMS_BY_RUN, facts=OF_RUN):
        if source.kind == "moved":
            continue
        condition, more = source_sql(source, dialect, query.book)
        values += more
        said = columns_of(source, SUMS_BY_RUN, dialect)
        found.append(
            f"SELECT {', '.join(f'{said[name]} AS {name}' for name in columns)} FROM {source.table} e {condition} "
            "AND e.run_id IS NOT NULL"
        )
    amount = dialect.sum_of_money("g.amount", "amount")
    select = (
        f"WITH k AS ({alike_contexts(('currency',))}), g AS ({' UNION ALL '.join(found)}), r AS (SELECT g.run_id, "
        f"COALESCE(k.alike, g.context) AS context, SUM(g.n) AS n, {amount} FROM g LEFT JOIN k ON k.id = g.context "
        "GROUP BY 1, 2) SELECT r.*, c.currency AS currency FROM r LEFT JOIN contexts c ON c.id = r.context"
    )
    return select, values


def _asked_keys(names: Sequence[str], source: Source, query: Query, dialect: SqlDialect) -> dict[str, str]:
    """The columns of rows `e`, with their context `c`, that a question needs beside facts."""
    is_subject = any(name in SUBJECTS or name.startswith(LABEL) for name in names)
    late = {name: f"CASE WHEN c.{name} IS NULL THEN ({LATE[name]}) END" if source.is_late else "NULL" for name in LATE}
    return {
        "subject": "e.subject" if is_subject else "NULL",
        **{f"late_{name}": column for name, column in late.items() if name in names},
        **({} if query.bucket is None else {"hour": hour_of(source, query, dialect)}),
        **({"run_id": "e.run_id"} if RUN in names else {}),
    }


def _runs_sql(by: list[str], *, is_counted: bool) -> str:
    """Each run, or how many there are: of hours it is to be told in which stretches of time each is."""
    of_run = [*by, "CASE WHEN r.status = 'ok' THEN 1 ELSE 0 END AS value", "g.run_id AS run_id"]
    known = f"{_FOUND} LEFT JOIN runs r ON r.run_id = g.run_id WHERE g.run_id IS NOT NULL"
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
