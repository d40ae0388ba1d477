"""Counted once: of several views of one inference, which one is charged.

A call to a model may be seen by the client that makes it, by the framework that asked for it, by the client's own
spans, and by another vendor's instrumentation of any of them. All but one are *covered*: they stay in the trace and
say why they carry no amount. An event's identity is minted by whoever made the attempt, and two attempts of one
observer are two events, whatever they share. Views of *different* observers are one by the first of these that holds:

1. `below`, `above`: one is inside the other. The door knows (`sight` in the process, `collector.nesting` among spans);
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

import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from aicost.usage.event import Billed, Origin
from aicost.usage.meters import Quantity, token_sums
from aicost.usage.model_names import same_model
from aicost.usage.providers import has_weak_ids, provider_at, same_provider

REMEMBERED = 20_000
"""Events whose identity is kept in memory, so that one seen twice counts once in live totals and metrics."""

_RECENT = 4_000
"""Views that another observer's view may still come of, of each process."""
_ALIKE = 256
"""Of views that share a response id or all their counts, how many are kept."""
_SLACK_NS = 20_000_000
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


class View(Protocol):
    """What is looked at in a view; a `UsageEvent` has it all."""

    @property
    def event_id(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def request_model(self) -> str | None: ...
    @property
    def response_id(self) -> str | None: ...
    @property
    def usage(self) -> Mapping[str, Quantity] | None: ...
    @property
    def billed(self) -> Billed: ...
    @property
    def started_ns(self) -> int: ...
    @property
    def ended_ns(self) -> int: ...
    @property
    def origin(self) -> Origin: ...


class _Seen:
    """A view that is counted, and who has seen what it is a view of."""

    __slots__ = ("counts", "event_id", "kind", "observers", "process", "response_id", "view", "wire")

    def __init__(self, view: View, observer: Observer, wire: bool) -> None:
        self.view, self.wire = view, wire
        self.event_id, self.process = view.event_id, observer.process
        self.response_id = view.response_id
        """Its alias, which another observer may have told."""
        self.kind = family(view.operation)
        self.observers = {observer: view.response_id is not None}
        """Who has seen it, and whether the response's id said so."""
        self.counts = None if view.usage is None else token_sums(view.usage)

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
            close = here and one_within_the_other(mine, view.started_ns, until, _SLACK_NS)
            return ("same_call", within) if close and counts != (0, 0) else None
        if not within or (counts is not None and self.counts is not None):
            return None
        # Without counts to compare, the model has to be named by both; and what was not billed used nothing.
        lacks = counts is not None and mine.billed is not Billed.YES
        return ("same_call", False) if names_same_model(mine, view) and not lacks else None


class Counted:
    """What was counted lately, and by whom it was seen; a ledger knows by itself, and for ever."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._known: dict[str, _Known] = {}
        self._observers: dict[bytes, set[str]] = {}
        self._waiting: deque[tuple[View, Observer, bool]] = deque(maxlen=_RECENT)
        """What nobody else had a look at so far: it is put in order once somebody has."""
        self._by_response: _Index[tuple[bool, str]] = _Index(remembered)
        self._by_counts: _Index[tuple[bool, bytes, str, tuple[int, int]]] = _Index(remembered)
        self._without_usage: _Index[tuple[bool, bytes, str]] = _Index(_RECENT)
        self._of_kind: _Index[tuple[bool, bytes, str]] = _Index(_RECENT)
        self._downstream: dict[str, str] = {}
        """By the id of a caller's attempt: the event that is its work."""
        self._lock = threading.Lock()

    def has_seen(self, event_id: str) -> bool:
        """Whether an event of that identity was counted, with its usage."""
        seen = self._known.get(event_id)
        return seen is not None and seen.counted

    def knows(self, event_id: str) -> bool:
        """Whether there is an event of that identity, with its usage or without."""
        return event_id in self._known

    def news(self, view: View) -> Literal["event", "usage"] | None:
        """What of an event was not counted yet. Of one whose usage was unknown, that is news once it is known."""
        mine = _Known(view.usage is not None, view.billed is Billed.YES)
        before = self._known.setdefault(view.event_id, mine)
        if before is mine:
            if len(self._known) > self._remembered:
                self._known.pop(next(iter(self._known)), None)
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
            before = self._known.get(nested.by or "")
            if view.usage and before is not None and before.lacks_usage:
                seen = _Seen(view, observer, wire)
                seen.event_id = nested.by or ""
                with self._lock:
                    self._keep(seen)
                return Verdict(completes=nested.by)
            return Verdict(nested)
        origin = view.origin
        below = self._downstream and self._of_downstream(view)
        if below:
            return Verdict(Covered("downstream", below))
        if origin.upstream_id is not None and view.billed is not Billed.NO:
            self._remember_downstream(origin.upstream_id, view.event_id)
        with self._lock:
            if not self._is_one_of_several(observer):
                self._waiting.append((view, observer, wire))
                return COUNTED
            self._put_in_order()
            counts = None if view.usage is None else token_sums(view.usage)
            replaced = nested.by if wire and nested is not None else None
            until = max(view.ended_ns, now)
            if wire:
                return self._take_over(view, observer, counts, replaced, until)
            found = self._match(view, observer, counts, until)
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
        for seen in self._candidates(view, observer, counts, wire=True):
            if seen.event_id == replaced:
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
            seen.kind = ""
        self._keep(mine)
        return Verdict(replaces=tuple(dict.fromkeys(replaces)), differs=differs)

    def _match(
        self, view: View, observer: Observer, counts: tuple[int, int] | None, until: int
    ) -> tuple[_Seen, Reason, bool] | None:
        """What this is another view of: rather what it must be of than what it may be of."""
        best: tuple[_Seen, Reason, bool] | None = None
        for seen in self._candidates(view, observer, counts, wire=False):
            found = seen.is_one_with(view, counts, observer, until)
            if found is None:
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
        if counts is not None and seen.counts is None and seen.view.billed is Billed.YES:
            if seen.wire:
                seen.counts = counts
                seen.observers[observer] = reason == "same_response"
                return Verdict(completes=seen.event_id)
            seen.kind = ""  # nobody's twin any more: this view says all that it did
            self._keep(_Seen(view, observer, wire=False))
            return Verdict(replaces=(seen.event_id,))
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
        """The event of a process further down that is the work of this attempt."""
        found = self._downstream.get(view.event_id)
        call = view.origin.gateway_call_id
        if found is not None or call is None or not view.origin.gateway:
            return found
        return self._downstream.get(f"gateway:{call}")

    def _remember_downstream(self, upstream_id: str, event_id: str) -> None:
        self._downstream.setdefault(upstream_id, event_id)
        if len(self._downstream) > self._remembered:
            self._downstream.pop(next(iter(self._downstream)), None)


class _Known:
    """An event that was seen, and whether its usage was."""

    __slots__ = ("billed", "counted")

    def __init__(self, counted: bool, billed: bool) -> None:
        self.counted, self.billed = counted, billed

    @property
    def lacks_usage(self) -> bool:
        return self.billed and not self.counted


_K = TypeVar("_K")


class _Index(Generic[_K]):
    """Views by something they share, bounded in keys and in views of each."""

    def __init__(self, most: int) -> None:
        self._found: dict[_K, list[_Seen]] = {}
        self._most = most

    def add(self, key: _K, seen: _Seen) -> None:
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= self._most:
                for old in list(islice(self._found, self._most // 2)):
                    del self._found[old]
            found = self._found[key] = []
        elif len(found) >= 2 * _ALIKE:
            del found[:_ALIKE]
        found.append(seen)

    def latest(self, key: _K) -> Iterable[_Seen]:
        return reversed(self._found.get(key, ()))


_TEXT = {"chat", "text_completion", "generate_content"}


def family(operation: str) -> str:
    """Operations that different observers call differently are one family."""
    return "text" if operation in _TEXT else operation


def agree(one: View, other: View) -> bool:
    """Whether provider, host and model are the same wherever both views name them."""
    hosts = one.origin.host, other.origin.host
    if None not in hosts and hosts[0] != hosts[1]:
        return False
    if same_provider(one.provider, other.provider):
        return _models_agree(one, other)
    # Frameworks say `openai` of whomever they ask by OpenAI's client, wherever that points.
    loose = any(view.provider == "openai" and view.origin.host is None for view in (one, other))
    return loose and names_same_model(one, other)


def _models_agree(one: View, other: View) -> bool:
    named = [{view.model, view.request_model} - _UNNAMED for view in (one, other)]
    if not all(named):
        return True
    return not named[0].isdisjoint(named[1]) or any(
        same_model(mine, theirs) for mine in named[0] for theirs in named[1]
    )


_UNNAMED = {None, "", "unknown"}


def names_same_model(one: View, other: View) -> bool:
    """Whether both views name a model, and it is one."""
    both = [{view.model, view.request_model} - _UNNAMED for view in (one, other)]
    return all(both) and _models_agree(one, other)


def one_within_the_other(one: View, started_ns: int, ended_ns: int, gap: int = 0) -> bool:
    """Whether a time is within that of a view, or the other way round; or begins at most `gap` after it.

    Two that merely overlap are two calls; what is observed from outside contains what is seen inside.
    """
    first, last = (one.started_ns, one.ended_ns), (started_ns, ended_ns)
    if first[0] > last[0]:
        first, last = last, first
    if last[0] > first[1] + gap:
        return False
    return last[1] <= first[1] + _SLACK_NS or (last[0] <= first[0] + _SLACK_NS and first[1] <= last[1] + _SLACK_NS)


_AFTER_PREFIX = re.compile(r"^[a-z]+[-_]")


@lru_cache(maxsize=4096)
def is_unique(response_id: str, provider: str, host: str | None = None) -> bool:
    """Whether a response's id names one response: of a provider and host known to give each once, long, no number.

    Ollama draws its own from a thousand, gateways take the second, mocks repeat one. A server that nobody here knows
    may be any of those, so its ids are no evidence by themselves, however they look.

    >>> is_unique("chatcmpl-CX5kFkl2Jq0Yt1AaQJ4Yy2m8", "openai"), is_unique("chatcmpl-512", "openai")
    (True, False)
    """
    if has_weak_ids(provider) or (host is not None and provider_at(host) is None):
        return False
    rest = _AFTER_PREFIX.sub("", response_id)
    drawn = [character for character in rest if character.isalnum()]
    return len(drawn) >= 16 and len(set(drawn)) >= 8 and not all(character.isdigit() for character in drawn)


def span_event_id(trace_id: str, span_id: str, started_ns: int, attempt: int = 1) -> str:
    """The event that a span of somebody else tells of: the same in its process and in a collector.

    With the time, because applications seed `random`, and OpenTelemetry draws its ids from it: two processes with one
    seed make the same ones.
    """
    # What `derived_id` does, written out, because a collector asks it of every span.
    start = str(started_ns)
    parts = f"4:span{len(trace_id)}:{trace_id}{len(span_id)}:{span_id}{len(start)}:{start}{len(str(attempt))}:{attempt}"
    return blake2b(parts.encode(), digest_size=16).hexdigest()
