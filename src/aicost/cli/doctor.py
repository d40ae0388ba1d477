"""`aicost doctor`: what is installed, what is on, and what is off and why."""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aicost import integrations
from aicost._errors import AicostError
from aicost._ledger_url import LedgerUrl
from aicost._settings import Settings, load
from aicost._version import __version__
from aicost.ledger.reader import LedgerReader
from aicost.pricing.card import RateCard
from aicost.reports.amounts import readable
from aicost.reports.tables import plain

from ._options import json_option, print_json

_PACKAGES = ("opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp", "opentelemetry-instrumentation")


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Show what aicost finds here: packages, clients, configuration, rate card, ledger.

    Exits with status 1 if something configured cannot be used.
    """
    checks = _checks()
    if as_json:
        print_json(checks)
    else:
        console = Console(highlight=False)
        signs = {"ok": "[green]ok[/green]  ", "off": "[dim]off[/dim] ", "error": "[red]error[/red]"}
        for check in checks:
            if not check.get("missing"):
                console.print(f"{signs[check['state']]} {check['name']}: {plain(check['about'])}", soft_wrap=True)
        missing = [check["name"] for check in checks if check.get("missing")]
        if missing:
            console.print(f"{signs['off']} not installed, so not instrumented: {', '.join(missing)}", soft_wrap=True)
    if any(check["state"] == "error" for check in checks):
        sys.exit(1)


def _checks() -> list[dict[str, Any]]:
    python = ".".join(map(str, sys.version_info[:3]))
    checks = [_check("aicost", "ok", f"{__version__}, Python {python}"), *map(_package, _PACKAGES)]
    checks += [_client(name) for name in integrations.INTEGRATIONS]
    try:
        settings = load()
    except AicostError as error:
        return [*checks, _check("configuration", "error", str(error))]
    checks.append(_check("configuration", "ok", _said(settings)))
    return [*checks, _rate_card(settings), _ledger(settings), _exporter(settings)]


def _package(name: str) -> dict[str, Any]:
    try:
        return _check(name, "ok", version(name))
    except PackageNotFoundError:
        return _check(name, "error", f"not installed: pip install {name}")


def _client(name: str) -> dict[str, Any]:
    status = integrations.integration_status(name)
    if status.problem is None:
        return _check(name, "ok", f"{status.installed}: will be instrumented (takes {status.requires})")
    return {**_check(name, "off", status.problem), "missing": status.installed is None}


def _rate_card(settings: Settings) -> dict[str, Any]:
    try:
        card = RateCard.load(settings.rate_card) if settings.rate_card else RateCard.bundled()
    except AicostError as error:
        return _check("rate card", "error", str(error))
    return _check("rate card", "ok", f"{card.key}, {sum(1 for _ in card.models())} models")


def _ledger(settings: Settings) -> dict[str, Any]:
    if settings.ledger is None:
        return _check("ledger", "off", "set AICOST_LEDGER to a path, or to true, to keep one")
    path = settings.ledger
    if isinstance(path, LedgerUrl):
        return _server(path)
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        # Asking for permissions is not enough: a folder may refuse files for other reasons.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return _check("ledger", "error", f"{path} cannot be written ({error.strerror}); choose another AICOST_LEDGER")
    try:
        return _check("ledger", "ok", str(path) + _seen_besides(path))
    except AicostError as error:
        return _check("ledger", "error", str(error))


def _server(url: LedgerUrl) -> dict[str, Any]:
    """Whether a server can be asked; one without a ledger will have one with the first charge."""
    from aicost.ledger.where import journal_of

    try:
        return _check("ledger", "ok", f"{url}{_seen_besides(url)}; its journal is {journal_of(url)}")
    except AicostError as error:
        return _check("ledger", "error", url.hidden_in(str(error)))


def _seen_besides(path: Path | LedgerUrl) -> str:
    """What a ledger has of views that are no money."""
    if isinstance(path, Path) and not path.exists():
        return ""
    with LedgerReader(path) as ledger:
        seen = [f"{s.count} {s.kind} ({readable(s.atto, s.currency or 'USD')})" for s in ledger.sightings()]
    return f"; seen besides what is counted: {', '.join(seen)}" if seen else ""


def _exporter(settings: Settings) -> dict[str, Any]:
    endpoint = settings.surroundings.otlp_endpoint
    if settings.exporter == "none" or (settings.exporter is None and endpoint is None):
        return _check("exporter", "off", "set OTEL_EXPORTER_OTLP_ENDPOINT to export spans and metrics")
    return _check("exporter", "ok", f"{settings.exporter or 'otlp'} to {endpoint or 'the default endpoint'}")


def _said(settings: Settings) -> str:
    values = {name: getattr(settings, name) for name in sorted(settings.model_fields_set)}
    said = [
        f"{name}={str(value) if isinstance(value, Path | LedgerUrl) else value!r}" for name, value in values.items()
    ]
    return ", ".join(said) or "all defaults"


def _check(name: str, state: str, about: str) -> dict[str, Any]:
    return {"name": name, "state": state, "about": about}
