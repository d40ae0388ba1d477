"""A trace request priced: every inference in it is read, counted once, priced, and gains attributes that say so.

Nothing else about the request changes. What could not be priced says why, and nothing is dropped for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from google.protobuf.message import DecodeError

from aicost.pricing.charge import Charge
from aicost.pricing.kernel import Kernel, kernel_in_force
from aicost.scopes.scope import ATTRIBUTES
from aicost.semconv import attributes as a
from aicost.telemetry.dialects import dialect_of, failure_of, part_of
from aicost.telemetry.once import Covered
from aicost.telemetry.profiles import PROFILE_KEYS, CostProfile
from aicost.usage.event import Billed, RequestStatus, UsageEvent

from . import wire
from .fragments import Fragments
from .once import Links, Once, View

_ERROR = 2
_STAMP = b"aicost."
_OWNERS = tuple((attribute, key) for key, attribute in ATTRIBUTES.items())


@dataclass(slots=True)
class Priced:
    """What became of a request."""

    data: bytes
    """The request to send on."""
    spans: int = 0
    counted: list[tuple[View, Charge]] = field(default_factory=list)
    """The inferences that are counted in it."""
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Spans of models by what was done with them: `("priced", dialect)`, `("covered", reason)`, ..."""
    rejected: int = 0
    """Spans that are left out, because they cannot be decoded."""

    def events(self) -> list[tuple[UsageEvent, Charge]]:
        """What is counted, for a ledger."""
        return [(event_of(view), charge) for view, charge in self.counted]


class Pricer:
    """Prices requests. What it has counted lately it remembers, so that another view of it is not counted again.

    Of one thread. `kernel.use` puts another rate card in force for the requests that follow.
    """

    def __init__(self, kernel: Kernel, *, profiles: Sequence[CostProfile] = (), overwrite: bool = False) -> None:
        self.kernel = kernel
        self._fragments = Fragments(profiles)
        self._overwritten = frozenset(key for profile in profiles if overwrite for key in PROFILE_KEYS[profile])
        self._once = Once()

    def price(self, data: bytes) -> Priced:
        """Price one ExportTraceServiceRequest. Raises `MalformedRequestError` for bytes that are none."""
        done = Priced(data)
        resources = wire.read_request(data)
        done.spans = sum([len(scope.spans) for resource in resources for scope in resource.scopes])
        views = _views(data, resources, done)
        self._once.settle(views, lambda: _links(data, resources))
        price, fragment_of, counted = self.kernel.price, self._fragments.of, done.counted.append
        for view in views:
            stamped = _STAMP in view.encoded
            if view.covered is not None:
                fragment = _covered(view.covered)
                done.seen["covered", view.covered.reason] += 1
            else:
                charge = price(view)
                counted((view, charge))
                fragment = fragment_of(view, charge, stamped=stamped)
            view.scope.edits.append(wire.Edit(*view.place, fragment))
        if views or done.rejected:
            done.data = wire.spliced(data, resources)
        return done


def price_request(data: bytes, *, kernel: Kernel | None = None, profiles: Sequence[CostProfile] = ()) -> bytes:
    """An ExportTraceServiceRequest with every inference in it priced, as bytes.

    Spans that are none are the very bytes that came. Priced with the bundled rate card, or with that of `kernel`.
    Raises `MalformedRequestError` for bytes that are no request.

    >>> priced = price_request(request.SerializeToString())
    """
    return Pricer(kernel or kernel_in_force(), profiles=profiles).price(data).data


def _covered(covered: Covered) -> bytes:
    attributes: dict[str, str] = {a.AICOST_COVERED_REASON: covered.reason}
    if covered.by is not None:
        attributes[a.AICOST_COVERED_BY] = covered.by
    return wire.encoded(attributes)


def _views(data: bytes, resources: Sequence[wire.ResourceSpans], done: Priced) -> list[View]:
    """The inferences that the spans of a request report. Spans that cannot be decoded are taken out."""
    views: list[View] = []
    decode, get = wire.Span.FromString, wire.value_of
    for resource in resources:
        for scope in resource.scopes:
            dialect = dialect_of(scope.name, scope.version)
            needle, *others = dialect.needles
            for place in scope.spans:
                encoded = data[place[1] : place[2]]
                if needle not in encoded and not any(other in encoded for other in others):
                    continue
                try:
                    span = decode(encoded)
                except DecodeError:
                    scope.edits.append(wire.Edit(*place, None))
                    done.rejected += 1
                    continue
                attributes = span.attributes
                inference = dialect.read(span.name, attributes, get)
                if inference is None:
                    continue
                view = View(scope, place, encoded, span, inference, resource.resource)
                if _STAMP in encoded and _is_settled(view, done):
                    continue
                if span.status.code == _ERROR:
                    view.billed, view.error_type = failure_of(wire.Attributes(attributes), inference)
                    view.complete = view.complete and view.billed is not Billed.POSSIBLY
                views.append(view)
    return views


def _is_settled(view: View, done: Priced) -> bool:
    """Whether a span says already what it costs, or why it is not counted."""
    present = view.attributes
    if a.AICOST_COVERED_REASON in present or a.AICOST_COST_STATUS in present:
        done.seen["settled", view.inference.labels.dialect] += 1
        return True
    return False


def _links(data: bytes, resources: Sequence[wire.ResourceSpans]) -> Links:
    found: dict[bytes, tuple[bytes, bool]] = {}
    for resource in resources:
        for scope in resource.scopes:
            for _, start, end in scope.spans:
                try:
                    span = wire.Span.FromString(data[start:end])
                except DecodeError:
                    continue
                part = part_of(str(span.name, "utf-8", "replace"), wire.Attributes(span.attributes))
                boundary = part is not None and part.kind != "inference"
                found[span.trace_id + span.span_id] = (span.parent_span_id, boundary)
    return found


def event_of(view: View) -> UsageEvent:
    """The event that a view reports."""
    labels, span = view.inference.labels, view.span
    get = wire.Attributes(view.attributes).get
    trace = span.trace_id.hex()
    run = get(a.AICOST_RUN_ID) or trace
    return UsageEvent(
        event_id=view.event_id,
        provider=view.provider,
        operation=labels.operation,
        model=view.model,
        usage=view.usage,
        started_ns=view.started_ns,
        ended_ns=view.ended_ns,
        request_model=labels.request_model,
        response_id=view.inference.response_id,
        api="reported",
        service_tier=view.service_tier,
        status=RequestStatus.SUCCESS if view.error_type is None else RequestStatus.FAILURE,
        billed=view.billed,
        error_type=view.error_type,
        complete=view.complete,
        flags=view.flags,
        trace_id=trace,
        span_id=span.span_id.hex(),
        run_id=run,
        root_run_id=get(a.AICOST_RUN_ROOT_ID) or run,
        workflow=get(a.GEN_AI_WORKFLOW_NAME),
        step=get(a.AICOST_STEP_NAME) or labels.operation,
        step_id=get(a.AICOST_STEP_ID),
        agent=get(a.GEN_AI_AGENT_NAME),
        attribution=owners_of(view),
    )


def owners_of(view: View) -> Mapping[str, str]:
    """Who owns it: what the resource says, and what the span says where it says otherwise."""
    present = view.attributes
    found = _resource_owners(view.resource)
    own = {key: str(wire.Attributes(present)[name]) for name, key in _OWNERS if name in present}
    return {**found, **own} if own else found


@lru_cache(maxsize=4096)
def _resource_owners(encoded: bytes) -> Mapping[str, str]:
    try:
        attributes = wire.Attributes(wire.Resource.FromString(encoded).attributes)
    except DecodeError:
        return {}
    return {key: str(attributes[name]) for name, key in _OWNERS if name in attributes}
