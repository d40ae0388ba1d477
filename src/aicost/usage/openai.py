"""OpenAI usage objects -> disjoint meters.

Read in openai 3.52 (types/completion_usage.py, types/responses/response_usage.py,
types/create_embedding_response.py). All counts are *inclusive*: cached and written tokens are part of the input,
reasoning is part of the output. Image and text details of a chat prompt are billed at the input rate and stay in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .meters import Quantity
from .reading import Counts, Raw, Reading

_CHAT = {
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
}
_CHAT_INPUT = {"cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "text_tokens"}
_CHAT_OUTPUT = {
    "reasoning_tokens",
    "audio_tokens",
    "text_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
}
_RESPONSES = {
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "input_tokens_details",
    "output_tokens_details",
}
_RESPONSES_INPUT = {
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_tokens_details",
    "audio_tokens",
    "text_tokens",
}
_TTL = {"ttl_30m_tokens", "ttl_12h_tokens"}
_RESPONSES_OUTPUT = {"reasoning_tokens", "audio_tokens", "text_tokens"}

_TOOL_ITEMS = {
    "web_search_call": "tool_web_search",
    "file_search_call": "tool_file_search",
}
"""Output items of a response that carry a fee of their own. Only those that ran are billed."""


def read_chat(raw: Raw) -> Reading:
    """Usage of chat completions (and of the older completions API)."""
    counts = Counts(raw)
    details, out = counts.inside("prompt_tokens_details"), counts.inside("completion_tokens_details")
    prompt, completion = counts.require("prompt_tokens"), counts.take("completion_tokens")
    cached, written, audio = (
        details.take("cached_tokens"),
        details.take("cache_write_tokens"),
        details.take("audio_tokens"),
    )
    reasoning, spoken = out.take("reasoning_tokens"), out.take("audio_tokens")
    usage: dict[str, Quantity] = {}
    fresh = counts.remainder(prompt, cached, written, audio, name="input_tokens")
    said = counts.remainder(completion, reasoning, spoken, name="output_tokens")
    # Most are zero most of the time, and this is read for every call: written out, it takes half as long.
    if fresh:
        usage["input"] = fresh
    if cached:
        usage["input_cache_read"] = cached
    if written:
        usage["input_cache_write"] = written
    if audio:
        usage["input_audio"] = audio
    if said:
        usage["output"] = said
    if reasoning:
        usage["output_reasoning"] = reasoning
    if spoken:
        usage["output_audio"] = spoken
    _check_total(counts, prompt + completion)
    details.finish(_CHAT_INPUT)
    out.finish(_CHAT_OUTPUT)
    flags = counts.finish(_CHAT)
    return Reading(usage, None, None, None, flags, not flags or counts.complete)


def read_responses(raw: Raw) -> Reading:
    """Usage of the responses API."""
    counts = Counts(raw)
    details, out = counts.inside("input_tokens_details"), counts.inside("output_tokens_details")
    ttl = details.inside("cache_write_tokens_details")
    prompt, completion = counts.require("input_tokens"), counts.require("output_tokens")
    cached, written = details.take("cached_tokens"), details.take("cache_write_tokens")
    half_hour, half_day = ttl.take("ttl_30m_tokens"), ttl.take("ttl_12h_tokens")
    audio, reasoning, spoken = (
        details.take("audio_tokens"),
        out.take("reasoning_tokens"),
        out.take("audio_tokens"),
    )
    usage = {
        "input": counts.remainder(prompt, cached, written, audio, name="input_tokens"),
        "input_cache_read": cached,
        "input_cache_write": counts.remainder(written, half_hour, half_day, name="cache_write_tokens"),
        "input_cache_write_30m": half_hour,
        "input_cache_write_12h": half_day,
        "input_audio": audio,
        "output": counts.remainder(completion, reasoning, spoken, name="output_tokens"),
        "output_reasoning": reasoning,
        "output_audio": spoken,
    }
    _check_total(counts, prompt + completion)
    ttl.finish(_TTL)
    details.finish(_RESPONSES_INPUT)
    out.finish(_RESPONSES_OUTPUT)
    return _reading(counts, usage, _RESPONSES)


def read_embeddings(raw: Raw) -> Reading:
    """Usage of the embeddings API."""
    counts = Counts(raw)
    prompt = counts.require("prompt_tokens")
    _check_total(counts, prompt)
    return _reading(counts, {"input": prompt}, {"prompt_tokens", "total_tokens"})


def count_tool_calls(body: Raw) -> Mapping[str, Quantity]:
    """Fee-bearing tool calls in the `output` items of a response body, by meter.

    A declared tool that never ran costs nothing, so only items are counted. A code interpreter container is billed
    once per session whatever the number of calls in it.
    """
    output = body.get("output")
    if not isinstance(output, list):
        return {}
    calls: Counter[str] = Counter()
    containers: set[str] = set()
    for item in output:
        kind = item.get("type") if isinstance(item, Mapping) else None
        if kind in _TOOL_ITEMS:
            calls[_TOOL_ITEMS[kind]] += 1
        elif kind == "code_interpreter_call":
            containers.add(str(item.get("container_id")))
    if containers:
        calls["tool_code_interpreter"] = len(containers)
    return dict(calls)


def _check_total(counts: Counts, expected: int) -> None:
    total = counts.take("total_tokens")
    if total != expected and counts.has("total_tokens"):
        counts.flag("total_tokens_mismatch")


def _reading(counts: Counts, usage: dict[str, int], known: set[str]) -> Reading:
    flags = counts.finish(known)
    return Reading({meter: n for meter, n in usage.items() if n}, None, None, None, flags, not flags or counts.complete)
