"""The spool: requests on disk until every exporter has delivered them.

Segment files of records, each with its length and a checksum. A record is safe from the death of the process once
`append` returns, and from that of the machine once `make_safe` does. Each reader has a place of its own, written to a
file as it moves on; what was delivered but not yet noted there is delivered again.

A tail that was cut in the midst of a record, as a full disk or a crash leaves it, ends a segment; so does a record
whose checksum is wrong. What is lost by that is counted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from aicost import _forks, _owner_only
from aicost._errors import ConfigError

_log = logging.getLogger("aicost.collector")

_HEADER = struct.Struct("<IIB")
"""Length of the content, checksum of signal and content, signal."""
_PLACE = struct.Struct("<QQI")
SIGNALS = ("traces", "metrics", "logs")
_SEGMENT = 64 * 2**20
_MOST_CONTENT = 1 << 30


class SpoolFullError(Exception):
    """Nothing more can be kept just now: the spool has its size, or the disk is full."""


class Record(NamedTuple):
    """A request that was kept."""

    signal: str
    data: bytes
    place: Place
    """Where the next one begins."""


class Place(NamedTuple):
    """A point in the spool."""

    segment: int
    offset: int


class Spool:
    """Requests on disk. `append` and the readers may be in different threads; a folder has one spool at a time.

    Raises `ConfigError` for a folder that cannot be used, or that another process uses.
    """

    def __init__(
        self,
        folder: Path,
        readers: Iterable[str],
        *,
        max_size: int = 2**30,
    ) -> None:
        self.lost_bytes = 0
        """What was found damaged."""
        self.folder = folder
        self.max_size = max_size
        self._segment_size = min(_SEGMENT, max(max_size // 8, 1))
        self._lock = _forks.lock()
        self._sync = _forks.lock()
        self._synced = 0
        self._appended = 0
        try:
            _owner_only.make_folder(folder)
            self._owner = os.fdopen(_owner_only.open_file(folder / "lock", os.O_WRONLY | os.O_APPEND), "a")
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"spool {folder} is in use by another process; give each its own folder") from None
        except OSError as error:
            raise ConfigError(f"spool {folder} cannot be used: {error.strerror}; choose a writable folder") from None
        self._sizes = {int(file.stem): file.stat().st_size for file in sorted(folder.glob("*.seg"))}
        self._next = max(self._sizes, default=0) + 1  # never append after a tail that may be cut
        self._file = -1
        self.readers = {name: SpoolReader(self, name) for name in readers}
        # Nor in a segment that a reader believes to have read: somebody may have deleted the files.
        self._next = max([self._next, *(reader.done.segment + 1 for reader in self.readers.values())])
        for place in folder.glob("*.place"):
            if place.stem not in self.readers:
                _log.warning("spool %s: %s is no exporter any more; what was for it is left out", folder, place.stem)
                place.unlink(missing_ok=True)
        self._tidy()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(self._sizes.values())

    @property
    def waiting(self) -> int:
        """Bytes that the slowest reader has still to read."""
        return max((reader.waiting for reader in self.readers.values()), default=0)

    def append(self, signal: str, data: bytes) -> int:
        """Keep a request; returns its number, for `make_safe`. Raises `SpoolFullError`."""
        number = SIGNALS.index(signal)
        body = bytes((number,)) + data
        record = _HEADER.pack(len(data), zlib.crc32(body), number) + data
        with self._lock:
            if self.size + len(record) > self.max_size:
                self._free()
            while self.size + len(record) > self.max_size and self._leave_behind():
                pass
            if self.size + len(record) > self.max_size:
                raise SpoolFullError(f"the spool holds {self.size} bytes, of {self.max_size}")
            try:
                self._write(record)
            except OSError as error:
                self._give_up_segment()
                raise SpoolFullError(f"the spool cannot be written: {error.strerror}") from error
            self._appended += 1
            return self._appended

    def fits(self, size: int) -> bool:
        """Whether a request of this size can be kept, once there is room."""
        return size + _HEADER.size <= self.max_size

    def _free(self) -> None:
        """Delete the segment that is written to, too, if everything in it was delivered."""
        if any(reader.waiting for reader in self.readers.values()):
            return
        self._end_segment()
        for segment in list(self._sizes):
            self._path(segment).unlink(missing_ok=True)
            del self._sizes[segment]

    def _leave_behind(self) -> bool:
        """Give up the oldest segment for the readers that are still in it, if another one keeps up; whether it did.

        Otherwise a reader that gets nowhere would keep the others from what comes.
        """
        oldest = min(self._sizes, default=self._next)
        keeps_up = any(
            reader.takes
            and (reader.done.segment > oldest or not reader.waiting)
            and 2 * reader.waiting <= self.max_size
            for reader in self.readers.values()
        )
        if not keeps_up or not self._sizes:
            return False
        if oldest == self._next:
            self._end_segment()
        following = min((one for one in self._sizes if one > oldest), default=self._next)
        for reader in self.readers.values():
            reader.leave_behind(oldest, following)
        self._path(oldest).unlink(missing_ok=True)
        del self._sizes[oldest]
        return True

    def _end_segment(self) -> None:
        """Go on in another one."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._next += 1

    def _write(self, record: bytes) -> None:
        if self._file < 0 or self._sizes[self._next] + len(record) > self._segment_size:
            self._begin_segment()
        size = self._sizes[self._next]
        written = 0
        while written < len(record):
            written += os.write(self._file, record[written:] if written else record)
        self._sizes[self._next] = size + len(record)

    def _begin_segment(self) -> None:
        if self._file >= 0:
            os.fdatasync(self._file)
            self._end_segment()
        path = self._path(self._next)
        self._file = _owner_only.open_file(path, os.O_WRONLY | os.O_APPEND)
        self._sizes[self._next] = os.fstat(self._file).st_size
        _sync_folder(self.folder)

    def _give_up_segment(self) -> None:
        """Go on in a new segment after a write that failed: the old one may end in half a record."""
        if self._file >= 0:
            kept = self._sizes[self._next]
            try:
                os.ftruncate(self._file, kept)
            except OSError:
                self._end_segment()

    def make_safe(self, number: int) -> None:
        """Wait until a request is on the disk. Those that wait together share one flush; call it in a thread."""
        with self._sync:
            if self._synced >= number:
                return
            with self._lock:
                upto, file = self._appended, os.dup(self._file) if self._file >= 0 else -1
            if file >= 0:  # a segment that was ended is on the disk already
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)
            self._synced = upto

    def close(self) -> None:
        """Let go of the folder."""
        with self._lock:
            self._free()  # or an exporter that is new by then would be sent what others had long ago
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
        for reader in self.readers.values():
            reader.close()
        self._owner.close()

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:016d}.seg"

    def _after(self, segment: int) -> int | None:
        """The next segment there is."""
        with self._lock:
            return min((one for one in self._sizes if one > segment), default=None)

    def _tidy(self) -> None:
        """Delete what every reader has behind it."""
        oldest = min((reader.done.segment for reader in self.readers.values()), default=self._next)
        with self._lock:
            for segment in [one for one in self._sizes if one < oldest]:
                self._path(segment).unlink(missing_ok=True)
                del self._sizes[segment]


class SpoolReader:
    """One exporter's way through the spool: `read` takes the next record, `delivered` says that it arrived."""

    def __init__(self, spool: Spool, name: str) -> None:
        self._spool = spool
        self._path = spool.folder / f"{name}.place"
        self._file = _owner_only.open_file(self._path, os.O_RDWR)
        self._taken = self._path.with_suffix(".taken")
        self._has_noted = False
        self.done = self._stored()
        """Everything before it was delivered."""
        self._at = self.done
        self._segment = -1
        self._open: int | None = None
        self._under_way: deque[tuple[Place, list[bool]]] = deque()
        self.name = name
        self.takes = True
        """Whether what was handed over last was taken."""
        self.left_behind = 0
        """Bytes that were given up, so that others could go on."""

    @property
    def waiting(self) -> int:
        """Bytes that were not delivered yet."""
        sizes = self._spool._sizes.copy()
        behind = sum(size for segment, size in sizes.items() if segment >= self.done.segment)
        return behind - (self.done.offset if self.done.segment in sizes else 0)

    def read(self) -> Record | None:
        """The next record; None when there is none yet."""
        while True:
            found = self._read_here()
            if found is not None:
                return found
            following = self._spool._after(self._at.segment)
            if following is None:
                return None
            self._skip_rest(self._at)
            self._at = Place(following, 0)

    def _read_here(self) -> Record | None:
        segment, offset = self._at
        size = self._spool._sizes.get(segment, 0)
        if offset + _HEADER.size > size:
            return None
        file = self._opened(segment)
        length, checksum, number = _HEADER.unpack(os.pread(file, _HEADER.size, offset))
        end = offset + _HEADER.size + length
        if length > _MOST_CONTENT or end > size or number >= len(SIGNALS):
            return None
        data = os.pread(file, length, offset + _HEADER.size)
        if len(data) != length or zlib.crc32(bytes((number,)) + data) != checksum:
            return None
        self._at = Place(segment, end)
        self._under_way.append((self._at, [False]))
        return Record(SIGNALS[number], data, self._at)

    def _skip_rest(self, at: Place) -> None:
        lost = self._spool._sizes.get(at.segment, 0) - at.offset
        if lost > 0:
            self._spool.lost_bytes += lost
            _log.error("spool: %d bytes at the end of segment %d are damaged and were left out", lost, at.segment)

    def delivered(self, record: Record) -> None:
        """Note that a record arrived, or will never. The place moves on over all that are done in a row."""
        for place, done in self._under_way:
            if place == record.place:
                done[0] = True
                break
        moved = False
        while self._under_way and self._under_way[0][1][0]:
            self.done = self._under_way.popleft()[0]
            moved = True
        if moved:
            before = self._stored_segment
            self._store()
            if self.done.segment != before:
                self._spool._tidy()

    @property
    def has_taken(self) -> bool:
        """Whether its exporter ever took anything out of this spool."""
        return self._taken.exists()

    def note_taken(self) -> None:
        """Remember that it did."""
        if not self._has_noted:
            self._has_noted = True
            _owner_only.create_empty(self._taken)

    def has_passed(self, record: Record) -> bool:
        """Whether nobody waits for a record any more: it arrived, or was left behind."""
        return record.place <= self.done

    def leave_behind(self, segment: int, following: int) -> None:
        """Go on in the following segment, if this reader is in this one still."""
        if self.done.segment > segment:
            return
        lost = self._spool._sizes[segment] - (self.done.offset if self.done.segment == segment else 0)
        self.left_behind += lost
        if lost:
            _log.error("spool: full; %d bytes are left out for %s, which does not take them", lost, self.name)
        self.done = Place(following, 0)
        self._at = max(self._at, self.done)
        while self._under_way and self._under_way[0][0] <= self.done:
            self._under_way.popleft()
        self._store()

    def _stored(self) -> Place:
        raw = os.pread(self._file, _PLACE.size, 0)
        first = min(self._spool._sizes, default=self._spool._next)
        place = Place(first, 0)
        if len(raw) == _PLACE.size:
            segment, offset, checksum = _PLACE.unpack(raw)
            if checksum == zlib.crc32(raw[:16]) and (segment >= first):
                place = Place(segment, offset)
        self._stored_segment = place.segment
        return place

    def _store(self) -> None:
        raw = struct.pack("<QQ", *self.done)
        os.pwrite(self._file, raw + struct.pack("<I", zlib.crc32(raw)), 0)
        self._stored_segment = self.done.segment

    def _opened(self, segment: int) -> int:
        if self._segment != segment or self._open is None:
            if self._open is not None:
                os.close(self._open)
            self._open = os.open(self._spool._path(segment), os.O_RDONLY | os.O_CLOEXEC)
            self._segment = segment
        return self._open

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._file)
        if self._open is not None:
            os.close(self._open)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
