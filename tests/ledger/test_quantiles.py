"""Quantiles are of what counts: exactly, by nearest rank, whatever was entered and taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost.ledger.quantiles import MEDIAN, P95, quantiles


def weighed(values: Iterable[tuple[int, int]]) -> dict[int | None, int]:
    """How often each value is there."""
    weights: Counter[int | None] = Counter()
    for value, weight in values:
        weights[value] += weight
    return dict(weights)


VALUES = st.lists(st.integers(-5, 5) | st.integers(-(10**30), 10**30), min_size=1, max_size=30)
PLACES = st.fractions(0, 1)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], None),
        ([(7, 0)], None),
        ([(7, 1), (7, -1)], None),
        ([(7, 1)], (7, 7)),
        ([(1, 1), (2, 1)], (1, 2)),
        ([(n, 1) for n in range(1, 21)], (10, 19)),
        ([(n, 1) for n in range(1, 101)], (50, 95)),
        ([(1, 95), (2, 5)], (1, 1)),
        ([(1, 94), (2, 6)], (1, 2)),
        ([(3, 2), (1, 1), (3, -1), (2, 1)], (2, 3)),
        ([(0, 3), (5, 1)], (0, 5)),
    ],
    ids=["none", "no weight", "taken back", "one", "two", "20", "100", "just 95 %", "not 95 %", "signed", "zeros"],
)
def test_they_are_the_nearest_ranks(values: list[tuple[int, int]], found: tuple[int, ...] | None) -> None:
    assert quantiles(weighed(values)) == found


@given(VALUES, PLACES)
def test_at_least_that_part_of_all_is_no_greater_and_no_lesser_value_does(values: list[int], q: Fraction) -> None:
    (found,) = quantiles(Counter(values), [q]) or ()
    assert found in values
    assert sum(value <= found for value in values) >= q * len(values)
    assert sum(value < found for value in values) < q * len(values) or found == min(values)


@given(VALUES, st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 3)), max_size=9), st.randoms())
def test_what_is_taken_back_was_never_there_in_any_order(
    values: list[int], gone: list[tuple[int, int]], order: object
) -> None:
    signed = [(value, 1) for value in values]
    signed += [(value, sign * weight) for value, weight in gone for sign in (1, -1)]
    order.shuffle(signed)  # type: ignore[attr-defined]
    assert quantiles(weighed(signed)) == quantiles(Counter(values))


@given(VALUES)
def test_they_are_in_order_and_within(values: list[int]) -> None:
    places = [Fraction(0), MEDIAN, P95, Fraction(1)]
    least, median, p95, most = quantiles(Counter(values), places) or ()
    assert min(values) == least <= median <= p95 <= most == max(values)
