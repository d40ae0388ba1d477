"""Reading spools as aicost kept them before it had a journal: what they hold is delivered, nothing is added.

Segments `0000000000000001.seg` of records: length of the content, crc32 of signal and content, signal, content. A
damaged record ended its segment. A place was the number of a segment, an offset and their checksum.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator

from aicost.journal import Place, Record
from aicost.journal.segments import Damage

PATTERN = "*.seg"

_HEADER = struct.Struct("<IIB")
_PLACE = struct.Struct("<QQI")


def is_one(segment: str) -> bool:
    """Whether it is an older version's. By their names, they are before all of this version's."""
    return segment.endswith(".seg")


def walk(file: int, segment: str, offset: int, size: int) -> Iterator[Record | Damage]:
    """What is in a segment from this offset on."""
    while offset < size:
        header = os.pread(file, _HEADER.size, offset)
        length, checksum, _ = _HEADER.unpack(header.ljust(_HEADER.size, b"\0"))
        end = offset + _HEADER.size + length
        if len(header) < _HEADER.size or end > size:
            yield Damage(offset, size, is_cut=True)
            return
        body = header[-1:] + os.pread(file, length, offset + _HEADER.size)
        if zlib.crc32(body) != checksum:
            yield Damage(offset, size, is_cut=False)
            return
        yield Record("", 0, body, Place(segment, end))
        offset = end


def place(raw: bytes) -> Place | None:
    """A place as older versions stored it; None if it is none."""
    if len(raw) != _PLACE.size:
        return None
    segment, offset, checksum = _PLACE.unpack(raw)
    return Place(f"{segment:016d}.seg", offset) if checksum == zlib.crc32(raw[:16]) else None
