"""Anthropic usage objects -> disjoint meters.

Read in anthropic 2.11 (types/usage.py, types/message_delta_usage.py, types/server_tool_usage.py, and of the beta
types/beta/beta_usage.py, beta_iterations_usage.py and its items). `input_tokens` *excludes* cache reads and writes;
`output_tokens` includes thinking. The same object carries the tier that served the request, where it ran and at what
speed, all of which change the price.
"""

from __future__ import annotations

from .meters import Quantity
from .providers import normal_region, normal_tier
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
    "iterations",
    "fallback_credit",
}
_ITERATION = {
    "type",
    "model",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens_details",
}
_THINKING = {"thinking_tokens"}
_TTL = {"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"}
_TOOLS = {
    "web_search_requests": "tool_web_search",
    "web_fetch_requests": "tool_web_fetch",
    "code_execution_requests": "tool_code_execution",
}


def read_messages(raw: Raw) -> Reading:
    """Usage of the messages API, or the cumulative usage of its stream events merged into one object.

    With `iterations` (beta) the top-level counts are those of the model's own messages. What a compaction used is not
    among them and comes on top; so does what another model did, under that model's name (`claude-opus-5/input`).
    """
    counts = Counts(raw)
    usage = _tokens(counts)
    if counts.has("iterations"):
        usage = _with_iterations(counts, usage)
    if counts.has("server_tool_use"):
        tools = counts.inside("server_tool_use")
        usage |= counts.usage({meter: tools.take(name) for name, meter in _TOOLS.items()})
        tools.finish(_TOOLS.keys())
    flags = counts.finish(_MESSAGES)
    return Reading(
        usage,
        normal_tier(counts.text("service_tier"), "anthropic"),
        normal_region(counts.text("inference_geo"), "anthropic"),
        _unless(counts.text("speed"), {"standard"}),
        flags,
        not flags or counts.complete,
    )


def _tokens(counts: Counts) -> dict[str, Quantity]:
    """The token counts of a message, or of one iteration of it."""
    usage: dict[str, Quantity] = {}
    fresh, output = counts.require("input_tokens"), counts.require("output_tokens")
    read, written = counts.take("cache_read_input_tokens"), counts.take("cache_creation_input_tokens")
    # Written out, because this is read for every call; most of it is absent or zero most of the time.
    if fresh:
        usage["input"] = fresh
    if read:
        usage["input_cache_read"] = read
    if counts.has("cache_creation"):
        ttl = counts.inside("cache_creation")
        hour, minutes = ttl.take("ephemeral_1h_input_tokens"), ttl.take("ephemeral_5m_input_tokens")
        ttl.finish(_TTL)
        if counts.has("cache_creation_input_tokens") and minutes + hour != written:
            counts.flag("cache_creation_mismatch")
        if minutes:
            usage["input_cache_write_5m"] = minutes
        if hour:
            usage["input_cache_write_1h"] = hour
    elif written:
        usage["input_cache_write_5m"] = written  # without the split every write is of the default life, five minutes
    if counts.has("output_tokens_details"):
        out = counts.inside("output_tokens_details")
        thinking = out.take("thinking_tokens")
        out.finish(_THINKING)
        output = counts.remainder(output, thinking, name="output_tokens")
        if thinking:
            usage["output_reasoning"] = thinking
    if output:
        usage["output"] = output
    return usage


def _with_iterations(counts: Counts, top: dict[str, Quantity]) -> dict[str, Quantity]:
    """The top-level counts and what they leave out.

    A request that a fallback model served has messages of two models, so each is taken from its own entry.
    """
    entries = [counts.within("iterations", item) for item in counts.items("iterations")]
    kinds = [entry.text("type") or "" for entry in entries]
    fell_back = "fallback_message" in kinds
    usage: dict[str, Quantity] = {} if fell_back else dict(top)
    own: dict[str, Quantity] = {}
    for kind, entry in zip(kinds, entries, strict=True):
        tokens = _tokens(entry)
        model = entry.text("model")
        if kind in {"message", "fallback_message"}:
            _add(own, tokens)
        if kind == "compaction" or (fell_back and kind == "message" and model is None):
            _add(usage, tokens)
        elif kind == "advisor_message" or (fell_back and kind in {"message", "fallback_message"}):
            _add(usage, tokens, f"{model}/" if model else "")
        elif kind != "message":
            counts.flag(f"unknown_field:iterations.{kind}")
        entry.finish(_ITERATION)
    if own and not fell_back and sum(own.values()) != sum(top.values()):
        counts.flag("iterations_mismatch")
    return usage


def _add(usage: dict[str, Quantity], more: dict[str, Quantity], prefix: str = "") -> None:
    for meter, quantity in more.items():
        usage[f"{prefix}{meter}"] = usage.get(f"{prefix}{meter}", 0) + quantity


def _unless(value: str | None, defaults: set[str]) -> str | None:
    return None if value is None or value in defaults else value
