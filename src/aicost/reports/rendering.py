"""A report for people: the answer in the first line, then a table, then what is wasted and what is not known."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

from rich.console import Console

from aicost._wellformed import printable
from aicost.ledger.answers import Gap
from aicost.ledger.sums import WASTE_CAUSES, Sums, WasteCause

from .amounts import readable
from .comparison import Change, Driver
from .periods import ALL_TIMES, Period
from .report_columns import amount_of, columns_of, keys_of, signed
from .report_data import cost_of_one, per_run
from .summary import Line, Report
from .tables import KEY_WIDTH, Column, plain, print_table


def render(report: Report, console: Console) -> None:
    """Print the report: the answer first, and at the end what is not known."""
    print_answer(report, console)
    if report.totals:
        print_rows(report, console)
        _print_changes(report, console)
        _print_outcomes(report, console)
        print_unknown(report, console)


def print_answer(report: Report, console: Console) -> None:
    """Print the first line of each currency, which answers, and what belongs to it."""
    if not report.totals:
        console.print(_nothing(report))
    for total in report.totals:
        console.print(_answer(total, report))
        console.print(f"[dim]{_counted(total.sums)}[/dim]")
        if waste := _waste(total.sums):
            console.print(plain(waste))
        if unknown := _unknown(total.sums):
            console.print(f"[yellow]{unknown}[/yellow]")
    if report.asked.period != ALL_TIMES:
        console.print(f"[dim]{report.asked.period}[/dim]")
    if report.waiting != 0:
        what = "What may wait" if report.waiting is None else f"{report.waiting:,} bytes that wait"
        way_out = "`aicost ledger ingest` takes it in, by whoever may write there."
        console.print(f"[yellow]{what} in the ledger's journal is in no amount here. {way_out}[/yellow]")


def print_rows(report: Report, console: Console) -> None:
    """Print the table that was asked for."""
    asked = report.asked
    if not report.rows:
        return
    shown = list(columns_of(report))
    width = max(8, KEY_WIDTH - 4 * (len(asked.by) - 1))
    keys = [Column(name, folds_at=width) for name in asked.by]
    title = f"by {' x '.join(asked.by)}" if asked.by else ""
    if asked.every is not None:
        keys.insert(0, Column(asked.every))
        title += f"{' ' if title else ''}every {asked.every}"
    columns = [*keys, *(Column(one.heading, one.rank) for one in shown)]
    cells = [[*keys_of(line, report), *(one.cell(line) for one in shown)] for line in report.rows]
    print_table(console, title, columns, cells)
    per = asked.per
    if per is not None and any(line.count == 0 or line.count is None for line in (*report.totals, *report.rows)):
        console.print(f"[dim]{plain(_why_no_unit(report))}[/dim]", highlight=False)


def print_unknown(report: Report, console: Console) -> None:
    """Print what is not known, and views that are no money."""
    _print_gaps(report, console)
    _print_sightings(report, console)


def _nothing(report: Report) -> str:
    name = report.asked.period.name
    if report.is_future:
        return f"{name} has not begun: nothing is recorded in it."
    when = f" in {name}" if report.asked.period != ALL_TIMES else ""
    return f"Nothing recorded in this ledger for this selection{when}."


def _answer(total: Line, report: Report) -> str:
    """What was spent, against before, and how much of it is certain."""
    sums, period = total.sums, report.asked.period
    said = f"[bold]{plain(amount_of(sums))}[/bold]"
    if period != ALL_TIMES:
        said += f" in {period.name}{_so_far(report)}"
    if total.before is not None and report.previous is not None:
        said += f", {plain(_against(sums, total.before, report.previous))}"
    return f"{said}; {plain(_certain(sums))}"


def _so_far(report: Report) -> str:
    whole, passed = report.asked.period.length, report.asked.period.so_far(report.now)
    if not report.is_partial or whole is None or passed.since is None or passed.until is None:
        return ""
    n = _units(passed, whole[1])
    return f" ({n} of {_plural(whole[0], whole[1])})"


def _units(period: Period, word: str) -> int:
    """How many days or hours have begun in it."""
    assert period.since is not None  # noqa: S101
    assert period.until is not None  # noqa: S101
    seconds = (period.until - period.since).total_seconds()
    return int(-(-seconds // (86_400 if word == "day" else 3_600)))


def _against(sums: Sums, before: Sums, previous: Period) -> str:
    n, word = previous.length or (0, "day")
    then = f"the {word if n == 1 else f'{n:,} {word}s'} before"
    if not before.is_known:
        return f"of {then} nothing is known"
    if not before.atto:
        return f"nothing in {then}"
    if not sums.is_known:
        return f"{readable(before.atto, before.currency)} in {then}"
    percent = Fraction(100 * (sums.atto - before.atto), abs(before.atto))
    digits = 0 if abs(percent) >= 10 or percent == 0 else 1
    return f"{Decimal(percent.numerator) / Decimal(percent.denominator):+,.{digits}f} % on {then}"


def _certain(sums: Sums) -> str:
    """How much of an amount is certain, rounded down, and what it comes to at most."""
    unknown = sums.unpriced + sums.partial + sums.possibly_billed + sums.unbounded
    if not sums.is_known:
        said = "nothing of it is known"
    elif sums.certain_atto == sums.atto:
        said = "all that is known is certain" if unknown else "all of it is certain"
    else:
        percent = (100 * Decimal(sums.certain_atto) / Decimal(sums.atto)).quantize(Decimal("0.1"), ROUND_FLOOR)
        said = f"{format(percent, 'f').removesuffix('.0')} % certain"
    if not unknown:
        return said
    most = sums.at_most_atto
    return f"{said}, " + ("nobody can say at most what" if most is None else f"at most {readable(most, sums.currency)}")


def _counted(sums: Sums) -> str:
    parts = [
        _plural(sums.calls, "call"),
        f"{_plural(sums.attempts, 'attempt')}, {_plural(sums.retries, 'retry', 'retries')}",
    ]
    if sums.app_retries:
        parts.append(_plural(sums.app_retries, "call made again", "calls made again"))
    if sums.runs is not None:
        parts.append(f"{_plural(sums.runs, 'run')}, {sums.completed_runs or 0:,} completed")
    if sums.runs:
        parts.append(f"{per_run(sums.calls, sums)} calls and {per_run(sums.all_tokens, sums)} tokens a run")
    return " · ".join(parts)


_CAUSES: dict[WasteCause, str] = {
    "retry": "in attempts that were made again",
    "failed_call": "in calls that failed",
    "failed_step": "in steps that failed",
    "failed_run": "in runs that failed",
}


def _waste(sums: Sums) -> str:
    """What is wasted, by cause, and of what was spent what went to fallbacks."""
    said = ""
    if not sums.is_waste_known:
        said = "wasted ?"
    elif sums.wasted_atto:
        causes = [
            f"{readable(sums.waste[cause], sums.currency)} {_CAUSES[cause]}"
            for cause in WASTE_CAUSES
            if sums.waste[cause]
        ]
        said = f"wasted {readable(sums.wasted_atto, sums.currency)}: {', '.join(causes)}"
    if sums.fallbacks:
        spent = readable(sums.fallback_atto if sums.is_known else None, sums.currency)
        said += f"{' · ' if said else ''}{_plural(sums.fallbacks, 'fallback')} to another model: {spent}"
    return said


def _unknown(sums: Sums) -> str:
    parts = [
        f"{n:,} {what}"
        for n, what in (
            (sums.unpriced, "unpriced"),
            (sums.partial, "priced in part"),
            (sums.possibly_billed, "possibly billed unseen"),
        )
        if n
    ]
    return " · ".join(parts)


def _why_no_unit(report: Report) -> str:
    per = report.asked.per
    name = None if per is None else per.outcome
    if name is None:
        return "`-`: there was no such unit, so that nothing can be divided by it; `?`: nobody can say how many."
    known = sorted({one.name for one in report.outcomes or ()})
    if name in known:
        return f"`-`: no outcome {name!r} was recorded there."
    there = f"; there are {', '.join(map(repr, known))}" if known else " and none of any other name"
    return f"No outcome called {name!r} was recorded in this selection{there}."


_DRIVERS: dict[Driver, str] = {
    "calls": "more or fewer calls",
    "tokens_per_call": "tokens per call",
    "model_mix": "which models",
    "price": "price of a token",
    "retries": "attempts made again",
    "other": "where no call is counted",
}


def _print_changes(report: Report, console: Console) -> None:
    for one in report.changes:
        _print_change(one, report, console)


def _print_change(one: Change, report: Report, console: Console) -> None:
    length = None if report.previous is None else report.previous.length
    then = "before" if length is None else f"in the {_plural(*length)} before"
    moved = f"{readable(one.before, one.currency)} {then}, {readable(one.after, one.currency)} now"
    console.print(plain(f"What changed: {signed(one.after - one.before, one.currency)} ({moved})"), highlight=False)
    for driver, atto in one.drivers.items():
        if atto:
            console.print(plain(f"  {signed(atto, one.currency)}  {_DRIVERS[driver]}"), highlight=False)


def _print_outcomes(report: Report, console: Console) -> None:
    for one in report.outcomes or ():
        said = f"  {one.count:,} x {one.name}"
        costs = [readable(cost_of_one(line.sums, one.count), line.sums.currency) for line in report.totals]
        said += f": {', '.join(costs)} each"
        worth = [
            f"{value:,f} {unit}" + (f" ({one.valued[unit]:,} of them)" if one.valued[unit] != one.count else "")
            for unit, value in ((unit, Decimal(value)) for unit, value in one.worth.items())
        ]
        if worth:
            said += f"; worth {', '.join(worth)}"
        if one is (report.outcomes or ())[0]:
            console.print("Delivered, and what one cost, of all that was spent:")
        console.print(printable(said), highlight=False, markup=False)


def _print_gaps(report: Report, console: Console) -> None:
    if not report.gaps and not report.unconverted:
        return
    console.print("[yellow]Not known, and therefore not in the amounts above:[/yellow]")
    lines = [
        f"  {gap.count:,} x {gap.provider}/{gap.model}: "
        f"{'possibly billed' if gap.chargeable == 'possibly' else gap.status} ({gap.reason}){_bounds(gap)}"
        for gap in report.gaps
    ]
    lines += [
        f"  {count:,} x billed in {currency}: no exchange rate to {report.asked.currency} on the day"
        for currency, count in report.unconverted.items()
    ]
    for text in lines:
        console.print(printable(text), highlight=False, markup=False)


def _bounds(gap: Gap) -> str:
    """What it comes to, as far as anybody can say."""
    least = f", at least {readable(gap.atto, gap.currency)}" if gap.atto else ""
    return least + (f", at most {readable(gap.at_most_atto, gap.currency)}" if gap.at_most_atto is not None else "")


_SAID = {
    "joined": "another view of a call that is counted",
    "differs": "another view of a call that is counted, with other counts",
    "replaced": "counted until its client told of it itself",
    "contradiction": "contradicts what was counted; the view that counts more counts",
}


def _print_sightings(report: Report, console: Console) -> None:
    if not report.sightings:
        return
    alarming = any(seen.kind in {"differs", "contradiction"} for seen in report.sightings)
    console.print(f"[{'yellow' if alarming else 'dim'}]Seen besides, and not in the amounts above:[/]")
    for seen in report.sightings:
        reason = f" ({seen.reason})" if seen.reason else ""
        amount = readable(seen.atto, seen.currency or "USD")
        if seen.unknown and seen.atto is not None:
            amount += f", and {seen.unknown:,} of unknown amount"
        text = f"  {seen.count:,} x {_SAID.get(seen.kind, seen.kind)}{reason}: {amount}"
        console.print(printable(text), highlight=False, markup=False)


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
