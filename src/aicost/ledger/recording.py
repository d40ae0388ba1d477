"""The ledger as a process writes to it: each record into its journal at once, and from there into the store.

`record` is one write to a file of this process's own, and returns when it is there: what the application has seen the
answer of survives the death of the process, and no call waits for a database or another process. A thread takes the
journal in soon after; so does whoever reads the ledger.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, Protocol

from aicost import _forks, _owner_only
from aicost._later import Worker, in_collector, later
from aicost._ledger_url import LedgerUrl
from aicost._owner_rules import OwnerRule, OwnerTable
from aicost.journal import Journal, JournalFullError
from aicost.pricing.charge import Charge, Layout
from aicost.pricing.sighting import Sighting
from aicost.scopes.ids import new_id
from aicost.usage.event import UsageEvent

from .connection import as_ledger_error, connect
from .engines import engine_of
from .engines.sqlite_tables import version_of
from .ingest import Ingester
from .records import charges_record, record
from .shipping import Shipper
from .told import Told
from .where import Where, journal_of, where_is

_log = logging.getLogger("aicost.ledger")

FLUSH_S = 1.0
"""How long `flush` waits for other processes."""

OPEN_TIMEOUT_S = 5.0
"""How long opening and closing wait for other processes: many may start at once."""

SOON_S = 0.2
"""How long a record waits in the journal before the thread takes it in, with all that came meanwhile."""

_TURN_S = 0.05
"""How long whoever takes in waits for others at a time."""

_PAUSE_S = 0.005
"""How long it then leaves the ledger to a thread that forks."""

RETRY_AFTER_S = 2.0
"""How long the thread leaves a store that could not be written."""

_MAX_KNOWN = 2_000
"""Layouts whose rates are known to be in the ledger; told again, they are nothing new."""

Entries = Sequence[tuple[UsageEvent, Charge]]


class RateSource(Protocol):
    """Knows where a rate comes from; a rate card does."""

    def describe(self, rate_id: str) -> Mapping[str, str] | None: ...


class Ledger:
    """A ledger open for writing.

    Nothing here raises into the application once the ledger is open: what cannot be kept is counted in `lost`.
    """

    def __init__(
        self,
        where: Where,
        rates: RateSource | None,
        durability: Literal["process", "power"],
        max_bytes: int,
        segment_bytes: int,
        owners: Sequence[OwnerRule],
    ) -> None:
        self.where = where
        self.lost = 0
        """Charges given up for good."""
        self._rates = rates
        self._owners = OwnerTable(owners) if owners else None
        self._lock = _forks.lock()
        """Whoever has it takes in."""
        self._ingester = Ingester(where, synchronous="FULL" if durability == "power" else "NORMAL")
        self._journal = Journal(
            journal_of(where), max_bytes=max_bytes, segment_bytes=segment_bytes, durability=durability
        )
        self._worker = Worker("aicost-ledger")
        self._is_due = False
        self._warned: set[str] = set()
        self._known_rates: dict[int, Layout] = {}
        self._closed = False
        self._shipper = Shipper(self._ingest, self._ingester.close) if isinstance(where, LedgerUrl) else None
        """Takes in, where the ledger is on a server."""
        _open_ledgers.add(self)
        if self._shipper is not None:
            # What a process before this one has left is shipped, too; and a wrong password is noticed now.
            self._shipper.soon()

    @classmethod
    def open(
        cls,
        path: str | Path | LedgerUrl,
        *,
        rates: RateSource | None = None,
        durability: Literal["process", "power"] = "process",
        max_bytes: int = 1 << 30,
        segment_bytes: int = 8 << 20,
        owners: Sequence[OwnerRule] = (),
    ) -> Ledger:
        """Open or create a ledger, which its owner alone can read. `rates` tells the source of every rate it sees.

        `max_bytes` bounds what may wait in its journal; `owners` say whose is what does not say so itself. Raises
        `LedgerError` when the path cannot be written, or holds something else or a newer ledger. Of a server, by its
        URL, nothing is asked here: `ConfigError` is for one that nobody knows, or whose client is not installed.
        """
        where = where_is(path)
        with as_ledger_error(f"cannot open ledger {where}", "choose a writable path or another file"):
            if isinstance(where, LedgerUrl):
                engine_of(where.secret)
            else:
                _owner_only.make_folder(where.parent)
                _prepare(where)
            return cls(where, rates, durability, max_bytes, segment_bytes, owners)

    def record(
        self,
        entries: Entries,
        *,
        sightings: Sequence[Sighting] = (),
        replaces: Sequence[str] = (),
        told: Told | None = None,
    ) -> bool:
        """Keep the charges of one call: all of them or none, durable on return, each event once.

        Returns False where there was no room for them; told again later, there may be.

        The same event again changes nothing. A view that knows more corrects an earlier one; one that contradicts it is
        a sighting, and not counted. So are `sightings`, views of what is counted elsewhere, and the events in
        `replaces`, which the last entry tells of from nearer to the wire. `told` is what spans tell of runs, steps and
        outcomes: in any order, and as often as they like.
        """
        try:
            data = charges_record(entries, sightings, replaces, told, self._new_rates(entries), self._owners)
        except Exception as error:  # noqa: BLE001 - it will never fit, however often it is tried
            self.lost += len(entries)
            self._say_once("a charge could not be written down, and is lost", error)
            return True
        return self._append(data, len(entries))

    def start_run(
        self,
        run_id: str,
        *,
        workflow: str,
        version: str | None = None,
        root_run_id: str | None = None,
        parent_run_id: str | None = None,
        parent_step_id: str | None = None,
        attribution: Mapping[str, str] | None = None,
        started_ns: int,
    ) -> None:
        """Note that a run began, and in which run and step. A run begun before goes on, under the name it has."""
        ids = (run_id, root_run_id or run_id, parent_run_id, parent_step_id)
        self._note("began", "runs", (*ids, workflow, version, started_ns, json.dumps(dict(attribution or {}))))

    def end_run(self, run_id: str, *, status: Literal["ok", "failed"], ended_ns: int) -> None:
        """Note how a run ended. What was spent in a failed one, and in runs and steps inside it, is waste."""
        self._note("ended", "runs", run_id, status, ended_ns)

    def start_step(
        self, step_id: str, *, run_id: str, parent_step_id: str | None = None, name: str, kind: str, started_ns: int
    ) -> None:
        """Note that a step began. Outside any run `run_id` is the trace."""
        self._note("began", "steps", (step_id, run_id, parent_step_id, name, kind, started_ns))

    def end_step(self, step_id: str, *, status: Literal["ok", "failed"], ended_ns: int) -> None:
        """Note how a step ended. What was spent in a failed one, and in steps and runs inside it, is waste."""
        self._note("ended", "steps", step_id, status, ended_ns)

    def record_outcome(
        self,
        name: str,
        *,
        count: int,
        run_id: str | None,
        attribution: Mapping[str, str],
        at_ns: int,
        outcome_id: str | None = None,
        value: str | None = None,
        unit: str | None = None,
    ) -> None:
        """Keep units of value delivered, of one id once. `value` is what all are worth, a decimal string in `unit`."""
        said = (outcome_id or new_id(), name, count, run_id, at_ns, dict(attribution), value, unit)
        self._note("outcome", *said)

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Take in what waits in the journal. Returns whether nothing is left."""
        return self._ingest_within(timeout_s) if self._shipper is None else self._shipper.within(timeout_s)

    def close(self) -> None:
        """Take in what waits, and let go of the files. Closing twice does nothing; what is recorded later is lost."""
        if self._closed:
            return
        self._closed = True
        _open_ledgers.discard(self)
        self._journal.close()
        shipper = self._shipper
        if not (self._ingest_within if shipper is None else shipper.close)(OPEN_TIMEOUT_S):
            folder = self._journal.folder
            _log.warning("ledger %s: charges wait in %s; `aicost ledger ingest` takes them in", self.where, folder)
        if shipper is None:
            with self._lock:
                self._ingester.close()

    def _note(self, kind: str, *values: object) -> None:
        try:
            data = record(kind, values)
        except Exception as error:  # noqa: BLE001 - it will never fit, however often it is tried
            self._say_once(f"what {kind} could not be written down", error)
            return
        self._append(data, 0)

    def _append(self, data: bytes, charges: int) -> bool:
        if self._closed:
            self.lost += charges
            self._say_once("ledger %s cannot be written (it is closed). Record before `close`.")
            return False
        try:
            self._journal.append(data)
        except JournalFullError as error:
            self.lost += charges
            self._known_rates.clear()
            way_out = "What does not fit is counted as lost: free space, or raise journal_max_bytes."
            self._say_once(f"ledger %s cannot be written ({error}). {way_out}")
            return False
        if self._shipper is not None:
            self._shipper.soon()
        elif not self._is_due:
            self._is_due = True
            self._worker.take(self._take_in_soon)
        return True

    def _take_in_soon(self) -> None:
        """Take the journal in, in the thread."""
        time.sleep(SOON_S)
        while True:
            self._is_due = False
            with self._lock:
                if self._closed or self._ingest(0.0):
                    return
            self._is_due = True
            time.sleep(RETRY_AFTER_S)

    def _ingest_within(self, wait_s: float) -> bool:
        until = time.monotonic() + wait_s
        while True:
            with self._lock:
                is_done = self._ingest(min(_TURN_S, wait_s))
            if is_done is not False or time.monotonic() >= until:
                return is_done is True
            # Not in the lock: so that a fork need not wait for another process as long as this does.
            time.sleep(_PAUSE_S)

    def _ingest(self, wait_s: float) -> bool | None:
        """Whether all was taken in; False where another is at it, or has the store, and None where it cannot be."""
        try:
            is_done = self._ingester.ingest(wait_s=wait_s)
        except Exception as error:  # noqa: BLE001 - a damaged file may make anything of it
            said, way_out = str(error), "Charges wait in its journal; free space or make it writable."
            if isinstance(self.where, LedgerUrl):
                said = self.where.hidden_in(" ".join(said.split()))
                way_out = "Charges wait in the journal on this machine until it can be."
            elif "locked" in said:
                return False
            self._say_once(f"ledger %s cannot be written ({said}). {way_out}")
            return None
        if is_done and self._warned:
            self._warned.clear()
            _log.warning("ledger %s is writable again", self.where)
        return is_done

    def _new_rates(self, entries: Entries) -> list[tuple[str, str, str]]:
        """Rates applied for the first time, as (card, rate id, what is known of it)."""
        rates = self._rates
        found: list[tuple[str, str, str]] = []
        for _, charge in entries:
            layout, card = charge.layout, charge.rate_card
            if rates is None or card is None or self._known_rates.get(id(layout)) is layout:
                continue
            if len(self._known_rates) >= _MAX_KNOWN:
                self._known_rates.clear()
            self._known_rates[id(layout)] = layout
            for rate_id in filter(None, layout.rate_ids):
                try:
                    about = rates.describe(rate_id)
                except Exception as error:  # noqa: BLE001 - the charge is worth more than the source of its rate
                    self._say_once(f"where rate {rate_id} comes from could not be read", error)
                    continue
                if about is not None:
                    found.append((card, rate_id, json.dumps(dict(about))))
        return found

    def _say_once(self, text: str, error: Exception | None = None) -> None:
        if text in self._warned:
            return
        self._warned.add(text)
        if error is not None:
            text = f"ledger %s: {text}"

        def log() -> None:
            _log.warning(text, self.where, exc_info=error)

        if in_collector():  # logging has locks that its thread may hold
            later(log)
        else:
            log()

    def _begin_anew_in_child(self) -> None:
        self._worker = Worker("aicost-ledger")
        self._is_due = False
        if self._shipper is not None:
            # Not closed: the connection is the parent's, whose thread may be half-way through something with it.
            _left_to_the_parent.append(self._ingester)
            self._ingester = Ingester(self.where)
            self._shipper = Shipper(self._ingest, self._ingester.close)


def _prepare(path: Path) -> None:
    """See that there is a ledger, or one can be made. An older one is migrated by who first takes its journal in."""
    if path.exists() and path.stat().st_size:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=OPEN_TIMEOUT_S)) as db:
            version_of(db, path)
    else:
        connect(path, synchronous="NORMAL", timeout_s=OPEN_TIMEOUT_S).close()


_left_to_the_parent: list[Ingester] = []
_open_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()
_forking = threading.local()


def _before_fork() -> None:
    # With its lock held no ledger is half-way through a transaction, so the child inherits nothing half-done; nor is
    # SQLite in the midst of anything, whose own locks a child would wait for for ever. Who takes in lets go at once.
    _forks.await_others(True)
    _forking.held = [ledger for ledger in list(_open_ledgers) if ledger._lock.acquire(timeout=OPEN_TIMEOUT_S)]


def _after_fork_in_parent() -> None:
    _forks.await_others(False)
    for ledger in _forking.held:
        ledger._lock.release()


def _after_fork_in_child() -> None:
    _after_fork_in_parent()  # what the thread that forked holds, it holds here, too
    for ledger in list(_open_ledgers):
        ledger._begin_anew_in_child()


_forks.around(_before_fork, _after_fork_in_parent)
_forks.in_child(_after_fork_in_child)
