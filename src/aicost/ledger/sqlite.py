"""The ledger: every charge, kept in one SQLite file, counted once and not lost.

`record` is one transaction in WAL mode and returns when it is in the file, so a charge the application has seen the
answer of survives the death of the process. Several threads and processes may write the same file.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from aicost._errors import LedgerError
from aicost.pricing.charge import Charge
from aicost.usage.event import UsageEvent

from .rows import charge_row, line_rows, payload_hash, supersedes
from .schema import CHARGE_COLUMNS, TABLES, VERSION

_log = logging.getLogger("aicost.ledger")

MAX_PENDING = 10_000
"""Writes kept in memory while the file cannot be written; beyond that the oldest are lost, and counted."""

BUSY_TIMEOUT_S = 1.0
"""How long one write waits for other processes."""

RETRY_AFTER_S = 5.0
"""After a failed write, how long calls only queue their charges before the file is tried again."""

_INSERT_CHARGE = (
    f"INSERT INTO charges ({', '.join(CHARGE_COLUMNS)}) VALUES ({', '.join('?' * len(CHARGE_COLUMNS))}) "
    "ON CONFLICT (event_id) DO NOTHING"
)
_REPLACE_CHARGE = (
    f"UPDATE charges SET {', '.join(f'{c} = ?' for c in CHARGE_COLUMNS[1:])}, revision = revision + 1 "
    "WHERE event_id = ?"
)
_INSERT_LINE = (
    "INSERT INTO charge_lines (event_id, position, meter, quantity, unit_price, per, rate_id, nano, atto_rest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_UNKEEPABLE = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    OverflowError,
)

Entries = Sequence[tuple[UsageEvent, Charge]]
_Write = Callable[[sqlite3.Connection], object]


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
        """Writes given up for good."""
        self._rates = rates
        self._synchronous = "FULL" if durability == "power" else "NORMAL"
        self._lock = threading.RLock()
        self._pending: deque[_Write] = deque()
        self._retry_at = 0.0
        self._failing: str | None = None
        self._known_rates: set[tuple[str, str]] = set()
        self._pid = os.getpid()
        self._closed = False
        self._db = self._connect()

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        rates: RateSource | None = None,
        durability: Literal["process", "power"] = "process",
    ) -> Ledger:
        """Open or create a ledger. `rates` lets it keep the source of every rate it sees applied.

        Raises `LedgerError` when the path cannot be written, or holds something else or a newer ledger.
        """
        file = Path(path).expanduser()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
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
        return len(self._pending)

    def record(self, entries: Entries) -> None:
        """Keep the charges of one call: one transaction, durable on return, each event once.

        The same event again changes nothing. A view that completes an earlier one replaces it; one that contradicts
        it goes to quarantine and is not counted.
        """
        self._write(lambda db: self._put(db, entries))

    def start_run(
        self,
        run_id: str,
        *,
        workflow: str,
        version: str | None = None,
        root_run_id: str | None = None,
        parent_run_id: str | None = None,
        attribution: Mapping[str, str] | None = None,
        started_ns: int,
    ) -> None:
        """Note that a run began. A run begun before goes on."""
        row = (run_id, root_run_id or run_id, parent_run_id, workflow, version, started_ns, _json(attribution))
        self._write(
            lambda db: db.execute(
                "INSERT INTO runs "
                "(run_id, root_run_id, parent_run_id, workflow, version, status, started_ns, attribution) "
                "VALUES (?, ?, ?, ?, ?, 'running', ?, ?) ON CONFLICT (run_id) DO UPDATE SET status = 'running'",
                row,
            )
        )

    def end_run(self, run_id: str, *, status: Literal["ok", "failed"], ended_ns: int) -> None:
        """Note how a run ended."""
        self._write(
            lambda db: db.execute(
                "UPDATE runs SET status = ?, ended_ns = ? WHERE run_id = ?", (status, ended_ns, run_id)
            )
        )

    def start_step(
        self, step_id: str, *, run_id: str, parent_step_id: str | None = None, name: str, kind: str, started_ns: int
    ) -> None:
        """Note that a step began."""
        row = (step_id, run_id, parent_step_id, name, kind, started_ns)
        self._write(
            lambda db: db.execute(
                "INSERT OR IGNORE INTO steps (step_id, run_id, parent_step_id, name, kind, status, started_ns) "
                "VALUES (?, ?, ?, ?, ?, 'running', ?)",
                row,
            )
        )

    def end_step(self, step_id: str, *, status: Literal["ok", "failed"], ended_ns: int) -> None:
        """Note how a step ended. What a failed step spent counts as waste."""
        self._write(
            lambda db: db.execute(
                "UPDATE steps SET status = ?, ended_ns = ? WHERE step_id = ?", (status, ended_ns, step_id)
            )
        )

    def record_outcome(
        self, name: str, *, count: int, run_id: str | None, attribution: Mapping[str, str], at_ns: int
    ) -> None:
        """Keep units of value delivered."""
        row = (name, count, run_id, at_ns, _json(attribution))
        self._write(
            lambda db: db.execute(
                "INSERT INTO outcomes (name, count, run_id, at_ns, attribution) VALUES (?, ?, ?, ?, ?)", row
            )
        )

    def flush(self) -> bool:
        """Try to write what is waiting. Returns whether nothing is left."""
        with self._lock:
            self._retry_at = 0.0
            self._write(None)
            return not self._pending

    def close(self) -> None:
        """Write what is waiting and close the file. Closing twice does nothing."""
        with self._lock:
            if self._closed:
                return
            self.flush()
            if self._pending:
                _log.error("ledger %s: %d writes could not be kept", self.path, len(self._pending))
                self.lost += len(self._pending)
            self._closed = True
            self._db.close()

    def _write(self, write: _Write | None) -> None:
        with self._lock:
            if write is not None:
                self._pending.append(write)
            if self._closed or time.monotonic() < self._retry_at:
                self._bound()
                return
            try:
                if self._pid != os.getpid():
                    self._after_fork(write)
                # While writes fail the pending ones are written oldest first, so a queue drains in order.
                while self._pending:
                    self._transact(self._pending[0])
                    self._pending.popleft()
            except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
                self._failed(error)
            else:
                if self._failing is not None:
                    _log.warning("ledger %s is writable again", self.path)
                    self._failing = None

    def _transact(self, write: _Write) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            write(db)
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if not isinstance(error, _UNKEEPABLE):
                raise
            # It will never fit, however often it is tried, and must not hold up what comes after it.
            self.lost += 1
            _log.exception("ledger %s: a write was given up", self.path)

    def _put(self, db: sqlite3.Connection, entries: Entries) -> None:
        for event, charge in entries:
            row = charge_row(event, charge)
            if db.execute(_INSERT_CHARGE, row).rowcount:
                db.executemany(_INSERT_LINE, line_rows(event.event_id, charge))
            else:
                self._put_again(db, event, charge, row)
            self._keep_rates(db, charge)

    def _put_again(self, db: sqlite3.Connection, event: UsageEvent, charge: Charge, row: tuple[Any, ...]) -> None:
        digest = payload_hash(event)
        old_digest, complete, lines = db.execute(
            "SELECT payload_hash, complete, (SELECT json_group_object(meter, quantity) FROM charge_lines l "
            "WHERE l.event_id = c.event_id) FROM charges c WHERE event_id = ?",
            (event.event_id,),
        ).fetchone()
        if old_digest == digest:
            return
        old_usage = {meter: _number(quantity) for meter, quantity in json.loads(lines).items()}
        if supersedes(event, bool(complete), old_usage or None):
            db.execute(_REPLACE_CHARGE, (*row[1:], event.event_id))
            db.execute("DELETE FROM charge_lines WHERE event_id = ?", (event.event_id,))
            db.executemany(_INSERT_LINE, line_rows(event.event_id, charge))
        elif event.usage is not None:
            # A lesser view that holds nothing the kept one lacks is no contradiction.
            if all(event.usage[meter] <= old_usage.get(meter, 0) for meter in event.usage) and not event.complete:
                return
            db.execute(
                "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?)",
                (event.event_id, digest, time.time_ns(), json.dumps(dict(zip(CHARGE_COLUMNS, row, strict=True)))),
            )
            _log.warning("ledger: %s was seen twice with different usage; the first view counts", event.event_id)

    def _keep_rates(self, db: sqlite3.Connection, charge: Charge) -> None:
        if self._rates is None or charge.rate_card is None:
            return
        for line in charge.lines:
            key = (charge.rate_card, line.rate_id or "")
            if line.rate_id is None or key in self._known_rates:
                continue
            about = self._rates.describe(line.rate_id)
            if about is not None:
                db.execute("INSERT OR IGNORE INTO rates VALUES (?, ?, ?)", (*key, json.dumps(about)))
            self._known_rates.add(key)

    def _failed(self, error: sqlite3.Error) -> None:
        self._retry_at = time.monotonic() + RETRY_AFTER_S
        kind = str(error)
        if kind != self._failing:
            self._failing = kind
            # Rates noted in a transaction that was rolled back are not in the file.
            self._known_rates.clear()
            _log.warning(
                "ledger %s cannot be written (%s); charges wait in memory and are tried again. "
                "Free space or make it writable.",
                self.path,
                kind,
            )
        self._bound()

    def _bound(self) -> None:
        while len(self._pending) > MAX_PENDING:
            self._pending.popleft()
            self.lost += 1

    def _after_fork(self, write: _Write | None) -> None:
        # SQLite connections must not cross a fork, and what the parent has pending the parent will write.
        self._pending.clear()
        if write is not None:
            self._pending.append(write)
        self._pid = os.getpid()
        self._abandoned = self._db  # closing it here would drop the parent's locks on the file
        self._db = self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {self._synchronous}")
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found > VERSION:
                raise LedgerError(
                    f"ledger {self.path} was written by a newer aicost "
                    f"(schema {found}, this one knows {VERSION}); upgrade"
                )
            if found == 0:
                _refuse_foreign(db, self.path)
            db.executescript(TABLES)
            db.execute(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            db.close()
            raise
        return db


def _refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if tables and "charges" not in tables:
        raise LedgerError(
            f"{path} is a database but not an aicost ledger (it has table {tables[0]!r}); choose another path"
        )


def _json(mapping: Mapping[str, str] | None) -> str:
    return json.dumps(dict(mapping or {}))


def _number(text: str) -> Any:
    from decimal import Decimal

    return int(text) if text.lstrip("-").isdigit() else Decimal(text)
