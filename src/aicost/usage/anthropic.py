"""Anthropic usage objects -> disjoint meters.

Read in anthropic 2.11 (types/usage.py, types/message_delta_usage.py, types/server_tool_usage.py). `input_tokens`
*excludes* cache reads and writes; `output_tokens` includes thinking. The same object carries the tier that served
the request, where it ran and at what speed, all of which change the price.
"""

from __future__ import annotations

from .reading import Counts, Raw, Reading

_MESSAGES = {
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "inference_geo",
    "speed",
}
_TTL = {"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"}
_TOOLS = {"web_search_requests", "web_fetch_requests"}

_DEFAULT_TIERS = {"standard"}
_DEFAULT_REGIONS = {"global", "not_available"}


def read_messages(raw: Raw) -> Reading:
    """Usage of the messages API, or the cumulative usage of its stream events merged into one object."""
    counts = Counts(raw)
    ttl, out, tools = (
        counts.inside("cache_creation"),
        counts.inside("output_tokens_details"),
        counts.inside("server_tool_use"),
    )
    written = counts.take("cache_creation_input_tokens")
    hour = ttl.take("ephemeral_1h_input_tokens")
    minutes = ttl.take("ephemeral_5m_input_tokens")
    if counts.has("cache_creation") and counts.has("cache_creation_input_tokens") and minutes + hour != written:
        counts.flag("cache_creation_mismatch")
    elif not counts.has("cache_creation"):
        minutes = written  # without the split every write is of the default TTL, five minutes
    thinking = out.take("thinking_tokens")
    output = counts.require("output_tokens")
    usage = {
        "input": counts.require("input_tokens"),
        "input_cache_read": counts.take("cache_read_input_tokens"),
        "input_cache_write_5m": minutes,
        "input_cache_write_1h": hour,
        "output": counts.remainder(output, thinking, name="output_tokens"),
        "output_reasoning": thinking,
        "tool_web_search": tools.take("web_search_requests"),
        "tool_web_fetch": tools.take("web_fetch_requests"),
    }
    ttl.finish(_TTL)
    out.finish({"thinking_tokens"})
    tools.finish(_TOOLS)
    return Reading(
        {meter: n for meter, n in usage.items() if n},
        service_tier=_unless(counts.text("service_tier"), _DEFAULT_TIERS),
        region=_unless(counts.text("inference_geo"), _DEFAULT_REGIONS),
        speed=_unless(counts.text("speed"), {"standard"}),
        flags=counts.finish(_MESSAGES),
        complete=counts.complete,
    )


def _unless(value: str | None, defaults: set[str]) -> str | None:
    return None if value is None or value in defaults else value
