"""From the journal into the store: in batches, by one at a time, each record once.

How far a segment was taken in is written in the transaction that takes it in. So whoever is killed, and whenever, a
record is either in the store with its place, or still in the journal.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from aicost import _forks, journal
from aicost._errors import LedgerError
from aicost.journal.segments import found_in

from .connection import as_ledger_error, connect, connect_read_only
from .records import JournalRecord, read_record
from .schema import version_of
from .sqlite import SqliteStore

_log = logging.getLogger("aicost.ledger")

BATCH_BYTES = 2**17
"""How much of the journal one transaction takes in: a hundred charges or so. More in one go is slower: so many objects
keep the garbage collector busy."""

READ_TIMEOUT_S = 5.0
"""How long a reader waits for another ingester, and for a file that is locked."""

_LOOK_S = 0.002
"""How long it is between two looks whether the file is free."""


def journal_of(path: Path) -> Path:
    """The journal beside a ledger: a folder."""
    return path.with_name(f"{path.name}.journal")


class Ingester:
    """Takes in what waits in the journal of a ledger. Not for two threads at a time."""

    def __init__(self, path: Path, *, synchronous: str = "FULL") -> None:
        self.path = path
        self.folder = journal_of(path)
        self.unread = 0
        """Records that this version could not read; they are kept in the ledger, in `unread`."""
        self._synchronous = synchronous
        self._damaged = journal.Damaged()
        self._store: SqliteStore | None = None
        self._identity = (0, 0)
        self._generation = _forks.generation

    def ingest(self, *, wait_s: float = 0.0) -> bool:
        """Take in all that is there by now; whether one could: not while another does, for so long.

        Raises `LedgerError`, `sqlite3.Error` and `OSError` for a store that cannot be written.
        """
        if not self.folder.exists():
            return True
        with journal.ingesting(self.folder, wait_s=wait_s) as is_alone:
            if not is_alone:
                return False
            until = time.monotonic() + wait_s
            store = self._connected(wait_s)
            places = store.places()
            there = {segment.name: size for segment, size in found_in(self.folder)}
            # What comes meanwhile is for the next time: it may come faster than it can be taken in.
            while any(places.get(name, 0) < size for name, size in there.items()) and (
                batch := list(journal.read(self.folder, places, limit_bytes=BATCH_BYTES, damaged=self._damaged))
            ):
                reached = {one.end.segment: one.end.offset for one in batch}
                self._take_in(store, batch, reached, until)
                places.update(reached)
                if fork_waits():
                    return False
            if there:
                # What was acknowledged was on the disk, if it was to be: it is in the store before it is gone here.
                _sync(Path(f"{self.path}-wal"))
            journal.release(self.folder, places, damaged=self._damaged)
            # Those of before, too: whoever released them may have been killed before this.
            gone = places.keys() - {segment.name for segment, _ in found_in(self.folder)}
            if gone:
                store.forget_places(gone)
        return True

    def close(self) -> None:
        """Let go of the store."""
        if self._store is not None and self._generation == _forks.generation:
            self._store.db.close()
        self._store = None

    def _take_in(
        self, store: SqliteStore, batch: Sequence[journal.Record], places: dict[str, int], until: float
    ) -> None:
        read: list[tuple[str, int, JournalRecord]] = []
        unread: list[tuple[str, int, bytes, str]] = []
        for one in batch:
            try:
                record = read_record(one.data)
            except Exception as error:  # noqa: BLE001 - whatever is in it, it holds nothing else up
                unread.append((one.writer, one.number, one.data, repr(error)))
                continue
            if record is None:
                unread.append((one.writer, one.number, one.data, "of a kind that this version does not know"))
            else:
                read.append((one.writer, one.number, record))
        try:
            self._transact(store, read, unread, places, until)
        except Exception as error:
            if _may_pass(error):
                raise
            # One of them can be in no ledger, however often it is tried: it must not hold up the others.
            if len(batch) == 1:
                unread.append((batch[0].writer, batch[0].number, batch[0].data, repr(error)))
                _log.exception("ledger %s: a record could not be taken in", self.path)
                self._transact(store, [], unread, places, until)
                return
            for one in batch:
                self._take_in(store, [one], {one.end.segment: one.end.offset}, until)

    def _transact(
        self,
        store: SqliteStore,
        read: Sequence[tuple[str, int, JournalRecord]],
        unread: Sequence[tuple[str, int, bytes, str]],
        places: dict[str, int],
        until: float,
    ) -> None:
        db = store.db
        if db.in_transaction:  # a rollback that failed with the disk
            db.execute("ROLLBACK")
        _begin(db, until)
        try:
            version_of(db, self.path)  # a newer version may have made it its own since it was opened
            if read:
                store.take_in(read)
            if unread:
                db.executemany("INSERT OR IGNORE INTO unread VALUES (?, ?, ?, ?)", unread)
            store.put_places(places)
            db.execute("COMMIT")
        except BaseException:
            store.rolled_back()
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        if unread:
            self.unread += len(unread)
            _log.error(
                "ledger %s: %d records could not be read (%s); they are kept in its table `unread`",
                self.path, len(unread), unread[0][3],
            )  # fmt: skip

    def _connected(self, timeout_s: float) -> SqliteStore:
        if self._store is not None and self._generation != _forks.generation:
            # A SQLite connection must not be used, nor closed, across a fork.
            _left_to_the_parent.append(self._store.db)
            self._store = None
        if self._store is not None:
            if self._is_in_place():
                return self._store
            # SQLite would go on writing to the deleted file, and nobody would ever see it.
            _log.warning("ledger %s was removed or replaced; going on in the file that is there now", self.path)
            self.close()
        db = connect(self.path, synchronous=self._synchronous, timeout_s=max(timeout_s, 1.0))
        db.execute("PRAGMA busy_timeout = 0")  # `_begin` waits
        now = self.path.stat()
        self._identity, self._generation = (now.st_dev, now.st_ino), _forks.generation
        self._store = SqliteStore(db)
        return self._store

    def _is_in_place(self) -> bool:
        try:
            now = os.stat(self.path)  # noqa: PTH116 - as `os.fstat` beside it
        except FileNotFoundError:
            return False
        return (now.st_dev, now.st_ino) == self._identity


def take_in(path: Path) -> int | None:
    """Take in what waits in a ledger's journal before it is read; returns how many bytes of it could not be.

    None, where one may not even look.
    """
    folder = journal_of(path)
    try:
        if not folder.is_dir() or not _waiting(path, folder):
            return 0
    except PermissionError:
        return None
    ingester = Ingester(path)
    try:
        with as_ledger_error("", ""), closing(ingester):
            if ingester.ingest(wait_s=READ_TIMEOUT_S):
                return 0
    except LedgerError:  # whoever reads is told
        pass
    return _waiting(path, folder)


class TakenIn(NamedTuple):
    """What was taken in."""

    bytes: int
    unread: int
    """Records of it that this version could not read: they are in the ledger as they were."""


def take_in_all(path: Path) -> TakenIn:
    """Take in what waits in a ledger's journal. Raises `LedgerError` where that cannot be done."""
    folder = journal_of(path)
    way_out = f"free space, or make {path} writable"
    with as_ledger_error(f"cannot take in {folder}", way_out), closing(Ingester(path)) as ingester:
        if not folder.is_dir():
            with closing(connect_read_only(path, timeout_s=READ_TIMEOUT_S)):
                return TakenIn(0, 0)
        waits = _waiting(path, folder)
        if not ingester.ingest(wait_s=READ_TIMEOUT_S):
            raise LedgerError(f"cannot take in {folder}: another process does, or it cannot be written; try again")
        return TakenIn(waits, ingester.unread)


def _waiting(path: Path, folder: Path) -> int:
    try:
        with closing(connect_read_only(path, timeout_s=READ_TIMEOUT_S)) as db:
            places = SqliteStore(db).places()
    except (LedgerError, sqlite3.Error, ValueError):
        places = {}
    return journal.waiting(folder, places)


def _sync(file: Path) -> None:
    try:
        handle = os.open(file, os.O_RDWR)
    except FileNotFoundError:  # SQLite has written it back, and did so itself
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _may_pass(error: Exception) -> bool:
    """Whether the same may succeed later: the file is at fault, not what is written."""
    return isinstance(error, (sqlite3.OperationalError, LedgerError)) or type(error) in (
        sqlite3.DatabaseError,
        sqlite3.InternalError,
    )


def _begin(db: sqlite3.Connection, until: float) -> None:
    """Begin to write, and wait for whoever else writes.

    SQLite itself waits ever longer between two looks, and then misses a file that others write all the time.
    """
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:  # noqa: PERF203 - trying again is the point
            if "locked" not in str(error) or time.monotonic() >= until or fork_waits():
                raise
            time.sleep(_LOOK_S)


_left_to_the_parent: list[sqlite3.Connection] = []
_fork_waits = False


def fork_waits() -> bool:
    """Whether a thread is about to fork, and waits for the ledgers."""
    return _fork_waits


def let_fork(waits: bool) -> None:
    """Note whether a thread is about to fork."""
    global _fork_waits
    _fork_waits = waits
