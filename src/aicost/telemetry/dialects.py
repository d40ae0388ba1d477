"""What spans of other instrumentations say: which part of an agent's work one is, and the usage it reports.

`DIALECTS` is the table: by instrumentation scope, where usage lives and what it means. A new dialect is a row there,
and a recording of what it really sends in `tests/collector/recordings/`, made by `tests/tools/record.py`; recordings
name the versions that were read. A scope nobody here knows is read by upstream's conventions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import getitem
from typing import Any, Literal, NamedTuple

from aicost.semconv import attributes as a
from aicost.usage.event import Billed
from aicost.usage.providers import PROVIDER_ALIASES
from aicost.usage.readers import normal_tier
from aicost.usage.reading import Reading
from aicost.usage.reported import Input, read_reported

Kind = Literal["workflow", "agent", "tool", "step", "inference"]
Attributes = Mapping[str, Any]

_OPERATIONS: dict[str, tuple[Kind, str]] = {
    **{name: ("inference", name) for name in ("chat", "text_completion", "generate_content", "embeddings", "rerank")},
    "invoke_agent": ("agent", ""),
    "execute_tool": ("tool", ""),
    "invoke_workflow": ("workflow", ""),
}
_SAYS: dict[str, tuple[Kind, str]] = {
    **_OPERATIONS,
    # openinference.span.kind
    "LLM": ("inference", "chat"),
    "EMBEDDING": ("inference", "embeddings"),
    "RERANKER": ("inference", "rerank"),
    "AGENT": ("agent", ""),
    "TOOL": ("tool", ""),
    # traceloop.span.kind, and llm.request.type of its older versions
    "workflow": ("workflow", ""),
    "agent": ("agent", ""),
    "tool": ("tool", ""),
    "task": ("step", ""),
    "completion": ("inference", "text_completion"),
    "embedding": ("inference", "embeddings"),
}
"""What a mark says a span is: the kind, and a model's operation. No two dialects use one word for two things."""

_MARKS = ("gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind", "llm.request.type")
"""Attributes that say what a span is."""

# Some set the attributes only after the start; their names are upstream's all the same: "{operation} {of what}".
_NAME = re.compile(rf"({'|'.join(_OPERATIONS)})(?: (.+))?$")

# What google-adk calls it, around its own span of the request from 2.11 on.
_CALL_LLM = "call_llm"
_AROUND = {_CALL_LLM, _CALL_LLM.encode()}
"""Names of spans that may be around more than one request, or none: they are one only if they count something."""
_MOST_LABELS = 10_000
# OpenInference calls a model's helper that makes a request's body an LLM, too (llama-index 4.x).
_NO_CALL = re.compile(r"\._prepare_")
_SYSTEMS = {**PROVIDER_ALIASES, "gcp.vertex.agent": "gcp.gemini"}

_NAMES = {
    "agent": ("gen_ai.agent.name", "traceloop.entity.name", "agent.name"),
    "tool": ("gen_ai.tool.name", "traceloop.entity.name", "tool.name"),
    "workflow": ("gen_ai.workflow.name", "traceloop.entity.name"),
    "step": ("traceloop.entity.name",),
    "inference": (),
}

Names = tuple[str, ...]
_COUNTS: dict[str, Names] = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "cache_write_1h_tokens": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
    ),
    "input_audio_tokens": ("gen_ai.usage.audio.input_tokens", "gen_ai.usage.details.input_audio_tokens"),
    "output_audio_tokens": ("gen_ai.usage.audio.output_tokens", "gen_ai.usage.details.output_audio_tokens"),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
}
_OPENINFERENCE_COUNTS: dict[str, Names] = {
    "input_tokens": ("llm.token_count.prompt",),
    "output_tokens": ("llm.token_count.completion",),
    "cache_read_tokens": ("llm.token_count.prompt_details.cache_read",),
    "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
    "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
    "input_audio_tokens": ("llm.token_count.prompt_details.audio",),
    "output_audio_tokens": ("llm.token_count.completion_details.audio",),
    "total_tokens": ("llm.token_count.total",),
}
_EARLY = frozenset({"gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", *_MARKS})


class Part(NamedTuple):
    """Which part of an agent's work a span is. An inference is one operation of one model."""

    kind: Kind
    name: str
    """Of the agent, tool or workflow; the operation of an inference."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What many inferences have in common: who was asked for what. One object for each combination."""

    operation: str
    provider: str
    request_model: str
    """The model asked for; the one that answered where only that is known."""
    model: str | None
    """The model that answered."""
    service_tier: str | None
    dialect: str
    named: bool
    """Whether a model is named at all."""


class Inference(NamedTuple):
    """One inference as its span reports it."""

    labels: Labels
    response_id: str | None
    reading: Reading | None
    """None where it says nothing of usage."""


Get = Callable[[Any, str], Any]
"""Reads a value out of a collection of attributes, by its key: text as text or as UTF-8 bytes, and numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """Where the spans of some instrumentation scopes say what they say."""

    id: str
    scopes: Names = ()
    """How the names of the scopes begin."""
    provider: Names = ("gen_ai.provider.name", "gen_ai.system")
    asked: Names = ("gen_ai.request.model",)
    answered: Names = ("gen_ai.response.model",)
    response_id: Names = ("gen_ai.response.id",)
    tier: Names = (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
    )
    counts: Mapping[str, Names] = field(default_factory=lambda: _COUNTS)
    input: Input = "inclusive"
    """Whether input tokens include those read from and written to a cache; `unknown` leaves it to the totals."""
    exclusive_of: Collection[str] = ()
    """Providers whose counts it passes on as they are, so that cached tokens are beside the input."""
    marks: Names = ("gen_ai.operation.name",)
    """What says whether a span is an inference, and of which operation."""
    spans: Mapping[str, str] | None = None
    """Where the name of a span says it: the names, and the operation each is."""
    _known: dict[tuple[Any, ...], Labels | None] = field(default_factory=dict)

    def read(self, name: str | bytes, attributes: Container[str], get: Get = getitem) -> Inference | None:
        """The inference that a finished span reports, if it is one and has counts."""
        key: list[Any] = []
        for names in (self.marks, self.provider, self.asked, self.answered, self.tier):
            for one in names:
                if one in attributes:
                    key.append(get(attributes, one))
                    break
            else:
                key.append(None)
        if key[0] is None or self.spans is not None:
            key.append(name)
        found = tuple(key)
        try:
            labels = self._known[found]
        except (KeyError, TypeError):
            labels = self._label(found)
        if labels is None:
            return None
        counts: dict[str, Any] = {}
        for ours, names in self.counts.items():
            for one in names:
                if one in attributes:
                    counts[ours] = get(attributes, one)
                    break
        if not counts and (not labels.named or name in _AROUND):
            # One that names no model and counts nothing is somebody's span with a name like ours.
            return None
        response_id = None
        for one in self.response_id:
            if one in attributes:
                response_id = _text(get(attributes, one))
        reading = None
        if "input_tokens" in counts or "output_tokens" in counts:
            reading = read_reported(counts, "exclusive" if labels.provider in self.exclusive_of else self.input)
        return Inference(labels, response_id, reading)

    def _label(self, key: tuple[Any, ...]) -> Labels | None:
        mark, provider, asked, answered, tier = map(_text, key[:5])
        operation = self._operation(mark, (_text(key[5]) or "") if len(key) > 5 else "")
        labels = None
        if operation is not None:
            named = _SYSTEMS.get(provider or "", provider) or "unknown"
            model = asked or answered
            labels = Labels(
                operation, named, model or "unknown", answered, normal_tier(tier), self.id, named=model is not None
            )
        if len(self._known) >= _MOST_LABELS:
            self._known.clear()
        with suppress(TypeError):  # an attribute that is a list
            self._known[key] = labels
        return labels

    def _operation(self, mark: str | None, name: str) -> str | None:
        """The operation of an inference; None for what is none."""
        if self.spans is not None:
            return self.spans.get(name)
        part = _part(name, mark)
        return part.name if part is not None and part.kind == "inference" and not _NO_CALL.search(name) else None


_UPSTREAM = Dialect("upstream", ("aicost", "opentelemetry."))
DIALECTS: tuple[Dialect, ...] = (
    _UPSTREAM,
    Dialect("anthropic", ("com.anthropic",)),
    Dialect(
        "openinference",
        ("openinference.",),
        provider=("llm.provider", "llm.system"),
        asked=("llm.model_name", "embedding.model_name"),
        answered=("llm.model_name", "embedding.model_name"),
        counts=_OPENINFERENCE_COUNTS,
        marks=("openinference.span.kind",),
    ),
    Dialect("pydantic-ai", ("pydantic-ai",)),
    Dialect("google-adk", ("gcp.vertex.agent",)),
    Dialect("strands", ("strands",)),
    Dialect("semantic-kernel", ("semantic_kernel",)),
    Dialect("agent-framework", ("agent_framework",)),
    Dialect("autogen", ("autogen",)),
)
"""The dialects, each found by how the name of a scope begins."""

_UNKNOWN = replace(
    _UPSTREAM,
    id="unknown",
    scopes=(),
    provider=(*_UPSTREAM.provider, "llm.provider", "llm.system"),
    asked=(*_UPSTREAM.asked, "llm.model_name", "embedding.model_name"),
    answered=(*_UPSTREAM.answered, "llm.model_name", "embedding.model_name"),
    counts={ours: (*names, *_OPENINFERENCE_COUNTS.get(ours, ())) for ours, names in _COUNTS.items()},
    input="unknown",
    marks=_MARKS,
)


@lru_cache(maxsize=4096)
def dialect_of(scope: str, version: str = "") -> Dialect:  # noqa: ARG001
    """The dialect that an instrumentation scope speaks."""
    return next((dialect for dialect in DIALECTS if scope.startswith(dialect.scopes)), _UNKNOWN)


def part_of(name: str, attributes: Attributes) -> Part | None:
    """What a span is, from its name and the attributes it has so far; None for one that has nothing to do with it."""
    said = [value for mark in _MARKS if (value := attributes.get(mark)) is not None]
    mark = next((str(one) for one in said if _kind(str(one)) is not None), None)
    part = _part(name, mark)
    if part is None or part.kind == "inference":
        return part
    return Part(part.kind, next((str(v) for key in _NAMES[part.kind] if (v := attributes.get(key))), part.name))


def _part(name: str, mark: str | None) -> Part | None:
    found = _NAME.match(name) if mark is None or name.startswith(mark) else None
    known = _kind(mark or (found.group(1) if found else ""))
    if known is None:
        return Part("inference", "generate_content") if name == _CALL_LLM else None
    kind, operation = known
    return Part(kind, operation or (found and found.group(2)) or name)


def _kind(mark: str) -> tuple[Kind, str] | None:
    return _SAYS.get(mark) or _SAYS.get(mark.upper())


def may_be_inference(attributes: Attributes, scope: str) -> bool:
    """Whether a span that just began may turn out to be an inference; some say what they are only at their end."""
    return dialect_of(scope) is not _UNKNOWN or not _EARLY.isdisjoint(attributes)


class Failure(NamedTuple):
    """How a call that failed came out."""

    billed: Billed
    error_type: str


def failure_of(attributes: Attributes, found: Inference) -> Failure:
    """How a failed inference came out. A status says that nothing was done; anything else leaves it open."""
    kind = str(attributes.get(a.ERROR_TYPE) or "error")
    if found.reading is not None:
        return Failure(Billed.YES, kind)
    return Failure(Billed.NO if kind.isdigit() else Billed.POSSIBLY, kind)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = str(value, "utf-8", "replace")
    return value if isinstance(value, str) and value else None
