"""`aicost demo`: see a whole agent run priced, attributed and reconciled."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import click
from rich.console import Console

from aicost._errors import ConfigError
from aicost._ledger_url import LedgerUrl

from ._ledger_place import LedgerParam
from ._options import console, json_option, print_json, wide_option


@click.command("demo")
@click.option("--live", is_flag=True, help="Use the real APIs; needs OPENAI_API_KEY and ANTHROPIC_API_KEY.")
@click.option("--ledger", type=LedgerParam(), help="Where to keep the ledger: a new file, or the URL of a server.")
@json_option
@wide_option
def command(live: bool, ledger: Path | LedgerUrl | None, as_json: bool, wide: bool) -> None:
    """Run a small agent on the real client packages and account for every cent of it.

    Six questions of three tenants, answered side by side by a planner, sub-agents, a writer and a reviewer. One
    request is rate limited, one times out after the provider did the work, one stream is stopped half way, one draft
    is thrown away. The providers are emulated on this machine, over real HTTP; no key and no network is needed.
    """
    try:
        from aicost.demo.runner import DemoResult, demo_json, run_emulated, run_live
        from aicost.reports.rendering import print_answer, print_rows, print_unknown
    except ImportError as error:
        raise ConfigError(f"the demo needs the client packages: pip install 'aicost[all]' ({error})") from error
    # The clients' own retry messages are part of the show's backstage.
    logging.getLogger("openai").setLevel(logging.WARNING)
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    path = ledger or Path(tempfile.mkdtemp(prefix="aicost-demo-")) / "ledger.sqlite"
    _refuse_used(path)
    if not as_json:
        notes.print("Running an agent for three tenants, with everything that goes wrong in real life ...")
    run = run_live if live else run_emulated
    result: DemoResult = run(path, lambda line: notes.print(f"  [dim]{line}[/dim]"))
    if as_json:
        print_json(demo_json(result))
    else:
        out = console(wide)
        out.print()
        print_answer(result.report, out)
        for table in result.tables:
            print_rows(table, out)
        print_unknown(result.report, out)
        _print_accounts(result, out)
    if not result.balanced:
        raise click.ClickException(
            f"the ledger ({result.ledger_total}) and what was not seen ({result.unseen}) "
            f"do not make up the provider's bill ({result.bill})"
        )


def _refuse_used(path: Path | LedgerUrl) -> None:
    """The demo's accounts are those of a ledger that has nothing else in it."""
    if isinstance(path, Path):
        if path.exists():
            raise ConfigError(f"{path} exists; the demo starts a ledger of its own, so name a new file")
        return
    from aicost.ledger import Ledger
    from aicost.ledger.query import Query
    from aicost.ledger.reader import LedgerReader

    Ledger.open(path).close()  # which makes its tables
    with LedgerReader(path) as ledger:
        if ledger.waiting or ledger.answer(Query()):
            raise ConfigError(f"{path} has a ledger already; the demo starts one of its own, so name another database")


def _print_accounts(result: object, console: Console) -> None:
    from aicost.demo.runner import DemoResult

    assert isinstance(result, DemoResult)  # noqa: S101 - the import above is only paid by this command
    console.print()
    if result.bill is not None:
        console.print("Against the provider's own bill:")
        console.print(f"  ledger            {result.ledger_total:>14f} USD")
        console.print(
            f"+ billed unseen     {result.unseen:>14f} USD   work the provider did on attempts that timed out"
        )
        console.print("                                         or were stopped: possibly billed above, never guessed")
        console.print(
            f"= provider's bill   {result.bill:>14f} USD   [bold]{'exact' if result.balanced else 'WRONG'}[/bold]"
        )
        console.print(f"\n{result.spans_received} spans went to a local collector by OTLP, each with its cost.")
    console.print("\nLook further:")
    console.print(f"  aicost explain {result.run_ids[3][:12]} --ledger {result.ledger}", soft_wrap=True)
    console.print(f"  aicost report --by customer --by workflow --ledger {result.ledger}", soft_wrap=True)
