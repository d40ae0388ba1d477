"""The kernel: usage event + rate card -> charge. Pure, exact, and quick enough for the request path.

Pricing an event is a look-up in a compiled plan and one whole-number multiplication per meter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NamedTuple, Protocol

from aicost.usage.event import Billed
from aicost.usage.meters import Quantity
from aicost.usage.providers import normal_region, normal_tier
from aicost.usage.reading import MAX_COUNT, is_sane, is_suspect

from .card import RateCard
from .charge import ATTO, Charge, ChargeLine, ChargeStatus
from .plans import CALL_FEE, Option, Plan, Step, Timeline, timeline
from .rates import AXES

_MAX_PLANS = 10_000

_new = tuple.__new__
_PRICED = ChargeStatus.PRICED


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
    usage: Mapping[str, Quantity] | None
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
    request_model: str | None = None
    """The model asked for, which prices the call where no card has the one that answered."""


_Key = tuple[str, str, "str | None", "str | None", "str | None"]


class Kernel:
    """Prices usage with one rate card. Thread-safe: the card never changes, and plans are only ever added.

    >>> Kernel(RateCard.bundled()).price(event).amount
    Decimal('0.00252')
    """

    __slots__ = ("_state",)

    def __init__(self, card: RateCard) -> None:
        self._state: tuple[RateCard, dict[_Key, Timeline | None]] = (card, {})

    @property
    def card(self) -> RateCard:
        """The card this kernel applies."""
        return self._state[0]

    def use(self, card: RateCard) -> None:
        """Price with another card from now on. A charge that is being made is finished with the card it began with."""
        self._state = (card, {})

    def describe(self, rate_id: str) -> Mapping[str, str] | None:
        """Where a rate of the card comes from; see `RateCard.describe`."""
        return self.card.describe(rate_id)

    def price(self, event: Billable) -> Charge:
        """The charge for an event, at the rates in force when it started. Never raises for what an event holds."""
        usage = event.usage
        if usage is None:
            return self._without_usage(event)
        card, timelines = self._state
        key = (event.provider, event.model, event.service_tier, event.region, event.speed)
        try:
            found = timelines[key]
        except KeyError:
            found = _compile(card, timelines, key)
        if found is None:
            if not usage and event.complete and not event.flags and event.provider_cost is None:
                return Charge(_PRICED, card.currency, 0, ())  # nothing was used, whoever was asked
            unknown = f"unknown_model:{event.provider}/{event.model}"
            lost = tuple(_unpriced(meter, quantity) for meter, quantity in usage.items())
            return _finish(card, event, None, card.currency, lost, unknown, None)
        started = event.started_ns
        _, starts, plans = found
        plan = plans[bisect_right(starts, started) - 1]
        table = plan.table
        if table is None:
            table = plan.for_request(usage, started)
        lines: list[ChargeLine] = []
        total = 0
        missing: list[str] = []
        step_of, add, most = table.get, lines.append, MAX_COUNT
        for meter, quantity in usage.items():
            step = step_of(meter)
            if step is None or type(quantity) is not int or not 0 <= quantity <= most:
                total += self._unusual(event, plan, meter, quantity, step, lines, missing)
                continue
            num, den, unit_price, per, rate_id, steps = step
            if steps is not None:
                total += self._unusual(event, plan, meter, quantity, step, lines, missing)
                continue
            atto = quantity * num if den == 1 else _divide(quantity * num, den)
            total += atto
            # Past the named tuple's own constructor, which would take a fifth of the whole time.
            add(_new(ChargeLine, (meter, quantity, unit_price, per, atto, rate_id)))
        if plan.has_call_fee and CALL_FEE not in usage:
            total += self._unusual(event, plan, CALL_FEE, 1, table.get(CALL_FEE), lines, missing)
        if not missing and event.complete and not event.flags and event.provider_cost is None and not event.estimated:
            return _new(Charge, (_PRICED, plan.currency, total, tuple(lines), None, found.card, None))
        nothing = bool(missing) and all(line.atto is None for line in lines)
        reason = _missing_text(event, missing) if missing else None
        return _finish(card, event, found.card, plan.currency, tuple(lines), reason, None if nothing else total)

    def _unusual(
        self,
        event: Billable,
        plan: Plan,
        meter: str,
        quantity: object,
        step: Step | None,
        lines: list[ChargeLine],
        missing: list[str],
    ) -> int:
        """Price a meter that is not a whole number times one price; what it adds to the total."""
        valid = valid_quantity(quantity)
        if valid is None:
            lines.append(_unpriced(meter, quantity))
            missing.append(f"invalid_quantity:{meter}")
            return 0
        if step is not None:
            made = _by_steps(meter, valid, step[5] or (Option(*step[:5], None),))
        else:
            made = self._of_another_model(event, plan, meter, valid)
        lines += made
        if any(line.atto is None for line in made):
            missing.append(f"no_fx:{meter}" if meter in plan.unconverted else f"no_rate:{meter}")
        return sum(line.atto or 0 for line in made)

    def _of_another_model(self, event: Billable, plan: Plan, meter: str, quantity: Quantity) -> list[ChargeLine]:
        """The lines of a meter that the model has no rate for; a qualified one is priced as its own model's."""
        model, _, bare = meter.rpartition("/")
        if model and event.usage is not None:
            # Its thresholds count what that model did, and not the rest of the call.
            own = {m.rpartition("/")[2]: q for m, q in event.usage.items() if m.rpartition("/")[0] == model}
            axes = (event.service_tier, event.region, event.speed)
            charge = self.price(Inquiry(event.provider, model, own, event.started_ns, *axes))
            if charge.currency == plan.currency:
                return [line._replace(meter=meter) for line in charge.lines if line.meter == bare]
        return [ChargeLine(meter, quantity, None, 1, None, None)]

    def _without_usage(self, event: Billable) -> Charge:
        card = self.card
        if event.provider_cost is not None:
            return _finish(card, event, None, card.currency, (), None, None)
        if event.billed is Billed.NO:
            return Charge(ChargeStatus.PRICED, card.currency, 0, ())
        reason = "usage_not_received" if event.billed is Billed.POSSIBLY else "usage_not_reported"
        return Charge(ChargeStatus.UNPRICED, card.currency, None, (), reason)


_in_force: Kernel | None = None
_bundled: Kernel | None = None


def put_in_force(kernel: Kernel | None) -> None:
    """Make a kernel the one this process prices with; None for the bundled card's."""
    global _in_force
    _in_force = kernel


def kernel_in_force() -> Kernel:
    """The kernel this process prices with."""
    global _bundled
    if _in_force is not None:
        return _in_force
    if _bundled is None:
        _bundled = Kernel(RateCard.bundled())
    return _bundled


def _compile(card: RateCard, timelines: dict[_Key, Timeline | None], key: _Key) -> Timeline | None:
    provider, model, tier, region, speed = key
    found = card.find(provider, model)
    # Whoever asks, and whatever the provider calls its default: what is the default is priced as that.
    values = normal_tier(tier, provider), normal_region(region, provider, model), speed
    made = None if found is None else timeline(card, found, dict(zip(AXES, values, strict=True)))
    if len(timelines) < _MAX_PLANS:
        timelines[key] = made
    return made


def _finish(
    card: RateCard,
    event: Billable,
    priced_by: str | None,
    currency: str,
    lines: tuple[ChargeLine, ...],
    reason: str | None,
    atto: int | None,
) -> Charge:
    """The charge of an event that is not simply priced."""
    if event.provider_cost is not None:
        cost = sane_amount(event.provider_cost)
        if cost is not None:
            return _reported(card, event, cost, priced_by, currency, lines, reason, atto)
        reason = f"{reason};invalid_provider_cost" if reason else "invalid_provider_cost"
    if atto is None:
        return Charge(ChargeStatus.UNPRICED, currency, None, lines, reason, priced_by)
    if reason is None and not (event.complete and not event.flags):
        if is_suspect(event.flags):
            reason = "usage_suspect:" + ",".join(event.flags)
        elif not event.complete:
            reason = "usage_incomplete"
    if reason is not None:
        if not lines:  # nothing could be read, which is not that nothing was used
            return Charge(ChargeStatus.UNPRICED, currency, None, lines, reason, priced_by)
        status = ChargeStatus.PARTIAL
    else:
        status = ChargeStatus.ESTIMATED if event.estimated else ChargeStatus.PRICED
    return Charge(status, currency, atto, lines, reason, priced_by)


def _reported(
    card: RateCard,
    event: Billable,
    cost: Fraction,
    priced_by: str | None,
    currency: str,
    lines: tuple[ChargeLine, ...],
    reason: str | None,
    computed: int | None,
) -> Charge:
    """What the provider said it charged is the amount; ours stays beside it, in the same currency."""
    status, native = ChargeStatus.PROVIDER_REPORTED, event.provider_currency
    if native != currency:
        exchange = card.exchange(native, currency, event.started_ns)
        if exchange is None:
            bare = tuple(ChargeLine(line.meter, line.quantity, None, 1, None, None) for line in lines)
            return Charge(status, native, round(cost * ATTO), bare, reason)
        cost *= exchange[0]
    return Charge(status, currency, round(cost * ATTO), lines, reason, priced_by, computed)


def sane_amount(text: str) -> Fraction | None:
    """An amount of money as a provider reports it; None when it is no finite number of at least 0."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return Fraction(amount) if is_sane(amount) else None


def valid_quantity(quantity: object) -> Quantity | None:
    """A quantity that can be priced: a whole or decimal number from 0 to `MAX_COUNT`. None for anything else.

    A float is taken at the decimal it is written as.
    """
    if type(quantity) is float:
        quantity = Decimal(repr(quantity))
    if isinstance(quantity, Decimal):
        return quantity if is_sane(quantity) else None
    return quantity if type(quantity) is int and 0 <= quantity <= MAX_COUNT else None


def _by_steps(meter: str, quantity: Quantity, steps: tuple[Option, ...]) -> list[ChargeLine]:
    """One line for each marginal step the quantity reaches, the highest first."""
    lines: list[ChargeLine] = []
    for step in steps:
        if step.above is None:
            lines.append(_line(meter, quantity, step))
            return lines
        if step.above.passed(quantity):
            lines.append(_line(meter, quantity - step.above.value, step))
            quantity = step.above.value
    lines.append(ChargeLine(meter, quantity, None, 1, None, None))
    return lines


def _line(meter: str, quantity: Quantity, step: Option) -> ChargeLine:
    if type(quantity) is int:
        atto = _divide(quantity * step.num, step.den)
    else:
        atto = round(Fraction(quantity) * step.num / step.den)
    return ChargeLine(meter, quantity, step.unit_price, step.per, atto, step.rate_id)


def _divide(num: int, den: int) -> int:
    """`num / den`, rounded half-even: the one rounding, where a price is finer than 1e-18."""
    whole, rest = divmod(num, den)
    return whole + (2 * rest > den or (2 * rest == den and whole % 2 == 1))


def _unpriced(meter: str, quantity: object) -> ChargeLine:
    """A line without a price, with the quantity as it came if a store can keep it."""
    valid = valid_quantity(quantity)
    if valid is None:
        valid = quantity if type(quantity) is int and -MAX_COUNT <= quantity < 0 else 0
    return ChargeLine(meter, valid, None, 1, None, None)


def _missing_text(event: Billable, missing: list[str]) -> str:
    """`no_rate:input,output[service_tier=scale];invalid_quantity:seconds`"""
    kinds: dict[str, list[str]] = {}
    for one in missing:
        kind, _, meter = one.partition(":")
        kinds.setdefault(kind, []).append(meter)
    said = [f"{axis}={value}" for axis in AXES if (value := getattr(event, axis)) is not None]
    axes = f"[{';'.join(said)}]" if said else ""
    return ";".join(f"{kind}:{','.join(meters)}{axes if kind == 'no_rate' else ''}" for kind, meters in kinds.items())
