"""Amazon Bedrock responses -> disjoint meters: the Converse API, and the bodies of InvokeModel.

Read in botocore 1.44 (bedrock-runtime service model: TokenUsage, CacheDetail, ConverseResponse,
ConverseStreamMetadataEvent, GuardrailUsage). Converse's `inputTokens` *excludes* cache reads and writes. InvokeModel
returns each family's own body.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import anthropic, cohere, openai
from .meters import Quantity
from .providers import normal_tier
from .reading import Counts, Raw, Reading, fields_of

_CONVERSE = {
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "cacheDetails",
    "cacheReadInputTokenCount",
    "cacheWriteInputTokenCount",
}
_METRICS = {
    "inputTokenCount",
    "outputTokenCount",
    "cacheReadInputTokenCount",
    "cacheWriteInputTokenCount",
    "invocationLatency",
    "firstByteLatency",
}
_HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
_STREAM_METRICS = "amazon-bedrock-invocationMetrics"
_GUARDRAIL_UNITS = (
    "topicPolicyUnits",
    "contentPolicyUnits",
    "wordPolicyUnits",
    "sensitiveInformationPolicyUnits",
    "contextualGroundingPolicyUnits",
    "contentPolicyImageUnits",
    "automatedReasoningPolicyUnits",
)


def read_converse(raw: Raw) -> Reading:
    """A Converse response, the metadata event of its stream, or its usage alone. Input excludes cache."""
    nested = fields_of(raw.get("usage"))
    counts = Counts(raw if nested is None else nested)
    fresh, answered = counts.require("inputTokens"), counts.require("outputTokens")
    read = counts.take_any("cacheReadInputTokens", "cacheReadInputTokenCount")
    written = counts.take_any("cacheWriteInputTokens", "cacheWriteInputTokenCount")
    by_ttl: dict[str, int] = {}
    for item in counts.items("cacheDetails"):
        detail = Counts(item)
        ttl = detail.text("ttl") or "5m"
        by_ttl[ttl] = by_ttl.get(ttl, 0) + detail.take("inputTokens")
    usage: dict[str, Quantity] = {
        "input": fresh,
        "input_cache_read": read,
        "input_cache_write": counts.remainder(written, *by_ttl.values(), name="cache_write_tokens"),
        "output": answered,
    }
    usage |= {f"input_cache_write_{ttl}": count for ttl, count in by_ttl.items()}
    if counts.has("totalTokens") and counts.take("totalTokens") != fresh + read + written + answered:
        counts.flag("total_tokens_mismatch")
    tier = Counts(raw).inside("serviceTier").text("type") if nested is not None else None
    latency = Counts(raw).inside("performanceConfig").text("latency") if nested is not None else None
    return Reading(
        counts.usage(usage),
        service_tier=normal_tier(tier, "aws.bedrock"),
        speed=None if latency in {None, "standard"} else latency,
        flags=counts.finish(_CONVERSE),
        complete=counts.complete,
    )


def count_guardrails(body: Raw) -> Mapping[str, Quantity]:
    """Units of guardrail policies that a Converse response's trace reports."""
    guardrail = Counts(body).inside("trace").inside("guardrail")
    units = 0
    for name in ("inputAssessment", "outputAssessments"):
        # By guardrail id: one assessment of the input, several of the output.
        for found in (guardrail.object(name) or {}).values():
            for assessment in found if isinstance(found, list) else [found]:
                used = Counts(assessment).inside("invocationMetrics").inside("usage")
                units += sum(used.take(unit) for unit in _GUARDRAIL_UNITS)
    return {"tool_guardrail": units} if units else {}


def read_invoke_model(body: Raw) -> Reading:
    """The body of an InvokeModel response, of whichever family; or the response's headers, or a stream's metrics.

    Anthropic, Amazon Nova and Titan, Meta Llama, Cohere, Mistral, DeepSeek, OpenAI and AI21 models are told apart by
    their fields. The headers (`x-amzn-bedrock-input-token-count`, ...) serve for bodies without counts.
    """
    usage = fields_of(body.get("usage"))
    if usage is not None:
        return _by_family(usage)
    metrics = fields_of(body.get(_STREAM_METRICS))
    if metrics is not None:
        return _read_metrics(metrics)
    headers = {_HEADERS[str(name).lower()]: _whole(v) for name, v in body.items() if str(name).lower() in _HEADERS}
    if headers:
        return _read_metrics(headers)
    if "meta" in body:
        return cohere.read_billed(body)
    counts = Counts(body)
    if "prompt_token_count" in body or "generation_token_count" in body:
        found = {"input": counts.require("prompt_token_count"), "output": counts.require("generation_token_count")}
        return Reading(counts.usage(found), flags=counts.finish(body.keys()), complete=counts.complete)
    found = {"input": counts.require("inputTextTokenCount")}
    found["output"] = sum(Counts(result).take("tokenCount") for result in counts.items("results"))
    return Reading(counts.usage(found), flags=counts.finish(body.keys()), complete=counts.complete)


def _by_family(usage: Raw) -> Reading:
    if "inputTokens" in usage:
        return read_converse(usage)
    if "prompt_tokens" in usage:
        return openai.read_chat(usage)
    return anthropic.read_messages(usage)


def _read_metrics(raw: Raw) -> Reading:
    counts = Counts(raw)
    usage: dict[str, Quantity] = {
        "input": counts.require("inputTokenCount"),
        "input_cache_read": counts.take("cacheReadInputTokenCount"),
        "input_cache_write": counts.take("cacheWriteInputTokenCount"),
        "output": counts.take("outputTokenCount"),
    }
    return Reading(counts.usage(usage), flags=counts.finish(_METRICS), complete=counts.complete)


def _whole(value: object) -> object:
    """A count from a header, which is text."""
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else value
