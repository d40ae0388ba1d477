"""Months that were handed to finance: what belongs to one and turns out later is billed in a later one.

A month that is closed is not written to any more. A charge that comes late for it, and the reversal and replacement of
one that is in it, keep the time they are of, and are posted to the first month after it that is open. So the sum of
what is billed in a closed month never changes, and the sum over all months is what counts.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

from aicost._errors import UsageError
from aicost.pricing.rates import to_ns

from .columns import MOST
from .query import Filter, start_of
from .rows import names_of_entry
from .schema import CLOSED
from .selection import HOUR_NS, where_sql
from .sql_dialects import Condition, SqlDialect
from .store import Row, Snapshot, Store


def month_of(ns: int) -> str:
    """The month (UTC) of a time.

    >>> month_of(0)
    '1970-01'
    """
    return f"{start_of('month', ns // HOUR_NS):%Y-%m}"


def month_after(month: str) -> str:
    """The next month.

    >>> month_after("2026-12")
    '2027-01'
    """
    year, number = map(int, month.split("-"))
    return f"{year + 1:04}-01" if number == 12 else f"{year:04}-{number + 1:02}"


def posted_period(month: str, closed: Collection[str]) -> str | None:
    """The month that what belongs to `month` is billed in, if that is another: the first one after it that is open.

    >>> posted_period("2026-10", {"2026-10", "2026-11"}), posted_period("2026-12", {"2026-10"})
    ('2026-12', None)
    """
    if month not in closed:
        return None
    while month in closed:
        month = month_after(month)
    return month


def posted(row: Row, closed: Collection[str], dialect: SqlDialect) -> Row:
    """A row of an entry, in the month that is open for it. Of a reversal it is not that of what it takes back."""
    names = names_of_entry(dialect)
    start, period = names.index("charge_start"), names.index("posted_period")
    return (*row[:period], posted_period(month_of(row[start]), closed), *row[period + 1 :])


def months_closed(snapshot: Snapshot) -> frozenset[str]:
    """The months of a store that are closed."""
    return frozenset(row["month"] for row in snapshot.rows("SELECT month FROM closed_periods"))


def booked_sql(where: Filter, closed: Collection[str], dialect: SqlDialect) -> Condition:
    """The condition on entries `e` that are billed in a stretch of time, without those that take each other back in it.

    What is posted to a month is billed as that begins, all else when the charge began.
    """
    asked: dict[str, Any] = {**where.dimensions}
    # Whatever is billed in it began before its end, and in it or in a month that was closed: an index can tell those.
    since = where.since_ns
    if since is not None and closed:
        since = min(since, _began(min(closed)))
    ids = {"run_id": where.run_id, "span_id": where.span_id, "event_id": where.event_id}
    bounds = Filter(since_ns=since, until_ns=where.until_ns, **asked, **ids)
    condition, values = where_sql(bounds, dialect)
    inside, within = _billed_in("e", where)
    other, within_too = _billed_in("o", where)
    # Sets, which every engine makes once: of all entries few are corrected.
    taken_back = f"SELECT o.corrects FROM entries o WHERE o.corrects IS NOT NULL AND o.n = -1 AND {other}"
    corrected = "SELECT r.corrects FROM entries r WHERE r.corrects IS NOT NULL AND r.n = -1"
    there = f"SELECT o.id FROM entries o WHERE o.id IN ({corrected}) AND {other}"
    left = f"((e.n = 1 AND e.id NOT IN ({taken_back})) OR (e.n = -1 AND e.corrects NOT IN ({there})))"
    return f"{condition} AND {inside} AND {left}", [*values, *within, *within_too, *within_too]


def _billed_in(entry: str, where: Filter) -> Condition:
    began, posted_to = [f"{entry}.posted_period IS NULL"], [f"{entry}.posted_period IS NOT NULL"]
    starts: list[Any] = []
    months: list[Any] = []
    for sign, ns in ((">=", where.since_ns), ("<", where.until_ns)):
        if ns is not None and -MOST < ns < MOST:  # beyond those nothing can be
            began.append(f"{entry}.charge_start {sign} ?")
            starts.append(ns)
            posted_to.append(f"{entry}.posted_period {sign} ?")
            months.append(_first_month_from(ns))
    return f"(({' AND '.join(began)}) OR ({' AND '.join(posted_to)}))", [*starts, *months]


def _began(month: str) -> int:
    return to_ns(datetime.strptime(month, "%Y-%m").replace(tzinfo=timezone.utc))


def _first_month_from(ns: int) -> str:
    """The first month that begins at a time or later."""
    return month_of(ns) if month_of(ns - 1) != month_of(ns) else month_after(month_of(ns))


def checked_month(text: str, now: datetime) -> str:
    """A month (YYYY-MM) that may be closed. Raises `UsageError` for what is none, or is not over."""
    try:
        since = datetime.strptime(text, "%Y-%m").replace(tzinfo=timezone.utc)
    except ValueError:
        raise UsageError(f"{text!r} is no month; give it as 2026-10") from None
    month = f"{since:%Y-%m}"
    if month != text:
        raise UsageError(f"{text!r} is no month; give it as {month}")
    over = datetime.strptime(month_after(month), "%Y-%m").replace(tzinfo=timezone.utc)
    if now < over:
        raise UsageError(f"{month} is not over before {over:%Y-%m-%d %H:%M} UTC; close it then")
    return month


def close_month(store: Store, month: str, *, until: float) -> bool:
    """Close a month; False where it was closed before. What waits in a journal is taken in before, by the caller.

    It waits for whoever else writes until then, a time of `time.monotonic()`. Raises what the store raises.
    """
    with store.transaction(until):
        if month in months_closed(store):
            return False
        store.put(CLOSED, [(month, time.time_ns())])
    return True
