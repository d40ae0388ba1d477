"""Usage, read: of whichever API and provider, from a usage object or a whole response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from aicost._errors import UsageError

from . import reported
from .provider import Provider, UsageReader
from .providers import PROVIDERS, find_provider, google, normal_tier
from .providers import _compatible as compatible
from .reading import Raw, Reading, as_object, fields_of
from .stated import with_stated_cost
from .streams import StreamAccumulator


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


_OF_ALL: dict[str, UsageReader] = {
    "batch": UsageReader(_batch_of(None), found_at=(), inner=_in_batch, told_by=frozenset({"response", "result"})),
    "reported": UsageReader(reported.read_reported, fields=reported.REPORTED),
}
"""What is no one provider's: results of batches, in whichever form, and what frameworks and spans count."""
READERS: dict[str, UsageReader] = {**_OF_ALL, **{api: one for row in PROVIDERS for api, one in row.apis.items()}}
"""Reader by API name, as `aicost price` and `aicost.price(api=...)` take it."""
READERS_BY_PROVIDER: dict[tuple[str, str], UsageReader] = {
    (row.name, api): one for row in PROVIDERS for api, one in row.forms.items()
}
"""Readers of providers that answer under another's API name with counts of their own, by provider and API."""


def _readers_of(row: Provider | None) -> Mapping[str, UsageReader]:
    """Every API as one provider answers it, or as one does who has nothing of its own."""
    name = "compatible" if row is None else row.name
    batch = READERS["batch"] if row is not None and row.strict else replace(READERS["batch"], read=_batch_of(name))
    compatible_forms = {} if row is not None and row.strict else compatible.FORMS
    return {**READERS, "batch": batch, **compatible_forms, **({} if row is None else row.forms)}


_EVERYBODY = _readers_of(None)
_BY_PROVIDER = {row.name: _readers_of(row) for row in PROVIDERS if row.strict or row.apis or row.forms}

_FIT_MORE_THAN_ONE = ("generate_content", "chat", "messages", "realtime", "responses", "embeddings")
"""APIs of which some fields are others' as well: looked for after all that have fields of their own, in this order."""


def _telling() -> dict[str, tuple[int, str, str]]:
    """By field: how late to look for it, the API it tells, and whose form of that it is if only one provider has it."""
    rank = {api: n for n, api in enumerate(_FIT_MORE_THAN_ONE, 1)}
    found = {name: (rank.get(api, 0), api, "") for api, one in READERS.items() for name in one.told_by}
    return found | {
        name: (0, api, provider) for (provider, api), one in READERS_BY_PROVIDER.items() for name in one.told_by
    }


_TELLING = _telling()
_CALLED = {one.called: api for api, one in READERS.items() if one.called is not None}
"""API by what a whole response says it is."""


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
        served = normal_tier(reading.service_tier, provider)
        if served != reading.service_tier:
            reading = reading._replace(service_tier=served)
        return ResponseView(reading, None, None, served)
    return _view(reader, raw, provider, model)


def reader_of(api: str, provider: str | None = None) -> UsageReader:
    """The reader of an API as a provider answers it. Raises `UsageError` for an API nobody here knows."""
    row = find_provider(provider or "openai")
    found = (_EVERYBODY if row is None else _BY_PROVIDER.get(row.name, _EVERYBODY)).get(api)
    if found is None:
        raise UsageError(f"no reader for api {api!r}; known: {', '.join(sorted(READERS))}")
    return found


def stream_of(api: str, provider: str) -> type[StreamAccumulator] | None:
    """What collects the stream of an API as a provider sends it; None for what is not streamed."""
    found = READERS_BY_PROVIDER.get((provider, api))
    if found is None or found.stream is None:
        found = READERS.get(api)
    return None if found is None else found.stream


def _guess(raw: Raw, provider: str | None) -> UsageReader:
    """The reader for an object, or for the usage inside it, by what it says it is or by its fields."""
    nested = next((found for name in _HOLDERS if (found := fields_of(raw.get(name))) is not None), raw)
    # A transcription and a realtime response differ in what they are, not in their fields.
    if nested.get("type") == "tokens":
        return reader_of("transcription", provider)
    if nested is not raw:
        for name in ("type", "object"):
            said = raw.get(name)
            if isinstance(said, str) and said in _CALLED:
                return reader_of(_CALLED[said], provider)
    told = min((tells for name in nested if (tells := _TELLING.get(name)) is not None), default=None)
    if told is None:
        raise UsageError(
            f"cannot tell which API this usage is of from its fields {sorted(map(str, nested))[:8]}; "
            f"pass api= one of {', '.join(sorted(READERS))}"
        )
    _, api, form_of = told
    row = find_provider(provider)
    return reader_of(api if row is None else row.usual.get(api, api), form_of or provider)


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
