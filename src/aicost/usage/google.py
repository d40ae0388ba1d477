"""Gemini usage metadata -> disjoint meters, from the Gemini API and from Vertex AI.

Read in google-genai 3.4 (types.py: GenerateContentResponseUsageMetadata, UsageMetadata of the live API,
EmbedContentResponse, GroundingMetadata). The prompt count *includes* what was read from a cache; the candidates count
*excludes* thoughts; what tools put into the prompt is counted apart from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any

from .meters import Quantity
from .providers import normal_tier
from .reading import Counts, Raw, Reading, fields_of

_MODALITIES = {
    "TEXT": "",
    "MODALITY_UNSPECIFIED": "",
    "AUDIO": "_audio",
    "IMAGE": "_image",
    "VIDEO": "_video",
    "DOCUMENT": "_image",  # a page is billed as an image
}
_TIERS = {
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_OFFPEAK": "offpeak",
    "PROVISIONED_THROUGHPUT": "provisioned",
}
_KNOWN = {
    "prompt_token_count",
    "cached_content_token_count",
    "candidates_token_count",
    "response_token_count",
    "thoughts_token_count",
    "tool_use_prompt_token_count",
    "total_token_count",
    "prompt_tokens_details",
    "cache_tokens_details",
    "candidates_tokens_details",
    "response_tokens_details",
    "tool_use_prompt_tokens_details",
    "traffic_type",
    "service_tier",
}
_ONE_FEE_PER_PROMPT = re.compile(r"gemini-[12]\b")
"""Models that bill a grounded prompt once, however many searches it made (source: ai.google.dev/pricing)."""


def read_generate_content(raw: Raw) -> Reading:
    """Usage metadata of generate_content and of the live API. Input is inclusive of cache, output excludes thoughts."""
    counts = Counts(snake_case(raw))
    prompt, cached = counts.take("prompt_token_count"), counts.take("cached_content_token_count")
    tools, thoughts = counts.take("tool_use_prompt_token_count"), counts.take("thoughts_token_count")
    answered = counts.take_any("candidates_token_count", "response_token_count")
    if not counts.has("prompt_token_count") and not counts.has("total_token_count"):
        counts.require("prompt_token_count")  # zeros are left out, but not all of them at once
    fresh = _by_modality(counts, prompt, "prompt_tokens_details")
    for suffix, count in _by_modality(counts, tools, "tool_use_prompt_tokens_details").items():
        fresh[suffix] = fresh.get(suffix, 0) + count
    read = _by_modality(counts, cached, "cache_tokens_details")
    said = "candidates_tokens_details" if counts.has("candidates_tokens_details") else "response_tokens_details"
    usage: dict[str, Quantity] = {}
    for suffix, count in fresh.items():
        usage[f"input{suffix}"] = counts.remainder(count, read.get(suffix, 0), name=f"input{suffix}_tokens")
    usage |= {f"input_cache_read{suffix}": count for suffix, count in read.items()}
    usage |= {f"output{suffix}": count for suffix, count in _by_modality(counts, answered, said).items()}
    usage["output_reasoning"] = thoughts
    if counts.has("total_token_count") and counts.take("total_token_count") != prompt + tools + answered + thoughts:
        counts.flag("total_tokens_mismatch")
    traffic, tier = counts.text("traffic_type"), (counts.text("service_tier") or "").lower()
    served = _TIERS.get((traffic or "").upper()) or normal_tier(tier or None, "gcp.gemini")
    flags = counts.finish(_KNOWN)
    return Reading(counts.usage(usage), service_tier=served, flags=flags, complete=counts.complete)


def read_embed_content(body: Raw) -> Reading:
    """A whole embed_content response: tokens of each text, or the characters Vertex AI bills instead."""
    body = snake_case(body)
    usage = fields_of(body.get("usage_metadata"))
    if usage is not None:
        return read_generate_content(usage)
    counts = Counts(body)
    characters = Counts(snake_case(counts.object("metadata") or {})).take("billable_character_count")
    tokens, known = 0, False
    # Over Vertex AI's wire each is inside a prediction.
    inside = [found for item in counts.items("predictions") if (found := fields_of(item.get("embeddings"))) is not None]
    for embedding in [*counts.items("embeddings"), *inside]:
        statistics = Counts(snake_case(Counts(embedding).object("statistics") or {}))
        known = known or statistics.has("token_count")
        tokens += statistics.take("token_count")
    if not known and not characters:
        counts.require("usage_metadata")
    usage_by_meter = {"input_characters": characters} if characters else {"input": tokens}
    return Reading(counts.usage(usage_by_meter), flags=counts.finish(body.keys()), complete=counts.complete)


def count_grounding(body: Raw) -> Mapping[str, Quantity]:
    """Searches and map look-ups that grounded an answer: a fee for each query, or one a prompt for older models."""
    body = snake_case(body)
    searches = maps = images = 0
    for candidate in Counts(body).items("candidates"):
        grounding = snake_case(fields_of(snake_case(candidate).get("grounding_metadata")) or {})
        searches += _said(grounding.get("web_search_queries"))
        images += _said(grounding.get("image_search_queries"))
        chunks = Counts(grounding).items("grounding_chunks")
        maps += any(chunk.get("maps") is not None for chunk in chunks)
    if _ONE_FEE_PER_PROMPT.search(str(body.get("model_version") or "")):
        searches = min(searches, 1)
    fees: dict[str, Quantity] = {
        "tool_web_search": searches,
        "tool_image_search": images,
        "tool_maps_search": int(maps > 0),
    }
    return {meter: count for meter, count in fees.items() if count}


def snake_case(raw: Raw) -> dict[str, Any]:
    """The object with its names as the Python client has them; over the wire they are camelCase.

    >>> snake_case({"promptTokenCount": 3})
    {'prompt_token_count': 3}
    """
    return {
        re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: f"_{m[1].lower()}", str(name)): value for name, value in raw.items()
    }


def _by_modality(counts: Counts, total: int, name: str) -> dict[str, int]:
    """A count by meter suffix; what the details leave open is text."""
    parts: dict[str, int] = {}
    for item in counts.items(name):
        detail = Counts(snake_case(item))
        modality = (detail.text("modality") or "TEXT").upper()
        if modality not in _MODALITIES:
            counts.flag(f"unknown_field:{name}.{modality}")
        suffix = _MODALITIES.get(modality, "")
        if suffix:
            parts[suffix] = parts.get(suffix, 0) + detail.take("token_count")
    return {"": counts.remainder(total, *parts.values(), name=name.removesuffix("_details")), **parts}


def _said(queries: object) -> int:
    return sum(1 for query in queries if query) if isinstance(queries, (list, tuple)) else 0


def read_cached_content(raw: Raw) -> Reading:
    """A cache that was made: its tokens, read once, and kept until it expires (google-genai 3.4, CachedContent).

    One that is deleted or prolonged before that costs less or more than what is known when it is made.
    """
    counts = Counts(raw)
    metadata = counts.inside("usageMetadata")
    tokens = metadata.require("totalTokenCount")
    hours = _hours_between(raw.get("createTime"), raw.get("expireTime"))
    usage: dict[str, Quantity] = {"input": tokens}
    if hours is not None:
        usage["cache_storage_token_hours"] = tokens * hours
    return Reading(counts.usage(usage), complete=counts.complete and hours is not None)


def _hours_between(start: object, end: object) -> Decimal | None:
    if not isinstance(start, str) or not isinstance(end, str):
        return None
    try:
        first, last = (datetime.fromisoformat(_WHOLE_SECONDS.sub("", t).replace("Z", "+00:00")) for t in (start, end))
    except ValueError:
        return None
    seconds = int((last - first).total_seconds())
    # Exact to the second; an hour's fraction need not be a decimal, so it is rounded up to a billionth of an hour.
    return (Decimal(seconds) / 3600).quantize(Decimal("1e-9"), ROUND_UP) if seconds >= 0 else None


_WHOLE_SECONDS = re.compile(r"\.\d+")
