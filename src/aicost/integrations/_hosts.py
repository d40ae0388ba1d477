"""Who answers at a host: the providers (`usage/providers/`), and before them the application's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost.usage import providers

_named: Mapping[str, str] = {}


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
    if named:
        return named
    # Servers on one's own machine speak APIs of others: only with those does a port say more than the client.
    spoken = (row := providers.find_provider(default)) is not None and row.spoken_by_others
    return providers.provider_at(host, port if spoken else None, path) or default


def served_at(url: Any) -> dict[str, Any]:
    """The server of a URL, whichever library it is of, as a `Target` takes it."""
    host = getattr(url, "hostname", None) or getattr(url, "host", None)
    return {"server_address": host, "server_port": url.port or (443 if url.scheme == "https" else 80)}
