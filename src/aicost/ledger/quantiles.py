"""Quantiles of signed rows: exact, whatever was entered and taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    total = sum([weights[value] for value in there])
    if not total:
        return None
    ranks = [max(1, -(-q.numerator * total // q.denominator)) for q in at]
    if total == len(there):  # each is there once
        return tuple(there[rank - 1] for rank in ranks)
    found: dict[int, int] = {}
    passed = 0
    for value in there:
        passed += weights[value]
        for rank in ranks:
            if rank <= passed and rank not in found:
                found[rank] = value
    return tuple(found[rank] for rank in ranks)
