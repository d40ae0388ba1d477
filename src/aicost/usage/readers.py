"""The table of readers: which API's usage is read how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aicost._errors import UsageError

from . import anthropic, openai
from .meters import Quantity
from .reading import Raw, Reading, as_object, fields_of

Reader = Callable[[Raw], Reading]

READERS: dict[str, Reader] = {
    "chat": openai.read_chat,
    "responses": openai.read_responses,
    "embeddings": openai.read_embeddings,
    "messages": anthropic.read_messages,
}
"""Reader by API name, as `aicost price` and `aicost.price(api=...)` take it."""

_DEFAULT_TIERS = {"default", "standard", "auto"}


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

    Without `api` the API is guessed from the provider and the field names. A whole response is taken too: its
    `usage` is read. Raises `UsageError` when the object is no object or the API is unknown.

    >>> read_usage({"prompt_tokens": 10, "completion_tokens": 2}).usage
    {'input': 10, 'output': 2}
    """
    raw = as_object(usage)
    nested = raw.get("usage")
    if nested is not None:
        raw = fields_of(nested) or raw
    return _reader(api or guess_api(raw, provider))(raw)


def guess_api(raw: Raw, provider: str | None = None) -> str:
    """The API a usage object came from. Raises `UsageError` when its fields fit none that is known."""
    if "prompt_tokens" in raw:
        return "chat"
    if "input_tokens" in raw or "output_tokens" in raw:
        anthropic_only = {
            "cache_creation",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "server_tool_use",
        }
        return "messages" if provider == "anthropic" or anthropic_only & raw.keys() else "responses"
    raise UsageError(
        f"cannot tell which API this usage is of from its fields {sorted(raw)[:8]}; "
        f"pass api= one of {', '.join(sorted(READERS))}"
    )


def read_response(body: Raw, *, api: str) -> ResponseView:
    """Everything a complete response of `api` says about its cost. `body` is JSON data; its usage may be typed."""
    usage = fields_of(body.get("usage"))
    reading = None if usage is None else _reader(api)(usage)
    if reading is not None and api == "responses":
        reading = _with_tools(reading, openai.count_tool_calls(body.get("output")))
    tier = body.get("service_tier")
    return ResponseView(
        reading=reading,
        response_id=_text(body.get("id")),
        model=_text(body.get("model")),
        service_tier=normal_tier(tier) if isinstance(tier, str) else (reading.service_tier if reading else None),
    )


def normal_tier(tier: str | None) -> str | None:
    """A provider's word for a service tier; None for its default one. OpenAI serves `fast` as `priority`."""
    if tier is None or tier in _DEFAULT_TIERS:
        return None
    return "priority" if tier == "fast" else tier


def _reader(api: str) -> Reader:
    try:
        return READERS[api]
    except KeyError:
        raise UsageError(f"no reader for api {api!r}; known: {', '.join(sorted(READERS))}") from None


def _with_tools(reading: Reading, tools: Mapping[str, Quantity]) -> Reading:
    if not tools:
        return reading
    return Reading(
        {**reading.usage, **tools},
        reading.service_tier,
        reading.region,
        reading.speed,
        reading.flags,
        reading.complete,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
