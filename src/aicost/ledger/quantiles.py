"""Quantiles of signed rows: exact, whatever was entered and taken back."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

MEDIAN, P95 = Fraction(1, 2), Fraction(95, 100)


def quantiles(values: Iterable[tuple[int, int]], at: Sequence[Fraction] = (MEDIAN, P95)) -> tuple[int, ...] | None:
    """Of values, each with how often it is there, those at these places; None where nothing is.

    By nearest rank: the value at `q` is the least one that at least `q` of all values do not exceed. So it is always a
    value that is there, and the median of an even number of them is the lower of the two in the middle. A value that
    was entered and taken back has weights that cancel, and is none.

    >>> quantiles([(10, 1), (20, 1), (30, 1), (30, -1), (40, 1)])
    (20, 40)
    """
    weights: Counter[int] = Counter()
    for value, weight in values:
        weights[value] += weight
    there = sorted((value, weight) for value, weight in weights.items() if weight > 0)
    total = sum(weight for _, weight in there)
    if not total:
        return None
    ranks = [max(1, -(-q.numerator * total // q.denominator)) for q in at]
    found: dict[int, int] = {}
    passed = 0
    for value, weight in there:
        passed += weight
        for rank in ranks:
            if rank <= passed and rank not in found:
                found[rank] = value
    return tuple(found[rank] for rank in ranks)


def listed_quantiles(
    entered: Sequence[int], taken_back: Sequence[int] = (), at: Sequence[Fraction] = (MEDIAN, P95)
) -> tuple[int, ...] | None:
    """The same of values as they are listed, each of which counts once, but for those that were taken back.

    What is taken back was entered. It is for millions of values: those are only sorted.

    >>> listed_quantiles([30, 10, 40, 30, 20], [30, 30])
    (20, 40)
    """
    values, gone = sorted(entered), sorted(taken_back)
    total = len(values) - len(gone)
    if total <= 0:
        return None
    found = []
    for q in at:
        rank = max(1, -(-q.numerator * total // q.denominator))
        low, high = 0, len(values) - 1
        while low < high:  # the first value that at least so many do not exceed
            middle = (low + high) // 2
            if bisect_right(values, values[middle]) - bisect_right(gone, values[middle]) >= rank:
                high = middle
            else:
                low = middle + 1
        found.append(values[low])
    return tuple(found)
