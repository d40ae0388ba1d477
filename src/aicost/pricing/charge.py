"""Charge: the priced result of a usage event: a layout of lines, one per meter, and the quantity of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import NamedTuple

from aicost._money import ATTO, to_atto, to_decimal
from aicost.usage.meters import Quantity
from aicost.usage.reading import PLAUSIBLE_COST

__all__ = ["ATTO", "Charge", "ChargeLine", "ChargeStatus", "Layout", "to_atto", "to_decimal"]


_MOST_ATTO = PLAUSIBLE_COST * ATTO


class ChargeStatus(str, Enum):
    """What is known of the amount, as `aicost.cost.status` says it."""

    PRICED = "priced"
    PARTIAL = "partial"
    """Some usage has no rate, or some usage is not known: the true amount is not below this one."""
    ESTIMATED = "estimated"
    PROVIDER_REPORTED = "provider_reported"
    UNPRICED = "unpriced"


# Named tuples, because making a frozen dataclass takes three times as long, and pricing makes a charge for every call.


class ChargeLine(NamedTuple):
    """One meter of a charge: `quantity` x `unit_price` = `amount`.

    `unit_price` is a decimal string per `per` units, after multipliers; `atto` is the amount in 1e-18 of the
    charge's currency. A line without a rate has `None` for price, amount and rate id.
    """

    meter: str
    quantity: Quantity
    unit_price: str | None
    per: int
    atto: int | None
    rate_id: str | None

    @property
    def amount(self) -> Decimal | None:
        """The exact amount, or None when the meter has no rate."""
        return None if self.atto is None else to_decimal(self.atto)


class LayoutLine(NamedTuple):
    """What a layout knows of one line: everything but its quantity.

    `fraction` is the price of one unit in 1e-18 of the currency, as numerator and denominator; None without a rate.
    """

    meter: str
    unit_price: str | None
    per: int
    rate_id: str | None
    fraction: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Layout:
    """The lines of a charge without their quantities: which meters, at which rates.

    Calls to one model mostly have the same few, so whoever keeps charges keeps each layout once. Quantities beside it
    give the lines back to the last digit: a line's amount is its quantity times its fraction, rounded half-even to a
    whole 1e-18, and the amount of a charge that the rate card made is the sum of those.

    >>> layout = Layout.of([LayoutLine("input", "2.5", 1_000_000, "p/m/input@always", (2_500_000_000_000, 1))])
    >>> layout.amounts((1000,))
    (2500000000000000,)
    >>> Layout.parse(layout.key()) == layout
    True
    """

    meters: tuple[str, ...] = ()
    unit_prices: tuple[str | None, ...] = ()
    per: tuple[int, ...] = ()
    rate_ids: tuple[str | None, ...] = ()
    fractions: tuple[tuple[int, int] | None, ...] = ()
    """Atto per unit of each line, as numerator and denominator in lowest terms; None without a rate."""

    @classmethod
    def of(cls, lines: Iterable[LayoutLine]) -> Layout:
        """The layout of these lines, in their order."""
        return cls(*zip(*lines, strict=True))

    @property
    def lines(self) -> Iterable[LayoutLine]:
        """Its lines, one by one."""
        return map(LayoutLine, self.meters, self.unit_prices, self.per, self.rate_ids, self.fractions)

    def __len__(self) -> int:
        return len(self.meters)

    @property
    def is_whole(self) -> bool:
        """Whether one unit of each line comes to whole 1e-18: then sums of quantities give the sums of amounts."""
        return all(fraction is None or fraction[1] == 1 for fraction in self.fractions)

    def amounts(self, quantities: Sequence[Quantity]) -> tuple[int | None, ...]:
        """The amount of each line in 1e-18, for its quantity; None where there is no rate."""
        return tuple(map(_amount, quantities, self.fractions))

    def unpriced(self) -> Layout:
        """The same meters without their rates."""
        return Layout.of(LayoutLine(meter, None, 1, None, None) for meter in self.meters)

    def key(self) -> str:
        """The layout as canonical text (JSON in ASCII), the same in every process: what a store can tell it by.

        A list per line: meter, unit price, per, rate id, and the fraction as `a/b`.
        """
        rows = [(*c[:4], None if c.fraction is None else f"{c.fraction[0]}/{c.fraction[1]}") for c in self.lines]
        return json.dumps(rows, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Layout:
        """The layout that has this key. Raises ValueError for what is none."""
        try:
            return cls.of(
                LayoutLine(meter, price, per, rate_id, None if fraction is None else _parts(Fraction(fraction)))
                for meter, price, per, rate_id, fraction in json.loads(text)
            )
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise ValueError(f"this is no layout: {text[:200]!r}") from error


EMPTY = Layout()
"""The layout of a charge without lines."""


class Charge(NamedTuple):
    """The priced result. `atto` is the sum of the lines' `atto`, or None when nothing could be priced.

    Where the provider reported a cost of its own, that is the amount, and `computed_atto` what the lines come to.
    `reason` is machine-readable and empty only for a plain `priced` charge.
    """

    status: ChargeStatus
    currency: str
    atto: int | None
    layout: Layout = EMPTY
    quantities: tuple[Quantity, ...] = ()
    """How much of each line of the layout."""
    reason: str | None = None
    rate_card: str | None = None
    """`id@version` of the card that priced it, or of each layer that had a say, the uppermost first, with a `+`."""
    computed_atto: int | None = None
    at_most_atto: int | None = None
    """What it cost at most, where the amount is not known or not all of it; None where nobody can say. It is a bound to
    be shown beside amounts, and never part of one."""

    @classmethod
    def of_lines(
        cls,
        status: ChargeStatus,
        currency: str,
        atto: int | None,
        lines: Iterable[ChargeLine],
        reason: str | None = None,
        rate_card: str | None = None,
        computed_atto: int | None = None,
        at_most_atto: int | None = None,
    ) -> Charge:
        """A charge from lines that are known one by one. Raises ValueError for an amount of no quantity."""
        rows = tuple(lines)
        layout, quantities = Layout.of(map(_layout_line, rows)), tuple(line.quantity for line in rows)
        return cls(status, currency, atto, layout, quantities, reason, rate_card, computed_atto, at_most_atto)

    @property
    def lines(self) -> tuple[ChargeLine, ...]:
        """One line per meter, or several where a threshold splits it; they are made when they are asked for."""
        layout, quantities = self.layout, self.quantities
        amounts = layout.amounts(quantities)
        return tuple(
            map(ChargeLine, layout.meters, quantities, layout.unit_prices, layout.per, amounts, layout.rate_ids)
        )

    def plausible(self) -> Charge:
        """The charge, or one without an amount if it is more than any event can cost: such a total says nothing."""
        if self.at_most_atto is not None and self.at_most_atto > _MOST_ATTO:
            return self._replace(at_most_atto=None).plausible()
        if self.atto is None or self.atto <= _MOST_ATTO:
            return self
        return self._replace(
            status=ChargeStatus.UNPRICED,
            atto=None,
            layout=self.layout.unpriced(),
            reason="implausible_amount",
            computed_atto=None,
            at_most_atto=None,
        )

    @property
    def amount(self) -> Decimal | None:
        """The exact total, or None when it is unknown: unknown is never zero."""
        return None if self.atto is None else to_decimal(self.atto)


def divided(num: int, den: int) -> int:
    """`num / den`, rounded half-even: the one rounding, where a price is finer than 1e-18."""
    whole, rest = divmod(num, den)
    return whole + (2 * rest > den or (2 * rest == den and whole % 2 == 1))


def _amount(quantity: Quantity, fraction: tuple[int, int] | None) -> int | None:
    if fraction is None:
        return None
    num, den = fraction
    if type(quantity) is int:
        return quantity * num if den == 1 else divided(quantity * num, den)
    return round(Fraction(quantity) * num / den)


def _layout_line(line: ChargeLine) -> LayoutLine:
    """A line without its quantity, which with it gives the same amount again."""
    fraction = None
    if line.atto is not None:
        fraction = (0, 1) if line.unit_price is None else _parts(Fraction(line.unit_price) * ATTO / line.per)
        if _amount(line.quantity, fraction) != line.atto:  # it is no multiple of what it says a unit costs
            if not line.quantity:
                raise ValueError(f"a line of no quantity has an amount: {line}")
            fraction = _parts(Fraction(line.atto) / Fraction(line.quantity))
    return LayoutLine(line.meter, line.unit_price, line.per, line.rate_id, fraction)


def _parts(fraction: Fraction) -> tuple[int, int]:
    return fraction.numerator, fraction.denominator
