"""Counted once: of several views of one inference, which one is charged.

A call to a model may be seen by the client that makes it, by the framework that asked for it, by the client's own
spans, and by another vendor's instrumentation of any of them. All but one are *covered*: they stay in the trace and
say why they carry no amount. Four rules decide, the first that holds:

1. `below`: something nearer to the wire, inside this view, counted it;
2. `above`: this view is inside a call that aicost itself records;
3. `same_response`: the provider's id of the response was counted already;
4. `same_call`: another observer's view of the same time and the same counts was counted, one for one. Spans made from
   callbacks are nobody's parent, so neither of the first two can know.

What a cache of the application answered (`cache`) is no inference at all.

Rules 1 and 2 need no telemetry to be set up: a `Sight` travels in the context. Across foreign spans it travels on the
span objects themselves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, get_current_span

from aicost.scopes.scope import Scope
from aicost.usage.event import Billed, UsageEvent

from .metrics import token_sums

REMEMBERED = 20_000
"""Events whose identity is kept in memory, so that one seen twice counts once in live totals and metrics."""

_RECENT = 2_000
_SLACK_NS = 20_000_000
_KEY = otel_context.create_key("aicost-sight")
_ON_SPAN = "_aicost_sight"
_TEXT = {"chat", "text_completion", "generate_content"}

WIRE = "aicost"
"""The observer that is nearest to the wire: aicost's own wrapper of a client."""

Reason = Literal["below", "above", "same_response", "same_call", "cache"]


class Covered(NamedTuple):
    """Why a view is not counted, and by which event its inference is, if that is known already."""

    reason: Reason
    by: str | None


class Sight:
    """One view of what may be an inference, while it is open."""

    __slots__ = ("_inside", "billed", "by", "family", "outer", "run", "step", "wire")

    def __init__(self, operation: str | None, scope: Scope, outer: Sight | None, *, wire: bool) -> None:
        self.family = family(operation)
        """What it may be a view of; None while that is not known."""
        self.outer = outer
        self.run, self.step = scope.run, scope.step
        self.wire = wire
        self.by: str | None = None
        """The event that counted it from below."""
        self.billed = True
        """False once it is known that nothing was done that could be billed."""
        self._inside: list[Sight] = []
        if wire:
            self.claim()

    def of(self, operation: str) -> None:
        """What it is a view of, once that is known."""
        self.family = family(operation)

    def claim(self) -> None:
        """The views around this one are covered by it. A call claims as it opens, so that they may end before it."""
        for view in self._around():
            view._inside.append(self)

    def tell(self, by: str) -> None:
        """The views around this one are counted by that event."""
        for view in self._around():
            view.by = by

    def is_covered(self, *, with_usage: bool) -> bool:
        """Whether something inside saw it. What carries usage is covered only by what may have been billed."""
        return any(view.family == self.family and (view.billed or not with_usage) for view in self._inside)

    def is_inside_call(self) -> bool:
        """Whether a call that aicost records is around it."""
        return any(view.wire for view in self._around())

    def _around(self) -> Iterator[Sight]:
        """The views of the same inference around this one. A step or run between them makes it another."""
        view = self.outer
        while view is not None and view.run is self.run and view.step is self.step:
            if view.family is None or self.family is None or view.family == self.family:
                yield view
            view = view.outer


def family(operation: str | None) -> str | None:
    """Operations that different observers call differently are one family."""
    return "text" if operation in _TEXT else operation


def sight_around(context: Context | None = None) -> Sight | None:
    """The innermost view that is open in a context."""
    sight = getattr(get_current_span(context), _ON_SPAN, None)
    if sight is None:
        sight = otel_context.get_value(_KEY, context)
    return sight if isinstance(sight, Sight) else None


def with_sight(sight: Sight, span: Span, context: Context) -> Context:
    """A context inside a view."""
    mark_span(span, sight)
    return otel_context.set_value(_KEY, sight, context)


def mark_span(span: Span, sight: Sight) -> None:
    """What is started under a span is inside this view. A span that is not recorded is shared, and not marked."""
    if span.is_recording():
        setattr(span, _ON_SPAN, sight)


class Counted:
    """The events this process has counted lately; the ledger knows by itself, and for ever."""

    def __init__(self) -> None:
        self._seen: dict[str, _Known] = {}
        self._recent: deque[_Recent] = deque(maxlen=_RECENT)
        self._lock = threading.Lock()

    def has_seen(self, event_id: str) -> bool:
        """Whether an event of that identity was counted, with its usage."""
        seen = self._seen.get(event_id)
        return seen is not None and seen.counted

    def news(self, event: UsageEvent, observer: str) -> Literal["event", "usage"] | None:
        """What of an event was not counted yet. Of one whose usage was unknown, that is news once it is known."""
        mine = _Known(event.usage is not None)
        before = self._seen.setdefault(event.event_id, mine)
        if before is not mine:
            if before.counted or not mine.counted:
                return None
            before.counted = True
        elif len(self._seen) > REMEMBERED:
            self._seen.pop(next(iter(self._seen)), None)
        self._recent.append(_Recent(event, {observer}))
        return "event" if before is mine else "usage"

    def covered(self, sight: Sight | None, event: UsageEvent, observer: str) -> Covered | None:
        """Whether this event is another view of one that is counted; None if it is to be counted itself."""
        if sight is not None:
            if sight.is_covered(with_usage=bool(event.usage)):
                return Covered("below", sight.by)
            if sight.is_inside_call():
                return Covered("above", None)
        if event.response_id is not None and self.has_seen(event.event_id):
            return Covered("same_response", event.event_id)
        twin = self._twin(event, observer)
        return None if twin is None else Covered("same_call", twin)

    def completes(self, event: UsageEvent, observer: str) -> str | None:
        """The event of another observer's view of the same call that had no usage, which this one has."""
        if not event.usage:
            return None
        return self._seen_by_another(
            event,
            observer,
            lambda seen: seen.usage is None and seen.billed is Billed.YES and _same_model(seen, event),
        )

    def _twin(self, event: UsageEvent, observer: str) -> str | None:
        counts = _counts(event)
        return self._seen_by_another(
            event,
            observer,
            lambda seen: (
                not (seen.response_id and event.response_id)
                and (_counts(seen) == counts if event.usage else _same_model(seen, event))
            ),
        )

    def _seen_by_another(self, event: UsageEvent, observer: str, is_same: Callable[[UsageEvent], bool]) -> str | None:
        """The latest event at that time that others saw and this observer has not; it has now.

        What matters is the time the observer had its eye on it, until now: some end a stream's span with the time at
        which they were handed the stream.
        """
        event = replace(event, ended_ns=max(event.ended_ns, time.time_ns()))
        kind = family(event.operation)
        with self._lock:
            for other in reversed(list(self._recent)):  # others append meanwhile
                seen = other.event
                if (
                    observer not in other.observers
                    and family(seen.operation) == kind
                    and one_within_the_other(seen, event)
                    and is_same(seen)
                ):
                    other.observers.add(observer)
                    return seen.event_id
        return None


class _Known:
    """An event that was seen, and whether its usage was."""

    __slots__ = ("counted",)

    def __init__(self, counted: bool) -> None:
        self.counted = counted


class _Recent(NamedTuple):
    """An event that was counted, and who has seen it."""

    event: UsageEvent
    observers: set[str]


def _counts(event: UsageEvent) -> tuple[int, int]:
    return token_sums(event.usage or {})


def _same_model(one: UsageEvent, other: UsageEvent) -> bool:
    return not {one.model, one.request_model}.isdisjoint({other.model, other.request_model})


def one_within_the_other(one: Any, other: Any) -> bool:
    if one.started_ns > other.started_ns:
        one, other = other, one
    # Two that merely overlap are two calls; what is observed from outside contains what is seen inside.
    return bool(
        other.ended_ns <= one.ended_ns + _SLACK_NS
        or (other.started_ns <= one.started_ns + _SLACK_NS and one.ended_ns <= other.ended_ns + _SLACK_NS)
    )
