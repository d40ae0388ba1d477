"""`aicost run -- CMD`: instrument a program without touching its code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from aicost._errors import ConfigError
from aicost._ledger_url import LedgerUrl
from aicost._settings import load

from ._ledger_place import ledger_option


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@ledger_option
@click.option("--service-name", help="service.name of the telemetry.")
@click.argument("command_line", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARGS]...")
def command(ledger: Path | LedgerUrl | None, service_name: str | None, command_line: tuple[str, ...]) -> None:
    """Run a Python program with every client instrumented and a ledger on, without any change to it.

    Child processes that are Python programs are instrumented too.
    """
    where = load(ledger=ledger, service_name=service_name).ledger_or_default
    environment = dict(os.environ)
    # Before anything that is there already: Python runs only the first sitecustomize it finds.
    inherited = environment.get("PYTHONPATH")
    autoload = str(Path(__file__).resolve().parent / "autoload")
    environment["PYTHONPATH"] = autoload if not inherited else f"{autoload}{os.pathsep}{inherited}"
    environment |= {
        "AICOST_RUN": "1",
        "AICOST_LEDGER": where.secret if isinstance(where, LedgerUrl) else str(where.absolute()),
    }
    if service_name is not None:
        environment["AICOST_SERVICE_NAME"] = service_name
    sys.stdout.flush()
    try:
        os.execvpe(command_line[0], list(command_line), environment)  # noqa: S606 - running it is the point
    except OSError as error:
        raise ConfigError(f"cannot run {command_line[0]!r}: {error.strerror}") from error
