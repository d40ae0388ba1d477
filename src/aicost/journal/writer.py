"""The writing end of a journal: `append`, one write to a file of this process's own.

No call waits for another process, nor for a database; for another thread only as long as that one's write takes. What
it was given a number for is in the folder: it survives the death of the process and, with durability `power`, that of
the machine.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from aicost import _forks, _owner_only
from aicost._errors import AicostError
from aicost._later import in_collector, later

from . import held
from .segments import LATEST, MOST_BYTES, RECORD_HEADER, Segment, newest_in, size_of

_log = logging.getLogger("aicost.journal")

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_EXCL
_WAIT_S = 0.1
"""How long a thread waits for another one's write before it begins a segment of its own."""
_LOOK_S = 0.01
"""How long a full journal is believed to be full."""
_SHARE = 8
"""The part of the room that a process takes before it looks again what the others have left of it."""
_TRIES = 3
_LONG = 2**15 if hasattr(os, "writev") else 2**32
"""Bytes of a record from which on it is cheaper not to copy it."""


class JournalFullError(AicostError):
    """A record was not kept, and is counted: the journal has its size, the disk is full or broken."""


class Journal:
    """Records kept in a folder, which several processes may share. Raises `OSError` for one that cannot be made.

    Safe in threads, and where a signal handler or a finalizer appends in the midst of another append: that record goes
    to a segment of its own. In a forked child a writer is begun anew with the first record, and so are files that
    somebody deletes.

        journal = Journal(Path("spool"))
        journal.append(b"...")
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 2**30,
        segment_bytes: int = 8 * 2**20,
        durability: Literal["process", "power"] = "process",
    ) -> None:
        self._file, self._rolled = -1, list[int]()
        self.folder = folder.absolute()  # whatever becomes the current one
        _owner_only.make_folder(self.folder)
        self.max_bytes, self.durability = max_bytes, durability
        self._segment_bytes = segment_bytes
        self._power = durability == "power"
        self._lock = _forks.lock()
        self._syncing = _forks.lock()
        self._said: set[str] = set()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """A writer of this process, which has written nothing."""
        for file in (self._file, *self._rolled):
            if file >= 0:  # in a child they lead nowhere any more
                held.let_go(file)
        self._generation = _forks.generation
        self._writer = os.urandom(16).hex()
        self._segment: Segment | None = None
        self._path = ""
        self._file = -1
        self._end = self._number = self._synced = self._unsafe = 0
        self._rolled = []
        self._lost = self._lost_bytes = self._room = 0
        self._full_until = 0.0
        self._is_new = False
        self._busy = False
        self._beside: Journal | None = None

    @property
    def writer(self) -> str:
        """The id of this process's writer: 32 hex digits, another in each process."""
        with self._lock:
            if self._generation != _forks.generation:
                self._begin_anew()
        return self._writer

    @property
    def lost(self) -> int:
        """Records that were refused."""
        return self._lost + (self._beside.lost if self._beside is not None else 0)

    @property
    def lost_bytes(self) -> int:
        """Bytes of them."""
        return self._lost_bytes + (self._beside.lost_bytes if self._beside is not None else 0)

    @property
    def size(self) -> int:
        """Bytes of all segments in the folder, of all writers."""
        return size_of(self.folder)

    @property
    def segment(self) -> str | None:
        """The name of the one that is written to."""
        return self._segment.name if self._segment is not None else None

    def append(self, record: bytes) -> int:
        """Keep a record of at most 1 GiB; returns its number. Raises `JournalFullError`, once it is counted.

        Acknowledged, which is a return, means in the segment; with durability `power` on the disk, by a flush that
        those who wait at the same time share.
        """
        number = self.write(record)
        if self._power:
            self.make_safe(number)
        return number

    def write(self, record: bytes) -> int:
        """`append` but for the flush, for who calls `make_safe` in another thread."""
        if not self._lock.acquire(timeout=_WAIT_S):
            # The one who has it was perhaps stopped by a finalizer, which waits for what this thread holds.
            return self._append_aside(record)
        try:
            if self._busy:
                return self._append_aside(record)
            self._busy = True
            try:
                return self._put(record)
            finally:
                self._busy = False
        finally:
            self._lock.release()

    def _append_aside(self, record: bytes) -> int:
        """Append with another writer, in the midst of an append with this one."""
        if self._beside is None or self._beside._generation != _forks.generation:
            try:
                self._beside = Journal(
                    self.folder,
                    max_bytes=self.max_bytes,
                    segment_bytes=self._segment_bytes,
                    durability=self.durability,
                )
            except OSError as error:
                raise self._failed(record, error) from error
        return self._beside.append(record)

    def _put(self, record: bytes) -> int:
        if self._generation != _forks.generation:
            self._begin_anew()
        size = RECORD_HEADER.size + len(record)
        if size > self._room:
            self._look_for_room(size)
        try:
            if self._file < 0 or (self._end and self._end + size > self._segment_bytes):
                self._begin_segment()
            number = self._number = self._number + 1
            self._write(number, record)
            # Looked at afterwards: what is in no file that anybody finds is not kept.
            if not self._is_in_place():
                self._say("%s: its files were deleted or moved away; it is begun anew", self.folder)
                self._leave_segment()
                self._begin_segment()
                self._write(number, record)
        except OSError as error:
            raise self._failed(record, error) from error
        self._end += size
        self._room -= size
        return number

    def _write(self, number: int, record: bytes) -> None:
        """Append a record, or nothing."""
        assert self._segment is not None  # noqa: S101 - narrowing: one was begun
        header = self._segment.header(number, record)
        if len(record) < _LONG:
            written = os.write(self._file, header + record)
        else:
            written = os.writev(self._file, (header, record))
        length = len(header) + len(record)
        if written == length:
            return
        packed = header + record
        try:
            while written < length:
                written += os.write(self._file, packed[written:])
        except OSError:
            try:
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            except OSError:  # a segment may end in half a record, but nothing may follow it
                self._leave_segment()
            raise

    def _is_in_place(self) -> bool:
        """Whether the file written to is still in the folder."""
        # A stat after each write would make the next one slower: Linux then has a time to note for it (6.13 on).
        # `access` goes by the user who started the process, and may be wrong for one that became another.
        return os.access(self._path, os.F_OK) or os.path.exists(self._path)  # noqa: PTH110 - on every append

    def _begin_segment(self) -> None:
        """Go on in a new segment. Where none can be made, in the one there is."""
        try:
            file, segment = self._made_segment()
        except OSError:
            if self._file >= 0:
                return
            raise
        self._leave_segment()
        self._file, self._segment = file, segment
        self._path = str(self.folder / segment.name)
        self._end, self._is_new = 0, True

    def _made_segment(self) -> tuple[int, Segment]:
        _owner_only.make_folder(self.folder)
        newest = newest_in(self.folder)
        for _ in range(_TRIES):  # a reader who looks whether it is held may hold it for a moment, or delete it as empty
            newest = max(time.time_ns(), newest + 1, self._segment.begun + 1 if self._segment is not None else 0)
            newest = min(newest, LATEST)
            segment = Segment.of(self._writer, newest)
            file = held.take(self.folder / segment.name, _FLAGS)
            if file is not None:
                return file, segment
        raise BlockingIOError(0, "its new segments are held by others")

    def _leave_segment(self) -> None:
        if self._file < 0:
            return
        file, self._file = self._file, -1
        if self._power:
            held.unlock(file)
            self._rolled.append(file)
        else:
            held.let_go(file)

    def _look_for_room(self, size: int) -> None:
        """Take a part of what all writers have left. Raises `JournalFullError` where a record does not fit."""
        now, length = time.monotonic(), size - RECORD_HEADER.size
        if length > MOST_BYTES:
            raise self._refused(length, f"a record of {length} bytes is too large; at most {MOST_BYTES}")
        if now >= self._full_until:
            left = self.max_bytes - self.size
            if size <= left:
                self._room = min(max(left // _SHARE, size), MOST_BYTES + RECORD_HEADER.size)
                return
            self._full_until = now + _LOOK_S
        raise self._refused(length, f"journal {self.folder} is full: it may hold {self.max_bytes} bytes")

    def _failed(self, record: bytes, error: OSError) -> JournalFullError:
        return self._refused(len(record), f"journal {self.folder} cannot be written: {error.strerror or error}")

    def _refused(self, length: int, why: str) -> JournalFullError:
        self._lost += 1
        self._lost_bytes += length
        return JournalFullError(why)

    def make_safe(self, number: int) -> None:
        """Wait until a record is on the disk. Those that wait together share one flush. Not for the thread of a loop.

        Raises `JournalFullError` where that failed: the record is in the segment, and may be gone with the power.
        """
        with self._syncing:
            if self._synced < number and self._unsafe < number:
                self._flush()
            if number <= self._unsafe:
                raise JournalFullError(f"journal {self.folder} cannot be flushed to its disk")

    def _flush(self) -> None:
        files: list[int] = []
        upto = self._number
        try:
            with self._lock:
                upto, is_new, files = self._number, self._is_new, self._rolled
                self._is_new, self._rolled = False, []
                if self._file >= 0:
                    files.append(held.copy(self._file))
            for each in files:
                _sync(each)
            if is_new:
                _sync_folder(self.folder)
            self._synced = upto
        except BaseException as error:
            # The next flush would succeed: the system has forgotten what it could not write.
            self._unsafe = upto
            with self._lock:
                self._leave_segment()
            if not isinstance(error, OSError):  # a signal handler's
                raise
            self._say("%s: cannot be flushed to its disk (%s)", self.folder, error)
        finally:
            for each in files:
                held.let_go(each)

    def end_segment(self) -> None:
        """Go on in another segment with the next record, so that this one can be released once it is read."""
        with self._lock:
            if not self._busy and self._generation == _forks.generation:
                self._leave_segment()

    def close(self) -> None:
        """Let go of the files. What is appended later begins a segment again."""
        if self._power and self._generation == _forks.generation:
            with suppress(JournalFullError):  # logged
                self.make_safe(self._number)
        self.end_segment()
        if self._beside is not None:
            self._beside.close()

    def __del__(self) -> None:
        for file in (self._file, *self._rolled):
            if file >= 0:
                held.let_go(file)

    def _say(self, text: str, *values: object) -> None:
        """Log it once, outside of the garbage collector, which may run under logging's own locks."""
        if text not in self._said:
            self._said.add(text)
            if in_collector():
                later(lambda: _log.error(text, *values))
            else:
                _log.error(text, *values)


def _sync(file: int) -> None:
    getattr(os, "fdatasync", os.fsync)(file)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
