"""`aicost report`: what was spent, by any dimension."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from aicost._ledger_url import LedgerUrl
from aicost.ledger.query import BREAKDOWNS, Filter
from aicost.reports.periods import Period
from aicost.semconv.dimensions import DIMENSIONS, LABEL

from ._options import console, json_option, ledger_option, ledger_path, period_options, print_json, wide_option


class Breakdown(click.Choice[str]):
    """A dimension that a ledger knows, or any label."""

    def __init__(self) -> None:
        super().__init__(BREAKDOWNS)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """`label:K` as it is, for whatever key; else one of the choices."""
        return value if value.startswith(LABEL) and value != LABEL else super().convert(value, param, ctx)


def owner_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option to narrow the report by, for each dimension; it comes under its key."""
    options = [
        click.option(f"--{each.name.replace('_', '-')}", each.key, help=f"Only this {each.name.replace('_', ' ')}.")
        for each in DIMENSIONS
    ]
    return reduce(lambda made, option: option(made), reversed(options), command)


@click.command("report")
@click.option("--by", multiple=True, type=Breakdown(), help="Break down by; may be repeated. Also label:KEY.")
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
    ledger: Path | LedgerUrl | None,
    as_json: bool,
    wide: bool,
    **owners: Any,
) -> None:
    """Report what was spent, wasted and not priced.

    Times are in UTC, as in the bills of providers.
    """
    from aicost.reports.summary import build_report, render, to_json
    from aicost.scopes.ids import opaque

    # As an id was kept that looked like personal data.
    kept: dict[str, Any] = {key: value and opaque(key, value) for key, value in owners.items()}
    where = Filter(workflow=workflow, run_id=run_id, **kept)
    report = build_report(ledger_path(ledger), by or ("workflow", "model"), where, period)
    if as_json:
        print_json(to_json(report))
    else:
        render(report, console(wide))
