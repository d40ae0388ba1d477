"""`aicost explain`: an amount, down to rate, source and date."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from ._options import json_option, ledger_option, ledger_path, print_json


@click.command("explain")
@click.argument("identifier", metavar="RUN|SPAN|EVENT")
@ledger_option
@json_option
def command(identifier: str, ledger: Path | None, as_json: bool) -> None:
    """Explain what a run, a span or a charge cost: quantity x rate = amount, rate, card, source.

    The start of an id is enough, if it is 6 characters or more and fits only one.
    """
    from aicost.reports.explain import explain, render

    explained = explain(ledger_path(ledger), identifier)
    if as_json:
        print_json(explained)
    else:
        # A terminal wraps inside the tree; a file or a pipe gets each line whole.
        render(explained, Console(highlight=False, width=None if sys.stdout.isatty() else 1000))
