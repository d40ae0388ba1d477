"""Periods: what people say is the time they mean, in UTC, to the nanosecond."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost._errors import UsageError
from aicost.reports.periods import Period, between, parse_period

NOW = datetime(2026, 11, 25, 14, 30, 15, 123456, tzinfo=timezone.utc)  # a Wednesday
_TICK = timedelta(microseconds=1)


def moments(first: int = 1000, last: int = 9000) -> st.SearchStrategy[datetime]:
    """Any microsecond from one year to another."""
    start, end = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (first, last))
    return st.integers(0, (end - start) // _TICK).map(lambda ticks: start + ticks * _TICK)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11", "2026-11-01 00:00 UTC to 2026-12-01 00:00 UTC"),
        ("2026-12", "2026-12-01 00:00 UTC to 2027-01-01 00:00 UTC"),
        ("2024-02", "2024-02-01 00:00 UTC to 2024-03-01 00:00 UTC"),
        ("2024-02-29", "2024-02-29 00:00 UTC to 2024-03-01 00:00 UTC"),
        ("2026", "2026-01-01 00:00 UTC to 2027-01-01 00:00 UTC"),
        ("2024", "2024-01-01 00:00 UTC to 2025-01-01 00:00 UTC"),
        ("2026-W48", "2026-11-23 00:00 UTC to 2026-11-30 00:00 UTC"),
        ("2026-W53", "2026-12-28 00:00 UTC to 2027-01-04 00:00 UTC"),
        ("today", "2026-11-25 00:00 UTC to 2026-11-26 00:00 UTC"),
        ("Yesterday", "2026-11-24 00:00 UTC to 2026-11-25 00:00 UTC"),
        ("this-week", "2026-11-23 00:00 UTC to 2026-11-30 00:00 UTC"),
        ("last-week", "2026-11-16 00:00 UTC to 2026-11-23 00:00 UTC"),
        ("this-month", "2026-11-01 00:00 UTC to 2026-12-01 00:00 UTC"),
        ("last-month", "2026-10-01 00:00 UTC to 2026-11-01 00:00 UTC"),
        ("this-year", "2026-01-01 00:00 UTC to 2027-01-01 00:00 UTC"),
        ("last-year", "2025-01-01 00:00 UTC to 2026-01-01 00:00 UTC"),
        ("7d", "2026-11-18 14:30:15.123456 UTC to now"),
        ("90m", "2026-11-25 13:00:15.123456 UTC to now"),
        ("2026-11-25T14:30", "2026-11-25 14:30 UTC to now"),
        ("2026-11-25T14:30:05Z", "2026-11-25 14:30:05 UTC to now"),
        ("2026-11-25 00:30+01:00", "2026-11-24 23:30 UTC to now"),
    ],
)
def test_what_is_said_and_what_is_meant(text: str, meant: str) -> None:
    assert str(parse_period(text, NOW)) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-13",
        "2026-02-30",
        "2025-W53",
        "2026-W00",
        "-7d",
        "7",
        "\u0667d",
        "\u00b2d",
        "999999999w",
        "last-decade",
        "2026-11-25T25:00",
        "0000",
        "10000-01",
        "d",
        "last",
        "this-",
        "\ud800",
        "9999",
    ],
)
def test_what_is_not_understood_is_named_with_what_is(text: str) -> None:
    with pytest.raises(UsageError, match="last-month") as error:
        parse_period(text, NOW)
    assert repr(text) in str(error.value)


@given(moments())
def test_this_and_last_meet_and_now_is_in_this(now: datetime) -> None:
    for unit in ("week", "month", "year"):
        this, last = (parse_period(f"{which}-{unit}", now) for which in ("this", "last"))
        assert last.until == this.since
        assert this.since is not None
        assert this.until is not None
        assert this.since <= now < this.until
        assert this.since.hour == this.since.minute == 0
    assert parse_period("yesterday", now).until == parse_period("today", now).since


@given(moments())
def test_weeks_begin_on_monday_and_are_those_of_iso(now: datetime) -> None:
    week = parse_period("this-week", now)
    assert week.since is not None
    assert week.until is not None
    assert (week.since.weekday(), week.until - week.since) == (0, timedelta(days=7))
    year, number, _ = now.isocalendar()
    assert parse_period(f"{year:04}-W{number:02}", now) == week


@given(moments())
def test_days_make_up_months_and_months_years(now: datetime) -> None:
    year = parse_period(f"{now.year:04}", NOW)
    months = [parse_period(f"{now.year:04}-{month:02}", NOW) for month in range(1, 13)]
    assert [months[0].since, months[-1].until] == [year.since, year.until]
    assert all(one.until == following.since for one, following in pairwise(months))
    month = months[now.month - 1]
    day = parse_period(f"{now:%Y-%m-%d}", NOW)
    assert day.since is not None
    assert month.since is not None
    assert month.until is not None
    assert month.since <= day.since < month.until
    assert month == parse_period("this-month", now)


@given(moments(1700, 2200))
def test_nanoseconds_are_exact(at: datetime) -> None:
    found = Period(at).since_ns
    assert found is not None
    assert datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=found // 1000) == at
    assert found % 1000 == 0


def test_what_a_ledger_cannot_hold_is_as_far_as_it_can() -> None:
    assert parse_period("9000-01-01", NOW).since_ns == 2**63 - 1
    assert parse_period("0001", NOW).since_ns == -(2**63)


def test_the_end_is_not_in_it() -> None:
    assert str(between("yesterday", "today", None, NOW)) == "2026-11-24 00:00 UTC to 2026-11-25 00:00 UTC"
    assert between("last-month", "this-month", None, NOW) == between(None, None, "last-month", NOW)
    assert str(between(None, "2026-11", None, NOW)) == "the beginning to 2026-11-01 00:00 UTC"
    assert str(between(None, None, None, NOW)) == "all times (UTC)"
    with pytest.raises(UsageError, match="'2026-10' is not after --since '2026-11'"):
        between("2026-11", "2026-10", None, NOW)
    with pytest.raises(UsageError, match="--period, or"):
        between("7d", None, "2026-11", NOW)
