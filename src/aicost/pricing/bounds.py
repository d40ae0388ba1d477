"""Bounds: the most an attempt can have cost, where its usage is not known, or not all of it.

A provider may have worked on a request whose answer never came. What it was sent is known if another attempt of the
same request was answered, or if a stream said it before it was cut; what it may have answered, if the request set a
limit. The most is stated only if all of that is so: input at the dearest rate that can apply, as nobody knows what a
cache had of it, and output up to the limit, at the dearest rate of any kind of output. It is no amount.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Protocol

from aicost.usage.event import Limits
from aicost.usage.meters import METERS, Quantity, direction_of

from .plans import CALL_FEE, Plan, valid_quantity
from .rates import Context

_INPUTS = tuple(meter.id for meter in METERS.values() if meter.direction == "input")
_OUTPUTS = tuple(meter.id for meter in METERS.values() if meter.direction == "output")

_LACKS_OUTPUT = re.compile(r"missing_count:(output|completion|candidates)_?tokens?(_?count)?$", re.IGNORECASE).match
"""A flag that says only that the output is not known, which its limit stands in for."""


class Unknown(Protocol):
    """An attempt of which the usage is not known, or not all of it."""

    @property
    def usage(self) -> Mapping[str, Quantity] | None: ...
    @property
    def started_ns(self) -> int: ...
    @property
    def flags(self) -> tuple[str, ...]: ...
    @property
    def limits(self) -> Limits | None: ...


def at_most(event: Unknown, plan: Plan) -> int | None:
    """The most that an attempt cost in 1e-18 of the plan's currency; None where that cannot be said for certain.

    Something else was used, or may have been, wherever the usage has flags that say more than that output is missing.
    """
    limits = event.limits
    if limits is None or plan.unconverted or not all(map(_LACKS_OUTPUT, event.flags)):
        return None
    known: dict[str, Quantity] = {}
    for meter, said in (event.usage or {}).items():
        quantity = valid_quantity(said)
        if quantity is None or direction_of(meter) is None:
            return None  # a tool that the provider runs, for one: it may have run on
        known[meter] = quantity
    inputs = {meter: quantity for meter, quantity in known.items() if direction_of(meter) == "input"}
    if sum(known.values()) - sum(inputs.values()) > limits.max_output:
        return None  # whatever that limit was, it did not hold
    if not inputs and limits.input_tokens is None:
        return None
    sent = sum(inputs.values()) if inputs else limits.input_tokens or 0
    parts: list[tuple[tuple[str, ...], Quantity]] = [((meter,), quantity) for meter, quantity in inputs.items()]
    parts += [(_OUTPUTS, limits.max_output), *([] if inputs else [(_INPUTS, sent)])]
    if plan.has_call_fee:
        parts.append(((CALL_FEE,), 1))

    def size(context: Context) -> Quantity:
        """The most that counts towards a threshold."""
        counted = 0 if context.basis.isdisjoint(_INPUTS) else sent
        return counted + (0 if context.basis.isdisjoint(_OUTPUTS) else limits.max_output)

    total = 0
    for meters, quantity in parts:
        options = [option for meter in meters for option in plan.possible(meter, size, event.started_ns)]
        if quantity and not (options and all(option.attested for option in options)):
            return None
        total += max((ceil(Fraction(quantity) * option.num / option.den) for option in options), default=0)
    return total
