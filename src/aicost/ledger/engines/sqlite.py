"""A ledger in a file, by SQLite: the default, as it needs no server."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aicost import _forks
from aicost._errors import LedgerError
from aicost._wellformed import wellformed
from aicost.ledger.connection import connect, connect_read_only
from aicost.ledger.engines.sqlite_tables import SqliteTables, inserted, version_of
from aicost.ledger.schema import LedgerTable
from aicost.ledger.sql_dialects import SQLITE, SqlDialect
from aicost.ledger.store import Row

_log = logging.getLogger("aicost.ledger")

_LOOK_S = 0.002
"""How long it is between two looks whether the file is free."""

# What bought nothing: a call that failed after it was billed, and what was called in a step or run that failed, or is
# inside of one that did. `is_waste` in `aicost.scopes.runs` says the same of a run that is going on. Steps are found
# by their run, which has an index: a step is in the run of the one around it.
_FAILED = """
WITH RECURSIVE failed_steps(step_id, run_id) AS (
    SELECT step_id, run_id FROM steps WHERE status = 'failed'
    UNION SELECT s.step_id, s.run_id FROM failed_steps f CROSS JOIN steps s
    ON s.run_id = f.run_id AND s.parent_step_id = f.step_id
),
failed_runs(run_id) AS (
    SELECT run_id FROM runs
    WHERE status = 'failed' OR parent_step_id IN (SELECT step_id FROM failed_steps)
    UNION SELECT r.run_id FROM failed_runs f CROSS JOIN runs r ON r.parent_run_id = f.run_id
)
"""


class SqliteSnapshot:
    """A file open for questions: all are answered from the same moment."""

    dialect: SqlDialect = SQLITE
    has_sums = True

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        db.row_factory = sqlite3.Row

    @classmethod
    def open(cls, path: Path, *, timeout_s: float) -> SqliteSnapshot:
        """Raises `LedgerError` for what is no ledger."""
        return cls(connect_read_only(path, timeout_s=timeout_s))

    def rows(self, select: str, values: Sequence[Any] = ()) -> Iterator[Mapping[str, Any]]:
        """What SQL finds."""
        sound = [wellformed(value) if isinstance(value, str) else value for value in values]  # as such text is stored
        for row in self.db.execute(select, sound):  # noqa: UP028 - `yield from` would close the cursor of a closed one
            yield row

    stream = rows

    def failed(self) -> tuple[str, str, str]:
        """What steps and runs failed."""
        return _FAILED, "failed_steps", "failed_runs"

    def close(self) -> None:
        """Close the file."""
        self.db.close()


class SqliteStore(SqliteSnapshot):
    """A file open for writing."""

    batch_bytes = 2**17
    """A hundred charges or so. More in one go is slower: so many objects keep the garbage collector busy."""

    def __init__(self, path: Path, *, synchronous: str, timeout_s: float) -> None:
        """Raises `LedgerError`, `sqlite3.Error` or `OSError` for what cannot be written, or is no ledger."""
        super().__init__(connect(path, synchronous=synchronous, timeout_s=max(timeout_s, 1.0)))
        self.db.execute("PRAGMA busy_timeout = 0")  # `transaction` waits
        self.path = path
        now = path.stat()
        self._identity, self._generation = (now.st_dev, now.st_ino), _forks.generation

    @property
    def is_usable(self) -> bool:
        """Whether this is still the file of that name, and the process that opened it."""
        if self._generation != _forks.generation:
            return False
        try:
            now = os.stat(self.path)  # noqa: PTH116 - as `os.fstat` beside it
            is_in_place = (now.st_dev, now.st_ino) == self._identity
        except FileNotFoundError:
            is_in_place = False
        if not is_in_place:
            # SQLite would go on writing to the deleted file, and nobody would ever see it.
            _log.warning("ledger %s was removed or replaced; going on in the file that is there now", self.path)
        return is_in_place

    @contextmanager
    def transaction(self, until: float) -> Iterator[None]:
        """Begin to write, and wait for whoever else writes."""
        db = self.db
        if db.in_transaction:  # a rollback that failed with the disk
            db.execute("ROLLBACK")
        self._begin(until)
        try:
            version_of(db, self.path)  # a newer version may have made it its own since it was opened
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @contextmanager
    def erasing(self, until: float) -> Iterator[None]:
        """A transaction after which nothing of what it took away is in the file, or in the log beside it."""
        self.db.execute("PRAGMA secure_delete = ON")  # or the text stays in free pages
        with self.transaction(until):
            yield
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _begin(self, until: float) -> None:
        # SQLite itself waits ever longer between two looks, and then misses a file that others write all the time.
        while True:
            try:
                self.db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:  # noqa: PERF203 - trying again is the point
                if "locked" not in str(error) or time.monotonic() >= until or _forks.is_awaited():
                    raise
                time.sleep(_LOOK_S)

    def put(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add rows that are not there."""
        self.db.executemany(inserted(table), rows)

    def replace(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add rows, or take the place of those there."""
        self.db.executemany(inserted(table, "REPLACE"), rows)

    def add(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add sums."""
        SqliteTables(self.db).add(table, rows)

    def clear(self, table: LedgerTable) -> None:
        """Remove all rows."""
        SqliteTables(self.db).clear(table)

    def delete(self, table: LedgerTable, keys: Sequence[Row]) -> None:
        """Remove rows."""
        condition = " AND ".join(f"{name} = ?" for name in table.key)
        self.db.executemany(f"DELETE FROM {table.name} WHERE {condition}", keys)

    def sync(self) -> None:
        """See that what was written is on the disk."""
        try:
            handle = os.open(f"{self.path}-wal", os.O_RDWR)
        except FileNotFoundError:  # SQLite has written it back, and did so itself
            return
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def close(self) -> None:
        """Close the file."""
        if self._generation != _forks.generation:
            # A SQLite connection must not be used, nor closed, across a fork.
            _left_to_the_parent.append(self.db)
        else:
            self.db.close()

    @staticmethod
    def may_pass(error: Exception) -> bool:
        """Whether the same may succeed later: the file is at fault, not what is written."""
        return isinstance(error, (sqlite3.OperationalError, LedgerError)) or type(error) in (
            sqlite3.DatabaseError,
            sqlite3.InternalError,
        )


_left_to_the_parent: list[sqlite3.Connection] = []
