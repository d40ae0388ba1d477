"""What a ledger is kept in: a file, or a server that a URL names. One file here for each kind.

Where one is given, a path is a SQLite file, and a URL a server: `postgresql://user:password@host:5432/database`,
`clickhouse://user:password@host:8123/database`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from aicost._errors import ConfigError
from aicost._ledger_url import is_url
from aicost.ledger.store import Snapshot, Store

__all__ = ["Engine", "engine_of", "is_url"]

_SERVERS = {"postgresql": "postgresql", "postgres": "postgresql", "clickhouse": "clickhouse"}
"""The file here, and the extra, that each scheme of a URL needs."""


class Engine(Protocol):
    """What a file of a server has."""

    def open_snapshot(self, url: str, *, timeout_s: float) -> Snapshot:
        """For questions. Raises `LedgerError` without the password for what cannot be reached or is no ledger."""

    def open_store(self, url: str, *, timeout_s: float) -> Store:
        """For writing; the tables are made if there are none. Raises `LedgerError` as above."""


def engine_of(url: str) -> Engine:
    """The engine of a server. Raises `ConfigError` for one that nobody knows, or whose client is not installed."""
    scheme = url.partition("://")[0].lower()
    name = _SERVERS.get(scheme)
    if name is None:
        known = ", ".join(f"{one}://" for one in _SERVERS)
        raise ConfigError(f"a ledger cannot be on {scheme}://; give a path, or a URL that begins with {known}")
    try:
        return cast("Engine", import_module(f"{__name__}.{name}"))
    except ImportError as error:
        raise ConfigError(
            f"a ledger on {scheme}:// needs its client: pip install 'aicost[{name}]' ({error})"
        ) from error
