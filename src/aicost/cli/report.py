"""`aicost report`: what was spent, by any dimension."""

from __future__ import annotations

from pathlib import Path

import click

from aicost.ledger.query import DIMENSIONS, Filter

from ._options import console, json_option, ledger_option, ledger_path, parse_time, print_json


@click.command("report")
@click.option("--by", multiple=True, type=click.Choice(list(DIMENSIONS)), help="Break down by; may be repeated.")
@click.option("--since", callback=parse_time, metavar="WHEN", help="From a date (2026-11-01) or an age (7d).")
@click.option("--until", callback=parse_time, metavar="WHEN", help="Up to a date or an age, exclusive.")
@click.option("--tenant", help="Only this tenant.")
@click.option("--feature", help="Only this feature.")
@click.option("--workflow", help="Only this workflow.")
@click.option("--run", "run_id", help="Only this run.")
@ledger_option
@json_option
def command(
    by: tuple[str, ...],
    since: int | None,
    until: int | None,
    tenant: str | None,
    feature: str | None,
    workflow: str | None,
    run_id: str | None,
    ledger: Path | None,
    as_json: bool,
) -> None:
    """Report what was spent, wasted and not priced."""
    from aicost.reports.report import build_report, render, to_json

    where = Filter(
        since_ns=since, until_ns=until, tenant_id=tenant, feature_id=feature, workflow=workflow, run_id=run_id
    )
    report = build_report(ledger_path(ledger), by or ("workflow", "model"), where)
    if as_json:
        print_json(to_json(report))
    else:
        render(report, console())
