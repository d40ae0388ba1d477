"""The emulated providers' own price list.

It is written here a second time, on purpose, and shares no code with `aicost.pricing`: it is the truth that tests
hold a ledger against. US dollars per million tokens, as the providers published them in 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

_M = 10**6


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    input: str
    cached: str
    output: str
    long_input: str | None = None
    """Above 200,000 prompt tokens, for the whole request."""
    long_output: str | None = None


_OPENAI = {
    "gpt-4.1": Price("2", "0.5", "8"),
    "gpt-4.1-mini": Price("0.4", "0.1", "1.6"),
    "gpt-4o": Price("2.5", "1.25", "10"),
    "gpt-4o-mini": Price("0.15", "0.075", "0.6"),
    "gpt-5": Price("1.25", "0.125", "10"),
    "gpt-5-mini": Price("0.25", "0.025", "2"),
    "o3": Price("2", "0.5", "8"),
    "text-embedding-3-small": Price("0.02", "0", "0"),
    "text-embedding-3-large": Price("0.13", "0", "0"),
}
_ANTHROPIC = {
    "claude-sonnet-4-5": Price("3", "0.3", "15", "6", "22.5"),
    "claude-sonnet-5": Price("2", "0.2", "10"),
    "claude-haiku-4-5": Price("1", "0.1", "5"),
    "claude-opus-4-5": Price("5", "0.5", "25"),
}
UNLISTED = Price("1", "1", "1")
"""What any other model costs: the provider bills it although no rate card knows it."""

_TIERS = {
    ("openai", "flex"): Fraction(1, 2),
    ("openai", "batch"): Fraction(1, 2),
    ("anthropic", "batch"): Fraction(1, 2),
}
_WEB_SEARCH = Fraction(10, 1000)


def bill(provider: str, model: str, usage: Mapping[str, int], service_tier: str | None) -> Fraction:
    """Dollars for disjoint quantities by meter."""
    listed = _OPENAI if provider == "openai" else _ANTHROPIC
    price = listed.get(model, UNLISTED)
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
    }
    tokens = sum((rates[meter] * n for meter, n in usage.items() if meter in rates), Fraction(0))
    return tokens * _TIERS.get((provider, service_tier or ""), Fraction(1)) + _WEB_SEARCH * usage.get(
        "tool_web_search", 0
    )
