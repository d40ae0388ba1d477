"""Meters: the disjoint units in which usage is counted.

Every billable quantity lands in exactly one meter, so that amounts can be added without a thought. Providers
overlap their counts (cached tokens inside the prompt, reasoning inside the output); the readers in this package
undo that before anything is priced.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Quantity = int | Decimal
Direction = Literal["input", "output"]
Group = Literal["input", "cache_read", "cache_write", "output", "reasoning", "tool", "other"]


@dataclass(frozen=True, slots=True)
class Meter:
    """One kind of billable quantity.

    `group` is the coarse bucket a report or a span shows it under. `unit` is what one of it is, in UCUM style.
    `priced_as` names the meter whose rate applies when the card has none of its own: a provider that bills
    reasoning as output publishes one output price, and nobody should have to write it twice.
    """

    id: str
    group: Group
    unit: str = "{token}"
    direction: Direction | None = None
    priced_as: str | None = None


_TOKENS = [
    Meter("input", "input", direction="input"),
    Meter("input_audio", "input", direction="input"),
    Meter("input_image", "input", direction="input", priced_as="input"),
    Meter("input_cache_read", "cache_read", direction="input"),
    Meter("input_cache_read_audio", "cache_read", direction="input"),
    Meter("input_cache_read_image", "cache_read", direction="input", priced_as="input_cache_read"),
    Meter("input_cache_write", "cache_write", direction="input"),
    Meter("input_cache_write_5m", "cache_write", direction="input"),
    Meter("input_cache_write_30m", "cache_write", direction="input"),
    Meter("input_cache_write_1h", "cache_write", direction="input"),
    Meter("input_cache_write_12h", "cache_write", direction="input"),
    Meter("output", "output", direction="output"),
    Meter("output_audio", "output", direction="output"),
    Meter("output_image", "output", direction="output"),
    Meter("output_reasoning", "reasoning", direction="output", priced_as="output"),
]
_OTHERS = [
    Meter("tool_web_search", "tool", "{call}"),
    Meter("tool_web_fetch", "tool", "{call}"),
    Meter("tool_file_search", "tool", "{call}"),
    Meter("tool_code_interpreter", "tool", "{session}"),
    Meter("tool_code_execution", "tool", "{call}"),
    Meter("requests", "other", "{request}"),
    Meter("characters", "other", "{character}"),
    Meter("seconds", "other", "s"),
    Meter("images", "other", "{image}"),
    Meter("pages", "other", "{page}"),
    Meter("queries", "other", "{query}"),
    Meter("read_units", "other", "{unit}"),
    Meter("write_units", "other", "{unit}"),
    Meter("storage_gb_hours", "other", "GBy.h"),
    Meter("compute_seconds", "other", "s"),
]

METERS: dict[str, Meter] = {m.id: m for m in [*_TOKENS, *_OTHERS]}
"""Every known meter by id. A rate card or `record_usage` may name others; they are priced by exact id."""

INPUT_TOKENS = frozenset(m.id for m in _TOKENS if m.direction == "input")
"""Together these are upstream's inclusive `gen_ai.usage.input_tokens`."""

OUTPUT_TOKENS = frozenset(m.id for m in _TOKENS if m.direction == "output")
"""Together these are upstream's inclusive `gen_ai.usage.output_tokens`."""


def group_of(meter: str) -> Group:
    """The coarse bucket of a meter; a meter nobody declared is `other`."""
    known = METERS.get(meter)
    return known.group if known else "other"


def unit_of(meter: str) -> str:
    """The unit of a meter; a meter nobody declared counts `{unit}`."""
    known = METERS.get(meter)
    return known.unit if known else "{unit}"
