"""`aicost report`: what was spent, by any dimension."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import Any

import click

from aicost.ledger.query import BREAKDOWNS, Filter
from aicost.reports.periods import Period
from aicost.semconv.dimensions import DIMENSIONS

from ._options import console, json_option, ledger_option, ledger_path, period_options, print_json, wide_option

_FILTERED = {field.name for field in fields(Filter)}


def owner_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option to narrow the report by, for each dimension that a ledger filters by; it comes under its key."""
    options = [
        click.option(f"--{each.name.replace('_', '-')}", each.key, help=f"Only this {each.name.replace('_', ' ')}.")
        for each in DIMENSIONS
        if each.key in _FILTERED
    ]
    return reduce(lambda made, option: option(made), reversed(options), command)


@click.command("report")
@click.option("--by", multiple=True, type=click.Choice(list(BREAKDOWNS)), help="Break down by; may be repeated.")
@period_options
@owner_options
@click.option("--workflow", help="Only this workflow.")
@click.option("--run", "run_id", help="Only this run.")
@ledger_option
@json_option
@wide_option
def command(
    by: tuple[str, ...],
    period: Period,
    workflow: str | None,
    run_id: str | None,
    ledger: Path | None,
    as_json: bool,
    wide: bool,
    **owners: Any,
) -> None:
    """Report what was spent, wasted and not priced.

    Times are in UTC, as in the bills of providers.
    """
    from aicost.reports.summary import build_report, render, to_json

    where = Filter(workflow=workflow, run_id=run_id, **owners)
    report = build_report(ledger_path(ledger), by or ("workflow", "model"), where, period)
    if as_json:
        print_json(to_json(report))
    else:
        render(report, console(wide))
