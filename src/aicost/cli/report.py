"""`aicost report`: what was spent, by any dimension."""

from __future__ import annotations

from pathlib import Path

import click

from aicost.ledger.query import DIMENSIONS, Filter
from aicost.reports.periods import Period

from ._options import console, json_option, ledger_option, ledger_path, period_options, print_json, wide_option


@click.command("report")
@click.option("--by", multiple=True, type=click.Choice(list(DIMENSIONS)), help="Break down by; may be repeated.")
@period_options
@click.option("--tenant", help="Only this tenant.")
@click.option("--feature", help="Only this feature.")
@click.option("--workflow", help="Only this workflow.")
@click.option("--run", "run_id", help="Only this run.")
@ledger_option
@json_option
@wide_option
def command(
    by: tuple[str, ...],
    period: Period,
    tenant: str | None,
    feature: str | None,
    workflow: str | None,
    run_id: str | None,
    ledger: Path | None,
    as_json: bool,
    wide: bool,
) -> None:
    """Report what was spent, wasted and not priced.

    Times are in UTC, as in the bills of providers.
    """
    from aicost.reports.summary import build_report, render, to_json

    where = Filter(tenant_id=tenant, feature_id=feature, workflow=workflow, run_id=run_id)
    report = build_report(ledger_path(ledger), by or ("workflow", "model"), where, period)
    if as_json:
        print_json(to_json(report))
    else:
        render(report, console(wide))
