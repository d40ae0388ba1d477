"""Google: Gemini's usage metadata, from the Gemini API and from Vertex AI.

Read in google-genai 3.6 (types.py: GenerateContentResponseUsageMetadata, UsageMetadata of the live API,
EmbedContentResponse, GroundingMetadata). The prompt count *includes* what was read from a cache; the candidates count
*excludes* thoughts; what tools put into the prompt is counted apart from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading, fields_of, snake_case
from aicost.usage.streams import StreamAccumulator

from . import _compatible as compatible

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
_MODALITY = Fields("modality token_count")
GENERATE = Fields(
    "prompt_token_count cached_content_token_count candidates_token_count response_token_count thoughts_token_count "
    "tool_use_prompt_token_count total_token_count traffic_type service_tier",
    prompt_tokens_details=_MODALITY,
    prompt_token_details=_MODALITY,  # so called by embeddings
    cache_tokens_details=_MODALITY,
    candidates_tokens_details=_MODALITY,
    response_tokens_details=_MODALITY,
    tool_use_prompt_tokens_details=_MODALITY,
)
_STATISTICS = Fields("token_count", informs="truncated tokens_details")
EMBED = Fields(
    "token_count",
    metadata=Fields("billable_character_count"),
    embeddings=Fields(statistics=_STATISTICS),
    predictions=Fields(embeddings=Fields(statistics=_STATISTICS)),
)
"""Of a response without usage metadata."""
CACHED = Fields("createTime expireTime", usageMetadata=Fields("totalTokenCount"))
_ONE_FEE_PER_PROMPT = re.compile(r"gemini-[12]\b")
"""Models that bill a grounded prompt once, however many searches it made (source: ai.google.dev/pricing)."""
_BY_CHARACTER = re.compile(r"^$|text-(?:multilingual-)?embedding|textembedding")
"""Embedding models that bill characters where both are counted (source: cloud.google.com/vertex-ai/pricing)."""


def read_generate_content(raw: Raw) -> Reading:
    """Usage metadata of generate_content and of the live API. Input is inclusive of cache, output excludes thoughts."""
    counts = Counts(snake_case(raw))
    prompt, cached = counts.take("prompt_token_count"), counts.take("cached_content_token_count")
    tools, thoughts = counts.take("tool_use_prompt_token_count"), counts.take("thoughts_token_count")
    answered = counts.take_any("candidates_token_count", "response_token_count")
    if not counts.has("prompt_token_count") and not counts.has("total_token_count"):
        counts.require("prompt_token_count")  # zeros are left out, but not all of them at once
    asked = "prompt_tokens_details" if counts.has("prompt_tokens_details") else "prompt_token_details"
    fresh = _by_modality(counts, prompt, asked)
    for suffix, count in _by_modality(counts, tools, "tool_use_prompt_tokens_details").items():
        fresh[suffix] = fresh.get(suffix, 0) + count
    read = _by_modality(counts, cached, "cache_tokens_details")
    said = "candidates_tokens_details" if counts.has("candidates_tokens_details") else "response_tokens_details"
    usage: dict[str, Quantity] = {}
    # What was read of a kind that the prompt does not tell apart is in the rest of the prompt.
    read_of_rest = sum(count for suffix, count in read.items() if suffix not in fresh or not suffix)
    for suffix, count in fresh.items():
        cached_of_it = read.get(suffix, 0) if suffix else read_of_rest
        usage[f"input{suffix}"] = counts.remainder(count, cached_of_it, name=f"input{suffix}_tokens")
    usage |= {f"input_cache_read{suffix}": count for suffix, count in read.items()}
    usage |= {f"output{suffix}": count for suffix, count in _by_modality(counts, answered, said).items()}
    usage["output_reasoning"] = thoughts
    # The live API leaves thoughts or what tools put in out of the total of some turns.
    sums = {prompt + answered + more for more in (tools + thoughts, tools, thoughts, 0)}
    if counts.has("total_token_count") and counts.take("total_token_count") not in sums:
        counts.flag("total_tokens_mismatch")
    traffic, tier = counts.text("traffic_type"), (counts.text("service_tier") or "").lower()
    served = _TIERS.get((traffic or "").upper()) or _GEMINI.tier(tier or None)
    flags = counts.finish(GENERATE)
    return Reading(counts.usage(usage), service_tier=served, flags=flags, complete=counts.complete)


def read_embed_content(body: Raw) -> Reading:
    """A whole embed_content response: tokens of each text, or the characters Vertex AI bills instead."""
    body = snake_case(body)
    usage = fields_of(body.get("usage_metadata"))
    if usage is not None:
        return read_generate_content(usage)
    counts = Counts(body)
    characters = Counts(snake_case(counts.object("metadata") or {})).take("billable_character_count")
    tokens, known = counts.take("token_count"), counts.has("token_count")  # of a batch's line
    # Over Vertex AI's wire each is inside a prediction.
    inside = [found for item in counts.items("predictions") if (found := fields_of(item.get("embeddings"))) is not None]
    for embedding in [*counts.items("embeddings"), *inside]:
        statistics = Counts(snake_case(Counts(embedding).object("statistics") or {}))
        known = known or statistics.has("token_count")
        tokens += statistics.take("token_count")
    if not known and not characters:
        counts.require("usage_metadata")
    by_character = characters and (not known or _BY_CHARACTER.search(str(body.get("model") or "")))
    usage_by_meter = {"input_characters": characters} if by_character else {"input": tokens}
    return Reading(counts.usage(usage_by_meter), flags=counts.finish(body.keys()), complete=counts.complete)


def count_grounding(body: Raw) -> Reading:
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
    return Reading({meter: count for meter, count in fees.items() if count})


def _by_modality(counts: Counts, total: int, name: str) -> dict[str, int]:
    """A count by meter suffix; what the details leave open is text."""
    parts: dict[str, int] = {}
    for item in counts.items(name):
        detail = Counts(snake_case(item))
        modality = (detail.text("modality") or "TEXT").upper()
        if modality not in _MODALITIES:
            counts.flag(f"unknown_field:{name}.{modality}")
            continue
        suffix = _MODALITIES[modality]
        parts[suffix] = parts.get(suffix, 0) + detail.take("token_count")
    text = parts.pop("", 0)
    rest = counts.remainder(total, *parts.values(), name=name.removesuffix("_details"))
    if text and rest > text:
        counts.flag(f"assumed_modality:{name}.TEXT")
    return {"": rest, **parts}


def _said(queries: object) -> int:
    return sum(1 for query in queries if query) if isinstance(queries, (list, tuple)) else 0


def read_cached_content(raw: Raw) -> Reading:
    """A cache that was made: its tokens, read once, and kept until it expires (google-genai 3.6, CachedContent).

    One that is deleted or prolonged before that costs less or more than what is known when it is made.
    """
    counts = Counts(raw)
    metadata = counts.inside("usageMetadata")
    tokens = metadata.require("totalTokenCount")
    hours = _hours_between(raw.get("createTime"), raw.get("expireTime"))
    usage: dict[str, Quantity] = {"input": tokens}
    if hours is not None:
        usage["cache_storage_token_hours"] = tokens * hours
    return Reading(counts.usage(usage), flags=counts.finish(raw.keys()), complete=counts.complete and hours is not None)


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


def read_compatible_chat(raw: Raw) -> Reading:
    """Gemini's compatible endpoint: thinking may be in the total and nowhere else, and is billed as output."""
    counts = Counts(raw)
    hidden = counts.take("total_tokens") - counts.take("prompt_tokens") - counts.take("completion_tokens")
    if hidden <= 0 or counts.inside("completion_tokens_details").take("reasoning_tokens"):
        return compatible.read_chat(raw)
    return compatible.read_chat({**raw, "completion_tokens_details": {"reasoning_tokens": hidden}})


class GenerateContentStream(StreamAccumulator):
    """Gemini: every chunk has the usage so far; the last one is the whole."""

    markers = (b"usageMetadata", b'"error"')
    latest_only = True

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded chunk."""
        if event.get("error"):
            self._fail(event["error"])
        self._learn(event, "responseId", "modelVersion", "usageMetadata")
        candidates = event.get("candidates")
        if isinstance(candidates, list):
            self._learn(event, "candidates")
            ended = any(isinstance(c, Mapping) and c.get("finishReason") for c in candidates)
            self.complete = ended and isinstance(event.get("usageMetadata"), Mapping)
        elif isinstance(event.get("promptFeedback"), Mapping):
            self.complete = isinstance(event.get("usageMetadata"), Mapping)


_LOOSELY = ("google", "gcp_gen_ai", "gcp_vertex_agent", "google_genai", "googlegenai", "genai", "gcp",
            "google_generative_ai", "googlegenerativeai")  # fmt: skip
_DEFAULT_TIERS = ("on_demand", "unspecified", "traffic_type_unspecified")
_FORMS = {"chat": UsageReader(read_compatible_chat, output="exclusive", fields=compatible.CHAT)}
_GEMINI = Provider(
    "gcp.gemini",
    aliases=("gemini", "google_gla", "google_ai", "googleai", "google_ai_studio", "generativelanguage"),
    loosely=_LOOSELY,
    hosts=("generativelanguage.googleapis.com",),
    default_tiers=_DEFAULT_TIERS,
    models=r"gemini-",
    request_headers={"x-goog-api-key": "key", "x-goog-user-project": "project"},
    apis={
        "generate_content": UsageReader(
            read_generate_content,
            output="exclusive",
            found_at=("usage_metadata", "usageMetadata"),
            fees=count_grounding,
            fields=GENERATE,
            stream=GenerateContentStream,
            told_by=frozenset({"prompt_token_count", "promptTokenCount", "total_token_count", "totalTokenCount"}),
        ),
        "embed_content": UsageReader(read_embed_content, found_at=(), by_model=True, fields=EMBED),
        "cached_content": UsageReader(read_cached_content, found_at=(), fields=CACHED),
    },
    forms=_FORMS,
)
_VERTEX_AI = Provider(
    "gcp.vertex_ai",
    aliases=("vertex", "vertex_ai", "vertexai", "google_vertex", "google_vertexai", "google_vertex_ai",
             "googlevertexai", "gcp_vertex", "google_cloud", "google_anthropic_vertex", "vertex_anthropic",
             "google_vertex_anthropic"),
    loosely=_LOOSELY,
    begin=("vertex_ai_",),
    hosts=("aiplatform.googleapis.com", "*-aiplatform.googleapis.com", "aiplatform.*.rep.googleapis.com"),
    default_tiers=_DEFAULT_TIERS,
    cache_lives=True,
    forms=_FORMS,
)  # fmt: skip
PROVIDERS = (_GEMINI, _VERTEX_AI)
