"""The emulated providers' own price list.

It is written here a second time, on purpose, and shares no code with `aicost.pricing`: it is the truth that tests
hold a ledger against. US dollars, as the providers published them in 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

_M = 10**6


@dataclass(frozen=True, slots=True)
class EmulatedPrice:
    """Dollars per million tokens; `others` are dollars for one unit of another meter, `"10/1000"`."""

    input: str = "0"
    cached: str = "0"
    output: str = "0"
    long_input: str | None = None
    """Above 200,000 prompt tokens, for the whole request."""
    long_output: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)


_OPENAI = {
    "gpt-4.1": EmulatedPrice("2", "0.5", "8"),
    "gpt-4.1-mini": EmulatedPrice("0.4", "0.1", "1.6"),
    "gpt-4o": EmulatedPrice("2.5", "1.25", "10"),
    "gpt-4o-mini": EmulatedPrice("0.15", "0.075", "0.6"),
    "gpt-5": EmulatedPrice("1.25", "0.125", "10"),
    "gpt-5-mini": EmulatedPrice("0.25", "0.025", "2"),
    "o3": EmulatedPrice("2", "0.5", "8"),
    "gpt-3.5-turbo-instruct": EmulatedPrice("1.5", "0", "2"),
    "text-embedding-3-small": EmulatedPrice("0.02"),
    "text-embedding-3-large": EmulatedPrice("0.13"),
    "gpt-image-1": EmulatedPrice("5", others={"input_image": "10/1000000", "output_image": "40/1000000"}),
    "tts-1": EmulatedPrice(others={"input_characters": "15/1000000"}),
    "whisper-1": EmulatedPrice(others={"input_audio_seconds": "0.36/3600"}),
    "gpt-4o-transcribe": EmulatedPrice("2.5", "0", "10", others={"input_audio": "6/1000000"}),
    "gpt-realtime": EmulatedPrice("4", "0.4", "16", others={"input_audio": "32/1000000", "output_audio": "64/1000000"}),
    "sora-2": EmulatedPrice(others={"output_video_seconds": "0.1"}),
    "omni-moderation-latest": EmulatedPrice(),
    "gpt-4o-2024-08-06": EmulatedPrice("2.5", "1.25", "10", others={"training_tokens": "25/1000000"}),
}
_ANTHROPIC = {
    "claude-sonnet-4-5": EmulatedPrice("3", "0.3", "15", "6", "22.5"),
    "claude-sonnet-5": EmulatedPrice("2", "0.2", "10"),
    "claude-haiku-4-5": EmulatedPrice("1", "0.1", "5"),
    "claude-opus-4-5": EmulatedPrice("5", "0.5", "25"),
}
_GOOGLE = {
    "gemini-2.5-flash": EmulatedPrice("0.3", "0.03", "2.5", others={"cache_storage_token_hours": "1/1000000"}),
    "gemini-embedding-001": EmulatedPrice("0.15"),
}
_PRICES: Mapping[str, Mapping[str, EmulatedPrice]] = {
    "openai": _OPENAI,
    "anthropic": _ANTHROPIC,
    "gcp.gemini": _GOOGLE,
    "gcp.vertex_ai": _GOOGLE,
    "aws.bedrock": {
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0": EmulatedPrice("3.3", "0.33", "16.5", "6.6", "24.75"),
        "anthropic.claude-3-haiku-20240307-v1:0": EmulatedPrice("0.25", "0.025", "1.25"),
        "amazon.nova-lite-v1:0": EmulatedPrice("0.06", "0.015", "0.24"),
        "amazon.titan-text-express-v1": EmulatedPrice("0.2", "0", "0.6"),
        "amazon.titan-embed-text-v2:0": EmulatedPrice("0.02"),
        "meta.llama3-3-70b-instruct-v1:0": EmulatedPrice("0.72", "0", "0.72"),
        "mistral.mistral-large-2402-v1:0": EmulatedPrice("4", "0", "12"),
        "cohere.command-text-v14": EmulatedPrice("1", "0", "2"),
    },
    "mistral_ai": {
        "mistral-large-latest": EmulatedPrice("2", "0.05", "6"),
        "mistral-embed": EmulatedPrice("0.1"),
        "mistral-ocr-latest": EmulatedPrice(others={"pages": "4/1000"}),
    },
    "cohere": {
        "command-a-03-2025": EmulatedPrice("2.5", "0", "10"),
        "embed-v4.0": EmulatedPrice("0.12"),
        "rerank-v3.5": EmulatedPrice(others={"search_units": "2/1000"}),
    },
    "groq": {"llama-3.3-70b-versatile": EmulatedPrice("0.59", "0", "0.79")},
    "together": {
        "meta-llama/Llama-3.3-70B-Instruct-Turbo": EmulatedPrice("0.88", "0", "0.88"),
        "Salesforce/Llama-Rank-V1": EmulatedPrice("0.1"),
        "BAAI/bge-base-en-v1.5": EmulatedPrice("0.008"),
    },
    "ollama": {"llama3.1": EmulatedPrice(), "nomic-embed-text": EmulatedPrice()},
    "voyage": {
        "voyage-3.5": EmulatedPrice("0.06"),
        "rerank-2.5": EmulatedPrice("0.05"),
        "voyage-multimodal-3": EmulatedPrice("0.12"),
    },
}
UNLISTED = EmulatedPrice("1", "1", "1")
"""What any other model costs: the provider bills it although no rate card knows it."""

_TIERS = {
    ("openai", "flex"): Fraction(1, 2),
    ("openai", "batch"): Fraction(1, 2),
    ("anthropic", "batch"): Fraction(1, 2),
    ("gcp.gemini", "batch"): Fraction(1, 2),
}
_WEB_SEARCH = Fraction(10, 1000)


def bill(provider: str, model: str, usage: Mapping[str, int], service_tier: str | None) -> Fraction:
    """Dollars for disjoint quantities by meter."""
    price = _PRICES.get(provider, {}).get(model, UNLISTED)
    prompt = sum(n for meter, n in usage.items() if meter.startswith("input"))
    long = price.long_input is not None and prompt > 200_000
    into = Fraction((price.long_input if long else None) or price.input) / _M
    cached = Fraction(price.cached) / _M * (2 if long else 1)
    out = Fraction((price.long_output if long else None) or price.output) / _M
    rates = {
        "input": into,
        "input_cache_read": cached,
        "input_cache_write": into,
        "input_cache_write_5m": into * Fraction(5, 4),
        "input_cache_write_1h": into * 2,
        "output": out,
        "output_reasoning": out,
        "tool_web_search": _WEB_SEARCH,
    }
    rates |= {
        meter: Fraction(p.partition("/")[0]) / Fraction(p.partition("/")[2] or 1) for meter, p in price.others.items()
    }
    total = sum((rates[meter] * n for meter, n in usage.items() if meter in rates), Fraction(0))
    searches = rates["tool_web_search"] * usage.get("tool_web_search", 0)
    return (total - searches) * _TIERS.get((provider, service_tier or ""), Fraction(1)) + searches
