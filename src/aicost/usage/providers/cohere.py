"""Cohere. Also reranking by others, which is billed by searches or by tokens.

Read in cohere 7.3 (types/usage.py, types/api_meta.py): `billed_units` is what is billed, `tokens` is what the model saw
and is not. The counts are floats that are whole. Version 2 of the API has them under `usage`, version 1 under `meta`.
`cached_tokens` are of `tokens`, and no part of what is billed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading, fields_of
from aicost.usage.streams import StreamAccumulator

from . import _compatible as compatible

_BILLED = Fields(
    "input_tokens output_tokens text_tokens image_tokens images search_units classifications pages",
)
# What hit the cache is a part of what the model saw, and often more than what is billed, which is at one price.
BILLED = Fields(informs="tokens cached_tokens api_version warnings", billed_units=_BILLED)
RERANK = Fields("search_units total_tokens prompt_tokens input_tokens", informs="completion_tokens output_tokens")


def read_billed(raw: Raw) -> Reading:
    """Usage of chat, embed, classify and rerank."""
    holder = fields_of(raw.get("meta")) or fields_of(raw.get("usage")) or raw
    counts = Counts(holder)
    if not counts.has("billed_units"):
        counts.require("billed_units")
    billed = counts.inside("billed_units")
    images = billed.take("image_tokens")
    separate = billed.has("text_tokens")  # then the input is text and images, and `input_tokens` is both
    total = billed.take("input_tokens") or billed.take("text_tokens") + images
    usage: dict[str, Quantity] = {
        "input": counts.remainder(total, images if separate or images else 0, name="input_tokens"),
        "input_image": images,
        "output": billed.take("output_tokens"),
        "input_images": billed.take("images"),
        "search_units": billed.take("search_units"),
        "classifications": billed.take("classifications"),
        "pages": billed.take("pages"),
    }
    billed.finish(_BILLED)
    return Reading(counts.usage(usage), flags=counts.finish(BILLED), complete=counts.complete)


def read_rerank(raw: Raw) -> Reading:
    """Usage of a reranker: Cohere's search units, or the tokens that Voyage, Jina and others bill."""
    holder = fields_of(raw.get("usage")) or raw
    if "billed_units" in holder or "meta" in raw:
        return read_billed(raw)
    counts = Counts(holder)
    usage: dict[str, Quantity] = {
        "search_units": counts.take("search_units"),
        "input": counts.take_any("total_tokens", "prompt_tokens", "input_tokens"),
    }
    if not any(usage.values()):
        counts.require("total_tokens")
    return Reading(counts.usage(usage), flags=counts.finish(RERANK), complete=counts.complete)


class CohereStream(StreamAccumulator):
    """Cohere, v1 (`stream-end`) and v2 (`message-end`)."""

    markers = (b'"usage"', b'"billed_units"', b"stream-end", b"message-end", b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        kind = event.get("type") or event.get("event_type")
        self._learn(event, "id", "generation_id")
        delta = event.get("delta")
        whole = event.get("response")
        if kind == "message-end" and isinstance(delta, Mapping):
            self._learn(delta, "usage")
            self.complete = self.finished = isinstance(delta.get("usage"), Mapping)
            if delta.get("error"):
                self._fail(delta["error"])
        elif kind == "stream-end" and isinstance(whole, Mapping):
            self._learn(whole, "meta", "generation_id", "response_id")
            self.complete = self.finished = isinstance(whole.get("meta"), Mapping)
        elif event.get("error"):
            self._fail(event["error"])


_OWN = compatible.or_compatible(read_billed)
PROVIDERS = (
    Provider(
        "cohere",
        aliases=("cohere_chat", "cohere_ai"),
        hosts=("api.cohere.com", "api.cohere.ai"),
        models=r"command-|rerank-v|embed-v",
        apis={"rerank": UsageReader(read_rerank, found_at=(), fields=RERANK)},
        forms={
            "chat": UsageReader(
                _OWN,
                found_at=(),
                fields=BILLED,
                stream=CohereStream,
                told_by=frozenset({"billed_units", "meta"}),
            ),
            "embeddings": UsageReader(_OWN, found_at=(), fields=BILLED),
        },
    ),
)
