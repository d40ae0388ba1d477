"""What should never come, and does: each gives a status and a reason, never an exception and never a silent zero."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aicost
from aicost import ChargeStatus
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import MAX_COUNT, Kernel
from aicost.usage.readers import read_usage

from .cards import card, document, rate
from .test_kernel import event

QUANTITIES: list[tuple[str, Any, Decimal | None]] = [
    ("a text", "12", None),
    ("nothing", None, None),
    ("a flag", True, None),
    ("not a number", float("nan"), None),
    ("infinite", float("inf"), None),
    ("a decimal that is no number", Decimal("NaN"), None),
    ("a decimal that fills the memory", Decimal("1e-999999999"), None),
    ("a decimal beyond everything", Decimal("1e999999999"), None),
    ("negative", -1, None),
    ("a million digits", 10**1_000_000, None),
    ("one more than a store can keep", MAX_COUNT + 1, None),
    ("a list", [1], None),
    ("an object", object(), None),
    ("the most there can be", MAX_COUNT, Decimal(MAX_COUNT)),
    ("a fraction", 1.5, Decimal("1.5")),
    ("a decimal", Decimal("0.25"), Decimal("0.25")),
    ("zero", 0, Decimal(0)),
]


@pytest.mark.parametrize(("quantity", "amount"), [row[1:] for row in QUANTITIES], ids=[row[0] for row in QUANTITIES])
def test_a_quantity_of_any_kind_has_a_status(quantity: Any, amount: Decimal | None) -> None:
    charge = Kernel(card(rate("input", "1", 1), rate("output", "2", 1))).price(event({"input": quantity, "output": 1}))
    if amount is None:
        assert (charge.status, charge.reason) == (ChargeStatus.PARTIAL, "invalid_quantity:input")
        assert charge.amount == 2
    else:
        assert (charge.status, charge.amount) == (ChargeStatus.PRICED, amount + 2)
    assert str(charge.amount)


@pytest.mark.parametrize("quantity", [row[1] for row in QUANTITIES if row[2] is None], ids=lambda q: type(q).__name__)
def test_only_bad_quantities_are_unpriced_even_for_an_unknown_model(quantity: Any) -> None:
    for model in ("m", "unknown"):
        charge = Kernel(card(rate("input", "1", 1))).price(event({"input": quantity}, model=model))
        assert (charge.status, charge.amount) == (ChargeStatus.UNPRICED, None)
        assert charge.reason


KINDS: dict[str, RateCard] = {
    "flat": card(rate("input", "1", 1), rate("output", "2", 1)),
    "a threshold": card(
        rate("input", "1", 1),
        rate("output", "2", 1),
        rate("input", "3", 1, when={"context": {"basis": ["tokens"], "op": "ge", "value": 9, "scope": "cliff"}}),
    ),
    "steps": card(
        rate("input", "1", 1),
        rate("input", "3", 1, when={"context": {"basis": ["input"], "op": "gt", "value": 9, "scope": "marginal"}}),
        rate("output", "2", 1),
    ),
    "hours": card(
        rate("input", "1", 1),
        rate("output", "2", 1, when={"window": {"start": "00:00", "end": "09:00"}}),
        rate("output", "2", 1),
    ),
    "not attested": card(rate("input", "1", 1, attested_from="2026-10-01"), rate("output", "2", 1)),
    "a fee": card(rate("input", "1", 1), rate("output", "2", 1), rate("requests", "1", 1)),
}
JUNK = st.one_of(
    st.sampled_from([row[1] for row in QUANTITIES if row[2] is None]),
    st.text(max_size=5),
    st.floats(),
    st.decimals(),
    st.integers(),
    st.booleans(),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
)
METERS = st.sampled_from(
    ["input", "output", "input_image", "output_reasoning", "m/input", "x/input", "pages", "requests"]
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(METERS | st.sampled_from(["", 7, None]), JUNK, max_size=5),
    st.sampled_from(["m", "unknown", "", None, 7, ["m"]]),
    st.sampled_from([None, "0", "0.5", "much", "", 0.25, Decimal("NaN"), [1]]),
    st.sampled_from([0, -(10**30), 10**30, 1_795_000_000 * 10**9]),
)
def test_nothing_an_event_holds_makes_pricing_fail(
    kind: str, usage: dict[Any, Any], model: Any, cost: Any, started_ns: int
) -> None:
    made = replace(event({}), usage=usage, model=model, provider_cost=cost, started_ns=started_ns)
    charge = Kernel(KINDS[kind]).price(made)
    assert {line.meter for line in charge.lines} >= {str(meter) for meter in usage}
    for line in charge.lines:
        assert isinstance(line.quantity, (int, Decimal))
        assert abs(line.quantity) <= MAX_COUNT
    known = [line.atto for line in charge.lines if line.atto is not None]
    if charge.status is not ChargeStatus.PROVIDER_REPORTED:
        assert charge.atto == (sum(known) if known else 0 if not charge.lines and charge.atto == 0 else None)
    assert charge.status is ChargeStatus.PRICED or charge.reason or charge.status is ChargeStatus.PROVIDER_REPORTED


@pytest.mark.parametrize("junk", [row[1] for row in QUANTITIES if row[2] is None], ids=lambda q: type(q).__name__)
def test_what_is_no_quantity_moves_no_request_over_or_under_a_threshold(junk: Any) -> None:
    high = {"context": {"basis": ["tokens"], "op": "gt", "value": 10, "scope": "cliff"}}
    kernel = Kernel(card(rate("input", "1", 1), rate("input", "2", 1, when=high), rate("output", "0", 1)))
    for size, amount in ((10, 10), (11, 22)):
        charge = kernel.price(event({"input": size, "output": junk}))
        assert (charge.amount, charge.reason) == (amount, "invalid_quantity:output")


@pytest.mark.parametrize("at", ["0001-01-01", "1969-12-31", "2025-12-31T23:59:59"])
def test_a_time_before_any_rate_is_unpriced(at: str) -> None:
    charge = Kernel(card(rate("input", "1", valid_from="2026-01-01"))).price(event({"input": 5}, at=at))
    assert (charge.status, charge.amount, charge.reason) == (ChargeStatus.UNPRICED, None, "no_rate:input")


@pytest.mark.parametrize("cost", ["1e-999999999", "1e999999999", "-1", "NaN", "", "free"])
def test_a_cost_no_provider_can_mean_is_not_believed(cost: str) -> None:
    charge = Kernel(card(rate("input", "1", 1))).price(event({"input": 5}, provider_cost=cost))
    assert (charge.amount, charge.status, charge.reason) == (5, ChargeStatus.ESTIMATED, "invalid_provider_cost")
    reading = read_usage({"prompt_tokens": 1, "completion_tokens": 1, "cost": cost}, api="chat", provider="openrouter")
    assert reading.provider_cost is None


def test_usage_of_a_future_client_is_priced_as_far_as_it_is_understood() -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "telepathy_tokens": 7,
        "prompt_tokens_details": {"smell_tokens": 3, "cached_tokens": 0},
        "prompt_tokens_by_layer": [{"layer": 1, "tokens": 2}],
    }
    charge = aicost.price(provider="openai", model="gpt-4o", usage=usage)
    assert charge.amount == Decimal("0.0035")
    assert set(read_usage(usage, api="chat").flags) == {
        "unknown_field:telepathy_tokens",
        "unknown_field:prompt_tokens_details.smell_tokens",
        "unknown_field:prompt_tokens_by_layer",
    }


def test_a_card_of_a_hundred_thousand_rates_loads_and_prices(tmp_path: Path) -> None:
    data = document()
    data["providers"][0]["models"] = [
        {"model": f"m{n}", "rates": [rate(f"meter{k}", str(n + 1), 1) for k in range(20)]} for n in range(5000)
    ]
    path = tmp_path / "card.json"
    path.write_text(json.dumps(data))
    began = time.perf_counter()
    kernel = Kernel(RateCard.load(path))
    assert kernel.price(event({"meter7": 2}, model="m4999")).amount == 10_000
    assert time.perf_counter() - began < 30


@pytest.mark.parametrize("document_", ["[]", "null", '"card"', '{"schema": "aicost.rate-card/1"}', "[" * 50_000])
def test_a_file_that_is_no_card_is_refused(tmp_path: Path, document_: str) -> None:
    (tmp_path / "card.json").write_text(document_)
    with pytest.raises(aicost.RateCardError):
        RateCard.load(tmp_path / "card.json")


def test_a_price_of_hundreds_of_digits_is_exact() -> None:
    charge = Kernel(card(rate("input", "1" + "0" * 300, 1), rate("output", "0." + "0" * 300 + "1", 1))).price(
        event({"input": 1, "output": 1})
    )
    assert Fraction(charge.atto or 0, 10**18) == 10**300, "what is finer than 1e-18 is rounded, half to even"
