"""Token counts as frameworks and spans report them: one shape, whichever API was below.

Upstream's conventions demand that input includes cached tokens and output includes reasoning
(`gen_ai.usage.input_tokens`), and langchain-core (`UsageMetadata`, read in 1.7) and others count the same way. Some
pass on what the provider said, and with Anthropic and Bedrock that is input without the cached tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from .meters import Quantity
from .reading import PLAUSIBLE, Counts, Fields, Raw, Reading

Input = Literal["inclusive", "exclusive", "unknown"]
"""Whether input tokens include those read from and written to a cache."""

REPORTED = Fields(
    "input_tokens output_tokens cache_read_tokens cache_write_tokens cache_write_5m_tokens cache_write_1h_tokens "
    "reasoning_tokens input_audio_tokens output_audio_tokens total_tokens"
)


def read_reported(raw: Raw, meaning: Input = "inclusive") -> Reading:
    """Totals and the parts of them: `input_tokens`, `cache_read_tokens`, ...

    Where the `meaning` of the input is unknown, the total decides, if there is one: only one reading adds up to it.
    A total that contradicts a known meaning is flagged.
    """
    counts = Counts({name: _plain(value) for name, value in raw.items()})
    read, kept = counts.take("cache_read_tokens"), _written(counts)
    heard, spoken, thought = (
        counts.take("input_audio_tokens"),
        counts.take("output_audio_tokens"),
        counts.take("reasoning_tokens"),
    )
    given, answered, total = counts.require("input_tokens"), counts.take("output_tokens"), counts.take("total_tokens")
    beside = read + sum(kept.values())
    if meaning == "unknown":
        meaning = "exclusive" if beside > given or (beside and total == given + beside + answered) else "inclusive"
    if meaning == "exclusive":
        given += beside
    if total and total not in (given + answered, given + answered - beside):
        counts.flag("total_tokens_mismatch")
    usage = {
        "input": counts.remainder(given, *kept.values(), read, heard, name="input_tokens"),
        "input_cache_read": read,
        **kept,
        "input_audio": heard,
        "output": counts.remainder(answered, thought, spoken, name="output_tokens"),
        "output_reasoning": thought,
        "output_audio": spoken,
    }
    return Reading(counts.usage(usage), flags=counts.finish(REPORTED), complete=counts.complete)


def _written(counts: Counts) -> dict[str, int]:
    """Tokens written to a cache by how long it keeps them. Some say only the parts, and some only the longer of two."""
    minutes, hour = counts.take("cache_write_5m_tokens"), counts.take("cache_write_1h_tokens")
    total = counts.take("cache_write_tokens") or None
    if minutes or total is None:
        return counts.cache_writes(total, {"5m": minutes, "1h": hour} if minutes or hour else {})
    rest = counts.remainder(total, hour, name="cache_write_tokens")
    return counts.cache_writes(None, {"1h": hour}) | counts.cache_writes(rest, {})


def _plain(value: object) -> object:
    """Text as text, and a count that is not known as none."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return None if value != value else value


def read_meters(usage: object) -> Reading | None:
    """Quantities by meter, as an application counts them itself; None for what is no mapping.

    A quantity is a whole number or a `Decimal` of at least 0. What is none is left out and flagged: it is not known.
    """
    if not isinstance(usage, Mapping):
        return None
    raw = {str(meter): quantity for meter, quantity in usage.items()}
    counts = Counts(raw)
    found: dict[str, Quantity] = {}
    for meter, quantity in raw.items():
        if isinstance(quantity, Decimal):
            number = counts.decimal(meter) or 0
            found[meter] = int(number) if number == int(number) else number
        else:
            found[meter] = counts.require(meter)
    return Reading(counts.usage(found), flags=counts.finish(raw.keys()), complete=counts.complete)


PLAIN = ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens", "cache_write_tokens")
"""The counts that nearly every span of text has, and no others."""


def read_plain(numbers: list[Any], *, exclusive: bool = False) -> Reading | None:
    """`read_reported` for the counts of `PLAIN` in that order, 0 where there is none; None for what does not add up.

    A cache write is left to `read_reported`: whoever tells of one may tell how long it is kept for.
    """
    given, answered, read, thought, written = numbers
    if not (type(given) is type(answered) is type(read) is type(thought) is int) or written:
        return None
    fresh = given if exclusive else given - read
    spoken = answered - thought
    if fresh < 0 or spoken < 0 or read < 0 or thought < 0 or not 0 < given + answered <= PLAUSIBLE:
        return None
    usage: dict[str, Quantity] = {}
    if fresh:
        usage["input"] = fresh
    if read:
        usage["input_cache_read"] = read
    if spoken:
        usage["output"] = spoken
    if thought:
        usage["output_reasoning"] = thought
    return Reading(usage)
