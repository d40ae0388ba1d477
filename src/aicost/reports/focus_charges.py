"""Charges cut into the rows that FOCUS wants: each with a price and a quantity that make exactly its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from aicost._money import ATTO
from aicost.ledger.answers import Booked
from aicost.ledger.query import start_of
from aicost.ledger.records import ChargeRecord
from aicost.pricing.charge import ChargeLine
from aicost.semconv.dimensions import BY_KEY
from aicost.usage.meters import Quantity, declared

from .flat_files import decimal_text

Every = Literal["hour", "day", "month"]

WHOLE_CHARGE = "Charges"
"""The unit of what is priced as a whole: one charge, at what it came to."""
_REQUESTS = "Requests"  # what was used of a charge that no lines explain

UNITS: Mapping[str, str] = {
    "{token}": "Tokens",
    "{token}.h": "Token-Hours",
    "{call}": "Calls",
    "{session}": "Sessions",
    "{request}": "Requests",
    "{character}": "Characters",
    "{image}": "Images",
    "{pixel}": "Pixels",
    "{page}": "Pages",
    "{query}": "Queries",
    "{unit}": "Units",
    "{vector}": "Vectors",
    "s": "Seconds",
    "By": "Bytes",
    "GBy": "GB",
    "GBy.h": "GB-Hours",
}
"""The units of meters as FOCUS writes units."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SECOND = 10**9
_HOUR = 3_600 * _SECOND


class Charged(NamedTuple):
    """A charge, or several that are alike: what all rows made of it have in common."""

    booked: Booked
    since: datetime
    until: datetime
    owners: Mapping[str, str]

    @property
    def record(self) -> ChargeRecord:
        """What the ledger says of it, or of the first of those that are alike."""
        return self.booked.record


class PricedLine(NamedTuple):
    """A line of a charge, or all of one that no lines explain (`line` is None): `price` x `quantity` = `atto`.

    All three are in 1e-18: the price is for one `unit`, the quantity so many of it.
    """

    charged: Charged
    line: ChargeLine | None
    atto: int
    price: int
    quantity: int
    unit: str
    consumed: int | None
    """How much was used, in 1e-18 of a `consumed_unit`; None for what 38 digits cannot hold."""
    consumed_unit: str
    is_by_rate: bool
    """Whether price, quantity and unit are those of the rate; else it is one charge at what it came to."""


def priced_lines(booked: Booked) -> Iterator[tuple[ChargeLine | None, Quantity, int]]:
    """What a charge consists of: lines with what was used and what that came to. The amounts sum to the charge's.

    Nothing, where its amount is not known: it is no zero. A line without a rate is not in the amount either. What was
    neither used nor paid for has no line.
    """
    record = booked.record
    if record.atto is None:
        return
    explained = [line for line in record.lines if line.atto is not None]
    if record.charge_status == "provider_reported" or sum(line.atto or 0 for line in explained) != record.atto:
        yield None, booked.n, record.atto
        return
    for line in explained:
        if line.quantity or line.atto:
            yield line, line.quantity, line.atto or 0


def priced(charged: Charged, line: ChargeLine | None, consumed: Quantity, atto: int) -> PricedLine:
    """A line with a price and a quantity that make its amount, to the last digit.

    They are those of the rate, if all three can be written with 18 decimal places. If not (a price of a third of a
    cent, an amount that had to be rounded), or if there is no rate, it is one charge at the price that it came to.
    """
    unit = _REQUESTS if line is None else unit_of(line.meter)
    used = _in_atto(consumed, 1)
    if line is not None:
        price, quantity = _price_of(line.unit_price, line.atto), _in_atto(consumed, line.per)
        if price is not None and quantity is not None and price * quantity == atto * ATTO:
            return PricedLine(charged, line, atto, price, quantity, pricing_unit(line), used, unit, is_by_rate=True)
    one = ATTO if atto >= 0 else -ATTO
    return PricedLine(charged, line, atto, abs(atto), one, WHOLE_CHARGE, used, unit, is_by_rate=False)


def pricing_unit(line: ChargeLine) -> str:
    """What the price of a line is for: `1000000 Tokens`."""
    unit = unit_of(line.meter)
    return unit if line.per == 1 else f"{line.per} {unit}"


def unit_of(meter: str) -> str:
    """What one of a meter is; `Units`, if nobody has declared it."""
    known = declared(meter)
    return UNITS["{unit}" if known is None else known.unit]


def singly(charges: Iterable[Booked]) -> Iterator[tuple[Charged, Iterator[PricedLine]]]:
    """Each charge by itself, with its lines."""
    for booked in charges:
        record = booked.record
        # Whole seconds around it: FOCUS writes no fractions, and no period is empty.
        since = record.started_ns // _SECOND
        until = max(-(-record.ended_ns // _SECOND), since + 1)
        charged = Charged(booked, _at(since), _at(until), record.attribution)
        yield charged, (priced(charged, *line) for line in priced_lines(booked))


def by_time(
    charges: Iterable[Booked], every: Every, alike: Callable[[Charged], Sequence[Any]]
) -> Iterator[tuple[Charged, Iterator[PricedLine]]]:
    """Charges of an hour, day or month together, if `alike` says the same of them and their line is of the same rate.

    Who it was for is no part of it: users, sessions and conversations are as many as charges. They come in the order
    they began; those of one stretch of time are held at once.
    """
    made: dict[Any, list[Any]] = {}
    current: datetime | None = None
    for booked in charges:
        record = booked.record
        since = start_of(every, record.started_ns // _HOUR)
        if since != current:
            yield from _summed(made)
            made, current = {}, since
        owners = {key: value for key, value in record.attribution.items() if not _is_subject(key)}
        charged = Charged(booked, since, _end_of(every, since), owners)
        key: tuple[Any, ...] | None = None
        for line, consumed, atto in priced_lines(booked):
            if key is None:
                key = tuple(alike(charged))
            # One that is not its price times quantity must not make the others of its rate such, too.
            is_by_rate = priced(charged, line, consumed, atto).is_by_rate
            whose = None if line is None else (line.meter, line.unit_price, line.per, line.rate_id, is_by_rate)
            found = made.setdefault((key, whose), [charged, line, 0, 0])
            found[2] += consumed
            found[3] += atto
    yield from _summed(made)


def _summed(made: Mapping[Any, list[Any]]) -> Iterator[tuple[Charged, Iterator[PricedLine]]]:
    for charged, line, consumed, atto in made.values():
        if consumed or atto:
            yield charged, iter((priced(charged, line, consumed, atto),))


def billing_month(booked: Booked) -> tuple[datetime, datetime]:
    """The month (UTC) that a charge is billed in: where it begins, and where the next one does."""
    if booked.posted is not None:
        year, month = map(int, booked.posted.split("-"))
        since = datetime(year, month, 1, tzinfo=timezone.utc)
        return since, _end_of("month", since)
    return _month_of(booked.record.started_ns // _HOUR)


@lru_cache(maxsize=4096)
def _month_of(hour: int) -> tuple[datetime, datetime]:
    since = start_of("month", hour)
    return since, _end_of("month", since)


def _end_of(every: Every, since: datetime) -> datetime:
    if every == "month":
        return (since + timedelta(days=31)).replace(day=1)
    return since + (timedelta(hours=1) if every == "hour" else timedelta(days=1))


def _at(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def _is_subject(key: str) -> bool:
    known = BY_KEY.get(key)
    return known is not None and known.source == "subject"


def _price_of(unit_price: str | None, atto: int | None) -> int | None:
    """A price in 1e-18; of a line without one, which costs nothing whatever was used, it is 0."""
    if unit_price is None:
        return 0 if atto == 0 else None
    return _parsed(unit_price)


@lru_cache(maxsize=4096)
def _parsed(unit_price: str) -> int | None:
    return _in_atto(Fraction(unit_price), 1)


def _in_atto(value: Quantity | Fraction, per: int) -> int | None:
    """`value / per` in 1e-18, if it is a whole number of those that a column can hold."""
    if type(value) is int and ATTO % per == 0:
        found = value * (ATTO // per)
    else:
        exact = Fraction(value) * ATTO / per
        if exact.denominator != 1:
            return None
        found = exact.numerator
    return None if decimal_text(found) is None else found
