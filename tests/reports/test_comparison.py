"""What changed is explained by parts that add up to the change to the last digit, whatever it is."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost.reports.comparison import DRIVERS, Change, Volume, apportioned, change, shares_of_change

AMOUNTS = st.integers(0, 10**20) | st.sampled_from([1, 3, 7, 10**18])
VOLUMES = st.builds(
    Volume,
    st.sampled_from("abc"),
    st.integers(0, 9),
    st.integers(0, 10**6) | st.just(0) | st.decimals(0, 9, places=2),
    AMOUNTS,
    st.just(0) | AMOUNTS,
)
SIDES = st.lists(VOLUMES, max_size=5)


def amount(side: list[Volume]) -> int:
    return sum(one.atto + one.retries_atto for one in side)


@given(SIDES, SIDES)
def test_the_parts_add_up_to_the_change(before: list[Volume], after: list[Volume]) -> None:
    found = change("USD", before, after)
    assert (found.before, found.after) == (amount(before), amount(after))
    assert tuple(found.drivers) == DRIVERS
    assert sum(found.drivers.values()) == found.after - found.before
    exact = shares_of_change(before, after)
    assert sum(exact.values()) == found.after - found.before
    assert all(abs(found.drivers[name] - exact[name]) < 1 for name in DRIVERS), "each is rounded by less than one"


@given(SIDES, SIDES, st.randoms())
def test_no_order_matters(before: list[Volume], after: list[Volume], order: Any) -> None:
    shuffled = [order.sample(side, len(side)) for side in (before, after)]
    assert change("USD", *shuffled) == change("USD", before, after)


@given(SIDES, SIDES)
def test_the_way_back_is_the_opposite(before: list[Volume], after: list[Volume]) -> None:
    there, back = shares_of_change(before, after), shares_of_change(after, before)
    assert {name: -share for name, share in back.items()} == there


@given(SIDES)
def test_where_nothing_changed_nothing_did_anything(side: list[Volume]) -> None:
    assert set(change("USD", side, side).drivers.values()) == {0}


def one(model: str = "a", calls: int = 10, tokens: int | Decimal = 1000, atto: int = 5000, retries: int = 0) -> Volume:
    return Volume(model, calls, tokens, atto, retries)


@pytest.mark.parametrize(
    ("before", "after", "drivers"),
    [
        ([one()], [one(calls=20, tokens=2000, atto=10_000)], {"calls": 5000}),
        ([one()], [one(tokens=3000, atto=15_000)], {"tokens_per_call": 10_000}),
        ([one()], [one(atto=4000)], {"price": -1000}),
        ([one()], [one(retries=700)], {"retries": 700}),
        (
            [one("a"), one("b", atto=50_000)],
            [one("a", 5, 500, 2500), one("b", 15, 1500, 75_000)],
            {"model_mix": 22_500},
        ),
        ([], [one()], {"calls": 5000}),
        ([one()], [], {"calls": -5000}),
        ([one()], [one(), one("b", 10, 1000, 50_000)], {"calls": 16_250, "model_mix": 33_750}),
        ([one(tokens=0)], [one(calls=20, tokens=0, atto=10_000)], {"calls": 5000}),
        ([one(tokens=0)], [one(tokens=1000, atto=6000)], {"price": 1000}),
        ([one(calls=0, atto=3)], [one(calls=0, atto=10)], {"other": 7}),
        ([one()], [one(calls=20, tokens=4000, atto=20_000)], {"calls": 7500, "tokens_per_call": 7500}),
        ([one(tokens=Decimal("0.5"))], [one(tokens=Decimal("1.5"), atto=15_000)], {"tokens_per_call": 10_000}),
    ],
    ids=[
        "twice the calls", "longer", "cheaper", "retries", "dearer models", "from nothing", "to nothing", "a new model",
        "no tokens", "tokens in one alone", "no call", "two at once share alike", "parts of a token",
    ],
)  # fmt: skip
def test_a_driver_is_what_it_is_called(before: list[Volume], after: list[Volume], drivers: dict[str, int]) -> None:
    found = change("USD", before, after)
    assert isinstance(found, Change)
    assert {name: atto for name, atto in found.drivers.items() if atto} == drivers


@given(st.lists(st.fractions(-(10**6), 10**6, max_denominator=97), max_size=12))
def test_what_is_apportioned_adds_up_and_is_as_near_as_can_be(shares: list[Fraction]) -> None:
    found = apportioned(shares)
    assert sum(found) == round(sum(shares, Fraction(0)))
    assert all(abs(whole - share) < 1 for whole, share in zip(found, shares, strict=True))
    assert all(whole == share for whole, share in zip(found, shares, strict=True) if share.denominator == 1)
