"""The true bill: what the provider charges for everything it served, seen by the client or not."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction

from .prices import bill


@dataclass(frozen=True, slots=True)
class BilledCall:
    """One attempt that generated. `delivered` is the usage whose bytes were handed to the client's connection."""

    call_id: str
    """The id that its answer carries, which others may carry, too."""
    provider: str
    api: str
    model: str
    service_tier: str | None
    usage: Mapping[str, int]
    amount: Decimal
    delivered: Mapping[str, int] | None
    delivered_amount: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """All billed calls so far."""

    calls: tuple[BilledCall, ...]

    @property
    def total(self) -> Decimal:
        """What the provider will invoice."""
        return sum((call.amount for call in self.calls), Decimal(0))

    @property
    def delivered(self) -> Decimal:
        """The part whose usage was sent to the client."""
        return sum((call.delivered_amount for call in self.calls), Decimal(0))

    @property
    def unseen(self) -> Decimal:
        """The part whose usage no client can know."""
        return self.total - self.delivered


class Book:
    """Where the server writes what it bills. Thread-safe."""

    def __init__(self) -> None:
        self._calls: dict[str, BilledCall] = {}
        self._lock = threading.Lock()

    def charge(
        self,
        bill_id: str,
        call_id: str,
        provider: str,
        api: str,
        model: str,
        service_tier: str | None,
        usage: Mapping[str, int],
    ) -> None:
        """Bill a call; nothing of its usage has been delivered yet."""
        amount = _decimal(bill(provider, model, usage, service_tier))
        call = BilledCall(call_id, provider, api, model, service_tier, dict(usage), amount, None, Decimal(0))
        with self._lock:
            self._calls[bill_id] = call

    def delivered(self, bill_id: str, usage: Mapping[str, int]) -> None:
        """Note that this usage is now on its way to the client."""
        with self._lock:
            call = self._calls[bill_id]
            amount = _decimal(bill(call.provider, call.model, usage, call.service_tier))
            self._calls[bill_id] = replace(call, delivered=dict(usage), delivered_amount=amount)

    def bill(self) -> Bill:
        """The bill so far."""
        with self._lock:
            return Bill(tuple(self._calls.values()))


def _decimal(amount: Fraction) -> Decimal:
    with localcontext() as context:
        context.prec = 50
        return Decimal(amount.numerator) / Decimal(amount.denominator)
