"""Rates: one price for one meter under stated conditions, and how conditions meet a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

from aicost.usage.meters import METERS, Quantity

ANY = "*"
AXES = ("service_tier", "region", "speed")
"""What a provider prices by besides the model: each is unset for the provider's default."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_INPUTS = tuple(meter.id for meter in METERS.values() if meter.direction == "input")
_OUTPUTS = tuple(meter.id for meter in METERS.values() if meter.direction == "output")
_GROUPS = {"input_tokens": _INPUTS, "output_tokens": _OUTPUTS, "tokens": (*_INPUTS, *_OUTPUTS)}
"""Names a card may write for several meters at once."""


def expand(meters: Iterable[str]) -> tuple[str, ...]:
    """Meter ids, with `input_tokens`, `output_tokens` and `tokens` replaced by the meters they stand for.

    >>> "input_cache_read" in expand(["input_tokens"])
    True
    """
    return tuple(one for meter in meters for one in _GROUPS.get(meter, (meter,)))


class Dated(Protocol):
    """What holds from one instant to another; None is always."""

    @property
    def valid_from_ns(self) -> int | None: ...
    @property
    def valid_to_ns(self) -> int | None: ...


def in_force(what: Dated, at_ns: int) -> bool:
    """Whether the dates include the instant; `valid_to` is exclusive."""
    return (what.valid_from_ns is None or what.valid_from_ns <= at_ns) and (
        what.valid_to_ns is None or at_ns < what.valid_to_ns
    )


@dataclass(frozen=True, slots=True)
class Context:
    """A threshold on the size of the request: the rate holds when the sum over `basis` passes `value`.

    `cliff` applies the rate to every unit of the request, `marginal` only to the units past the threshold.
    """

    basis: frozenset[str]
    inclusive: bool
    value: int
    marginal: bool

    def passed(self, quantity: Quantity) -> bool:
        """Whether `quantity` units of the basis pass the threshold (`ge` includes it, `gt` does not)."""
        return quantity >= self.value if self.inclusive else quantity > self.value


@dataclass(frozen=True, slots=True)
class Window:
    """Times of the week at which a rate holds, in its own time zone.

    `start` > `end` spans midnight, and both the same is the whole day. Both are minutes since midnight.
    """

    days: frozenset[int]
    start: int
    end: int
    timezone: str

    def holds(self, at_ns: int) -> bool:
        """Whether the instant lies inside; the start is included, the end is not."""
        from zoneinfo import ZoneInfo

        local = datetime.fromtimestamp(at_ns // 10**9, tz=timezone.utc)
        if self.timezone != "UTC":
            local = local.astimezone(ZoneInfo(self.timezone))
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return local.weekday() in self.days and self.start <= minute < self.end
        # Past midnight the window still belongs to the day on which it opened.
        opened = local.weekday() if minute >= self.start else (local.weekday() - 1) % 7
        return opened in self.days and (minute >= self.start or minute < self.end)


@dataclass(frozen=True, slots=True)
class Rate:
    """One price for one meter: `price` per `per` units, when all its conditions hold."""

    id: str
    meter: str
    price: Fraction
    per: int
    currency: str
    source: str
    checked: str
    axes: Mapping[str, frozenset[str]]
    layer: int = 0
    """How far below the card that was asked: a discount holds for the layers under its own."""
    context: Context | None = None
    window: Window | None = None
    valid_from: str | None = None
    valid_from_ns: int | None = None
    valid_to_ns: int | None = None
    attested_from: str | None = None
    """The first day on which a source has this price, where it is known to have been another before."""
    note: str | None = None

    @property
    def attested_from_ns(self) -> int | None:
        """The instant before which the price is only the nearest one known; None where nothing is in doubt."""
        return parse_instant(self.attested_from) if self.attested_from else None

    @property
    def attested(self) -> str:
        """Since when a source is known to have this price: of one without dates, the day it was looked at."""
        return self.attested_from or self.valid_from or self.checked

    def matches(self, axes: Mapping[str, str | None], modified: frozenset[str]) -> int | None:
        """How specifically the rate fits the request, or None when it does not.

        An axis the rate says nothing about must be at its default, or be one that a modifier (`modified`) covers. A
        fee per call of a tool is the same on all.
        """
        score = 0
        is_fee = self.meter.startswith("tool_")
        for axis in AXES:
            wanted, value = self.axes.get(axis), axes[axis]
            if wanted is None:
                if value is not None and axis not in modified and not is_fee:
                    return None
            elif value is not None and value in wanted:
                score += 2
            elif ANY in wanted:
                score += 1
            else:
                return None
        return score


@dataclass(frozen=True, slots=True)
class Modifier:
    """A rational factor on some meters' rates under some conditions: batch 1/2, residency 11/10.

    One without conditions is a discount (or a surcharge) on list prices: it holds for the cards under its own.
    """

    id: str
    factor: Fraction
    meters: frozenset[str]
    axes: Mapping[str, frozenset[str]]
    layer: int = 0
    valid_from_ns: int | None = None
    valid_to_ns: int | None = None
    source: str | None = None

    def applies(self, axes: Mapping[str, str | None]) -> bool:
        """Whether every axis it names is at one of its values; `*` is any but the default."""
        return all(
            axes[axis] in wanted or (ANY in wanted and axes[axis] is not None) for axis, wanted in self.axes.items()
        )

    def touches(self, rate: Rate) -> bool:
        """Whether it changes `rate`, its conditions met.

        A price stated for an axis already is that axis's price: a modifier of the same axis does not come on top.
        """
        if not self.axes and self.layer >= rate.layer:
            return False
        if not (ANY in self.meters or rate.meter in self.meters):
            return False
        return not any(axis in rate.axes and ANY not in rate.axes[axis] for axis in self.axes)


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """One unit of `base` is `price` units of `quote`."""

    base: str
    quote: str
    price: Fraction
    source: str
    checked: str
    valid_from: str | None = None
    valid_from_ns: int | None = None
    valid_to_ns: int | None = None

    @property
    def id(self) -> str:
        """`fx:EUR>USD@2026-11-01`, as a converted charge line names it."""
        return f"fx:{self.base}>{self.quote}@{self.valid_from or 'always'}"


def parse_instant(text: str) -> int:
    """Nanoseconds since the epoch of an ISO date (midnight UTC) or date-time. Raises ValueError for others."""
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=timezone.utc)
    return to_ns(parsed)


def to_ns(at: datetime) -> int:
    """Nanoseconds since the epoch, exactly; a time without a zone is local time, as everywhere in Python."""
    return (at.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1) * 1000


def parse_context(raw: Mapping[str, Any]) -> Context:
    """A threshold from its file form."""
    return Context(_basis(tuple(raw["basis"])), raw["op"] == "ge", int(raw["value"]), raw["scope"] == "marginal")


@lru_cache(maxsize=1024)
def _basis(meters: tuple[str, ...]) -> frozenset[str]:
    # One object per basis, so that a request's size is counted once for all thresholds on it.
    return frozenset(expand(meters))


def parse_window(raw: Mapping[str, Any]) -> Window:
    """A weekly window from its file form."""
    days = frozenset(_DAYS.index(day) for day in raw.get("days", _DAYS))
    return Window(days, _minute(raw["start"]), _minute(raw["end"]), raw.get("timezone", "UTC"))


def built_price(raw: Mapping[str, Any]) -> Fraction:
    """The price of one unit made on a machine of one's own, from what an hour of its work costs.

    That hour is `capex x (1 - salvage) / (lifetime_hours x utilisation) + power_kw x pue x energy_price +
    opex_per_hour`, or `hourly / utilisation` where the machine is rented. It is divided by the units the machine
    makes in an hour: 3600 for `compute_seconds`, its measured throughput for tokens.

    >>> built_price({"hourly": "1.80", "utilisation": "0.5", "units_per_hour": "3600"})
    Fraction(1, 1000)
    """
    number = {name: Fraction(value) for name, value in raw.items()}
    used = number.get("utilisation", Fraction(1))
    if "hourly" in number:
        an_hour = number["hourly"] / used
    else:
        an_hour = (
            number["capex"] * (1 - number.get("salvage", Fraction(0))) / (number["lifetime_hours"] * used)
            + number.get("power_kw", Fraction(0)) * number.get("pue", Fraction(1)) * number.get("energy_price", 0)
            + number.get("opex_per_hour", Fraction(0))
        )
    return an_hour / number["units_per_hour"]


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
