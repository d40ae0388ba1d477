"""Amounts in another currency, each at the rate of its own day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial
from operator import attrgetter

from aicost.ledger.query import Bucket, start_of
from aicost.ledger.sums import WASTE_CAUSES, Keys, Sums, WasteCause, combined
from aicost.pricing.card import RateCard
from aicost.pricing.rates import to_ns

from .comparison import apportioned

_MONEY = ("atto", "certain_atto", "fallback_atto", "more_atto")
_EPOCH = start_of("hour", 0)
_Rated = list[tuple[Sums, Fraction | None]]


def day_or_hour(bucket: Bucket | None) -> Bucket:
    """The stretches of time that amounts have to be asked for by: an exchange rate is of a day."""
    return "hour" if bucket == "hour" else "day"


def in_currency(
    rows: Iterable[Sums], currency: str, card: RateCard, bucket: Bucket | None
) -> tuple[list[Sums], dict[str, int]]:
    """Rows by day (`day_or_hour`) as rows of one currency by `bucket`; and of how many attempts no rate is known.

    An amount is converted at the rate in force when its day begins (UTC). Amounts are added up as rational numbers and
    rounded once, by largest remainder, to 1e-18: so rows add up to the total, and every breakdown has the same. What no
    rate leads to is not known: it is in no amount.
    """
    cells: dict[tuple[Keys, datetime | None], _Rated] = {}
    unconverted: dict[str, int] = {}
    rates: dict[tuple[str, datetime | None], Fraction | None] = {}
    for row in rows:
        at = row.start and row.start.replace(hour=0)
        rate = rates.get((row.currency, at))
        if (row.currency, at) not in rates:
            rate = rates[row.currency, at] = _rate(card, row.currency, currency, at)
        if rate is None and row.chargeable:
            unconverted[row.currency] = unconverted.get(row.currency, 0) + row.chargeable
        hour = None if row.start is None else (row.start - _EPOCH) // timedelta(hours=1)
        start = None if bucket is None or hour is None else start_of(bucket, hour)
        cells.setdefault((row.keys, start), []).append((row, rate))
    made = [_cell(some, *key, currency) for key, some in cells.items()]
    for name in _MONEY:
        for sums, atto in zip(made, _converted(cells.values(), attrgetter(name)), strict=True):
            setattr(sums, name, atto)
    for cause in WASTE_CAUSES:
        for sums, atto in zip(made, _converted(cells.values(), partial(_waste, cause)), strict=True):
            sums.waste[cause] = atto
    return made, unconverted


def _rate(card: RateCard, base: str, quote: str, at: datetime | None) -> Fraction | None:
    if base == quote:
        return Fraction(1)
    found = card.exchange(base, quote, to_ns(at)) if at is not None else None
    return None if found is None else found[0]


def _converted(cells: Iterable[_Rated], of: Callable[[Sums], int]) -> list[int]:
    zero = Fraction(0)
    return apportioned([sum((of(row) * rate for row, rate in some if rate is not None), zero) for some in cells])


def _waste(cause: WasteCause, row: Sums) -> int:
    return row.waste[cause]


def _cell(some: _Rated, keys: Keys, start: datetime | None, currency: str) -> Sums:
    """The counts of a cell. What is not converted is as little known as what has no price."""
    sums = combined([row for row, _ in some], keys, start, currency)
    for row, rate in some:
        if rate is None:
            sums.known -= row.known
            sums.wasted_known -= row.wasted_known
            sums.unbounded += row.chargeable - row.unbounded
    return sums
