"""A ledger's content into another one, of whatever kind: told to its writer as a journal is, and decided there.

So what is there already is joined with what comes, and what is sent twice is nothing new: whoever is interrupted begins
again. Views of events, runs, steps and outcomes go as records. Sightings, aliases, names and rates, which the target
would only copy from a record, go as the rows they are; ids of what is interned are digests, and the same everywhere.

What is not carried: which process wrote an entry, how far a journal was read, and how an event came to what it counts:
the views are told in another order, so that fewer corrections are made, with ids that follow from what they correct.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any, NamedTuple, TypeVar, cast

from aicost._errors import LedgerError

from .columns import entry_id
from .connection import as_ledger_error
from .deciding import CALLER, GATEWAY, OURS, rank
from .ingest import take_in
from .query import Query
from .reader import LedgerReader
from .records import Began, Charges, JournalRecord
from .schema import (
    ALIASES,
    BOOKS,
    CONTEXTS,
    NAMES,
    OUTCOMES,
    PEOPLE,
    RATES,
    RUNS,
    SIGHTINGS,
    STEPS,
    UNREAD,
    LedgerTable,
)
from .store import Row, Snapshot, Store
from .told import Told, ToldOutcome, ToldRun, ToldStep
from .where import Where, open_snapshot, open_store
from .writing import Writer

WAIT_S = 30.0
"""How long one transaction waits for other writers."""

AT_A_TIME = 500
"""Rows that are sent in one transaction, and ids that one question asks for: no store takes less."""

EVENTS_AT_A_TIME = 100

WRITER = "aicost ledger ship"
"""Whom entries that are made are of."""

_FIRST_ENTRIES = "SELECT id FROM entries WHERE event IS NULL"
_ONLY_VIEWS = f"SELECT DISTINCT event AS id FROM views WHERE event NOT IN ({_FIRST_ENTRIES})"
_COPIED = (NAMES, RATES, UNREAD)

_Found = Mapping[str, Any]
T = TypeVar("T")


class Total(NamedTuple):
    """What counts in a currency: amounts in 1e-18."""

    attempts: int
    atto: int


class Shipment(NamedTuple):
    """What was sent, and what the target has of it now."""

    sent: dict[str, int]
    """Rows of the source by table; `events` for entries."""
    missing: dict[str, int]
    """Those that the target has not: none, or something is wrong with it."""
    source: dict[str, Total]
    """What counts, by currency."""
    target: dict[str, Total]

    @property
    def is_whole(self) -> bool:
        """Whether the target has everything that the source has."""
        return not any(self.missing.values())


def ship(source: Where, target: Where, progress: Callable[[str, int], None] = lambda *_: None) -> Shipment:
    """Send all that a ledger has to another one, which is made if there is none. Reads one moment of the source.

    `progress` is told of how many of what were sent. Raises `LedgerError` for a ledger that cannot be read or written.
    """
    if source == target:
        raise LedgerError(f"{source} is the ledger to ship, and cannot be the one to ship to")
    waits = take_in(source)
    if waits != 0:
        raise LedgerError(f"{source} has charges that wait in its journal: `aicost ledger ingest` first")
    with _trouble(f"cannot ship {source} to {target}"), closing(open_snapshot(source, timeout_s=WAIT_S)) as snapshot:
        for row in snapshot.rows("SELECT book, COUNT(*) AS n FROM entries WHERE book <> 0 GROUP BY 1"):
            raise LedgerError(f"{source} has {row['n']} entries of the book {BOOKS[row['book']]}, which cannot be sent")
        with closing(open_store(target, timeout_s=WAIT_S)) as store:
            sent = _Sender(snapshot, store, progress).send()
        with closing(open_snapshot(target, timeout_s=WAIT_S)) as reached:
            missing = _missing(snapshot, reached)
    return Shipment(sent, missing, _totals(source), _totals(target))


class _Sender:
    def __init__(self, source: Snapshot, store: Store, progress: Callable[[str, int], None]) -> None:
        self._source, self._store, self._progress = source, store, progress
        self._writer = Writer(store)
        self._known = Writer(cast("Store", source))  # of which it is only asked what there is
        self._sent: dict[str, int] = {}
        self._number = 0

    def send(self) -> dict[str, int]:
        """Send all, in an order in which nothing has to be taken back: first what decides which event counts."""
        for table in _COPIED:
            self._each(table.name, f"SELECT * FROM {table.name}", AT_A_TIME, self._copied(table))
        self._each("runs", "SELECT * FROM runs", AT_A_TIME, self._runs)
        self._each("steps", "SELECT * FROM steps", AT_A_TIME, self._steps)
        self._each("outcomes", "SELECT * FROM outcomes", AT_A_TIME, self._outcomes)
        self._each("aliases", "SELECT * FROM aliases", AT_A_TIME, self._aliases)
        self._each("sightings", "SELECT * FROM sightings", AT_A_TIME, self._sightings)
        self._each("events", _FIRST_ENTRIES, EVENTS_AT_A_TIME, self._events)
        self._each("events", _ONLY_VIEWS, EVENTS_AT_A_TIME, self._events)
        return self._sent

    def _each(self, what: str, select: str, size: int, send: Callable[[Sequence[_Found]], None]) -> None:
        self._sent.setdefault(what, 0)
        for rows in _batches(self._source.stream(select), size):
            try:
                with self._store.transaction(time.monotonic() + WAIT_S):
                    send(rows)
            except BaseException:
                self._writer.rolled_back()
                raise
            self._sent[what] += len(rows)
            self._progress(what, self._sent[what])

    def _tell(self, *records: JournalRecord) -> None:
        told = []
        for record in records:
            self._number += 1
            told.append((WRITER, self._number, record))
        self._writer.take_in(told)

    def _copied(self, table: LedgerTable) -> Callable[[Sequence[_Found]], None]:
        return lambda rows: self._store.put(table, self._rows(table, rows))

    def _rows(self, table: LedgerTable, rows: Iterable[_Found]) -> list[Row]:
        """Rows as the target has them."""
        return [tuple(self._values(table, row)) for row in rows]

    def _values(self, table: LedgerTable, row: _Found) -> Iterator[Any]:
        read, write = self._source.dialect, self._store.dialect
        for name, kind, *_ in table.columns:
            if kind == "money":
                yield from write.money(read.atto(row, name))
            elif kind == "identifier":
                yield write.identifier(read.identifier_text(row[name]))
            else:
                yield row[name]

    def _ids(self, row: _Found, *names: str) -> list[Any]:
        return [self._source.dialect.identifier_text(row[name]) for name in names]

    def _runs(self, rows: Sequence[_Found]) -> None:
        there = self._there(RUNS, rows)
        ended: list[ToldRun] = []
        began: list[Began] = []
        for row in rows:
            ids = self._ids(row, "run_id", "root_run_id", "parent_run_id", "parent_step_id")
            said = (row["workflow"], row["version"])
            if row["ended_ns"] is not None:
                times = (row["status"] == "failed", row["started_ns"], row["ended_ns"])
                ended.append(ToldRun._make((*ids, *said, *times, json.loads(row["attribution"]))))
            if row["status"] == "running" and ids[0] not in there:
                began.append(Began("runs", (*ids, *said, row["started_ns"], row["attribution"])))
        self._tell(Charges([], told=Told(ended, [], [])), *began)

    def _steps(self, rows: Sequence[_Found]) -> None:
        ended: list[ToldStep] = []
        began: list[Began] = []
        for row in rows:
            ids = self._ids(row, "step_id", "run_id", "parent_step_id")
            said = (row["name"], row["kind"])
            if row["ended_ns"] is None:
                began.append(Began("steps", (*ids, *said, row["started_ns"])))
            else:
                times = (row["status"] == "failed", row["started_ns"], row["ended_ns"])
                ended.append(ToldStep._make((*ids, *said, *times)))
        self._tell(Charges([], told=Told([], ended, [])), *began)

    def _outcomes(self, rows: Sequence[_Found]) -> None:
        told = []
        for row in rows:
            identity, run_id = self._ids(row, "id", "run_id")
            said = (json.loads(row["attribution"]), row["value"], row["unit"])
            told.append(ToldOutcome(identity, row["name"], row["count"], run_id, row["at_ns"], *said))
        self._tell(Charges([], told=Told([], [], told)))

    def _there(self, table: LedgerTable, rows: Sequence[_Found]) -> set[str | None]:
        """The ids, of those of these rows, that the target has."""
        (key,) = table.key
        dialect = self._store.dialect
        condition, values = dialect.among(key, [dialect.identifier(one) for row in rows for one in self._ids(row, key)])
        found = self._store.rows(f"SELECT {key} FROM {table.name} WHERE {condition}", values)
        return {dialect.identifier_text(row[key]) for row in found}

    def _aliases(self, rows: Sequence[_Found]) -> None:
        """Who is known by what; and whom of those that are there it makes the callers of another one."""
        self._store.put(ALIASES, self._rows(ALIASES, rows))
        callers = {row["event"] for row in rows if row["evidence"] == CALLER}
        callers |= {entry_id(row["alias"]) for row in rows if not row["alias"].startswith(GATEWAY)}
        named = self._writer.aliases({row["alias"] for row in rows})
        callers |= {one.event for one in named if one.evidence == CALLER}
        self._writer.decide_again(callers)

    def _sightings(self, rows: Sequence[_Found]) -> None:
        # What was found among views is found anew, among all that the target has.
        rows = [row for row in rows if not row["digest"].startswith(OURS)]
        for table, column in ((CONTEXTS, "context"), (PEOPLE, "subject")):
            numbers = list({row[column] for row in rows if row[column] is not None})
            if numbers:
                condition, values = self._source.dialect.among("id", numbers)
                found = self._source.rows(f"SELECT * FROM {table.name} WHERE {condition}", values)
                self._store.put(table, self._rows(table, found))
        self._store.replace(SIGHTINGS, self._rows(SIGHTINGS, rows))
        self._writer.decide_again({row["event"] for row in rows if row["kind"] != "contradiction"})

    def _events(self, rows: Sequence[_Found]) -> None:
        known = self._known.events([row["id"] for row in rows])
        views = [view for event in known.values() for view in event.views]
        names = self._known.run_names({view.run_id for view in views if view.run_id is not None})
        records = []
        for event in known.values():
            # As an entry has it, so that what was sent before is known again.
            told = [view._replace(workflow=names.get(view.run_id or "", view.workflow)) for view in event.views]
            # The view that knows most comes first: what others tell beside it corrects as little as can be.
            records.append(Charges(sorted(told, key=rank, reverse=True)))
        self._tell(*records)


def _missing(source: Snapshot, target: Snapshot) -> dict[str, int]:
    """How much of what the source has the target has not."""
    counted = (("entries", "id", ""), ("sightings", "event", " AND kind <> 'contradiction'"))
    missing = {"events": 0}
    for select in (_FIRST_ENTRIES, _ONLY_VIEWS):
        for rows in _batches(source.stream(select), AT_A_TIME):
            missing["events"] += len({row["id"] for row in rows} - _found(target, [row["id"] for row in rows], counted))
    for table in (RUNS, STEPS, OUTCOMES):
        (key,) = table.key
        missing[table.name] = 0
        for rows in _batches(source.stream(f"SELECT {key} FROM {table.name}"), AT_A_TIME):
            ids = {target.dialect.identifier(source.dialect.identifier_text(row[key])) for row in rows}
            missing[table.name] += len(ids - _found(target, list(ids), ((table.name, key, ""),)))
    missing["sightings"] = 0
    for rows in _batches(source.stream("SELECT event, digest FROM sightings"), AT_A_TIME):
        condition, values = target.dialect.among("event", list({row["event"] for row in rows}))
        found = target.rows(f"SELECT event, digest FROM sightings WHERE {condition}", values)
        there = {(row["event"], row["digest"]) for row in found}
        told = {(row["event"], row["digest"]) for row in rows if not row["digest"].startswith(OURS)}
        missing["sightings"] += len(told - there)
    return missing


def _found(target: Snapshot, ids: Sequence[Any], places: Iterable[tuple[str, str, str]]) -> set[Any]:
    found: set[Any] = set()
    for table, column, more in places:
        condition, values = target.dialect.among(column, ids)
        asked = f"SELECT {column} AS found FROM {table} WHERE {condition}{more}"
        found.update(row["found"] for row in target.rows(asked, values))
    return found


def _totals(where: Where) -> dict[str, Total]:
    with LedgerReader(where) as ledger:
        return {one.currency: Total(one.attempts, one.atto) for one in ledger.answer(Query())}


@contextmanager
def _trouble(what: str) -> Iterator[None]:
    """What goes wrong with either, as one `LedgerError`."""
    with as_ledger_error(what, "repeated, it goes on"):
        yield


def _batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch
