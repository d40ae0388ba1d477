"""The `aicost` command. Each subcommand is one module here, imported when it is called."""

from __future__ import annotations

import gc
import io
import sys
from importlib import import_module

import click

from aicost._errors import AicostError
from aicost._version import __version__
from aicost._wellformed import printable

_COMMANDS = ("demo", "run", "report", "explain", "export", "price", "rates", "ledger", "collector", "doctor")


FEWER_COLLECTIONS = (50_000, 20, 100)
"""When Python looks for garbage that refers to itself, as `gc.set_threshold` has it. Taking in a journal makes
thousands of objects at a time: with Python's own 700 two fifths of its time went into looking through all there are."""


class _LazyGroup(click.Group):
    """Imports a command only when it is needed, so that each starts as fast as it can."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aicost")
def cli() -> None:
    """Know what AI really costs: per inference, run, step, feature and tenant."""


def main() -> None:
    """Run the command line. What goes wrong is one line on stderr and a non-zero exit."""
    gc.set_threshold(*FEWER_COLLECTIONS)  # in a process of our own: an application's are its own business
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's encoding has no sign for is shown as an escape.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except AicostError as error:
        click.echo(f"aicost: {printable(str(error))}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output has gone, as in `aicost price | head`
        sys.stderr.close()
        sys.exit(0)
