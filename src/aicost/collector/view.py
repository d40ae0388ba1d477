"""View: one inference, as one span reports it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from aicost._bounded import remembered, short
from aicost.scopes.ids import derived_id
from aicost.scopes.owners import ATTRIBUTES, LABEL_ATTRIBUTE, resource_dimensions, span_owners
from aicost.semconv import attributes as a
from aicost.telemetry.deduplication import Covered, Observer
from aicost.telemetry.dialects import Inference
from aicost.telemetry.evidence import span_event_id
from aicost.telemetry.profiles import ORIGIN_KEYS
from aicost.usage.event import NOWHERE, Chargeable, Limits, Origin
from aicost.usage.meters import Quantity

from . import wire
from .wire import ResourceSpans, ScopeSpans

_NOBODY = bytes(16)
NAMELESS = b"nameless"
"""The key of a span that has no ids, until it is given a number."""


class Glance(NamedTuple):
    """What is remembered of a view: what tells whether another is of the same inference."""

    event_id: str
    operation: str
    provider: str
    model: str
    request_model: str | None
    response_id: str | None
    usage: Mapping[str, Quantity] | None
    chargeable: Chargeable
    started_ns: int
    ended_ns: int
    origin: Origin


_new = tuple.__new__


class SpanView:
    """One inference, as one span reports it. What the kernel prices is here, and what tells whether it is counted."""

    __slots__ = (
        "attributes",
        "chargeable",
        "complete",
        "covered",
        "differs",
        "encoded",
        "ended_ns",
        "error_type",
        "estimated",
        "event_id",
        "flags",
        "inference",
        "key",
        "known",
        "metered",
        "model",
        "observer",
        "operation",
        "origin",
        "parent",
        "place",
        "prepriced",
        "provider",
        "provider_cost",
        "region",
        "replaces",
        "request_model",
        "resource",
        "response_id",
        "rewritten",
        "scope",
        "service_tier",
        "span",
        "speed",
        "stamped",
        "started_ns",
        "told",
        "trace_id",
        "usage",
    )
    provider_currency = "USD"
    limits: Limits | None = None
    """A span does not say what its request set."""

    def __init__(
        self,
        scope: ScopeSpans,
        place: tuple[int, int, int],
        encoded: bytes,
        span: Any,
        inference: Inference,
        resource: ResourceSpans,
    ) -> None:
        self.scope = scope
        self.place = place
        """Where it is in the request."""
        self.encoded = encoded
        self.span, self.attributes = span, span.attributes
        self.inference, self.resource = inference, resource
        if scope.observer is None:
            scope.observer = Observer(scope.name, resource.digest)
        self.observer = scope.observer
        labels, self.response_id, reading, self.estimated, _ = inference
        self.provider, self.service_tier = labels.provider, labels.service_tier
        self.request_model = labels.request_model
        self.model = labels.model or labels.request_model
        self.operation = labels.operation
        self.usage: Mapping[str, Quantity] | None = None
        self.complete = True
        self.flags: tuple[str, ...] = ()
        self.region: str | None = None
        self.speed: str | None = None
        self.provider_cost: str | None = None
        if reading is not None:
            # A provider's own usage object, where a span has it, says more than counts.
            self.usage, tier, self.region, self.speed, self.flags, self.complete, self.provider_cost = reading
            self.service_tier = labels.service_tier or tier
        self.chargeable: Chargeable = Chargeable.YES
        self.error_type: str | None = None
        trace_id, span_id = span.trace_id, span.span_id
        self.trace_id: bytes = trace_id
        self.started_ns: int = span.start
        self.ended_ns: int = span.end
        self.key: bytes = trace_id + span_id
        """Its trace and span."""
        self.parent: bytes = trace_id + span.parent_span_id
        """The span that it is inside of."""
        if trace_id != _NOBODY and any(trace_id) and any(span_id) and len(trace_id) <= 16 and len(span_id) <= 8:
            self.event_id = span_event_id(trace_id.hex(), span_id.hex(), span.start)
            if len(span.parent_span_id) > 8:
                self.parent = b""
        else:  # ids that many may have are none, nor are those that are longer than ids are
            self.event_id = derived_id("nameless", scope.name, blake2b(encoded, digest_size=16).hexdigest())
            self.key, self.parent = NAMELESS, b""
        self.told = self.event_id
        """The event it tells of, which may turn out to be another's that it completes."""
        self.origin: Origin = origin_of(span.attributes, encoded)
        self.rewritten: bytes | None = None
        """The span without what it may not say."""
        self.stamped = False
        """It has attributes of aicost's already."""
        self.prepriced = False
        """It was counted where the span was made."""
        self.metered = False
        """Its process has metered it already."""
        self.covered: Covered | None = None
        self.differs = False
        """It is joined to one that counts otherwise."""
        self.replaces: tuple[str, ...] = ()
        """Events that were counted for it from further away."""
        self.known = False
        """It came before."""

    def number(self, before: int) -> None:
        """Of spans without ids, how many that say the very same came before in its request: each is another call."""
        if before:
            self.event_id = self.told = derived_id(self.event_id, before)
        self.key = self.event_id.encode()

    def glance(self) -> Glance:
        """What is remembered of it: not the span, which is many times as large."""
        return _new(
            Glance,
            (
                self.event_id,
                self.operation,
                self.provider,
                self.model,
                self.request_model,
                self.response_id,
                self.usage,
                self.chargeable,
                self.started_ns,
                self.ended_ns,
                self.origin,
            ),
        )

    def remembered(self) -> tuple[Any, ...]:
        """What tells whether other views are of the same inference, as JSON can hold it; `of_memory` reads it."""
        usage = None if self.usage is None else {meter: _plain(quantity) for meter, quantity in self.usage.items()}
        name, process = self.observer
        told = (
            self.told,
            self.key.hex(),
            self.parent.hex(),
            self.prepriced,
            name,
            process.hex(),
            self.provider,
            self.model,
        )
        seen = (self.request_model, self.operation, self.response_id, usage, self.chargeable.value)
        return (*told, *seen, self.started_ns, self.ended_ns, self.origin.host, self.origin.upstream_id)

    @classmethod
    def of_memory(cls, fields: list[Any]) -> SpanView:
        """A view that was seen before a restart. Raises for anything else."""
        if not all(isinstance(field, of) for field, of in zip(fields, _REMEMBERED, strict=True)):
            raise ValueError(f"not a view: {fields!r:.200}")
        view = cls.__new__(cls)
        told, key, parent, view.prepriced, name, process, view.provider, view.model, *seen = fields
        view.request_model, view.operation, view.response_id, usage, chargeable, *times = seen
        view.started_ns, view.ended_ns, host, upstream_id = times
        view.event_id = view.told = told
        view.key, view.parent = bytes.fromhex(key), bytes.fromhex(parent)
        view.observer = Observer(name, bytes.fromhex(process))
        view.usage = None if usage is None else {meter: _quantity(text) for meter, text in usage.items()}
        view.chargeable, view.origin = Chargeable(chargeable), Origin(host=host, upstream_id=upstream_id)
        view.covered, view.differs, view.replaces, view.known = None, False, (), False
        return view


_TEXT_OR_NONE = (str, type(None))
_REMEMBERED: tuple[type | tuple[type, ...], ...] = (
    *(str, str, str, bool, str, str, str, str),
    *(_TEXT_OR_NONE, str, _TEXT_OR_NONE, (dict, type(None)), str),
    *(int, int, _TEXT_OR_NONE, _TEXT_OR_NONE),
)
"""Of what types the fields of `SpanView.remembered` are."""


def _plain(quantity: Quantity) -> int | str:
    return quantity if isinstance(quantity, int) else str(quantity)


def _quantity(said: int | str) -> Quantity:
    quantity = said if isinstance(said, int) else Decimal(said)
    if not 0 <= quantity < 10**15:  # nor what is no number
        raise ValueError(f"not a quantity: {said!r:.50}")
    return quantity


_URLS = ("url.full", "http.url", "gen_ai.openai.api_base")
"""Where spans that name no server say whom they asked."""

_IDS = (("litellm.call_id", "gateway_call_id"), ("aws.request_id", "request_id"), ("gcp.project_id", "project"))
"""What spans of others say that a bill can be joined by, and the field of an `Origin`."""


def origin_of(attributes: Mapping[str, bytes], encoded: bytes) -> Origin:
    """Where a span says that it was answered, and under which ids."""
    said = attributes.get(a.SERVER_ADDRESS)
    if said is None and b"http" in encoded:
        said = next((attributes[name] for name in _URLS if name in attributes), None)
    origin = NOWHERE if said is None else _only(said)
    if b"_id" not in encoded:
        return origin
    for name, field in _IDS:
        if name in attributes and isinstance(text := wire.decoded(attributes[name]), str):
            origin = Origin(**{**origin._asdict(), field: short(text)})
    return origin


def prepriced_origin(attributes: Mapping[str, bytes], origin: Origin) -> Origin:
    """The origin that a span of aicost says."""
    said = {key: wire.decoded(attributes[key]) for key in ORIGIN_KEYS if key in attributes}
    texts = [short(text) if isinstance(text := said.get(key), str) else None for key in ORIGIN_KEYS]
    organization, project, credential, request_id, call_id, _, upstream_id = texts
    declared = said.get(a.AICOST_GATEWAY_DECLARED) is True
    return Origin(origin.host, organization, project, credential, request_id, call_id, declared, upstream_id)


@remembered(4096)
def _only(said: bytes) -> Origin:
    return Origin(host=_host(said))


_LONGEST_URL = 2048


def _host(said: bytes | None) -> str | None:
    text = None if said is None else wire.decoded(said)
    if not isinstance(text, str) or not text or len(text) > _LONGEST_URL:
        return None
    if "://" in text:
        try:
            text = urlsplit(text).hostname or ""
        except ValueError:
            return None
    return short(text.lower()) or None


_OWNERS = tuple(ATTRIBUTES.values())
_LABEL = LABEL_ATTRIBUTE.encode()


def owners_of(resource: ResourceSpans, present: Mapping[str, bytes], encoded: bytes) -> Mapping[str, str]:
    """Who owns it: what the resource says, and the span where it says otherwise. What looks personal is hashed."""
    said = {name: wire.decoded(present[name]) for name in _OWNERS if name in present}
    if _LABEL in encoded:
        said |= {
            name: wire.decoded(present[name]) for name in wire.names_in(present) if name.startswith(LABEL_ATTRIBUTE)
        }
    found = resource.told(_resource_owners)
    return span_owners(said, found) if said else found


def _resource_owners(encoded: bytes) -> Mapping[str, str]:
    try:
        return resource_dimensions(wire.DecodedAttributes(wire.Resource.FromString(encoded).attributes))
    except DecodeError:
        return {}
