"""From the journal into the store: in batches, by one at a time, each record once.

How far a segment was taken in is written in the transaction that takes it in. So whoever is killed, and whenever, a
record is either in the store with its place, or still in the journal.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from aicost import _forks, journal
from aicost._errors import LedgerError
from aicost.journal.segments import found_in

from .connection import as_ledger_error
from .records import JournalRecord, read_record
from .where import Where, journal_of, open_snapshot, open_store
from .writing import Writer, places_in

_log = logging.getLogger("aicost.ledger")

BATCH_BYTES = 2**22
"""How much of the journal one transaction takes in at most, however much the store would like."""

READ_TIMEOUT_S = 5.0
"""How long a reader waits for another ingester, and for a file that is locked."""


class Ingester:
    """Takes in what waits in the journal of a ledger. Not for two threads at a time."""

    def __init__(self, where: Where, *, synchronous: str = "FULL") -> None:
        self.where = where
        self.folder = journal_of(where)
        self.unread = 0
        """Records that this version could not read; they are kept in the ledger, in `unread`."""
        self._synchronous = synchronous
        self._damaged = journal.Damaged()
        self._writer: Writer | None = None

    def ingest(self, *, wait_s: float = 0.0) -> bool:
        """Take in all that is there by now; whether one could: not while another does, for so long.

        Raises `LedgerError`, `sqlite3.Error` and `OSError` for a store that cannot be written, or reached.
        """
        if not self.folder.exists():
            return True
        with journal.ingesting(self.folder, wait_s=wait_s) as is_alone:
            if not is_alone:
                return False
            until = time.monotonic() + wait_s
            writer = self._connected(wait_s)
            name = journal.identified(self.folder)
            places = writer.places(name)
            there = {segment.name: size for segment, size in found_in(self.folder)}
            # What comes meanwhile is for the next time: it may come faster than it can be taken in.
            limit = min(writer.store.batch_bytes, BATCH_BYTES)
            while any(places.get(name, 0) < size for name, size in there.items()) and (
                batch := list(journal.read(self.folder, places, limit_bytes=limit, damaged=self._damaged))
            ):
                reached = {one.end.segment: one.end.offset for one in batch}
                self._take_in(writer, batch, (name, reached), until)
                places.update(reached)
                if not isinstance(self.where, Path):  # so many machines write there that each batch may have to wait
                    until = time.monotonic() + wait_s
                if _forks.is_awaited():
                    return False
            if there:
                # What was acknowledged was on the disk, if it was to be: it is in the store before it is gone here.
                writer.store.sync()
            journal.release(self.folder, places, damaged=self._damaged)
            # Those of before, too: whoever released them may have been killed before this.
            gone = places.keys() - {segment.name for segment, _ in found_in(self.folder)}
            if gone:
                writer.forget_places(gone)
        return True

    def close(self) -> None:
        """Let go of the store."""
        if self._writer is not None:
            self._writer.store.close()
        self._writer = None

    def _take_in(self, writer: Writer, batch: Sequence[journal.Record], places: _Places, until: float) -> None:
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
            self._transact(writer, read, unread, places, until)
        except Exception as error:
            if writer.store.may_pass(error):
                raise
            # One of them can be in no ledger, however often it is tried: it must not hold up the others.
            if len(batch) == 1:
                unread.append((batch[0].writer, batch[0].number, batch[0].data, repr(error)))
                _log.exception("ledger %s: a record could not be taken in", self.where)
                self._transact(writer, [], unread, places, until)
                return
            for one in batch:
                self._take_in(writer, [one], (places[0], {one.end.segment: one.end.offset}), until)

    def _transact(
        self,
        writer: Writer,
        read: Sequence[tuple[str, int, JournalRecord]],
        unread: Sequence[tuple[str, int, bytes, str]],
        places: _Places,
        until: float,
    ) -> None:
        try:
            with writer.store.transaction(until):
                if read:
                    writer.take_in(read)
                if unread:
                    writer.put_unread(unread)
                writer.put_places(*places)
        except BaseException:
            writer.rolled_back()
            raise
        if unread:
            self.unread += len(unread)
            _log.error(
                "ledger %s: %d records could not be read (%s); they are kept in its table `unread`",
                self.where, len(unread), unread[0][3],
            )  # fmt: skip

    def _connected(self, timeout_s: float) -> Writer:
        if self._writer is not None:
            if self._writer.store.is_usable:
                return self._writer
            self.close()
        self._writer = Writer(open_store(self.where, synchronous=self._synchronous, timeout_s=timeout_s))
        return self._writer


_Places = tuple[str, dict[str, int]]
"""A journal's id, and how far each of its segments is taken in with a batch."""


def take_in(where: Where) -> int | None:
    """Take in what waits in a ledger's journal before it is read; returns how many bytes of it could not be.

    None, where one may not even look.
    """
    try:
        # A server may have no tables yet, and is asked but once.
        is_there = waiting_for(where) if isinstance(where, Path) else journal.waiting(journal_of(where), {})
        if not is_there:
            return 0
    except PermissionError:
        return None
    ingester = Ingester(where)
    try:
        with as_ledger_error("", ""), closing(ingester):
            if ingester.ingest(wait_s=READ_TIMEOUT_S):
                return 0
    except LedgerError:  # whoever reads is told
        pass
    return waiting_for(where)


class TakenIn(NamedTuple):
    """What was taken in."""

    bytes: int
    unread: int
    """Records of it that this version could not read: they are in the ledger as they were."""


def take_in_all(where: Where) -> TakenIn:
    """Take in what waits in a ledger's journal. Raises `LedgerError` where that cannot be done."""
    folder = journal_of(where)
    way_out = f"free space, or make {where} writable"
    with as_ledger_error(f"cannot take in {folder}", way_out), closing(Ingester(where)) as ingester:
        if not folder.is_dir():
            with closing(open_snapshot(where, timeout_s=READ_TIMEOUT_S)):
                return TakenIn(0, 0)
        waits = waiting_for(where)
        if not ingester.ingest(wait_s=READ_TIMEOUT_S):
            raise LedgerError(f"cannot take in {folder}: another process does, or it cannot be written; try again")
        return TakenIn(waits, ingester.unread)


def waiting_for(where: Where) -> int:
    """Bytes of a ledger's journal that were not taken in yet; all of it, where the ledger cannot be asked."""
    folder = journal_of(where)
    if not journal.waiting(folder, {}):
        return 0
    try:
        with closing(open_snapshot(where, timeout_s=READ_TIMEOUT_S)) as source:
            places = places_in(source, journal.identity_of(folder))
    except (LedgerError, sqlite3.Error, ValueError):
        places = {}
    return journal.waiting(folder, places)
