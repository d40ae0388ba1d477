"""Where a ledger is, a file or a server, and where its journal is: beside the file, or in the user's state folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from aicost._errors import LedgerError
from aicost._ledger_url import LedgerUrl, is_url
from aicost._settings import Surroundings

from .connection import located
from .engines import engine_of
from .engines.sqlite import SqliteSnapshot, SqliteStore
from .store import Snapshot, Store

Where: TypeAlias = Path | LedgerUrl
"""A file, or a server. As text it may be shown: it is without a password."""

SERVER_TIMEOUT_S = 10.0
"""How long a server may take to answer."""


def where_is(given: str | PathLike[str] | LedgerUrl) -> Where:
    """A ledger as it was named: a path, with links followed, or a URL. Raises `LedgerError` for a URL that is none."""
    if isinstance(given, LedgerUrl):
        return given
    return LedgerUrl(given) if isinstance(given, str) and is_url(given) else located(given)


def journal_of(where: Where) -> Path:
    """The folder of a ledger's journal: beside its file. That of a server is the same whatever its password is now.

    Raises `ConfigError` for a server's of a user without a home.
    """
    if isinstance(where, Path):
        return where.with_name(f"{where.name}.journal")
    named = hashlib.blake2b(str(where).encode(), digest_size=16).hexdigest()
    return Surroundings().state_folder / "journals" / named


def beside(where: Where, name: str) -> Path:
    """A file that belongs to a ledger: beside it, or beside the journal of a server's."""
    place = where if isinstance(where, Path) else journal_of(where)
    return place.with_name(f"{place.name}.{name}")


def open_store(where: Where, *, synchronous: str = "FULL", timeout_s: float) -> Store:
    """A ledger for writing; it is made if there is none. `synchronous` is for a file.

    Raises `LedgerError`, and for a file `sqlite3.Error` and `OSError`.
    """
    if isinstance(where, Path):
        return SqliteStore(where, synchronous=synchronous, timeout_s=timeout_s)
    with _unshown(where):
        return engine_of(where.secret).open_store(where.secret, timeout_s=max(timeout_s, SERVER_TIMEOUT_S))


def open_snapshot(where: Where, *, timeout_s: float) -> Snapshot:
    """A ledger for questions. Raises `LedgerError` for what is none, or cannot be reached."""
    if isinstance(where, Path):
        return SqliteSnapshot.open(where, timeout_s=timeout_s)
    with _unshown(where):
        return engine_of(where.secret).open_snapshot(where.secret, timeout_s=max(timeout_s, SERVER_TIMEOUT_S))


@contextmanager
def _unshown(url: LedgerUrl) -> Iterator[None]:
    """Whatever a client's error says, the password is not in it."""
    try:
        yield
    except LedgerError as error:
        hidden = url.hidden_in(str(error))
        if hidden == str(error):
            raise
        raise LedgerError(hidden) from None
