"""A charge is a layout and quantities, and these alone give every line and amount back, to the last digit."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost import Charge, ChargeLine, ChargeStatus
from aicost.pricing.card import RateCard
from aicost.pricing.charge import ATTO, Layout
from aicost.pricing.kernel import Inquiry, Kernel

from .cards import card, rate

AT = 1_780_000_000 * 10**9
MARGINAL = {"context": {"basis": ["input"], "op": "gt", "value": 100, "scope": "marginal"}}
CARDS: dict[str, tuple[RateCard, str]] = {
    "whole fractions": (card(rate("input", "2.5"), rate("output", "10")), "m"),
    "prices finer than an atto": (card(rate("input", "0.0000000000001", 7_000_000), rate("output", "1", 3)), "m"),
    "a threshold splits a meter": (card(rate("input", "1"), rate("input", "2", **MARGINAL), rate("output", "3")), "m"),
    "a fee for the call": (card(rate("input", "2"), rate("requests", "0.01", 1)), "m"),
    "no rate for one": (card(rate("input", "2")), "m"),
    "an unknown model": (card(rate("input", "2")), "other"),
    "a price of a third": (
        card(
            rate("input", "1"), rate("output", "1"), modifiers=({"id": "x", "multiply": "1/3", "meters": ["output"]},)
        ),
        "m",
    ),
}

QUANTITIES = st.one_of(
    st.integers(0, 10**12), st.decimals(0, 10**9, allow_nan=False, places=6), st.sampled_from([-1, 2**63, "x", True])
)


@pytest.mark.parametrize("name", CARDS)
@given(usage=st.dictionaries(st.sampled_from(["input", "output", "requests", "pages", "output_reasoning"]), QUANTITIES))
def test_layout_and_quantities_give_the_charge_back(name: str, usage: dict[str, Any]) -> None:
    rates, model = CARDS[name]
    made = Kernel(rates).price(Inquiry("p", model, usage, AT))
    kept = json.loads(json.dumps({"layout": made.layout.key(), "quantities": [str(q) for q in made.quantities]}))
    quantities = tuple(Decimal(q) if "." in q else int(q) for q in kept["quantities"])
    again = made._replace(layout=Layout.parse(kept["layout"]), quantities=quantities)
    assert again == made
    assert again.lines == made.lines
    if made.atto is not None:
        assert sum(line.atto or 0 for line in again.lines) == made.atto
    assert Charge.of_lines(*made[:3], made.lines, *made[5:]) == made


@given(
    atto=st.integers(0, 10**30),
    quantity=st.one_of(st.integers(1, 10**15), st.decimals("0.001", 10**6, places=3)),
    price=st.sampled_from([None, "1", "0.15", "1/3"]),
)
def test_a_line_with_any_amount_is_kept_as_it_is(atto: int, quantity: int | Decimal, price: str | None) -> None:
    line = ChargeLine("input", quantity, price, 1_000_000, atto, "somebody's")
    made = Charge.of_lines(ChargeStatus.PRICED, "USD", atto, [line])
    assert made.lines == (line,)
    assert Layout.parse(made.layout.key()) == made.layout


def test_an_amount_of_nothing_is_no_line() -> None:
    with pytest.raises(ValueError, match="no quantity"):
        Charge.of_lines(ChargeStatus.PRICED, "USD", 5, [ChargeLine("input", 0, "1", 1, 5, "r")])


def test_a_plan_makes_each_layout_once_and_again_for_another_order() -> None:
    kernel = Kernel(CARDS["whole fractions"][0])

    def layout(usage: dict[str, Any]) -> Layout:
        return kernel.price(Inquiry("p", "m", usage, AT)).layout

    one = layout({"input": 1, "output": 2})
    assert layout({"input": 30, "output": 40}) is one
    assert layout({"output": 2, "input": 1}) != one
    assert layout({"input": 1}).meters == ("input",)


def test_layouts_of_one_table_are_a_bounded_number() -> None:
    meters = [f"m{n}" for n in range(300)]
    kernel = Kernel(card(*(rate(meter, "1") for meter in meters)))
    for meter in meters:
        assert kernel.price(Inquiry("p", "m", {meter: 2}, AT)).atto == 2 * ATTO // 1_000_000
    [timeline] = kernel._state[1].values()
    assert timeline is not None
    assert timeline.plans[-1].table is not None
    assert len(timeline.plans[-1].table._layouts) == 256


def test_charges_are_equal_hashed_copied_and_pickled_by_value() -> None:
    usage = {"input": 3, "output": 4}
    one, other = (Kernel(CARDS["whole fractions"][0]).price(Inquiry("p", "m", usage, AT)) for _ in range(2))
    assert one.layout is not other.layout
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one == copy.deepcopy(one)
    assert one._replace(atto=1) != one
    usage["input"] = 99
    assert one.lines[0].quantity == 3


@pytest.mark.parametrize(
    "text", ["", "[", "1", "[1]", '[["input"]]', '[["input","1",1,"r","1/0"]]', '[["m",1,1,1,"x"]]']
)
def test_what_is_no_layout_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no layout"):
        Layout.parse(text)
