"""Options that several commands share."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aicost._errors import LedgerError, UsageError
from aicost._ledger_url import LedgerUrl
from aicost._settings import load
from aicost.pricing.card import RateCard
from aicost.reports.periods import between
from aicost.reports.tables import UNLIMITED

from ._ledger_place import ledger_option

__all__ = [
    "card_in_force",
    "console",
    "json_option",
    "ledger_option",
    "ledger_path",
    "period_options",
    "print_json",
    "rate_card_option",
    "wide_option",
]

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of tables."
)


def ledger_path(given: Path | LedgerUrl | None) -> Path | LedgerUrl:
    """The ledger a command reads: the one given, the one configured, or the default one if it is there."""
    from aicost.ledger.connection import as_ledger_error
    from aicost.ledger.where import journal_of, where_is

    named = load(ledger=given).ledger_or_default
    with as_ledger_error(f"cannot read ledger {named}", "make it readable"):
        where = where_is(named)
        if isinstance(where, Path) and not (where.is_file() or journal_of(where).is_dir()):  # which has all of it
            raise LedgerError(f"no ledger at {named}; name one with --ledger, or record one with AICOST_LEDGER={named}")
        return where


rate_card_option: Callable[[Any], Any] = click.option(
    "--rate-card",
    type=click.Path(path_type=Path),
    help="A rate-card file. Default: AICOST_RATE_CARD, else the bundled one.",
)


def card_in_force(given: Path | None) -> RateCard:
    """The rate card a command prices with: the one given, the one configured, or the bundled one."""
    path = load(rate_card=given).rate_card
    return RateCard.bundled() if path is None else RateCard.load(path)


def period_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--since`, `--until` and `--period`, which reach the command as one `period`."""

    @functools.wraps(command)
    def asked(*args: Any, since: str | None, until: str | None, period: str | None, **kwargs: Any) -> Any:
        try:
            found = between(since, until, period, datetime.now(timezone.utc))
        except UsageError as error:
            raise click.UsageError(str(error)) from None
        return command(*args, period=found, **kwargs)

    when = "a day, month, week, age or time, in UTC"
    options = (
        click.option("--since", metavar="WHEN", help=f"From the beginning of {when}: 2026-11, yesterday, 7d."),
        click.option("--until", metavar="WHEN", help="Up to its beginning, which is not in it."),
        click.option("--period", metavar="WHEN", help="All of it: 2026-11, 2026-W48, last-month, this-week."),
    )
    return functools.reduce(lambda made, option: option(made), reversed(options), asked)


wide_option: Callable[[Any], Any] = click.option(
    "--wide", is_flag=True, help="Show every column, however narrow the terminal is."
)


def console(wide: bool = False) -> Console:
    """Where tables go: as wide as the terminal; without one, or if `wide`, there is no end to a line."""
    return Console(highlight=False, width=None if sys.stdout.isatty() and not wide else UNLIMITED)


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(data, indent=2))
