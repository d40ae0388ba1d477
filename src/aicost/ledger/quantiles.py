"""Quantiles of signed rows: exact, whatever was entered and taken back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

MEDIAN, P95 = Fraction(1, 2), Fraction(95, 100)


def quantiles(weights: Mapping[int | None, int], at: Sequence[Fraction] = (MEDIAN, P95)) -> tuple[int, ...] | None:
    """Of values, each with how often it is there, those at these places; None where nothing is. None is no value.

    By nearest rank: the value at `q` is the least one that at least `q` of all values do not exceed. So it is always a
    value that is there, and the median of an even number of them is the lower of the two in the middle. Rows are
    signed: of a value that was entered and taken back the weights cancel, and what weighs nothing is not there.

    >>> quantiles({10: 1, 20: 1, 30: 0, 40: 1})
    (20, 40)
    """
    there = sorted([value for value, weight in weights.items() if weight > 0 and value is not None])
    is_each_once = max(weights.values(), default=0) <= 1
    total = len(there) if is_each_once else sum([weights[value] for value in there])
    if not total:
        return None
    ranks = [max(1, -(-q.numerator * total // q.denominator)) for q in at]
    if is_each_once:
        return tuple(there[rank - 1] for rank in ranks)
    found: dict[int, int] = {}
    passed = 0
    for value in there:
        passed += weights[value]
        for rank in ranks:
            if rank <= passed and rank not in found:
                found[rank] = value
    return tuple(found[rank] for rank in ranks)


@dataclass(slots=True)
class Listed:
    """Values one by one: those that were entered, and those of them that were taken back."""

    entered: list[int] = field(default_factory=list)
    taken_back: list[int] = field(default_factory=list)

    def quantiles(self, at: Sequence[Fraction] = (MEDIAN, P95)) -> tuple[int, ...] | None:
        """As `quantiles`; of millions of values, of which hardly two are alike, in half the time.

        >>> Listed([30, 10, 40, 30, 20], [30, 30]).quantiles()
        (20, 40)
        """
        entered, gone = sorted(self.entered), sorted(self.taken_back)
        total = len(entered) - len(gone)
        if total <= 0:
            return None
        return tuple(_ranked(entered, gone, max(1, -(-q.numerator * total // q.denominator))) for q in at)


def _ranked(entered: Sequence[int], gone: Sequence[int], rank: int) -> int:
    """The first value that at least so many do not exceed."""
    low, high = 0, len(entered) - 1
    while low < high:
        middle = (low + high) // 2
        value = entered[middle]
        if bisect_right(entered, value) - bisect_right(gone, value) >= rank:
            high = middle
        else:
            low = middle + 1
    return entered[low]
