"""Options that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aicost._errors import LedgerError
from aicost._settings import default_ledger, load

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of tables."
)
ledger_option: Callable[[Any], Any] = click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    help="Ledger file. Default: AICOST_LEDGER, else the one in your state directory.",
)

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def ledger_path(given: Path | None) -> Path:
    """The ledger a command reads: the one given, the one configured, or the default one if it is there."""
    path = given or load().ledger or default_ledger()
    if not path.expanduser().is_file():
        raise LedgerError(f"no ledger at {path}; name one with --ledger, or record one with AICOST_LEDGER={path}")
    return path


def parse_time(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """An ISO date or time (UTC unless it says otherwise), or an age like `7d`, as nanoseconds since the epoch."""
    del context, parameter
    if value is None:
        return None
    if value[:-1].isdigit() and value[-1] in _UNITS:
        at = datetime.now(timezone.utc) - timedelta(**{_UNITS[value[-1]]: int(value[:-1])})
    else:
        try:
            at = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise click.BadParameter(f"{value!r} is neither a date like 2026-11-01 nor an age like 7d") from None
        at = at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)
    return int(at.timestamp() * 1e9)


def console(width: int = 140) -> Console:
    """Where tables go: as wide as the terminal, or `width` where there is none, so that nothing is cut in a file."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(data, indent=2))
