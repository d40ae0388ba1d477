"""The bundled card: what must hold of every model in it, and what some of them cost at some time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aicost import ChargeStatus
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Inquiry, Kernel
from aicost.pricing.models import ModelRates
from aicost.pricing.rates import in_force, parse_instant

ROOT = Path(__file__).resolve().parents[2]
NOW = parse_instant("2026-11-25")
NOT_SOLD = json.loads((ROOT / "docs" / "catalogue-report.json").read_text())["not_sold"]


def tiers(model: ModelRates) -> set[str]:
    said = [rate.axes for rates in model.rates.values() for rate in rates if in_force(rate, NOW)]
    said += [modifier.axes for modifier in model.modifiers if in_force(modifier, NOW)]
    return {tier for axes in said if set(axes) == {"service_tier"} for tier in axes["service_tier"]} - {"*"}


def unpriced_on_a_tier(card: RateCard) -> Iterator[tuple[str, str]]:
    """Meters that a model has at its default tier and lacks on another that it has (everywhere, not in one region)."""
    kernel = Kernel(card)
    for model in card.models():
        asked = dict.fromkeys((m for m in model.rates if m not in {"requests", "cache_storage_token_hours"}), 1)
        plain = kernel.price(Inquiry(model.provider, model.name, asked, NOW))
        usage = {line.meter: 1 for line in plain.lines if line.atto is not None and line.meter in asked}
        for tier in sorted(tiers(model)):
            charge = kernel.price(Inquiry(model.provider, model.name, usage, NOW, tier))
            for line in charge.lines:
                if line.atto is None and line.meter in usage:
                    yield f"{model.provider}/{model.name}: {tier}", line.meter


def test_every_meter_of_a_model_is_priced_on_every_tier_it_has_or_listed_as_not_sold() -> None:
    missing = list(unpriced_on_a_tier(RateCard.bundled()))
    unlisted = [(where, meter) for where, meter in missing if meter not in NOT_SOLD.get(where, ())]
    assert not unlisted, f"{len(unlisted)}: {unlisted[:10]}"
    assert len(missing) < 200, "only what no list has"


@pytest.mark.parametrize(
    ("provider", "model", "tier", "meter", "price"),
    [
        ("gcp.gemini", "gemini-2.5-flash", "batch", "output_reasoning", "1.25"),
        ("gcp.gemini", "gemini-2.5-flash", "flex", "output_reasoning", "1.25"),
        ("gcp.gemini", "gemini-2.5-flash", "priority", "output_reasoning", "4.5"),
        ("gcp.vertex_ai", "gemini-2.5-flash", "batch", "output_reasoning", "1.25"),
        ("gcp.gemini", "gemini-2.5-flash-image", "batch", "output_image", "15"),
        ("gcp.gemini", "gemini-3.6-flash", "batch", "input", "0.375"),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "batch", "input_cache_read", "0.165"),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "batch", "input_cache_write_1h", "3.3"),
        ("openai", "gpt-4.1", "batch", "input_cache_read", "0.25"),
        ("openai", "gpt-4o", "batch", "input_cache_read", "0.625"),
        ("anthropic", "claude-haiku-4-5-20251001", "batch", "input_cache_write_1h", "1"),
        ("aws.bedrock", "openai.gpt-oss-120b", None, "output", "0.6"),
        ("aws.bedrock", "amazon.nova-pro-v1:0", None, "input_cache_write", "0.8"),
        ("aws.bedrock", "us.amazon.nova-micro-v1:0", "batch", "input_cache_write", "0.0175"),
        ("x_ai", "grok-4", None, "input", "1.25"),
        ("x_ai", "grok-4-fast-reasoning-latest", None, "output", "2.5"),
    ],
)
def test_what_a_million_tokens_cost(provider: str, model: str, tier: str | None, meter: str, price: str) -> None:
    charge = Kernel(RateCard.bundled()).price(Inquiry(provider, model, {meter: 100_000}, NOW, tier))
    assert (charge.status, charge.reason) == (ChargeStatus.PRICED, None)
    assert charge.lines[0].unit_price == price


HISTORY = [
    ("azure.ai.openai", "gpt-5.6-luna", "input", "2026-07-20", "1", True),
    ("azure.ai.openai", "gpt-5.6-luna-2026-07-09", "input", "2026-07-20", "1", True),
    ("azure.ai.openai", "gpt-5.6-luna", "input", "2026-08-10", "0.2", False),
    ("azure.ai.openai", "gpt-5.6-luna", "input", "2026-09-01", "0.2", True),
    ("azure.ai.openai", "gpt-5.6-terra", "output", "2026-07-20", "15", True),
    ("azure.ai.openai", "gpt-5.6-terra", "input_cache_write", "2026-07-20", "2.5", False),
    ("github_copilot", "gpt-5.6-luna", "input", "2026-07-20", "0.2", False),
    ("github_copilot", "gpt-5.6-luna", "input", "2026-08-01", "0.2", True),
    ("openai", "gpt-5.6-luna", "input", "2026-07-20", "1", True),
    ("gcp.gemini", "gemini-3.6-flash", "input", "2026-08-15", "1.5", True),
    ("gcp.gemini", "gemini-3.6-flash", "output_reasoning", "2026-08-30", "3.75", False),
    ("gcp.gemini", "gemini-3.6-flash", "output_reasoning", "2026-11-25", "3.75", True),
    ("gcp.gemini", "gemini-3.6-flash", "output_reasoning", "2027-01-01", "7.5", True),
    ("gcp.vertex_ai", "gemini-3.6-flash", "output", "2026-08-15", "7.5", True),
    ("deepseek", "deepseek-v4-flash", "input", "2026-08-01", "0.14", True),
    ("deepseek", "deepseek-v4-flash", "input", "2026-08-20T02:00:00Z", "0.44", False),
    ("deepseek", "deepseek-v4-flash", "input", "2026-09-09T12:00:00Z", "0.22", True),
    ("deepseek", "deepseek-v4-flash", "output", "2026-11-25T02:00:00Z", "1.2", True),
    ("deepseek", "deepseek-v4-pro", "input", "2026-08-01", "0.435", True),
    ("x_ai", "grok-4.5", "input_cache_read", "2026-07-08", "0.5", True),
    ("x_ai", "grok-4.5", "input_cache_read", "2026-08-15", "0.3", False),
    ("x_ai", "grok-4.5", "input_cache_read", "2026-11-25", "0.3", True),
    ("x_ai", "grok-4.20", "input", "2026-04-29", "2", True),
    ("x_ai", "grok-4.20-beta-0309-reasoning", "input", "2026-04-29", "1.25", False),
    ("x_ai", "grok-4.20-beta-0309-reasoning", "input", "2026-04-30", "1.25", True),
    ("gcp.vertex_ai", "xai/grok-4.20-reasoning", "output", "2026-04-29", "2.5", False),
    ("azure.ai.openai", "gpt-5.6", "input", "2026-08-01", "5", True),
    ("x_ai", "grok-4-fast-reasoning", "input", "2026-05-15T18:59:59Z", "0.2", True),
    ("x_ai", "grok-4-fast-reasoning", "input", "2026-05-15T19:00:00Z", "1.25", True),
]


@pytest.mark.parametrize(
    ("provider", "model", "meter", "at", "price", "attested"), HISTORY, ids=[f"{r[1]} {r[2]} {r[3]}" for r in HISTORY]
)
def test_a_call_is_priced_at_the_price_of_its_day_or_as_an_estimate(
    provider: str, model: str, meter: str, at: str, price: str, attested: bool
) -> None:
    charge = Kernel(RateCard.bundled()).price(Inquiry(provider, model, {meter: 1000}, parse_instant(at)))
    assert charge.lines[0].unit_price == price
    assert charge.reason == (None if attested else f"price_before_attested:{meter}")
    assert charge.status is (ChargeStatus.PRICED if attested else ChargeStatus.ESTIMATED)


@pytest.mark.parametrize(
    ("tool", "fee"),
    [("web_search", "5"), ("x_search", "5"), ("code_execution", "5"), ("collections_search", "2.5")],
)
def test_the_tools_of_xai_have_fees_on_every_tier(tool: str, fee: str) -> None:
    for tier in (None, "batch"):
        usage = {"input": 1, f"tool_{tool}": 1000}
        charge = Kernel(RateCard.bundled()).price(Inquiry("x_ai", "grok-4.3", usage, NOW, tier))
        assert charge.reason is None
        assert (charge.lines[1].unit_price, charge.lines[1].amount) == (fee, charge.lines[1].amount)
        assert str(charge.lines[1].amount).rstrip("0").rstrip(".") == fee


def test_every_rate_says_since_when_it_is_attested() -> None:
    card = RateCard.bundled()
    for model in card.models():
        for rate in (one for rates in model.rates.values() for one in rates):
            assert parse_instant(rate.attested)


def test_where_one_list_has_a_threshold_that_another_lacks_it_is_reported() -> None:
    said = json.loads((ROOT / "docs" / "catalogue-report.json").read_text())["conflicts"]
    found = {one["model"] for one in said if one["provider"] == "anthropic" and "context" in one["when"]}
    assert {"claude-sonnet-4-5", "claude-sonnet-4-5-20250929"} <= found
