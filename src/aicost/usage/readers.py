"""The table of readers: which API's usage is read how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from aicost._errors import UsageError

from . import anthropic, openai
from .meters import Quantity
from .reading import Raw, Reading, as_object, fields_of

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
    """The names under which a whole response may hold the usage; empty when the response itself is read."""
    fees: Callable[[Raw], Mapping[str, Quantity]] | None = None
    """What a response bills beside its usage: tool calls, searches."""


READERS: dict[str, Reader] = {
    "chat": Reader(openai.read_chat),
    "responses": Reader(openai.read_responses, fees=openai.count_tool_calls),
    "embeddings": Reader(openai.read_embeddings),
    "messages": Reader(anthropic.read_messages, input="exclusive"),
}
"""Reader by API name, as `aicost price` and `aicost.price(api=...)` take it."""

DIALECTS: dict[tuple[str, str], Reader] = {}
"""Readers of providers that answer under another's API name with counts of their own meaning."""

_TELLING: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"prompt_tokens", "completion_tokens"}), "chat"),
    (
        frozenset({"cache_creation", "cache_creation_input_tokens", "cache_read_input_tokens", "server_tool_use"}),
        "messages",
    ),
    (frozenset({"input_tokens", "output_tokens"}), "responses"),
)
"""Fields that tell an API, the most telling first."""

_USUAL = {("anthropic", "responses"): "messages"}
"""What fields that fit several APIs mean when a provider has only one of them."""

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

    Without `api` the API is guessed from the field names and the provider. A whole response is taken too: its usage is
    read, and what it bills beside that. Raises `UsageError` when the object is no object or the API is unknown.

    >>> read_usage({"prompt_tokens": 10, "completion_tokens": 2}).usage
    {'input': 10, 'output': 2}
    """
    raw = as_object(usage)
    reader = reader_of(api, provider) if api is not None else None
    for name in _HOLDERS if reader is None else reader.found_at:
        inner = raw.get(name)
        if inner is not None:
            nested = fields_of(inner)
            if nested is not None:
                reader = reader or reader_of(guess_api(nested, provider), provider)
                return _with_fees(reader, raw, reader.read(nested))
    return (reader or reader_of(guess_api(raw, provider), provider)).read(raw)


def reader_of(api: str, provider: str | None = None) -> Reader:
    """The reader of an API as a provider answers it. Raises `UsageError` for an API nobody here knows."""
    found = DIALECTS.get((provider, api)) if provider is not None else None
    found = found or READERS.get(api)
    if found is None:
        raise UsageError(f"no reader for api {api!r}; known: {', '.join(sorted(READERS))}")
    return found


def guess_api(raw: Raw, provider: str | None = None) -> str:
    """The API a usage object came from. Raises `UsageError` when its fields fit none that is known."""
    for telling, api in _TELLING:
        if not telling.isdisjoint(raw):
            return _USUAL.get((provider or "", api), api)
    raise UsageError(
        f"cannot tell which API this usage is of from its fields {sorted(map(str, raw))[:8]}; "
        f"pass api= one of {', '.join(sorted(READERS))}"
    )


def read_response(body: Raw, *, api: str, provider: str | None = None) -> ResponseView:
    """Everything a complete response of `api` says about its cost. `body` is JSON data; its usage may be typed."""
    reader = reader_of(api, provider)
    holders = (body.get(name) for name in reader.found_at) if reader.found_at else (body,)
    usage = next((found for found in map(fields_of, holders) if found is not None), None)
    reading = None if usage is None else _with_fees(reader, body, reader.read(usage))
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


def _with_fees(reader: Reader, body: Raw, reading: Reading) -> Reading:
    fees = reader.fees(body) if reader.fees is not None else None
    return reading._replace(usage={**reading.usage, **fees}) if fees else reading


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


_HOLDERS = tuple(dict.fromkeys(name for reader in READERS.values() for name in reader.found_at))
