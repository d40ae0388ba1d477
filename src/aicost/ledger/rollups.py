"""Sums that are kept beside the entries, so that a question about months need not read each of them.

Entries are signed and never changed, so a sum over them only ever has more to add: whoever adds entries adds to the
sums in the same transaction. Which questions they answer is `selection`'s to know; that they say what the entries say
is an invariant (`aicost ledger check`), and they can be made anew.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from .columns import digest_of
from .schema import DERIVED, ENTRIES, OF_RUN, SUMS_BY_DAY, SUMS_BY_RUN, LedgerTable
from .sql_dialects import QUANTITY_COLUMNS, SqlDialect, parts_of
from .store import Row, Snapshot, Store

DAY_NS = 86_400_000_000_000
NONE = -1
"""Stands for no layout, and for no quantities but those in columns: a digest is no less than 0."""

_EXACT = decimal.Context(prec=60)
_MAX_REMEMBERED = 20_000
_AT_A_TIME = 10_000


class Rollups:
    """Adds to the sums of a store. For whoever holds its transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owners: dict[int, int] = {}
        self._of_facts: dict[Row, int] = {}

    def forget(self) -> None:
        """What was added is not there after all."""
        self._owners.clear()
        self._of_facts.clear()

    def add(self, entries: Sequence[Row]) -> None:
        """Add entries that are new in the store, as are the contexts that they name."""
        if not self._store.has_sums:
            return
        read = _reading(self._store.dialect)
        self._learn({entry[read.context] for entry in entries})
        owners = self._owners
        by_day: dict[Row, list[Any]] = {}
        by_run: dict[Row, list[Any]] = {}
        with decimal.localcontext(_EXACT):
            for entry in entries:
                start, book, context, layout, known, most, fallback, text, run_id = read.keys(entry)
                day = start // DAY_NS
                is_known = 0 if known is None else 1
                alike = NONE if text is None else digest_of(("quantities",), (text,))
                key = (
                    day,
                    book,
                    context,
                    NONE if layout is None else layout,
                    is_known,
                    0 if most is None else 1,
                    0 if fallback is None else 1,
                    alike,
                    text,
                )
                n, retry, *values = read.sums(entry)
                values = [0 if one is None else one for one in values]
                _add(by_day, key, [n, 1, 0 if retry is None else n, *values])
                if run_id is not None:
                    amount = values[read.amount]
                    _add(by_run, (run_id, day, book, owners[context], is_known), [n, *amount])
        for table, sums in ((SUMS_BY_DAY, by_day), (SUMS_BY_RUN, by_run)):
            if sums:
                self._store.add(table, [(*key, *values) for key, values in sums.items()])

    def _learn(self, contexts: set[int]) -> None:
        """Find for each context one that is alike in what the sums of runs go by."""
        if len(self._owners) > _MAX_REMEMBERED:
            self.forget()
        for some in parts_of(contexts - self._owners.keys(), self._store.dialect.at_a_time):
            condition, values = self._store.dialect.among("id", some)
            for row in self._store.rows(f"SELECT id, {', '.join(OF_RUN)} FROM contexts WHERE {condition}", values):
                facts = tuple([row[name] for name in OF_RUN])
                self._owners[row["id"]] = self._of_facts.setdefault(facts, row["id"])
        for lost in contexts - self._owners.keys():
            self._owners[lost] = lost  # `check` says so of the entries


def _add(sums: dict[Row, list[Any]], key: Row, values: list[Any]) -> None:
    there = sums.get(key)
    sums[key] = values if there is None else [one + more for one, more in zip(there, values, strict=True)]


class _Reading(NamedTuple):
    """Where in a row of `entries` what is."""

    context: int
    keys: Any
    sums: Any
    amount: slice
    """Where in the sums after the first two the amount is."""


@cache
def _reading(dialect: SqlDialect) -> _Reading:
    names = ENTRIES.names(dialect)
    money = {name: dialect.columns_of_money(name) for name in ("amount", "at_most")}
    keys = ("charge_start", "book", "context", "layout", money["amount"][0], money["at_most"][0])
    sums = ("n", "retry_of", *QUANTITY_COLUMNS, *money["amount"], *money["at_most"])
    of_sums = sums[2:]
    first = of_sums.index(money["amount"][0])
    at = [names.index(name) for name in (*keys, "fallback_of", "quantities", "run_id")]
    return _Reading(
        names.index("context"),
        itemgetter(*at),
        itemgetter(*[names.index(name) for name in sums]),
        slice(first, first + len(money["amount"])),
    )


@cache
def _columns(table: LedgerTable, dialect: SqlDialect) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Its columns that are no sums, and those that are."""
    plain = tuple(one.name for one in table.columns if one.name in table.key or one.kind == "json")
    return plain, tuple(name for name in table.names(dialect) if name not in plain)


@cache
def added_sql(table: LedgerTable, dialect: SqlDialect) -> str:
    """How a row of sums is added, in SQL with `?`."""
    names = table.names(dialect)
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({', '.join(table.key)}) DO {added_up(table, dialect)}"
    )


def added_up(table: LedgerTable, dialect: SqlDialect) -> str:
    """What becomes of sums that are there when there are more of the same key."""
    _, sums = _columns(table, dialect)
    return "UPDATE SET " + ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in sums)


def entries_as_sums(table: LedgerTable, dialect: SqlDialect) -> dict[str, str]:
    """The columns of a table of sums, as entries `e` say them; sums without the `SUM`."""
    known, bounded = (f"CASE WHEN {dialect.is_known(f'e.{name}')} THEN 1 ELSE 0 END" for name in ("amount", "at_most"))
    said = {
        "day": dialect.rounded_down("e.charge_start", DAY_NS),
        "layout": f"COALESCE(e.layout, {NONE})",
        "known": known,
        "bounded": bounded,
        "is_fallback": "CASE WHEN e.fallback_of IS NOT NULL THEN 1 ELSE 0 END",
        "row_count": "1",
        "app_retries": "CASE WHEN e.retry_of IS NOT NULL THEN e.n ELSE 0 END",
    }
    optional = {*QUANTITY_COLUMNS, *dialect.columns_of_money("amount"), *dialect.columns_of_money("at_most")}
    said |= {name: f"COALESCE(e.{name}, 0)" for name in optional}
    return {name: said.get(name, f"e.{name}") for name in table.names(dialect)}


def _made_anew_sql(table: LedgerTable, dialect: SqlDialect) -> str:
    """The rows of a table of sums, but for `alike`, from the entries."""
    said = entries_as_sums(table, dialect)
    plain, sums = _columns(table, dialect)
    keys = [name for name in plain if name != "alike"]
    selected = [*(f"{said[name]} AS {name}" for name in keys), *(f"SUM({said[name]}) AS {name}" for name in sums)]
    condition = "WHERE e.run_id IS NOT NULL " if table is SUMS_BY_RUN else ""
    by = ", ".join(str(n) for n, _ in enumerate(keys, 1))
    source = f"FROM entries e {condition}"
    if table is SUMS_BY_RUN:
        selected = [one.replace("e.context AS", "COALESCE(k.alike, e.context) AS") for one in selected]
        source = f"FROM entries e LEFT JOIN ({alike_contexts(OF_RUN)}) k ON k.id = e.context {condition}"
    return f"SELECT {', '.join(selected)} {source}GROUP BY {by}"


def alike_contexts(facts: Iterable[str]) -> str:
    """Contexts, each with the one that stands for all that are alike in these facts."""
    return f"SELECT id, MIN(id) OVER (PARTITION BY {', '.join(dict.fromkeys(facts))}) AS alike FROM contexts"


class Tables(Protocol):
    """What sums are made anew in."""

    @property
    def dialect(self) -> SqlDialect:
        """How it is asked."""

    def rows(self, select: str, values: Sequence[Any] = ()) -> Iterable[Mapping[str, Any]]:
        """See `Snapshot.rows`."""

    def add(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """See `Store.add`."""

    def clear(self, table: LedgerTable) -> None:
        """See `Store.clear`."""


def make_anew(store: Tables) -> int:
    """Make the sums from the entries, in a transaction of the caller's; returns how many rows there are."""
    made = 0
    for table in DERIVED:
        store.clear(table)
        some: list[Row] = []
        for row in store.rows(_made_anew_sql(table, store.dialect)):
            some.append(_row_of(table, row, store.dialect))
            made += 1
            if len(some) >= _AT_A_TIME:
                store.add(table, some)
                some = []
        store.add(table, some)
    return made


def _row_of(table: LedgerTable, row: Mapping[str, Any], dialect: SqlDialect) -> Row:
    if table is SUMS_BY_RUN:
        return tuple([row[name] for name in table.names(dialect)])
    text = row["quantities"]
    alike = NONE if text is None else digest_of(("quantities",), (text,))
    return tuple([alike if name == "alike" else row[name] for name in table.names(dialect)])


def differences(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Where the sums are not what the entries say: a table, and the key of a row."""
    for table in DERIVED if snapshot.has_sums else ():
        dialect = snapshot.dialect
        plain, sums = _columns(table, dialect)
        keys = [name for name in plain if name != "alike"]
        source = table.name
        kept = [f"t.{name} AS {name}" for name in keys]
        if table is SUMS_BY_RUN:
            source += f" t LEFT JOIN ({alike_contexts(OF_RUN)}) k ON k.id = t.context"
            kept = [one.replace("t.context AS", "COALESCE(k.alike, t.context) AS") for one in kept]
        else:
            source += " t"
        kept += [f"-t.{name} AS {name}" for name in sums]
        differs = " OR ".join(f"SUM({name}) <> 0" for name in sums)
        both = f"{_made_anew_sql(table, dialect)} UNION ALL SELECT {', '.join(kept)} FROM {source}"
        asked = f"SELECT {', '.join(keys)} FROM ({both}) x GROUP BY {', '.join(keys)} HAVING {differs}"
        for row in snapshot.rows(asked):
            said = (row[name] for name in keys if row[name] is not None)
            yield table.name, " ".join(one.hex() if isinstance(one, bytes) else str(one) for one in said)
