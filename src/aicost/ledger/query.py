"""The questions a ledger answers: group by any dimensions and stretch of time, narrow by any, and sum.

A `Query` is the one way to ask for sums. Its rows add up: of one selection, every grouping has the same total.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from difflib import get_close_matches
from typing import Literal

from aicost._errors import LedgerError
from aicost.semconv.dimensions import DIMENSIONS, LABEL

from .schema import BOOKS

Bucket = Literal["hour", "day", "week", "month"]
BUCKETS: tuple[Bucket, ...] = ("hour", "day", "week", "month")

METER, RUN = "meter", "run"

REQUEST = "request"
"""What `cost_each` is of, beside dimensions: an attempt that ended a call, by what it cost itself."""

MEASURES: Mapping[str, str] = {
    "runs": "how many different runs, and how many of them have ended well",
    "latency": "how long attempts took: the median and the 95th percentile",
    "cost_each": "of one unit each: how many, the median and the 95th percentile of their cost",
}
"""What is dear to know, as it is no sum, and is asked for by name. Sums are in every row."""

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
            check_dimension(name)
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
    """A question: sums by these dimensions, and by a stretch of time (UTC; weeks begin on Monday), of one book.

    >>> Query(("tenant",), Filter(feature_id="search"), bucket="day", measures=("runs", "cost_each"), unit="run")
    """

    group_by: tuple[str, ...] = ()
    where: Filter = EVERYTHING
    bucket: Bucket | None = None
    book: Literal["metered", "invoiced", "allocated"] = "metered"
    measures: tuple[str, ...] = ()
    """Which of `MEASURES` are wanted beside the sums."""
    unit: str = REQUEST
    """What `cost_each` is of: `request`, or a dimension, each of whose values is one."""
    top: int | None = None
    """How many of the dearest rows of each currency are wanted; all others are one more, `Other`."""

    def __post_init__(self) -> None:
        """Raises `LedgerError` for a dimension, bucket, book or measure nobody knows."""
        for field, example in (("group_by", "dimensions"), ("measures", "measures")):
            given: object = getattr(self, field)
            if isinstance(given, str):  # each of its letters would be one
                raise LedgerError(f"{field} is a tuple of {example}: ({given!r},)")
        for name in self.group_by:
            check_dimension(name)
        if self.bucket not in (None, *BUCKETS):
            raise LedgerError(f"no stretch of time is called {self.bucket!r}; choose one of {', '.join(BUCKETS)}")
        if self.book not in BOOKS:
            raise LedgerError(f"there is no book {self.book!r}; choose one of {', '.join(BOOKS)}")
        for name in self.measures:
            if name not in MEASURES:
                raise LedgerError(f"no measure is called {name!r}; {_way_out(name, tuple(MEASURES))}")
            if METER in self.group_by:
                raise LedgerError(f"by meter there is no {name}: an attempt has several; leave out one of the two")
        if self.unit != REQUEST:
            check_dimension(self.unit)
            if self.unit == METER:
                raise LedgerError("a meter is no unit that something costs; group by it")


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


def check_dimension(name: str) -> None:
    """Raise `LedgerError` for a dimension nobody knows, with those there are, the nearest first."""
    if name not in BREAKDOWNS and not (name.startswith(LABEL) and len(name) > len(LABEL)):
        raise LedgerError(f"no dimension is called {name!r}; {_way_out(name, BREAKDOWNS)}, or label:KEY")


def _way_out(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}choose one of {', '.join(known)}"
