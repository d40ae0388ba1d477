"""Files that are held while their process lives: a lock of the operating system, which it takes back at the end.

Whoever forks shares such a lock with the child, and it would outlive the one who took it. So in every child what was
held is let go of at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aicost import _forks, _owner_only

_LOOK_S = 0.01
"""How long it is between two looks whether a file is free."""

_held: set[int] = set()

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 2**62

    def _lock(file: int, *, shared: bool) -> None:  # noqa: ARG001 - there are only exclusive ones
        os.lseek(file, _BEYOND, os.SEEK_SET)  # others cannot read what is locked there
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int) -> None:
        os.lseek(file, _BEYOND, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int, *, shared: bool) -> None:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


def take(path: Path, flags: int, *, create: bool = True) -> int | None:
    """Open the file and hold it; None if another has it, or has deleted it meanwhile. Raises `OSError`."""
    file = _owner_only.open_file(path, flags) if create else os.open(path, flags | getattr(os, "O_BINARY", 0))
    _held.add(file)
    try:
        _lock(file, shared=False)
        if os.path.samestat(os.fstat(file), os.stat(path)):  # noqa: PTH116 - beside os.fstat
            return file
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass
    except BaseException:
        let_go(file)
        raise
    let_go(file)
    return None


def let_go(file: int) -> None:
    """Close it."""
    _held.discard(file)
    os.close(file)


def release(file: int) -> None:
    """Hold it no longer, but leave it open."""
    _unlock(file)
    _held.discard(file)


def is_held(file: int) -> bool:
    """Whether a process, this one too, holds the file that is open here once more."""
    try:
        _lock(file, shared=True)
    except (BlockingIOError, PermissionError):
        return True
    _unlock(file)
    return False


@contextmanager
def held(path: Path, *, wait_s: float) -> Iterator[bool]:
    """Hold the file in the block, if nobody else does within that time, or it cannot be opened; whether it is held."""
    until, file = time.monotonic() + wait_s, None
    with suppress(OSError):
        while (file := take(path, os.O_RDWR)) is None and time.monotonic() < until:
            time.sleep(_LOOK_S)
    try:
        yield file is not None
    finally:
        if file is not None:
            let_go(file)


def _let_go_in_child() -> None:
    # Not closed: somebody half-way through a write would write to whatever is opened next.
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for file in _held:
            os.dup2(nowhere, file, inheritable=False)
        os.close(nowhere)
    _held.clear()


_forks.in_child(_let_go_in_child)
