"""The kernel prices exactly as the card says, and says so when it cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost import ChargeStatus, UsageEvent, price
from aicost.pricing.card import RateCard
from aicost.pricing.charge import ATTO
from aicost.pricing.kernel import Kernel
from aicost.usage.event import Chargeable

from .cards import card, rate


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()) * 10**9


def event(usage: dict[str, Any] | None, *, at: str = "2026-06-01", **known: Any) -> UsageEvent:
    base = {"provider": "p", "model": "m", "operation": "chat", "started_ns": ns(at), "ended_ns": ns(at)}
    return UsageEvent(**{"event_id": "e", "usage": usage, **base, **known})


BATCH = {"id": "batch", "multiply": "1/2", "when": {"service_tier": ["batch"]}, "meters": ["input", "output"]}
RESIDENCY = {"id": "us", "multiply": "11/10", "when": {"region": ["us"]}, "meters": ["input", "output"]}
LONG = {"context": {"basis": ["input", "input_cache_read"], "op": "gt", "value": 200_000, "scope": "cliff"}}

# What the providers' own price pages come to, worked out by hand.
REAL: list[tuple[str, str, str, dict[str, Any], dict[str, str], str]] = [
    (
        "gpt-4o, cached and reasoning",
        "openai",
        "gpt-4o",
        {
            "prompt_tokens": 1200,
            "completion_tokens": 80,
            "prompt_tokens_details": {"cached_tokens": 1024},
            "completion_tokens_details": {"reasoning_tokens": 64},
        },
        {},
        "0.00252",
    ),
    (
        "gpt-4o on the priority tier",
        "openai",
        "gpt-4o",
        {"prompt_tokens": 1000, "completion_tokens": 100},
        {"service_tier": "priority"},
        "0.00595",
    ),
    (
        "gpt-5 on the flex tier",
        "openai",
        "gpt-5",
        {"prompt_tokens": 1000, "completion_tokens": 100},
        {"service_tier": "flex"},
        "0.001125",
    ),
    (
        "gpt-5 in a batch",
        "openai",
        "gpt-5",
        {"prompt_tokens": 1000, "completion_tokens": 100},
        {"service_tier": "batch"},
        "0.001125",
    ),
    (
        "a dated snapshot",
        "openai",
        "gpt-4o-mini-2024-07-18",
        {"prompt_tokens": 1_000_000, "completion_tokens": 0},
        {},
        "0.15",
    ),
    ("embeddings", "openai", "text-embedding-3-small", {"prompt_tokens": 1_000_000}, {}, "0.02"),
    (
        "sonnet with both cache lives and two searches in a batch",
        "anthropic",
        "claude-sonnet-4-5",
        {
            "input_tokens": 100,
            "cache_creation_input_tokens": 200,
            "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150},
            "cache_read_input_tokens": 1000,
            "output_tokens": 80,
            "service_tier": "batch",
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        },
        {},
        "0.02144375",
    ),
    (
        "sonnet exactly at the threshold",
        "anthropic",
        "claude-sonnet-4-5",
        {"input_tokens": 150_000, "cache_read_input_tokens": 50_000, "output_tokens": 1000},
        {},
        "0.48",
    ),
    (
        "sonnet one token above it, all at the higher rate",
        "anthropic",
        "claude-sonnet-4-5",
        {"input_tokens": 150_001, "cache_read_input_tokens": 50_000, "output_tokens": 1000},
        {},
        "0.952506",
    ),
    (
        "gemini on Vertex costs the same in a region",
        "gcp.vertex_ai",
        "gemini-2.5-pro",
        {"promptTokenCount": 1000, "candidatesTokenCount": 60, "thoughtsTokenCount": 40, "totalTokenCount": 1100},
        {"region": "europe-west4"},
        "0.00225",
    ),
    (
        "claude on Vertex costs a tenth more in a region",
        "gcp.vertex_ai",
        "claude-sonnet-4-5@20250929",
        {"input_tokens": 1000, "output_tokens": 100},
        {"region": "europe-west4"},
        "0.00495",
    ),
    (
        "an inference profile of Bedrock in the US",
        "aws.bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100},
        {},
        "0.00495",
    ),
    (
        "the same model by its plain id, in one region",
        "aws.bedrock",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100},
        {},
        "0.00495",
    ),
    (
        "an image of gemini",
        "gcp.gemini",
        "gemini-2.5-flash-image",
        {
            "promptTokenCount": 10,
            "candidatesTokenCount": 1290,
            "totalTokenCount": 1300,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
        },
        {},
        "0.038703",
    ),
    (
        "grok exactly at its threshold, which counts as above",
        "x_ai",
        "grok-4.3",
        {"prompt_tokens": 200_000, "completion_tokens": 0, "total_tokens": 200_000},
        {},
        "0.5",
    ),
    (
        "a model that searches the web with every call",
        "openai",
        "gpt-4o-search-preview-2025-03-11",
        {"prompt_tokens": 1000, "completion_tokens": 100},
        {},
        "0.0285",
    ),
    (
        "a fine-tuned model",
        "openai",
        "ft:gpt-4o-mini-2024-07-18:acme::x1",
        {"prompt_tokens": 1000, "completion_tokens": 100},
        {},
        "0.00042",
    ),
    (
        "opus in the US, fast",
        "anthropic",
        "claude-opus-5",
        {"input_tokens": 1000, "output_tokens": 100, "inference_geo": "us", "speed": "fast"},
        {},
        "0.0165",
    ),
]


@pytest.mark.parametrize(
    ("provider", "model", "usage", "more", "amount"), [r[1:] for r in REAL], ids=[r[0] for r in REAL]
)
def test_real_models_cost_what_their_price_pages_say(
    provider: str, model: str, usage: dict[str, Any], more: dict[str, str], amount: str
) -> None:
    charge = price(provider=provider, model=model, usage=usage, at=datetime(2026, 11, 20, tzinfo=timezone.utc), **more)
    assert charge.amount == Decimal(amount)
    assert charge.status is ChargeStatus.PRICED
    assert charge.reason is None


def test_an_old_call_is_priced_at_the_rates_of_its_day() -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    before = price(provider="openai", model="o3", usage=usage, at=datetime(2025, 6, 9, tzinfo=timezone.utc))
    after = price(provider="openai", model="o3", usage=usage, at=datetime(2025, 6, 10, tzinfo=timezone.utc))
    assert (before.amount, after.amount) == (Decimal(10), Decimal(2))


def test_reasoning_without_a_rate_of_its_own_costs_what_output_costs() -> None:
    charge = Kernel(card(rate("output", "10"))).price(event({"output": 100, "output_reasoning": 50}))
    assert [line.atto for line in charge.lines] == [10**15, 5 * 10**14]
    assert charge.lines[1].rate_id == "p/m/output@always"


def test_reasoning_with_a_rate_of_its_own_uses_it() -> None:
    charge = Kernel(card(rate("output", "10"), rate("output_reasoning", "20"))).price(event({"output_reasoning": 50}))
    assert charge.amount == Decimal("0.001")


@pytest.mark.parametrize(
    ("usage", "amount"),
    [
        ({"input": 200_000}, "0.2"),
        ({"input": 200_001}, "0.400002"),
        ({"input": 150_000, "input_cache_read": 50_001}, "0.3050001"),
    ],
    ids=["at the threshold the low rate", "above it the high rate for everything", "the basis counts cached input too"],
)
def test_a_cliff_threshold_moves_the_whole_request(usage: dict[str, int], amount: str) -> None:
    rates = [rate("input", "1"), rate("input", "2", when=LONG), rate("input_cache_read", "0.1")]
    assert Kernel(card(*rates)).price(event(usage)).amount == Decimal(amount)


def test_an_inclusive_threshold_holds_at_the_value_itself() -> None:
    at = {"context": {"basis": ["input"], "op": "ge", "value": 1000, "scope": "cliff"}}
    kernel = Kernel(card(rate("input", "1", 1), rate("input", "2", 1, when=at)))
    assert kernel.price(event({"input": 999})).amount == 999
    assert kernel.price(event({"input": 1000})).amount == 2000


def test_a_marginal_threshold_moves_only_what_is_above_it() -> None:
    above = {"context": {"basis": ["pages"], "op": "gt", "value": 100, "scope": "marginal"}}
    charge = Kernel(card(rate("pages", "3", 1), rate("pages", "2", 1, when=above))).price(event({"pages": 150}))
    assert [(line.quantity, line.amount) for line in charge.lines] == [(50, 100), (100, 300)]
    assert charge.amount == 400


def test_a_window_applies_at_its_hours_only() -> None:
    night = {"window": {"start": "22:00", "end": "06:00", "timezone": "UTC"}}
    kernel = Kernel(card(rate("input", "2", 1), rate("input", "1", 1, when=night)))
    amounts = {
        at: kernel.price(event({"input": 1}, at=f"2026-06-01T{at}")).amount
        for at in ("21:59", "22:00", "05:59", "06:00")
    }
    assert amounts == {"21:59": 2, "22:00": 1, "05:59": 1, "06:00": 2}


def test_multipliers_compound_exactly() -> None:
    kernel = Kernel(card(rate("input", "3"), modifiers=(BATCH, RESIDENCY)))
    charge = kernel.price(event({"input": 7}, service_tier="batch", region="us"))
    assert charge.amount == Decimal("0.00001155")
    assert charge.lines[0].unit_price == "1.65"
    assert charge.lines[0].rate_id == "p/m/input@always*batch*us"


def test_a_price_stated_for_a_tier_is_not_multiplied_for_it_again() -> None:
    kernel = Kernel(
        card(rate("input", "4", 1), rate("input", "3", 1, when={"service_tier": ["batch"]}), modifiers=(BATCH,))
    )
    assert kernel.price(event({"input": 1}, service_tier="batch")).amount == 3


def test_a_tier_the_card_says_nothing_of_is_not_priced_as_standard() -> None:
    charge = Kernel(card(rate("input", "1"))).price(event({"input": 5}, service_tier="scale"))
    assert (charge.status, charge.amount) == (ChargeStatus.UNPRICED, None)
    assert charge.reason == "no_rate:input[service_tier=scale]"


def test_an_unknown_model_is_unpriced_and_keeps_its_quantities() -> None:
    charge = Kernel(card(rate("input", "1"))).price(event({"input": 5}, model="gpt-99"))
    assert (charge.status, charge.amount, charge.reason) == (ChargeStatus.UNPRICED, None, "unknown_model:p/gpt-99")
    assert [(line.meter, line.quantity, line.amount) for line in charge.lines] == [("input", 5, None)]


def test_a_meter_without_a_rate_makes_the_charge_partial() -> None:
    charge = Kernel(card(rate("input", "1", 1))).price(event({"input": 5, "output": 3}))
    assert (charge.status, charge.amount, charge.reason) == (ChargeStatus.PARTIAL, 5, "no_rate:output")


@pytest.mark.parametrize(
    ("known", "status", "reason"),
    [
        ({"complete": False}, ChargeStatus.PARTIAL, "usage_incomplete"),
        ({"flags": ("total_tokens_mismatch",)}, ChargeStatus.PARTIAL, "usage_suspect:total_tokens_mismatch"),
        ({"flags": ("unknown_field:x",)}, ChargeStatus.PRICED, None),
        ({"estimated": True}, ChargeStatus.ESTIMATED, None),
    ],
    ids=["cut stream", "contradiction", "new field", "estimate"],
)
def test_doubt_about_usage_shows_in_the_status(known: dict[str, Any], status: ChargeStatus, reason: str | None) -> None:
    charge = Kernel(card(rate("input", "1", 1))).price(event({"input": 5}, **known))
    assert (charge.status, charge.reason, charge.amount) == (status, reason, 5)


@pytest.mark.parametrize(
    ("chargeable", "amount", "status", "reason"),
    [
        (Chargeable.NO, Decimal(0), ChargeStatus.PRICED, None),
        (Chargeable.POSSIBLY, None, ChargeStatus.UNPRICED, "usage_not_received"),
        (Chargeable.YES, None, ChargeStatus.UNPRICED, "usage_not_reported"),
    ],
    ids=["refused costs nothing", "possibly billed is not zero", "billed without usage is not zero"],
)
def test_without_usage_nothing_is_invented(
    chargeable: Chargeable, amount: Decimal | None, status: ChargeStatus, reason: str | None
) -> None:
    charge = Kernel(card(rate("input", "1"))).price(event(None, chargeable=chargeable))
    assert (charge.amount, charge.status, charge.reason) == (amount, status, reason)


def test_no_usage_at_all_costs_nothing() -> None:
    assert Kernel(card(rate("input", "1"))).price(event({})).amount == 0


def test_the_provider_s_own_amount_wins_and_ours_stays_beside_it() -> None:
    charge = Kernel(card(rate("input", "1", 1))).price(event({"input": 5}, provider_cost="4.99"))
    assert (charge.status, charge.amount) == (ChargeStatus.PROVIDER_REPORTED, Decimal("4.99"))
    assert charge.computed_atto == 5 * ATTO


@pytest.mark.parametrize(
    ("price_", "usage", "cost", "status", "amount", "reason"),
    [
        ("1", {"input": 5}, "0", ChargeStatus.ESTIMATED, 5, "provider_cost_zero"),
        ("1", {"input": 5}, "0.000", ChargeStatus.ESTIMATED, 5, "provider_cost_zero"),
        ("0", {"input": 5}, "0", ChargeStatus.PROVIDER_REPORTED, 0, None),
        ("1", {"input": 0}, "0", ChargeStatus.PROVIDER_REPORTED, 0, None),
        ("1", {}, "0", ChargeStatus.PROVIDER_REPORTED, 0, None),
        ("1", {"pages": 5}, "0", ChargeStatus.PROVIDER_REPORTED, 0, "no_rate:pages"),
        ("1", {"input": 5, "pages": 5}, "0", ChargeStatus.PARTIAL, 5, "no_rate:pages;provider_cost_zero"),
        ("1", {"input": 5}, "0.000001", ChargeStatus.PROVIDER_REPORTED, Decimal("0.000001"), None),
    ],
    ids=["zero", "zero in full", "a free model", "nothing counted", "nothing used", "unknown", "in part", "little"],
)
def test_a_cost_of_zero_is_believed_only_of_what_is_free(
    price_: str, usage: dict[str, int], cost: str, status: ChargeStatus, amount: Any, reason: str | None
) -> None:
    charge = Kernel(card(rate("input", price_, 1))).price(event(usage, provider_cost=cost))
    assert (charge.status, charge.amount, charge.reason) == (status, amount, reason)


@pytest.mark.parametrize(
    ("provider", "answered", "asked", "reason"),
    [
        ("openai", "davinci:2023-07-21-v2", "davinci-002", "assumed_model:davinci-002"),
        (
            "aws.bedrock",
            "claude-3-haiku-48k-20240307",
            "anthropic.claude-3-haiku-20240307-v1:0",
            "assumed_model:anthropic.claude-3-haiku-20240307-v1:0",
        ),
    ],
)
def test_an_unknown_answer_is_priced_as_what_was_asked_for(
    provider: str, answered: str, asked: str, reason: str
) -> None:
    kernel = Kernel(RateCard.bundled())
    one = event({"input": 1000, "output": 10}, provider=provider, model=answered, request_model=asked)
    charge = kernel.price(one)
    assert (charge.status, charge.reason) == (ChargeStatus.ESTIMATED, reason)
    assert charge.amount == kernel.price(replace(one, model=asked)).amount
    assert charge.amount


@pytest.mark.parametrize(
    ("at", "status", "reason"),
    [
        ("2026-05-31T23:59:59", ChargeStatus.ESTIMATED, "price_before_attested:input"),
        ("2026-06-01", ChargeStatus.PRICED, None),
    ],
)
def test_before_a_price_is_attested_it_is_an_estimate(at: str, status: ChargeStatus, reason: str | None) -> None:
    known = card(rate("input", "1", 1, attested_from="2026-06-01"), rate("output", "2", 1))
    charge = Kernel(known).price(event({"input": 5, "output": 1}, at=at))
    assert (charge.status, charge.reason, charge.amount) == (status, reason, 7)
    about = known.describe("p/m/input@always")
    assert about is not None
    assert about["attested_from"] == "2026-06-01"
    assert (known.describe("p/m/output@always") or {})["attested_from"] == "2026-11-01", "the day it was checked"


def test_a_price_no_decimal_can_hold_is_rounded_once_half_even() -> None:
    charge = Kernel(card(rate("input", "1", 3))).price(event({"input": 1}))
    assert charge.atto == 333_333_333_333_333_333
    assert Kernel(card(rate("input", "1", 3))).price(event({"input": 3})).amount == 1


def test_quantities_may_be_fractions() -> None:
    assert Kernel(card(rate("seconds", "0.006", 60))).price(event({"seconds": Decimal("1.5")})).amount == Decimal(
        "0.00015"
    )


METER = st.sampled_from(["input", "output", "input_cache_read", "output_reasoning", "tool_web_search"])


@given(
    st.dictionaries(METER, st.integers(0, 10**12), min_size=1),
    st.decimals("0.000001", "1000", places=6),
    st.sampled_from([1, 1000, 1_000_000]),
)
def test_the_total_is_the_sum_of_the_lines_and_exactly_quantity_times_price(
    usage: dict[str, int], unit: Decimal, per: int
) -> None:
    meters = ["input", "output", "input_cache_read", "tool_web_search"]
    charge = Kernel(card(*(rate(meter, str(unit), per) for meter in meters))).price(event(usage))
    assert charge.atto == sum(line.atto or 0 for line in charge.lines)
    assert Fraction(charge.atto or 0, ATTO) == sum(usage.values()) * Fraction(str(unit)) / per


def test_pricing_is_a_pure_function() -> None:
    kernel = Kernel(RateCard.bundled())
    one = event({"input": 10, "output": 3}, provider="openai", model="gpt-4o")
    assert kernel.price(one) == kernel.price(replace(one)) == Kernel(RateCard.bundled()).price(one)
