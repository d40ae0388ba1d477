"""Who answers at a host: the table's providers (`usage/provider_table.py`), and before them the application's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost.usage import providers

_named: Mapping[str, str] = {}
_SPOKEN = {"openai", "anthropic"}
"""Whose APIs the servers on one's own machine speak: only there does a port say more than the client."""


def name_hosts(hosts: Mapping[str, str]) -> None:
    """Set the provider names of the application's own hosts (`provider_hosts`); they come before those known here."""
    global _named
    _named = {host.lower(): providers.canonical_provider(provider) for host, provider in hosts.items()}


def names_in_force() -> object:
    """What `name_hosts` has set last, to tell whether it has changed."""
    return _named


def provider_at(host: str, port: int | None = None, default: str = "openai", path: str = "") -> str:
    """The provider name of a host, or of what is behind a path of it; `default` where nobody is known to be there."""
    host = host.lower()
    named = _named.get(f"{host}:{port}") or _named.get(host)
    return named or providers.provider_at(host, port if default in _SPOKEN else None, path) or default


def served_at(url: Any) -> dict[str, Any]:
    """The server of a URL, whichever library it is of, as a `Target` takes it."""
    host = getattr(url, "hostname", None) or getattr(url, "host", None)
    return {"server_address": host, "server_port": url.port or (443 if url.scheme == "https" else 80)}
