"""What a ledger is kept in: a file, or a server that a URL names. One file here for each kind.

Where one is given, a path is a SQLite file, and a URL a server: `postgresql://user:password@host:5432/database`,
`clickhouse://user:password@host:8123/database`.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from aicost._errors import ConfigError
from aicost.ledger.store import Snapshot, Store

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)

_SERVERS = {"postgresql": "postgresql", "postgres": "postgresql", "clickhouse": "clickhouse"}
"""The file here, and the extra, that each scheme of a URL needs."""


class Engine(Protocol):
    """What a file of a server has."""

    def open_snapshot(self, url: str, *, timeout_s: float) -> Snapshot:
        """For questions. Raises `LedgerError` without the password for what cannot be reached or is no ledger."""

    def open_store(self, url: str, *, timeout_s: float) -> Store:
        """For writing; the tables are made if there are none. Raises `LedgerError` as above."""


def is_url(where: str | Path) -> bool:
    """Whether a ledger is on a server.

    >>> is_url("postgresql://db/costs"), is_url("costs.sqlite"), is_url(r"C:\\costs.sqlite")
    (True, False, False)
    """
    return isinstance(where, str) and _URL.match(where) is not None


def shown(where: str | Path) -> str:
    """Where a ledger is, for people to read: of a URL no user, password or option.

    >>> shown("postgresql://me:secret@db:5432/costs?sslmode=require"), shown("costs.sqlite")
    ('postgresql://db:5432/costs', 'costs.sqlite')
    """
    if not isinstance(where, str) or not is_url(where):
        return str(where)
    scheme, _, rest = where.partition("://")
    # A password may hold any of these signs, if its owner forgot to escape them: less is shown, and never more.
    return f"{scheme}://{re.split('[?&#;]', rest.rpartition('@')[2])[0]}"


def engine_of(url: str) -> Engine:
    """The engine of a server. Raises `ConfigError` for one that nobody knows, or whose client is not installed."""
    matched = _URL.match(url)
    scheme = matched[1].lower() if matched else ""
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
