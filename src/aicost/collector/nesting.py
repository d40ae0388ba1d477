"""Which views are inside which, told from finished spans in whatever order they come;
`deduplication` decides what follows.

A span that comes a second time, because its sender never heard that it had arrived, is decided as it was the first
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from aicost.telemetry.deduplication import Covered, Deduplicator
from aicost.telemetry.evidence import agree, family
from aicost.usage.meters import token_sums

from .memory import Memory
from .view import Glance, SpanView

REMEMBERED_SPANS = 100_000
"""Spans of models that are remembered, at least a third of them by all that they may be met again by."""

_MOST_INSIDE = 16
"""Of what is inside one span, how much is looked at."""

Links = Mapping[bytes, "tuple[bytes, bool]"]
"""By trace and span: the parent, and whether the span is an agent, tool, workflow or step."""


_new = tuple.__new__


class _Verdict(NamedTuple):
    """What became of a view."""

    event_id: str
    covered: Covered | None
    seen: Glance
    prepriced: bool


class SpanDeduplicator:
    """Decides which views are counted, and remembers it for those that come in later requests. Of one thread."""

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory
        self._news: list[SpanView] = []
        self._verdicts: dict[str, _Verdict] = {}
        """By the event that the view tells of."""
        self._spans: dict[bytes, _Verdict] = {}
        """By trace and span."""
        self._inside: dict[bytes, list[_Verdict]] = {}
        """What is counted, by the span around it."""
        self._counted = Deduplicator(REMEMBERED_SPANS)
        for view in memory.remembered(REMEMBERED_SPANS) if memory is not None else ():
            with suppress(Exception):  # a damaged line is one view forgotten, and no reason not to start
                self._decide(view)

    def settle(self, views: list[SpanView], links: Callable[[], Links], decide: Callable[[SpanView], object]) -> None:
        """Decide for the views of one request. `links` says how its spans are nested; it is asked only if need be."""
        if not views:
            return
        views.sort(key=_ended)
        if any(view.scope is not views[0].scope for view in views):
            _find_outer(views, links())
        for view in views:
            decide(view)

    def keep(self) -> None:
        """Have what was decided survive a restart."""
        if self._memory is not None and self._news:
            self._memory.keep(self._news)
            self._news.clear()

    def decide(self, view: SpanView) -> None:
        """Decide for one view; those inside of it were decided before."""
        self._decide(view)
        if self._memory is not None and not view.known:
            self._news.append(view)

    def _decide(self, view: SpanView) -> None:
        event_id = view.told = view.event_id
        verdict = self._verdicts.get(event_id)
        if verdict is not None:
            view.event_id, view.covered, view.known = verdict.event_id, verdict.covered, True
            view.differs = view.usage != verdict.seen.usage
            return
        seen = view.glance()
        decided = self._counted.decide(seen, view.observer, wire=view.prepriced, nested=self._nested(view, seen))
        view.covered, view.differs, view.replaces = decided.covered, decided.differs, decided.replaces
        if decided.completes is not None:
            view.event_id = decided.completes
            seen = view.glance()
        verdict = self._verdicts[event_id] = _new(_Verdict, (view.event_id, view.covered, seen, view.prepriced))
        self._spans[view.key] = verdict
        if view.covered is None:
            self._counted.news(seen)
            inside = self._inside.setdefault(view.parent, [])
            if len(inside) < _MOST_INSIDE:
                inside.append(verdict)
        _forget(self._spans)
        _forget(self._inside)
        _forget(self._verdicts)

    def _nested(self, view: SpanView, seen: Glance) -> Covered | None:
        """The view inside of this one or around it that is counted, if it is of the same inference."""
        for below in self._inside.get(view.key, ()):
            if _is_one(below, view.prepriced, seen):
                return Covered("below", below.event_id)
        above = self._spans.get(view.parent)
        if above is not None and above.covered is None and _is_one(above, view.prepriced, seen):
            return Covered("above", above.event_id)
        return None


def _forget(memory: dict[Any, Any]) -> None:
    """Keep a memory within its bound."""
    if len(memory) > REMEMBERED_SPANS:
        for old in list(islice(memory, REMEMBERED_SPANS // 2)):
            del memory[old]


def _ended(view: SpanView) -> int:
    return view.ended_ns


def _is_one(verdict: _Verdict, prepriced: bool, other: Glance) -> bool:
    """Whether two views, one inside the other, are of the same inference."""
    one = verdict.seen
    if family(one.operation) != family(other.operation) or (verdict.prepriced and prepriced):
        return False
    ids = one.response_id, other.response_id
    if None in ids or ids[0] == ids[1]:
        return agree(one, other)
    # Each has an id of its own: they are surely two only if they count differently, too.
    return token_sums(one.usage or {}) == token_sums(other.usage or {}) and agree(one, other)


def _find_outer(views: list[SpanView], links: Links) -> None:
    """Make each view's parent the nearest view around it, or the outermost span that is known to be around it.

    An agent, tool, workflow or step between two views makes them two calls.
    """
    here = {view.key: view.operation for view in views}
    known: dict[bytes, bytes] = {}
    for view in views:
        trace, outer, way = view.trace_id, view.parent, []
        # Each span is gone over once, however many views are below it.
        while outer not in here and outer not in known:
            way.append(outer)
            known[outer] = outer  # what is around itself ends here
            parent, boundary = links.get(outer, (b"", False))
            if boundary or not parent:
                outer = b"" if boundary else outer
                break
            outer = trace + parent
        outer = known.get(outer, outer) if outer not in here else outer
        known.update(dict.fromkeys(way, outer))
        view.parent = b"" if outer in here and family(here[outer]) != family(view.operation) else outer
