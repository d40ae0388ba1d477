"""The most an attempt can have cost is never less than what it did, and is not said where nobody can know it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost import ChargeStatus, UsageEvent
from aicost._money import to_text
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel
from aicost.usage.event import Chargeable, Limits

from .cards import card, rate

AT = 1_780_000_000 * 10**9
INPUTS = ["input", "input_cache_read", "input_cache_write", "input_cache_write_1h"]
OUTPUTS = ["output", "output_reasoning", "output_audio"]


def lost(usage: dict[str, Any] | None = None, limits: Limits | None = None, **known: Any) -> UsageEvent:
    """An attempt that was cut off."""
    base = {"event_id": "e", "provider": "p", "operation": "chat", "model": "m", "started_ns": AT, "ended_ns": AT}
    given: dict[str, Any] = {
        **base,
        "usage": usage,
        "chargeable": Chargeable.POSSIBLY,
        "complete": False,
        "limits": limits,
    }
    return UsageEvent(**{**given, **known})


def above(price: str, value: int, scope: str, *basis: str) -> dict[str, Any]:
    context = {"basis": list(basis), "op": "gt", "value": value, "scope": scope}
    return {"price": price, "when": {"context": context}}


PLAIN = card(rate("input", "2"), rate("input_cache_read", "0.5"), rate("output", "8"))
CARDS: dict[str, RateCard] = {
    "plain": PLAIN,
    "writing to a cache costs more": card(
        rate("input", "2"), rate("input_cache_write", "2.5"), rate("input_cache_write_1h", "4"), rate("output", "8")
    ),
    "larger requests cost more": card(
        rate("input", "2"),
        rate("input", **above("4", 1000, "cliff", "input_tokens")),
        rate("output", "8"),
        rate("output", **above("12", 1000, "cliff", "input_tokens")),
    ),
    "larger requests cost less": card(
        rate("input", "2"), rate("input", **above("1", 1000, "marginal", "input")), rate("output", "8")
    ),
    "longer answers cost more": card(
        rate("input", "2"), rate("output", "8"), rate("output", **above("9", 100, "cliff", "output"))
    ),
    "each call costs, too": card(rate("input", "2"), rate("output", "8"), rate("requests", "0.01", 1)),
    "speaking costs more": card(rate("input", "2"), rate("output", "8"), rate("output_audio", "80")),
    "a price finer than an atto": card(rate("input", "0.0000000000001", 7_000_000), rate("output", "1", 3)),
}


@pytest.mark.parametrize("name", CARDS)
@given(
    inputs=st.dictionaries(st.sampled_from(INPUTS), st.integers(1, 3000), min_size=1),
    outputs=st.dictionaries(st.sampled_from(OUTPUTS), st.integers(1, 500)),
    spare=st.integers(0, 100),
    split_is_known=st.booleans(),
)
def test_no_usage_within_the_limits_costs_more(
    name: str, inputs: dict[str, int], outputs: dict[str, int], spare: int, split_is_known: bool
) -> None:
    kernel = Kernel(CARDS[name])
    true = kernel.price(lost({**inputs, **outputs}, complete=True))
    limit = sum(outputs.values()) + spare
    event = lost(inputs, Limits(limit)) if split_is_known else lost(None, Limits(limit, sum(inputs.values())))
    bound = kernel.price(event)
    assert true.at_most_atto is None
    if true.status is ChargeStatus.PRICED:
        assert bound.at_most_atto is not None
        assert true.atto is not None
        assert (bound.atto or 0) <= true.atto <= bound.at_most_atto


# In dollars, worked out by hand.
KNOWN: list[tuple[str, str, UsageEvent, str]] = [
    ("all is known but the answer", "plain", lost({"input": 1_000_000}, Limits(100_000)), "2.8"),
    ("what a cache had is known", "plain", lost({"input_cache_read": 1_000_000}, Limits(100_000)), "1.3"),
    ("nobody knows what a cache had", "plain", lost(None, Limits(100_000, 1_000_000)), "2.8"),
    (
        "the answer is missing",
        "plain",
        lost({"input": 10}, Limits(10), flags=("missing_count:output_tokens",)),
        "0.0001",
    ),
    ("part of the answer came", "plain", lost({"input": 10, "output": 5}, Limits(10)), "0.0001"),
    ("it answers with no tokens", "plain", lost(None, Limits(0, 1_000_000)), "2"),
    ("it may have written to a cache", "writing to a cache costs more", lost(None, Limits(0, 1_000_000)), "4"),
    ("it is surely small", "larger requests cost more", lost({"input": 1000}, Limits(1000)), "0.01"),
    ("it is surely large", "larger requests cost more", lost({"input": 1001}, Limits(1000)), "0.016004"),
    ("the answer may be long", "longer answers cost more", lost({"input": 1000}, Limits(101)), "0.002909"),
    ("each call costs", "each call costs, too", lost({"input": 1000}, Limits(0)), "0.012"),
    ("it may have been spoken", "speaking costs more", lost({"input": 1000}, Limits(10)), "0.0028"),
]


@pytest.mark.parametrize(("name", "event", "most"), [row[1:] for row in KNOWN], ids=[row[0] for row in KNOWN])
def test_the_most_is_exact(name: str, event: UsageEvent, most: str) -> None:
    bound = Kernel(CARDS[name]).price(event).at_most_atto
    assert bound is not None
    assert to_text(bound) == most


UNKNOWN: list[tuple[str, UsageEvent]] = [
    ("the request sets no limit", lost({"input": 10})),
    ("nobody knows what was sent", lost(None, Limits(10))),
    ("nothing that was counted was sent", lost({"output": 2}, Limits(10))),
    ("the limit did not hold", lost({"input": 10, "output": 11}, Limits(10))),
    ("something in it contradicts itself", lost({"input": 10}, Limits(10), flags=("input_tokens_exceeded",))),
    ("part of what was sent is missing", lost({"input": 10}, Limits(10), flags=("missing_count:input_tokens",))),
    ("a tool that bills was run", lost({"input": 10, "tool_web_search": 1}, Limits(10))),
    ("a meter that no price is known of", lost({"input_audio": 10}, Limits(10))),
    ("the model is not known", lost({"input": 10}, Limits(10), model="other")),
    ("another model answered", lost({"input": 10}, Limits(10), model="other", request_model="m")),
    ("it is no quantity", lost({"input": -3}, Limits(10))),
    ("everything is known", lost({"input": 10}, Limits(10), complete=True)),
    ("it was refused", lost(None, Limits(10, 10), chargeable=Chargeable.NO)),
    ("the provider says what it cost", lost({"input": 10}, Limits(10), provider_cost="0.1")),
    ("more than any call can cost", lost({"input": 10}, Limits(10**18))),
]


@pytest.mark.parametrize("event", [row[1] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_no_most_is_said_where_nobody_can_know_it(event: UsageEvent) -> None:
    assert Kernel(PLAIN).price(event).plausible().at_most_atto is None


def test_it_is_beside_the_amount_and_no_part_of_it() -> None:
    event = lost({"input": 1_000_000}, Limits(100_000))
    with_bound, without = (Kernel(PLAIN).price(one) for one in (event, replace(event, limits=None)))
    assert with_bound._replace(at_most_atto=None) == without
    assert with_bound.amount == Decimal(2)
    assert with_bound.status is ChargeStatus.PARTIAL
    unseen = Kernel(PLAIN).price(lost(None, Limits(5, 5)))
    assert (unseen.amount, unseen.reason) == (None, "usage_not_received")


@pytest.mark.parametrize(
    "rates",
    [
        (rate("input", "2", attested_from="2030-01-01"), rate("output", "8")),
        (rate("input", "2", currency="EUR"), rate("output", "8")),
        (rate("output", "8"),),
    ],
    ids=["a price of another time", "a price that nobody converts", "no price of what was sent"],
)
def test_a_price_that_is_in_doubt_bounds_nothing(rates: tuple[dict[str, Any], ...]) -> None:
    kernel = Kernel(card(*rates))
    assert kernel.price(lost({"input": 10}, Limits(10))).at_most_atto is None
    assert kernel.price(lost(None, Limits(10, 10))).at_most_atto is None
