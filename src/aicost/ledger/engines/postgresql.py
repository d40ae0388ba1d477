"""A ledger in PostgreSQL, by psycopg 3 (read in 3.3.9). For which servers and rights: docs/ledger.md."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from itertools import count
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from aicost import _forks
from aicost._errors import LedgerError
from aicost._wellformed import wellformed
from aicost.ledger.engines.postgresql_tables import (
    CREATED,
    VERSION_TABLE,
    Month,
    missing_columns,
    months_of,
    view,
    waiting_room,
)
from aicost.ledger.rollups import added_up
from aicost.ledger.schema import ENTRIES, SCHEMA_VERSION, TABLES, LedgerTable
from aicost.ledger.sql_dialects import Condition, SqlDialect
from aicost.ledger.store import Row

_log = logging.getLogger("aicost.ledger")

OLDEST_SERVER = 13

SILENCE_S = 30.0
"""How long a server that is written to may say nothing: then it is as good as gone."""

_TURN_MS = 250
"""How long to wait for another writer at a time: a thread that forks waits for this one."""

_ROOM_WAIT_MS = 500
"""How long to wait for readers to make a partition; without it rows go to that of what has no time."""

_ROOM_AGAIN_S = 60.0
_FEW = 10
"""Rows that are sooner put one by one than by COPY."""

_AT_A_TIME = 2_000
"""Rows of a long answer that are in memory at once."""

_FAILED = """
WITH RECURSIVE failed_steps(step_id, run_id) AS (
    SELECT step_id, run_id FROM steps WHERE status = 'failed'
    UNION SELECT s.step_id, s.run_id FROM failed_steps f JOIN steps s
    ON s.run_id = f.run_id AND s.parent_step_id = f.step_id
),
failed_runs(run_id) AS (
    SELECT run_id FROM runs
    WHERE status = 'failed' OR parent_step_id IN (SELECT step_id FROM failed_steps)
    UNION SELECT r.run_id FROM failed_runs f JOIN runs r ON r.parent_run_id = f.run_id
)
"""

# By where the ledger's tables are, or will be: two ledgers in one database do not wait for each other.
_LOCK = """
SELECT pg_advisory_xact_lock(hashtextextended('aicost ledger ' || COALESCE(
    (SELECT relnamespace::text FROM pg_class WHERE relname = 'aicost_schema' AND pg_table_is_visible(oid)),
    (SELECT current_schema()::regnamespace::oid::text)
), 0)), set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'off' THEN 'on'
ELSE current_setting('synchronous_commit') END, true)
"""

# A server remembers which names it has looked for in vain, and waiting for a lock does not make it look again: then two
# that begin at once would both find nothing. What it reads as a table, it reads as it is.
_THERE = (
    "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = ANY(?)"
)

_Found = Mapping[str, Any]


class PostgresqlDialect(SqlDialect):
    """PostgreSQL: many ids are one value, an array."""

    at_a_time = 5_000

    def among(self, column: str, ids: Sequence[Any]) -> Condition:
        if isinstance(ids[0], bytes):  # spelled here in a fifth of the time
            spelled = '","'.join([f"\\\\x{one.hex()}" for one in ids])
            return f"{column} = ANY(CAST(? AS bytea[]))", [f'{{"{spelled}"}}']
        return f"{column} = ANY(?)", [list(ids)]


POSTGRESQL = PostgresqlDialect()


def open_snapshot(url: str, *, timeout_s: float) -> PostgresqlSnapshot:
    """For questions. Raises `LedgerError` for what cannot be reached or is no ledger."""
    return PostgresqlSnapshot(url, timeout_s=timeout_s)


def open_store(url: str, *, timeout_s: float) -> PostgresqlStore:
    """For writing; the tables are made if there are none. Raises `LedgerError` for what cannot be reached or made."""
    return PostgresqlStore(url, timeout_s=timeout_s)


class _SilentError(psycopg.OperationalError):
    """A server has not answered for long."""


class _Connection(psycopg.Connection[_Found]):
    silence_s: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(gen if self.silence_s is None else _answered(gen, self.silence_s), *args, **kwargs)


def _answered(gen: Generator[Any, Any, Any], silence_s: float) -> Generator[Any, Any, Any]:
    """What psycopg waits for. Every 0.1 s it is told that nothing has come (`waiting.py`), which is 0."""
    since = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            now = time.monotonic()
            if ready:
                since = now
            elif now - since > silence_s:
                raise _SilentError(f"the server has not answered for {silence_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


class _Base:
    """A connection to a database that has a ledger, or will have."""

    dialect: SqlDialect = POSTGRESQL
    has_sums = True

    def __init__(self, url: str, *, timeout_s: float, silence_s: float | None) -> None:
        self.name, settings = _read(url)
        self._password = settings.get("password")
        defaults = {"connect_timeout": max(2, round(timeout_s)), "application_name": "aicost", "keepalives_idle": 30}
        with self._as_ledger_error("cannot reach"):
            # Statements are not prepared: a pool between us and the server may give the next one to another.
            self._db = _Connection.connect(
                make_conninfo(**{**defaults, **settings, "client_encoding": "UTF8"}),
                autocommit=True,
                prepare_threshold=None,
                row_factory=dict_row,
            )
        self._db.silence_s = silence_s
        self._generation = _forks.generation
        try:
            with self._as_ledger_error("cannot open"):
                self._check_server()
                self._open(timeout_s)
        except BaseException:
            self._db.close()
            raise

    def _open(self, timeout_s: float) -> None:
        raise NotImplementedError

    def _say(self, statement: str, values: Sequence[Any] = ()) -> list[_Found]:
        cursor = self._db.execute(_spelled(statement), _sound(values))
        return cursor.fetchall() if cursor.description is not None else []

    def _check_server(self) -> None:
        version = self._db.info.server_version // 10_000
        if version < OLDEST_SERVER:
            raise LedgerError(f"{self.name} is PostgreSQL {version}; a ledger needs {OLDEST_SERVER} or newer")
        (said,) = self._say("SELECT current_setting('server_encoding') AS encoding")
        if said["encoding"] != "UTF8":
            raise LedgerError(
                f"{self.name} is in {said['encoding']}, which cannot hold every text; "
                "make a database for it: CREATE DATABASE costs ENCODING 'UTF8' TEMPLATE template0"
            )

    def _version(self) -> int | None:
        """The version of the ledger; None where there is none. Raises `LedgerError` for one of a newer aicost."""
        if not self._say(f"{_THERE} AND n.nspname = ANY(current_schemas(false))", ([VERSION_TABLE],)):
            return None
        version: int = max(row["version"] for row in self._say(f"SELECT version FROM {VERSION_TABLE}"))
        if version > SCHEMA_VERSION:
            raise LedgerError(
                f"ledger {self.name} was written by a newer aicost "
                f"(schema {version}, this one knows {SCHEMA_VERSION}); upgrade"
            )
        return version

    def _missing(self) -> list[str]:
        there: dict[str, list[str]] = {}
        for row in self._say(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "WHERE c.oid IN (to_regclass('contexts'), to_regclass('subjects')) AND a.attnum > 0 AND NOT a.attisdropped"
        ):
            there.setdefault(row["relname"], []).append(row["attname"])
        return missing_columns(there)

    @contextmanager
    def _as_ledger_error(self, what: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            said = " ".join(str(error).split()) or type(error).__name__
            if self._password:  # which no message has, as far as anybody knows
                said = said.replace(self._password, "***")
            raise LedgerError(f"{what} ledger {self.name}: {said}") from error

    def failed(self) -> tuple[str, str, str]:
        """What steps and runs failed."""
        return _FAILED, "failed_steps", "failed_runs"

    def close(self) -> None:
        """Close the connection."""
        if self._generation == _forks.generation:
            self._db.close()
        else:
            _left_to_the_parent.append(self._db)  # closed, it would say good-bye in the name of the parent


_left_to_the_parent: list[_Connection] = []


class PostgresqlSnapshot(_Base):
    """A ledger open for questions: all are answered from the same moment. SELECT is all the rights it needs."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        super().__init__(url, timeout_s=timeout_s, silence_s=None)
        self._numbers = count()

    def _open(self, timeout_s: float) -> None:
        if self._version() is None:
            raise LedgerError(f"no ledger at {self.name}; run something that writes to it first, or name another one")
        if missing := self._missing():
            names = ", ".join(statement.split()[5] for statement in missing)
            raise LedgerError(f"ledger {self.name} is of an older aicost (it has no {names}); write to it once")
        self._say(f"SET lock_timeout = {round(timeout_s * 1000)}")
        self._say("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # Before the moment is chosen: no partition may be made from here on, to which rows that are there now go.
        self._say("LOCK TABLE entries IN ACCESS SHARE MODE")
        self._version()

    def rows(self, select: str, values: Sequence[Any] = ()) -> Iterator[_Found]:
        """What SQL finds."""
        with self._as_ledger_error("cannot read"):
            found = self._say(select, values)
        return iter(found)

    def stream(self, select: str, values: Sequence[Any] = ()) -> Iterator[_Found]:
        """What SQL finds, however much that is."""
        with self._as_ledger_error("cannot read"), self._db.cursor(f"aicost_{next(self._numbers)}") as cursor:
            cursor.itersize = _AT_A_TIME
            yield from cursor.execute(_spelled(select), _sound(values))


class PostgresqlStore(_Base):
    """A ledger open for writing."""

    batch_bytes = 2**21
    """Two thousand charges or so: what a transaction costs by itself is little then."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._months: set[Month] = set()
        self._in_rooms: set[str] = set()
        self._no_room_until = 0.0
        super().__init__(url, timeout_s=timeout_s, silence_s=max(timeout_s, SILENCE_S))

    def _open(self, timeout_s: float) -> None:
        self._say("SET client_min_messages = warning")
        if self._version() == SCHEMA_VERSION and not self._missing():
            return
        with self._locked(time.monotonic() + timeout_s):
            if self._version() is None:  # looked at again: another may have made it while this one waited
                self._make()
            elif missing := self._missing():
                for statement in missing:
                    self._say(statement)
                columns = self._say(
                    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('charges') AND attnum > 0 "
                    "ORDER BY attnum"
                )
                self._say(view([row["attname"] for row in columns]))

    def _make(self) -> None:
        names = [table.name for table in TABLES]
        found = self._say(f"{_THERE} AND n.nspname = current_schema()", (names,))
        if found:
            raise LedgerError(
                f"{self.name} is a database but not an aicost ledger (it has table {found[0]['name']!r}); "
                "choose another one, or a schema of its own: ?options=-csearch_path%3Dcosts"
            )
        for statement in (*CREATED, view(), f"CREATE TABLE {VERSION_TABLE} (version integer NOT NULL)"):
            self._say(statement)
        self._say(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (SCHEMA_VERSION,))

    @property
    def is_usable(self) -> bool:
        """Whether the connection holds, and this is the process that opened it."""
        return self._generation == _forks.generation and not self._db.closed

    def rows(self, select: str, values: Sequence[Any] = ()) -> Iterator[_Found]:
        """What SQL finds."""
        with self._as_ledger_error("cannot read"):
            return iter(self._say(select, values))

    stream = rows

    @contextmanager
    def transaction(self, until: float) -> Iterator[None]:
        """Begin to write, and wait for whoever else writes. All that goes wrong in it is a `LedgerError` after it."""
        with self._as_ledger_error("cannot write"), self._locked(until):
            if self._version() is None:
                raise LedgerError(f"ledger {self.name} is gone")
            yield

    erasing = transaction  # the space is the server's to use again, and its log and backups its owner's to look after

    @contextmanager
    def _locked(self, until: float) -> Iterator[None]:
        months = set(self._months)
        self._in_rooms.clear()
        try:
            self._begin(until)
            yield
            self._say("COMMIT")
        except BaseException as error:
            self._months = months
            if isinstance(error, _SilentError):
                self._db.close()  # it would only be waited for again
            with suppress(psycopg.Error):
                self._say("ROLLBACK")
            raise

    def _begin(self, until: float) -> None:
        while True:
            wait_ms = min(_TURN_MS, max(1, round((until - time.monotonic()) * 1000)))
            self._say("BEGIN")
            self._say(f"SET LOCAL lock_timeout = {wait_ms}")
            try:
                self._say(_LOCK)
                return
            except psycopg.errors.LockNotAvailable as error:
                self._say("ROLLBACK")
                if time.monotonic() >= until or _forks.is_awaited():
                    raise LedgerError(f"ledger {self.name} is locked by another writer; try again") from error

    def put(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add rows that are not there."""
        if table is ENTRIES:
            self._make_room([row[0] for row in rows])
        rows = list(dict(zip(_keys(table, rows)[::-1], rows[::-1], strict=True)).values())
        self._insert(table, rows[::-1], "NOTHING")

    def replace(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add rows, or take the place of those there."""
        others = [name for name in table.names(self.dialect) if name not in table.key]
        changed = ", ".join(f"{name} = excluded.{name}" for name in others)
        rows = list(dict(zip(_keys(table, rows), rows, strict=True)).values())
        self._insert(table, rows, f"UPDATE SET {changed}")

    def add(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add sums."""
        self._insert(table, rows, added_up(table, self.dialect))

    def clear(self, table: LedgerTable) -> None:
        """Remove all rows. TRUNCATE would have readers wait, and see nothing."""
        self._say(f"DELETE FROM {table.name}")

    def _insert(self, table: LedgerTable, rows: Sequence[Row], otherwise: str) -> None:
        """Add rows, of each key one."""
        names = table.names(self.dialect)
        columns, conflict = ", ".join(names), f"ON CONFLICT ({', '.join(table.key)}) DO {otherwise}"
        if len(rows) < _FEW:
            marks = ", ".join("?" * len(names))
            with self._db.cursor() as cursor:
                cursor.executemany(_spelled(f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) {conflict}"), rows)
            return
        room, made = waiting_room(table)
        self._say(made)
        if room in self._in_rooms:
            self._say(f"DELETE FROM {room}")
        self._in_rooms.add(room)
        with self._db.cursor() as cursor, cursor.copy(f"COPY {room} ({columns}) FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row)
        self._say(f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {room} {conflict}")

    def delete(self, table: LedgerTable, keys: Sequence[Row]) -> None:
        """Remove rows."""
        condition = " AND ".join(f"{name} = ?" for name in table.key)
        with self._db.cursor() as cursor:
            cursor.executemany(_spelled(f"DELETE FROM {table.name} WHERE {condition}"), keys)

    def _make_room(self, ids: Sequence[bytes]) -> None:
        """See that the months that these ids are of have partitions."""
        wanted = months_of(ids, datetime.now(timezone.utc)) - self._months
        if not wanted or time.monotonic() < self._no_room_until:
            return
        for month in sorted(wanted):
            (found,) = self._say("SELECT to_regclass(?) AS there", (month.name,))
            if found["there"] is None and not self._made(month):
                return
            self._months.add(month)

    def _made(self, month: Month) -> bool:
        """Make a partition, unless readers are in the way: for them there may be no other place of what they read."""
        self._say("SAVEPOINT room")
        try:
            self._say(f"SET LOCAL lock_timeout = {_ROOM_WAIT_MS}")
            for statement in month.made():
                self._say(statement)
        except psycopg.errors.LockNotAvailable:
            self._say("ROLLBACK TO SAVEPOINT room")
            self._no_room_until = time.monotonic() + _ROOM_AGAIN_S
            _log.info("ledger %s: %s is made later, as others read", self.name, month.name)
            return False
        self._say("RELEASE SAVEPOINT room")
        return True

    def sync(self) -> None:
        """What is committed is on the server's disk."""

    @staticmethod
    def may_pass(error: Exception) -> bool:
        """Whether the same may succeed later: the server is at fault, not what is written."""
        cause = error.__cause__ or error
        if isinstance(cause, (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)):
            return False
        if isinstance(cause, psycopg.Error):  # without a state it is psycopg's own: it cannot say a value to a server
            return cause.sqlstate is not None or isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError))
        return isinstance(cause, (LedgerError, OSError))


def _read(url: str) -> tuple[str, dict[str, Any]]:
    """What a ledger is called where people read it, without who asks for it; and what its URL says."""
    scheme, _, rest = url.partition("://")
    try:
        settings = dict(conninfo_to_dict(f"{scheme.lower()}://{rest}"))
    except psycopg.Error:
        settings = {}
    if not settings:  # out of the `except`: psycopg's error has parts of the URL in it, and one may be the password
        raise LedgerError(
            "the URL of the ledger cannot be read; it is postgresql://user:password@host:5432/database, "
            "where any of :/?#[]@% in a password is written as %3A and so on"
        )
    host, port, database = (settings.get(name) for name in ("host", "port", "dbname"))
    return f"postgresql://{host or ''}{f':{port}' if port else ''}/{database or ''}", settings


def _keys(table: LedgerTable, rows: Sequence[Row]) -> list[Row]:
    size = len(table.key)  # its first columns: a test sees to it
    return [row[:size] for row in rows]


def _spelled(statement: str) -> bytes:
    return statement.replace("%", "%%").replace("?", "%s").encode()


def _sound(values: Sequence[Any]) -> list[Any]:
    return [wellformed(value) if isinstance(value, str) else value for value in values]
