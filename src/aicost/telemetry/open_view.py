"""Views of what may be an inference while they are open in this process: which is inside which.

A `OpenView` travels in the context, so it needs no telemetry to be set up; across foreign spans it travels on the span
objects themselves. What follows from it is decided in `deduplication`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, get_current_span

from aicost.scopes.scope import Scope
from aicost.usage.event import Origin, UsageEvent
from aicost.usage.meters import token_sums

from .deduplication import Covered
from .evidence import agree, family

_KEY = otel_context.create_key("aicost-open-view")
_ON_SPAN = "_aicost_open_view"


class CallNames(NamedTuple):
    """What is known of a call before it is answered: whom it asks for what."""

    provider: str
    model: str
    request_model: str | None
    origin: Origin


class OpenView:
    """One view of what may be an inference."""

    __slots__ = (
        "_inside",
        "by",
        "chargeable",
        "ended",
        "event",
        "family",
        "heard",
        "names",
        "outer",
        "run",
        "step",
        "wire",
    )

    def __init__(self, operation: str | None, scope: Scope, outer: OpenView | None, *, wire: bool) -> None:
        self.family: str | None = None if operation is None else family(operation)
        """What it may be a view of; None while that is not known."""
        self.outer = outer
        self.run, self.step = scope.run, scope.step
        self.wire = wire
        self.by: str | None = None
        """The event that counted it from below."""
        self.chargeable = True
        """False once it is known that nothing was done that could be billed."""
        self.names: CallNames | None = None
        self.event: UsageEvent | None = None
        """What it told of, once that is known."""
        self.heard: UsageEvent | None = None
        """What a view inside of this call told of it, with its usage, which the call itself may turn out to lack."""
        self.ended = False
        """What is begun from then on, where its context was inherited, is not inside of it."""
        self._inside: list[OpenView] = []
        if wire:
            self.claim()

    def of(self, operation: str) -> None:
        """What it is a view of, once that is known."""
        self.family = family(operation)

    def claim(self) -> None:
        """The views around this one are covered by it. A call claims as it opens, so that they may end before it."""
        for view in self._around():
            view._inside.append(self)

    def tell(self, event: UsageEvent) -> None:
        """The views around this one are counted by that event."""
        self.event = event
        for view in self._around():
            view.by = event.event_id

    def covered(self, event: UsageEvent) -> Covered | None:
        """Why this view, which tells of that event, is not counted, if what is inside of it or around it is.

        What carries usage is covered from below only by what may have been billed.
        """
        for view in self._inside:
            if view.family == self.family and (view.chargeable or not event.usage) and not view.is_another(event):
                return Covered("below", self.by if view.event is None else view.event.event_id)
        for view in self._around():
            if view.wire and not view.is_another(event):
                view.heard = event if event.usage else view.heard
                return Covered("above", None)
        return None

    def is_another(self, event: UsageEvent) -> bool:
        """Whether it is surely of another call than an event around or inside it: a guard that asks a small model."""
        mine = self.event or self.names
        if mine is None or agree(mine, event):
            return False
        counts = None if self.event is None or not self.event.usage else token_sums(self.event.usage)
        return counts is None or not event.usage or counts != token_sums(event.usage)

    def _around(self) -> Iterator[OpenView]:
        """The views of the same inference around this one. A step or run between them makes it another."""
        view = self.outer
        while view is not None and view.run is self.run and view.step is self.step:
            if view.family is None or self.family is None or view.family == self.family:
                yield view
            view = view.outer


def open_view_around(context: Context | None = None) -> OpenView | None:
    """The innermost view that is open in a context."""
    open_view = getattr(get_current_span(context), _ON_SPAN, None)
    if open_view is None:
        open_view = otel_context.get_value(_KEY, context)
    found = open_view if isinstance(open_view, OpenView) else None
    while found is not None and found.ended:
        found = found.outer
    return found


def with_open_view(open_view: OpenView, span: Span, context: Context) -> Context:
    """A context inside a view."""
    mark_span(span, open_view)
    return otel_context.set_value(_KEY, open_view, context)


def mark_span(span: Span, open_view: OpenView) -> None:
    """What is started under a span is inside this view. A span that is not recorded is shared, and not marked."""
    if span.is_recording():
        setattr(span, _ON_SPAN, open_view)
