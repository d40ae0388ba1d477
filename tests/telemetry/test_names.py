"""Who and what a span means by the names it carries."""

from __future__ import annotations

import pytest

from aicost.telemetry.dialect_table import dialect_of


@pytest.mark.parametrize(
    ("said", "model", "tier", "found"),
    [
        ("OpenAI", "gpt-4o", "default", ("openai", "gpt-4o", None, False)),
        ("groq", "llama-3.3-70b-versatile", "on_demand", ("groq", "llama-3.3-70b-versatile", None, False)),
        ("groq", "llama-3.3-70b-versatile", "flex", ("groq", "llama-3.3-70b-versatile", "flex", False)),
        ("fireworks_ai", "accounts/x/models/y", None, ("fireworks", "accounts/x/models/y", None, False)),
        ("huggingface", "Qwen/Qwen3-32B:groq", None, ("huggingface_groq", "Qwen/Qwen3-32B", None, False)),
        ("autogen", "gpt-4o", None, ("openai", "gpt-4o", None, True)),
        ("langgraph", "claude-sonnet-4-5", None, ("anthropic", "claude-sonnet-4-5", None, True)),
        ("microsoft.agent_framework", "openai/gpt-4o", None, ("openai", "gpt-4o", None, False)),
        (None, "gemini/gemini-2.5-pro", None, ("gcp.gemini", "gemini-2.5-pro", None, False)),
        (None, "meta-llama/Llama-3.3-70B", None, ("unknown", "meta-llama/Llama-3.3-70B", None, False)),
        ("spring_ai", "some-model", None, ("unknown", "some-model", None, False)),
    ],
)
def test_a_span_names_its_provider_and_model_somehow(
    said: str | None, model: str, tier: str | None, found: tuple[str, str, str | None, bool]
) -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
    }
    attributes |= {"gen_ai.provider.name": said} if said is not None else {}
    attributes |= {"gen_ai.response.service_tier": tier} if tier is not None else {}
    read = dialect_of("somebody.new").read("chat", attributes)
    assert read is not None
    labels = read.labels
    assert (labels.provider, labels.request_model, labels.service_tier, labels.assumed) == found
