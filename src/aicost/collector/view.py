"""View: one inference, as one span reports it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from aicost.scopes.ids import derived_id
from aicost.semconv import attributes as a
from aicost.telemetry.dialects import Inference
from aicost.telemetry.once import Covered, Observer, span_event_id
from aicost.telemetry.profiles import ORIGIN_KEYS
from aicost.usage.event import NOWHERE, Billed, Origin
from aicost.usage.meters import Quantity

from . import wire
from .wire import ScopeSpans

_NAMELESS = bytes(16)


class View:
    """One inference, as one span reports it. What the kernel prices is here, and what tells whether it is counted."""

    __slots__ = (
        "attributes",
        "billed",
        "complete",
        "covered",
        "differs",
        "encoded",
        "ended_ns",
        "error_type",
        "estimated",
        "event_id",
        "flags",
        "given",
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

    def __init__(
        self,
        scope: ScopeSpans,
        place: tuple[int, int, int],
        encoded: bytes,
        span: Any,
        inference: Inference,
        resource: bytes,
    ) -> None:
        self.scope = scope
        self.place = place
        """Where it is in the request."""
        self.encoded = encoded
        self.span, self.attributes = span, span.attributes
        self.inference, self.resource = inference, resource
        self.observer = Observer(scope.name, resource)
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
        self.billed: Billed = Billed.YES
        self.error_type: str | None = None
        trace_id, span_id = span.trace_id, span.span_id
        self.trace_id: bytes = trace_id
        self.started_ns: int = span.start
        self.ended_ns: int = span.end
        self.key: bytes = trace_id + span_id
        """Its trace and span."""
        self.parent: bytes = trace_id + span.parent_span_id
        """The span that it is inside of."""
        if trace_id != _NAMELESS and any(trace_id) and any(span_id):
            self.event_id = span_event_id(trace_id.hex(), span_id.hex(), span.start)
        else:  # ids that many may have are none
            self.event_id = derived_id("nameless", place[0], blake2b(encoded, digest_size=16).hexdigest())
            self.key, self.parent = self.event_id.encode(), b""
        self.told = self.event_id
        """The event it tells of, which may turn out to be another's that it completes."""
        self.origin: Origin = origin_of(span.attributes)
        self.rewritten: bytes | None = None
        """The span without what it may not say."""
        self.stamped = False
        """It has attributes of aicost's already."""
        self.given = False
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


_HOSTS = (a.SERVER_ADDRESS, "url.full", "http.url", "gen_ai.openai.api_base", "net.peer.name")
"""Where spans say whom they asked: a name, or a URL."""

_IDS = (("litellm.call_id", "gateway_call_id"), ("aws.request_id", "request_id"), ("gcp.project_id", "project"))
"""What spans of others say that a bill can be joined by, and the field of an `Origin`."""


def origin_of(attributes: Mapping[str, bytes]) -> Origin:
    """Where a span says that it was answered, and under which ids."""
    said = next((attributes[name] for name in _HOSTS if name in attributes), None)
    origin = NOWHERE if said is None else _only(said)
    for name, field in _IDS:
        if name in attributes and isinstance(text := wire.decoded(attributes[name]), str):
            origin = Origin(**{**origin._asdict(), field: text})
    return origin


def given_origin(attributes: Mapping[str, bytes], origin: Origin) -> Origin:
    """The origin that a span of aicost says."""
    said = {key: wire.decoded(attributes[key]) for key in ORIGIN_KEYS if key in attributes}
    texts = [text if isinstance(text := said.get(key), str) else None for key in ORIGIN_KEYS]
    organization, project, credential, request_id, call_id, _, upstream_id = texts
    declared = said.get(a.AICOST_GATEWAY_DECLARED) is True
    return Origin(origin.host, organization, project, credential, request_id, call_id, declared, upstream_id)


@lru_cache(maxsize=4096)
def _only(said: bytes) -> Origin:
    return Origin(host=_host(said))


def _host(said: bytes | None) -> str | None:
    text = None if said is None else wire.decoded(said)
    if not isinstance(text, str) or not text or len(text) > 2048:
        return None
    if "://" in text:
        try:
            text = urlsplit(text).hostname or ""
        except ValueError:
            return None
    return text.lower() or None
