"""The kernel: usage event + rate card -> charge. Pure, exact, and quick enough for the request path.

For each (provider, model, tier, region, speed) the card is compiled once into a plan per stretch of time between
two rate changes. Pricing an event is then a look-up and one whole-number multiplication per meter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple, Protocol

from aicost.usage.event import Billed
from aicost.usage.meters import METERS, Quantity
from aicost.usage.reading import is_suspect

from .card import ModelRates, RateCard
from .charge import ATTO, Charge, ChargeLine, ChargeStatus, to_atto
from .rates import AXES, Context, Modifier, Rate, Window

_MAX_PLANS = 10_000
_new_line = tuple.__new__


class _Option(NamedTuple):
    """A rate with its modifiers applied. `num / den` is the price of one unit in 1e-18 of the currency."""

    context: Context | None
    window: Window | None
    num: int
    den: int
    unit_price: str
    per: int
    rate_id: str


_Entry = tuple[int, int, str, int, str, tuple[_Option, ...] | None]
"""The one rate of a meter (num, den, unit price, per, rate id), or, last, the rates that depend on the request."""

_Plan = Mapping[str, _Entry]


class _Timeline(NamedTuple):
    card: str
    currency: str
    starts: list[int]
    plans: list[_Plan]


class Billable(Protocol):
    """What the kernel needs to know; a `UsageEvent` has it all."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def usage(self) -> Mapping[str, Quantity] | None: ...
    @property
    def started_ns(self) -> int: ...
    @property
    def service_tier(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...
    @property
    def speed(self) -> str | None: ...
    @property
    def billed(self) -> Billed: ...
    @property
    def complete(self) -> bool: ...
    @property
    def estimated(self) -> bool: ...
    @property
    def flags(self) -> tuple[str, ...]: ...
    @property
    def provider_cost(self) -> str | None: ...
    @property
    def provider_currency(self) -> str: ...


class Inquiry(NamedTuple):
    """A question of price alone: usage without a call around it."""

    provider: str
    model: str
    usage: Mapping[str, Quantity]
    started_ns: int
    service_tier: str | None = None
    region: str | None = None
    speed: str | None = None
    complete: bool = True
    flags: tuple[str, ...] = ()
    billed: Billed = Billed.YES
    estimated: bool = False
    provider_cost: str | None = None
    provider_currency: str = "USD"


class Kernel:
    """Prices usage with one rate card. Thread-safe: the card never changes, and plans are only ever added.

    >>> Kernel(RateCard.bundled()).price(event).amount
    Decimal('0.00252')
    """

    __slots__ = ("_card", "_timelines")

    def __init__(self, card: RateCard) -> None:
        self._card = card
        self._timelines: dict[tuple[str, str, str | None, str | None, str | None], _Timeline | None] = {}

    @property
    def card(self) -> RateCard:
        """The card this kernel applies."""
        return self._card

    def price(self, event: Billable) -> Charge:
        """The charge for an event, at the rates in force when it started. Never raises for what an event holds."""
        usage = event.usage
        if usage is None:
            return self._without_usage(event)
        timeline = self._timeline(event)
        if timeline is None:
            return self._finish(event, None, _unpriced_lines(usage), f"unknown_model:{event.provider}/{event.model}")
        plan = timeline.plans[bisect_right(timeline.starts, event.started_ns) - 1]
        lines: list[ChargeLine] = []
        total, missing = 0, []
        sizes: dict[tuple[str, ...], Quantity] = {}
        for meter, quantity in usage.items():
            entry = plan.get(meter)
            if entry is None:
                missing.append(meter)
                lines.append(ChargeLine(meter, quantity, None, 1, None, None))
                continue
            num, den, unit_price, per, rate_id, options = entry
            if options is not None:
                option = _by_one_cliff(options, usage, sizes)
                if option is None:
                    for line in _conditional(meter, quantity, options, usage, event.started_ns):
                        lines.append(line)
                        if line.atto is None:
                            missing.append(meter)
                        else:
                            total += line.atto
                    continue
                _, _, num, den, unit_price, per, rate_id = option
            atto = quantity * num if den == 1 and type(quantity) is int else _scale(quantity, num, den)
            total += atto
            # Past the named tuple's own constructor, which would take a fifth of the whole time.
            lines.append(_new_line(ChargeLine, (meter, quantity, unit_price, per, atto, rate_id)))
        if not missing and event.complete and not event.flags and event.provider_cost is None and not event.estimated:
            return Charge(ChargeStatus.PRICED, timeline.currency, total, tuple(lines), None, timeline.card)
        reason = f"no_rate:{','.join(missing)}" + _axes_text(event) if missing else None
        nothing = bool(missing) and all(line.atto is None for line in lines)
        return self._finish(event, timeline, tuple(lines), reason, None if nothing else total)

    def _without_usage(self, event: Billable) -> Charge:
        currency = self._card.currency
        if event.provider_cost is not None:
            return self._finish(event, None, (), None)
        if event.billed is Billed.NO:
            return Charge(ChargeStatus.PRICED, currency, 0, ())
        reason = "usage_not_received" if event.billed is Billed.POSSIBLY else "usage_not_reported"
        return Charge(ChargeStatus.UNPRICED, currency, None, (), reason)

    def _finish(
        self,
        event: Billable,
        timeline: _Timeline | None,
        lines: tuple[ChargeLine, ...],
        reason: str | None,
        atto: int | None = None,
    ) -> Charge:
        card = timeline.card if timeline else None
        currency = timeline.currency if timeline else self._card.currency
        if event.provider_cost is not None:
            reported = to_atto(event.provider_cost)
            status = ChargeStatus.PROVIDER_REPORTED
            return Charge(status, event.provider_currency, reported, lines, reason, card, computed_atto=atto)
        if atto is None:
            return Charge(ChargeStatus.UNPRICED, currency, None, lines, reason, card)
        if reason is None and not (event.complete and not event.flags):
            if is_suspect(event.flags):
                reason = "usage_suspect:" + ",".join(event.flags)
            elif not event.complete:
                reason = "usage_incomplete"
        if reason is not None:
            status = ChargeStatus.PARTIAL
        else:
            status = ChargeStatus.ESTIMATED if event.estimated else ChargeStatus.PRICED
        return Charge(status, currency, atto, lines, reason, card)

    def _timeline(self, event: Billable) -> _Timeline | None:
        key = (event.provider, event.model, event.service_tier, event.region, event.speed)
        try:
            return self._timelines[key]
        except KeyError:
            found = self._card.find(event.provider, event.model)
            timeline = None if found is None else _compile(found, self._card.owner_of(found).key, event)
            if len(self._timelines) < _MAX_PLANS:
                self._timelines[key] = timeline
            return timeline


def _compile(model: ModelRates, card: str, event: Billable) -> _Timeline:
    axes = {"service_tier": event.service_tier, "region": event.region, "speed": event.speed}
    modifiers = [modifier for modifier in model.modifiers if modifier.applies(axes)]
    edges = {0}
    for rates in model.rates.values():
        for rate in rates:
            edges.update(edge for edge in (rate.valid_from_ns, rate.valid_to_ns) if edge is not None)
    starts = sorted(edges)
    return _Timeline(card, model.currency, starts, [_plan(model, axes, modifiers, start) for start in starts])


def _plan(
    model: ModelRates, axes: Mapping[str, str | None], modifiers: list[Modifier], at_ns: int
) -> dict[str, _Entry]:
    plan: dict[str, _Entry] = {}
    for meter, rates in model.rates.items():
        mine = [modifier for modifier in modifiers if meter in modifier.meters]
        modified = frozenset(axis for modifier in mine for axis in modifier.axes)
        scored = [(rate.matches(axes, modified), rate) for rate in rates if rate.in_force(at_ns)]
        fitting = [(score, rate) for score, rate in scored if score is not None]
        if fitting:
            plan[meter] = _entry(tuple(_option(rate, mine) for rate in _by_specificity(fitting)))
    for declared in METERS.values():
        if declared.priced_as in plan and declared.id not in model.rates:
            plan[declared.id] = plan[declared.priced_as]
    return plan


def _entry(options: tuple[_Option, ...]) -> _Entry:
    first = options[0]
    conditional = first.context is not None or first.window is not None
    return (first.num, first.den, first.unit_price, first.per, first.rate_id, options if conditional else None)


def _by_specificity(fitting: list[tuple[int, Rate]]) -> list[Rate]:
    """The best-fitting rate for each threshold and window, the highest threshold first, the plain one last."""
    best: dict[tuple[int, bool], tuple[int, Rate]] = {}
    for score, rate in fitting:
        slot = (rate.context.value if rate.context else -1, rate.window is not None)
        if slot not in best or score > best[slot][0]:
            best[slot] = (score, rate)
    return [best[slot][1] for slot in sorted(best, reverse=True)]


def _option(rate: Rate, modifiers: list[Modifier]) -> _Option:
    # A price stated for an axis already is that axis's price: a modifier of the same axis does not apply on top.
    used = [m for m in modifiers if not any(axis in rate.axes and "*" not in rate.axes[axis] for axis in m.axes)]
    price = Fraction(rate.price)
    for modifier in used:
        price *= modifier.factor
    unit = price * ATTO / rate.per
    name = "*".join([rate.id, *(modifier.id for modifier in used)])
    return _Option(rate.context, rate.window, unit.numerator, unit.denominator, _text(price), rate.per, name)


def _by_one_cliff(
    options: tuple[_Option, ...], usage: Mapping[str, Quantity], sizes: dict[tuple[str, ...], Quantity]
) -> _Option | None:
    """The rate that holds in the usual case of a plain one and one cliff; None if the case is another."""
    if len(options) != 2:
        return None
    high, low = options
    context = high.context
    if context is None or context.marginal or low.context is not None or high.window or low.window:
        return None
    size = sizes.get(context.basis)
    if size is None:
        get = usage.get
        size = sizes[context.basis] = sum([get(meter, 0) for meter in context.basis])
    return high if context.passed(size) else low


def _conditional(
    meter: str, quantity: Quantity, options: tuple[_Option, ...], usage: Mapping[str, Quantity], at_ns: int
) -> list[ChargeLine]:
    lines: list[ChargeLine] = []
    left = quantity
    get = usage.get
    for option in options:
        if option.window is not None and not option.window.holds(at_ns):
            continue
        context = option.context
        if context is None or (not context.marginal and context.passed(sum([get(m, 0) for m in context.basis]))):
            lines.append(_line(meter, left, option))
            return lines
        if context.marginal and context.passed(left):
            over = left - context.value
            lines.append(_line(meter, over, option))
            left = left - over
    lines.append(ChargeLine(meter, left, None, 1, None, None))
    return lines


def _line(meter: str, quantity: Quantity, option: _Option) -> ChargeLine:
    return ChargeLine(
        meter, quantity, option.unit_price, option.per, _scale(quantity, option.num, option.den), option.rate_id
    )


def _scale(quantity: Quantity, num: int, den: int) -> int:
    """`quantity` x unit price in 1e-18, rounded half-even where the price is finer than that."""
    if type(quantity) is not int:
        return round(Fraction(quantity) * num / den)
    whole, rest = divmod(quantity * num, den)
    return whole + (2 * rest > den or (2 * rest == den and whole % 2 == 1))


def _unpriced_lines(usage: Mapping[str, Quantity]) -> tuple[ChargeLine, ...]:
    return tuple(ChargeLine(meter, quantity, None, 1, None, None) for meter, quantity in usage.items())


def _axes_text(event: Billable) -> str:
    said = [f"{axis}={value}" for axis in AXES if (value := getattr(event, axis)) is not None]
    return f"[{';'.join(said)}]" if said else ""


def _text(price: Fraction) -> str:
    """A price as an exact decimal string, or as `a/b` when no decimal is exact."""
    rest = price.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return f"{price.numerator}/{price.denominator}"
    digits = 0
    while (price * 10**digits).denominator != 1:
        digits += 1
    whole = str(int(price * 10**digits)).rjust(digits + 1, "0")
    return whole if digits == 0 else f"{whole[:-digits]}.{whole[-digits:]}"
