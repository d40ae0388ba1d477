"""What the tests of the journal share: what is in a folder, and a program that appends until it is killed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aicost.journal import Damaged, Record, read

EVERYTHING = 2**40


def records(folder: Path, places: Mapping[str, int] | None = None, damaged: Damaged | None = None) -> list[Record]:
    """All there is after these places."""
    return list(read(folder, places or {}, limit_bytes=EVERYTHING, damaged=damaged))


def contents(folder: Path, places: Mapping[str, int] | None = None) -> list[bytes]:
    """What they hold."""
    return [record.data for record in records(folder, places)]


def after(found: list[Record]) -> dict[str, int]:
    """The places behind these."""
    return dict(record.end for record in found)


def segments(folder: Path) -> list[Path]:
    """The segment files, oldest first."""
    return sorted(folder.glob("*.segment"))
