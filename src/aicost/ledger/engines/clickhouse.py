"""A ledger in ClickHouse, by its HTTP interface and clickhouse-connect (read: 1.12).

ClickHouse has no transactions. One is made of what it has: who makes the table `ingest_lock` has the lock; all rows of
a transaction have its number; each insert is refused by the server itself unless the lock still is of that number; and
one insert, of one part, ends it: how far segments of the journal were taken in, and the number. Readers read up to the
number they found. What a writer that died has left behind is removed by whoever has the lock next, before it writes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Context, Decimal
from operator import itemgetter
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, NotSupportedError

from aicost import _forks
from aicost._errors import LedgerError
from aicost.ledger.engines.clickhouse_client import Connection, Guarded, bound, literal
from aicost.ledger.engines.clickhouse_state import TABLES_SAID, Opened, add_dimensions, check_tables, opened
from aicost.ledger.engines.clickhouse_tables import (
    BEING_MADE,
    CLICKHOUSE,
    CREATED,
    FAILED,
    INSERTS_BITS,
    LOCK,
    PLACES_DOOR,
    SAID,
    STATES,
    Door,
    door_of,
    physical,
)
from aicost.ledger.schema import ENTRIES, PLACES, TABLES, LedgerTable, StoredColumn
from aicost.ledger.sql_dialects import SqlDialect, parts_of
from aicost.ledger.store import Row

LEASE_S = 30.0
"""How long a lock is left to a writer that gives no sign of life, by the server's clock."""

_LOOK_S = 0.02
"""How long it is between two looks whether the lock is free."""

_QUIET_S = 20.0
"""How long to wait for inserts of a writer that is gone to end at the server."""

_LONG = {"max_query_size": 1 << 28, "max_ast_elements": 10_000_000, "max_expanded_ast_elements": 10_000_000}
"""What a statement may be with thousands of ids in it."""

_CHANGES = 100
"""Changes of rows that one statement asks for."""

_SETTINGS = {
    "final": 1,
    "do_not_merge_across_partitions_select_final": 1,
    "join_use_nulls": 1,
    "transform_null_in": 0,
    **_LONG,
}

_TABLE_ALREADY_EXISTS = 57
_BAD_DATA = frozenset({6, 26, 27, 33, 38, 41, 43, 53, 62, 69, 70, 72, 117, 131, 349, 407, 441, 636})
"""Codes of ClickHouse's errors that say that what was sent can never be stored."""

_EXACT = Context(prec=60)


class ClickhouseSnapshot:
    """A database open for questions: all are answered from what was written up to the moment it was opened."""

    dialect: SqlDialect = CLICKHOUSE
    has_sums = False

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self.until = 0
        """The transaction up to which is read."""

    def rows(self, select: str, values: Sequence[Any] = ()) -> Iterator[Mapping[str, Any]]:
        """What SQL finds."""
        return iter(self._db.ask(bound(select, values), self._settings()))

    def stream(self, select: str, values: Sequence[Any] = ()) -> Iterator[Mapping[str, Any]]:
        """What SQL finds, however much that is."""
        return self._db.stream(bound(select, values), self._settings())

    def _settings(self) -> dict[str, Any]:
        return {**_SETTINGS, "additional_table_filters": self._filters()}

    def _filters(self) -> dict[str, str]:
        until = (self.until + 1) << INSERTS_BITS
        return {physical(table): f"block < {until}" for table in TABLES if table is not PLACES}

    def failed(self) -> tuple[str, str, str]:
        """What steps and runs failed."""
        return FAILED, "failed_steps", "failed_runs"

    def close(self) -> None:
        """Let go of the connection."""
        self._db.close()


class ClickhouseStore(ClickhouseSnapshot):
    """A database open for writing."""

    batch_bytes = 2**21

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._generation = _forks.generation
        self._number: int | None = None
        """The transaction that is going on."""
        self._held: int | None = None
        """Of which lock it may be ours, whatever became of it."""
        self._inserts = 0
        self._seen_at = 0.0
        self._places: list[Row] = []
        self._erases = False

    @property
    def is_usable(self) -> bool:
        """Whether this is still the process that opened it."""
        return self._generation == _forks.generation

    @staticmethod
    def may_pass(error: Exception) -> bool:
        """Whether the same may succeed later: the server is at fault, not what is written."""
        cause = error.__cause__ or error
        if isinstance(cause, ClickHouseError):
            # Of what the client itself cannot write the error has no code; nor has that of a server that is away.
            return not isinstance(cause, (DataError, NotSupportedError)) and getattr(cause, "code", 0) not in _BAD_DATA
        return isinstance(cause, (LedgerError, OSError))

    def sync(self) -> None:
        """Nothing is left to do: the server writes each insert through to its disk (`fsync_after_insert`)."""

    def rows(self, select: str, values: Sequence[Any] = ()) -> Iterator[Mapping[str, Any]]:
        """What SQL finds: in a transaction with what it has written, else what has been by now."""
        if self._number is None:
            self.until = opened(self._db).until
        return super().rows(select, values)

    stream = rows

    @contextmanager
    def transaction(self, until: float) -> Iterator[None]:
        """Begin to write, and wait for whoever else writes."""
        self._number = self.until = self._locked(until)
        self._inserts, self._places = 0, []
        try:
            yield
            self._commit()
        except BaseException:
            self._number = None
            self._abandon()
            raise
        self._number = None
        self._release()

    @contextmanager
    def erasing(self, until: float) -> Iterator[None]:
        """A transaction in which rows are changed where they are: every version of them, for every reader, at once."""
        with self.transaction(until):
            self._erases = True
            try:
                yield
            finally:
                self._erases = False

    def put(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add rows that are not there."""
        at = [table.names(self.dialect).index(name) for name in table.key]
        keys = [*map(itemgetter(*at), rows)]
        new = rows if len({*keys}) == len(keys) else dict(zip(keys[::-1], rows[::-1], strict=True)).values()
        self._add(table, table.columns, [*new])

    def replace(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add rows, or take the place of those there."""
        if table is PLACES:
            self._places += [(*row, 0) for row in rows]
        elif self._erases:
            self._change(table, rows)
        else:
            self._add(table, table.columns, rows)

    def delete(self, table: LedgerTable, keys: Sequence[Row]) -> None:
        """Remove rows. Those that are no states are gone at once, whatever becomes of the transaction."""
        if table is PLACES:
            gone = [(segment, 0, None, 1) for (segment,) in keys]
            if self._number is not None:
                self._places += gone
            elif gone:
                with self.transaction(time.monotonic() + LEASE_S):
                    self._places = gone
        elif table in STATES and not self._erases:
            self._add(table, [column for column in table.columns if column.name in table.key], keys, is_deleted=1)
        elif keys:
            self._alter(table, [f"DELETE WHERE {_of_keys(table, keys)}"])

    def _change(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Have rows say something else, in the parts they are in."""
        said: dict[Row, list[Row]] = {}
        for row in rows:
            said.setdefault(row[len(table.key) :], []).append(row[: len(table.key)])
        names = table.names(self.dialect)[len(table.key) :]
        self._alter(
            table,
            [
                f"UPDATE {', '.join(f'`{name}` = {literal(one)}' for name, one in zip(names, values, strict=True))} "
                f"WHERE {_of_keys(table, keys)}"
                for values, keys in said.items()
            ],
        )

    def _alter(self, table: LedgerTable, changes: Sequence[str]) -> None:
        for some in parts_of(changes, _CHANGES):
            self._db.tell(f"ALTER TABLE {physical(table)} {', '.join(some)}", {**_LONG, "mutations_sync": 2})

    def _add(
        self, table: LedgerTable, columns: Sequence[StoredColumn], rows: Sequence[Row], *, is_deleted: int = 0
    ) -> None:
        if rows:
            # What says nothing need not be sent: half of the columns, mostly.
            sent = [
                (column, one)
                for column, one in zip(columns, zip(*rows, strict=True), strict=True)
                if one.count(None) < len(one)
            ]
            door, data = door_of([column for column, _ in sent]), [one for _, one in sent]
            self._send(table, door, data, {"is_deleted": str(is_deleted)} if table in STATES else {})

    def _send(self, table: LedgerTable, door: Door, columns: Sequence[Row], more: Mapping[str, str]) -> None:
        """Insert rows, by columns, unless the lock is another's by now: then the server refuses."""
        number = self._number
        if number is None:
            raise LedgerError(f"ledger {self._db.name}: nothing is written outside of a transaction")
        self._stay(number)
        block = (number << INSERTS_BITS) | min(self._inserts, (1 << INSERTS_BITS) - 1)
        self._inserts += 1
        data = [
            [_in_atto(value) for value in values] if "Int128" in kind else values
            for kind, values in zip(door.types, columns, strict=True)
        ]
        sent = ", ".join(f"{name} {kind}" for name, kind in zip(door.names, door.types, strict=True))
        self._db.insert(
            Guarded(
                f"INSERT INTO {physical(table)} ({', '.join((*door.names, 'block', *more))}) "
                f"SELECT {', '.join((*door.made, str(block), *more.values()))} FROM input({literal(sent)}) "
                f"WHERE {_is_held(number)} FORMAT Native\n",
                door,
                data,
            )
        )

    def _commit(self) -> None:
        """End the transaction, in one insert, of one part: all of it is there, or nothing."""
        assert self._number is not None  # noqa: S101 - `transaction` has set it
        last = {row[0]: row for row in (*self._places, ("", self._number, None, 0))}
        rows = [*last.values()]
        self._send(PLACES, PLACES_DOOR, [*zip(*rows, strict=True)], {})

    def _locked(self, until: float) -> int:
        """Wait for the lock; the number of the transaction that has it."""
        while True:
            found = opened(self._db)
            if found.lock is None:
                number = self._held = max(found.until + 1, found.now_us)
                try:
                    self._db.tell(f"CREATE TABLE {LOCK} (held UInt8) ENGINE = Memory COMMENT '{number}'")
                except LedgerError as error:
                    if _code(error) != _TABLE_ALREADY_EXISTS:
                        raise
                    self._held = None
                    continue
                self._seen_at = time.monotonic()
                # Who had it before may have written up to now, or have left something behind.
                found = opened(self._db)
                if found.until < number:
                    self._remove_what_was_left(found)
                    return number
                self._release()
            elif found.lock == self._held or found.lock_age_s > LEASE_S:
                self._take_away(found.lock)
            elif time.monotonic() >= until or _forks.is_awaited():
                raise LedgerError(f"ledger {self._db.name} is locked by another writer; try again")
            else:
                time.sleep(_LOOK_S)

    def _take_away(self, number: int) -> None:
        """Take the lock from a writer that is gone: of those who try, one can, and from now on it can write nothing."""
        left = f"{LOCK}_{number}"
        with suppress(LedgerError):  # somebody else has
            self._db.tell(f"RENAME TABLE {LOCK} TO {left}")
            found = self._db.ask(
                f"SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = '{left}'"
            )
            if found and found[0]["comment"] != str(number):  # it was let go of, and is the next one's
                self._db.tell(f"RENAME TABLE {left} TO {LOCK}")
        if self._held == number:
            self._held = None

    def _remove_what_was_left(self, found: Opened) -> None:
        """Remove what transactions have written that did not end."""
        for number in found.left:
            until = time.monotonic() + _QUIET_S
            while self._db.ask(
                "SELECT 1 AS is_going_on FROM system.processes WHERE query_kind = 'Insert' "
                f"AND query LIKE '%{number}%' AND query_id <> queryID() LIMIT 1"
            ):
                if time.monotonic() >= until:
                    raise LedgerError(
                        f"ledger {self._db.name} is locked: the server still inserts what nobody waits for"
                    )
                time.sleep(_LOOK_S)
            if number > opened(self._db).until:
                self._remove(number)
            self._db.tell(f"DROP TABLE IF EXISTS {LOCK}_{number}")

    def _remove(self, number: int) -> None:
        first, last = number << INSERTS_BITS, (number + 1) << INSERTS_BITS
        of_it = f"block >= {first} AND block < {last}"
        names = [physical(table) for table in TABLES if table is not PLACES]
        counts = " UNION ALL ".join(
            f"SELECT '{name}' AS name, count() AS n FROM {name} WHERE {of_it}" for name in names
        )
        for row in self._db.ask(counts):
            if row["n"]:
                self._db.tell(f"ALTER TABLE {row['name']} DELETE WHERE {of_it}", {"mutations_sync": 2})

    def _stay(self, number: int) -> None:
        """Give a sign of life, if the last is a while ago."""
        if time.monotonic() - self._seen_at < LEASE_S / 4:
            return
        found = opened(self._db)
        if found.lock != number:
            raise LedgerError(
                f"ledger {self._db.name} is locked by another writer by now: this one was silent too long"
            )
        self._db.tell(f"ALTER TABLE {LOCK} MODIFY COMMENT '{number}'")
        self._seen_at = time.monotonic()

    def _release(self) -> None:
        """Let go of the lock. If that fails, it is known as ours the next time, or is too old some day."""
        with suppress(LedgerError):
            if time.monotonic() - self._seen_at > LEASE_S / 2 and opened(self._db).lock != self._held:
                return
            self._db.tell(f"DROP TABLE IF EXISTS {LOCK}")
            self._held = None

    def _abandon(self) -> None:
        """Let go of the lock, and see that what was written is removed by who has it next."""
        if self._held is None:
            return
        if self._inserts == 0:
            self._release()
        else:
            self._take_away(self._held)


def _of_keys(table: LedgerTable, keys: Sequence[Row]) -> str:
    """Whether a row has one of these keys."""
    listed = ", ".join(f"({', '.join(map(literal, key))})" for key in keys)
    return f"({', '.join(table.key)}) IN ({listed})" if len(table.key) > 1 else f"{table.key[0]} IN ({listed})"


def _is_held(number: int) -> str:
    now = f"(SELECT any(comment) FROM system.tables WHERE database = currentDatabase() AND name = '{LOCK}')"
    return f"throwIf(COALESCE({now}, '') <> '{number}', 'the ledger is locked by another writer by now') = 0"


def _in_atto(value: Any) -> int | None:
    """An amount, as it was read or made, in 1e-18."""
    return int(value.scaleb(18, _EXACT)) if isinstance(value, Decimal) else value


def _code(error: LedgerError) -> int | None:
    return getattr(error.__cause__, "code", None)


def open_snapshot(url: str, *, timeout_s: float) -> ClickhouseSnapshot:
    """For questions. Raises `LedgerError` for what cannot be reached or is no ledger."""
    db = Connection(url, timeout_s)
    try:
        snapshot = ClickhouseSnapshot(db)
        snapshot.until = opened(db).until
    except BaseException:
        db.close()
        raise
    return snapshot


def open_store(url: str, *, timeout_s: float) -> ClickhouseStore:
    """For writing; the tables are made if there are none. Raises `LedgerError` for what cannot be reached."""
    db = Connection(url, timeout_s)
    try:
        tables = {row["name"]: row["comment"] for row in db.ask(TABLES_SAID)}
        said = tables.get(ENTRIES.name, BEING_MADE)
        if said == BEING_MADE and tables.keys() <= CREATED.keys():
            for statement in CREATED.values():
                db.tell(statement)
            db.tell(f"ALTER TABLE {ENTRIES.name} MODIFY COMMENT '{SAID}'")
        else:
            check_tables(db, tables)
            add_dimensions(db)
    except BaseException:
        db.close()
        raise
    return ClickhouseStore(db)
