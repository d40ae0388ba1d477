"""Every field that a reader knows is used, or stated to be for information only; what it does not know is flagged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aicost.usage.readers import READERS, READERS_BY_PROVIDER, UsageReader, reader_of
from aicost.usage.reading import Fields

# Of readers with fields of their own: a body that has every total, and objects in the form that they come in.
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"prompt_tokens": 5000, "completion_tokens": 5000},
    "completions": {"prompt_tokens": 5000, "completion_tokens": 5000},
    "responses": {"input_tokens": 5000, "output_tokens": 5000},
    "embeddings": {"prompt_tokens": 5000},
    "realtime": {
        "input_tokens": 5000,
        "output_tokens": 5000,
        "input_token_details": {"audio_tokens": 900, "image_tokens": 900, "cached_tokens": 900},
    },
    "images": {
        "input_tokens": 5000,
        "output_tokens": 5000,
        "cached_tokens": 900,
        "input_tokens_details": {"image_tokens": 900},
    },
    "transcription": {"input_tokens": 5000, "output_tokens": 5000},
    "speech": {"input_tokens": 5000, "output_tokens": 5000},
    "messages": {"input_tokens": 5000, "output_tokens": 5000},
    "generate_content": {"prompt_token_count": 5000, "candidates_token_count": 5000, "cached_content_token_count": 900},
    "cached_content": {
        "createTime": "2026-11-01T00:00:00Z",
        "expireTime": "2026-11-01T02:00:00Z",
        "usageMetadata": {"totalTokenCount": 5000},
    },
    "converse": {"inputTokens": 5000, "outputTokens": 5000},
    "reported": {"input_tokens": 5000, "output_tokens": 5000},
    "ocr": {"pages_processed": 5000},
}
SETS: dict[str, Any] = {
    "service_tier": "priority",
    "inference_geo": "us",
    "speed": "fast",
    "traffic_type": "ON_DEMAND_FLEX",
    "search_context_size": "low",
    "server_side_tools_used": ["SERVER_SIDE_TOOL_X_SEARCH"],
    "createTime": "2026-11-01T01:00:00Z",
    "expireTime": "2026-11-01T01:00:00Z",
    "seconds": 7,
}
"""What sets a field that is no count."""
MODALITY = {"modality": "IMAGE", "token_count": 70}
LISTS: dict[str, dict[str, dict[str, Any]]] = {
    "messages": {"iterations": {"type": "compaction", "input_tokens": 70, "output_tokens": 70}},
    "converse": {"cacheDetails": {"ttl": "5m", "inputTokens": 70}},
    "embed_content": {"embeddings": {}, "predictions": {}},
    "generate_content": {
        f"{which}_details": MODALITY
        for which in (
            "prompt_tokens",
            "prompt_token",
            "cache_tokens",
            "candidates_tokens",
            "response_tokens",
            "tool_use_prompt_tokens",
        )
    },
}
"""By API, an item of the fields that are lists of objects."""
IN_ITEMS: dict[str, Any] = {"type": "advisor_message", "model": "claude-opus-5", "ttl": "1h", "modality": "AUDIO"}
NEEDS: dict[tuple[str, str], dict[str, Any]] = {
    ("generate_content", "response_token_count"): {"candidates_token_count": None},
    ("generate_content", "response_tokens_details"): {"candidates_token_count": None, "response_token_count": 500},
    ("generate_content", "tool_use_prompt_tokens_details"): {"tool_use_prompt_token_count": 500},
    ("images", "input_tokens_details"): {"cached_tokens": None},
    ("chat", "connector_tokens"): {"total_tokens": 10_777},
    ("responses", "connector_tokens"): {"total_tokens": 10_777},
    ("embeddings", "input_tokens"): {"prompt_tokens": None},
    ("embeddings", "completion_tokens"): {"total_tokens": 5777},
}
"""By API and field, what else must be there, or not, for the field to say anything."""
Path = tuple[str, ...]


def leaves(fields: Fields, path: Path = ()) -> Iterator[tuple[Path, bool]]:
    """Every field without fields inside, and whether it is to be used."""
    for name in sorted(fields.counted | fields.informs):
        yield (*path, name), name in fields.counted
    for name, inside in fields.inside.items():
        yield from leaves(inside, (*path, name))


def placed(body: dict[str, Any], path: Path, value: Any, items: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A copy of a body that has a value at a path; where that leads into a list, in its one item."""
    first, *rest = path
    if not rest:
        return {**body, first: value}
    if first in items:
        return {**body, first: [placed(items[first], tuple(rest), value, {})]}
    return {**body, first: placed(body.get(first) or {}, tuple(rest), value, {})}


def base_of(provider: str | None, api: str, field: str = "") -> dict[str, Any]:
    own = {} if provider in {"cohere", "ollama", "voyage"} else BODIES.get(api, {})
    return {**own, **NEEDS.get((api, field), {})}


EVERY = [
    (provider, api, path, used)
    for (provider, api), reader in [
        *(((None, api), reader) for api, reader in READERS.items()),
        *READERS_BY_PROVIDER.items(),
        *((("groq", api), reader_of(api, "groq")) for api in ("chat", "responses", "embeddings")),
    ]
    if reader.fields is not None
    for path, used in leaves(reader.fields)
]


@pytest.mark.parametrize(
    ("provider", "api", "path", "used"),
    EVERY,
    ids=[f"{provider or 'any'}-{api}-{'.'.join(path)}" for provider, api, path, _ in EVERY],
)
def test_every_known_field_is_used_or_only_informs(provider: str | None, api: str, path: Path, used: bool) -> None:
    read = reader_of(api, provider).read
    base, items = base_of(provider, api, path[0]), LISTS.get(api, {})
    if path == ("iterations", "model"):
        items = {"iterations": {**items["iterations"], "type": "advisor_message"}}
    value = IN_ITEMS[path[-1]] if path[0] in items and path[-1] in IN_ITEMS else SETS.get(path[-1], 777)
    with_it, bare = read(placed(base, path, value, items)), read(placed(base, path, None, items))
    assert f"unknown_field:{'.'.join(path)}" not in with_it.flags
    assert (with_it != bare) == used


READS_BODIES = {"videos", "fine_tuning", "cached_content", "text_generation", "embed_content", "ollama"}
"""Readers of whole responses, which hold all that was said as well."""


def objects(fields: Fields, path: Path = ()) -> Iterator[Path]:
    yield path
    for name, inside in fields.inside.items():
        yield from objects(inside, (*path, name))


@pytest.mark.parametrize(
    ("provider", "api"), sorted({(p, a) for p, a, *_ in EVERY if not {p, a} & READS_BODIES}, key=str), ids=str
)
def test_a_field_of_tomorrow_is_flagged_wherever_it_is(provider: str | None, api: str) -> None:
    reader: UsageReader = reader_of(api, provider)
    assert reader.fields is not None
    for path in objects(reader.fields):
        if not (api == "generate_content" and path):  # of a modality, only its name and count are looked at
            reading = reader.read(placed(base_of(provider, api), (*path, "dream_tokens"), 777, LISTS.get(api, {})))
            assert any(flag.endswith("dream_tokens") for flag in reading.flags), path
