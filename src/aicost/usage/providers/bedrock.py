"""Amazon Bedrock: the Converse API, the bodies of InvokeModel, and its endpoint in OpenAI's and Anthropic's shapes.

Read in botocore 1.44 (bedrock-runtime service model: TokenUsage, CacheDetail, ConverseResponse,
ConverseStreamMetadataEvent, GuardrailUsage). Converse's `inputTokens` *excludes* cache reads and writes. InvokeModel
returns each family's own body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading, fields_of
from aicost.usage.streams import StreamAccumulator

from . import _compatible as compatible
from . import anthropic, cohere

_CACHE_DETAIL = Fields("ttl inputTokens")
CONVERSE = Fields(
    "inputTokens outputTokens totalTokens cacheReadInputTokens cacheWriteInputTokens cacheReadInputTokenCount "
    "cacheWriteInputTokenCount",
    cacheDetails=_CACHE_DETAIL,
)
_METRICS = Fields(
    "inputTokenCount outputTokenCount cacheReadInputTokenCount cacheWriteInputTokenCount",
    informs="invocationLatency firstByteLatency",
)
_HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
_TIER, _LATENCY = "x-amzn-bedrock-service-tier", "x-amzn-bedrock-performanceconfig-latency"
COUNT_HEADERS = (*_HEADERS, _TIER, _LATENCY)
"""Headers of an InvokeModel response that count what it used, or say how it was served."""
_STREAM_METRICS = "amazon-bedrock-invocationMetrics"
GUARDRAILS = {
    "contentPolicyUnits": "tool_guardrail_content",
    "contentPolicyImageUnits": "tool_guardrail_image",
    "topicPolicyUnits": "tool_guardrail_topic",
    "sensitiveInformationPolicyUnits": "tool_guardrail_pii",
    "contextualGroundingPolicyUnits": "tool_guardrail_grounding",
    "automatedReasoningPolicyUnits": "tool_guardrail_reasoning",
}
"""Policies of a guardrail that are billed by the unit; filters of words and of patterns are free."""


def read_converse(raw: Raw) -> Reading:
    """A Converse response, the metadata event of its stream, or its usage alone. Input excludes cache."""
    nested = fields_of(raw.get("usage"))
    counts = Counts(raw if nested is None else nested)
    fresh, answered = counts.require("inputTokens"), counts.require("outputTokens")
    read = counts.take_any("cacheReadInputTokens", "cacheReadInputTokenCount")
    total = "cacheWriteInputTokens" if counts.has("cacheWriteInputTokens") else "cacheWriteInputTokenCount"
    by_ttl: dict[str, int] = {}
    for item in counts.items("cacheDetails"):
        detail = counts.within("cacheDetails", item)
        ttl = detail.text("ttl") or "5m"
        by_ttl[ttl] = by_ttl.get(ttl, 0) + detail.take("inputTokens")
        detail.finish(_CACHE_DETAIL)
    written = counts.cache_writes(counts.take(total) if counts.has(total) else None, by_ttl)
    usage: dict[str, Quantity] = {
        "input": fresh,
        "input_cache_read": read,
        **written,
        "output": answered,
    }
    if counts.has("totalTokens") and counts.take("totalTokens") != fresh + read + sum(written.values()) + answered:
        counts.flag("total_tokens_mismatch")
    tier = Counts(raw).inside("serviceTier").text("type") if nested is not None else None
    latency = Counts(raw).inside("performanceConfig").text("latency") if nested is not None else None
    return Reading(
        counts.usage(usage),
        service_tier=_BEDROCK.tier(tier),
        speed=None if latency in {None, "standard"} else latency,
        flags=counts.finish(CONVERSE),
        complete=counts.complete,
    )


def count_guardrails(body: Raw) -> Reading:
    """Units of guardrail policies that the trace of a Converse or InvokeModel response reports."""
    counts = Counts(body)
    usage: dict[str, Quantity] = {}
    for trace in ("trace", "amazon-bedrock-trace"):
        guardrail = counts.inside(trace).inside("guardrail")
        # By guardrail id: one assessment of the input, several of the output.
        held = [guardrail.object(name) for name in ("inputAssessment", "outputAssessments", "input")]
        for found in (*held, *guardrail.items("outputs")):
            for assessments in (found or {}).values():
                for assessment in assessments if isinstance(assessments, list) else [assessments]:
                    used = Counts(assessment).inside("invocationMetrics").inside("usage")
                    for unit, meter in GUARDRAILS.items():
                        if count := used.take(unit):
                            usage[meter] = usage.get(meter, 0) + count
    return Reading(usage)


def read_invoke_model(body: Raw) -> Reading:
    """The body of an InvokeModel response, of whichever family; or the response's headers, or a stream's metrics.

    Anthropic, Amazon Nova and Titan, Meta Llama, Cohere, Mistral, DeepSeek, OpenAI and AI21 models are told apart by
    their fields. The headers (`x-amzn-bedrock-input-token-count`, ...), beside the body or where boto3 has them, serve
    for bodies that do not count everything.
    """
    boto = Counts(Counts(body).object("ResponseMetadata")).object("HTTPHeaders")
    headers = {str(name).lower(): value for name, value in {**(boto or {}), **body}.items()}
    counted = {ours: headers[name] for name, ours in _HEADERS.items() if name in headers}
    reading = _read_body(body)
    if counted and (reading is None or not reading.complete):
        odd = [flag for flag in (reading.flags if reading is not None else ()) if not flag.startswith("missing_count:")]
        reading = _read_metrics(counted)
        if odd:  # what a body says wrongly is no less odd for being known better
            lost = any(flag.startswith("invalid_") for flag in odd)
            reading = reading._replace(flags=(*odd, *reading.flags), complete=reading.complete and not lost)
    if reading is None:  # older models say nothing in their bodies, and only the headers count
        reading = Reading({}, flags=("missing_count:usage",), complete=False)
    tier, latency = headers.get(_TIER), headers.get(_LATENCY)
    return reading._replace(
        service_tier=_BEDROCK.tier(tier if isinstance(tier, str) else None) or reading.service_tier,
        speed=latency if isinstance(latency, str) and latency != "standard" else reading.speed,
    )


def _read_body(body: Raw) -> Reading | None:
    """What a body counts itself, by the fields of its family; None for one of which they say nothing."""
    usage = fields_of(body.get("usage"))
    if usage is not None:
        return _by_family(usage)
    metrics = fields_of(body.get(_STREAM_METRICS))
    if metrics is not None:
        return _read_metrics(metrics)
    if "meta" in body:
        return cohere.read_billed(body)
    counts = Counts(body)
    if "prompt_token_count" in body or "generation_token_count" in body:
        found = {"input": counts.require("prompt_token_count"), "output": counts.require("generation_token_count")}
        return Reading(counts.usage(found), flags=counts.finish(body.keys()), complete=counts.complete)
    return _read_titan(body) if "inputTextTokenCount" in body else None


def _read_titan(body: Raw) -> Reading:
    counts = Counts(body)
    found = {"input": counts.require("inputTextTokenCount")}
    found["output"] = sum(Counts(result).take("tokenCount") for result in counts.items("results"))
    return Reading(counts.usage(found), flags=counts.finish(body.keys()), complete=counts.complete)


def _by_family(usage: Raw) -> Reading:
    if "inputTokens" in usage:
        return read_converse(usage)
    if "prompt_tokens" in usage:
        return compatible.read_chat(usage)
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


class InvokeModelStream(anthropic.MessagesStream):
    """Bedrock's streams: a model's own events, and Bedrock's count in the last one, whichever the model.

    Its counts leave caches out, so an Anthropic model's own, which say more, are taken where they are there.
    """

    markers: tuple[bytes, ...] = (
        *anthropic.MessagesStream.markers,
        b"amazon-bedrock-invocationMetrics",
        b"amazon-bedrock-trace",
    )

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        super().add(event)
        self._learn(event, "amazon-bedrock-trace")
        counted = event.get("amazon-bedrock-invocationMetrics")
        if isinstance(counted, Mapping):
            if "usage" not in self.body:
                self.body["amazon-bedrock-invocationMetrics"] = counted
                self.complete = True
            self.finished = True
        elif event.get("type") == "message_stop":
            self.finished = False  # the count comes with it or after it


class ConverseStream(StreamAccumulator):
    """Bedrock converse: one `metadata` event at the end."""

    markers = (b'"metadata"', b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        if "error" in event:
            self._fail(event["error"])
        metadata = event.get("metadata")
        if isinstance(metadata, Mapping):
            self.body.update(metadata)
            self.complete = self.finished = True


# List prices are those of the first regions of the USA.
_LISTED = ("us_east_1", "us_east_2", "us_west_2")
_PROFILES = ("us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global.")
_BEDROCK = Provider(
    "aws.bedrock",
    aliases=("bedrock_converse", "amazon_bedrock", "amazonbedrock", "bedrockconverse", "anthropic_bedrock",
             "amazon_bedrock_anthropic"),
    loosely=("bedrock", "aws", "amazon"),
    hosts=("*.amazonaws.com", "*.amazonaws.com.cn", "*.api.aws"),
    no_regions=_LISTED,
    models=r"(?:[a-z-]+\.)?(?:anthropic|amazon|meta|mistral|cohere|deepseek|openai|qwen)\.",
    model_origins=(
        r"(?:(?:us|us-gov|eu|apac|jp|au|ca|global)\.)?"
        r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshotai?|nvidia|openai|qwen|stability|"
        r"twelvelabs|writer|xai|zai)\.(?=[a-z])"
    ),
    profiles=_PROFILES,
    response_headers={"x-amzn-requestid": "request_id"},
    cache_lives=True,
    apis={
        "converse": UsageReader(
            read_converse,
            input="exclusive",
            found_at=(),
            fees=count_guardrails,
            fields=CONVERSE,
            stream=ConverseStream,
            told_by=frozenset({"inputTokens", "outputTokens"}),
        ),
        "invoke_model": UsageReader(
            read_invoke_model,
            input="exclusive",
            found_at=(),
            fees=count_guardrails,
            stream=InvokeModelStream,
            told_by=frozenset({"generation_token_count", "inputTextTokenCount"}),
        ),
    },
)  # fmt: skip
_MANTLE = Provider(
    "bedrock_mantle",
    aliases=("openai_mantle", "anthropic_mantle", "bedrock_mantle_openai", "bedrock_mantle_anthropic"),
    loosely=("bedrock", "aws", "amazon", "aws_bedrock"),
    hosts=("bedrock-mantle.*.api.aws",),
    no_regions=_LISTED,
    profiles=_PROFILES,
    priced_with=("aws.bedrock",),
)
PROVIDERS = (_BEDROCK, _MANTLE)
