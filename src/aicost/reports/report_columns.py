"""The table of a report for people: which columns it has, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from rich.text import Text

from aicost.ledger.sums import OTHER, Sums
from aicost.usage.meters import Quantity

from .amounts import readable
from .report_data import per_run, share_of, wholes
from .summary import Line, Report
from .tables import Cell


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column of the report: its rank, as in `Column`, and what it says of a row."""

    heading: str
    rank: int
    cell: Callable[[Line], Cell]


def columns_of(report: Report) -> Iterator[ShownColumn]:
    """The columns. What is not known is said before anything but the amount, and tokens by kind are the first to go."""
    whole, per = wholes(report), report.asked.per

    def share(line: Line) -> str:
        found = share_of(line.sums, whole)
        return "-" if found is None else f"{100 * found:.1f} %"

    yield ShownColumn("cost", 0, lambda line: amount_of(line.sums))
    if report.asked.compare and report.asked.every is None:
        yield ShownColumn("before", 2, lambda line: "-" if line.before is None else amount_of(line.before))
        yield ShownColumn("change", 1, _changed)
    if per is not None:
        yield ShownColumn(per.plural, 1, lambda line: "?" if line.count is None else _number(line.count))
        yield ShownColumn("cost each", 1, lambda line: _money(line, line.each))
        if per.measures == ("cost_each",) and report.asked.currency is None:
            yield ShownColumn("median", 2, lambda line: _money(line, (line.sums.cost_each or (None, None))[0]))
            yield ShownColumn("p95", 2, lambda line: _money(line, (line.sums.cost_each or (None, None))[1]))
    if "runs" in report.asked.measures:
        yield ShownColumn("runs", 3, lambda line: "-" if line.sums.runs is None else f"{line.sums.runs:,}")
        yield ShownColumn("calls a run", 4, lambda line: per_run(line.sums.calls, line.sums) or "-")
        yield ShownColumn("tokens a run", 5, lambda line: per_run(line.sums.all_tokens, line.sums) or "-")
    if "latency" in report.asked.measures:
        yield ShownColumn("median s", 3, lambda line: _seconds(line, 0))
        yield ShownColumn("p95 s", 3, lambda line: _seconds(line, 1))
    yield ShownColumn("share", 4, share)
    yield ShownColumn("calls", 2, lambda line: f"{line.sums.calls:,}")
    yield ShownColumn("attempts", 5, lambda line: f"{line.sums.attempts:,}")
    yield ShownColumn("input", 6, lambda line: _quantity(line.sums.input_tokens))
    yield ShownColumn("cached", 8, lambda line: _quantity(line.sums.cached_tokens))
    yield ShownColumn("output", 7, lambda line: _quantity(line.sums.output_tokens))
    yield ShownColumn("wasted", 3, lambda line: _wasted(line.sums))
    yield ShownColumn("not known", 1, _not_known)


def keys_of(line: Line, report: Report) -> list[Cell]:
    """What a row is of."""
    sums = line.sums
    start = sums.start
    keys: list[Cell] = [] if start is None else [_started(start.isoformat(sep=" "), report.asked.every)]
    if sums.others:
        first = Text(f"{OTHER} ({sums.others:,})", "dim")
        return [*keys, *([first] if sums.keys else []), *(Text(OTHER, "dim") for _ in sums.keys[1:])]
    return [*keys, *(Text("(none)", "dim") if key is None else key for key in sums.keys)]


def _started(text: str, every: str | None) -> str:
    return text[:16] if every == "hour" else text[:7] if every == "month" else text[:10]


def amount_of(sums: Sums) -> str:
    """What is known of an amount, for people; `?` if nothing is."""
    return readable(sums.atto if sums.is_known else None, sums.currency)


def _money(line: Line, atto: int | None) -> str:
    return "-" if atto is None and line.sums.is_known else readable(atto, line.sums.currency)


def _wasted(sums: Sums) -> str:
    if sums.is_waste_known:
        return "-" if sums.wasted_atto == 0 else readable(sums.wasted_atto, sums.currency)
    return readable(None, sums.currency)


def _changed(line: Line) -> Cell:
    before, sums = line.before, line.sums
    if before is None or not (before.is_known and sums.is_known):
        return "?"
    return signed(sums.atto - before.atto, sums.currency)


def signed(atto: int, currency: str) -> str:
    """A difference, for people."""
    return f"{'+' if atto > 0 else '-' if atto < 0 else ''}{readable(abs(atto), currency)}"


def _not_known(line: Line) -> Cell:
    unknown = line.sums.unpriced + line.sums.partial + line.sums.possibly_billed
    return Text(f"{unknown:,}", "yellow") if unknown else "-"


def _seconds(line: Line, at: int) -> str:
    latency = line.sums.latency_ns
    return "-" if latency is None else f"{Decimal(latency[at]) / 10**9:,.3f}"


def _number(count: Fraction) -> str:
    if count.denominator == 1:
        return f"{count.numerator:,}"
    return f"{Decimal(count.numerator) / Decimal(count.denominator):,.3f}"


def _quantity(quantity: Quantity) -> str:
    return f"{quantity:,}"
