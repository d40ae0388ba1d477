"""The kernel: usage event + rate card -> charge. Pure, exact, and quick enough for the request path.

Pricing an event is a look-up in a compiled plan and one whole-number multiplication per meter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from operator import mul
from typing import Any, NamedTuple, Protocol

from aicost._bounded import LONGEST_NAME
from aicost.usage.event import Chargeable
from aicost.usage.meters import Quantity
from aicost.usage.providers import normal_region, normal_tier
from aicost.usage.reading import MAX_COUNT, PLAUSIBLE_COST, is_sane, is_suspect

from .card import RateCard
from .charge import ATTO, EMPTY, Charge, ChargeStatus, Column, Layout, divided
from .plans import CALL_FEE, Option, Plan, PricingStep, Table, Timeline, timeline, valid_quantity
from .rates import AXES

_MAX_PLANS = 10_000

_new = tuple.__new__
_PRICED = ChargeStatus.PRICED
_TEXT = (str, type(None))
_NOT_ATTESTED = "price_before_attested"
_DOUBTS = (_NOT_ATTESTED, "assumed_model:")
"""Reasons for which an amount is an estimate; for any other it lacks something."""


class Billable(Protocol):
    """What the kernel needs to know; a `UsageEvent` has it all."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def request_model(self) -> str | None: ...
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
    def chargeable(self) -> Chargeable: ...
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
    chargeable: Chargeable = Chargeable.YES
    estimated: bool = False
    provider_cost: str | None = None
    provider_currency: str = "USD"
    request_model: str | None = None
    """The model asked for, which prices the call where no card has the one that answered."""


_Line = tuple[Column, Quantity]
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
        missing: list[str] = []
        try:
            found = timelines[key]
        except (KeyError, TypeError):
            found = _compile(card, timelines, key)
        if found is None:
            asked = event.request_model
            if asked and asked != event.model:
                asked_key = (event.provider, asked, *key[2:])
                found = timelines.get(asked_key) or _compile(card, timelines, asked_key)
            if found is None:
                if not usage and event.complete and not event.flags and event.provider_cost is None:
                    return Charge(_PRICED, card.currency, 0)  # nothing was used, whoever was asked
                unknown = f"unknown_model:{event.provider}/{event.model}"
                lost = [_unpriced(meter, quantity) for meter, quantity in usage.items()]
                layout, quantities = Layout.of(column for column, _ in lost), tuple(quantity for _, quantity in lost)
                return _finish(card, event, None, card.currency, layout, quantities, [unknown], None)
            missing.append(f"assumed_model:{asked}")
        started = event.started_ns
        _, starts, plans = found
        plan = plans[bisect_right(starts, started) - 1]
        table = plan.table
        if table is None:
            table = plan.for_request(usage, started)
        meters = (*usage,)
        arranged = table.arranged(meters) or table.arrange(meters)
        if arranged is None or (plan.has_call_fee and CALL_FEE not in usage):
            return self._by_meters(card, event, found.card, plan, table, missing)
        layout, nums, dens = arranged
        quantities = (*usage.values(),)
        most = MAX_COUNT
        for quantity in quantities:
            if type(quantity) is not int or not 0 <= quantity <= most:
                return self._by_meters(card, event, found.card, plan, table, missing)
        total = sum(map(mul, quantities, nums) if dens is None else map(_times, quantities, nums, dens))
        if missing or event.flags or event.provider_cost is not None or event.estimated or not event.complete:
            return _finish(card, event, found.card, plan.currency, layout, quantities, missing, total)
        # Past the named tuple's own constructor, which would take a fifth of the whole time.
        return _new(Charge, (_PRICED, plan.currency, total, layout, quantities, None, found.card, None))

    def _by_meters(
        self, card: RateCard, event: Billable, priced_by: str, plan: Plan, table: Table, missing: list[str]
    ) -> Charge:
        """Price usage meter by meter, where not every quantity is a whole number times one price."""
        usage = event.usage or {}
        lines: list[_Line] = []
        for meter, quantity in usage.items():
            lines += self._of_meter(event, plan, meter, quantity, table.step(meter), missing)
        if plan.has_call_fee and CALL_FEE not in usage:
            lines += self._of_meter(event, plan, CALL_FEE, 1, table.step(CALL_FEE), missing)
        layout, quantities = Layout.of(column for column, _ in lines), tuple(quantity for _, quantity in lines)
        known = [atto for atto in layout.amounts(quantities) if atto is not None]
        total = None if lines and not known else sum(known)
        return _finish(card, event, priced_by, plan.currency, layout, quantities, missing, total)

    def _of_meter(
        self, event: Billable, plan: Plan, meter: str, quantity: object, step: PricingStep | None, missing: list[str]
    ) -> list[_Line]:
        """The lines of one meter, and to `missing` what they lack."""
        meter = meter if type(meter) is str else str(meter)
        valid = valid_quantity(quantity)
        if valid is None:
            missing.append(f"invalid_quantity:{meter}")
            return [_unpriced(meter, quantity)]
        if step is not None:
            options = step[5] or (Option(*step[:5], None),)
            made = _by_steps(meter, valid, options)
            doubtful = {option.rate_id for option in options if not option.attested}
            if any(column.rate_id in doubtful for column, _ in made):
                missing.append(f"{_NOT_ATTESTED}:{meter}")
        else:
            made = self._of_another_model(event, plan, meter, valid, missing)
        if any(column.fraction is None for column, _ in made):
            missing.append(f"no_fx:{meter}" if meter in plan.unconverted else f"no_rate:{meter}")
        return made

    def _of_another_model(
        self, event: Billable, plan: Plan, meter: str, quantity: Quantity, missing: list[str]
    ) -> list[_Line]:
        """The lines of a meter that the model has no rate for; a qualified one is priced as its own model's."""
        model, _, bare = meter.rpartition("/")
        if model and event.usage is not None:
            # Its thresholds count what that model did, and not the rest of the call.
            parts = ((*str(m).rpartition("/"), q) for m, q in event.usage.items())
            own = {name: q for owner, _, name, q in parts if owner == model}
            axes = (event.service_tier, event.region, event.speed)
            charge = self.price(Inquiry(event.provider, model, own, event.started_ns, *axes))
            if charge.currency == plan.currency:
                doubts = (charge.reason or "").split(";")
                if any(one.startswith(_NOT_ATTESTED) and bare in one.partition(":")[2].split(",") for one in doubts):
                    missing.append(f"{_NOT_ATTESTED}:{meter}")
                lines = zip(charge.layout.columns, charge.quantities, strict=True)
                return [(column._replace(meter=meter), used) for column, used in lines if column.meter == bare]
        return [_unpriced(meter, quantity)]

    def _without_usage(self, event: Billable) -> Charge:
        card = self.card
        if event.provider_cost is not None:
            return _finish(card, event, None, card.currency, EMPTY, (), [], None)
        if event.chargeable is Chargeable.NO:
            return Charge(_PRICED, card.currency, 0)
        reason = "usage_not_received" if event.chargeable is Chargeable.POSSIBLY else "usage_not_reported"
        return Charge(ChargeStatus.UNPRICED, card.currency, None, reason=reason)


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
    said: tuple[Any, ...] = key  # an event's types are promised, not checked
    if not isinstance(said[1], str) or not all(isinstance(part, _TEXT) for part in said):
        return None
    found = card.find(provider, model)
    # Whoever asks, and whatever the provider calls its default: what is the default is priced as that.
    values = normal_tier(tier, provider), normal_region(region, provider, model), speed
    made = None if found is None else timeline(card, found, dict(zip(AXES, values, strict=True)))
    if len(timelines) < _MAX_PLANS and all(len(part or "") <= LONGEST_NAME for part in key):
        timelines[key] = made
    return made


def _finish(
    card: RateCard,
    event: Billable,
    priced_by: str | None,
    currency: str,
    layout: Layout,
    quantities: tuple[Quantity, ...],
    missing: list[str],
    atto: int | None,
) -> Charge:
    """The charge of an event that is not simply priced."""
    lost = [one for one in missing if not one.startswith(_DOUBTS)]
    doubts = [one for one in missing if one.startswith(_DOUBTS)]
    if event.provider_cost is not None:
        cost = sane_amount(event.provider_cost)
        if cost is None:
            doubts.append("invalid_provider_cost")
        elif cost == 0 and atto:
            doubts.append("provider_cost_zero")  # what the card has a price for was not free
        else:
            reason = _text_of(event, [*lost, *doubts])
            return _reported(card, event, cost, priced_by, currency, layout, quantities, reason, atto)
    if not lost and atto is not None and not (event.complete and not event.flags):
        if is_suspect(event.flags):
            lost = ["usage_suspect:" + ",".join(event.flags)]
        elif not event.complete:
            lost = ["usage_incomplete"]
    reason = _text_of(event, [*lost, *doubts])
    # No line at all with something lost: nothing could be read, which is not that nothing was used.
    if atto is None or (lost and not quantities):
        return Charge(ChargeStatus.UNPRICED, currency, None, layout, quantities, reason, priced_by)
    if lost:
        status = ChargeStatus.PARTIAL
    else:
        status = ChargeStatus.ESTIMATED if doubts or event.estimated else ChargeStatus.PRICED
    return Charge(status, currency, atto, layout, quantities, reason, priced_by)


def _reported(
    card: RateCard,
    event: Billable,
    cost: Fraction,
    priced_by: str | None,
    currency: str,
    layout: Layout,
    quantities: tuple[Quantity, ...],
    reason: str | None,
    computed: int | None,
) -> Charge:
    """What the provider said it charged is the amount; ours stays beside it, in the same currency."""
    status, native = ChargeStatus.PROVIDER_REPORTED, event.provider_currency
    if native != currency:
        exchange = card.exchange(native, currency, event.started_ns)
        if exchange is None:
            return Charge(status, native, round(cost * ATTO), layout.unpriced(), quantities, reason)
        cost *= exchange[0]
    return Charge(status, currency, round(cost * ATTO), layout, quantities, reason, priced_by, computed)


def sane_amount(text: str) -> Fraction | None:
    """An amount of money as a provider reports it; None when it is none that one event can cost."""
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        return None
    return Fraction(amount) if is_sane(amount, PLAUSIBLE_COST) else None


def _by_steps(meter: str, quantity: Quantity, steps: tuple[Option, ...]) -> list[_Line]:
    """One line for each marginal step the quantity reaches, the highest first."""
    lines: list[_Line] = []
    for step in steps:
        if step.above is None:
            lines.append((_column(meter, step), quantity))
            return lines
        if step.above.passed(quantity):
            lines.append((_column(meter, step), quantity - step.above.value))
            quantity = step.above.value
    lines.append(_unpriced(meter, quantity))
    return lines


def _column(meter: str, option: Option) -> Column:
    return Column(meter, option.unit_price, option.per, option.rate_id, (option.num, option.den))


def _unpriced(meter: object, quantity: object) -> _Line:
    """A line without a price, with the quantity as it came if a store can keep it."""
    valid = valid_quantity(quantity)
    if valid is None:
        valid = quantity if type(quantity) is int and -MAX_COUNT <= quantity < 0 else 0
    return Column(str(meter), None, 1, None, None), valid


def _times(quantity: Any, num: int, den: int) -> int:
    return divided(quantity * num, den)


def _text_of(event: Billable, missing: list[str]) -> str | None:
    """`no_rate:input,output[service_tier=scale];invalid_quantity:seconds`, or None if there is nothing to say."""
    kinds: dict[str, list[str]] = {}
    for one in missing:
        kind, colon, meter = one.partition(":")
        kinds.setdefault(kind + colon, []).append(meter)
    said = [f"{axis}={value}" for axis in AXES if (value := getattr(event, axis)) is not None]
    axes = f"[{';'.join(said)}]" if said else ""
    parts = [f"{kind}{','.join(meters)}{axes if kind == 'no_rate:' else ''}" for kind, meters in kinds.items()]
    return ";".join(parts) or None
