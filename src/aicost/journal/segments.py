"""The format of a journal: a folder of segment files, each written by one process and only ever appended to.

    001881f26f1c2a00-9f86d081884c7d659a2feaa0c55ad015.segment     when it was begun (ns), the id of its writer; in hex
    9f86d081... .segment.damaged                                  another name of one in which something was damaged

A segment is records, one after the other and nothing else, numbers little-endian:

    marker     4 bytes   the first of the writer's id: where a record may begin, after bytes that are damaged
    checksum   4 bytes   crc32 of length, number and content, begun with the crc32 of the file's name
    length     4 bytes   of the content, at most 1 GiB
    number     8 bytes   1, 2, 3, ... within the writer, across its segments
    content

Names sort by age: whoever begins a segment takes the time, or one more than the newest in the folder where the clock
was set back. A process holds its segment with a lock (`flock`) for as long as it may append to it: one that nobody
holds is as long as it will ever be, and its last record may be cut.

What is damaged in the midst of a segment is skipped, once nobody holds it, up to the next whole record: one with the
writer's marker, a checksum that is right, and a number above those before it. The length in a damaged record is not
trusted: it may be what is damaged. As marker and checksum depend on the writer's id, which is random, no content can
look like a record by intent; one that holds a piece of a journal holds another writer's, or numbers that were before.
So a record is read as it was written, or not at all. No more is read at once than the file holds, whatever length a
record tells.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

RECORD_HEADER = struct.Struct("<4sIIQ")
CHECKED = struct.Struct("<IQ")
"""What of the header is in the checksum, beside the content."""
MOST_BYTES = 2**30
"""Of one record."""

LATEST = 2**63 - 1
"""When a segment may have been begun: a name that tells of a later time is somebody else's."""

_NAME = re.compile(r"([0-7][0-9a-f]{15})-([0-9a-f]{32})\.segment")
_CHUNK = 2**18


class Place(NamedTuple):
    """A point in a journal: everything before it in this segment was read."""

    segment: str
    offset: int


class Record(NamedTuple):
    """What was appended."""

    writer: str
    number: int
    """Rises within its writer, across its segments. A number that is missing was refused, or is damaged."""
    data: bytes
    end: Place
    """Where the next one begins."""


class Segment:
    """What the name of a segment tells. Raises `ValueError` for the name of something else."""

    __slots__ = ("begun", "marker", "name", "seed", "writer")

    def __init__(self, name: str) -> None:
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} is not the name of a segment")
        self.name = name
        self.begun, self.writer = int(match[1], 16), match[2]
        self.marker = bytes.fromhex(self.writer[:8])
        self.seed = zlib.crc32(name.encode())

    @classmethod
    def of(cls, writer: str, begun: int) -> Segment:
        """The one that a writer begins then, in ns."""
        return cls(f"{begun:016x}-{writer}.segment")

    def header(self, number: int, data: bytes) -> bytes:
        """What is in the file before a record's content."""
        length = len(data)
        checksum = zlib.crc32(data, zlib.crc32(CHECKED.pack(length, number), self.seed))
        return RECORD_HEADER.pack(self.marker, checksum, length, number)


def found_in(folder: Path) -> list[tuple[Segment, int]]:
    """The segments in a folder and their sizes, oldest first. None, where there is no folder."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".segment"):
                    # What is not the name of one is somebody else's; what is not there was released, since.
                    with suppress(ValueError, FileNotFoundError):
                        found.append((Segment(entry.name), entry.stat().st_size))
    except FileNotFoundError:
        return []
    found.sort(key=lambda one: one[0].name)
    return found


def size_of(folder: Path) -> int:
    """Bytes of all segments in a folder."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with suppress(FileNotFoundError):
                    total += entry.stat().st_size
    return total


def newest_in(folder: Path) -> int:
    """When the newest segment in a folder was begun, by its name; 0 where there is none."""
    return int(max(filter(_NAME.fullmatch, os.listdir(folder)), default="0")[:16], 16)  # noqa: PTH208 - faster


class Damage(NamedTuple):
    """Bytes from `offset` to `end` that are no record, before a whole one or at the end of the segment."""

    offset: int
    end: int
    is_cut: bool
    """Whether it is what a write that was cut short leaves at the end. It was never acknowledged."""


def walk(file: int, segment: Segment, offset: int, size: int) -> Iterator[Record | Damage]:
    """What is in a segment from this offset on. Raises `OSError` where it cannot be read."""
    window, last, known = _Window(file, size), 0, offset == 0
    name, writer = segment.name, segment.writer
    while offset < size:
        whole = _whole(window, segment, offset)
        if whole is not None:
            last, data, end = whole
            known = True
            yield Record(writer, last, data, Place(name, end))
            offset = end
            continue
        if not known:  # what comes after must have a number above those before
            last, known = _last_number(file, segment, offset), True
        end = _next_whole(window, segment, offset + 1, last)
        yield Damage(offset, end, end == size and _is_cut(window, segment, offset))
        offset = end


class _Window:
    """A file, read in chunks."""

    def __init__(self, file: int, size: int) -> None:
        self.file, self.size = file, size
        self.begins, self.chunk = 0, b""

    def at(self, offset: int, length: int) -> int:
        """Have these bytes in the chunk; returns where in it they begin, or -1 if there are not so many."""
        begins = offset - self.begins
        if begins >= 0 and begins + length <= len(self.chunk):
            return begins
        if offset + length > self.size:
            return -1
        os.lseek(self.file, offset, os.SEEK_SET)
        wanted = min(max(length, _CHUNK), self.size - offset)
        self.begins, self.chunk = offset, os.read(self.file, wanted)
        return 0 if len(self.chunk) >= length else -1


def _whole(window: _Window, segment: Segment, offset: int) -> tuple[int, bytes, int] | None:
    """The record that begins here, as (number, content, end)."""
    at = window.at(offset, RECORD_HEADER.size)
    if at < 0:
        return None
    marker, checksum, length, number = RECORD_HEADER.unpack_from(window.chunk, at)
    if marker != segment.marker or length > MOST_BYTES:
        return None
    at = window.at(offset + RECORD_HEADER.size, length)
    if at < 0:
        return None
    data = window.chunk[at : at + length]  # a whole chunk is not copied
    if zlib.crc32(data, zlib.crc32(CHECKED.pack(length, number), segment.seed)) != checksum:
        return None
    return number, data, offset + RECORD_HEADER.size + length


def _next_whole(window: _Window, segment: Segment, offset: int, last: int) -> int:
    """Where the next record begins whose number is above; the segment's end if none does."""
    while (at := window.at(offset, RECORD_HEADER.size)) >= 0:
        found = window.chunk.find(segment.marker, at)
        if found < 0:  # a part of it may be at the end of this chunk
            offset = max(offset + 1, window.begins + len(window.chunk) - len(segment.marker) + 1)
            continue
        offset = window.begins + found
        whole = _whole(window, segment, offset)
        if whole is not None and whole[0] > last:
            return offset
        offset += 1
    return window.size


def _last_number(file: int, segment: Segment, end: int) -> int:
    """The number of the last record before this offset."""
    numbers = [one.number for one in walk(file, segment, 0, end) if isinstance(one, Record)]
    return numbers[-1] if numbers else 0


def _is_cut(window: _Window, segment: Segment, offset: int) -> bool:
    """Whether what is left is the beginning of a record, or room that was never written to, as a crash leaves it."""
    at = window.at(offset, RECORD_HEADER.size)
    if at < 0:
        return True
    marker, _, length, _ = RECORD_HEADER.unpack_from(window.chunk, at)
    if marker == segment.marker:
        return bool(length <= MOST_BYTES and offset + RECORD_HEADER.size + length > window.size)
    while (at := window.at(offset, 1)) >= 0:
        if window.chunk[at:].strip(b"\0"):
            return False
        offset = window.begins + len(window.chunk)
    return True
