"""The ledger's store in SQLite: batches of records in, each in one transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .columns import CONTEXT, SUBJECT, limbs, pack
from .deciding import Alias, Decider, Decisions, KnownEvent, view_digest
from .records import Began, ChargeRecord, Charges, Ended, JournalRecord, charge_of
from .rows import NO_LAYOUT, Interner, Row, entry_row, record_of, reversal_row
from .schema import ENTRY
from .told import ToldOutcome, put_began, put_ended, put_outcome, put_told

_AT_A_TIME = 500
"""How many ids one question asks for: SQLite of before 3.32 takes 999 parameters."""

T = TypeVar("T")


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


PUT_ENTRY = _insert("entries", ENTRY)
_PUT_CONTEXT = _insert("contexts", ("id", *CONTEXT))
_PUT_SUBJECT = _insert("subjects", ("id", *SUBJECT))
_PUT_LAYOUT = "INSERT OR IGNORE INTO layouts (id, meters) VALUES (?, ?)"
_PUT_VIEW = "INSERT OR IGNORE INTO views (event, digest, record) VALUES (?, ?, ?)"
_PUT_ALIAS = "INSERT OR IGNORE INTO aliases (alias, event, evidence, started_ns) VALUES (?, ?, ?, ?)"
_PUT_NAME = "INSERT OR IGNORE INTO names (name, id) VALUES (?, ?)"
_PUT_RATE = "INSERT OR IGNORE INTO rates (rate_card, rate_id, about) VALUES (?, ?, ?)"
_PUT_SIGHTING = f"INSERT OR REPLACE INTO sightings VALUES ({', '.join('?' * 15)})"
_PUT_PLACE = "INSERT INTO places VALUES (?, ?) ON CONFLICT (segment) DO UPDATE SET offset = excluded.offset"

READ_ENTRY = (
    "SELECT e.*, c.*, s.*, e.id AS entry_id, l.meters, w.name FROM entries e LEFT JOIN contexts c ON c.id = e.context "
    "LEFT JOIN subjects s ON s.id = e.subject LEFT JOIN layouts l ON l.id = e.layout "
    "LEFT JOIN names w ON w.id = COALESCE(e.event, e.id) "
)
"""An entry with all that it says; a condition on `e` follows."""


class SqliteStore:
    """Writes to a connection. A transaction is the caller's; `Known` is what it already holds."""

    def __init__(self, db: sqlite3.Connection, *, source: str = "aicost") -> None:
        self.db = db
        self._interner = Interner(source)
        self._writers: dict[str, int] = {}

    def take_in(self, records: Sequence[tuple[str, int, JournalRecord]]) -> None:
        """Add what records tell, each with its writer and number there, in one transaction of the caller's."""
        renamed: dict[bytes | str | None, None] = {}
        for _, _, record in records:
            if isinstance(record, Began):
                put_began(self.db, record.table, list(record.values))
                if record.table == "runs":
                    renamed[pack(record.values[0])] = None
            elif isinstance(record, Ended):
                put_ended(self.db, record.table, record.id, record.status, record.ended_ns)
            elif isinstance(record, ToldOutcome):
                put_outcome(self.db, record)
            elif record.told is not None:
                put_told(self.db, record.told)
                renamed.update((pack(run.run_id), None) for run in record.told.runs)
        charges = [record for _, _, record in records if isinstance(record, Charges)]
        if not charges and not renamed:
            return
        decider = Decider(self, charges)
        for writer, number, record in records:
            if isinstance(record, Charges):
                decider.take(record, writer, number)
                if record.rates:
                    self.db.executemany(_PUT_RATE, record.rates)
        for event in self._called_otherwise(renamed):
            decider.decide_again(event)
        self._add(decider.made)

    def put_places(self, places: Mapping[str, int]) -> None:
        """Note how far each segment was taken in."""
        self.db.executemany(_PUT_PLACE, places.items())

    def places(self) -> dict[str, int]:
        """How far each segment was taken in."""
        return dict(self.db.execute("SELECT segment, offset FROM places").fetchall())

    def forget_places(self, segments: Iterable[str]) -> None:
        """Segments that are no more need no place."""
        self.db.executemany("DELETE FROM places WHERE segment = ?", [(segment,) for segment in segments])

    def rolled_back(self) -> None:
        """What was added is not there after all."""
        self._interner.forget()
        self._writers.clear()

    def events(self, ids: Iterable[bytes]) -> dict[bytes, KnownEvent]:
        """Those of these events that anything is known of."""
        found: dict[bytes, KnownEvent] = {}
        for some in _parts(ids):
            marks = ", ".join("?" * len(some))
            for (identity,) in self.db.execute(f"SELECT id FROM entries WHERE id IN ({marks})", some):
                found[identity] = self._event(identity)
            elsewhere = f"SELECT DISTINCT event FROM sightings WHERE event IN ({marks}) AND kind <> 'contradiction'"
            for (identity,) in self.db.execute(elsewhere, some):
                event = found.get(identity)
                if event is None:
                    event = found[identity] = self._event(identity)
                event.is_elsewhere = True
        return found

    def _event(self, identity: bytes) -> KnownEvent:
        event = KnownEvent(identity)
        rows = self._entries("e.id = ?1 OR e.event = ?1", (identity,))
        made = {row["entry_id"]: row for row in rows if row["n"] > 0}
        if made:
            event.views.append(_record(made[identity]))
            corrected = {row["corrects"] for row in made.values()}
            event.entry = next(one for one in made if one not in corrected)
            if not any(row["n"] < 0 and row["corrects"] == event.entry for row in rows):
                event.entered = _record(made[event.entry])
        for (text,) in self.db.execute("SELECT record FROM views WHERE event = ? ORDER BY digest", (identity,)):
            event.views.append(charge_of(json.loads(text)))
        return event

    def _entries(self, condition: str, values: Row) -> list[sqlite3.Row]:
        cursor = self.db.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(f"{READ_ENTRY} WHERE {condition}", values).fetchall()

    def aliases(self, aliases: Iterable[str]) -> Iterator[Alias]:
        """Who is known by these."""
        for some in _parts(aliases):
            marks = ", ".join("?" * len(some))
            asked = f"SELECT alias, event, evidence, started_ns FROM aliases WHERE alias IN ({marks})"
            yield from (Alias(*row) for row in self.db.execute(asked, some))

    def run_names(self, run_ids: Iterable[str]) -> dict[str, str]:
        """The workflows of those of these runs that are known."""
        found: dict[str, str] = {}
        for some in _parts(run_ids):
            packed = {pack(run_id): run_id for run_id in some}
            asked = f"SELECT run_id, workflow FROM runs WHERE run_id IN ({', '.join('?' * len(packed))})"
            found.update((packed[run], workflow) for run, workflow in self.db.execute(asked, tuple(packed)) if workflow)
        return found

    def _called_otherwise(self, runs: Iterable[bytes | str | None]) -> list[bytes]:
        """Events of these runs whose entry calls the run by another name than it has by now."""
        asked = (
            "SELECT DISTINCT COALESCE(e.event, e.id) FROM runs r JOIN entries e ON e.run_id = r.run_id "
            "JOIN contexts c ON c.id = e.context WHERE r.run_id = ? AND c.workflow <> r.workflow"
        )
        return [event for run in runs for (event,) in self.db.execute(asked, (run,)).fetchall()]

    def _add(self, made: Decisions) -> None:
        """Write decisions."""
        db, interner = self.db, self._interner
        rows: list[Row] = []
        of: dict[bytes | None, Row] = {}
        for identity, corrects, event, record, by in made.entries:
            if record is not None:
                row = entry_row(record, interner, identity, corrects=corrects, event=event)
            else:
                row = reversal_row(of.get(corrects) or self._row(corrects), identity, event)
            of[identity] = row
            rows.append((*row, self._writer(by[0]), by[1]))
        seen = []
        for one in made.seen:
            record = one.record
            about = (interner.context(record), interner.subject(record.attribution), record.started_ns)
            key = (one.event, view_digest(record), one.kind, one.reason, one.counted_by, one.observer, time.time_ns())
            seen.append((*key, *about, pack(record.run_id), pack(record.span_id), *limbs(record.atto)))
        add_interned(db, interner)
        db.executemany(PUT_ENTRY, rows)
        if seen:
            db.executemany(_PUT_SIGHTING, seen)
        if made.views:
            db.executemany(_PUT_VIEW, [(*key, json.dumps(record, default=str)) for *key, record in made.views])
        if made.aliases:
            db.executemany(_PUT_ALIAS, made.aliases)
        if made.names:
            db.executemany(_PUT_NAME, made.names.items())

    def _row(self, identity: bytes | None) -> Row:
        select = f"SELECT {', '.join(ENTRY[:-2])} FROM entries WHERE id = ?"
        row: Row = self.db.execute(select, (identity,)).fetchone()
        return row

    def _writer(self, writer: str) -> int:
        known = self._writers.get(writer)
        if known is None:
            self.db.execute("INSERT OR IGNORE INTO writers (writer) VALUES (?)", (writer,))
            known = self.db.execute("SELECT number FROM writers WHERE writer = ?", (writer,)).fetchone()[0]
            self._writers[writer] = known
        return known


def add_interned(db: sqlite3.Connection, interner: Interner) -> None:
    """Write what entries refer to, before them."""
    for put, new in (
        (_PUT_CONTEXT, interner.new_contexts),
        (_PUT_SUBJECT, interner.new_subjects),
        (_PUT_LAYOUT, interner.new_layouts),
    ):
        if new:
            db.executemany(put, new)
            new.clear()


def _record(row: sqlite3.Row) -> ChargeRecord:
    event = row["event"] if row["event"] is not None else row["entry_id"]
    said: dict[str, Any] = dict(zip(row.keys(), row, strict=True))
    return record_of(said, row["name"] or event.hex(), row["meters"] or NO_LAYOUT)


def _parts(values: Iterable[T]) -> Iterator[tuple[T, ...]]:
    whole = list(values)
    for start in range(0, len(whole), _AT_A_TIME):
        yield tuple(whole[start : start + _AT_A_TIME])
