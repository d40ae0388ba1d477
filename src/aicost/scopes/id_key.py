"""The key of every digest: without one, whoever has a digest of a phone number finds the number by trying all of them.

`AICOST_ID_KEY` if it is set; else a random one, made when something is first to be hashed and kept in the user's state
directory, so that all processes of the user agree.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from aicost import _owner_only, _settings
from aicost._errors import ConfigError

_log = logging.getLogger("aicost")
_found: dict[str, bytes] = {}
"""Holds the key once it is known. No lock, which a forked child might find held: threads that come at once agree by the
file, or by which of them was first here."""

_chosen: dict[str, str | None] = {}
"""Holds what the settings say, once they were asked."""

_LEAST = 16
"""Characters a key in a file has at least; a file with fewer was cut."""


def id_key() -> bytes:
    """The key in force. Never raises: where none can be kept, it is this process's own, and the log says so once."""
    chosen = _chosen_key()
    if chosen is not None:
        return chosen.encode("utf-8", "surrogatepass")
    return _found.get("key") or _make()


def use(key: str | None) -> None:
    """Use the key of settings that were read, or, if they have none, the one in the state directory."""
    _chosen["key"] = key


def _chosen_key() -> str | None:
    if "key" not in _chosen:  # nobody has read the settings, or they could not be
        try:
            found = _settings.id_key()
        except ConfigError:  # which `init()` has raised, or will
            found = None
        _chosen.setdefault("key", found)
    return _chosen["key"]


def _make() -> bytes:
    drawn = os.urandom(32).hex()
    try:
        return _found.setdefault("key", _kept(_settings.Surroundings().state_folder / "id.key", drawn))
    except (OSError, ValueError, ConfigError) as error:
        own = drawn.encode()
        key = _found.setdefault("key", own)
        if key is own:
            _log.warning(
                "no key for digests of ids and API keys can be kept (%s): they are this process's own and differ "
                "from those of any other. Set AICOST_ID_KEY to the same secret everywhere to have them agree.",
                error,
            )
        return key


def _kept(path: Path, drawn: str) -> bytes:
    """The key in the file, which is made with `drawn` if there is none. It is whole from the moment it has its name."""
    if not path.exists():
        _owner_only.make_folder(path.parent)
        own = path.with_name(f"{path.name}.{os.getpid()}.{drawn[:8]}")
        try:
            _owner_only.write_bytes(own, drawn.encode() + b"\n")
            with contextlib.suppress(FileExistsError):  # another process was faster: its key is the one
                os.link(own, path)
        finally:
            with contextlib.suppress(OSError):
                own.unlink()
    key = path.read_bytes().strip()
    if len(key) < _LEAST:
        raise ValueError(f"{path} holds no key; delete it")
    return key
