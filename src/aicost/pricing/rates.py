"""Rates: one price for one meter under stated conditions, and how conditions meet a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from fractions import Fraction
from typing import Any

ANY = "*"
AXES = ("service_tier", "region", "speed")
"""What a provider prices by besides the model: each is unset for the provider's default."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Context:
    """A threshold on the size of the request: the rate holds when the sum over `basis` passes `value`.

    `cliff` applies the rate to every unit of the request, `marginal` only to the units past the threshold.
    """

    basis: tuple[str, ...]
    inclusive: bool
    value: int
    marginal: bool

    def passed(self, quantity: Any) -> bool:
        """Whether `quantity` units of the basis pass the threshold (`ge` includes it, `gt` does not)."""
        return bool(quantity >= self.value if self.inclusive else quantity > self.value)


@dataclass(frozen=True, slots=True)
class Window:
    """Times of the week at which a rate holds, in its own time zone. `start` > `end` spans midnight."""

    days: frozenset[int]
    start: int
    end: int
    timezone: str

    def holds(self, at_ns: int) -> bool:
        """Whether the instant lies inside; the start is included, the end is not."""
        from zoneinfo import ZoneInfo

        local = datetime.fromtimestamp(at_ns / 1e9, tz=timezone.utc).astimezone(ZoneInfo(self.timezone))
        minute = local.hour * 60 + local.minute
        if self.start <= self.end:
            return local.weekday() in self.days and self.start <= minute < self.end
        # Past midnight the window still belongs to the day on which it opened.
        opened = local.weekday() if minute >= self.start else (local.weekday() - 1) % 7
        return opened in self.days and (minute >= self.start or minute < self.end)


@dataclass(frozen=True, slots=True)
class Rate:
    """One price for one meter: `price` (a decimal string) per `per` units, when all its conditions hold."""

    id: str
    meter: str
    price: str
    per: int
    currency: str
    source: str
    checked: str
    axes: Mapping[str, frozenset[str]]
    context: Context | None = None
    window: Window | None = None
    valid_from_ns: int | None = None
    valid_to_ns: int | None = None
    note: str | None = None

    def in_force(self, at_ns: int) -> bool:
        """Whether the rate's dates include the instant; `valid_to` is exclusive."""
        return (self.valid_from_ns is None or self.valid_from_ns <= at_ns) and (
            self.valid_to_ns is None or at_ns < self.valid_to_ns
        )

    def matches(self, axes: Mapping[str, str | None], modified: frozenset[str]) -> int | None:
        """How specifically the rate fits the request, or None when it does not.

        An axis the rate says nothing about must be at its default, or be one that a modifier (`modified`) covers.
        """
        score = 0
        for axis in AXES:
            wanted, value = self.axes.get(axis), axes[axis]
            if wanted is None:
                if value is not None and axis not in modified:
                    return None
            elif value is not None and value in wanted:
                score += 2
            elif ANY in wanted:
                score += 1
            else:
                return None
        return score + (1 if self.window else 0)


@dataclass(frozen=True, slots=True)
class Modifier:
    """A rational factor on some meters' rates under some conditions: batch 1/2, residency 11/10."""

    id: str
    factor: Fraction
    meters: frozenset[str]
    axes: Mapping[str, frozenset[str]]

    def applies(self, axes: Mapping[str, str | None]) -> bool:
        """Whether every axis it names is at one of its values."""
        return all(ANY in wanted or axes[axis] in wanted for axis, wanted in self.axes.items())


def parse_instant(text: str) -> int:
    """Nanoseconds since the epoch of an ISO date (midnight UTC) or date-time. Raises ValueError for others."""
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=timezone.utc)
    return int(parsed.timestamp()) * 10**9


def parse_context(raw: Mapping[str, Any]) -> Context:
    """A threshold from its file form."""
    return Context(tuple(raw["basis"]), raw["op"] == "ge", int(raw["value"]), raw["scope"] == "marginal")


def parse_window(raw: Mapping[str, Any]) -> Window:
    """A weekly window from its file form."""
    days = frozenset(_DAYS.index(day) for day in raw.get("days", _DAYS))
    return Window(days, _minute(raw["start"]), _minute(raw["end"]), raw.get("timezone", "UTC"))


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
