"""What spans of other instrumentations say: which part of an agent's work one is, and the usage it reports.

Who says it where is a table, `dialect_table.py`; here is how it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from aicost._bounded import short
from aicost._errors import UsageError
from aicost.semconv import attributes as a
from aicost.usage.event import Chargeable
from aicost.usage.providers import find_provider, normal_tier, provider_named, provider_of_model, served_by
from aicost.usage.readers import read_usage
from aicost.usage.reading import Reading
from aicost.usage.reported import PLAIN, Input, read_plain, read_reported

from .literals import object_in

RoleKind = Literal["workflow", "agent", "tool", "step", "inference"]
Attributes = Mapping[str, Any]

_OPERATIONS: dict[str, tuple[RoleKind, str]] = {
    **{name: ("inference", name) for name in ("chat", "text_completion", "generate_content", "embeddings", "rerank")},
    "invoke_agent": ("agent", ""),
    "execute_tool": ("tool", ""),
    "invoke_workflow": ("workflow", ""),
}
_SAYS: dict[str, tuple[RoleKind, str]] = {
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
    # LiteLLM's operation
    "responses": ("inference", "chat"),
    # mlflow.spanType
    "CHAT_MODEL": ("inference", "chat"),
    # ai.operationId of the Vercel AI SDK: the spans of requests; those around them are called the same without ".do..."
    "ai.generateText.doGenerate": ("inference", "chat"),
    "ai.generateObject.doGenerate": ("inference", "chat"),
    "ai.streamText.doStream": ("inference", "chat"),
    "ai.streamObject.doStream": ("inference", "chat"),
    "ai.embed.doEmbed": ("inference", "embeddings"),
    "ai.embedMany.doEmbed": ("inference", "embeddings"),
    "ai.rerank.doRerank": ("inference", "rerank"),
}
"""What a mark says a span is: the kind, and a model's operation. No two dialects use one word for two things."""

MARKS = ("gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind", "llm.request.type")
"""Attributes that say what a span is."""

# Some set the attributes only after the start; their names are upstream's all the same: "{operation} {of what}".
_NAME = re.compile(rf"({'|'.join(_OPERATIONS)})(?: (.+))?$")

# What google-adk calls it, around its own span of the request from 2.11 on.
CALL_LLM = "call_llm"
_AROUND = {CALL_LLM, CALL_LLM.encode()}
"""Names of spans that may be around more than one request, or none: they are one only if they count something."""
_MOST_LABELS = 10_000
_LONGEST_LABEL = 512

_NAMES = {
    "agent": ("gen_ai.agent.name", "traceloop.entity.name", "agent.name"),
    "tool": ("gen_ai.tool.name", "traceloop.entity.name", "tool.name"),
    "workflow": ("gen_ai.workflow.name", "traceloop.entity.name"),
    "step": ("traceloop.entity.name",),
    "inference": (),
}

AttributeNames = tuple[str, ...]
UNKNOWN = "unknown"
"""The dialect of those whom nobody here knows."""
STORAGE = "storage"
"""The dialect of aicost's own operations of databases."""

_EARLY = frozenset({"gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", *MARKS})


class SpanRole(NamedTuple):
    """Which part of an agent's work a span is. An inference is one operation of one model."""

    kind: RoleKind
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
    assumed: bool
    """Whether the provider is not named, and was told from the model's name."""


class Inference(NamedTuple):
    """One inference as its span reports it."""

    labels: Labels
    response_id: str | None
    reading: Reading | None
    """None where it says nothing of usage."""
    estimated: bool = False
    """Whether something that sets the price had to be assumed; the flags of the reading say what."""
    layout: _Layout | None = None


Decode = Callable[[Any], Any]
Paths = tuple[tuple[str, AttributeNames], ...]
"""Ways into attributes that hold JSON: the attribute, and the keys inside of it."""


class _Layout(NamedTuple):
    """Where spans that have the same keys say what they say."""

    labels: tuple[str | None, ...]
    """Mark, provider, model asked for, model that answered, tier."""
    counts: tuple[tuple[str, str], ...]
    response_id: str | None
    by_name: bool
    """Whether the span's name has to say what it is."""
    inside: bool
    """Whether there are attributes to look into."""
    inclusive: bool
    there: frozenset[str]
    """Which of the dialect's keys are there."""
    plain: tuple[tuple[int, str], ...] | None
    """Where the counts are, by their place among `PLAIN`; None where there are others too."""


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """Where the spans of some instrumentation scopes say what they say.

    A name with slashes is a path into an attribute that holds JSON, or a Python literal: `output.value/usage/...`.
    """

    id: str
    scopes: AttributeNames = ()
    """How the names of the scopes begin."""
    versions: AttributeNames = ("",)
    """How their versions begin."""
    marks: AttributeNames = ("gen_ai.operation.name",)
    """What says whether a span is an inference, and of which operation."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Where the span's name says it, by how it begins: the operation."""
    ignored: AttributeNames = ()
    """What is in the names of spans that are no inferences, whatever they say."""
    provider: AttributeNames = ("gen_ai.provider.name", "gen_ai.system")
    asked: AttributeNames = ("gen_ai.request.model",)
    answered: AttributeNames = ("gen_ai.response.model",)
    response_id: AttributeNames = ("gen_ai.response.id",)
    tier: AttributeNames = ("openai.response.service_tier", "gen_ai.openai.response.service_tier")
    counts: Mapping[str, AttributeNames] = field(default_factory=dict)
    """By what they count, in the words of `usage.reported`."""
    raw: AttributeNames = ()
    """Where the provider's own usage object is, which comes before the counts."""
    input: Input = "inclusive"
    """Whether input tokens include those read from and written to a cache; `unknown` leaves it to the totals."""
    exclusive_of: Collection[str] = ()
    """Providers whose counts it passes on as they are, so that cached tokens are beside the input."""
    inclusive_with: str | None = None
    """What only those versions say that have changed to inclusive input."""
    zero_is_silence: AttributeNames = ()
    """Where a zero may be what was not counted."""
    blind: bool = False
    """Whether a span without any count of cached tokens may have had some: its amount is then an estimate."""
    blind_if: tuple[str, str] | None = None
    """The same, for spans whose attribute of that name begins so."""
    partial_views: bool = False
    """Whether it has spans without usage beside the one that has it."""
    needles: tuple[bytes, ...] = field(init=False)
    """One of these is in the encoding of every span that may be an inference."""
    keys: AttributeNames = field(init=False)
    """Every attribute that is looked at."""
    _paths: dict[str, Paths] = field(init=False, default_factory=dict)
    _layouts: dict[tuple[bool, ...], _Layout] = field(init=False, default_factory=dict)
    _known: dict[tuple[Any, ...], Labels | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        marks = [mark for mark in self.marks or ("gen_ai.",) if mark != "llm.request.type"]
        needles = dict.fromkeys(b"gen_ai." if mark.startswith("gen_ai.") else mark.encode() for mark in marks)
        labels = (self.marks, self.provider, self.asked, self.answered, self.tier, self.response_id, self.raw)
        names = [name for group in (*labels, *self.counts.values()) for name in group]
        for what, group in (*self.counts.items(), ("raw", self.raw), ("tier", self.tier), ("id", self.response_id)):
            paths = [(first, tuple(filter(None, rest))) for first, *rest in (name.split("/") for name in group) if rest]
            if paths:
                self._paths[what] = tuple(paths)
        names += [one for one in (self.inclusive_with, self.blind_if and self.blind_if[0]) if one]
        object.__setattr__(self, "needles", tuple(needles))
        object.__setattr__(self, "keys", tuple(dict.fromkeys(name.split("/")[0] for name in names)))

    def read(self, name: str | bytes, attributes: Any, decode: Decode = _as_it_is) -> Inference | None:
        """The inference that a finished span reports, if it is one and has counts.

        `attributes` is a mapping; `decode` makes text or a number of what it holds.
        """
        if self.ignored:
            called = name if isinstance(name, str) else str(name, "utf-8", "replace")
            if any(word in called for word in self.ignored):
                return None
        present = tuple(map(attributes.__contains__, self.keys))
        layout = self._layouts.get(present)
        if layout is None:
            layout = self._laid_out(present)
        key = tuple([None if one is None else attributes[one] for one in layout.labels])
        if layout.by_name:
            key = (*key, name)
        inside = None
        if layout.inside:
            inside = _Inside(attributes, decode)
            if layout.labels[4] is None and "tier" in self._paths:
                key = (*key[:4], inside.first(self._paths["tier"]), *key[5:])
        try:
            labels = self._known[key]
        except (KeyError, TypeError):
            labels = self._label(key, decode)
        if labels is None:
            return None
        if layout.plain is not None and not (labels.assumed or self.blind or self.blind_if):
            numbers = [0, 0, 0, 0, 0]
            for place, one in layout.plain:
                numbers[place] = decode(attributes[one])
            exclusive = labels.provider in self.exclusive_of and not layout.inclusive
            plain = read_plain(numbers, exclusive=exclusive)
            if plain is not None:
                where = layout.response_id
                told = None if where is None else _word(decode(attributes[where]))
                return Inference(labels, told, plain, False, layout)
        counts = {ours: count for ours, one in layout.counts if (count := decode(attributes[one])) is not None}
        for ours, one in layout.counts if self.zero_is_silence else ():
            if one in self.zero_is_silence and counts.get(ours) == 0:
                del counts[ours]
        if inside is not None:
            for ours, paths in self._paths.items():
                if ours in self.counts and counts.get(ours) is None:
                    value = inside.first(paths)
                    if value is not None:
                        counts[ours] = value
        raw = inside.first(self._paths["raw"]) if inside is not None and "raw" in self._paths else None
        if not counts and not raw and (self.partial_views or not labels.named or name in _AROUND):
            # One that names no model and counts nothing is somebody's span with a name like ours.
            return None
        response_id = None if layout.response_id is None else _word(decode(attributes[layout.response_id]))
        if response_id is None and inside is not None and "id" in self._paths:
            response_id = _word(inside.first(self._paths["id"]))
        if isinstance(raw, dict) and raw:
            with suppress(UsageError):
                return Inference(labels, response_id, read_usage(raw, provider=labels.provider), labels.assumed)
        if not (counts.get("input_tokens") or counts.get("output_tokens")):
            return Inference(labels, response_id, None)  # an inference takes tokens in: nothing is not known
        meaning = self.input
        if labels.provider in self.exclusive_of and not layout.inclusive:
            meaning = "exclusive"
        reading = read_reported(counts, meaning)
        if labels.assumed or self.blind or self.blind_if or "cache_write_tokens" in counts:
            flags = self._assumptions(labels, counts, attributes, decode)
            if flags:
                return Inference(labels, response_id, reading._replace(flags=(*reading.flags, *flags)), True)
        return Inference(labels, response_id, reading)

    def _laid_out(self, present: tuple[bool, ...]) -> _Layout:
        """Which of the names that may hold something do, for spans that have these keys."""
        there = {key for key, found in zip(self.keys, present, strict=True) if found}

        def first(names: AttributeNames) -> str | None:
            return next((name for name in names if name in there), None)

        labels = tuple(first(names) for names in (self.marks, self.provider, self.asked, self.answered, self.tier))
        counts = tuple((ours, one) for ours, names in self.counts.items() if (one := first(names)) is not None)
        inside = any(attribute in there for paths in self._paths.values() for attribute, _ in paths)
        inclusive = self.inclusive_with in there
        plain = None
        if not inside and self.input == "inclusive" and {"input_tokens"} <= {ours for ours, _ in counts} <= set(PLAIN):
            plain = tuple((PLAIN.index(ours), one) for ours, one in counts)
        made = _Layout(
            labels,
            counts,
            first(self.response_id),
            labels[0] is None,
            inside,
            inclusive,
            frozenset(there),
            plain,
        )
        if len(self._layouts) >= _MOST_LABELS:
            self._layouts.clear()
        self._layouts[present] = made
        return made

    def _assumptions(self, labels: Labels, counts: dict[str, Any], attributes: Any, decode: Decode) -> list[str]:
        """What sets the price and is not said."""
        flags = []
        if labels.assumed:
            flags.append(f"assumed_provider:{labels.provider}")
        if "cache_write_tokens" in counts and _ttl_unknown(labels.provider, counts):
            flags.append("assumed_cache_ttl:5m")
        blind = self.blind
        if self.blind_if is not None and self.blind_if[0] in attributes:
            blind = (_text(decode(attributes[self.blind_if[0]])) or "").startswith(self.blind_if[1])
        if blind and "cache_read_tokens" not in counts and labels.operation != "embeddings":
            flags.append("assumed_no_cache")
        return flags

    def _label(self, key: tuple[Any, ...], decode: Decode) -> Labels | None:
        mark, provider, asked, answered, tier = (
            _unquoted(_word(one if one is None or isinstance(one, str) else decode(one))) for one in key[:5]
        )
        operation = self._operation(mark, _word(key[5]) if len(key) > 5 else None)
        labels = None
        if operation is not None:
            answered = None if answered == "none" else answered  # Spring AI, of a call that failed
            model = asked or answered
            named = provider_named(provider)
            if named is None and model is not None and "/" in model:
                head, _, rest = model.partition("/")
                if (found := find_provider(head)) is not None:
                    named, model = found.name, rest
            guessed = None if named is not None else provider_of_model(model or "")
            told, known = served_by(named or guessed or "unknown", model or "unknown")
            labels = Labels(
                operation,
                told,
                known,
                answered,
                normal_tier(tier, told),
                self.id,
                named=model is not None,
                assumed=guessed is not None,
            )
        if len(self._known) >= _MOST_LABELS:
            self._known.clear()
        # An attribute may be a list, which has no length in bytes either.
        with suppress(TypeError):
            if all(one is None or len(one) <= _LONGEST_LABEL for one in key):
                self._known[key] = labels
        return labels

    def _operation(self, mark: str | None, name: str | None) -> str | None:
        """The operation of an inference; None for what is none."""
        if self.names and mark is None:
            return next((op for start, op in self.names.items() if (name or "").startswith(start)), None)
        role = _role(name or "", mark)
        return role.name if role is not None and role.kind == "inference" else None


class _Inside:
    """What is inside of the attributes of one span that hold JSON."""

    __slots__ = ("_attributes", "_decode", "_parsed")

    def __init__(self, attributes: Any, decode: Decode) -> None:
        self._attributes, self._decode = attributes, decode
        self._parsed: dict[str, Any] = {}

    def first(self, paths: Paths) -> Any:
        """What is at the first of these paths that leads to something."""
        for attribute, keys in paths:
            if attribute in self._attributes:
                if attribute not in self._parsed:
                    self._parsed[attribute] = object_in(_text(self._decode(self._attributes[attribute])))
                found = self._parsed[attribute]
                for key in keys:
                    found = found.get(key) if isinstance(found, dict) else None
                if found is not None:
                    return found
        return None


def _ttl_unknown(provider: str, counts: Mapping[str, Any]) -> bool:
    """Whether tokens were written to a cache, and how long it keeps them would set their price."""
    return (
        provider in _BY_TTL
        and counts["cache_write_tokens"] not in (0, "0", b"0")
        and "cache_write_1h_tokens" not in counts
        and "cache_write_5m_tokens" not in counts
    )


_BY_TTL = {"anthropic", "aws.bedrock", "gcp.vertex_ai"}


def role_of(name: str, attributes: Attributes) -> SpanRole | None:
    """What a span is, from its name and the attributes it has so far; None for one that has nothing to do with it."""
    said = [value for mark in MARKS if (value := attributes.get(mark)) is not None]
    mark = next((str(one) for one in said if _kind(str(one)) is not None), None)
    role = _role(name, mark)
    if role is None or role.kind == "inference":
        return role
    return SpanRole(role.kind, next((str(v) for key in _NAMES[role.kind] if (v := attributes.get(key))), role.name))


def _role(name: str, mark: str | None) -> SpanRole | None:
    found = _NAME.match(name) if mark is None or name.startswith(mark) else None
    known = _kind(mark or (found.group(1) if found else ""))
    if known is None:
        return SpanRole("inference", "generate_content") if name == CALL_LLM else None
    kind, operation = known
    return SpanRole(kind, operation or (found and found.group(2)) or name)


def _kind(mark: str) -> tuple[RoleKind, str] | None:
    return _SAYS.get(mark) or _SAYS.get(mark.upper())


def may_be_inference(attributes: Attributes, dialect: Dialect) -> bool:
    """Whether a span that just began may turn out to be an inference; some say what they are only at their end."""
    return dialect.id != UNKNOWN or not _EARLY.isdisjoint(attributes)


class Failure(NamedTuple):
    """How a call that failed came out."""

    chargeable: Chargeable
    error_type: str


def failure_of(attributes: Attributes, found: Inference) -> Failure:
    """How a failed inference came out. A status says that nothing was done; anything else leaves it open."""
    kind = str(attributes.get(a.ERROR_TYPE) or "error")
    if found.reading is not None:
        return Failure(Chargeable.YES, kind)
    return Failure(Chargeable.NO if kind.isdigit() else Chargeable.POSSIBLY, kind)


def _word(value: object) -> str | None:
    """A name or an id, as long as those are."""
    text = _text(value)
    return None if text is None else short(text)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = str(value, "utf-8", "replace")
    return value if isinstance(value, str) and value else None


def _unquoted(text: str | None) -> str | None:
    """Text out of a JSON string, as MLflow writes every value."""
    return text[1:-1] if text is not None and len(text) > 1 and text[0] == text[-1] == '"' else text
