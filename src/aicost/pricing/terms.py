"""Terms: what a provider charges or grants per period rather than per call, and settling a period with them.

A call is priced at the list's first, marginal price. What depends on the whole period (a free allowance, a graduated
tier, a minimum, a seat) is known only when it is over; `settle` turns it into lines of its own, so that calls and lines
together are the bill and nothing is spread over calls in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from aicost._money import ATTO
from aicost.usage.meters import Quantity

from .rates import expand, in_force, parse_instant

TermKind = Literal["allowance", "graduated", "volume", "minimum", "seat"]
TermPeriod = Literal["day", "month", "year"]


@dataclass(frozen=True, slots=True)
class Tier:
    """From `start` units in the period on, a unit costs `price` (in the currency, per unit)."""

    start: int
    price: Fraction


@dataclass(frozen=True, slots=True)
class Term:
    """One agreement on a period.

    - `allowance`: the first `quantity` units of `meters` are free.
    - `graduated`: each unit of `meters` costs what its tier says (marginal).
    - `volume`: all units cost what the tier of the whole quantity says (cliff).
    - `minimum`: the period costs at least `price`.
    - `seat`: each seat costs `price`, and `quantity` of them are included for free.
    """

    id: str
    kind: TermKind
    currency: str
    source: str
    checked: str
    period: TermPeriod = "month"
    meters: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    """Only these models; all if empty."""
    quantity: int = 0
    price: Fraction = Fraction(0)
    tiers: tuple[Tier, ...] = ()
    valid_from_ns: int | None = None
    valid_to_ns: int | None = None

    def covers(self, used: MeterUsage) -> bool:
        """Whether it speaks of this usage."""
        return used.meter in self.meters and (not self.models or used.model in self.models)


@dataclass(frozen=True, slots=True)
class MeterUsage:
    """What a period used of one meter of one model, and what its calls were charged for it."""

    model: str
    meter: str
    quantity: Quantity
    atto: int
    """In 1e-18 of the currency."""


@dataclass(frozen=True, slots=True)
class PeriodLine:
    """One line of a settled period: what a term adds to the calls' charges, or takes off them (`atto` < 0)."""

    term: str
    kind: TermKind
    meter: str | None
    quantity: Quantity
    atto: int
    currency: str
    source: str


def settle(
    terms: Iterable[Term],
    usage: Iterable[MeterUsage],
    *,
    at_ns: int,
    currency: str,
    period: TermPeriod = "month",
    seats: Mapping[str, int] | None = None,
) -> tuple[PeriodLine, ...]:
    """What the terms in force at `at_ns` (the period's start) add to the charges of its calls.

    `seats` is the number of seats by term id. Allowances come first, then tiers, seats and the minimum, which sees
    everything before it. Terms in another currency, or of another length of period, belong to another bill and are left
    out. Meters of one term are counted together, in the order of `usage`. The calls' `atto` plus the lines' is the
    bill.

    >>> free = Term("free", "allowance", "USD", "contract", "2026-11-01", meters=frozenset({"queries"}), quantity=100)
    >>> settle([free], [MeterUsage("m", "queries", 150, 150 * 10**18)], at_ns=0, currency="USD")[0].atto
    -100000000000000000000
    """
    valid = [t for t in terms if in_force(t, at_ns) and t.currency == currency and t.period == period]
    rows = list(usage)
    lines: list[PeriodLine] = []
    for kind, apply in (("allowance", _allowance), ("graduated", _tiered), ("volume", _tiered)):
        for term in (t for t in valid if t.kind == kind):
            lines += apply(term, [row for row in rows if term.covers(row)])
    for term in (t for t in valid if t.kind == "seat"):
        paid = max(0, (seats or {}).get(term.id, 0) - term.quantity)
        if paid:
            lines.append(_line(term, None, paid, _atto(term.price * paid)))
    for term in (t for t in valid if t.kind == "minimum"):
        short = _atto(term.price) - sum(row.atto for row in rows) - sum(line.atto for line in lines)
        if short > 0:
            lines.append(_line(term, None, 1, short))
    return tuple(lines)


def parse_term(raw: Mapping[str, Any], provider: Mapping[str, Any], currency: str) -> Term:
    """A term from its file form."""
    per = raw.get("per", 1)
    return Term(
        raw["id"],
        raw["kind"],
        raw.get("currency", currency),
        raw.get("source") or provider["source"],
        raw.get("checked") or provider["checked"],
        raw.get("period", "month"),
        frozenset(expand(raw.get("meters", ()))),
        frozenset(raw.get("models", ())),
        raw.get("quantity", 0),
        Fraction(raw.get("price", "0")),
        tuple(Tier(tier["start"], Fraction(tier["price"]) / per) for tier in raw.get("tiers", ())),
        parse_instant(raw["valid_from"]) if raw.get("valid_from") else None,
        parse_instant(raw["valid_to"]) if raw.get("valid_to") else None,
    )


def _allowance(term: Term, rows: list[MeterUsage]) -> Iterable[PeriodLine]:
    left: Quantity = term.quantity
    for row in rows:
        free = min(left, row.quantity)
        if free > 0:
            left -= free
            yield _line(term, row.meter, free, -round(Fraction(row.atto) * Fraction(free) / Fraction(row.quantity)))


def _tiered(term: Term, rows: list[MeterUsage]) -> Iterable[PeriodLine]:
    """The difference between what the tiers say and what the calls were charged, row by row."""
    total = sum(Fraction(row.quantity) for row in rows)
    reached = [tier for tier in term.tiers if tier.start <= total]
    before = Fraction(0)
    for row in rows:
        after = before + Fraction(row.quantity)
        if term.kind == "volume":
            right = Fraction(row.quantity) * (reached[-1].price if reached else 0)
        else:
            right = _up_to(term.tiers, after) - _up_to(term.tiers, before)
        before = after
        difference = _atto(right) - row.atto
        if difference:
            yield _line(term, row.meter, row.quantity, difference)


def _up_to(tiers: tuple[Tier, ...], quantity: Fraction) -> Fraction:
    """What the first `quantity` units of a period cost."""
    ends = [*(Fraction(tier.start) for tier in tiers[1:]), quantity]
    spans = ((min(quantity, end) - tier.start, tier.price) for tier, end in zip(tiers, ends, strict=True))
    return sum((units * price for units, price in spans if units > 0), Fraction(0))


def _line(term: Term, meter: str | None, quantity: Quantity, atto: int) -> PeriodLine:
    return PeriodLine(term.id, term.kind, meter, quantity, atto, term.currency, term.source)


def _atto(amount: Fraction) -> int:
    return round(amount * ATTO)  # half to even, as everywhere
