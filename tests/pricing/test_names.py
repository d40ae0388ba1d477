"""One price for one model, however its provider, its name, its tier and its place are written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import aicost
from aicost.cli.price import charge_json
from aicost.pricing.charge import ChargeStatus

TOKENS = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000, "total_tokens": 2_000_000}


def priced(provider: str, model: str, **more: Any) -> Decimal:
    charge = aicost.price(provider=provider, model=model, usage=TOKENS, api="chat", **more)
    assert charge.status is ChargeStatus.PRICED, charge_json(charge)
    assert charge.amount is not None
    return charge.amount


@pytest.mark.parametrize(
    ("plain", "also"),
    [
        (("openai", "gpt-4o"), ("openai", "openai/gpt-4o")),
        (("openai", "gpt-4o"), ("OpenAI", "openai:gpt-4o")),
        (("gcp.gemini", "gemini-2.5-flash"), ("google", "models/gemini-2.5-flash")),
        (("gcp.gemini", "gemini-2.5-flash"), ("gemini", "gemini/gemini-2.5-flash")),
        (("gcp.vertex_ai", "gemini-2.5-flash"), ("vertex_ai", "google/gemini-2.5-flash")),
        (("gcp.vertex_ai", "gemini-2.5-flash"), ("vertexai", "publishers/google/models/gemini-2.5-flash")),
        (("azure.ai.openai", "gpt-4o"), ("azure_openai", "azure/gpt-4o")),
        (
            ("fireworks", "accounts/fireworks/models/deepseek-v3p1"),
            ("fireworks_ai", "fireworks_ai/accounts/fireworks/models/deepseek-v3p1"),
        ),
        (("fireworks", "accounts/fireworks/models/deepseek-v3p1"), ("fireworks-ai", "deepseek-v3p1")),
        (("huggingface_groq", "openai/gpt-oss-120b"), ("huggingface", "openai/gpt-oss-120b:groq")),
        (("groq", "openai/gpt-oss-120b"), ("groq", "groq/openai/gpt-oss-120b")),
        (("openrouter", "openai/gpt-4o"), ("openrouter", "openrouter/openai/gpt-4o")),
        (
            ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("bedrock", "bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        (("aws.bedrock", "qwen.qwen3-coder-next"), ("bedrock_mantle", "qwen.qwen3-coder-next")),
        (("mistral_ai", "mistral-large-latest"), ("mistralai", "mistral/mistral-large-latest")),
    ],
)
def test_a_model_costs_the_same_by_all_of_its_names(plain: tuple[str, str], also: tuple[str, str]) -> None:
    assert priced(*also) == priced(*plain) > 0


def test_a_name_that_is_another_s_is_not_taken_for_it() -> None:
    charge = aicost.price(provider="groq", model="openai/gpt-4o", usage=TOKENS, api="chat")
    assert charge.status is ChargeStatus.UNPRICED


@pytest.mark.parametrize(
    ("provider", "model", "default", "other"),
    [
        ("openai", "gpt-4.1", ("default", "auto", "standard"), "batch"),
        ("groq", "openai/gpt-oss-120b", ("on_demand", "auto"), "batch"),
        ("gcp.gemini", "gemini-2.5-flash", ("unspecified", "standard", "ON_DEMAND"), "batch"),
        ("google", "gemini-2.5-flash", ("unspecified", "standard"), "batch"),
        ("anthropic", "claude-sonnet-4-5", ("standard",), "batch"),
        ("bedrock", "amazon.nova-lite-v1:0", ("default",), "batch"),
    ],
)
def test_every_default_tier_costs_what_no_tier_does(
    provider: str, model: str, default: tuple[str, ...], other: str
) -> None:
    plain = priced(provider, model)
    assert [priced(provider, model, service_tier=word) for word in default] == [plain] * len(default)
    assert priced(provider, model, service_tier=other) < plain


@pytest.mark.parametrize(
    ("provider", "model", "nowhere", "somewhere"),
    [
        ("gcp.vertex_ai", "gemini-3.5-flash", "global", "europe-west1"),
        ("vertex_ai", "claude-fable-5", "global", "us-east5"),
        ("anthropic", "claude-opus-5", "global", "us"),
        ("anthropic", "claude-opus-5", "not_available", "us"),
        ("azure", "gpt-4o", "global-standard", "eu"),
    ],
)
def test_only_a_place_has_the_price_of_a_place(provider: str, model: str, nowhere: str, somewhere: str) -> None:
    assert priced(provider, model, region=nowhere) == priced(provider, model)
    assert priced(provider, model, region=somewhere) * 10 == priced(provider, model) * 11


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_an_inference_profile_has_its_price_wherever_it_is_called_from(region: str) -> None:
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert priced("bedrock", model, region=region) == priced("bedrock", model)
