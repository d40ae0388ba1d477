"""Files and folders that their owner alone can read, from their first byte on.

Created with their mode: a `chmod` afterwards would leave a moment in which others can open them, and a umask is one for
all threads of a process. What exists already keeps the mode that somebody gave it.
"""

from __future__ import annotations

import os
from pathlib import Path

_FILE, _FOLDER = 0o600, 0o700


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing; `Path.mkdir` gives only the last one a mode.

    Raises `OSError` when it cannot be made, or something else has its name.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    try:
        path.mkdir(_FOLDER)
    except FileExistsError:  # by another process, a moment ago
        if not path.is_dir():
            raise


def open_file(path: str | os.PathLike[str], flags: int) -> int:
    """A descriptor of the file, which is created if it is not there. `flags` are those of `os.open`."""
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_BINARY", 0), _FILE)  # Windows would change line ends


def write_bytes(path: Path, data: bytes) -> None:
    """Write the whole file, new or over what it holds."""
    with os.fdopen(open_file(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(data)


def create_empty(path: Path) -> None:
    """Have the file be there, for a library that opens it by its name and would create it for everybody."""
    os.close(open_file(path, os.O_WRONLY))
