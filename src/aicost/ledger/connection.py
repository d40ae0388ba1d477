"""Connections to a ledger file: one that writes, and one that only reads."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aicost import _owner_only
from aicost._errors import LedgerError

from .engines.sqlite_tables import CREATED, VIEWS, has_sums, missing_columns, version_of
from .migrate import migrate
from .schema import SCHEMA_VERSION

_WAL_LIMIT_BYTES = 64 * 1024 * 1024
"""To what the write-ahead log is cut back after a long reader has let it grow."""


def located(path: str | os.PathLike[str]) -> Path:
    """Where a ledger is, links followed: its journal and SQLite's log are beside the file itself, and stay there.

    Whatever becomes the current folder, and whatever the name: SQLite takes ":memory:" for none.
    """
    return Path(os.path.realpath(Path(path).expanduser()))


@contextmanager
def as_ledger_error(what: str, way_out: str) -> Iterator[None]:
    """Raise what goes wrong with a ledger's file in this block as one `LedgerError`.

    Where bytes of it are damaged, SQLite may notice, or give them out: then it is our reading that fails.
    """
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        is_ours = not isinstance(error, (sqlite3.Error, OSError))
        why = f"it is damaged ({error!r})" if is_ours else getattr(error, "strerror", None) or error
        raise LedgerError(f"{what}: {why}; {way_out}") from error


def connect(path: Path, *, synchronous: str, timeout_s: float) -> sqlite3.Connection:
    """Open a ledger for writing, and create it if there is none. Transactions are the caller's.

    Several processes may do so at the same moment. Raises `LedgerError` for a file that holds something else or a
    newer ledger, which is left as it was, and `sqlite3.Error` or `OSError` for one that cannot be written.
    """
    if not path.exists():
        # SQLite gives the files it makes beside it the mode of this one (3.40: `findCreateFileMode`).
        _owner_only.create_empty(path)
    db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        known = version_of(db, path)
        _use_wal(db, timeout_s)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        if known is None:
            # One transaction, so that nobody ever sees half a ledger.
            db.executescript(f"BEGIN IMMEDIATE; {CREATED} {VIEWS} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif _is_older(db, known):
            migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def connect_read_only(path: Path, *, timeout_s: float) -> sqlite3.Connection:
    """Open a ledger for one set of questions: all are answered from the same moment, whoever goes on writing.

    Raises `LedgerError` for a file that is no ledger, or a newer one.
    """
    try:
        return _snapshot(path, "mode=ro", timeout_s)
    except sqlite3.OperationalError as error:
        # Reading takes a shared-memory file beside the ledger. Where none can be made, on read-only media, nobody
        # writes either, and without a log beside it the file is all there is.
        if Path(f"{path}-wal").exists():
            raise LedgerError(f"cannot read ledger {path}: {error}; make its folder writable or copy it") from error
        try:
            return _snapshot(path, "mode=ro&immutable=1", timeout_s)
        except sqlite3.Error as second:
            raise LedgerError(f"cannot read ledger {path}: {second}") from second
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise LedgerError(f"{path} is not an aicost ledger: {error}") from error


def _snapshot(path: Path, how: str, timeout_s: float) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=timeout_s, isolation_level=None)
    try:
        known = version_of(db, path)
        if known is None:
            raise LedgerError(f"{path} is not an aicost ledger: it is empty")
        if _is_older(db, known):
            db = _as_if_migrated(db, path)
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")
        version_of(db, path)  # a transaction sees from its first read on what it will see
    except BaseException:
        db.close()
        raise
    return db


def _as_if_migrated(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """A copy of an older ledger in the form of today, which is gone once it is closed."""
    copy = sqlite3.connect("", isolation_level=None)  # a file of SQLite's own, that nobody else sees
    try:
        db.backup(copy)
        db.close()
        migrate(copy, path)
    except BaseException:
        copy.close()
        raise
    return copy


def _is_older(db: sqlite3.Connection, version: int) -> bool:
    """Whether a ledger is of an older schema, or from before some dimension was one, or sums were kept."""
    return version < SCHEMA_VERSION or any(missing_columns(db).values()) or not has_sums(db)


def _use_wal(db: sqlite3.Connection, timeout_s: float) -> None:
    # SQLite does not wait by itself when another process is switching at the same moment.
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:  # noqa: PERF203 - trying again is the point
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
