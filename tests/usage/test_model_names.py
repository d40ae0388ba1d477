"""Which names can be one model's: what joins two observers' views of a call, and what keeps two calls apart."""

from __future__ import annotations

import pytest

from aicost.usage.model_names import same_model
from aicost.usage.providers import same_provider

SAME = [
    ("gpt-4o", "gpt-4o"),
    ("gpt-4o", "GPT-4o"),
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("gpt-4o", "openai/gpt-4o"),
    ("gpt-4o", "openai:gpt-4o"),
    ("gpt-4o", "azure/gpt-4o"),
    ("gpt-3.5-turbo", "gpt-35-turbo"),
    ("gpt-4", "gpt-4-0613"),
    ("o1", "o1-2024-12-17"),
    ("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
    ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
    ("claude-opus-4", "claude-opus-4@20250514"),
    ("claude-3-5-sonnet-v2@20241022", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
    (
        "claude-sonnet-4-5",
        "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    ("amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"),
    ("gemini-2.5-flash", "gemini-2.5-flash-001"),
    ("gemini-2.5-flash", "models/gemini-2.5-flash-latest"),
    ("gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro"),
    ("gemini-2.5-flash-preview", "gemini-2.5-flash-preview-09-2025"),
    ("command-r", "command-r-08-2024"),
    ("mistral-large-latest", "mistral-large-2411"),
    ("llama-v3p1-8b-instruct", "accounts/fireworks/models/llama-v3p1-8b-instruct"),
    ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b-instruct"),
    ("openai/gpt-oss-120b:groq", "openai.gpt-oss-120b-1:0"),
    ("llama3", "llama3:latest"),
    ("gpt-4o", None),
    (None, None),
    ("unknown", "gpt-4o"),
]
DIFFERENT = [
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-4.1", "gpt-4.1-mini"),
    ("gpt-4.1-mini", "claude-opus-4"),
    ("o3", "o3-pro"),
    ("o1", "o1-preview"),
    ("gpt-5", "gpt-5.1"),
    ("gpt-4", "gpt-4-32k"),
    ("gpt-4", "gpt-4-1106-preview"),
    ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
    ("gpt-4o", "ft:gpt-4o:acme::id"),
    ("claude-opus-4", "claude-opus-4-5"),
    ("claude-opus-4-20250514", "claude-opus-4-1-20250805"),
    ("claude-3-haiku-20240307", "claude-3-5-haiku-20241022"),
    ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
    ("gemini-2.5-flash", "gemini-2.5-flash-preview-05-20"),
    ("amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"),
    ("text-embedding-3-small", "text-embedding-3-large"),
    ("text-davinci-002", "text-davinci-003"),
    ("embed-english-v3.0", "embed-english-light-v3.0"),
    ("rerank-v3.5", "rerank-v4.0"),
    ("deepseek-v3", "deepseek-v3.1"),
    ("llama3.1:8b", "llama3.1:70b"),
]


@pytest.mark.parametrize(
    ("one", "other", "same"), [(*pair, True) for pair in SAME] + [(*pair, False) for pair in DIFFERENT]
)
def test_two_names_can_be_one_model_s_or_cannot(one: str | None, other: str | None, same: bool) -> None:
    assert same_model(one, other) is same_model(other, one) is same


def test_what_is_no_name_is_kept_by_nobody() -> None:
    long = "x" * 100_000
    assert same_model(long, long)
    assert not same_model(long, "gpt-4o")
    assert not same_provider(long, "openai")
