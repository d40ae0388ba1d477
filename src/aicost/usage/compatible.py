"""Usage in OpenAI's shape from everybody else -> disjoint meters.

Most hosts answer `/chat/completions` with OpenAI's usage object and something of their own beside it. What that means
is settled by the numbers where a host leaves it open: reasoning is part of the output unless the total says it comes on
top. Read in groq 1.7, mistralai 3.7 and xai-sdk 1.21 (proto/v6/usage_pb2.pyi), and in the API references of DeepSeek,
OpenRouter, Perplexity and Moonshot.
"""

from __future__ import annotations

from decimal import Decimal

from .meters import Quantity
from .reading import Counts, Raw, Reading

_SHAPE = {
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
}
_UNDERSTOOD = {
    "cached_tokens",  # Moonshot, Anthropic's compatible endpoint
    "prompt_cache_hit_tokens",  # DeepSeek
    "prompt_cache_miss_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",  # Perplexity, xAI
    "citation_tokens",
    "num_search_queries",
    "search_context_size",
    "cost",
    "cost_details",
    "is_byok",
    "cost_in_usd_ticks",
    "prompt_audio_seconds",  # Mistral
    "prompt_text_tokens",  # xAI's own protocol
    "prompt_image_tokens",
    "cached_prompt_text_tokens",
    "server_side_tools_used",
    "server_side_tool_usage_details",
    "num_server_side_tools_used",
}
_NOT_BILLED = {
    "queue_time",
    "prompt_time",
    "completion_time",
    "total_time",
    "x_groq",
    "num_sources_used",
    "prompt_token_ids",
    "service_tier",
    "extra_properties",
    "reasoning_tokens_details",
    "server_tool_use",
}
_INPUT = {"cached_tokens", "cache_write_tokens", "cache_creation_tokens", "audio_tokens", "image_tokens"}
_INPUT |= {"text_tokens", "video_tokens"}
_OUTPUT = {"reasoning_tokens", "audio_tokens", "text_tokens", "image_tokens"}
_OUTPUT |= {"accepted_prediction_tokens", "rejected_prediction_tokens"}

_XAI_TOOLS = {
    1: "tool_web_search",
    2: "tool_x_search",
    3: "tool_code_execution",
    6: "tool_collections_search",
    8: "tool_attachment_search",
    9: "tool_image_search",
}
_XAI_CALLS = {
    "web_search_calls": "tool_web_search",
    "x_search_calls": "tool_x_search",
    "code_interpreter_calls": "tool_code_execution",
    "code_execution_calls": "tool_code_execution",
    "file_search_calls": "tool_collections_search",
    "collections_search_calls": "tool_collections_search",
    "attachment_search_calls": "tool_attachment_search",
    "document_search_calls": "tool_attachment_search",
    "image_search_calls": "tool_image_search",
}
_TICKS_PER_USD = Decimal(10) ** 10


def read_chat(raw: Raw) -> Reading:
    """Usage of a compatible chat endpoint.

    Input includes cache. Output includes reasoning, unless the total says that it comes on top.
    """
    counts = Counts(raw)
    details, out = counts.inside("prompt_tokens_details"), counts.inside("completion_tokens_details")
    prompt, completion = counts.require("prompt_tokens"), counts.take("completion_tokens")
    cached = details.take("cached_tokens") or counts.take_any(
        "prompt_cache_hit_tokens", "cached_tokens", "cached_prompt_text_tokens", "cache_read_input_tokens"
    )
    written = details.take("cache_write_tokens") or details.take("cache_creation_tokens")
    written = written or counts.take("cache_creation_input_tokens")
    audio, spoken = details.take("audio_tokens"), out.take("audio_tokens")
    reasoning = out.take("reasoning_tokens") or counts.take("reasoning_tokens")
    inside, on_top = _reasoning(counts, prompt, completion, reasoning)
    if counts.has("prompt_cache_miss_tokens") and prompt != cached + counts.take("prompt_cache_miss_tokens"):
        counts.flag("cached_tokens_mismatch")
    usage: dict[str, Quantity] = {
        "input": counts.remainder(prompt, cached, written, audio, name="input_tokens"),
        "input_cache_read": cached,
        "input_cache_write": written,
        "input_audio": audio,
        "input_citation": counts.take("citation_tokens"),
        "input_audio_seconds": counts.take("prompt_audio_seconds"),
        "output": counts.remainder(completion, inside, spoken, name="output_tokens"),
        "output_reasoning": inside + on_top,
        "output_audio": spoken,
        **_tools(counts),
    }
    details.finish(_INPUT)
    out.finish(_OUTPUT)
    cost = _cost(counts)
    flags = counts.finish(_SHAPE | _UNDERSTOOD | _NOT_BILLED)
    return Reading(counts.usage(usage), flags=flags, complete=counts.complete, provider_cost=cost)


def read_responses(raw: Raw) -> Reading:
    """Usage of a compatible responses endpoint, such as xAI's: OpenAI's shape and the cost beside it."""
    counts = Counts(raw)
    details, out = counts.inside("input_tokens_details"), counts.inside("output_tokens_details")
    total, answered = counts.require("input_tokens"), counts.require("output_tokens")
    cached, reasoning = details.take("cached_tokens"), out.take("reasoning_tokens")
    inside, on_top = _reasoning(counts, total, answered, reasoning)
    usage: dict[str, Quantity] = {
        "input": counts.remainder(total, cached, name="input_tokens"),
        "input_cache_read": cached,
        "output": counts.remainder(answered, inside, name="output_tokens"),
        "output_reasoning": inside + on_top,
        **_tools(counts),
    }
    details.finish(_INPUT)
    out.finish(_OUTPUT)
    cost = _cost(counts)
    shape = {"input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"}
    flags = counts.finish(shape | _UNDERSTOOD | _NOT_BILLED)
    return Reading(counts.usage(usage), flags=flags, complete=counts.complete, provider_cost=cost)


def read_gemini_chat(raw: Raw) -> Reading:
    """Gemini's compatible endpoint: thinking may be in the total and nowhere else, and is billed as output."""
    counts = Counts(raw)
    hidden = counts.take("total_tokens") - counts.take("prompt_tokens") - counts.take("completion_tokens")
    if hidden <= 0 or counts.inside("completion_tokens_details").take("reasoning_tokens"):
        return read_chat(raw)
    return read_chat({**raw, "completion_tokens_details": {"reasoning_tokens": hidden}})


def read_embeddings(raw: Raw) -> Reading:
    """Usage of a compatible embeddings endpoint; some state only the total."""
    counts = Counts(raw)
    tokens = counts.take_any("prompt_tokens", "input_tokens", "total_tokens")
    if not any(counts.has(name) for name in ("prompt_tokens", "input_tokens", "total_tokens")):
        counts.require("prompt_tokens")
    known = {"prompt_tokens", "input_tokens", "total_tokens", "completion_tokens", "prompt_tokens_details"}
    cost = _cost(counts)
    flags = counts.finish(known | _UNDERSTOOD | _NOT_BILLED)
    return Reading({"input": tokens} if tokens else {}, flags=flags, complete=counts.complete, provider_cost=cost)


def read_ocr(raw: Raw) -> Reading:
    """Mistral's OCR: pages."""
    counts = Counts(raw)
    pages = counts.require("pages_processed")
    flags = counts.finish({"pages_processed", "doc_size_bytes", "pages_processed_annotation"})
    return Reading({"pages": pages} if pages else {}, flags=flags, complete=counts.complete)


def _reasoning(counts: Counts, total_in: int, completion: int, reasoning: int) -> tuple[int, int]:
    """Reasoning that is part of the output, and reasoning that comes on top of it."""
    total = counts.take("total_tokens")
    if not counts.has("total_tokens") or total == total_in + completion:
        # More reasoning than output cannot be inside it, whatever the total leaves out.
        return (reasoning, 0) if reasoning <= completion else (0, reasoning)
    if total != total_in + completion + reasoning:
        counts.flag("total_tokens_mismatch")
        return (reasoning, 0) if reasoning <= completion else (0, reasoning)
    return 0, reasoning


def _tools(counts: Counts) -> dict[str, Quantity]:
    """Searches and other calls that the provider made itself and bills."""
    found: dict[str, Quantity] = {}
    searches, size = counts.take("num_search_queries"), counts.text("search_context_size")
    if searches:
        found["tool_web_search"] = searches
    elif size in {"low", "medium", "high"}:
        found[f"tool_web_search_{size}"] = 1
    calls = counts.inside("server_side_tool_usage_details")
    for name, meter in _XAI_CALLS.items():
        if calls.has(name):
            found[meter] = found.get(meter, 0) + calls.take(name)
    calls.finish({*_XAI_CALLS, "mcp_calls", "view_image_calls", "view_x_video_calls"})
    for tool in counts.numbers("server_side_tools_used"):
        if tool in _XAI_TOOLS:
            found[_XAI_TOOLS[tool]] = found.get(_XAI_TOOLS[tool], 0) + 1
    return found


def _cost(counts: Counts) -> str | None:
    """What the provider says it charged, in USD: OpenRouter and Perplexity as `cost`, xAI in ticks."""
    if counts.has("cost_in_usd_ticks"):
        ticks = counts.take("cost_in_usd_ticks")
        return format(Decimal(ticks) / _TICKS_PER_USD, "f")
    if not counts.has("cost"):
        return None
    nested = counts.object("cost")
    amount = counts.decimal("cost") if nested is None else Counts(nested).decimal("total_cost")
    if counts.true("is_byok"):
        # The fee only: the model itself is billed to the customer's own key.
        counts.flag("byok_fee_only")
    return None if amount is None else format(amount, "f")


def read_text_generation(raw: Raw) -> Reading:
    """Hugging Face text generation: what was generated; the prompt is not counted (huggingface_hub 2.4)."""
    counts = Counts(raw)
    details = counts.inside("details")
    if not details.has("generated_tokens"):
        counts.require("details")
    usage: dict[str, Quantity] = {"output": details.take("generated_tokens")}
    return Reading(counts.usage(usage), flags=("prompt_not_reported",), complete=False)
