"""The ledger: every charge, kept in one SQLite file, counted once and not lost.

`record` is one transaction in WAL mode and returns when it is in the file, so a charge the application has seen the
answer of survives the death of the process. Several threads and processes may write the same file. Only when another
of them holds it for longer than a call may wait, `WAIT_S`, is the write left to a thread, which keeps the order.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from aicost import _forks, _owner_only
from aicost._errors import LedgerError
from aicost._later import Worker, in_collector
from aicost.pricing.charge import Charge
from aicost.pricing.sighting import Sighting
from aicost.scopes.ids import new_id
from aicost.usage.event import UsageEvent

from .connection import connect
from .rows import Row
from .told import Told
from .writes import Write, put, put_charges, put_outcome, put_run

_log = logging.getLogger("aicost.ledger")

MAX_PENDING = 10_000
"""Writes kept in memory while the file cannot be written; beyond that the oldest are lost, and counted."""

MAX_PENDING_BYTES = 64 * 2**20
"""Bytes of them, as far as they are text."""

WAIT_S = 0.01
"""How long a call waits for whoever else writes: an event loop stands still meanwhile."""

BUSY_TIMEOUT_S = 1.0
"""How long `flush` waits for other processes."""

_TURN_S = 0.05
"""How long the writer's thread writes, or waits for other processes, at a time."""

_PAUSE_S = 0.005
"""How long it then leaves the file, and the ledger, to others."""

_MANY = 1000
"""Writes that may wait before calls wait for the thread."""

_LOOK_S = 0.0005
"""How long it is between two looks whether the file is free."""

_AT_ONCE = 64
"""Writes that a call takes along with its own; more of them are the thread's."""

OPEN_TIMEOUT_S = 5.0
"""How long opening waits for other processes: many may start at once."""

RETRY_AFTER_S = 5.0
"""After a failed write, how long calls only queue their charges before the file is tried again."""

Entries = Sequence[tuple[UsageEvent, Charge]]


class RateSource(Protocol):
    """Knows where a rate comes from; a rate card does."""

    def describe(self, rate_id: str) -> Mapping[str, str] | None: ...


class Ledger:
    """A ledger file open for writing.

    Nothing here raises into the application once the ledger is open: what cannot be written waits in memory, is
    tried again, and is counted in `lost` if it had to be given up.
    """

    def __init__(self, path: Path, rates: RateSource | None, durability: Literal["process", "power"]) -> None:
        self.path = path
        self.lost = 0
        """Charges given up for good."""
        self._rates = rates
        self._synchronous = "FULL" if durability == "power" else "NORMAL"
        self._lock = _forks.lock()
        self._pending: deque[Write] = deque()
        self._pending_bytes = 0
        self._sizes = _forks.lock()
        self._writer = Worker("aicost-ledger")
        self._late = False
        """Whether writes are left to the thread: until it has caught up, calls only queue theirs."""
        self._retry_at = 0.0
        self._warned: set[str] = set()
        self._known_rates: set[tuple[str, str]] = set()
        self._draining = False
        self._in_hand = False
        self._is_held = False
        """Whether another process had the file when it was tried last."""
        self._closed = False
        self._identity = (0, 0)
        self._db: sqlite3.Connection | None = None
        self._connect(OPEN_TIMEOUT_S)
        _open_ledgers.add(self)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        rates: RateSource | None = None,
        durability: Literal["process", "power"] = "process",
    ) -> Ledger:
        """Open or create a ledger, which its owner alone can read. `rates` tells the source of every rate it sees.

        Raises `LedgerError` when the path cannot be written, or holds something else or a newer ledger.
        """
        file = Path(path).expanduser()
        try:
            _owner_only.make_folder(file.parent)
            return cls(file, rates, durability)
        except OSError as error:
            raise LedgerError(
                f"cannot open ledger {file}: {error.strerror or error}; choose a writable path"
            ) from error
        except sqlite3.Error as error:
            raise LedgerError(f"cannot open ledger {file}: {error}; choose a writable path or another file") from error

    @property
    def pending(self) -> int:
        """Writes waiting in memory because the file cannot be written just now."""
        return len(self._pending) + self._in_hand

    def record(
        self,
        entries: Entries,
        *,
        sightings: Sequence[Sighting] = (),
        replaces: Sequence[str] = (),
        told: Told | None = None,
    ) -> None:
        """Keep the charges of one call: one transaction, durable on return unless it is `pending`, each event once.

        The same event again changes nothing. A view that completes an earlier one replaces it; one that contradicts
        it is a sighting, and not counted. So are `sightings`, views of what is counted elsewhere, and the events in
        `replaces`, which were counted until the last entry told of them from nearer to the wire. `told` is what spans
        tell of runs, steps and outcomes: in any order, and as often as they like.
        """
        self._write(put_charges(entries, self._new_rates(entries), sightings, replaces, told))

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
        owner, root = json.dumps(dict(attribution or {})), root_run_id or run_id
        self._write(put_run((run_id, root, parent_run_id, parent_step_id, workflow, version, started_ns, owner)))

    def end_run(self, run_id: str, *, status: Literal["ok", "failed"], ended_ns: int) -> None:
        """Note how a run ended. What was spent in a failed one, and in runs and steps inside it, is waste."""
        self._write(put("UPDATE runs SET status = ?, ended_ns = ? WHERE run_id = ?", (status, ended_ns, run_id)))

    def start_step(
        self, step_id: str, *, run_id: str, parent_step_id: str | None = None, name: str, kind: str, started_ns: int
    ) -> None:
        """Note that a step began. Outside any run `run_id` is the trace."""
        self._write(
            put(
                "INSERT OR IGNORE INTO steps (step_id, run_id, parent_step_id, name, kind, status, started_ns) "
                "VALUES (?, ?, ?, ?, ?, 'running', ?)",
                (step_id, run_id, parent_step_id, name, kind, started_ns),
            )
        )

    def end_step(self, step_id: str, *, status: Literal["ok", "failed"], ended_ns: int) -> None:
        """Note how a step ended. What was spent in a failed one, and in steps and runs inside it, is waste."""
        self._write(put("UPDATE steps SET status = ?, ended_ns = ? WHERE step_id = ?", (status, ended_ns, step_id)))

    def record_outcome(
        self,
        name: str,
        *,
        count: int,
        run_id: str | None,
        attribution: Mapping[str, str],
        at_ns: int,
        outcome_id: str | None = None,
    ) -> None:
        """Keep units of value delivered; of one id, 32 hex digits, once."""
        self._write(put_outcome(outcome_id or new_id(), name, count, run_id, at_ns, attribution))

    def flush(self) -> bool:
        """Try to write what is waiting. Returns whether nothing is left."""
        return self._flush(BUSY_TIMEOUT_S)

    def _flush(self, wait_s: float) -> bool:
        until, left = time.monotonic() + wait_s, len(self._pending)
        while True:
            with self._lock:
                is_over = self._draining or self._closed or self._drain(_TURN_S)
                if is_over or time.monotonic() >= until:
                    if not is_over and self._is_held:
                        self._warn_once("another process holds it", "Charges wait in memory until it lets go.")
                    return not self.pending
                if len(self._pending) < left:
                    until, left = time.monotonic() + wait_s, len(self._pending)
            time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Write what is waiting and close the file. Closing twice does nothing."""
        with self._lock:
            if self._closed:
                return
            self._flush(OPEN_TIMEOUT_S)
            self._closed, self._late, self._retry_at = True, False, 0.0
            _open_ledgers.discard(self)
            if self._pending:
                _log.error("ledger %s: %d writes could not be kept", self.path, len(self._pending))
            while self._pending:
                self._give_up(self._taken())
            if self._db is not None:
                self._db.close()

    def _new_rates(self, entries: Entries) -> list[Row]:
        """Rates applied for the first time, as (card, rate id, what is known of it)."""
        rates = self._rates
        if rates is None:
            return []
        found: list[Row] = []
        for _, charge in entries:
            for line in charge.lines if charge.rate_card is not None else ():
                key = (charge.rate_card or "", line.rate_id or "")
                if line.rate_id is None or key in self._known_rates:
                    continue
                self._known_rates.add(key)
                try:
                    about = rates.describe(line.rate_id)
                except Exception:  # noqa: BLE001 - the charge is worth more than the source of its rate
                    _log.exception("ledger %s: where rate %s comes from could not be read", self.path, line.rate_id)
                    continue
                if about is not None:
                    found.append((*key, json.dumps(dict(about))))
        return found

    def _write(self, write: Write) -> None:
        self._queue(write)
        if self._late and not self._retry_at and len(self._pending) > _MANY and not in_collector():
            # Calls come faster than the thread can write: the more of them wait, the longer is its turn. Those that
            # wait for another process are not slowed down for what they cannot help.
            time.sleep(WAIT_S if self._is_held else WAIT_S * len(self._pending) / _MANY)
        if self._late or time.monotonic() < self._retry_at:
            return
        many = len(self._pending) > _AT_ONCE
        if many or _fork_waits or in_collector() or not self._lock.acquire(timeout=WAIT_S):
            self._leave_to_thread()
            return
        try:
            if self._closed:
                self._warn_once("it is closed", "Record before `close`.")
                while self._pending:
                    self._give_up(self._taken())
            # A signal handler or finalizer may record in the midst of a write: that write then takes it along.
            elif not self._draining and not self._drain(WAIT_S):
                self._leave_to_thread()
        finally:
            self._lock.release()

    def _queue(self, write: Write) -> None:
        if not (self._late or self._retry_at):  # it will not stay: what it takes up need not be known
            self._pending.append(write)
            return
        sized = replace(write, size=write.measure())
        with self._sizes:
            self._pending.append(sized)
            self._pending_bytes += sized.size
            while len(self._pending) > MAX_PENDING or self._pending_bytes > MAX_PENDING_BYTES:
                self._give_up(self._taken())

    def _taken(self) -> Write:
        """The oldest of what is waiting, which waits no more."""
        with self._sizes:
            write = self._pending.popleft()
            self._pending_bytes -= write.size
            return write

    def _leave_to_thread(self) -> None:
        self._late = True
        self._writer.take(self._catch_up)

    def _catch_up(self) -> None:
        """Write what calls have left, in the writer's thread."""
        try:
            self._go_on_writing()
        except BaseException:
            self._late = False  # then the next call tries
            raise

    def _go_on_writing(self) -> None:
        began = time.monotonic()
        while True:
            if _fork_waits:
                time.sleep(_LOOK_S)
                continue
            with self._lock:
                if self._closed or self._draining or self._drain(_TURN_S):
                    self._late = False
                    # What came in between found the thread still at it.
                    if not self._pending or self._closed or self._retry_at:
                        return
                    self._late = True
                elif self._is_held and time.monotonic() - began > BUSY_TIMEOUT_S:
                    self._warn_once("another process holds it", "Charges wait in memory until it lets go.")
            # Not in the lock: so that a fork, or `flush`, need not wait for other processes as long as this does.
            time.sleep(_PAUSE_S)

    def _drain(self, wait_s: float) -> bool:
        """Write what is waiting, for so long; False where another process has the file, or more is left."""
        self._draining = True
        try:
            db = self._connected()
            until = time.monotonic() + wait_s
            # Oldest first, so that a run is begun before it ends.
            while self._pending:
                self._in_hand = True
                write = self._taken()
                try:
                    self._transact(db, write, until)
                except BaseException:
                    self._pending.appendleft(replace(write, size=0))
                    raise
                finally:
                    self._in_hand = False
                self._is_held = False
                if self._pending and time.monotonic() >= until:
                    return False
        except (sqlite3.Error, LedgerError, OSError) as error:
            # Rates noted in a transaction that was rolled back are not in the file.
            self._known_rates.clear()
            if _is_busy(error):
                self._is_held = True
                return False
            self._retry_at = time.monotonic() + RETRY_AFTER_S
            self._warn_once(str(error), "Charges wait in memory and are tried again. Free space or make it writable.")
        else:
            self._retry_at, self._is_held = 0.0, False
            if self._warned:
                _log.warning("ledger %s is writable again", self.path)
                self._warned.clear()
        finally:
            self._draining = False
        return True

    def _transact(self, db: sqlite3.Connection, write: Write, until: float) -> None:
        if db.in_transaction:  # a rollback that failed with the disk
            db.execute("ROLLBACK")
        _begin(db, until)
        try:
            write.apply(db)
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if not isinstance(error, Exception) or _may_pass(error):
                raise
            # It will never fit, however often it is tried, and must not hold up what comes after it.
            _log.exception("ledger %s: a write was given up", self.path)
            self._give_up(write)

    def _give_up(self, write: Write) -> None:
        self.lost += write.charges
        self._known_rates.clear()

    def _warn_once(self, what: str, way_out: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            _log.warning("ledger %s cannot be written (%s). %s", self.path, what, way_out)

    def _connected(self) -> sqlite3.Connection:
        db = self._db
        if db is not None:
            if self._is_in_place():
                return db
            # SQLite would go on writing to the deleted file, and nobody would ever see it.
            _log.warning("ledger %s was removed or replaced; going on in the file that is there now", self.path)
            db.close()
            self._db = None
            self._known_rates.clear()
        return self._connect(WAIT_S)

    def _is_in_place(self) -> bool:
        try:
            now = os.stat(self.path)  # noqa: PTH116 - Path.stat takes twice as long, and this is on every write
        except FileNotFoundError:
            return False
        return (now.st_dev, now.st_ino) == self._identity

    def _connect(self, timeout_s: float) -> sqlite3.Connection:
        db = connect(self.path, synchronous=self._synchronous, timeout_s=timeout_s)
        db.execute("PRAGMA busy_timeout = 0")  # `_begin` waits
        now = self.path.stat()
        self._identity = (now.st_dev, now.st_ino)
        self._db = db
        return db

    def _begin_anew_in_child(self) -> None:
        # A SQLite connection must not be used, nor closed, across a fork; what is pending the parent writes.
        if self._db is not None:
            _left_to_the_parent.append(self._db)
        self._db = None
        self._writer = Worker("aicost-ledger")
        self._pending.clear()
        self._pending_bytes = 0
        self._retry_at = 0.0
        self._draining = self._in_hand = self._late = False


def _begin(db: sqlite3.Connection, until: float) -> None:
    """Begin to write, and wait for whoever else writes.

    SQLite itself waits ever longer between two looks, and then misses a file that others write all the time.
    """
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:  # noqa: PERF203 - trying again is the point
            if not _is_busy(error) or time.monotonic() >= until or _fork_waits:
                raise
            time.sleep(_LOOK_S)


def _is_busy(error: Exception) -> bool:
    """Whether another process, or another connection, has the file just now."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _may_pass(error: Exception) -> bool:
    """Whether the same write may succeed later: the file is at fault, not what is written."""
    return isinstance(error, sqlite3.OperationalError) or type(error) in (sqlite3.DatabaseError, sqlite3.InternalError)


_open_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()
_left_to_the_parent: list[sqlite3.Connection] = []
_forking = threading.local()
_fork_waits = False
"""Whether a thread is about to fork, and waits for the ledgers."""


def _before_fork() -> None:
    # With its lock held no ledger is half-way through a transaction, so the child inherits nothing half-done; nor is
    # SQLite in the midst of anything, whose own locks a child would wait for for ever. Whoever writes or waits for
    # another process lets go at once.
    global _fork_waits
    _fork_waits = True
    _forking.held = [ledger for ledger in list(_open_ledgers) if ledger._lock.acquire(timeout=OPEN_TIMEOUT_S)]


def _after_fork_in_parent() -> None:
    global _fork_waits
    _fork_waits = False
    for ledger in _forking.held:
        ledger._lock.release()


def _after_fork_in_child() -> None:
    _after_fork_in_parent()  # what the thread that forked holds, it holds here, too
    for ledger in list(_open_ledgers):
        ledger._begin_anew_in_child()


_forks.around(_before_fork, _after_fork_in_parent)
_forks.in_child(_after_fork_in_child)
