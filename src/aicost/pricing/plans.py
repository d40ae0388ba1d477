"""Plans: the rates of a model compiled for one kind of request, so that pricing is a look-up.

For each (provider, model, tier, region, speed) there is one timeline: a plan per stretch of time between two rate
changes. A plan knows which conditions depend on the request itself (its size, the hour); for each combination of those
that holds it has one flat table of meters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from aicost._money import ATTO
from aicost.usage.meters import METERS, Quantity
from aicost.usage.reading import MAX_COUNT, is_sane

from ._text import price_text
from .card import RateCard
from .charge import Column, Layout
from .models import ModelRates
from .rates import Context, Modifier, Rate, Window, in_force

Axes = Mapping[str, "str | None"]
_BEGINNING = -(1 << 70)
CALL_FEE = "requests"
"""The meter of a fee per call: one, unless the usage says how many."""
_MINUTE_NS = 60 * 10**9


class Option(NamedTuple):
    """A rate with its modifiers applied. `num / den` is the price of one unit in 1e-18 of the currency."""

    num: int
    den: int
    unit_price: str
    per: int
    rate_id: str
    above: Context | None
    """The marginal threshold it holds above."""
    attested: bool = True
    """Whether a source has the price for that time, or it is only the nearest one known."""


PricingStep = tuple[int, int, str, int, str, "tuple[Option, ...] | None"]
"""What prices a meter: num, den, unit price, per, rate id, and all options where that is not all there is to say.

It is not where the price changes within a request, or is not attested for its time.
"""


class Arranged(NamedTuple):
    """The layout of usage with these meters, and what each of its quantities is multiplied by.

    `nums` over `dens` is the amount of one unit; there are no `dens` where all are 1.
    """

    layout: Layout
    nums: tuple[int, ...]
    dens: tuple[int, ...] | None


_MOST_LAYOUTS = 256
"""Of one table. Readers tell meters in a fixed order, so that there are a few; an application may say any."""


class Table:
    """What prices each meter, under certain conditions."""

    __slots__ = ("_layouts", "arranged", "step")

    def __init__(self, steps: Mapping[str, PricingStep]) -> None:
        self.step = steps.get
        """What prices a meter; None where nothing does."""
        self._layouts: dict[tuple[str, ...], Arranged] = {}
        self.arranged = self._layouts.get
        """The layout for usage of these meters, in their order, if it was asked for before."""

    def arrange(self, meters: tuple[str, ...]) -> Arranged | None:
        """The layout for usage of these meters; None where not all have one price, or any is no plain text."""
        steps = [self.step(meter) if type(meter) is str else None for meter in meters]
        if any(step is None or step[5] is not None for step in steps):
            return None
        plain = [step for step in steps if step is not None]
        layout = Layout.of(
            Column(meter, price, per, rate_id, (num, den))
            for meter, (num, den, price, per, rate_id, _) in zip(meters, plain, strict=True)
        )
        nums, dens = tuple(step[0] for step in plain), tuple(step[1] for step in plain)
        made = Arranged(layout, nums, None if set(dens) <= {1} else dens)
        if len(self._layouts) < _MOST_LAYOUTS:
            self._layouts[meters] = made
        return made


class _Candidate(NamedTuple):
    score: int
    context: Context | None
    window: Window | None
    option: Option

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The highest threshold first, then one with hours, then the one that names most of the request."""
        return (self.context.value if self.context else -1, self.window is not None, self.score)


class Plan:
    """What prices a request in one stretch of time."""

    __slots__ = (
        "_candidates",
        "_hours",
        "_rated",
        "_sizes",
        "_tables",
        "_windows",
        "currency",
        "has_call_fee",
        "table",
        "unconverted",
    )

    def __init__(
        self,
        currency: str,
        candidates: dict[str, list[_Candidate]],
        *,
        rated: Collection[str],
        unconverted: frozenset[str],
    ) -> None:
        self.currency = currency
        self._rated = rated
        self.has_call_fee = CALL_FEE in rated
        """Whether each call costs something by itself, which no usage object says."""
        self.unconverted = unconverted
        """Meters whose rates are in another currency that no exchange rate leads out of."""
        self._candidates = candidates
        every = [c for found in candidates.values() for c in found]
        sizes = {c.context for c in every if c.context is not None and not c.context.marginal}
        windows = dict.fromkeys(c.window for c in every if c.window is not None)
        # Each condition is a bit of a number, and that number the key of the table to use.
        by_basis = sorted(sizes, key=lambda c: (sorted(c.basis), c.value, c.inclusive))
        self._sizes = [(1 << n, c.basis, c.value, c.inclusive, c) for n, c in enumerate(by_basis)]
        self._windows = [(1 << n, window) for n, window in enumerate(windows, len(self._sizes))]
        self._tables: dict[int, Table] = {}
        self._hours = (0, 0)
        self.table: Table | None = None if self._sizes or self._windows else self._compile(0)
        """The one table, where nothing depends on the request itself."""

    def for_request(self, usage: Mapping[str, Quantity], at_ns: int) -> Table:
        """The table for a request of this size at this time."""
        holding = self._open(at_ns) if self._windows else 0
        counted: frozenset[str] | None = None
        size: Quantity = 0
        for bit, basis, value, inclusive, _ in self._sizes:
            if basis is not counted:
                counted = basis
                size = 0
                for meter, quantity in usage.items():
                    if meter in basis:
                        # What is no number that can be priced counts nothing, either.
                        size += quantity if type(quantity) is int and 0 <= quantity <= MAX_COUNT else _counted(quantity)
            if size > value or (inclusive and size == value):
                holding |= bit
        found = self._tables.get(holding)
        if found is None:
            found = self._tables[holding] = self._compile(holding)
        return found

    def _open(self, at_ns: int) -> int:
        """The windows that hold. Windows open on whole minutes, and calls come in many to a minute."""
        minute = at_ns // _MINUTE_NS
        known, bits = self._hours
        if known != minute:
            bits = sum(bit for bit, window in self._windows if _holds(window, at_ns))
            self._hours = (minute, bits)
        return bits

    def _compile(self, bits: int) -> Table:
        holding = {c for bit, *_, c in self._sizes if bits & bit} | {w for bit, w in self._windows if bits & bit}
        table: dict[str, PricingStep] = {}
        for meter, candidates in self._candidates.items():
            fitting = [
                c
                for c in candidates
                if (c.window is None or c.window in holding)
                and (c.context is None or c.context.marginal or c.context in holding)
            ]
            steps = sorted((c for c in fitting if c.option.above is not None), key=lambda c: c.rank, reverse=True)
            plain = [c for c in fitting if c.option.above is None]
            if not fitting:
                continue
            best = max(plain, key=lambda c: c.rank).option if plain else None
            if not steps and best is not None and best.attested:
                table[meter] = (*best[:5], None)
            else:
                first = best or steps[-1].option
                table[meter] = (*first[:5], tuple(c.option for c in steps) + ((best,) if best else ()))
        for declared in METERS.values():
            if declared.priced_as in table and declared.id not in self._rated:
                table[declared.id] = table[declared.priced_as]
        return Table(table)


def valid_quantity(quantity: object) -> Quantity | None:
    """A quantity that can be priced: a whole or decimal number from 0 to `MAX_COUNT`. None for anything else.

    A float is taken at the decimal it is written as.
    """
    if type(quantity) is float:
        quantity = Decimal(repr(quantity))
    if isinstance(quantity, Decimal):
        return quantity if is_sane(quantity) else None
    return quantity if type(quantity) is int and 0 <= quantity <= MAX_COUNT else None


def _counted(quantity: object) -> Quantity:
    return valid_quantity(quantity) or 0


def _holds(window: Window, at_ns: int) -> bool:
    try:
        return window.holds(at_ns)
    except (ValueError, OverflowError, OSError):  # a time that no calendar has
        return False


class Timeline(NamedTuple):
    """The plans of a model, one after the other in time."""

    card: str
    starts: list[int]
    plans: list[Plan]


def timeline(card: RateCard, model: ModelRates, axes: Axes) -> Timeline:
    """Compile a model's rates for requests with these axes."""
    edges = {_BEGINNING, *model.dates(), *card.exchange_dates()}
    modifiers = [modifier for modifier in model.modifiers if modifier.applies(axes)]
    starts = sorted(edges)
    return Timeline(model.cards, starts, [_plan(card, model, axes, modifiers, start) for start in starts])


def _plan(card: RateCard, model: ModelRates, axes: Axes, modifiers: list[Modifier], at_ns: int) -> Plan:
    current = [modifier for modifier in modifiers if in_force(modifier, at_ns)]
    priced: dict[str, list[tuple[int, Rate, list[Modifier]]]] = {}
    for meter, rates in model.rates.items():
        for rate in rates:
            mine = [m for m in current if m.touches(rate)]
            covered = frozenset(axis for m in mine for axis in m.axes)
            score = rate.matches(axes, covered) if in_force(rate, at_ns) else None
            if score is not None:
                priced.setdefault(meter, []).append((score, rate, mine))
    exchange = {
        native: card.exchange(native, card.currency, at_ns)
        for native in {rate.currency for found in priced.values() for _, rate, _ in found} - {card.currency}
    }
    natives = {rate.currency for found in priced.values() for _, rate, _ in found}
    currency = card.currency
    if len(natives) == 1 and not natives & {card.currency} and not any(exchange.values()):
        currency = natives.pop()  # nothing to convert with and nothing to mix with: the charge stays as the bill is
    candidates: dict[str, list[_Candidate]] = {}
    unconverted: set[str] = set()
    for meter, found in priced.items():
        for score, rate, mine in found:
            into = exchange.get(rate.currency)
            if rate.currency == currency or into is not None:
                option = _option(rate, mine, None if rate.currency == currency else into, at_ns)
                candidates.setdefault(meter, []).append(_Candidate(score, rate.context, rate.window, option))
            else:
                unconverted.add(meter)
    unconverted -= candidates.keys()
    return Plan(currency, candidates, rated=model.rates.keys(), unconverted=frozenset(unconverted))


def _option(rate: Rate, modifiers: list[Modifier], exchange: tuple[Fraction, str] | None, at_ns: int) -> Option:
    price, applied = rate.price, [rate.id]
    for modifier in modifiers:
        price *= modifier.factor
        applied.append(modifier.id)
    if exchange is not None:
        price *= exchange[0]
        applied.append(exchange[1])
    unit = price * ATTO / rate.per
    above = rate.context if rate.context is not None and rate.context.marginal else None
    attested = rate.attested_from_ns is None or rate.attested_from_ns <= at_ns
    return Option(unit.numerator, unit.denominator, price_text(price), rate.per, "*".join(applied), above, attested)
