"""The spool: requests in a journal until every exporter has delivered them.

A spool adds to a journal that it has several readers. Each has a place of its own, written to a file as it moves on;
what was delivered but not yet noted there is delivered again. What all of them have behind them is released; one that
gets nowhere is left behind where it would keep the others from what comes.

A request is a record: a byte for its signal, and its bytes. Spools of older versions (`.seg`, `older_spool`) are read
to their end.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from aicost import _forks, _owner_only
from aicost._errors import ConfigError
from aicost.journal import MOST_BYTES, Damaged, Journal, JournalFullError, Place, Record, held, release
from aicost.journal.segments import RECORD_HEADER, Damage, Segment, found_in, walk

from . import older_spool

_log = logging.getLogger("aicost.collector")

SIGNALS = ("traces", "metrics", "logs")
_SEGMENT = 64 * 2**20
_OVERHEAD = RECORD_HEADER.size + 1
_PLACE_WIDTH = 60


class SpooledRequest(NamedTuple):
    """A request that was kept."""

    signal: str
    data: bytes
    place: Place
    """Where the next one begins."""


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
        durability: Literal["process", "power"] = "process",
    ) -> None:
        self.folder, self.max_size, self.durability = folder, max_size, durability
        self._damaged = Damaged()
        self._gone = 0
        self._lock = _forks.lock()
        try:
            self._journal = Journal(
                folder,
                max_bytes=max_size,
                segment_bytes=min(_SEGMENT, max(max_size // 8, 1)),
                durability=durability,
            )
            owner = held.take(folder / "lock", os.O_WRONLY | os.O_APPEND)
            if owner is None:
                raise ConfigError(f"spool {folder} is in use by another process; give each its own folder")
            self._owner = owner
            self._sizes: dict[str, int] = {}
            self._look()
            self.readers = {name: SpoolReader(self, name) for name in readers}
        except OSError as error:
            raise ConfigError(f"spool {folder} cannot be used: {error.strerror}; choose a writable folder") from None
        for place in folder.glob("*.place"):
            if place.stem not in self.readers:
                _log.warning("spool %s: %s is no exporter any more; what was for it is left out", folder, place.stem)
                place.unlink(missing_ok=True)
        self._release()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(self._sizes.values())

    @property
    def lost_bytes(self) -> int:
        """What was found damaged, cut off, or deleted by somebody."""
        return self._damaged.bytes + self._damaged.cut_bytes + self._gone

    @property
    def waiting(self) -> int:
        """Bytes that the slowest reader has still to read."""
        return max((reader.waiting for reader in self.readers.values()), default=0)

    def append(self, signal: str, data: bytes) -> int:
        """Keep a request; returns its number, for `make_safe`. Raises `JournalFullError`."""
        size = _OVERHEAD + len(data)
        with self._lock:
            if self.size + size > self.max_size and not self.waiting:
                self._journal.end_segment()
                self._release()
            while self.size + size > self.max_size and self._leave_behind():
                pass
            if self.size + size > self.max_size:
                raise JournalFullError(f"the spool holds {self.size} bytes, of {self.max_size}")
            number = self._journal.write(bytes((SIGNALS.index(signal),)) + data)
            segment = self._journal.segment
            if segment in self._sizes:
                self._sizes[segment] += size
            else:
                self._look()
            return number

    def fits(self, size: int) -> bool:
        """Whether a request of this size can be kept, once there is room."""
        return size + _OVERHEAD <= self.max_size and size < MOST_BYTES

    def make_safe(self, number: int) -> None:
        """Wait until a request is on the disk. Those that wait together share one flush; call it in a thread."""
        self._journal.make_safe(number)

    def close(self) -> None:
        """Let go of the folder."""
        with self._lock:
            self._journal.close()
            if not self.waiting:  # or an exporter that is new by then would be sent what others had long ago
                self._release()
        for reader in self.readers.values():
            reader.close()
        held.let_go(self._owner)

    def _look(self) -> None:
        """See which segments there are: when one was begun, or somebody deleted some."""
        self._sizes = {
            **{file.name: file.stat().st_size for file in sorted(self.folder.glob(older_spool.PATTERN))},
            **{segment.name: size for segment, size in found_in(self.folder)},
        }

    def _release(self) -> None:
        """Delete what every reader has behind it."""
        behind = {
            name: min((reader.behind(name, size) for reader in self.readers.values()), default=size)
            for name, size in self._sizes.copy().items()
        }
        with self._lock:
            for name in release(self.folder, behind, damaged=self._damaged):
                self._sizes.pop(name, None)
            for name in [one for one in behind if older_spool.is_one(one) and behind[one] >= self._sizes.get(one, 0)]:
                (self.folder / name).unlink(missing_ok=True)
                self._sizes.pop(name, None)

    def _forget(self, segment: str, lost: int) -> None:
        """Do without a segment that somebody deleted."""
        _log.error("spool %s: %s was deleted, and %d bytes in it are lost", self.folder, segment, lost)
        self._gone += lost
        self._sizes.pop(segment, None)

    def _leave_behind(self) -> bool:
        """Give up the oldest segment for the readers that are still in it, if another one keeps up; whether it did.

        Otherwise a reader that gets nowhere would keep the others from what comes.
        """
        oldest = min(self._sizes, default=None)
        keeps_up = any(
            reader.takes
            and (oldest is None or reader.done.segment > oldest or not reader.waiting)
            and 2 * reader.waiting <= self.max_size
            for reader in self.readers.values()
        )
        if not keeps_up or oldest is None:
            return False
        if oldest == self._journal.segment:
            self._journal.end_segment()
        for reader in self.readers.values():
            reader.leave_behind(oldest)
        self._release()
        return oldest not in self._sizes

    def _after(self, segment: str) -> str | None:
        """The next segment there is."""
        return min((one for one in self._sizes.copy() if one > segment), default=None)


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
        self._open: tuple[str, int] | None = None
        self._walk: Iterator[Record | Damage] = iter(())
        self._under_way: deque[tuple[Place, list[bool]]] = deque()
        self.name = name
        self.takes = True
        """Whether what was handed over last was taken."""
        self.left_behind = 0
        """Bytes that were given up, so that others could go on."""

    @property
    def waiting(self) -> int:
        """Bytes that were not delivered yet."""
        return sum(size - self.behind(name, size) for name, size in self._spool._sizes.copy().items())

    def behind(self, segment: str, size: int) -> int:
        """How much of a segment was delivered."""
        if segment == self.done.segment:
            return min(size, self.done.offset)
        return size if segment < self.done.segment else 0

    def read(self) -> SpooledRequest | None:
        """The next record; None when there is none yet."""
        while True:
            one = next(self._walk, None)
            if one is None:
                if not self._go_on():
                    return None
            elif isinstance(one, Damage):
                self._spool._damaged.add(self._spool.folder, self._at.segment, one)
                self._pass(Place(self._at.segment, one.end))
            elif not one.data or one.data[0] >= len(SIGNALS):
                _log.error("spool: a request of a signal that this version does not know is left out")
                self._spool._gone += len(one.data)
                self._pass(one.end)
            else:
                self._at = one.end
                self._under_way.append((self._at, [False]))
                return SpooledRequest(SIGNALS[one.data[0]], one.data[1:], self._at)

    def _go_on(self) -> bool:
        """Begin to read what has come since, in this segment or the next; whether there is any."""
        segment, offset = self._at
        size = self._spool._sizes.get(segment, 0)
        if offset < size:
            try:
                self._walk = self._walked(segment, offset, size)
            except FileNotFoundError:
                self._spool._forget(segment, size - offset)
            return True
        following = self._spool._after(segment)
        if following is None:
            return False
        self._at = Place(following, 0)
        return True

    def _walked(self, segment: str, offset: int, size: int) -> Iterator[Record | Damage]:
        if self._open is None or self._open[0] != segment:
            self._let_go()
            self._open = segment, os.open(self._spool.folder / segment, os.O_RDONLY)
        if older_spool.is_one(segment):
            return older_spool.walk(self._open[1], segment, offset, size)
        return walk(self._open[1], Segment(segment), offset, size)

    def _pass(self, place: Place) -> None:
        """Go over something that nobody will get."""
        self._at = place
        self._under_way.append((place, [True]))
        self._move_on()

    def delivered(self, record: SpooledRequest) -> None:
        """Note that a record arrived, or will never. The place moves on over all that are done in a row."""
        for place, done in self._under_way:
            if place == record.place:
                done[0] = True
                break
        self._move_on()

    def _move_on(self) -> None:
        before = self.done
        while self._under_way and self._under_way[0][1][0]:
            self.done = self._under_way.popleft()[0]
        if self.done != before:
            self._store()
            if self.done.segment != before.segment:
                self._spool._release()

    @property
    def has_taken(self) -> bool:
        """Whether its exporter ever took anything out of this spool."""
        return self._taken.exists()

    def note_taken(self) -> None:
        """Remember that it did."""
        if not self._has_noted:
            self._has_noted = True
            _owner_only.create_empty(self._taken)

    def has_passed(self, record: SpooledRequest) -> bool:
        """Whether nobody waits for a record any more: it arrived, or was left behind."""
        return record.place <= self.done

    def leave_behind(self, segment: str) -> None:
        """Go on behind this segment."""
        size = self._spool._sizes[segment]
        lost = size - self.behind(segment, size)
        if self.done >= (segment, size):
            return
        self.left_behind += lost
        _log.error("spool: full; %d bytes are left out for %s, which does not take them", lost, self.name)
        self.done = Place(segment, size)
        if self._at < self.done:
            self._at, self._walk = self.done, iter(())
        while self._under_way and self._under_way[0][0] <= self.done:
            self._under_way.popleft()
        self._store()

    def _stored(self) -> Place:
        raw = os.pread(self._file, 2 * _PLACE_WIDTH, 0)
        place = older_spool.place(raw) or _place(raw)
        names = sorted(self._spool._sizes)
        if place is None or not names:
            return Place("", 0)
        if place.segment in names:
            return place
        # Released, or deleted by somebody: what is there now, and newer, is to be read. With the clock set back, what
        # comes next need not be newer than the place, only than what is there.
        later = [name for name in names if name > place.segment]
        return Place(later[0], 0) if later else Place(names[-1], self._spool._sizes[names[-1]])

    def _store(self) -> None:
        raw = f"{self.done.segment:<{_PLACE_WIDTH}}{self.done.offset:020d}".encode()
        os.pwrite(self._file, raw + b"%08x\n" % zlib.crc32(raw), 0)

    def _let_go(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._file)
        self._let_go()


def _place(raw: bytes) -> Place | None:
    """The place that was stored; None if it was only half, or never."""
    text, checksum = raw[: _PLACE_WIDTH + 20], raw[_PLACE_WIDTH + 20 : _PLACE_WIDTH + 28]
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    return Place(text[:_PLACE_WIDTH].decode().rstrip(), int(text[_PLACE_WIDTH:]))
