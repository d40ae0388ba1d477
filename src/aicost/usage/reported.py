"""Token counts as frameworks and spans report them: one shape, whichever API was below.

Upstream's conventions demand that input includes cached tokens and output includes reasoning
(`gen_ai.usage.input_tokens`), and langchain-core (`UsageMetadata`, read in 1.7) and others count the same way. Some
pass on what the provider said, and with Anthropic and Bedrock that is input without the cached tokens.
"""

from __future__ import annotations

from typing import Literal

from .meters import Quantity
from .reading import MAX_COUNT, Counts, Raw, Reading

Input = Literal["inclusive", "exclusive", "unknown"]
"""Whether input tokens include those read from and written to a cache."""

_KNOWN = {
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "total_tokens",
}


def read_reported(raw: Raw, meaning: Input = "inclusive") -> Reading:
    """Totals and the parts of them: `input_tokens`, `cache_read_tokens`, ...

    Where the `meaning` of the input is unknown, the total decides, if there is one: only one reading adds up to it.
    A total that contradicts a known meaning is flagged.
    """
    plain = _plain(raw, meaning)
    if plain is not None:
        return plain
    counts = Counts({name: _number(value) for name, value in raw.items()})
    read, written = counts.take("cache_read_tokens"), counts.take("cache_write_tokens")
    minutes, hour = counts.take("cache_write_5m_tokens"), counts.take("cache_write_1h_tokens")
    heard, spoken, thought = (
        counts.take("input_audio_tokens"),
        counts.take("output_audio_tokens"),
        counts.take("reasoning_tokens"),
    )
    given, answered, total = counts.require("input_tokens"), counts.take("output_tokens"), counts.take("total_tokens")
    written = written or minutes + hour  # some say only the parts
    beside = read + written
    if meaning == "unknown":
        meaning = "exclusive" if beside > given or (beside and total == given + beside + answered) else "inclusive"
    if meaning == "exclusive":
        given += beside
    if total and total not in (given + answered, given + answered - beside):
        counts.flag("total_tokens_mismatch")
    usage = {
        "input": counts.remainder(given, read, written, heard, name="input_tokens"),
        "input_cache_read": read,
        "input_cache_write": counts.remainder(written, minutes, hour, name="cache_write_tokens"),
        "input_cache_write_5m": minutes,
        "input_cache_write_1h": hour,
        "input_audio": heard,
        "output": counts.remainder(answered, thought, spoken, name="output_tokens"),
        "output_reasoning": thought,
        "output_audio": spoken,
    }
    return Reading(counts.usage(usage), flags=counts.finish(_KNOWN), complete=counts.complete)


def _number(value: object) -> object:
    """A count that was written as text, as a number; one that is not known, as none."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return None if value != value else value


def _plain(raw: Raw, meaning: Input) -> Reading | None:
    """The same for whole numbers of text that add up, which is what nearly all are; None for anything else."""
    usage: dict[str, Quantity] = {}
    given = answered = read = written = total = minutes = hour = thought = 0
    for name, number in raw.items():
        if type(number) is not int or not 0 <= number <= MAX_COUNT:
            return None
        if name == "input_tokens":
            given = number
        elif name == "output_tokens":
            answered = number
        elif name == "cache_read_tokens":
            read = number
        elif name == "reasoning_tokens":
            thought = number
        elif name == "total_tokens":
            total = number
        elif name == "cache_write_tokens":
            written = number
        elif name == "cache_write_1h_tokens":
            hour = number
        elif name == "cache_write_5m_tokens":
            minutes = number
        elif number:
            return None
    written = written or minutes + hour
    if (
        (total and total != given + answered)
        or meaning == "unknown"
        or minutes + hour > written
        or "input_tokens" not in raw
    ):
        return None
    fresh = given if meaning == "exclusive" else given - read - written
    if fresh < 0 or thought > answered:
        return None
    if fresh:
        usage["input"] = fresh
    if read:
        usage["input_cache_read"] = read
    if written != minutes + hour:
        usage["input_cache_write"] = written - minutes - hour
    if minutes:
        usage["input_cache_write_5m"] = minutes
    if hour:
        usage["input_cache_write_1h"] = hour
    if answered != thought:
        usage["output"] = answered - thought
    if thought:
        usage["output_reasoning"] = thought
    return Reading(usage)
