"""Charge: the priced result of a usage event, down to one line per meter."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from aicost._money import ATTO, to_atto, to_decimal
from aicost.usage.meters import Quantity
from aicost.usage.reading import PLAUSIBLE_COST

__all__ = ["ATTO", "Charge", "ChargeLine", "ChargeStatus", "to_atto", "to_decimal"]


_MOST_ATTO = PLAUSIBLE_COST * ATTO


class ChargeStatus(str, Enum):
    """What is known of the amount, as `aicost.cost.status` says it."""

    PRICED = "priced"
    PARTIAL = "partial"
    """Some usage has no rate, or some usage is not known: the true amount is not below this one."""
    ESTIMATED = "estimated"
    PROVIDER_REPORTED = "provider_reported"
    UNPRICED = "unpriced"


# Named tuples, because making a frozen dataclass takes three times as long, and pricing makes one charge and a line
# per meter for every call.


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


class Charge(NamedTuple):
    """The priced result. `atto` is the sum of the lines' `atto`, or None when nothing could be priced.

    `reason` is machine-readable and empty only for a plain `priced` charge. `computed_atto` is what the rate card
    says when the provider reported a cost of its own, which then is the amount.
    """

    status: ChargeStatus
    currency: str
    atto: int | None
    lines: tuple[ChargeLine, ...]
    reason: str | None = None
    rate_card: str | None = None
    """`id@version` of the card that priced it, or of each layer that had a say, the uppermost first, with a `+`."""
    computed_atto: int | None = None

    def plausible(self) -> Charge:
        """The charge, or one without an amount if it is more than any event can cost: such a total says nothing."""
        if self.atto is None or self.atto <= _MOST_ATTO:
            return self
        lines = tuple(line._replace(unit_price=None, per=1, atto=None, rate_id=None) for line in self.lines)
        return self._replace(
            status=ChargeStatus.UNPRICED, atto=None, lines=lines, reason="implausible_amount", computed_atto=None
        )

    @property
    def amount(self) -> Decimal | None:
        """The exact total, or None when it is unknown: unknown is never zero."""
        return None if self.atto is None else to_decimal(self.atto)
