"""Usage in OpenAI's shape from everybody else.

Most hosts answer `/chat/completions` with OpenAI's usage object and something of their own beside it. What that means
is settled by the numbers where a host leaves it open: reasoning is part of the output unless the total says it comes on
top. Read in groq 1.7, mistralai 3.7, openrouter 1.3 and xai-sdk 1.21 (proto/v6/usage_pb2.pyi), and in the references of
DeepSeek, Perplexity and Moonshot.
"""

from __future__ import annotations

from collections.abc import Callable

from aicost.usage.meters import Quantity
from aicost.usage.provider import UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading, fields_of, snake_case

from . import _openai_tools as openai_tools

_INPUT_PARTS = "cached_tokens cache_write_tokens cache_creation_tokens audio_tokens"
# Images and videos in a prompt, and text, are billed at the input rate and stay in it.
_INPUT = Fields(_INPUT_PARTS, informs="image_tokens text_tokens video_tokens")
_OUTPUT = Fields(
    "reasoning_tokens audio_tokens image_tokens",
    informs="text_tokens accepted_prediction_tokens rejected_prediction_tokens",
)
_SEARCHES = Fields("web_search_requests", informs="tool_calls_requested tool_calls_executed")
_CONNECTORS = {
    "web_search": "tool_web_search",
    "code_interpreter": "tool_code_execution",
    "document_library": "tool_collections_search",
}
_XAI_TOOLS: dict[int | str, str] = {}
for _number, _name, _meter in (
    (1, "WEB_SEARCH", "tool_web_search"),
    (2, "X_SEARCH", "tool_x_search"),
    (3, "CODE_EXECUTION", "tool_code_execution"),
    (6, "COLLECTIONS_SEARCH", "tool_collections_search"),
    (8, "ATTACHMENT_SEARCH", "tool_attachment_search"),
    (9, "IMAGE_SEARCH", "tool_image_search"),
):
    _XAI_TOOLS |= {_number: _meter, f"SERVER_SIDE_TOOL_{_name}": _meter}  # by name in protobuf as JSON
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
_EXTRA = (
    # DeepSeek; Moonshot, Mistral, vLLM; xAI's own protocol; LiteLLM
    "prompt_cache_hit_tokens prompt_cache_miss_tokens cached_tokens num_cached_tokens cached_prompt_text_tokens "
    "cache_read_input_tokens cache_creation_input_tokens "
    # Perplexity, xAI
    "reasoning_tokens citation_tokens num_search_queries search_context_size server_side_tools_used "
    # Mistral
    "prompt_audio_seconds connector_tokens service_tier"
)
_INFORMS = (
    "queue_time prompt_time completion_time total_time x_groq num_sources_used prompt_token_ids extra_properties "
    "reasoning_tokens_details prompt_text_tokens prompt_image_tokens num_server_side_tools_used"
)
_TOOLS = {
    "server_side_tool_usage_details": Fields(
        " ".join(_XAI_CALLS), informs="mcp_calls view_image_calls view_x_video_calls"
    ),
    "server_tool_use": _SEARCHES,
    "server_tool_use_details": _SEARCHES,
    "connectors": Fields(" ".join(_CONNECTORS)),
}
CHAT = Fields(
    f"prompt_tokens completion_tokens total_tokens {_EXTRA}",
    informs=_INFORMS,
    prompt_tokens_details=_INPUT,
    prompt_token_details=_INPUT,  # Writer
    completion_tokens_details=_OUTPUT,
    completion_token_details=_OUTPUT,
    **_TOOLS,
)
_PROMPT_DETAILS = ("prompt_tokens_details", "prompt_token_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "completion_token_details")
RESPONSES = Fields(
    f"input_tokens output_tokens total_tokens {_EXTRA}",
    informs=_INFORMS,
    input_tokens_details=_INPUT,
    output_tokens_details=_OUTPUT,
    **_TOOLS,
)
EMBEDDINGS = Fields(
    "prompt_tokens input_tokens total_tokens completion_tokens service_tier",
    informs=f"prompt_tokens_details prompt_token_details {_INFORMS}",
)


def read_chat(raw: Raw) -> Reading:
    """Usage of a compatible chat endpoint.

    Input includes cache. Output includes reasoning, unless the total says that it comes on top.
    """
    if "promptTokens" in raw or "completionTokens" in raw:
        raw = snake_case(raw)  # protobuf as JSON
    counts = Counts(raw)
    counted = counts.require("prompt_tokens"), counts.take("completion_tokens")
    inside = next((name for name in _PROMPT_DETAILS if counts.has(name)), "prompt_tokens_details")
    inside_output = next((name for name in _COMPLETION_DETAILS if counts.has(name)), "completion_tokens_details")
    return _read(counts, *counted, CHAT, inside, inside_output)


def read_responses(raw: Raw) -> Reading:
    """Usage of a compatible responses endpoint: xAI's, OpenRouter's, Bedrock's (Mantle)."""
    counts = Counts(raw)
    counted = counts.require("input_tokens"), counts.require("output_tokens")
    return _read(counts, *counted, RESPONSES, "input_tokens_details", "output_tokens_details")


def _read(counts: Counts, prompt: int, completion: int, known: Fields, inside: str, inside_output: str) -> Reading:
    details, out = counts.inside(inside), counts.inside(inside_output)
    cached = details.take("cached_tokens") or counts.take_any(
        "prompt_cache_hit_tokens",
        "cached_tokens",
        "num_cached_tokens",
        "cached_prompt_text_tokens",
        "cache_read_input_tokens",
    )
    written = details.take("cache_write_tokens") or details.take("cache_creation_tokens")
    written = written or counts.take("cache_creation_input_tokens")
    audio, spoken, drawn = details.take("audio_tokens"), out.take("audio_tokens"), out.take("image_tokens")
    reasoning = out.take("reasoning_tokens") or counts.take("reasoning_tokens")
    connected = counts.take("connector_tokens")
    if connected and counts.take("total_tokens") == prompt + completion + connected:
        prompt += connected
    inside_of_it, on_top = _reasoning(counts, prompt, completion, reasoning)
    if counts.has("prompt_cache_miss_tokens") and prompt != cached + counts.take("prompt_cache_miss_tokens"):
        counts.flag("cached_tokens_mismatch")
    usage: dict[str, Quantity] = {
        "input": counts.remainder(prompt, cached, written, audio, name="input_tokens"),
        "input_cache_read": cached,
        "input_cache_write": written,
        "input_audio": audio,
        "input_citation": counts.take("citation_tokens"),
        "input_audio_seconds": counts.take("prompt_audio_seconds"),
        "output": counts.remainder(completion, inside_of_it, spoken, drawn, name="output_tokens"),
        "output_reasoning": inside_of_it + on_top,
        "output_audio": spoken,
        "output_image": drawn,
        **_tools(counts),
    }
    details.finish(known.inside[inside])
    out.finish(known.inside[inside_output])
    tier, flags = counts.text("service_tier"), counts.finish(known)
    return Reading(counts.usage(usage), tier, flags=flags, complete=counts.complete)


def read_embeddings(raw: Raw) -> Reading:
    """Usage of a compatible embeddings endpoint; some state only the total."""
    counts = Counts(raw)
    tokens = counts.take_any("prompt_tokens", "input_tokens", "total_tokens")
    if not any(counts.has(name) for name in ("prompt_tokens", "input_tokens", "total_tokens")):
        counts.require("prompt_tokens")
    if counts.take("total_tokens") not in (0, tokens, tokens + counts.take("completion_tokens")):
        counts.flag("total_tokens_mismatch")
    usage: dict[str, Quantity] = {"input": tokens}
    tier, flags = counts.text("service_tier"), counts.finish(EMBEDDINGS)
    return Reading(counts.usage(usage), tier, flags=flags, complete=counts.complete)


def count_tool_calls(body: Raw) -> Reading:
    """Fees of hosted tools by the items of a response, where its usage does not count them (xAI's does)."""
    usage = fields_of(body.get("usage")) or {}
    if usage.get("server_side_tool_usage_details") is not None:
        return Reading({})
    return openai_tools.count_tool_calls(body)


def or_compatible(own: Callable[[Raw], Reading]) -> Callable[[Raw], Reading]:
    """A reader for a provider that has an API of its own and one in OpenAI's shape beside it."""

    def read(raw: Raw) -> Reading:
        usage = fields_of(raw.get("usage")) or raw
        return read_chat(usage) if "prompt_tokens" in usage else own(raw)

    return read


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
    calls.finish(_TOOLS["server_side_tool_usage_details"])
    for tool in counts.sequence("server_side_tools_used"):
        used = _XAI_TOOLS.get(tool) if isinstance(tool, (int, str)) else None
        if used is not None:
            found[used] = found.get(used, 0) + 1
    for name in ("server_tool_use", "server_tool_use_details"):
        own = counts.inside(name)
        if asked := own.take("web_search_requests"):
            found["tool_web_search"] = asked
        own.finish(_SEARCHES)
    connectors = counts.inside("connectors")
    for name, meter in _CONNECTORS.items():
        if connectors.has(name):
            found[meter] = connectors.take(name)
    connectors.finish(_TOOLS["connectors"])
    return found


FORMS: dict[str, UsageReader] = {
    "chat": UsageReader(read_chat, fields=CHAT),
    "completions": UsageReader(read_chat, fields=CHAT),
    "responses": UsageReader(read_responses, fees=count_tool_calls, fields=RESPONSES),
    "embeddings": UsageReader(read_embeddings, fields=EMBEDDINGS),
}
"""How everybody answers OpenAI's APIs who does not do it in a way of its own."""
