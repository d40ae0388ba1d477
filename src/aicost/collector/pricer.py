"""A trace request priced: every inference in it is read, counted once, priced, and gains attributes that say so.

Nothing else about the request changes. What could not be priced says why, and nothing is dropped for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.message import DecodeError

from aicost.pricing.charge import Charge
from aicost.pricing.kernel import Kernel, kernel_in_force
from aicost.pricing.sighting import Sighting, SightingKind
from aicost.semconv import attributes as a
from aicost.telemetry import guard
from aicost.telemetry.deduplication import WIRE, Covered
from aicost.telemetry.dialect_table import dialect_of
from aicost.telemetry.dialects import STORAGE, Dialect, Labels, failure_of, role_of
from aicost.telemetry.profiles import PROFILE_KEYS, CostProfile
from aicost.usage.event import Chargeable, UsageEvent
from aicost.usage.meters import Quantity

from . import wire
from .fragments import Fragments
from .lifetimes import BEGINS, OUTCOME, Lifetimes
from .memory import Memory
from .nesting import Links, SpanDeduplicator
from .prepriced import prepriced_charge, prepriced_inference, take_prepriced
from .priced_calls import event_of, priced_calls
from .view import NAMELESS, SpanView, owners_of

_ERROR = 2
_new = tuple.__new__
_STAMP = b"aicost."


class CountedCall(NamedTuple):
    """An inference that is counted, with what metrics and a ledger want to know of it."""

    event_id: str
    """Of the span that tells of it."""
    labels: Labels
    resource: wire.ResourceSpans
    owners: tuple[bytes | None, ...]
    """What the span says under the attributes that were asked for, encoded."""
    usage: Mapping[str, Quantity] | None
    chargeable: Chargeable
    failed: bool
    charge: Charge
    known: bool
    """It came before."""
    prepriced: bool
    """It was priced, or metered, where it was made."""
    entries: list[tuple[UsageEvent, Charge]] | tuple[()]
    """For a ledger, if that was asked for: the call, and its attempts that failed before."""
    replaces: Sequence[str] = ()
    """Events that were counted for it from further away."""


class Joined(NamedTuple):
    """A view of what is counted elsewhere, and what it would have been."""

    kind: SightingKind
    reason: str
    charge: Charge
    sighting: Sighting | None
    """For a ledger, if that was asked for."""


@dataclass(slots=True)
class Priced:
    """What became of a request."""

    data: bytes
    """The request to send on."""
    spans: int = 0
    counted: list[CountedCall] = field(default_factory=list)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Spans of models that are not counted, by why: `("covered", reason)`, `("settled", dialect)`."""
    joined: list[Joined] = field(default_factory=list)
    nameless: Counter[str] = field(default_factory=Counter)
    """Spans without ids, by what they say: the second of the same is another."""
    rejected: int = 0
    """Spans that are left out, because they cannot be decoded."""
    lifetimes: Lifetimes | None = None
    """Runs, steps and outcomes, for a ledger, if that was asked for."""


class Pricer:
    """Prices requests. What it has counted lately it remembers, so that another view of it is not counted again.

    Of one thread. `kernel.use` puts another rate card in force for the requests that follow. `overwrite` replaces what
    somebody else wrote under the names of the profiles. `owners` are attributes whose values `Priced.counted` tells;
    `events` makes it hold events for a ledger; `memory` keeps what was seen for when it is started again.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        profiles: Sequence[CostProfile] = (),
        overwrite: bool = False,
        owners: Sequence[str] = (),
        events: bool = False,
        memory: Memory | None = None,
    ) -> None:
        self.kernel = kernel
        self._fragments = Fragments(profiles)
        self._replaced = frozenset(key for profile in profiles if overwrite for key in PROFILE_KEYS[profile])
        self._owners = tuple(owners)
        self._events = events
        self._once = SpanDeduplicator(memory)

    def price(self, data: bytes) -> Priced:
        """Price one ExportTraceServiceRequest. Raises `MalformedRequestError` for bytes that are none."""
        done = Priced(data, lifetimes=Lifetimes() if self._events else None)
        resources = wire.read_request(data)
        stamped = self._events and _STAMP in data
        more: tuple[bytes, ...] = (BEGINS,) if stamped and BEGINS in data else ()
        found: list[tuple[wire.ResourceSpans, wire.ScopeSpans, Dialect, list[tuple[int, int, int]]]] = []
        for resource in resources:
            for scope in resource.scopes:
                done.spans += len(scope.spans)
                dialect = dialect_of(scope.name, scope.version)
                needle, *others = (*dialect.needles, *more)
                places = (
                    scope.spans
                    if self._events and scope.name == WIRE
                    else [
                        place
                        for place in scope.spans
                        if data.find(needle, place[1], place[2]) >= 0
                        or (others and any(data.find(other, place[1], place[2]) >= 0 for other in others))
                    ]
                )
                if places:
                    found.append((resource, scope, dialect, places))
        if len(found) == 1:
            # Of one scope, whose spans come in the order in which they ended: each is done with before the next.
            resource, scope, dialect, places = found[0]
            for place in places:
                view = _view(data, resource, scope, dialect, place, done)
                if view is not None and (_is_storage(view) or self._decides(view)):
                    self._finish_safely(view, done)
        elif found:
            views = [
                view
                for resource, scope, dialect, places in found
                for place in places
                if (view := _view(data, resource, scope, dialect, place, done)) is not None
            ]
            decided = [view for view in views if _is_storage(view)]

            def decide(view: SpanView) -> None:
                if self._decides(view):
                    decided.append(view)

            self._once.settle(
                [view for view in views if not _is_storage(view)], lambda: _links(data, resources), decide
            )
            for view in decided:
                self._finish_safely(view, done)
        if found:
            done.data = wire.spliced(data, resources)
        if done.lifetimes is not None:
            if stamped and OUTCOME in data:
                _read_outcomes(data, resources, done.lifetimes)
            done.lifetimes.settle()
        return done

    def remember(self) -> None:
        """Have what was seen survive a restart: to be called once a ledger has it."""
        self._once.keep()

    def _decides(self, view: SpanView) -> bool:
        """Whether it could be decided what becomes of a view: a failure of ours costs one span its price."""
        try:
            self._once.decide(view)
        except Exception as error:  # noqa: BLE001 - see above
            guard.failed("tell views of a call apart", error)
            return False
        return True

    def _finish_safely(self, view: SpanView, done: Priced) -> None:
        """`_finish`, with a failure of ours costing one span its price and no other anything."""
        try:
            self._finish(view, done)
        except Exception as error:  # noqa: BLE001 - see above
            guard.failed("price a span", error)
            done.seen["failed", view.inference.labels.dialect] += 1

    def _finish(self, view: SpanView, done: Priced) -> None:
        """Price a view, or say why it is not, on its span."""
        labels = view.inference.labels
        if view.covered is not None:
            if not view.prepriced:
                view.scope.edits.append(wire.Edit(*view.place, _covered(view.covered), view.rewritten))
            done.seen["covered", view.covered.reason] += 1
            if not view.known:
                done.joined.append(self._joined(view, view.covered))
            return
        if view.prepriced:
            charge = prepriced_charge(view)
        else:
            charge = self.kernel.price(view).plausible()
            span = view.rewritten
            if self._replaced and any(key in view.attributes for key in self._replaced):
                span = wire.without(span or view.encoded, self._replaced)
                view.attributes = wire.Span.FromString(span).attributes
            view.scope.edits.append(wire.Edit(*view.place, self._fragments.of(view, charge), span))
        entries = priced_calls(view, charge, self.kernel) if self._events else ()
        if done.lifetimes is not None and a.AICOST_RUN_ID not in view.attributes:
            done.lifetimes.place(entries, view.span)
        owners = view.attributes.get
        done.counted.append(
            _new(
                CountedCall,
                (
                    view.told,
                    labels,
                    view.resource,
                    tuple([owners(name) for name in self._owners]),
                    view.usage,
                    view.chargeable,
                    view.error_type is not None,
                    charge,
                    view.known or view.prepriced,
                    view.prepriced or view.metered,
                    entries,
                    view.replaces,
                ),
            )
        )

    def _joined(self, view: SpanView, covered: Covered) -> Joined:
        charge = self.kernel.price(view).plausible()
        kind: SightingKind = "differs" if view.differs else "joined"
        sighting = None
        if self._events:
            sighting = Sighting(kind, covered.reason, covered.by, view.scope.name, event_of(view), charge)
        return Joined(kind, covered.reason, charge, sighting)


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


def _view(
    data: bytes,
    resource: wire.ResourceSpans,
    scope: wire.ScopeSpans,
    dialect: Dialect,
    place: tuple[int, int, int],
    done: Priced,
) -> SpanView | None:
    """The inference that a span reports, if it does. A span that cannot be decoded is taken out."""
    encoded = data[place[1] : place[2]]
    try:
        return _read(encoded, resource, scope, dialect, place, done)
    except DecodeError:
        scope.edits.append(wire.Edit(*place, None))
        done.rejected += 1
    except Exception as error:  # noqa: BLE001 - a failure of ours costs one span its price
        guard.failed("read a span", error)
        done.seen["failed", dialect.id] += 1
    return None


def _read(
    encoded: bytes,
    resource: wire.ResourceSpans,
    scope: wire.ScopeSpans,
    dialect: Dialect,
    place: tuple[int, int, int],
    done: Priced,
) -> SpanView | None:
    span = wire.Span.FromString(encoded)
    attributes = span.attributes
    inference = dialect.read(span.name, attributes, wire.decoded)
    if done.lifetimes is not None:
        if scope.name == WIRE and a.AICOST_COST_STATUS in attributes:
            inference = prepriced_inference(attributes, inference)
        elif inference is None:
            tell = done.lifetimes.own if scope.name == WIRE else done.lifetimes.of_another
            tell(span, lambda: owners_of(resource, attributes, encoded))
    if inference is None:
        return None
    view = SpanView(scope, place, encoded, span, inference, resource)
    if view.key is NAMELESS:
        told = done.nameless[view.event_id]
        done.nameless[view.event_id] += 1
        view.number(told)
    if _STAMP in encoded:
        if scope.name != WIRE:
            _ignore_statements(view)
        elif a.AICOST_COVERED_REASON in attributes:
            done.seen["settled", dialect.id] += 1
            return None
        elif a.AICOST_COST_STATUS in attributes:
            take_prepriced(view)
        view.stamped = True
    if span.status.code == _ERROR and not view.prepriced:
        view.chargeable, view.error_type = failure_of(wire.DecodedAttributes(attributes), inference)
        view.complete = view.complete and view.chargeable is not Chargeable.POSSIBLY
    return view


def _is_storage(view: SpanView) -> bool:
    """Whether it is an operation of a database: nobody has another view of those."""
    return view.inference.labels.dialect is STORAGE


def _read_outcomes(data: bytes, resources: Sequence[wire.ResourceSpans], lifetimes: Lifetimes) -> None:
    for resource in resources:
        for scope in resource.scopes:
            for _, start, end in scope.spans:
                if data.find(OUTCOME, start, end) < 0:
                    continue
                try:
                    encoded = data[start:end]
                    attributes = wire.Span.FromString(encoded).attributes
                    lifetimes.outcomes(encoded, owners_of(resource, attributes, encoded))
                except DecodeError:
                    continue  # it was left out, or is handed on as it came
                except Exception as error:  # noqa: BLE001 - a failure of ours costs one span its outcomes
                    guard.failed("read outcomes", error)


OWN_STATEMENTS = tuple(
    f"aicost.{name}." for name in ("cost", "covered", "event", "usage", "request", "response", "provider", "gateway")
)
"""How attributes begin that only aicost's own spans are believed to say."""


def _ignore_statements(view: SpanView) -> None:
    """Take out what a span of somebody else says of its identity and cost.

    One that aicost adopted in its process says the very id that it has here; it was metered there, and is priced again.
    """
    stated = [key for key in wire.names_in(view.attributes) if key.startswith(OWN_STATEMENTS)]
    if not stated:
        return
    said = view.attributes.get(a.AICOST_EVENT_ID)
    view.metered = said is not None and wire.decoded(said) == view.event_id
    if not view.metered and a.AICOST_COVERED_REASON not in view.attributes:
        view.flags = (*view.flags, "ignored_statement:aicost")
    view.rewritten = wire.without(view.encoded, frozenset(stated))
    view.span = wire.Span.FromString(view.rewritten)
    view.attributes = view.span.attributes


def _links(data: bytes, resources: Sequence[wire.ResourceSpans]) -> Links:
    found: dict[bytes, tuple[bytes, bool]] = {}
    for resource in resources:
        for scope in resource.scopes:
            for _, start, end in scope.spans:
                try:
                    span = wire.Span.FromString(data[start:end])
                except DecodeError:
                    continue
                role = role_of(str(span.name, "utf-8", "replace"), wire.DecodedAttributes(span.attributes))
                boundary = role is not None and role.kind != "inference"
                found[span.trace_id + span.span_id] = (span.parent_span_id, boundary)
    return found
