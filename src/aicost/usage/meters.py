"""Meters: the disjoint units in which usage is counted.

Every billable quantity lands in exactly one meter, so that amounts can be added without a thought. Providers
overlap their counts (cached tokens inside the prompt, reasoning inside the output); the readers in this package
undo that before anything is priced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

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
    Meter("input_video", "input", direction="input", priced_as="input"),
    Meter("input_citation", "input", direction="input"),
    Meter("input_cache_read", "cache_read", direction="input"),
    Meter("input_cache_read_audio", "cache_read", direction="input"),
    Meter("input_cache_read_image", "cache_read", direction="input", priced_as="input_cache_read"),
    Meter("input_cache_read_video", "cache_read", direction="input", priced_as="input_cache_read"),
    Meter("input_cache_write", "cache_write", direction="input"),
    Meter("input_cache_write_5m", "cache_write", direction="input", priced_as="input_cache_write"),
    Meter("input_cache_write_30m", "cache_write", direction="input", priced_as="input_cache_write"),
    Meter("input_cache_write_1h", "cache_write", direction="input"),
    Meter("input_cache_write_12h", "cache_write", direction="input"),
    Meter("output", "output", direction="output"),
    Meter("output_audio", "output", direction="output"),
    Meter("output_image", "output", direction="output"),
    Meter("output_video", "output", direction="output"),
    Meter("output_reasoning", "reasoning", direction="output", priced_as="output"),
]
_TOOLS = [
    Meter("tool_web_search", "tool", "{call}"),
    Meter("tool_web_search_preview", "tool", "{call}"),
    Meter("tool_web_search_low", "tool", "{call}"),
    Meter("tool_web_search_medium", "tool", "{call}"),
    Meter("tool_web_search_high", "tool", "{call}"),
    Meter("tool_web_fetch", "tool", "{call}"),
    Meter("tool_x_search", "tool", "{call}"),
    Meter("tool_maps_search", "tool", "{call}"),
    Meter("tool_image_search", "tool", "{call}"),
    Meter("tool_file_search", "tool", "{call}"),
    Meter("tool_collections_search", "tool", "{call}"),
    Meter("tool_attachment_search", "tool", "{call}"),
    Meter("tool_code_interpreter", "tool", "{session}"),
    Meter("tool_code_execution", "tool", "{call}"),
    Meter("tool_guardrail", "tool", "{unit}"),
    Meter("tool_guardrail_content", "tool", "{unit}", priced_as="tool_guardrail"),
    Meter("tool_guardrail_image", "tool", "{image}"),
    Meter("tool_guardrail_topic", "tool", "{unit}", priced_as="tool_guardrail"),
    Meter("tool_guardrail_pii", "tool", "{unit}", priced_as="tool_guardrail"),
    Meter("tool_guardrail_grounding", "tool", "{unit}", priced_as="tool_guardrail"),
    Meter("tool_guardrail_reasoning", "tool", "{unit}", priced_as="tool_guardrail"),
]
_OTHERS = [
    Meter("requests", "other", "{request}"),
    Meter("input_characters", "other", "{character}"),
    Meter("output_characters", "other", "{character}"),
    Meter("input_audio_seconds", "other", "s"),
    Meter("output_audio_seconds", "other", "s"),
    Meter("input_video_seconds", "other", "s"),
    Meter("output_video_seconds", "other", "s"),
    Meter("input_images", "other", "{image}"),
    Meter("output_images", "other", "{image}"),
    Meter("input_pixels", "other", "{pixel}"),
    Meter("output_pixels", "other", "{pixel}"),
    Meter("pages", "other", "{page}"),
    Meter("annotated_pages", "other", "{page}"),
    Meter("queries", "other", "{query}"),
    Meter("search_units", "other", "{unit}"),
    Meter("classifications", "other", "{unit}"),
    Meter("training_tokens", "other", "{token}"),
    Meter("vectors_written", "other", "{vector}"),
    Meter("vectors_deleted", "other", "{vector}"),
    Meter("vector_bytes_written", "other", "By"),
    Meter("read_units", "other", "{unit}"),
    Meter("write_units", "other", "{unit}"),
    Meter("read_gb", "other", "GBy"),
    Meter("write_gb", "other", "GBy"),
    Meter("returned_gb", "other", "GBy"),
    Meter("storage_gb_hours", "other", "GBy.h"),
    Meter("cache_storage_token_hours", "other", "{token}.h"),
    Meter("compute_seconds", "other", "s"),
]

METERS: dict[str, Meter] = {m.id: m for m in [*_TOKENS, *_TOOLS, *_OTHERS]}
"""Every known meter by id. A rate card or `record_usage` may name others; they are priced by exact id.

A meter may be *qualified* by a model, `claude-haiku-4-5/input`: usage inside one call that another model of the same
provider did. It is priced at that model's rates.
"""


def declared(meter: str) -> Meter | None:
    """The meter of that id, qualified or not; None for one nobody declared."""
    return METERS.get(meter) or METERS.get(meter.rpartition("/")[2])


def group_of(meter: str) -> Group:
    """The coarse bucket of a meter; a meter nobody declared is `other`."""
    known = declared(meter)
    return known.group if known else "other"


def direction_of(meter: str) -> Direction | None:
    """Which way the tokens of a meter go; None for what is no token.

    All `input` ones together are upstream's inclusive `gen_ai.usage.input_tokens`, all `output` ones its
    `gen_ai.usage.output_tokens`.
    """
    known = declared(meter)
    return known.direction if known else None


def token_sums(usage: Mapping[str, Any]) -> tuple[int, int]:
    """Input and output tokens in upstream's inclusive sense: cached ones are input, reasoning is output.

    Upstream's are whole numbers; of parts of a token, which an application may record, they are the nearest.
    """
    inputs: Any = 0
    outputs: Any = 0
    for meter, quantity in usage.items():
        known = METERS.get(meter) or declared(meter)
        if known is None or known.direction is None:
            continue
        if known.direction == "input":
            inputs += quantity
        else:
            outputs += quantity
    if type(inputs) is not int or type(outputs) is not int:
        return round(inputs), round(outputs)
    return inputs, outputs
