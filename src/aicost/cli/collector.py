"""`aicost collector`: OTLP in, priced, OTLP out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from aicost._errors import ConfigError
from aicost._ledger_url import LedgerUrl

from ._ledger_place import LedgerParam


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="A YAML file; flags come before it.")
@click.option("--listen-http", metavar="HOST:PORT", help="Receive OTLP over HTTP, usually at port 4318.")
@click.option("--listen-grpc", metavar="HOST:PORT", help="Receive OTLP over gRPC, usually at port 4317.")
@click.option(
    "--export",
    "exports",
    multiple=True,
    metavar="otlp-http=URL|otlp-grpc=HOST:PORT|file=PATH",
    help="Where to send everything; may be given several times. file=- is the standard output.",
)
@click.option("--rate-card", metavar="PATH|URL", help="The rate card; the bundled one otherwise.")
@click.option("--ledger", type=LedgerParam(), help="Also write every charge to this ledger, a file or a server's URL.")
@click.option("--spool", type=click.Path(path_type=Path), help="A folder that keeps requests until they are delivered.")
@click.option("--admin", metavar="HOST:PORT", help="Where /healthz, /readyz and /metrics are.")
@click.option("--print-config", is_flag=True, help="Print what would run, and exit.")
def command(
    config_file: Path | None,
    listen_http: str | None,
    listen_grpc: str | None,
    exports: tuple[str, ...],
    rate_card: str | None,
    ledger: Path | LedgerUrl | None,
    spool: Path | None,
    admin: str | None,
    print_config: bool,
) -> None:
    """Receive OTLP from services in any language, price what their spans say of models, and send it on.

    \b
    aicost collector --listen-http 127.0.0.1:4318 --export otlp-http=http://backend:4318
    """
    try:
        from aicost.collector import config
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed; pip install 'aicost[collector]'") from None
    given: dict[str, Any] = {}
    receivers: dict[str, Any] = {}
    if listen_http is not None:
        receivers["http"] = {"listen": listen_http}
    if listen_grpc is not None:
        receivers["grpc"] = {"listen": listen_grpc}
    if receivers:
        given["receivers"] = receivers
    if exports:
        given["exporters"] = [config.exporter_from(one) for one in exports]
    if rate_card is not None:
        given["rate_card"] = {"url" if "://" in rate_card else "path": rate_card}
    if spool is not None:
        given["spool"] = {"path": spool}
    given |= {key: value for key, value in (("ledger", ledger), ("admin", admin)) if value is not None}
    chosen = config.read_config(config_file, given)
    if print_config:
        click.echo(config.show_config(chosen), nl=False)
        return
    from aicost.collector.service import run

    sys.exit(run(chosen))
