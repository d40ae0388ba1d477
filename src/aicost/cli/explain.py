"""`aicost explain`: an amount, down to rate, source and date."""

from __future__ import annotations

from pathlib import Path

import click

from aicost._ledger_url import LedgerUrl

from ._options import console, json_option, ledger_option, ledger_path, print_json, wide_option


@click.command("explain")
@click.argument("identifier", metavar="RUN|SPAN|EVENT")
@ledger_option
@json_option
@wide_option
def command(identifier: str, ledger: Path | LedgerUrl | None, as_json: bool, wide: bool) -> None:
    """Explain what a run, span, event or entry cost: quantity x rate = amount, rate, card, source.

    The start of an id is enough, if it is 6 characters or more and fits only one.
    """
    from aicost.reports.explain import explain, render

    explained = explain(ledger_path(ledger), identifier)
    if as_json:
        print_json(explained)
    else:
        render(explained, console(wide))
