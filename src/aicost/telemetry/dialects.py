"""What spans of other instrumentations say: which part of an agent's work one is, and the usage it reports.

Names read in: upstream's conventions (current and older), OpenInference 0.1.66, OpenLLMetry 0.62, pydantic-ai 2.68,
google-adk 2.13, strands-agents 1.62, semantic-kernel 1.45, agent-framework 1.23, autogen-core 0.7, and the Anthropic
client's own spans (2.12).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from aicost.usage.providers import PROVIDER_ALIASES
from aicost.usage.readers import ResponseView, normal_tier
from aicost.usage.reported import read_reported

Kind = Literal["workflow", "agent", "tool", "step", "inference"]
Attributes = Mapping[str, Any]

_OPERATIONS: dict[str, Kind] = {
    "chat": "inference",
    "text_completion": "inference",
    "generate_content": "inference",
    "embeddings": "inference",
    "rerank": "inference",
    "invoke_agent": "agent",
    "execute_tool": "tool",
    "invoke_workflow": "workflow",
}
_OPENINFERENCE: dict[str, tuple[Kind, str]] = {
    "LLM": ("inference", "chat"),
    "EMBEDDING": ("inference", "embeddings"),
    "RERANKER": ("inference", "rerank"),
    "AGENT": ("agent", "invoke_agent"),
    "TOOL": ("tool", "execute_tool"),
}
_TRACELOOP: dict[str, Kind] = {"workflow": "workflow", "agent": "agent", "tool": "tool", "task": "step"}
_TRACELOOP_CALLS = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings", "rerank": "rerank"}
# Some set the attributes only after the start; their names are upstream's all the same: "{operation} {of what}".
_NAME = re.compile(rf"({'|'.join(_OPERATIONS)})(?: (.+))?$")

# What google-adk calls it, around its own span of the request from 2.11 on.
_CALL_LLM = "call_llm"
# OpenInference calls a model's helper that makes a request's body an LLM, too (llama-index 4.x).
_NO_CALL = re.compile(r"\._prepare_")
_SYSTEMS = {**PROVIDER_ALIASES, "gcp.vertex.agent": "gcp.gemini"}

_NAMES = {
    "agent": ("gen_ai.agent.name", "agent.name"),
    "tool": ("gen_ai.tool.name", "tool.name"),
    "workflow": ("gen_ai.workflow.name",),
    "step": (),
    "inference": (),
}

_COUNTS = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "cache_write_1h_tokens": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "input_audio_tokens": ("gen_ai.usage.details.input_audio_tokens", "llm.token_count.prompt_details.audio"),
    "output_audio_tokens": ("gen_ai.usage.details.output_audio_tokens", "llm.token_count.completion_details.audio"),
}
_PROVIDERS = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_ASKED = ("gen_ai.request.model", "llm.model_name", "embedding.model_name")
_ANSWERED = ("gen_ai.response.model", "llm.model_name", "embedding.model_name")
_TIERS = ("openai.response.service_tier", "gen_ai.openai.response.service_tier", "anthropic.response.service_tier")
_EARLY = {*_PROVIDERS, "gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind", "llm.request.type"}


class Part(NamedTuple):
    """Which part of an agent's work a span is. An inference is one operation of one model."""

    kind: Kind
    name: str
    """Of the agent, tool or workflow; the operation of an inference."""


class Inference(NamedTuple):
    """One inference as its span reports it."""

    operation: str
    provider: str
    model: str
    view: ResponseView


def part_of(name: str, attributes: Attributes) -> Part | None:
    """What a span is, from its name and the attributes it has so far; None for one that has nothing to do with it."""
    found = _NAME.match(name)
    said = attributes.get("gen_ai.operation.name") or (found.group(1) if found else None)
    kind = _OPERATIONS.get(str(said))
    if kind is None:
        return Part("inference", "generate_content") if name == _CALL_LLM else _by_others(name, attributes)
    if kind == "inference":
        return Part(kind, str(said))
    return Part(kind, _first(attributes, _NAMES[kind]) or (found and found.group(2)) or name)


def may_be_inference(attributes: Attributes, instrumentation: str) -> bool:
    """Whether a span that just began may turn out to be an inference; some say what they are only at their end."""
    return instrumentation.startswith(_INSTRUMENTATIONS) or not _EARLY.isdisjoint(attributes)


_INSTRUMENTATIONS = (
    "openinference.",
    "opentelemetry.instrumentation.",
    "pydantic-ai",
    "gcp.vertex.agent",
    "strands",
    "semantic_kernel",
    "agent_framework",
    "autogen",
    "com.anthropic",
)
"""How the names of those who speak these dialects begin."""


def inference_of(name: str, attributes: Attributes) -> Inference | None:
    """The inference that a span which is about to end reports, if it is one and has counts."""
    part = part_of(name, attributes)
    if part is None or part.kind != "inference" or _NO_CALL.search(name) is not None:
        return None
    counts = {
        ours: value for ours, theirs in _COUNTS.items() if (value := _first_count(attributes, theirs)) is not None
    }
    provider = _first(attributes, _PROVIDERS) or "unknown"
    asked, answered = _first(attributes, _ASKED), _first(attributes, _ANSWERED)
    if not counts and (name == _CALL_LLM or (asked or answered) is None):
        # google-adk's is around more than the request, which may not have been made. And one that names no model and
        # counts nothing is somebody's span with a name like ours.
        return None
    return Inference(
        part.name,
        _SYSTEMS.get(provider, provider),
        asked or answered or "unknown",
        ResponseView(
            reading=read_reported(counts) if "input_tokens" in counts or "output_tokens" in counts else None,
            response_id=_first(attributes, ("gen_ai.response.id",)),
            model=answered,
            service_tier=normal_tier(_first(attributes, _TIERS)),
        ),
    )


def _by_others(name: str, attributes: Attributes) -> Part | None:
    openinference = _OPENINFERENCE.get(str(attributes.get("openinference.span.kind", "")).upper())
    if openinference is not None:
        kind, operation = openinference
        return Part(kind, operation if kind == "inference" else _first(attributes, _NAMES[kind]) or name)
    traceloop = _TRACELOOP.get(str(attributes.get("traceloop.span.kind")))
    if traceloop is not None:
        return Part(traceloop, _first(attributes, ("traceloop.entity.name",)) or name)
    asked = _TRACELOOP_CALLS.get(str(attributes.get("llm.request.type")))
    return Part("inference", asked) if asked is not None else None


def _first(attributes: Attributes, names: tuple[str, ...]) -> str | None:
    return next((value for name in names if isinstance(value := attributes.get(name), str) and value), None)


def _first_count(attributes: Attributes, names: tuple[str, ...]) -> object:
    return next((value for name in names if (value := attributes.get(name)) is not None), None)
