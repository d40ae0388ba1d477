"""Periods as people say them: `2026-11`, `last-month`, `this-week`, `7d`. All in UTC, which providers bill in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from aicost._errors import UsageError
from aicost.pricing.rates import to_ns

TIME_ZONE = "UTC"
FORMS = (
    "a day (2026-11-25), month (2026-11), year (2026) or week (2026-W48); today, yesterday, this-week, last-week, "
    "this-month, last-month, this-year or last-year; an age (30m, 12h, 7d, 2w); or a time (2026-11-25T14:30, in UTC "
    "unless it has an offset, as in 2026-11-25T14:30+01:00)"
)
"""What is understood, for help and errors."""

_LEAST_NS, _MOST_NS = -(2**63), 2**63 - 1
"""What the ledger's integers hold: the years 1678 to 2262."""
_AGES = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"(\d{1,9})([mhdw])", re.ASCII)
_YEAR = re.compile(r"(\d{4})", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_WEEK = re.compile(r"(\d{4})-W(\d{2})", re.ASCII)
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` up to and without `until`, both in UTC; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def since_ns(self) -> int | None:
        """The beginning in nanoseconds since the epoch, as far as a ledger can hold it."""
        return _ns(self.since)

    @property
    def until_ns(self) -> int | None:
        """The end in nanoseconds since the epoch, as far as a ledger can hold it."""
        return _ns(self.until)

    def __str__(self) -> str:
        if self.since is None and self.until is None:
            return f"all times ({TIME_ZONE})"
        since = "the beginning" if self.since is None else _said(self.since)
        return f"{since} to {'now' if self.until is None else _said(self.until)}"

    @property
    def name(self) -> str:
        """How people say it: `2026-11`; what has no such name says from when to when."""
        if self.since is not None and self.until is not None and self.since == _midnight(self.since):
            for unit, written in (("day", "%Y-%m-%d"), ("month", "%Y-%m"), ("year", "%Y"), ("week", "%G-W%V")):
                begins, _ = _BEGINNINGS[unit]
                if begins(self.since) == self.since and _whole(self.since, unit).until == self.until:
                    return self.since.strftime(written)
        return str(self)

    def so_far(self, now: datetime) -> Period:
        """The part of it that has passed."""
        return (
            self if self.until is not None and self.until <= now else Period(self.since, now.astimezone(timezone.utc))
        )

    def before(self) -> Period | None:
        """The stretch of time just before it, which is as long; None of one that is open, or at the end of time."""
        if self.since is None or self.until is None:
            return None
        try:
            return Period(self.since - (self.until - self.since), self.since)
        except OverflowError:
            return None

    @property
    def length(self) -> tuple[int, str] | None:
        """How many days it has, or hours if it has fewer than two: begun ones count. None of one that is open."""
        if self.since is None or self.until is None:
            return None
        whole = self.until - self.since
        unit, word = (timedelta(hours=1), "hour") if whole < timedelta(days=2) else (timedelta(days=1), "day")
        return -(-whole // unit), word


ALL_TIMES = Period()


def parse_period(text: str, now: datetime) -> Period:
    """The period that `text` names: a month is all of it, an age what has passed since, a time what comes after it.

    Raises `UsageError` with the value and what is understood.

    >>> str(parse_period("2026-11", datetime.now(timezone.utc)))
    '2026-11-01 00:00 UTC to 2026-12-01 00:00 UTC'
    """
    phrase = text.strip().lower()
    try:
        period = _named(phrase, now) or _dated(phrase.upper()) or _aged(phrase, now)
        return period or Period(_instant(text.strip()))
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no period or time; give {FORMS}") from None


def between(since: str | None, until: str | None, period: str | None, now: datetime) -> Period:
    """The period of what was asked: where `since` begins, up to where `until` begins; or `period`, from end to end.

    Raises `UsageError` for what is not understood, both at once, or an end that is not after the beginning.
    """
    if period is not None:
        if since is not None or until is not None:
            raise UsageError("give --period, or --since and --until")
        return parse_period(period, now)
    found = Period(
        None if since is None else parse_period(since, now).since,
        None if until is None else parse_period(until, now).since,
    )
    if found.since is not None and found.until is not None and found.since >= found.until:
        raise UsageError(f"nothing can be in {found}: --until {until!r} is not after --since {since!r}")
    return found


def _named(phrase: str, now: datetime) -> Period | None:
    which, _, unit = phrase.partition("-")
    if phrase in {"today", "yesterday"}:
        which, unit = ("this" if phrase == "today" else "last"), "day"
    if which not in {"this", "last"} or unit not in _BEGINNINGS:
        return None
    begins, step = _BEGINNINGS[unit]
    this = begins(_midnight(now))
    # A step is longer than any period of its unit: from within one it leads into the next, and never over it.
    return Period(this, begins(this + step)) if which == "this" else Period(begins(this - timedelta(days=1)), this)


_BEGINNINGS: dict[str, tuple[Callable[[datetime], datetime], timedelta]] = {
    "day": (lambda day: day, timedelta(days=1)),
    "week": (lambda day: day - timedelta(days=day.weekday()), timedelta(days=7)),
    "month": (lambda day: day.replace(day=1), timedelta(days=31)),
    "year": (lambda day: day.replace(month=1, day=1), timedelta(days=366)),
}


def _dated(phrase: str) -> Period | None:
    for pattern, unit in ((_DAY, "day"), (_MONTH, "month"), (_YEAR, "year")):
        found = pattern.fullmatch(phrase)
        if found is not None:
            year, month, day = (*map(int, found.groups()), 1, 1)[:3]
            return _whole(datetime(year, month, day, tzinfo=timezone.utc), unit)
    found = _WEEK.fullmatch(phrase)
    if found is None:
        return None
    monday = datetime.fromisocalendar(int(found[1]), int(found[2]), 1)
    return _whole(monday.replace(tzinfo=timezone.utc), "week")


def _whole(since: datetime, unit: str) -> Period:
    begins, step = _BEGINNINGS[unit]
    return Period(since, begins(since + step))


def _aged(phrase: str, now: datetime) -> Period | None:
    found = _AGE.fullmatch(phrase)
    return found and Period(now.astimezone(timezone.utc) - timedelta(**{_AGES[found[2]]: int(found[1])}))


def _instant(text: str) -> datetime:
    # Python 3.10 takes no Z.
    at = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in {"Z", "z"} else text)
    return at.astimezone(timezone.utc) if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def _midnight(now: datetime) -> datetime:
    return now.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def _ns(at: datetime | None) -> int | None:
    return None if at is None else max(_LEAST_NS, min(to_ns(at), _MOST_NS))


def _said(at: datetime) -> str:
    seconds = at.isoformat(sep=" ", timespec="auto").removesuffix("+00:00")
    return f"{seconds.removesuffix(':00') if at.second == at.microsecond == 0 else seconds} {TIME_ZONE}"
