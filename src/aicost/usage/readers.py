"""The table of readers: which API's usage is read how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from aicost._errors import UsageError

from . import (
    anthropic,
    bedrock,
    cohere,
    compatible,
    google,
    ollama,
    openai,
    openai_media,
    openai_tools,
    reported,
    voyage,
)
from .providers import canonical_provider, normal_tier
from .reading import Fields, Raw, Reading, as_object, fields_of
from .stated import with_stated_cost

Counting = Literal["inclusive", "exclusive"]


@dataclass(frozen=True, slots=True)
class UsageReader:
    """How one API reports usage, and how it is read."""

    read: Callable[[Raw], Reading]
    input: Counting = "inclusive"
    """Whether the API's input count has cached tokens in it."""
    output: Counting = "inclusive"
    """Whether the API's output count has reasoning tokens in it."""
    found_at: tuple[str, ...] = ("usage",)
    """The names under which a response may hold the usage; none when the reader takes the response itself."""
    fees: Callable[[Raw], Reading] | None = None
    """What a response bills beside its usage: tool calls, searches."""
    inner: Callable[[Raw], Raw | None] | None = None
    """The response inside a line of results, which has the id and the model."""
    by_model: bool = False
    """Whether what is billed depends on the model, which the response does not name."""
    fields: Fields | None = None
    """What it knows of the usage object; None where that is another reader's, or depends on the model."""


def _in_batch(raw: Raw) -> Raw | None:
    """The response in one line of a batch's results: OpenAI's, Gemini's or Anthropic's."""
    response, result = fields_of(raw.get("response")), fields_of(raw.get("result"))
    if response is not None:
        return fields_of(response.get("body")) or response
    return fields_of(result.get("message")) if result is not None else raw


def is_result_line(line: Raw) -> bool:
    """Whether a line of a file is one of a batch's results, and not of what else may be kept in files.

    Read in openai 3.57 (types/batch.py, and the guide it names: `custom_id` and `response.body`), anthropic 2.14
    (types/messages/message_batch_individual_response.py) and google-genai 3.6 (types.py, InlinedResponse: a `response`
    with its usage, beside a `key`, `metadata` or the `request`).
    """
    response, result = fields_of(line.get("response")), fields_of(line.get("result"))
    if isinstance(line.get("custom_id"), str):
        return (response is not None and "body" in response) or (result is not None and "type" in result)
    return response is not None and not _OF_GEMINI.isdisjoint(response)


_OF_GEMINI = frozenset({"usageMetadata", "candidates", "embedding"})


def _batch_of(provider: str | None) -> Callable[[Raw], Reading]:
    """A reader of one line of a batch's results, or of a batch's usage as a whole: at the batch tier."""

    def read(raw: Raw) -> Reading:
        body = _in_batch(raw)
        if body is None:
            return Reading({})  # a request that failed or expired is not billed
        if fields_of(body.get("usageMetadata")) is not None:
            return google.read_generate_content(fields_of(body["usageMetadata"]) or {})._replace(service_tier="batch")
        if "embedding" in body and "tokenCount" in body:
            return google.read_embed_content(body)._replace(service_tier="batch")
        if body is not raw and body.get("usage") is None:
            return Reading({})
        try:
            return read_usage(body, provider=provider)._replace(service_tier="batch")
        except UsageError:
            return Reading({}, service_tier="batch", flags=("invalid_field:usage",), complete=False)

    return read


def _or_compatible(own: Callable[[Raw], Reading]) -> Callable[[Raw], Reading]:
    """A reader for a provider that has an API of its own and one in OpenAI's shape beside it."""

    def read(raw: Raw) -> Reading:
        usage = fields_of(raw.get("usage")) or raw
        return compatible.read_chat(usage) if "prompt_tokens" in usage else own(raw)

    return read


_BATCH = UsageReader(_batch_of(None), found_at=(), inner=_in_batch)
READERS: dict[str, UsageReader] = {
    "chat": UsageReader(openai.read_chat, fields=openai.CHAT),
    "completions": UsageReader(openai.read_chat, fields=openai.CHAT),
    "responses": UsageReader(openai.read_responses, fees=openai_tools.count_tool_calls, fields=openai.RESPONSES),
    "embeddings": UsageReader(openai.read_embeddings, fields=openai.EMBEDDINGS),
    "realtime": UsageReader(openai_media.read_realtime, fields=openai_media.REALTIME),
    "images": UsageReader(openai_media.read_images, fees=openai_media.count_drawings, fields=openai_media.IMAGES),
    "transcription": UsageReader(openai_media.read_transcription, fields=openai_media.TRANSCRIPTION),
    "speech": UsageReader(openai_media.read_speech, fields=openai_media.SPEECH),
    "moderations": UsageReader(openai_media.read_moderation, found_at=()),
    "videos": UsageReader(openai_media.read_video, found_at=(), fields=Fields("seconds")),
    "fine_tuning": UsageReader(openai_media.read_fine_tuning, found_at=(), fields=Fields("trained_tokens")),
    "batch": _BATCH,
    "messages": UsageReader(anthropic.read_messages, input="exclusive", fields=anthropic.MESSAGES),
    "generate_content": UsageReader(
        google.read_generate_content,
        output="exclusive",
        found_at=("usage_metadata", "usageMetadata"),
        fees=google.count_grounding,
        fields=google.GENERATE,
    ),
    "cached_content": UsageReader(google.read_cached_content, found_at=(), fields=google.CACHED),
    "text_generation": UsageReader(compatible.read_text_generation, found_at=(), fields=compatible.GENERATED),
    "embed_content": UsageReader(google.read_embed_content, found_at=(), by_model=True, fields=google.EMBED),
    "converse": UsageReader(
        bedrock.read_converse,
        input="exclusive",
        found_at=(),
        fees=bedrock.count_guardrails,
        fields=bedrock.CONVERSE,
    ),
    "invoke_model": UsageReader(
        bedrock.read_invoke_model, input="exclusive", found_at=(), fees=bedrock.count_guardrails
    ),
    "rerank": UsageReader(cohere.read_rerank, found_at=(), fields=cohere.RERANK),
    "reported": UsageReader(reported.read_reported, fields=reported.REPORTED),
    "ocr": UsageReader(compatible.read_ocr, found_at=("usage_info", "usage"), fields=compatible.OCR),
}
"""Reader by API name, as `aicost price` and `aicost.price(api=...)` take it."""

_COHERE = UsageReader(_or_compatible(cohere.read_billed), found_at=(), fields=cohere.BILLED)
_GEMINI = UsageReader(compatible.read_gemini_chat, output="exclusive", fields=compatible.CHAT)
_OLLAMA = UsageReader(_or_compatible(ollama.read_ollama), found_at=(), fields=ollama.OLLAMA)
READERS_BY_PROVIDER: dict[tuple[str, str], UsageReader] = {
    ("cohere", "chat"): _COHERE,
    ("cohere", "embeddings"): _COHERE,
    ("gcp.gemini", "chat"): _GEMINI,
    ("gcp.vertex_ai", "chat"): _GEMINI,
    ("ollama", "chat"): _OLLAMA,
    ("ollama", "embeddings"): _OLLAMA,
    ("voyage", "embeddings"): UsageReader(voyage.read_voyage, fields=voyage.VOYAGE),
    ("anthropic", "batch"): _BATCH,
}
"""Readers of providers that answer under another's API name with counts of their own."""

_COMPATIBLE: dict[str, UsageReader] = {
    "chat": UsageReader(compatible.read_chat, fields=compatible.CHAT),
    "completions": UsageReader(compatible.read_chat, fields=compatible.CHAT),
    "responses": UsageReader(compatible.read_responses, fees=compatible.count_tool_calls, fields=compatible.RESPONSES),
    "embeddings": UsageReader(compatible.read_embeddings, fields=compatible.EMBEDDINGS),
    "batch": UsageReader(_batch_of("compatible"), found_at=(), inner=_in_batch),
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

_KINDS = {"message": "messages", "response": "responses", "chat.completion": "chat", "text_completion": "completions"}
"""What a whole response says it is, as its `type` or `object`."""

_USUAL = {("anthropic", "responses"): "messages", ("anthropic", "chat"): "chat"}
"""What fields that fit several APIs mean when a provider has only one of them."""


class ResponseView(NamedTuple):
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
    reading = read_answer(usage, api=api, provider=provider).reading
    return Reading({}, flags=("missing_count:usage",), complete=False) if reading is None else reading


def read_answer(
    answer: object, *, api: str | None = None, provider: str | None = None, model: str | None = None
) -> ResponseView:
    """What a whole response says about its cost, or its usage object alone: JSON, or the client's typed object.

    Raises `UsageError` as `read_usage` does.
    """
    raw = as_object(answer)
    reader = reader_of(api, provider) if api is not None else _guess(raw, provider)
    if reader.found_at and raw.keys().isdisjoint(reader.found_at):
        reading = with_stated_cost(reader.read(raw), raw)
        return ResponseView(reading, None, None, reading.service_tier)
    return _view(reader, raw, provider, model)


def reader_of(api: str, provider: str | None = None) -> UsageReader:
    """The reader of an API as a provider answers it. Raises `UsageError` for an API nobody here knows."""
    found = READERS.get(api)
    named = canonical_provider(provider or "openai")
    if named not in _OPENAI:
        found = READERS_BY_PROVIDER.get((named, api)) or _COMPATIBLE.get(api) or found
    if found is None:
        raise UsageError(f"no reader for api {api!r}; known: {', '.join(sorted(READERS))}")
    return found


def _guess(raw: Raw, provider: str | None) -> UsageReader:
    """The reader for an object, or for the usage inside it, by what it says it is or by its fields."""
    nested = next((found for name in _HOLDERS if (found := fields_of(raw.get(name))) is not None), raw)
    # A transcription and a realtime response differ in what they are, not in their fields.
    if nested.get("type") == "tokens":
        return reader_of("transcription", provider)
    said = next(
        (kind for name in ("type", "object") if isinstance(kind := raw.get(name), str) and kind in _KINDS), None
    )
    if said is not None and nested is not raw:
        return reader_of(_KINDS[said], provider)
    for telling, api, dialect in _TELLING:
        if not telling.isdisjoint(nested):
            return reader_of(_USUAL.get((canonical_provider(provider or ""), api), api), dialect or provider)
    raise UsageError(
        f"cannot tell which API this usage is of from its fields {sorted(map(str, nested))[:8]}; "
        f"pass api= one of {', '.join(sorted(READERS))}"
    )


def read_response(body: Raw, *, api: str, provider: str | None = None, model: str | None = None) -> ResponseView:
    """Everything a complete response of `api` says about its cost. `body` is JSON data; its usage may be typed.

    `model` is the one asked for, for responses that do not name theirs.
    """
    return _view(reader_of(api, provider), body, provider, model)


def _view(reader: UsageReader, body: Raw, provider: str | None, model: str | None) -> ResponseView:
    if reader.by_model and model is not None and body.get("model") is None:
        body = {**body, "model": model}
    holders = (body.get(name) for name in reader.found_at) if reader.found_at else (body,)
    usage = next((found for found in map(fields_of, holders) if found is not None), None)
    reading = None if usage is None else with_stated_cost(reader.read(usage), usage)
    if reading is not None and reader.fees is not None:
        reading = _with_fees(reading, reader.fees(body))
    tier = body.get("service_tier")
    if reader.inner is not None:
        body, tier = {"id": body.get("id"), **(reader.inner(body) or {})}, None
    served = normal_tier(tier, provider) if isinstance(tier, str) else None
    if reading is not None:
        served = served or normal_tier(reading.service_tier, provider)
        if served != reading.service_tier:
            reading = reading._replace(service_tier=served)
    return ResponseView(
        reading,
        _text(body.get("id") or body.get("responseId") or body.get("generation_id") or body.get("response_id")),
        _text(body.get("model") or body.get("modelVersion") or body.get("model_version")),
        served,
    )


def _with_fees(reading: Reading, fees: Reading) -> Reading:
    """What is billed beside the usage; where the usage counts it itself, that stands."""
    if not fees.usage and not fees.flags:
        return reading
    return reading._replace(
        usage={**reading.usage, **{meter: n for meter, n in fees.usage.items() if meter not in reading.usage}},
        flags=(*reading.flags, *fees.flags),
        complete=reading.complete and fees.complete,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


_HOLDERS = tuple(dict.fromkeys(name for reader in READERS.values() for name in reader.found_at))
