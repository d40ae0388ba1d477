"""A spool as the collector kept it before it had a journal."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

_SIGNALS = ("traces", "metrics", "logs")


def write_older_spool(
    folder: Path,
    segments: Sequence[Sequence[tuple[str, bytes]]],
    places: Mapping[str, tuple[int, int]],
    *,
    cut: int = 0,
) -> None:
    """Segments of (signal, content); each reader is in a segment, counted from 1, and has so many of it behind it.

    The last segment lacks its last `cut` bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ends: list[list[int]] = []
    for number, records in enumerate(segments, 1):
        raw, at = b"", [0]
        for signal, content in records:
            body = bytes((_SIGNALS.index(signal),)) + content
            raw += struct.pack("<IIB", len(content), zlib.crc32(body), body[0]) + content
            at.append(len(raw))
        if number == len(segments):
            raw = raw[: len(raw) - cut]
        (folder / f"{number:016d}.seg").write_bytes(raw)
        ends.append(at)
    for name, (number, behind) in places.items():
        raw = struct.pack("<QQ", number, ends[number - 1][behind])
        (folder / f"{name}.place").write_bytes(raw + struct.pack("<I", zlib.crc32(raw)))
