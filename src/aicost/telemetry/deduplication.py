"""Counted once: of several views of one inference, which one is charged.

A call to a model may be seen by the client that makes it, by the framework that asked for it, by the client's own
spans, and by another vendor's instrumentation of any of them. All but one are *covered*: they stay in the trace and
say why they carry no amount. An event's identity is minted by whoever made the attempt, and two attempts of one
observer are two events, whatever they share. Views of *different* observers are one by the first of these that holds:

1. `below`, `above`: one is inside the other. The door knows (`open_view` in the process, `collector.nesting` of spans);
2. `downstream`: a process further down was sent this attempt's id, or its gateway's, and counted the work;
3. `same_response`: the provider gave both the same id, and it is one that a provider gives once; an id of a server
   that numbers its answers, or repeats one, needs the same time and the same counts, too;
4. `same_call`: both are of the same time and the same counts, in one process. Spans made from callbacks are nobody's
   parent, so nothing else can know.

For 3 and 4 provider, host and model have to agree wherever both name them, and they match one for one. What is nearest
to the wire wins: where it comes last, it replaces what was counted for it. Where nothing is certain, money is kept.

One memory serves the process and the collector; what differs is how a door tells which view is inside which.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from weakref import WeakSet

from aicost import _forks
from aicost.usage.event import SKEW_NS, Chargeable
from aicost.usage.meters import token_sums

from .evidence import SLACK_NS, View, agree, family, is_unique, names_same_model, one_within_the_other

REMEMBERED_VIEWS = 20_000
"""Events whose identity is kept in memory, so that one seen twice counts once in live totals and metrics."""

_RECENT = 4_000
"""Views that another observer's view may still come of, of each process."""
_ALIKE = 64
"""Of views that share a response id or all their counts, how many are kept."""
_NEAR_NS = 60_000_000_000
"""How far apart views that share a weak response id and all counts may be."""

WIRE = "aicost"
"""The observer that is nearest to the wire: aicost's own wrapper of a client."""

Reason = Literal["below", "above", "downstream", "same_response", "same_call", "cache", "replay"]


class Covered(NamedTuple):
    """Why a view is not counted, and by which event its inference is, if that is known already."""

    reason: Reason
    by: str | None


class Verdict(NamedTuple):
    """What becomes of a view. One that is not covered is counted."""

    covered: Covered | None = None
    completes: str | None = None
    """The event that another observer counted without its usage, which this view has."""
    replaces: tuple[str, ...] = ()
    """Events that were counted from further away, and are this one."""
    differs: bool = False
    """Whether it is joined to one that counts otherwise: a contradiction, for a person to look at."""


COUNTED = Verdict()


class Observer(NamedTuple):
    """Who has seen a view: an instrumentation, in a process."""

    name: str
    process: bytes = b""


class _Seen:
    """A view that is counted, and who has seen what it is a view of."""

    __slots__ = ("counts", "event_id", "kind", "observers", "owner", "process", "response_id", "view", "wire")

    def __init__(self, view: View, observer: Observer, wire: bool) -> None:
        self.view, self.wire = view, wire
        self.event_id, self.process = view.event_id, observer.process
        self.response_id = view.response_id
        """Its alias, which another observer may have told."""
        self.kind = family(view.operation)
        self.observers = {observer: view.response_id is not None}
        """Who has seen it, and whether the response's id said so."""
        self.counts = None if view.usage is None else token_sums(view.usage)
        self.owner: _Seen | None = None
        """The wire's own view that took it over."""

    def is_one_with(
        self, view: View, counts: tuple[int, int] | None, observer: Observer, until: int
    ) -> tuple[Reason, bool] | None:
        """Why that view is of the same inference, if it is, and whether it can be of no other.

        What its observer took for it by time and counts alone gives way to what has the response's id.
        """
        mine, by_id = self.view, self.observers.get(observer)
        if by_id or self.kind != family(view.operation) or not agree(mine, view):
            return None
        here = self.process == observer.process
        equal = counts is not None and counts == self.counts
        within = here and one_within_the_other(mine, view.started_ns, until)
        if self.response_id and view.response_id:
            if self.response_id != view.response_id:
                return None
            if is_unique(view.response_id, mine.provider, mine.origin.host or view.origin.host):
                return "same_response", True
            if equal and within:
                return "same_response", True
            near = here and equal and abs(mine.started_ns - view.started_ns) <= _NEAR_NS
            return ("same_response", False) if by_id is None and (near or within) else None
        if by_id is not None:
            return None
        if equal:
            # Some make a span of a stream's end alone, just after it.
            close = here and one_within_the_other(mine, view.started_ns, until, SLACK_NS)
            return ("same_call", within) if close and counts != (0, 0) else None
        if not within or (counts is not None and self.counts is not None):
            return None
        # Without counts to compare, the model has to be named by both; and what was not billed used nothing.
        unused = mine if self.counts is None else view
        differ = (counts is None) is not (self.counts is None)
        lacks = differ and (
            unused.chargeable is Chargeable.NO or (counts is not None and mine.chargeable is not Chargeable.YES)
        )
        return ("same_call", False) if names_same_model(mine, view) and not lacks else None


class Deduplicator:
    """What was counted lately, and by whom it was seen; a ledger knows by itself, and for ever."""

    def __init__(self, remembered: int = REMEMBERED_VIEWS) -> None:
        self._remembered = remembered
        self._known: dict[str, _Known] = {}
        self._observers: dict[bytes, set[str]] = {}
        self._waiting: deque[tuple[View, Observer, bool]] = deque(maxlen=_RECENT)
        """What nobody else had a look at so far: it is put in order once somebody has."""
        self._by_response: _Index[tuple[bool, str]] = _Index(remembered)
        self._by_counts: _Index[tuple[bool, bytes, str, tuple[int, int]]] = _Index(remembered)
        self._without_usage: _Index[tuple[bool, bytes, str]] = _Index(_RECENT)
        self._of_kind: _Index[tuple[bool, bytes, str]] = _Index(_RECENT)
        self._downstream: dict[str, tuple[str, int]] = {}
        """By the id of a caller's attempt: the event that is its work, and when that began."""
        self._replaced: dict[str | None, str] = {}
        """Events that are counted by another now."""
        self._answers: dict[tuple[str, str], int] = {}
        """Digests of answers, by host and id."""
        # One that its own thread may take again, see `decide`.
        self._lock = _forks.lock()
        self._deciding = False
        _memories.add(self)

    def has_seen(self, event_id: str) -> bool:
        """Whether an event of that identity was counted, with its usage."""
        seen = self._known.get(event_id)
        return seen is not None and seen.counted

    def knows(self, event_id: str) -> bool:
        """Whether there is an event of that identity, with its usage or without."""
        return event_id in self._known

    def is_replay(self, answer: tuple[str, str], digest: int) -> bool:
        """Whether an answer, told by host and id, has these very bytes again; they are remembered."""
        before = self._answers.get(answer)
        self._answers[answer] = digest
        _forget_oldest(self._answers, self._remembered)
        return before == digest

    def news(self, view: View) -> Literal["event", "usage"] | None:
        """What of an event was not counted yet. Of one whose usage was unknown, that is news once it is known."""
        mine = _Known(view.usage is not None, view.chargeable is Chargeable.YES)
        before = self._known.setdefault(view.event_id, mine)
        if before is mine:
            _forget_oldest(self._known, self._remembered)
            return "event"
        if before.counted or not mine.counted:
            return None
        before.counted = True
        return "usage"

    def decide(
        self, view: View, observer: Observer, *, wire: bool, nested: Covered | None = None, now: int = 0
    ) -> Verdict:
        """What becomes of a view, which is remembered as counted unless it is covered.

        `nested` is what the door knows of the views around and inside of it. `now` is how late the observer may have
        had its eye on it: some end a stream's span with the time at which they were handed the stream.
        """
        if nested is not None and not wire:
            counted_by = self._now(nested.by)
            before = self._known.get(counted_by or "")
            if view.usage and before is not None and before.lacks_usage:
                seen = _Seen(view, observer, wire)
                seen.event_id = counted_by or ""
                with self._lock:
                    if not self._deciding:
                        self._keep(seen)
                return Verdict(completes=counted_by)
            return Verdict(nested._replace(by=counted_by))
        origin = view.origin
        below = self._downstream and self._of_downstream(view)
        if below:
            return Verdict(Covered("downstream", below))
        if origin.upstream_id is not None and view.chargeable is not Chargeable.NO:
            self._downstream.setdefault(origin.upstream_id, (view.event_id, view.started_ns))
            _forget_oldest(self._downstream, self._remembered)
        with self._lock:
            if self._deciding:
                # The garbage collector or a signal has ended another span in the midst of this: it is counted, and put
                # in order later. To wait for oneself would be to wait for ever.
                self._waiting.append((view, observer, wire))
                return COUNTED
            self._deciding = True
            try:
                return self._decide(view, observer, wire, nested, now)
            finally:
                self._deciding = False

    def _decide(self, view: View, observer: Observer, wire: bool, nested: Covered | None, now: int) -> Verdict:
        if not self._is_one_of_several(observer):
            self._waiting.append((view, observer, wire))
            return COUNTED
        self._put_in_order()
        counts = None if view.usage is None else token_sums(view.usage)
        replaced = nested.by if wire and nested is not None else None
        until = max(view.ended_ns, now)
        if wire and counts is not None:
            return self._take_over(view, observer, counts, replaced, until)
        # The wire's own view that counts nothing erases nothing: what another counted for it stands.
        found = self._match(view, observer, counts, until, wire=wire)
        if found is not None:
            return self._joined(*found, view, observer, counts)
        self._keep(_Seen(view, observer, wire))
        return COUNTED

    def _take_over(
        self, view: View, observer: Observer, counts: tuple[int, int] | None, replaced: str | None, until: int
    ) -> Verdict:
        """The wire's own view, which is counted; what was counted for it from further away is not any more."""
        mine = _Seen(view, observer, wire=True)
        certain: list[_Seen] = []
        likely: list[_Seen] = []
        freed: list[_Seen] = []
        for seen in self._candidates(view, observer, counts, wire=True):
            if seen.event_id == replaced:
                if seen.owner is not None:
                    freed.append(self._freed(seen))
                certain.insert(0, seen)
            elif (found := seen.is_one_with(view, counts, observer, until)) is not None:
                (certain if found[1] else likely).append(seen)
        replaces, differs, told = [] if replaced is None else [replaced], False, {observer}
        for seen in (*certain, *likely):
            if not told.isdisjoint(seen.observers):  # one of each observer
                continue
            told.update(seen.observers)
            if seen in certain:
                mine.observers.update(seen.observers)
            differs = differs or (None not in (counts, seen.counts) and counts != seen.counts)
            replaces.append(seen.event_id)
            seen.kind, seen.owner = "", mine
        self._keep(mine)
        for owner in freed:
            replaces.extend(self._reclaimed(owner))
        return self._replacing(view, dict.fromkeys(replaces), differs)

    def _replacing(self, view: View, replaced: Iterable[str], differs: bool = False) -> Verdict:
        """A view that is counted in place of others, which those that were told of them have to know."""
        replaces = tuple(replaced)
        self._replaced.update(dict.fromkeys(replaces, view.event_id))
        _forget_oldest(self._replaced, self._remembered)
        return Verdict(replaces=replaces, differs=differs)

    def _now(self, event_id: str | None) -> str | None:
        """The event that counts what that one counted once."""
        for _ in range(8):
            if event_id not in self._replaced:
                break
            event_id = self._replaced[event_id]
        return event_id

    @staticmethod
    def _freed(seen: _Seen) -> _Seen:
        """The call that a view had been taken for, by time and counts, before its own was told of."""
        owner = seen.owner or seen
        for observer in seen.observers:
            owner.observers.pop(observer, None)
        return owner

    def _reclaimed(self, owner: _Seen) -> Iterator[str]:
        """What was counted for a call because the place was taken that it has now."""
        view, observer = owner.view, next(iter(owner.observers))
        for seen in self._candidates(view, observer, owner.counts, wire=True):
            found = seen.is_one_with(view, owner.counts, observer, view.ended_ns)
            if found is not None and found[1] and owner.observers.keys().isdisjoint(seen.observers):
                owner.observers.update(seen.observers)
                seen.kind, seen.owner = "", owner
                yield seen.event_id

    def _match(
        self, view: View, observer: Observer, counts: tuple[int, int] | None, until: int, *, wire: bool
    ) -> tuple[_Seen, Reason, bool] | None:
        """What this is another view of: rather what it must be of than what it may be of."""
        best: tuple[_Seen, Reason, bool] | None = None
        for seen in self._candidates(view, observer, counts, wire):
            found = seen.is_one_with(view, counts, observer, until)
            if found is None or (wire and (seen.wire or seen.counts is None)):
                continue
            if found[1]:
                return seen, *found
            if best is None or (counts == seen.counts and counts != best[0].counts):
                best = (seen, *found)
        return best

    def _joined(
        self,
        seen: _Seen,
        reason: Reason,
        certain: bool,
        view: View,
        observer: Observer,
        counts: tuple[int, int] | None,
    ) -> Verdict:
        """A view of what is counted already."""
        if counts is not None and seen.counts is None and seen.view.chargeable is Chargeable.YES:
            if seen.wire:
                seen.counts = counts
                seen.observers[observer] = reason == "same_response"
                return Verdict(completes=seen.event_id)
            seen.kind = ""  # nobody's twin any more: this view says all that it did
            self._keep(_Seen(view, observer, wire=False))
            return self._replacing(view, (seen.event_id,))
        if certain:  # one for one: but a view that may be of another takes no place
            seen.observers[observer] = reason == "same_response"
            if seen.response_id is None and view.response_id is not None:
                seen.response_id = view.response_id
                self._by_response.add((seen.wire, view.response_id), seen)
        return Verdict(
            Covered(reason, seen.event_id), differs=None not in (counts, seen.counts) and counts != seen.counts
        )

    def _candidates(
        self, view: View, observer: Observer, counts: tuple[int, int] | None, wire: bool
    ) -> Iterator[_Seen]:
        """What may be the same inference, the latest first; for the wire only what was counted from further away."""
        kind, process = family(view.operation), observer.process
        for by_wire in (False,) if wire else (True, False):
            if view.response_id is not None:
                yield from self._by_response.latest((by_wire, view.response_id))
            if counts is None:
                yield from self._of_kind.latest((by_wire, process, kind))
            else:
                yield from self._by_counts.latest((by_wire, process, kind, counts))
                yield from self._without_usage.latest((by_wire, process, kind))

    def _is_one_of_several(self, observer: Observer) -> bool:
        """Whether anybody else looks on, in this process or, where there are several, in another."""
        observers = self._observers.get(observer.process)
        if observers is None:
            if len(self._observers) > self._remembered:
                self._observers.clear()
            observers = self._observers[observer.process] = set()
        if len(observers) < _ALIKE:  # two are enough to know; the names are whatever spans say
            observers.add(observer.name)
        return len(observers) > 1 or len(self._observers) > 1

    def _put_in_order(self) -> None:
        waiting = self._waiting
        while waiting:
            self._keep(_Seen(*waiting.popleft()))

    def _keep(self, seen: _Seen) -> None:
        where = (seen.wire, seen.process, seen.kind)
        if seen.response_id is not None:
            self._by_response.add((seen.wire, seen.response_id), seen)
        self._of_kind.add(where, seen)
        if seen.counts is None:
            self._without_usage.add(where, seen)
        else:
            self._by_counts.add((*where, seen.counts), seen)

    def _of_downstream(self, view: View) -> str | None:
        """The event of a process further down that is the work of this attempt, and began while it was under way."""
        found, origin = self._downstream.get(view.event_id), view.origin
        if found is None and origin.gateway_call_id is not None and origin.gateway:
            found = self._downstream.get(f"gateway:{origin.gateway_call_id}")
        if found is None or not view.started_ns - SKEW_NS <= found[1] <= view.ended_ns + SKEW_NS:
            return None
        return found[0]


def _forget_oldest(remembered: dict[Any, Any], most: int) -> None:
    """Keep a memory within its bound. Other threads may be at it, too: then they see to it."""
    while len(remembered) > most:
        try:
            remembered.pop(next(iter(remembered)), None)
        except (RuntimeError, StopIteration):  # noqa: PERF203 - see above
            return


_memories: WeakSet[Deduplicator] = WeakSet()


def _in_child() -> None:
    """What another thread was deciding when the process forked, its parent goes on with."""
    for counted in _memories:
        counted._deciding = False


_forks.in_child(_in_child)


class _Known:
    """An event that was seen, and whether its usage was."""

    __slots__ = ("chargeable", "counted")

    def __init__(self, counted: bool, chargeable: bool) -> None:
        self.counted, self.chargeable = counted, chargeable

    @property
    def lacks_usage(self) -> bool:
        return self.chargeable and not self.counted


_K = TypeVar("_K")


class _Index(Generic[_K]):
    """Views by something they share, bounded in all and in those of each key."""

    def __init__(self, most: int) -> None:
        self._found: dict[_K, list[_Seen]] = {}
        self._most = most
        self._size = 0

    def add(self, key: _K, seen: _Seen) -> None:
        found = self._found.pop(key, None) or []
        self._found[key] = found  # the latest that was used is the last to be forgotten
        found.append(seen)
        self._size += 1
        if len(found) >= 2 * _ALIKE:
            self._size -= len(found) - _ALIKE
            del found[:-_ALIKE]
        while self._size > self._most and len(self._found) > 1:
            self._size -= len(self._found.pop(next(iter(self._found))))

    def latest(self, key: _K) -> Iterable[_Seen]:
        return reversed(self._found.get(key, ()))
