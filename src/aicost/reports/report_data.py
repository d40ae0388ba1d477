"""A report as JSON data, and its table as CSV: the same rows, the same names, the same digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from aicost.ledger.answers import Gap, Sightings
from aicost.ledger.outcomes import OutcomeSums
from aicost.ledger.sums import Sums, added
from aicost.usage.meters import Quantity

from .amounts import exact
from .comparison import Change
from .periods import TIME_ZONE, Period
from .summary import Line, Report


def to_json(report: Report) -> dict[str, Any]:
    """The report as JSON data; amounts are exact decimal strings, and null where none is known."""
    asked = report.asked
    currencies = {line.sums.currency for line in report.totals}
    only = currencies.pop() if len(currencies) == 1 else None
    whole = wholes(report)
    return {
        "period": {**_period(report, asked.period), "is_over": report.is_over},
        "previous": None if report.previous is None else _period(report, report.previous),
        "currency": asked.currency or only,
        "by": list(asked.by),
        "every": asked.every,
        "per": None if asked.per is None else asked.per.name,
        "totals": [_row(line, whole) for line in report.totals],
        "rows": [
            {
                "by": dict(zip(asked.by, line.sums.keys, strict=True)),
                "bucket": None if line.sums.start is None else line.sums.start.isoformat(),
                "others": line.sums.others,
                **_row(line, whole),
            }
            for line in report.rows
        ],
        "changes": [_change(one) for one in report.changes],
        "outcomes": None if report.outcomes is None else [_outcome(one, report) for one in report.outcomes],
        "unknown": [*map(_gap, report.gaps), *(_unconverted(*one) for one in report.unconverted.items())],
        "sightings": [_sighting(seen) for seen in report.sightings],
        "waiting_bytes": report.waiting,
    }


def to_csv(report: Report) -> str:
    """The table as CSV (RFC 4180): a line per row, named as in the JSON; without dimensions it is the totals.

    What is not known, and has no value, is empty. Text that a spreadsheet would take for a formula has a `'` before it.
    """
    data = to_json(report)
    rows = [_flat(row) for row in (data["rows"] if report.asked.by or report.asked.every else data["totals"])]
    names = list(_flat(_empty(report))) if not rows else list(rows[0])
    out = io.StringIO()
    writer = csv.writer(out)  # its own dialect is RFC 4180's: CRLF, quotes doubled
    writer.writerow(names)
    text = {*report.asked.by, "currency"}
    writer.writerows([_cell(row[name], is_text=name in text) for name in names] for row in rows)
    return out.getvalue()


def wholes(report: Report) -> dict[str, int]:
    """What was spent in all, by currency."""
    return {line.sums.currency: line.sums.atto for line in report.totals}


def share_of(sums: Sums, whole: Mapping[str, int]) -> Decimal | None:
    """Which part of all that was spent in its currency, from 0 to 1; None when nothing was, or it is not known."""
    of = whole.get(sums.currency)
    return Decimal(sums.atto) / Decimal(of) if of and sums.is_known else None


def per_run(what: Quantity, sums: Sums) -> str | None:
    """How much of it a run has, to six digits; None where nobody counted runs, or there was none."""
    return None if not sums.runs else _decimal(round(Fraction(what) / sums.runs, 6))


def _row(line: Line, whole: Mapping[str, int]) -> dict[str, Any]:
    sums = line.sums
    share = share_of(sums, whole)
    before = line.before
    median, p95 = sums.cost_each or (None, None)
    latency = sums.latency_ns or (None, None)
    return {
        "currency": sums.currency,
        "amount": _amount(sums),
        "at_most": exact(sums.at_most_atto),
        "certain": exact(sums.certain_atto) if sums.is_known else None,
        "wasted": exact(sums.wasted_atto) if sums.is_waste_known else None,
        "waste": {cause: exact(atto) if sums.is_waste_known else None for cause, atto in sums.waste.items()},
        "fallback": exact(sums.fallback_atto) if sums.is_known else None,
        "share": None if share is None else format(round(share, 6).normalize(), "f"),
        "before": None if before is None else _amount(before),
        "change": exact(sums.atto - before.atto) if before and before.is_known and sums.is_known else None,
        "count": None if line.count is None else _number(line.count),
        "each": exact(line.each),
        "median": exact(median),
        "p95": exact(p95),
        "calls": sums.calls,
        "attempts": sums.attempts,
        "retries": sums.retries,
        "app_retries": sums.app_retries,
        "fallbacks": sums.fallbacks,
        "tokens": {kind: _quantity(tokens) for kind, tokens in sums.tokens.items()},
        "input_tokens": _quantity(sums.input_tokens),
        "cached_tokens": _quantity(sums.cached_tokens),
        "output_tokens": _quantity(sums.output_tokens),
        "runs": sums.runs,
        "completed_runs": sums.completed_runs,
        "calls_per_run": per_run(sums.calls, sums),
        "tokens_per_run": per_run(sums.all_tokens, sums),
        "latency_median_ns": latency[0],
        "latency_p95_ns": latency[1],
        "unpriced": sums.unpriced,
        "partial": sums.partial,
        "possibly_billed": sums.possibly_billed,
    }


def _amount(sums: Sums) -> str | None:
    return exact(sums.atto) if sums.is_known else None


def _number(count: Fraction) -> int | str:
    return count.numerator if count.denominator == 1 else _decimal(count)


def _decimal(number: Fraction) -> str:
    return format((Decimal(number.numerator) / Decimal(number.denominator)).normalize(), "f")


def _quantity(quantity: Quantity) -> int | str:
    return quantity if isinstance(quantity, int) else format(quantity, "f")


def _period(report: Report, period: Period) -> dict[str, Any]:
    length, so_far = period.length, period.so_far(report.now).length
    return {
        "name": period.name,
        "since": None if period.since is None else period.since.isoformat(),
        "until": None if period.until is None else period.until.isoformat(),
        "time_zone": TIME_ZONE,
        "length": None if length is None else {"of": length[1], "all": length[0], "passed": so_far and so_far[0]},
    }


def _change(one: Change) -> dict[str, Any]:
    drivers = {driver: exact(atto) for driver, atto in one.drivers.items()}
    amounts = {"before": exact(one.before), "after": exact(one.after), "change": exact(one.after - one.before)}
    return {"currency": one.currency, **amounts, "drivers": drivers}


def _outcome(one: OutcomeSums, report: Report) -> dict[str, Any]:
    costs = [line.sums for line in report.totals]
    return {
        "name": one.name,
        "count": one.count,
        "cost_each": [{"currency": sums.currency, "amount": exact(cost_of_one(sums, one.count))} for sums in costs],
        "worth": [
            {"unit": unit, "amount": _plain(value), "count": one.valued[unit]} for unit, value in one.worth.items()
        ],
    }


def cost_of_one(sums: Sums, count: int) -> int | None:
    """What one of so many costs, in 1e-18."""
    return round(Fraction(sums.atto, count)) if count and sums.is_known else None


def _plain(value: Quantity) -> str:
    return format(Decimal(added((value,))), "f")


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "provider": gap.provider,
        "model": gap.model,
        "status": gap.status,
        "billed": gap.chargeable,
        "reason": gap.reason,
        "count": gap.count,
        "currency": gap.currency,
        "amount": exact(gap.atto),
        "at_most": exact(gap.at_most_atto),
    }


def _unconverted(currency: str, count: int) -> dict[str, Any]:
    reason = f"no_exchange_rate:{currency}"
    about = {"provider": None, "model": None, "status": "unconverted", "billed": None, "reason": reason, "count": count}
    return {**about, "currency": currency, "amount": None, "at_most": None}


def _sighting(seen: Sightings) -> dict[str, Any]:
    return {
        "kind": seen.kind,
        "reason": seen.reason,
        "count": seen.count,
        "amount": exact(seen.atto),
        "currency": seen.currency or None,
        "unknown": seen.unknown,
    }


def _empty(report: Report) -> dict[str, Any]:
    by: dict[str, Any] = dict.fromkeys(report.asked.by)
    line = Line(Sums((), None, ""), None, None)
    return {"by": by, "bucket": None, "others": 0, **_row(line, {})}


_NESTED = {"waste": "wasted_", "tokens": "tokens_", "by": ""}
"""What has names of its own inside, and what comes before those in the name of a column."""


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without objects inside: `waste.retry` is `wasted_retry`, and a dimension is a column of its own name."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name in _NESTED:
            found |= {f"{_NESTED[name]}{inner}": one for inner, one in value.items()}
        else:
            found[name] = value
    return found


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def _cell(value: Any, *, is_text: bool) -> str:
    if value is None:
        return ""
    text = str(value)
    return f"'{text}" if is_text and text.startswith(_FORMULA) else text
