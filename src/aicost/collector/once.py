"""Counted once: of several spans that tell of one inference, which one is charged.

The rules are those of `aicost.telemetry.once`, told from finished spans: the view nearest to the wire wins (`below`,
`above`), a response of a provider counts once (`same_response`), and so do two observers' views of the same time and
counts in one process (`same_call`). A span that comes a second time, because its sender never heard that it had
arrived, is decided as it was the first time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from aicost.telemetry.dialects import Inference
from aicost.telemetry.metrics import token_sums
from aicost.telemetry.once import Covered, family, one_within_the_other
from aicost.usage.event import Billed
from aicost.usage.meters import Quantity

from .wire import ScopeSpans

REMEMBERED = 100_000
"""Spans of models that are remembered, at least a third of them by all that they may be met again by."""

_RECENT = 20_000
"""Inferences that another observer's view of may still come."""

Links = Mapping[bytes, "tuple[bytes, bool]"]
"""By trace and span: the parent, and whether the span is an agent, tool, workflow or step."""


class View:
    """One inference, as one span reports it. What the kernel prices is here, too."""

    __slots__ = (
        "attributes",
        "billed",
        "complete",
        "covered",
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
        "model",
        "operation",
        "parent",
        "place",
        "provider",
        "provider_cost",
        "region",
        "resource",
        "scope",
        "service_tier",
        "span",
        "speed",
        "stamped",
        "started_ns",
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
        labels, response_id, reading, self.estimated, _ = inference
        self.provider, self.service_tier = labels.provider, labels.service_tier
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
        self.key: bytes = trace_id + span_id
        self.parent: bytes = trace_id + span.parent_span_id
        """The span that it is inside of."""
        self.event_id = f"{labels.provider}:{response_id}" if response_id else _span_identity(span)
        """The identity it is counted under."""
        if not (any(trace_id) and any(span_id)):  # ids that many may have are none
            self.key, self.parent = f"{place[0]}:{self.event_id}".encode(), b""
        self.started_ns: int = span.start
        self.ended_ns: int = span.end
        self.stamped = False
        """It has attributes of aicost's already."""
        self.given = False
        """It was counted where the span was made."""
        self.covered: Covered | None = None
        self.known = False
        """It came before."""


class _Verdict(NamedTuple):
    event_id: str
    covered: Covered | None
    with_usage: bool
    operation: str
    response_id: str | None
    usage: Mapping[str, Quantity] | None
    resource: bytes


class _Seen:
    """An inference that was counted, and by whom it was seen."""

    __slots__ = ("ended_ns", "event_id", "has_id", "observers", "started_ns")

    def __init__(self, started_ns: int, ended_ns: int, event_id: str, has_id: bool, observer: str) -> None:
        self.started_ns, self.ended_ns, self.event_id, self.has_id = started_ns, ended_ns, event_id, has_id
        self.observers = {observer}


_What = tuple[bytes, str | None, int, int]
_Glimpse = tuple[bytes, str, Mapping[str, Quantity], int, int, str, bool, str]


class Once:
    """Decides which views are counted, and remembers it for those that come in later requests. Of one thread."""

    def __init__(self) -> None:
        self._known: dict[bytes | str, _Verdict] = {}
        """By trace and span; by event; and, with a mark, by the span around it."""
        self._observers: dict[bytes, set[str]] = {}
        """Who looks on in a process."""
        self._recent: deque[_Glimpse] = deque(maxlen=_RECENT)
        self._met: dict[_What, list[_Seen]] = {}
        """What `_recent` was, in order, once it is needed."""

    def settle(self, views: list[View], links: Callable[[], Links]) -> None:
        """Decide for the views of one request. `links` says how its spans are nested; it is asked only if need be."""
        if not views:
            return
        views.sort(key=_ended)
        if any(view.scope is not views[0].scope for view in views):
            _find_outer(views, links())
        for view in views:
            self.decide(view)

    def decide(self, view: View) -> None:
        """Decide for one view; those inside of it were decided before."""
        known = self._known
        verdict = known.get(view.key)
        if verdict is not None:
            view.event_id, view.covered, view.known = verdict.event_id, verdict.covered, True
            return
        several = self._is_watched_by_several(view)
        if not view.given:
            self._decide(view, several)
        verdict = _Verdict(
            view.event_id,
            view.covered,
            view.given or view.usage is not None,
            view.operation,
            view.inference.response_id,
            view.usage,
            view.resource,
        )
        known[view.key] = verdict
        if view.covered is None:
            known[view.parent + b"<"] = verdict
            if view.inference.response_id is not None:
                known[view.event_id] = verdict
            if view.usage:
                has_id = view.inference.response_id is not None
                self._recent.append(
                    (
                        view.resource,
                        view.operation,
                        view.usage,
                        view.started_ns,
                        view.ended_ns,
                        view.event_id,
                        has_id,
                        view.scope.name,
                    )
                )
        if len(known) > 3 * REMEMBERED:
            for key in list(islice(known, len(known) - 2 * REMEMBERED)):
                del known[key]

    def _is_watched_by_several(self, view: View) -> bool:
        """Whether several observers look on in the process it is of."""
        scope = view.scope
        if scope.observers is None:
            observers = self._observers.get(view.resource)
            if observers is None:
                if len(self._observers) > REMEMBERED:
                    self._observers.clear()
                observers = self._observers[view.resource] = set()
            observers.add(scope.name)
            scope.observers = observers
        return len(scope.observers) > 1

    def _decide(self, view: View, several: bool) -> None:
        known, with_usage, operation = self._known, view.usage is not None, view.operation
        below = known.get(view.key + b"<")
        if below is not None and _same(below.operation, operation) and not _different(below, view):
            if below.with_usage or not with_usage:
                view.covered = Covered("below", below.event_id)
            else:  # it was counted without its usage, which this view has
                view.event_id = below.event_id
            return
        above = known.get(view.parent)
        if (
            above is not None
            and above.covered is None
            and _same(above.operation, operation)
            and not _different(above, view)
        ):
            if above.with_usage or not with_usage:
                view.covered = Covered("above", above.event_id)
            else:
                view.event_id = above.event_id
            return
        if view.inference.response_id is not None:
            before = known.get(view.event_id)
            if before is not None and before.resource != view.resource and _counts(before) != _counts(view):
                # Two servers that number their responses alike, asked by two processes.
                view.event_id = _span_identity(view.span)
            elif before is not None and (before.with_usage or not with_usage):
                view.covered = Covered("same_response", view.event_id)
                return
        if several and view.usage:
            self._meet(view)

    def _meet(self, view: View) -> None:
        """Cover a view that another observer in the same process had too: of the same time and counts, one for one."""
        while self._recent:
            resource, operation, usage, started_ns, ended_ns, event_id, has_id, observer = self._recent.popleft()
            seen = _Seen(started_ns, ended_ns, event_id, has_id, observer)
            self._met.setdefault(_what(resource, operation, usage), []).append(seen)
        if len(self._met) > _RECENT:
            for key in list(islice(self._met, len(self._met) - _RECENT // 2)):
                del self._met[key]
        here = view.scope.name
        for seen in self._met.get(_what(view.resource, view.operation, view.usage or {}), ()):
            if (
                here not in seen.observers
                and not (seen.has_id and view.inference.response_id)
                and one_within_the_other(seen, view)
            ):
                seen.observers.add(here)
                view.covered = Covered("same_call", seen.event_id)
                return


def _ended(view: View) -> int:
    return view.ended_ns


def _counts(one: Any) -> tuple[int, int]:
    return token_sums(one.usage or {})


def _different(one: _Verdict, view: View) -> bool:
    """Whether two views are surely of two calls: each has a response id and counts, and they differ in both."""
    ids = one.response_id, view.inference.response_id
    return None not in ids and ids[0] != ids[1] and _counts(one) != _counts(view)


def _span_identity(span: Any) -> str:
    return f"span:{span.trace_id.hex()}:{span.span_id.hex()}:1"


def _same(one: str, other: str) -> bool:
    return one == other or family(one) == family(other)


def _what(resource: bytes, operation: str, usage: Mapping[str, Quantity]) -> _What:
    return (resource, family(operation), *token_sums(usage))


def _find_outer(views: list[View], links: Links) -> None:
    """Make each view's parent the nearest view around it, or the outermost span that is known to be around it.

    An agent, tool, workflow or step between two views makes them two calls.
    """
    here = {view.key: view.operation for view in views}
    for view in views:
        trace, outer, operation = view.trace_id, view.parent, view.operation
        for _ in range(len(links)):
            if outer in here:
                if not _same(here[outer], operation):
                    outer = b""
                break
            parent, boundary = links.get(outer, (b"", False))
            if boundary:
                outer = b""
                break
            if not parent:
                break
            outer = trace + parent
        view.parent = outer
