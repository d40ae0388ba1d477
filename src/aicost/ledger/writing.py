"""Batches of records into a store: what they tell, decided, as rows. The same for every kind of store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .closing import months_closed, posted
from .columns import digest_of
from .deciding import OURS, Alias, Decider, Decisions, KnownEvent
from .records import Began, ChargeRecord, Charges, Ended, JournalRecord, charge_of
from .rollups import Rollups
from .rows import NO_LAYOUT, Interner, entry_row, names_of_entry, record_of, reversal_row
from .schema import (
    ALIASES,
    CONTEXTS,
    ENTRIES,
    FURTHER_VIEWS,
    LAYOUTS,
    NAMES,
    OUTCOMES,
    PEOPLE,
    PLACES,
    RATES,
    RUNS,
    SIGHTINGS,
    STEPS,
    UNREAD,
    WRITERS,
    LedgerTable,
)
from .sql_dialects import parts_of
from .store import Row, Snapshot, Store
from .told import STATES_TOLD, StateRow, Told, ToldOutcome, begun, with_outcome, with_run, with_step

READ_ENTRY = (
    "SELECT e.*, c.*, s.*, e.id AS entry_id, l.meters, w.name FROM entries e LEFT JOIN contexts c ON c.id = e.context "
    "LEFT JOIN subjects s ON s.id = e.subject LEFT JOIN layouts l ON l.id = e.layout "
    "LEFT JOIN names w ON w.id = COALESCE(e.event, e.id) "
)
"""An entry with all that it says; a condition on `e` follows."""


class Writer:
    """Writes to a store. A transaction is the caller's; `Known` is what the store already holds."""

    def __init__(self, store: Store, *, source: str = "aicost") -> None:
        self.store = store
        self._interner = Interner(source)
        self._rollups = Rollups(store)
        self._writers: dict[str, int] = {}

    def take_in(self, records: Sequence[tuple[str, int, JournalRecord]]) -> None:
        """Add what records tell, each with its writer and number there, in one transaction of the caller's."""
        renamed = self._note([record for _, _, record in records])
        charges = [record for _, _, record in records if isinstance(record, Charges)]
        if not charges and not renamed:
            return
        decider = Decider(self, charges)
        rates: list[Row] = []
        for writer, number, record in records:
            if isinstance(record, Charges):
                decider.take(record, writer, number)
                rates += record.rates
        if rates:
            self.store.put(RATES, rates)
        for event in self._called_otherwise(renamed):
            decider.decide_again(event)
        self._add(decider.finish())

    def decide_again(self, events: Iterable[bytes]) -> None:
        """Decide anew on those of these events that are there, in a transaction of the caller's: more is known now."""
        decider = Decider(self, [])
        for event in self.events(events):
            decider.decide_again(event)
        self._add(decider.finish())

    def put_unread(self, unread: Sequence[tuple[str, int, bytes, str]]) -> None:
        """Keep records that could not be read."""
        self.store.put(UNREAD, unread)

    def put_places(self, journal: str, places: Mapping[str, int]) -> None:
        """Note how far each segment of a journal was taken in."""
        self.store.replace(PLACES, [(segment, reached, journal) for segment, reached in places.items()])

    def places(self, journal: str) -> dict[str, int]:
        """How far each segment of a journal was taken in."""
        return places_in(self.store, journal)

    def forget_places(self, segments: Iterable[str]) -> None:
        """Segments that are no more need no place."""
        self.store.delete(PLACES, [(segment,) for segment in segments])

    def rolled_back(self) -> None:
        """What was added is not there after all."""
        self._interner.forget()
        self._rollups.forget()
        self._writers.clear()

    def events(self, ids: Iterable[bytes]) -> dict[bytes, KnownEvent]:
        """Those of these events that anything is known of."""
        found: dict[bytes, KnownEvent] = {}
        for some in parts_of(ids, self.store.dialect.at_a_time):
            there = {row["id"] for row in self._among("SELECT e.id FROM entries e WHERE {}", "e.id", some)}
            seen = list(self._among("SELECT event, kind, digest FROM sightings WHERE {}", "event", some))
            ours = [row for row in seen if row["digest"].startswith(OURS)]
            told = [row for row in seen if not row["digest"].startswith(OURS)]
            elsewhere = {row["event"] for row in told if row["kind"] != "contradiction"}
            there |= elsewhere | {row["event"] for row in ours}
            if there:
                found.update(self._events([one for one in some if one in there], elsewhere))
            for row in ours:
                found[row["event"]].found |= {row["digest"]}
        return found

    def _events(self, ids: Sequence[bytes], elsewhere: set[bytes]) -> dict[bytes, KnownEvent]:
        found = {identity: KnownEvent(identity, is_elsewhere=identity in elsewhere) for identity in ids}
        rows: dict[bytes, dict[bytes, Mapping[str, Any]]] = {}
        for column in ("e.id", "e.event"):
            for row in self._among(READ_ENTRY + "WHERE {}", column, ids):
                rows.setdefault(row["event"] or row["entry_id"], {})[row["entry_id"]] = row
        for identity, entries in rows.items():
            event = found.get(identity)
            made = {key: row for key, row in entries.items() if row["n"] > 0}
            if event is None or identity not in made:
                continue
            event.views.append(self._record(made[identity]))
            corrected = {row["corrects"] for row in made.values()}
            event.entry = next(one for one in made if one not in corrected)
            if not any(row["n"] < 0 and row["corrects"] == event.entry for row in entries.values()):
                event.entered = self._record(made[event.entry])
        asked = "SELECT event, digest, record FROM views WHERE {}"
        for row in sorted(self._among(asked, "event", ids), key=lambda row: row["digest"]):
            found[row["event"]].views.append(charge_of(json.loads(row["record"])))
        return found

    def _record(self, row: Mapping[str, Any]) -> ChargeRecord:
        event = row["event"] or row["entry_id"]
        return record_of(row, row["name"] or event.hex(), row["meters"] or NO_LAYOUT, self.store.dialect)

    def aliases(self, aliases: Iterable[str]) -> Iterable[Alias]:
        """Who is known by these."""
        asked = "SELECT alias, event, evidence, started_ns FROM aliases WHERE {}"
        for some in parts_of(aliases, self.store.dialect.at_a_time):
            for row in self._among(asked, "alias", some):
                yield Alias(row["alias"], row["event"], row["evidence"], row["started_ns"])

    def run_names(self, run_ids: Iterable[str]) -> dict[str, str]:
        """The workflows of those of these runs that are known."""
        dialect = self.store.dialect
        asked = "SELECT run_id, workflow FROM runs WHERE {}"
        return {
            dialect.identifier_text(row["run_id"]) or "": row["workflow"]
            for some in parts_of(map(dialect.identifier, run_ids), dialect.at_a_time)
            for row in self._among(asked, "run_id", some)
            if row["workflow"]
        }

    def _among(self, select: str, column: str, ids: Sequence[Any]) -> Iterable[Mapping[str, Any]]:
        condition, values = self.store.dialect.among(column, ids)
        return self.store.rows(select.format(condition), values)

    def _called_otherwise(self, runs: Iterable[Any]) -> list[bytes]:
        """Events of these runs whose entry calls the run by another name than it has by now."""
        asked = (
            "SELECT DISTINCT COALESCE(e.event, e.id) AS of_event FROM runs r JOIN entries e ON e.run_id = r.run_id "
            "JOIN contexts c ON c.id = e.context WHERE {} AND c.workflow <> r.workflow"
        )
        return [
            row["of_event"]
            for some in parts_of(runs, self.store.dialect.at_a_time)
            for row in self._among(asked, "r.run_id", some)
        ]

    def _note(self, records: Sequence[JournalRecord]) -> list[Any]:
        """Keep what is told of runs, steps and outcomes; returns the runs that may have got a name."""
        told = [one for one in records if not isinstance(one, Charges) or one.told is not None]
        if not told:
            return []
        stored = self.store.dialect.identifier
        states = _States(self.store, told)
        renamed: list[Any] = []
        for record in told:
            if isinstance(record, Began):
                table = STATES_TOLD[record.table]
                key = stored(record.values[0])
                states.set(table, key, begun(states.get(table, key), table, record.values, stored))
                if table is RUNS:
                    renamed.append(key)
            elif isinstance(record, Ended):
                table, key = STATES_TOLD[record.table], stored(record.id)
                known = states.get(table, key)
                if known is not None:
                    states.set(table, key, {**known, "status": record.status, "ended_ns": record.ended_ns})
            else:
                told_by = Told([], [], [record]) if isinstance(record, ToldOutcome) else record.told
                assert told_by is not None  # noqa: S101 - those without were left out above
                for run in told_by.runs:
                    key = stored(run.run_id)
                    states.set(RUNS, key, with_run(states.get(RUNS, key), run, stored))
                    renamed.append(key)
                for step in told_by.steps:
                    key = stored(step.step_id)
                    states.set(STEPS, key, with_step(states.get(STEPS, key), step, stored))
                for outcome in told_by.outcomes:
                    key = stored(outcome.outcome_id)
                    states.set(OUTCOMES, key, with_outcome(states.get(OUTCOMES, key), outcome, stored))
        states.put()
        return renamed

    def _add(self, made: Decisions) -> None:
        """Write decisions; entries come after what they refer to, and what decides of them."""
        store, interner, dialect = self.store, self._interner, self.store.dialect
        rows: list[Row] = []
        of: dict[bytes | None, Row] = {}
        for identity, corrects, event, record, by in made.entries:
            if record is not None:
                row = entry_row(record, interner, identity, dialect, corrects=corrects, event=event)
            else:
                row = reversal_row(of.get(corrects) or self._row(corrects), identity, event, dialect)
            of[identity] = row
            rows.append((*row, self._writer(by[0]), by[1]))
        seen: list[Row] = []
        for one in made.seen:
            record = one.record
            about = (interner.context(record), interner.subject(record.attribution), record.started_ns)
            key = (one.event, one.digest, one.kind, one.reason, one.counted_by, one.observer, time.time_ns())
            ids = (dialect.identifier(record.run_id), dialect.identifier(record.span_id))
            seen.append((*key, *about, *ids, *dialect.money(record.atto)))
        put_interned(store.put, interner)
        if made.names:
            store.put(NAMES, list(made.names.items()))
        if made.views:
            store.put(FURTHER_VIEWS, [(*key, json.dumps(record, default=str)) for *key, record in made.views])
        if made.aliases:
            store.put(ALIASES, made.aliases)
        if seen:
            store.replace(SIGHTINGS, seen)
        if made.withdrawn:
            store.delete(SIGHTINGS, made.withdrawn)
        closed = months_closed(store) if rows else frozenset[str]()
        if closed:
            rows = [posted(row, closed, dialect) for row in rows]
        if rows:
            store.put(ENTRIES, rows)
            self._rollups.add(rows)

    def _row(self, identity: bytes | None) -> Row:
        names = names_of_entry(self.store.dialect)
        select = f"SELECT {', '.join(f'e.{name}' for name in names)} FROM entries e WHERE {{}}"
        (row,) = self._among(select, "e.id", [identity])
        return tuple(row[name] for name in names)

    def _writer(self, writer: str) -> int:
        known = self._writers.get(writer)
        if known is None:
            asked = "SELECT number FROM writers WHERE writer = ?"
            found = [row["number"] for row in self.store.rows(asked, (writer,))]
            known = found[0] if found else digest_of(("writer",), (writer,))
            if not found:
                self.store.put(WRITERS, [(writer, known)])
            self._writers[writer] = known
        return known


class _States:
    """Rows of runs, steps and outcomes while records change them: read at once, and written at once."""

    def __init__(self, store: Store, records: Sequence[JournalRecord]) -> None:
        self._store = store
        self._known: dict[str, dict[Any, StateRow]] = {name: {} for name in STATES_TOLD}
        self._changed: dict[str, dict[Any, StateRow]] = {name: {} for name in STATES_TOLD}
        wanted: dict[str, list[str | None]] = {name: [] for name in STATES_TOLD}
        for record in records:
            if isinstance(record, Began):
                wanted[record.table].append(record.values[0])
            elif isinstance(record, Ended):
                wanted[record.table].append(record.id)
            elif isinstance(record, ToldOutcome):
                wanted["outcomes"].append(record.outcome_id)
            elif record.told is not None:
                wanted["runs"] += [run.run_id for run in record.told.runs]
                wanted["steps"] += [step.step_id for step in record.told.steps]
                wanted["outcomes"] += [outcome.outcome_id for outcome in record.told.outcomes]
        for name, ids in wanted.items():
            (key,) = STATES_TOLD[name].key
            for some in parts_of(map(store.dialect.identifier, ids), store.dialect.at_a_time):
                condition, values = store.dialect.among(key, some)
                for row in store.rows(f"SELECT * FROM {name} WHERE {condition}", values):
                    self._known[name][row[key]] = {
                        column.name: row[column.name] for column in STATES_TOLD[name].columns
                    }

    def get(self, table: LedgerTable, key: Any) -> StateRow | None:
        return self._known[table.name].get(key)

    def set(self, table: LedgerTable, key: Any, state: StateRow) -> None:
        if self._known[table.name].get(key) != state:
            self._known[table.name][key] = self._changed[table.name][key] = state

    def put(self) -> None:
        for name, changed in self._changed.items():
            if changed:
                columns = [column.name for column in STATES_TOLD[name].columns]
                rows = [tuple(state[column] for column in columns) for state in changed.values()]
                self._store.replace(STATES_TOLD[name], rows)


def places_in(snapshot: Snapshot, journal: str | None) -> dict[str, int]:
    """How far a store has taken in each segment of a journal. Those of none are a file's of before it had an id."""
    asked = "SELECT segment, reached FROM places WHERE journal = ? OR journal IS NULL"
    return {row["segment"]: row["reached"] for row in snapshot.rows(asked, (journal or "",))}


def put_interned(put: Callable[[LedgerTable, Sequence[Row]], None], interner: Interner) -> None:
    """Write what entries refer to, before them."""
    for table, new in (
        (CONTEXTS, interner.new_contexts),
        (PEOPLE, interner.new_subjects),
        (LAYOUTS, interner.new_layouts),
    ):
        if new:
            put(table, list(new))
            new.clear()
