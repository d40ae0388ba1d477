"""The questions a ledger answers: group by any dimensions and stretch of time, narrow by any, and sum.

A `Query` is the one way to ask for sums. Its rows add up: of one selection, every grouping has the same total.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, NamedTuple

from aicost._errors import LedgerError
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.meters import Quantity, direction_of, group_of

from .schema import BOOKS

Bucket = Literal["hour", "day", "week", "month"]
BUCKETS: tuple[Bucket, ...] = ("hour", "day", "week", "month")

METER, RUN = "meter", "run"

_FACTS = {
    "workflow": "workflow",
    "step": "step",
    "agent": "agent",
    "model": "model",
    "provider": "provider",
    "operation": "operation",
    "tier": "service_tier",
    "region": "region",
    "status": "status",
    "host": "host",
    "account": "provider_organization",
    "provider_project": "provider_project",
    "credential": "credential",
    "rate_card": "rate_card",
    "source": "source",
    "category": "kind",
}
"""Dimensions that are facts of an entry, and their columns."""


COLUMNS: Mapping[str, str] = {
    **{one.name: one.key for one in DIMENSIONS if one.source != "subject"},
    **_FACTS,
}
"""Dimensions that a context has a column for."""

SUBJECTS: Mapping[str, str] = {one.name: one.key for one in DIMENSIONS if one.source == "subject"}

BREAKDOWNS: tuple[str, ...] = (*COLUMNS, *SUBJECTS, METER, RUN)
"""What one can group by, and `label:K` for any label. A `Filter` takes all but meters, and runs by `run_id`."""

_NAMES = {one.key: one.name for one in DIMENSIONS}


class Filter:
    """Which entries a question is about. Times are nanoseconds since the epoch.

    A dimension is named as in `BREAKDOWNS`, or by the key of an attribution. What is None does not narrow it.

    >>> Filter(tenant_id="t-42", model="gpt-4o")
    """

    __slots__ = ("dimensions", "event_id", "run_id", "since_ns", "span_id", "until_ns")

    def __init__(
        self,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        run_id: str | None = None,
        span_id: str | None = None,
        event_id: str | None = None,
        **dimensions: str | None,
    ) -> None:
        """Raises `LedgerError` for a dimension nobody knows."""
        self.since_ns = since_ns
        self.until_ns = until_ns
        self.run_id = run_id
        self.span_id = span_id
        self.event_id = event_id
        given = {_NAMES.get(name, name): value for name, value in dimensions.items() if value is not None}
        for name in given:
            if name == RUN:
                raise LedgerError("a run is `run_id` in a filter")
            if name == METER:
                raise LedgerError("a question cannot be narrowed to a meter; group by it")
            _check(name)
        self.dimensions: Mapping[str, str] = given

    def within(self, since_ns: int | None, until_ns: int | None) -> Filter:
        """The same of a stretch of time; an end that is None stays as it is."""
        since = self.since_ns if since_ns is None else since_ns
        until = self.until_ns if until_ns is None else until_ns
        ids = {"run_id": self.run_id, "span_id": self.span_id, "event_id": self.event_id}
        return Filter(since_ns=since, until_ns=until, **ids, **self.dimensions)


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Query:
    """A question: sums by these dimensions, and by a stretch of time (UTC; weeks begin on Monday), of one book."""

    group_by: tuple[str, ...] = ()
    where: Filter = EVERYTHING
    bucket: Bucket | None = None
    book: Literal["metered", "invoiced", "allocated"] = "metered"

    def __post_init__(self) -> None:
        """Raises `LedgerError` for a dimension, bucket or book nobody knows."""
        given: object = self.group_by
        if isinstance(given, str):  # each of its letters would be one
            raise LedgerError(f"group_by is a tuple of dimensions: ({self.group_by!r},)")
        for name in self.group_by:
            _check(name)
        if self.bucket not in (None, *BUCKETS):
            raise LedgerError(f"no stretch of time is called {self.bucket!r}; choose one of {', '.join(BUCKETS)}")
        if self.book not in BOOKS:
            raise LedgerError(f"there is no book {self.book!r}; choose one of {', '.join(BOOKS)}")


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over some entries of one currency. `atto` and `wasted_atto` are in 1e-18 of it."""

    keys: tuple[str | None, ...]
    """The values of the dimensions asked for, in their order. None is what has no value."""
    start: datetime | None
    """When its stretch of time begins, if one was asked for."""
    currency: str
    calls: int
    attempts: int
    retries: int
    atto: int
    wasted_atto: int
    unpriced: int
    partial: int
    possibly_billed: int
    input_tokens: int = 0
    output_tokens: int = 0
    app_retries: int = 0
    """Calls that the application made again after the same call had failed."""
    fallbacks: int = 0
    """Calls that went to another model or provider after one had failed."""
    cached_tokens: int = 0
    is_known: bool = True
    """False when something was, or may have been, billed and no amount of it is known: `atto` is then no answer."""
    is_waste_known: bool = True
    """The same of what was wasted, and `wasted_atto`."""
    at_most_atto: int | None = None
    """What it can come to at most, with all that is not known; None where nobody can say."""

    @property
    def key(self) -> str | None:
        """The value of the one dimension that was asked for."""
        return self.keys[0] if self.keys else None


class Part(NamedTuple):
    """A line of many entries of one kind: a meter, how much of it, what it came to."""

    meter: str
    quantity: Quantity
    atto: int | None


class AlikeEntries(NamedTuple):
    """Entries that are alike in all that a question asks: what a store answers with."""

    keys: tuple[str | None, ...]
    start: datetime | None
    currency: str
    status: str
    chargeable: str
    charge_status: str
    is_wasted: bool
    is_known: bool
    n: int
    app_retries: int
    fallbacks: int
    atto: int
    at_most_atto: int | None
    bounded: int
    """How many of those that are not fully known have a most."""
    parts: Sequence[Part]


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    attempts: int = 0
    retries: int = 0
    app_retries: int = 0
    fallbacks: int = 0
    atto: int = 0
    wasted_atto: int = 0
    unpriced: int = 0
    partial: int = 0
    possibly_billed: int = 0
    input_tokens: Quantity = 0
    output_tokens: Quantity = 0
    cached_tokens: Quantity = 0
    chargeable: int = 0
    known: int = 0
    wasted_billed: int = 0
    wasted_known: int = 0
    unbounded: int = 0
    more: int = 0
    """What is not known comes to at most so much more."""

    def count(self, group: AlikeEntries, n: int) -> None:
        """Count its attempts."""
        is_retry = group.status == "retry"
        self.attempts += n
        self.calls += 0 if is_retry else n
        self.retries += n if is_retry else 0
        self.app_retries += group.app_retries
        self.fallbacks += group.fallbacks
        if group.chargeable == "possibly":
            self.possibly_billed += n

    def add(self, group: AlikeEntries, atto: int | None) -> None:
        """Add an amount, or that there is none."""
        chargeable = group.n if group.chargeable != "no" else 0
        known = chargeable if atto is not None else 0
        self.atto += atto or 0
        self.chargeable += chargeable
        self.known += known
        if group.is_wasted:
            self.wasted_atto += atto or 0
            self.wasted_billed += chargeable
            self.wasted_known += known

    def tokens(self, parts: Iterable[Part]) -> None:
        """Count tokens."""
        for part in parts:
            direction = direction_of(part.meter)
            if direction == "input":
                self.input_tokens += part.quantity
            elif direction == "output":
                self.output_tokens += part.quantity
            if group_of(part.meter) == "cache_read":
                self.cached_tokens += part.quantity

    def bound(self, group: AlikeEntries, *, by_meter: bool = False) -> None:
        """Note what is not known, and what it comes to at most: which of its meters may come to more, nobody knows."""
        if group.chargeable == "no" or (
            group.is_known and group.charge_status != "partial" and group.chargeable == "yes"
        ):
            return
        if by_meter:
            self.unbounded += group.n
            return
        self.unbounded += group.n - group.bounded
        if group.at_most_atto is not None:
            self.more += group.at_most_atto - group.atto

    def sums(self, keys: tuple[str | None, ...], start: datetime | None, currency: str) -> Sums:
        return Sums(
            keys=keys,
            start=start,
            currency=currency,
            calls=self.calls,
            attempts=self.attempts,
            retries=self.retries,
            atto=self.atto,
            wasted_atto=self.wasted_atto,
            unpriced=self.unpriced,
            partial=self.partial,
            possibly_billed=self.possibly_billed,
            input_tokens=int(self.input_tokens),
            output_tokens=int(self.output_tokens),
            app_retries=self.app_retries,
            fallbacks=self.fallbacks,
            cached_tokens=int(self.cached_tokens),
            is_known=self.known != 0 or self.chargeable == 0,
            is_waste_known=self.wasted_known != 0 or self.wasted_billed == 0,
            at_most_atto=None if self.unbounded else self.atto + self.more,
        )


def summed(query: Query, groups: Iterable[AlikeEntries]) -> list[Sums]:
    """The answer to a question from what a store found, the dearest first.

    By `meter` the amounts add up to the total, and a call counts with each of its meters; None is what no meter
    explains, such as a cost that the provider reported.
    """
    at = query.group_by.index(METER) if METER in query.group_by else None
    made: dict[tuple[tuple[str | None, ...], datetime | None, str], _Sum] = {}
    for group in groups:
        if at is None:
            sums = made.setdefault((group.keys, group.start, group.currency), _Sum())
            sums.count(group, group.n)
            sums.add(group, group.atto if group.is_known else None)
            sums.tokens(group.parts)
            sums.bound(group)
            if group.chargeable == "yes":
                sums.unpriced += group.n if group.charge_status == "unpriced" else 0
                sums.partial += group.n if group.charge_status == "partial" else 0
            continue
        for meter, parts in _by_meter(group).items():
            keys = (*group.keys[:at], meter, *group.keys[at + 1 :])
            sums = made.setdefault((keys, group.start, group.currency), _Sum())
            sums.count(group, group.n)
            sums.bound(group, by_meter=True)
            sums.tokens(part for part in parts if meter is not None)
            for part in parts:
                sums.add(group, part.atto)
            if group.chargeable == "yes":
                sums.unpriced += group.n if any(part.atto is None for part in parts) else 0
                is_partial = group.charge_status == "partial" and any(part.atto is not None for part in parts)
                sums.partial += group.n if is_partial else 0
    rows = [sums.sums(*key) for key, sums in made.items() if sums.attempts or sums.atto]
    return sorted(rows, key=_order)


def _order(row: Sums) -> tuple[Any, ...]:
    start = row.start.timestamp() if row.start is not None else 0
    return (start, -row.atto, [(key is None, key or "") for key in row.keys], row.currency)


def _by_meter(group: AlikeEntries) -> dict[str | None, list[Part]]:
    """Its lines by meter, as far as they explain its amount.

    A provider's own cost replaces what its lines come to, so it is not theirs to divide; nor is an amount that a
    process has told a collector without a card the collector has.
    """
    explained = [part for part in group.parts if part.atto is not None]
    if group.charge_status == "provider_reported":
        found: Sequence[Part] = ()
    elif not group.is_known or (group.charge_status == "partial" and explained):
        found = group.parts
    else:
        found = explained
    if not found:
        return {None: [Part("", 0, group.atto if group.is_known else None)]}
    by_meter: dict[str | None, list[Part]] = {}
    for part in found:
        by_meter.setdefault(part.meter, []).append(part)
    return by_meter


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST_HOUR = (datetime.min.replace(tzinfo=timezone.utc) - _EPOCH) // timedelta(hours=1)
_LAST_HOUR = (datetime.max.replace(tzinfo=timezone.utc) - _EPOCH) // timedelta(hours=1)


def start_of(bucket: Bucket, hour: int) -> datetime:
    """When the stretch of time begins that an hour since the epoch is in."""
    at = _EPOCH + timedelta(hours=max(min(hour, _LAST_HOUR), _FIRST_HOUR))
    if bucket == "hour":
        return at
    day = at.replace(hour=0)
    if bucket == "day":
        return day
    return day - timedelta(days=day.weekday()) if bucket == "week" else day.replace(day=1)


def _check(name: str) -> None:
    if name not in BREAKDOWNS and not (name.startswith(LABEL) and len(name) > len(LABEL)):
        raise LedgerError(f"no dimension is called {name!r}; choose one of {', '.join(BREAKDOWNS)}, or label:KEY")
