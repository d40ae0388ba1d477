"""The reading end of a journal: `read` from the places a consumer has come to, then `release` what it has behind it.

A consumer keeps its places with what it made of the records, in one transaction: then each record counts once,
whenever either of them is killed. Where records have to survive the power, that transaction has to be on the disk
before they are released.

    with ingesting(folder) as alone:
        if alone:
            batch = list(read(folder, places, limit_bytes=2**22))
            ...                       # keep what they say, and `record.end` of each segment's last as its place
            for segment in release(folder, places):
                del places[segment]
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from aicost import _owner_only

from . import held
from .segments import RECORD_HEADER, Damage, Record, Segment, found_in, walk

_log = logging.getLogger("aicost.journal")

_IDENTITY, _IDENTITY_BYTES = "journal.id", 16

_MOST_DAMAGED = 16
"""Damaged segments that are kept; of more, the newest."""


class Damaged:
    """What a consumer could not read, so far: told once, and counted once."""

    def __init__(self) -> None:
        self.bytes = 0
        """Of records that were acknowledged."""
        self.cut_bytes = 0
        """Of records that were not, as their writer died in the midst of them."""
        self._spots: dict[str, set[int]] = {}
        self._told: set[str] = set()

    def add(self, folder: Path, segment: str, spot: Damage) -> None:
        """Count it, and keep a segment that is damaged for a person, under another name; unless it is known."""
        spots = self._spots.setdefault(segment, set())
        if spot.offset in spots:
            return
        spots.add(spot.offset)
        length = spot.end - spot.offset
        if spot.is_cut:
            self.cut_bytes += length
            _log.warning("journal %s: the last record of %s was cut short, and is left out", folder, segment)
            return
        self.bytes += length
        kept = f"kept as {segment}.damaged" if _keep_damaged(folder, segment) else "and could not be kept"
        _log.error(
            "journal %s: %d bytes at %d are damaged and left out; the segment is %s", folder, length, spot.offset, kept
        )

    def tell(self, folder: Path, segment: str, what: str, error: OSError) -> None:
        """Log that a segment is left for the next time."""
        if segment not in self._told:
            self._told.add(segment)
            _log.error("journal %s: %s cannot be %s, and is left for later: %s", folder, segment, what, error)

    def forget(self, segment: str) -> None:
        """It is there no more."""
        self._spots.pop(segment, None)
        self._told.discard(segment)


def identity_of(folder: Path) -> str | None:
    """The id of a journal, by which a store that several ingest into knows whose places are whose; None without one."""
    try:
        said = (folder / _IDENTITY).read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return said if len(said) == 2 * _IDENTITY_BYTES and not said.strip("0123456789abcdef") else None


def identified(folder: Path) -> str:
    """The id of a journal, which is given one if it has none. For who is `ingesting`."""
    known = identity_of(folder)
    if known is None:
        known = os.urandom(_IDENTITY_BYTES).hex()
        new = folder / f"{_IDENTITY}.new"
        _owner_only.write_bytes(new, known.encode("ascii"))
        new.replace(folder / _IDENTITY)
    return known


def ingesting(folder: Path, *, wait_s: float = 0.0) -> AbstractContextManager[bool]:
    """Be the only one to read and release in this block; tells whether one is.

    Not where another has been for `wait_s`, or in a folder that is not there or cannot be written. A process that dies
    makes room for the next.
    """
    return held.holding(folder / "ingest.lock", wait_s=wait_s)


def read(
    folder: Path, places: Mapping[str, int], *, limit_bytes: int, damaged: Damaged | None = None
) -> Iterator[Record]:
    """The records after these places, by segment; oldest segment first, each writer's in order.

    Ends after the record with which `limit_bytes` of the files are reached, or with the last that is whole: one that is
    being written is there the next time, and so is what follows a damaged one, once its writer has left the segment. A
    segment that cannot be read just now is left out, and told of in the log.
    """
    found = damaged or Damaged()
    for segment, size in _in_order(folder):
        start = places.get(segment.name, 0)
        if start >= size:
            continue
        try:
            for record in _rest(folder, segment, start, found):
                yield record
                limit_bytes -= RECORD_HEADER.size + len(record.data)
                if limit_bytes <= 0:
                    return
        except OSError as error:
            found.tell(folder, segment.name, "read", error)


def _in_order(folder: Path) -> list[tuple[Segment, int]]:
    """The segments, none before an older one of its writer.

    A segment that is begun while a folder is listed may be in the list, and the one before it not. It is in the next
    list, with all that were begun before the first one ended.
    """
    newest = {segment.writer: segment.begun for segment, _ in found_in(folder)}
    return [one for one in found_in(folder) if one[0].begun <= newest.get(one[0].writer, -1)]


def waiting(folder: Path, places: Mapping[str, int]) -> int:
    """Bytes that are still to be read."""
    return sum(max(0, size - places.get(segment.name, 0)) for segment, size in found_in(folder))


def release(folder: Path, places: Mapping[str, int], *, damaged: Damaged | None = None) -> list[str]:
    """Delete the segments that were wholly read and will not grow; returns their names, whose places are done with.

    They will not grow if their writer is dead, or has gone on to another.
    """
    found, released = damaged or Damaged(), []
    for segment, _ in found_in(folder):
        path = folder / segment.name
        try:
            # Held meanwhile, or one that was begun a moment ago would be written to and deleted.
            file = held.take(path, os.O_RDWR, create=False)
            if file is None:
                continue
            try:
                place, size = places.get(segment.name, 0), os.fstat(file).st_size
                # What follows the last record is one that was cut, or damaged.
                if place >= size or next(_whole_in(file, folder, segment, place, size, found), None) is None:
                    path.unlink()
                    found.forget(segment.name)
                    released.append(segment.name)
            finally:
                held.let_go(file)
        except FileNotFoundError:
            released.append(segment.name)
        except OSError as error:
            found.tell(folder, segment.name, "released", error)
    return released


def _rest(folder: Path, segment: Segment, start: int, damaged: Damaged) -> Iterator[Record]:
    """The records of a segment from here on, as far as they are whole."""
    try:
        file = os.open(folder / segment.name, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:  # deleted, since
        return
    try:
        # In this order: what nobody held has all its bytes by now.
        grows = held.is_held(file)
        size = os.fstat(file).st_size
        yield from _whole_in(file, folder, segment, start, size, damaged, grows=grows)
    finally:
        os.close(file)


def _whole_in(
    file: int, folder: Path, segment: Segment, start: int, size: int, damaged: Damaged, *, grows: bool = False
) -> Iterator[Record]:
    for one in walk(file, segment, start, size):
        if isinstance(one, Record):
            yield one
            continue
        # Being written, as a rule. Even what is before a whole record may have been half of one that the writer could
        # not finish, cut off and wrote over, all while this was read.
        if grows:
            return
        damaged.add(folder, segment.name, one)


def _keep_damaged(folder: Path, segment: str) -> bool:
    """Give a segment a second name, under which it is there when it was released."""
    try:
        for old in sorted(folder.glob("*.damaged"))[: -_MOST_DAMAGED + 1]:
            old.unlink()
        kept = folder / f"{segment}.damaged"
        if kept.exists():
            return True
        try:
            kept.hardlink_to(folder / segment)
        except OSError:  # not every file system has links
            _owner_only.write_bytes(kept, (folder / segment).read_bytes())
    except OSError:
        return False
    return True
