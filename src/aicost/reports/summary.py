"""The report: what was spent, by any dimension, with what is wasted and what is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from aicost._ledger_url import LedgerUrl
from aicost._wellformed import printable
from aicost.ledger.answers import Gap, Sightings
from aicost.ledger.query import EVERYTHING, Filter, Query, Sums
from aicost.ledger.reader import LedgerReader

from .amounts import exact, readable
from .periods import ALL_TIMES, TIME_ZONE, Period
from .tables import KEY_WIDTH, Cell, Column, print_table


@dataclass(frozen=True, slots=True)
class Report:
    """Totals per currency, the breakdowns asked for, every gap in what is known, and views that are no money."""

    totals: tuple[Sums, ...]
    by: dict[str, tuple[Sums, ...]]
    gaps: tuple[Gap, ...]
    sightings: tuple[Sightings, ...] = ()
    period: Period = ALL_TIMES
    waiting: int | None = 0
    """Bytes of the ledger's journal that are in none of the amounts; None if nobody can say."""


def build_report(
    path: str | Path | LedgerUrl, by: Sequence[str], where: Filter = EVERYTHING, period: Period = ALL_TIMES
) -> Report:
    """Read a report from a ledger, of a period. Raises `LedgerError` for a file or dimension that is not there."""
    where = where.within(period.since_ns, period.until_ns)
    with LedgerReader(path) as ledger:
        return Report(
            totals=tuple(ledger.answer(Query(where=where))),
            by={name: tuple(ledger.answer(Query((name,), where))) for name in by},
            gaps=tuple(ledger.gaps(where)),
            sightings=tuple(ledger.sightings(where)),
            period=period,
            waiting=ledger.waiting,
        )


def to_json(report: Report) -> dict[str, Any]:
    """The report as JSON data; amounts are exact decimal strings, and null where none is known."""
    whole = {total.currency: total.atto for total in report.totals}
    since, until = report.period.since, report.period.until
    return {
        "period": {
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "time_zone": TIME_ZONE,
        },
        "totals": [_row(sums, whole) for sums in report.totals],
        "by": {name: [_row(sums, whole) for sums in rows] for name, rows in report.by.items()},
        "gaps": [
            {
                "provider": gap.provider,
                "model": gap.model,
                "status": gap.status,
                "billed": gap.chargeable,
                "reason": gap.reason,
                "count": gap.count,
            }
            for gap in report.gaps
        ],
        "sightings": [
            {
                "kind": seen.kind,
                "reason": seen.reason,
                "count": seen.count,
                "amount": None if seen.atto is None else exact(seen.atto),
                "currency": seen.currency or None,
                "unknown": seen.unknown,
            }
            for seen in report.sightings
        ],
        "waiting_bytes": report.waiting,
    }


def render(report: Report, console: Console) -> None:
    """Print the report as tables, and under them what is not known."""
    if report.period != ALL_TIMES:
        console.print(f"[dim]{report.period}[/dim]")
    if report.waiting != 0:
        what = "What may wait" if report.waiting is None else f"{report.waiting:,} bytes that wait"
        way_out = "`aicost ledger ingest` takes it in, by whoever may write there."
        console.print(f"[yellow]{what} in the ledger's journal is in no amount here. {way_out}[/yellow]")
    if not report.totals:
        console.print("Nothing recorded in this ledger for this selection.")
        return
    for total in report.totals:
        console.print(_headline(total))
    for name, rows in report.by.items():
        _print_table(name, rows, report.totals, console)
    _print_gaps(report.gaps, console)
    _print_sightings(report.sightings, console)


def _row(sums: Sums, whole: Mapping[str, int]) -> dict[str, Any]:
    share = _share(sums, whole)
    return {
        "key": sums.key,
        "currency": sums.currency,
        "amount": exact(sums.atto) if sums.is_known else None,
        "at_most": None if sums.at_most_atto is None else exact(sums.at_most_atto),
        "wasted": exact(sums.wasted_atto) if sums.is_waste_known else None,
        "share": None if share is None else format(round(share, 6).normalize(), "f"),
        "calls": sums.calls,
        "attempts": sums.attempts,
        "retries": sums.retries,
        "app_retries": sums.app_retries,
        "fallbacks": sums.fallbacks,
        "input_tokens": sums.input_tokens,
        "cached_tokens": sums.cached_tokens,
        "output_tokens": sums.output_tokens,
        "unpriced": sums.unpriced,
        "partial": sums.partial,
        "possibly_billed": sums.possibly_billed,
    }


def _share(sums: Sums, whole: Mapping[str, int]) -> Decimal | None:
    """Which part of all that was spent in its currency, from 0 to 1; None when nothing was, or it is not known."""
    of = whole.get(sums.currency)
    return Decimal(sums.atto) / Decimal(of) if of and sums.is_known else None


def _amount(sums: Sums) -> str:
    return readable(sums.atto if sums.is_known else None, sums.currency)


def _wasted(sums: Sums) -> str:
    return readable(sums.wasted_atto if sums.is_waste_known else None, sums.currency)


def _headline(total: Sums) -> str:
    parts = [
        f"[bold]{_amount(total)}[/bold] in {_plural(total.calls, 'call')}",
        f"{_plural(total.attempts, 'attempt')}, {_plural(total.retries, 'retry', 'retries')}",
        f"wasted {_wasted(total)}",
    ]
    if total.app_retries:
        parts.append(_plural(total.app_retries, "call made again", "calls made again"))
    if total.fallbacks:
        parts.append(_plural(total.fallbacks, "fallback"))
    if total.unpriced:
        parts.append(f"[yellow]{total.unpriced} unpriced[/yellow]")
    if total.partial:
        parts.append(f"[yellow]{total.partial} priced in part[/yellow]")
    if total.possibly_billed:
        parts.append(f"[yellow]{total.possibly_billed} possibly billed unseen[/yellow]")
    if total.unpriced or total.partial or total.possibly_billed:
        most = (
            "nobody can say at most what"
            if total.at_most_atto is None
            else f"at most {readable(total.at_most_atto, total.currency)}"
        )
        parts.append(f"[yellow]{'at least that, ' if total.is_known else ''}{most}[/yellow]")
    return " · ".join(parts)


# What is not known is said before anything but the amount, and tokens by kind are the first to go.
_COLUMNS = (
    Column("cost"),
    Column("share", 4),
    Column("calls", 2),
    Column("attempts", 5),
    Column("input", 6),
    Column("cached", 8),
    Column("output", 7),
    Column("wasted", 3),
    Column("not known", 1),
)


def _print_table(name: str, rows: Sequence[Sums], totals: Sequence[Sums], console: Console) -> None:
    whole = {total.currency: total.atto for total in totals}
    columns = (Column(name, folds_at=KEY_WIDTH), *_COLUMNS)
    print_table(console, f"by {name}", columns, [_cells(row, _share(row, whole)) for row in rows])


def _cells(row: Sums, share: Decimal | None) -> list[Cell]:
    unknown = row.unpriced + row.partial + row.possibly_billed
    return [
        row.key if row.key is not None else Text("(none)", "dim"),
        _amount(row),
        "-" if share is None else f"{100 * share:.1f} %",
        f"{row.calls:,}",
        f"{row.attempts:,}",
        f"{row.input_tokens:,}",
        f"{row.cached_tokens:,}",
        f"{row.output_tokens:,}",
        "-" if row.wasted_atto == 0 and row.is_waste_known else _wasted(row),
        Text(f"{unknown:,}", "yellow") if unknown else "-",
    ]


def _print_gaps(gaps: Sequence[Gap], console: Console) -> None:
    if not gaps:
        return
    console.print("[yellow]Not known, and therefore not in the amounts above:[/yellow]")
    for gap in gaps:
        what = "possibly billed" if gap.chargeable == "possibly" else gap.status
        text = f"  {gap.count} x {gap.provider}/{gap.model}: {what} ({gap.reason})"
        console.print(printable(text), highlight=False, markup=False)


_SAID = {
    "joined": "another view of a call that is counted",
    "differs": "another view of a call that is counted, with other counts",
    "replaced": "counted until its client told of it itself",
    "contradiction": "contradicts what was counted; the view that counts more counts",
}


def _print_sightings(sightings: Sequence[Sightings], console: Console) -> None:
    if not sightings:
        return
    alarming = any(seen.kind in {"differs", "contradiction"} for seen in sightings)
    console.print(f"[{'yellow' if alarming else 'dim'}]Seen besides, and not in the amounts above:[/]")
    for seen in sightings:
        reason = f" ({seen.reason})" if seen.reason else ""
        amount = readable(seen.atto, seen.currency or "USD")
        if seen.unknown and seen.atto is not None:
            amount += f", and {seen.unknown:,} of unknown amount"
        text = f"  {seen.count:,} x {_SAID.get(seen.kind, seen.kind)}{reason}: {amount}"
        console.print(printable(text), highlight=False, markup=False)


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
