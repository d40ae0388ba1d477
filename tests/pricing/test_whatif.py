"""Estimates before a call, and what calls would have cost otherwise."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from aicost import ChargeStatus, UsageError, estimate
from aicost.pricing.card import RateCard
from aicost.pricing.charge import ATTO
from aicost.pricing.kernel import Kernel
from aicost.pricing.whatif import Scenario, compare, reprice, without_cache
from aicost.usage.event import Chargeable

from .cards import document, rate
from .test_kernel import BATCH, event

AT = datetime(2026, 11, 20, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("known", "amount"),
    [
        ({"input_tokens": 1000, "output_tokens": 500}, "0.0075"),
        ({"text": "a" * 4000}, "0.0025"),
        ({"text": "a" * 4001}, "0.0025025"),
        ({"text": ""}, "0"),
        ({"input_tokens": 1000, "service_tier": "batch"}, "0.00125"),
    ],
    ids=["tokens", "text at four characters a token", "a started token counts", "no text", "in a batch"],
)
def test_a_call_is_estimated_before_it_is_made(known: dict[str, Any], amount: str) -> None:
    charge = estimate(provider="openai", model="gpt-4o", at=AT, **known)
    assert (charge.amount, charge.status) == (Decimal(amount), ChargeStatus.ESTIMATED)


def test_an_embedding_is_estimated_by_its_input_alone() -> None:
    charge = estimate(provider="openai", model="text-embedding-3-small", input_tokens=1_000_000, at=AT)
    assert (charge.amount, charge.status, charge.reason) == (Decimal("0.02"), ChargeStatus.ESTIMATED, None)


def test_an_unknown_model_has_no_estimate() -> None:
    charge = estimate(provider="openai", model="gpt-99", input_tokens=5)
    assert (charge.amount, charge.status) == (None, ChargeStatus.UNPRICED)


@pytest.mark.parametrize("known", [{}, {"text": "a", "input_tokens": 1}], ids=["neither", "both"])
def test_an_estimate_needs_text_or_tokens(known: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="either text= or input_tokens="):
        estimate(provider="openai", model="gpt-4o", **known)


@pytest.mark.parametrize(
    ("usage", "plain"),
    [
        ({"input": 1, "input_cache_read": 2, "input_cache_write_5m": 4, "output": 8}, {"input": 7, "output": 8}),
        ({"input_cache_read_audio": 2, "input_audio": 1}, {"input_audio": 3}),
        ({"small/input_cache_read": 2, "small/input": 1}, {"small/input": 3}),
    ],
    ids=["reads and writes", "audio stays audio", "another model's stay its own"],
)
def test_without_a_cache_everything_is_plain_input(usage: dict[str, int], plain: dict[str, int]) -> None:
    assert without_cache(usage) == plain


def kernel() -> Kernel:
    data = document(
        rate("input", "4", 1),
        rate("input_cache_read", "1", 1),
        rate("output", "8", 1),
        rate("output", "9", 1, when={"service_tier": ["priority"]}),
        modifiers=(BATCH,),
    )
    data["providers"][0]["models"].append({"model": "small", "rates": [rate("input", "1", 1), rate("output", "2", 1)]})
    return Kernel(RateCard(data))


TRAFFIC = [event({"input": 1, "input_cache_read": 10}), event({"input": 2, "output": 1}, service_tier="batch")]


@pytest.mark.parametrize(
    ("scenario", "amount", "partial", "unpriced"),
    [
        (Scenario("as it was"), "22", 0, 0),
        (Scenario("batch", service_tier="batch"), "10", 1, 0),
        (Scenario("default tier", service_tier="default"), "30", 0, 0),
        (Scenario("no cache", cache="none"), "52", 0, 0),
        (Scenario("small", model="small", service_tier="default", cache="none"), "15", 0, 0),
        (Scenario("small, cached", model="small", service_tier="default"), "5", 1, 0),
        (Scenario("nobody's", model="huge"), None, 0, 2),
        (Scenario("priority", service_tier="priority"), "9", 1, 1),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else None,
)
def test_traffic_under_a_scenario(scenario: Scenario, amount: str | None, partial: int, unpriced: int) -> None:
    as_used, outcome = compare(TRAFFIC, [scenario], kernel())
    assert as_used.atto == {"USD": 22 * ATTO}
    assert outcome.atto == ({} if amount is None else {"USD": int(amount) * ATTO})
    assert (outcome.calls, outcome.partial, outcome.unpriced) == (2, partial, unpriced)


def test_another_model_is_not_assumed_to_be_the_one_that_was_asked_for() -> None:
    assumed = [event({"input": 1}, model="m:v2", request_model="m")]
    as_used, small, nobody = compare(assumed, [Scenario("small", model="small"), Scenario("?", model="huge")], kernel())
    assert (as_used.atto, small.atto, nobody.unpriced) == ({"USD": 4 * ATTO}, {"USD": ATTO}, 1)


def test_calls_without_usage_are_counted_and_not_invented() -> None:
    [_, outcome] = compare(
        [event(None, chargeable=Chargeable.POSSIBLY)], [Scenario("batch", service_tier="batch")], kernel()
    )
    assert (outcome.calls, outcome.unpriced, outcome.atto) == (1, 1, {})


def test_what_a_provider_reported_holds_only_for_the_call_that_was_made() -> None:
    reported = [event({"input": 1}, provider_cost="3.5")]
    as_used, batch = compare(reported, [Scenario("batch", service_tier="batch")], kernel())
    assert (as_used.atto, batch.atto) == ({"USD": 35 * ATTO // 10}, {"USD": 2 * ATTO})


def test_repricing_with_the_same_card_changes_nothing() -> None:
    every = [
        *TRAFFIC,
        event(None, chargeable=Chargeable.NO),
        event({"pages": 1}),
        event({"input": 1}, provider_cost="7"),
    ]
    every += [event({"input": 1}, provider_cost="0"), event({"input": 1}, model="m:v2", request_model="m")]
    assert list(reprice(every, kernel())) == [kernel().price(one) for one in every]


def test_repricing_at_another_date_uses_that_date_s_rates() -> None:
    rates = [rate("input", "4", 1, valid_to="2026-07-01"), rate("input", "1", 1, valid_from="2026-07-01")]
    priced = Kernel(RateCard(document(*rates)))
    [then] = reprice([event({"input": 1}, at="2026-06-30")], priced)
    [now] = reprice([event({"input": 1}, at="2026-06-30")], priced, at_ns=event({}, at="2026-08-01").started_ns)
    assert (then.amount, now.amount) == (4, 1)
