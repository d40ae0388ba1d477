"""Token counts as frameworks and spans report them: one inclusive shape, whichever API was below.

Upstream's conventions demand that input includes cached tokens and output includes reasoning
(`gen_ai.usage.input_tokens`), and langchain-core (`UsageMetadata`, read in 1.7) and others count the same way.
"""

from __future__ import annotations

from .reading import Counts, Raw, Reading

_KNOWN = {
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
}


def read_reported(raw: Raw) -> Reading:
    """Inclusive totals and the parts of them: `input_tokens`, `cache_read_tokens`, ..."""
    counts = Counts(raw)
    read, written, hour = (
        counts.take("cache_read_tokens"),
        counts.take("cache_write_tokens"),
        counts.take("cache_write_1h_tokens"),
    )
    heard, spoken, thought = (
        counts.take("input_audio_tokens"),
        counts.take("output_audio_tokens"),
        counts.take("reasoning_tokens"),
    )
    usage = {
        "input": counts.remainder(counts.require("input_tokens"), read, written, heard, name="input_tokens"),
        "input_cache_read": read,
        "input_cache_write": counts.remainder(written, hour, name="cache_write_tokens"),
        "input_cache_write_1h": hour,
        "input_audio": heard,
        "output": counts.remainder(counts.take("output_tokens"), thought, spoken, name="output_tokens"),
        "output_reasoning": thought,
        "output_audio": spoken,
    }
    return Reading(counts.usage(usage), flags=counts.finish(_KNOWN), complete=counts.complete)
