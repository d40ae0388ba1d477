"""`aicost export`: the ledger for other tools, as a FOCUS data set or as a table of charges."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from aicost._ledger_url import LedgerUrl
from aicost.ledger.query import Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.reports.amounts import readable
from aicost.reports.flat_files import FileColumn, FileRow, made_whole, write_csv, write_parquet
from aicost.reports.periods import Period

from ._options import ledger_option, ledger_path, period_options
from .report import narrowed, where_option

output_option: Callable[[Any], Any] = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write. Default: standard output."
)
_PARQUET = ".parquet"


@click.group("export")
def command() -> None:
    """Write the ledger for other tools: FOCUS, CSV, Parquet."""


@command.command("focus")
@period_options
@where_option
@click.option("--focus-version", "version", type=click.Choice(["1.2", "1.4"]), default="1.4", show_default=True)
@click.option(
    "--every",
    type=click.Choice(["hour", "day", "month"]),
    help="Add up what is alike within each, without runs and people. Default: every attempt by itself.",
)
@output_option
@ledger_option
def focus(
    period: Period,
    conditions: tuple[tuple[str, str], ...],
    version: Literal["1.2", "1.4"],
    every: Literal["hour", "day", "month"] | None,
    output: Path | None,
    ledger: Path | LedgerUrl | None,
) -> None:
    """Write charges as a FOCUS data set (Cost and Usage): CSV, or Parquet if the output is called so.

    One row per attempt and meter, with price x quantity = cost exactly. What is not known has no row: how much that is
    is said on standard error.
    """
    from aicost.reports.focus import focus_columns, focus_header, focus_rows

    columns = focus_columns(version, every)
    where = _filter(conditions, period)
    with LedgerReader(ledger_path(ledger)) as reader:
        _write(focus_header(columns), focus_rows(reader.booked(where), columns, every), output)
        _tell(reader, where)


@command.command("csv")
@period_options
@where_option
@output_option
@ledger_option
def as_csv(
    period: Period, conditions: tuple[tuple[str, str], ...], output: Path | None, ledger: Path | LedgerUrl | None
) -> None:
    """Write the charges as CSV, one row per attempt that counts. Amounts are exact; what is not known is empty."""
    _charges(period, conditions, output, ledger, is_parquet=False)


@command.command("parquet")
@period_options
@where_option
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@ledger_option
def as_parquet(
    period: Period, conditions: tuple[tuple[str, str], ...], output: Path, ledger: Path | LedgerUrl | None
) -> None:
    """Write the charges as Parquet, amounts as DECIMAL(38,18). Needs `aicost[parquet]`."""
    _charges(period, conditions, output, ledger, is_parquet=True)


def _charges(
    period: Period,
    conditions: tuple[tuple[str, str], ...],
    output: Path | None,
    ledger: Path | LedgerUrl | None,
    *,
    is_parquet: bool,
) -> None:
    from aicost.reports.charge_table import charge_header, charge_rows

    with LedgerReader(ledger_path(ledger)) as reader:
        rows = charge_rows(reader.records(_filter(conditions, period)))
        _write(charge_header(), rows, output, is_parquet=is_parquet)
        _tell_waiting(reader)


def _write(
    columns: Sequence[FileColumn], rows: Iterable[FileRow], output: Path | None, *, is_parquet: bool | None = None
) -> None:
    if output is None:
        write_csv(columns, rows, sys.stdout.buffer)
        return
    if is_parquet is None:
        is_parquet = output.suffix.lower() == _PARQUET
    try:
        with made_whole(output) as partial:
            if is_parquet:
                count = write_parquet(columns, rows, partial)
            else:
                with partial.open("wb") as to:
                    count = write_csv(columns, rows, to)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror or error}") from error
    click.echo(f"{output}: {count:,} rows", err=True)


def _filter(conditions: Sequence[tuple[str, str]], period: Period) -> Filter:
    """What `--where` and the period leave."""
    return narrowed(conditions).within(period.since_ns, period.until_ns)


def _tell(reader: LedgerReader, where: Filter) -> None:
    """Say what is in no row, on standard error: unknown is never zero, and never silent."""
    for line in _left_out(reader, where):
        click.echo(line, err=True)
    _tell_waiting(reader)


def _left_out(reader: LedgerReader, where: Filter) -> Iterator[str]:
    for sums in reader.answer(Query(where=where)):
        counts = {
            "{:,} unpriced": sums.unpriced,
            "{:,} possibly billed": sums.possibly_billed,
            "the rest of {:,} priced in part": sums.partial,
        }
        said = ", ".join(what.format(count) for what, count in counts.items() if count)
        if said:
            most = (
                "nobody can say at most how much more"
                if sums.at_most_atto is None
                else f"at most {readable(sums.at_most_atto - sums.atto, sums.currency)} more"
            )
            yield f"Not known, and in no row: {said} ({sums.currency}); {most}. `aicost report` lists them."


def _tell_waiting(reader: LedgerReader) -> None:
    if reader.waiting != 0:
        what = "What may wait" if reader.waiting is None else f"{reader.waiting:,} bytes that wait"
        click.echo(f"{what} in the ledger's journal is in no row: `aicost ledger ingest`", err=True)
