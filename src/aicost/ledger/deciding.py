"""What counts: duplicates, corrections, contradictions and joins, decided in one place.

What counts of an event is a function of all that was told of it, in whatever order it came: of the views of the attempt
the one that knows most, and of two views that are joined the one nearer to the wire. Each time the answer becomes
another, what was entered before is reversed and the new answer entered.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from aicost.usage.event import SKEW_NS, Origin

from .columns import derived, entry_id
from .records import ChargeRecord, Charges, SightingRecord, layout_of

_log = logging.getLogger("aicost.ledger")

GATEWAY = "gateway:"
"""How a process behind a gateway begins the name of the attempt that reached it; then comes the gateway's call id."""

CALLER = "caller"
"""The evidence of an alias that an event gave itself."""

OURS = b"\0<>\0"
"""What the digest of a sighting begins with that was found here, and not told by anybody."""

_BELOW = OURS + b"joined--"

REPLACED = "replaced"
"""The evidence of who told both views, and which is nearer to the wire."""


class Alias(NamedTuple):
    """By what else an event is known, why, and when it began."""

    alias: str
    event: bytes
    evidence: str
    started_ns: int


class Seen(NamedTuple):
    """A view that is no money."""

    event: bytes
    kind: str
    reason: str
    counted_by: str | None
    observer: str
    record: ChargeRecord
    digest: bytes
    """What tells it apart from others of the event."""


@dataclass(slots=True)
class KnownEvent:
    """What is known of an event: its views, the entry that counts, and whether another event counts it."""

    id: bytes
    views: list[ChargeRecord] = field(default_factory=list)
    entered: ChargeRecord | None = None
    """What the entry that counts says; None where none does."""
    entry: bytes | None = None
    """The entry that counts, or that was the last to."""
    is_elsewhere: bool = False
    """Whether it was told that another event counts it."""
    found: frozenset[bytes] = frozenset()
    """Sightings of it that were found here, by their digests."""


class Made(NamedTuple):
    """An entry to be. `record` is what counts; a reversal has none."""

    id: bytes
    corrects: bytes | None
    event: bytes | None
    """The event, where that is another id."""
    record: ChargeRecord | None
    by: tuple[str, int]
    """Whose record led to it: writer, and number there."""


@dataclass(slots=True)
class Decisions:
    """What is to be added to a store."""

    entries: list[Made] = field(default_factory=list)
    views: list[tuple[bytes, bytes, ChargeRecord]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    withdrawn: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Sightings, by event and digest, that were found here, and would not be by now."""
    aliases: list[Alias] = field(default_factory=list)
    names: dict[str, bytes] = field(default_factory=dict)
    """The ids of events that are no 16 bytes."""


class Known(Protocol):
    """What a store knows already."""

    def events(self, ids: Iterable[bytes]) -> Mapping[bytes, KnownEvent]:
        """Those of these events that anything is known of."""

    def aliases(self, aliases: Iterable[str]) -> Iterable[Alias]:
        """Who is known by these."""

    def run_names(self, run_ids: Iterable[str]) -> Mapping[str, str]:
        """The workflows of those of these runs that are known."""


class Decider:
    """Decides over one batch of records, in the order they came."""

    def __init__(self, known: Known, records: Sequence[Charges]) -> None:
        self._known = known
        self.made = Decisions()
        self._by = ("", 0)
        self._events: dict[bytes, KnownEvent] = {}
        self._aliases: dict[str, dict[bytes, Alias]] = {}
        self._run_names: dict[str, str] = {}
        self._found: dict[bytes, dict[bytes, Seen]] = {}
        """What views of an event are beside money, by digest: a function of all of them, as what counts is."""
        told = [one for record in records for one in record.charges]
        told += [seen.charge for record in records for seen in record.sightings]
        self._load({entry_id(one.event_id) for one in told})
        self._load(entry_id(event_id) for record in records for event_id in record.replaces)
        names = {one.event_id for one in told}
        names.update(name for one in told if one.origin is not None for name in _names_of(one))
        self._load_aliases(names)
        self._load_run_names(told)

    def take(self, record: Charges, writer: str, number: int) -> None:
        """Decide on what one record tells."""
        self._by = (writer, number)
        for one in record.charges:
            self._view(one)
        for event_id in record.replaces:
            self._replaced(event_id, record.charges[-1])
        for seen in record.sightings:
            self._sighting(seen)

    def finish(self) -> Decisions:
        """All that was decided."""
        for event, found in self._found.items():
            known = self._events[event].found
            self.made.seen += found.values()
            for digest in found.keys() - known - {_BELOW}:
                _log.warning(
                    "ledger: %s was seen twice with different usage; the view that counts more counts",
                    found[digest].counted_by,
                )
            self.made.withdrawn += [(event, digest) for digest in sorted(known - found.keys())]
        return self.made

    def decide_again(self, event: bytes) -> None:
        """Decide on an event of the store anew: its run has another name now."""
        self._load([event])
        self._decide(self._events[event])

    def _view(self, record: ChargeRecord) -> None:
        identity = entry_id(record.event_id)
        event = self._events.get(identity)
        origin = record.origin
        if event is None:
            event = self._events[identity] = KnownEvent(identity)
            if identity.hex() != record.event_id:
                self.made.names[record.event_id] = identity
        # Whose work an attempt is may be told by a view that tells nothing else.
        if origin is not None and (origin.gateway or origin.upstream_id is not None):
            self._alias(record, identity, origin)
        if any(_is_covered(record, by) for by in event.views):
            return
        first = not event.views
        event.views.append(record)
        self._decide(event)
        if not first or event.entry is None:  # else it is what the entry says
            self.made.views.append((identity, view_digest(record), record))

    def _sighting(self, seen: SightingRecord) -> None:
        identity = entry_id(seen.charge.event_id)
        event = self._events.setdefault(identity, KnownEvent(identity))
        if identity.hex() != seen.charge.event_id:
            self.made.names[seen.charge.event_id] = identity
        about = (seen.kind, seen.reason, seen.by, seen.observer, seen.charge)
        self.made.seen.append(Seen(identity, *about, view_digest(seen.charge)))
        if seen.kind != "contradiction":
            event.is_elsewhere = True
            self._decide(event)

    def _replaced(self, event_id: str, by: ChargeRecord) -> None:
        """A view from nearer to the wire counts what another one told before, or will tell."""
        identity = entry_id(event_id)
        if identity == entry_id(by.event_id):
            return
        self._note(Alias(event_id, entry_id(by.event_id), REPLACED, by.started_ns))
        if identity in self._events:
            self._decide(self._events[identity])

    def _alias(self, record: ChargeRecord, identity: bytes, origin: Origin) -> None:
        """Remember under which name a process further down may tell of an attempt, and whose work it is."""
        if origin.gateway and origin.gateway_call_id is not None:
            self._note(Alias(GATEWAY + origin.gateway_call_id, identity, CALLER, record.started_ns))
        upstream = origin.upstream_id
        if upstream is None or record.chargeable == "no":
            return
        evidence = "gateway_call" if upstream.startswith(GATEWAY) else "propagated"
        self._note(Alias(upstream, identity, evidence, record.started_ns))
        callers = [one.event for one in self._aliases[upstream].values() if one.evidence == CALLER]
        if not upstream.startswith(GATEWAY):
            callers.append(entry_id(upstream))
        self._load(callers)
        for caller in callers:
            if caller in self._events and caller != identity:
                self._decide(self._events[caller])

    def _note(self, alias: Alias) -> None:
        known = self._aliases.setdefault(alias.alias, {})
        if alias.event not in known:
            known[alias.event] = alias
            self.made.aliases.append(alias)

    def _decide(self, event: KnownEvent) -> None:
        """Enter what counts of an event, if that is another answer than before."""
        if not event.views:
            return
        counts = self._counts(event)
        if counts == event.entered:
            return
        if event.entered is not None and event.entry is not None:
            reversal = derived("reversal", event.entry)
            self.made.entries.append(Made(reversal, event.entry, event.id, None, self._by))
        if counts is not None:
            if event.entry is None:
                made = Made(event.id, None, None, counts, self._by)
            else:
                identity = derived("replacement", event.entry, view_digest(counts))
                made = Made(identity, event.entry, event.id, counts, self._by)
            event.entry = made.id
            self.made.entries.append(made)
        event.entered = counts

    def _counts(self, event: KnownEvent) -> ChargeRecord | None:
        found = self._found[event.id] = {}
        if event.is_elsewhere:
            return None
        counts = event.views[0] if len(event.views) == 1 else self._most_known(event)
        below = self._below(event)
        if below is not None:
            kind, reason = ("replaced", "") if below.evidence == REPLACED else ("joined", "downstream")
            by = below.event.hex()
            found[_BELOW] = Seen(event.id, kind, reason, by, "aicost", counts, _BELOW)
            return None
        name = self._run_names.get(counts.run_id) if counts.run_id is not None else None
        return counts if name is None or name == counts.workflow else counts._replace(workflow=name)

    def _below(self, event: KnownEvent) -> Alias | None:
        """The attempt of a process further down that this one led to, and that counts in its place.

        It began while this one was under way, as far as two clocks agree: an id that was kept and sent along later is
        no proof. Any view of it may say what it is known by: the one that knows most of the usage need not.
        """
        if not self._aliases:
            return None
        since = min(view.started_ns for view in event.views) - SKEW_NS
        until = max(view.ended_ns for view in event.views) + SKEW_NS
        for name in dict.fromkeys(name for view in event.views for name in _names_of(view)[:2]):
            for one in self._aliases.get(name, {}).values():
                under_way = one.evidence == REPLACED or since <= one.started_ns <= until
                if one.evidence != CALLER and one.event != event.id and under_way:
                    return one
        return None

    def _most_known(self, event: KnownEvent) -> ChargeRecord:
        """What the views of an event come to: the one that knows most, and whose work it was by the first to say."""
        best = max(event.views, key=rank)
        for view in event.views:
            # One that another covers would not be there, had that come first.
            others = (one for one in event.views if one is not view)
            if _contradicts(view, best) and not any(_is_covered(view, one) for one in others):
                digest = OURS + view_digest(view)[len(OURS) :]
                self._found[event.id][digest] = Seen(event.id, "contradiction", "", best.event_id, "", view, digest)
        in_order = sorted(event.views, key=_order)
        kept = {name: _first(in_order, name) for name in _KEPT}
        # Of another run the name may be one that it got since.
        kept["workflow"] = _first((view for view in in_order if view.run_id in (None, kept["run_id"])), "workflow")
        attribution, evidence = _owners(in_order)
        return best._replace(attribution=attribution, evidence=evidence, **kept)

    def _load(self, ids: Iterable[bytes]) -> None:
        wanted = [identity for identity in ids if identity not in self._events]
        if wanted:
            found = self._known.events(wanted)
            self._events.update(found)
            views = [view for event in found.values() for view in event.views]
            self._load_aliases(name for view in views for name in _names_of(view))
            # A view that is told now may not say in which run it was, where one that was told before did.
            self._load_run_names(views)

    def _load_run_names(self, views: Iterable[ChargeRecord]) -> None:
        wanted = {view.run_id for view in views if view.run_id is not None} - self._run_names.keys()
        if wanted:
            self._run_names.update(self._known.run_names(wanted))

    def _load_aliases(self, names: Iterable[str]) -> None:
        for one in self._known.aliases(names):
            self._aliases.setdefault(one.alias, {})[one.event] = one


def _names_of(record: ChargeRecord) -> list[str]:
    """Under which names others may tell of an attempt, and then that of the one it is the work of."""
    names = [record.event_id]
    if record.origin is not None:
        origin = record.origin
        names.append(GATEWAY + str(origin.gateway_call_id) if origin.gateway else record.event_id)
        if origin.upstream_id is not None:
            names.append(origin.upstream_id)
    return names


# Whose work it was is known where it was asked for, and not where somebody comes back for the answer.
_KEPT = ("run_id", "root_run_id", "workflow", "step", "step_id", "agent", "retry_of", "fallback_of")


def _first(views: Iterable[ChargeRecord], name: str) -> Any:
    get: Callable[[ChargeRecord], Any] = lambda view: getattr(view, name)  # noqa: E731
    return next((value for value in map(get, views) if value is not None), None)


def _order(view: ChargeRecord) -> tuple[bool, int, bytes]:
    """Who is asked first whose work it was: who saw the attempt itself before who heard of it, then who began first."""
    return view.api == "reported", view.started_ns, view_digest(view)


def _owners(in_order: Sequence[ChargeRecord]) -> tuple[dict[str, str], str | None]:
    """Whose it was by the first to say, and why. What a table fills in gives way to what any view says itself."""
    attribution: dict[str, str] = {}
    evidence = None
    for view in sorted(in_order, key=lambda view: view.evidence is not None):
        more = {key: value for key, value in view.attribution.items() if key not in attribution}
        attribution |= more
        evidence = evidence or (view.evidence if more else None)
    return attribution, evidence


def rank(view: ChargeRecord) -> tuple[Any, ...]:
    """How much a view knows: of two that are whole, or both are not, the one that counts more. Never a tie.

    Of two that say as much the one of the attempt itself, which begins after the span around it and ends before.
    """
    view = view._replace(workflow=None)  # an entry has the name its run got since: that is nothing a view knows
    rated = sum(rate_id is not None for rate_id in layout_of(view.layout).rate_ids)
    said = rated + sum(value is not None for value in view)
    counted = sum(view.quantities)
    nearness = (view.api != "reported", view.started_ns - view.ended_ns)
    return view.is_counted, view.complete, counted, view.atto is not None, said, nearness, view_digest(view)


def _billed(view: ChargeRecord) -> tuple[Any, ...]:
    """What is billed: the same for every true copy of an event, whoever saw it."""
    axes = (view.provider, view.model, view.service_tier, view.region, view.speed)
    return (*axes, view.complete, view.is_counted, view.usage)


def _is_less(view: ChargeRecord, than: ChargeRecord) -> bool:
    """Whether a view holds nothing that the other lacks."""
    if not view.is_counted:
        return True
    more = than.usage
    return not view.complete and all(quantity <= more.get(meter, 0) for meter, quantity in view.usage.items())


def _contradicts(view: ChargeRecord, best: ChargeRecord) -> bool:
    return view is not best and not _is_less(view, best) and _billed(view) != _billed(best)


def _is_covered(view: ChargeRecord, by: ChargeRecord) -> bool:
    """Whether a view can make no difference beside another, whatever else is told: the same again, or less of it."""
    if view == by:
        return True
    tells_less = _billed(view) == _billed(by) or _is_less(view, by)
    if not tells_less or _order(by) > _order(view) or rank(view) > rank(by):
        return False
    same = all(getattr(view, name) in (None, getattr(by, name)) for name in _KEPT)
    same = same and by.evidence in (None, view.evidence) and {*_names_of(view)} <= {*_names_of(by)}
    return same and all(by.attribution.get(key) == value for key, value in view.attribution.items())


def view_digest(record: ChargeRecord) -> bytes:
    """A digest of all that a record says."""
    return hashlib.blake2b(json.dumps(record, default=str, sort_keys=True).encode(), digest_size=12).digest()
