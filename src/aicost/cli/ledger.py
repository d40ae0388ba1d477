"""`aicost ledger`: the store itself: whether it is sound, what waits, what is closed, and whom to forget."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import click

from aicost._errors import LedgerError, UsageError
from aicost._ledger_url import LedgerUrl

from ._ledger_place import LedgerParam
from ._options import console, json_option, ledger_option, ledger_path, print_json


@click.group("ledger")
def command() -> None:
    """Check, migrate, rebuild, take in and ship; close a month; forget a person."""


@command.command("check")
@ledger_option
@json_option
def check(ledger: Path | LedgerUrl | None, as_json: bool) -> None:
    """Ask the ledger for every invariant it promises, and name each row that breaks one.

    What waits in its journal is taken in first, where that can be written.
    """
    from aicost.ledger.check import check as broken_in
    from aicost.ledger.ingest import take_in

    path = ledger_path(ledger)
    waiting = take_in(path)
    broken = list(broken_in(path))
    if as_json:
        print_json({"ledger": str(path), "waiting_bytes": waiting, "broken": [one._asdict() for one in broken]})
    else:
        for one in broken:
            click.echo(f"{one.invariant}: {one.row}: {one.why}")
        if not broken:
            console().print(f"{path}: every invariant holds", markup=False)
        if waiting != 0:
            console().print("What waits in its journal could not be taken in: `aicost ledger ingest`", markup=False)
    if broken:
        sys.exit(1)


@command.command("ingest")
@ledger_option
@json_option
def ingest(ledger: Path | LedgerUrl | None, as_json: bool) -> None:
    """Take in what waits in the ledger's journal. Readers do so by themselves, where they may write."""
    from aicost.ledger.ingest import take_in_all

    path = ledger_path(ledger)
    taken = take_in_all(path)
    if as_json:
        print_json({"ledger": str(path), **taken._asdict()})
    else:
        click.echo(f"{path}: took in {taken.bytes:,} bytes")


@command.command("migrate")
@ledger_option
@json_option
def migrate(ledger: Path | LedgerUrl | None, as_json: bool) -> None:
    """Make an older ledger one of this version; its totals are proven equal. Whoever writes to one does so, too."""
    from aicost.ledger.connection import as_ledger_error, connect
    from aicost.ledger.schema import SCHEMA_VERSION

    path = _file(ledger_path(ledger), "migrated")
    with as_ledger_error(f"cannot migrate ledger {path}", "make it writable, or restore a copy"):
        connect(path, synchronous="FULL", timeout_s=30.0).close()
    if as_json:
        print_json({"ledger": str(path), "schema": SCHEMA_VERSION})
    else:
        click.echo(f"{path} is of schema {SCHEMA_VERSION}")


@command.command("ship")
@click.argument("source", type=LedgerParam(), metavar="SOURCE")
@click.option("--to", "target", type=LedgerParam(), required=True, help="The ledger that is to have it, too.")
@json_option
def ship(source: Path | LedgerUrl, target: Path | LedgerUrl, as_json: bool) -> None:
    """Send all that a ledger has to another one: a file's to a server, or any other way.

    What is there already is joined with it, as if all had been told to that one; sent twice, it is nothing new, and
    interrupted, it is sent again. Exits with status 1 if the target lacks something then.
    """
    from aicost._money import to_text
    from aicost.ledger.ship import ship as send
    from aicost.ledger.where import where_is

    source, target = where_is(source), where_is(target)
    done = send(source, target)
    if as_json:
        totals = {
            side: {currency: {"attempts": n, "amount": to_text(atto)} for currency, (n, atto) in total.items()}
            for side, total in (("source", done.source), ("target", done.target))
        }
        print_json({"from": str(source), "to": str(target), "sent": done.sent, "missing": done.missing, **totals})
    else:
        click.echo("sent " + ", ".join(f"{count:,} {what}" for what, count in done.sent.items() if count))
        for where, total in ((source, done.source), (target, done.target)):
            said = [f"{to_text(atto)} {currency} of {n:,} attempts" for currency, (n, atto) in sorted(total.items())]
            click.echo(f"{where}: {', '.join(said) or 'nothing that counts'}")
        lacking = ", ".join(f"{count:,} {what}" for what, count in done.missing.items() if count)
        click.echo(f"{target} lacks {lacking}" if lacking else f"{target} has all of it")
    if not done.is_whole:
        sys.exit(1)


@command.command("rebuild")
@ledger_option
@json_option
def rebuild(ledger: Path | LedgerUrl | None, as_json: bool) -> None:
    """Make the sums anew that are kept beside the entries, and reports are made of. No entry is touched."""
    from aicost.ledger.rebuild import rebuild as make_anew

    path = ledger_path(ledger)
    made = make_anew(path)
    if as_json:
        print_json({"ledger": str(path), "sums": made})
    elif made is None:
        click.echo(f"{path} keeps no sums: reports ask its entries")
    else:
        click.echo(f"{path}: made {made:,} sums of its entries anew")


@command.command("close")
@click.argument("month", metavar="YYYY-MM")
@ledger_option
@json_option
def close(month: str, ledger: Path | LedgerUrl | None, as_json: bool) -> None:
    """Close a month (UTC) that was handed to finance: what is billed in it never changes again.

    What comes late for it, or turns out otherwise, is billed in the first month after it that is open, as a correction
    (`aicost export focus`). Reports go on showing when things happened. A month cannot be opened again.
    """
    from aicost.ledger.closing import checked_month, close_month
    from aicost.ledger.connection import as_ledger_error
    from aicost.ledger.ingest import READ_TIMEOUT_S, take_in_all
    from aicost.ledger.where import open_store

    try:
        asked = checked_month(month, datetime.now(timezone.utc))
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    path = ledger_path(ledger)
    take_in_all(path)  # what waits is in it still
    with (
        as_ledger_error(f"cannot write ledger {path}", "make it writable, or try again when nobody writes"),
        closing(open_store(path, timeout_s=READ_TIMEOUT_S)) as store,
    ):
        is_new = close_month(store, asked, until=time.monotonic() + READ_TIMEOUT_S)
    if as_json:
        print_json({"ledger": str(path), "month": asked, "was_closed_before": not is_new})
    else:
        click.echo(f"{asked} is closed in {path}" if is_new else f"{asked} was closed in {path} before")


@command.command("forget")
@click.option("--user", "user_id", required=True, help="The user's id, as the application gave it.")
@ledger_option
@json_option
def forget(user_id: str, ledger: Path | LedgerUrl | None, as_json: bool) -> None:
    """Remove a person from the ledger and its journal. The money stays: every sum is as it was."""
    from aicost.ledger.forget import forget_user

    done = forget_user(ledger_path(ledger), user_id)
    if as_json:
        print_json(done._asdict())
    else:
        parts = (done.subjects, "subjects"), (done.others, "runs, outcomes and views"), (done.files, "damaged segments")
        found = ", ".join(f"{count:,} {what}" for count, what in parts if count)
        click.echo(f"{user_id} is forgotten: {found}" if found else f"nothing here names {user_id}")


def _file(where: Path | LedgerUrl, done: str) -> Path:
    if isinstance(where, LedgerUrl):
        raise LedgerError(f"{where} is on a server, and only a file can be {done}")
    return where
