"""The table of readers: which API's usage is read how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from aicost._errors import UsageError

from . import anthropic, bedrock, cohere, compatible, google, ollama, openai, openai_media, voyage
from .meters import Quantity
from .providers import canonical_provider, normal_tier
from .reading import Raw, Reading, as_object, fields_of
from .reported import read_reported

Counting = Literal["inclusive", "exclusive"]


@dataclass(frozen=True, slots=True)
class Reader:
    """How one API reports usage, and how it is read."""

    read: Callable[[Raw], Reading]
    input: Counting = "inclusive"
    """Whether the API's input count has cached tokens in it."""
    output: Counting = "inclusive"
    """Whether the API's output count has reasoning tokens in it."""
    found_at: tuple[str, ...] = ("usage",)
    """The names under which a response may hold the usage; none when the reader takes the response itself."""
    fees: Callable[[Raw], Mapping[str, Quantity]] | None = None
    """What a response bills beside its usage: tool calls, searches."""
    inner: Callable[[Raw], Raw | None] | None = None
    """The response inside a line of results, which has the id and the model."""


def _in_batch(raw: Raw) -> Raw | None:
    """The response in one line of a batch's results: OpenAI's, Gemini's or Anthropic's."""
    response, result = fields_of(raw.get("response")), fields_of(raw.get("result"))
    if response is not None:
        return fields_of(response.get("body")) or response
    return fields_of(result.get("message")) if result is not None else raw


def _read_batch(raw: Raw) -> Reading:
    """One line of a batch's results, or a batch's usage as a whole: at the batch tier."""
    body = _in_batch(raw)
    if body is not None and fields_of(body.get("usageMetadata")) is not None:
        return google.read_generate_content(fields_of(body["usageMetadata"]) or {})._replace(service_tier="batch")
    if body is None or (body is not raw and body.get("usage") is None):
        return Reading({})  # a request that failed or expired is not billed
    try:
        return read_usage(body)._replace(service_tier="batch")
    except UsageError:
        return Reading({}, service_tier="batch", flags=("invalid_field:usage",), complete=False)


def _or_compatible(own: Callable[[Raw], Reading]) -> Callable[[Raw], Reading]:
    """A reader for a provider that has an API of its own and one in OpenAI's shape beside it."""

    def read(raw: Raw) -> Reading:
        usage = fields_of(raw.get("usage")) or raw
        return compatible.read_chat(usage) if "prompt_tokens" in usage else own(raw)

    return read


READERS: dict[str, Reader] = {
    "chat": Reader(openai.read_chat),
    "completions": Reader(openai.read_chat),
    "responses": Reader(openai.read_responses, fees=openai.count_tool_calls),
    "embeddings": Reader(openai.read_embeddings),
    "realtime": Reader(openai_media.read_realtime),
    "images": Reader(openai_media.read_images, fees=openai_media.count_drawings),
    "transcription": Reader(openai_media.read_transcription),
    "speech": Reader(openai_media.read_speech),
    "moderations": Reader(openai_media.read_moderation, found_at=()),
    "videos": Reader(openai_media.read_video, found_at=()),
    "fine_tuning": Reader(openai_media.read_fine_tuning, found_at=()),
    "batch": Reader(_read_batch, found_at=(), inner=_in_batch),
    "messages": Reader(anthropic.read_messages, input="exclusive"),
    "generate_content": Reader(
        google.read_generate_content,
        output="exclusive",
        found_at=("usage_metadata", "usageMetadata"),
        fees=google.count_grounding,
    ),
    "cached_content": Reader(google.read_cached_content, found_at=()),
    "text_generation": Reader(compatible.read_text_generation, found_at=()),
    "embed_content": Reader(google.read_embed_content, found_at=()),
    "converse": Reader(bedrock.read_converse, input="exclusive", found_at=(), fees=bedrock.count_guardrails),
    "invoke_model": Reader(bedrock.read_invoke_model, input="exclusive", found_at=()),
    "rerank": Reader(cohere.read_rerank, found_at=()),
    "reported": Reader(read_reported),
    "ocr": Reader(compatible.read_ocr, found_at=("usage_info", "usage")),
}
"""Reader by API name, as `aicost price` and `aicost.price(api=...)` take it."""

DIALECTS: dict[tuple[str, str], Reader] = {
    ("cohere", "chat"): Reader(_or_compatible(cohere.read_billed), found_at=()),
    ("cohere", "embeddings"): Reader(_or_compatible(cohere.read_billed), found_at=()),
    ("gcp.gemini", "chat"): Reader(compatible.read_gemini_chat, output="exclusive"),
    ("gcp.vertex_ai", "chat"): Reader(compatible.read_gemini_chat, output="exclusive"),
    ("ollama", "chat"): Reader(_or_compatible(ollama.read_ollama), found_at=()),
    ("ollama", "embeddings"): Reader(_or_compatible(ollama.read_ollama), found_at=()),
    ("voyage", "embeddings"): Reader(voyage.read_voyage),
}
"""Readers of providers that answer under another's API name with counts of their own."""

_COMPATIBLE: dict[str, Reader] = {
    "chat": Reader(compatible.read_chat),
    "completions": Reader(compatible.read_chat),
    "responses": Reader(compatible.read_responses, fees=openai.count_tool_calls),
    "embeddings": Reader(compatible.read_embeddings),
}
"""Readers of everybody else who answers in OpenAI's shape."""

_OPENAI = {"openai", "azure.ai.openai"}

_TELLING: tuple[tuple[frozenset[str], str, str | None], ...] = (
    (frozenset({"response", "result"}), "batch", None),
    (frozenset({"generation_token_count", "inputTextTokenCount"}), "invoke_model", None),
    (frozenset({"prompt_eval_count", "eval_count"}), "chat", "ollama"),
    (frozenset({"billed_units", "meta"}), "chat", "cohere"),
    (frozenset({"prompt_token_count", "promptTokenCount"}), "generate_content", None),
    (frozenset({"total_token_count", "totalTokenCount"}), "generate_content", None),
    (frozenset({"inputTokens", "outputTokens"}), "converse", None),
    (frozenset({"pages_processed"}), "ocr", None),
    (frozenset({"seconds"}), "transcription", None),
    (frozenset({"input_characters"}), "speech", None),
    (frozenset({"prompt_tokens", "completion_tokens"}), "chat", None),
    (frozenset({"cache_creation", "cache_creation_input_tokens", "server_tool_use"}), "messages", None),
    (frozenset({"cache_read_input_tokens", "iterations"}), "messages", None),
    (frozenset({"input_token_details", "output_token_details"}), "realtime", None),
    (frozenset({"input_tokens", "output_tokens"}), "responses", None),
    (frozenset({"total_tokens"}), "embeddings", None),
)
"""Fields that tell an API, the most telling first, and whose dialect it is if only one provider has them."""

_USUAL = {("anthropic", "responses"): "messages", ("anthropic", "chat"): "chat"}
"""What fields that fit several APIs mean when a provider has only one of them."""


@dataclass(frozen=True, slots=True)
class ResponseView:
    """What a complete response says beyond its content: who answered, how it was served, what it used."""

    reading: Reading | None
    """None when the response carries no usage."""
    response_id: str | None = None
    model: str | None = None
    service_tier: str | None = None


def read_usage(usage: object, *, api: str | None = None, provider: str | None = None) -> Reading:
    """Disjoint meters of a provider's raw usage object (JSON or the client's typed object).

    Without `api` the API is guessed from the field names and the provider. A whole response is taken too: its usage is
    read, and what it bills beside that. Raises `UsageError` when the object is no object or the API is unknown.

    >>> read_usage({"prompt_tokens": 10, "completion_tokens": 2}).usage
    {'input': 10, 'output': 2}
    """
    raw = as_object(usage)
    reader = reader_of(api, provider) if api is not None else _guess(raw, provider)
    for name in reader.found_at:
        inner = raw.get(name)
        nested = fields_of(inner) if inner is not None else None
        if nested is not None:
            return _with_fees(reader, raw, reader.read(nested))
    return reader.read(raw) if reader.found_at else _with_fees(reader, raw, reader.read(raw))


def reader_of(api: str, provider: str | None = None) -> Reader:
    """The reader of an API as a provider answers it. Raises `UsageError` for an API nobody here knows."""
    found = READERS.get(api)
    named = canonical_provider(provider or "openai")
    if named not in _OPENAI:
        found = DIALECTS.get((named, api)) or _COMPATIBLE.get(api) or found
    if found is None:
        raise UsageError(f"no reader for api {api!r}; known: {', '.join(sorted(READERS))}")
    return found


def _guess(raw: Raw, provider: str | None) -> Reader:
    """The reader for an object, or for the usage inside it, by its fields."""
    nested = next((found for name in _HOLDERS if (found := fields_of(raw.get(name))) is not None), raw)
    # A transcription and a realtime response differ in what they are, not in their fields.
    if nested.get("type") == "tokens":
        return reader_of("transcription", provider)
    for telling, api, dialect in _TELLING:
        if not telling.isdisjoint(nested):
            return reader_of(_USUAL.get((canonical_provider(provider or ""), api), api), dialect or provider)
    raise UsageError(
        f"cannot tell which API this usage is of from its fields {sorted(map(str, nested))[:8]}; "
        f"pass api= one of {', '.join(sorted(READERS))}"
    )


def read_response(body: Raw, *, api: str, provider: str | None = None) -> ResponseView:
    """Everything a complete response of `api` says about its cost. `body` is JSON data; its usage may be typed."""
    reader = reader_of(api, provider)
    holders = (body.get(name) for name in reader.found_at) if reader.found_at else (body,)
    usage = next((found for found in map(fields_of, holders) if found is not None), None)
    reading = None if usage is None else _with_fees(reader, body, reader.read(usage))
    tier = body.get("service_tier")
    if reader.inner is not None:
        body, tier = {"id": body.get("id"), **(reader.inner(body) or {})}, None
    return ResponseView(
        reading=reading,
        response_id=_text(body.get("id") or body.get("responseId") or body.get("generation_id")),
        model=_text(body.get("model") or body.get("modelVersion")),
        service_tier=normal_tier(tier, provider)
        if isinstance(tier, str)
        else (reading.service_tier if reading else None),
    )


def _with_fees(reader: Reader, body: Raw, reading: Reading) -> Reading:
    fees = reader.fees(body) if reader.fees is not None else None
    return reading._replace(usage={**reading.usage, **fees}) if fees else reading


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


_HOLDERS = tuple(dict.fromkeys(name for reader in READERS.values() for name in reader.found_at))
