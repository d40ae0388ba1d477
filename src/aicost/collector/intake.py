"""The way of a request through the collector: let in, priced, written to the ledger, delivered, counted.

Receivers hand requests in as bytes and turn what comes of them into answers of their protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from aicost.ledger import Ledger

from . import wire
from .cost_metrics import CostMeters, Health
from .delivery import Delivery, Refused
from .exporters import RejectedError, UnavailableError
from .pricer import Priced, Pricer
from .spool import SIGNALS
from .wire import MalformedRequestError

_log = logging.getLogger("aicost.collector")
RETRY_AFTER = 1.0
"""Seconds after which a client that came at a bad moment may come again."""


class Accepted(NamedTuple):
    """A request that was taken. `rejected` of its items were left out, for the reason in `message`."""

    rejected: int = 0
    message: str = ""


class RefusedError(Exception):
    """A request that was not taken, and why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class MalformedError(RefusedError):
    """It is no OTLP, or will never be taken: it must not come again."""


class OverloadedError(RefusedError):
    """It cannot be taken now: it may come again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = max(RETRY_AFTER, retry_after or 0.0)


class TooLargeError(RefusedError):
    """It is larger than what is let in."""


class Intake:
    """Takes requests in."""

    def __init__(
        self,
        pricer: Pricer,
        delivery: Delivery,
        *,
        ledger: Ledger | None,
        costs: CostMeters,
        health: Health,
        max_in_flight: int,
    ) -> None:
        self._pricer, self._delivery, self._ledger = pricer, delivery, ledger
        self._costs, self._health = costs, health
        self._max_in_flight = max_in_flight
        self._writing = ThreadPoolExecutor(1, "aicost-ledger") if ledger is not None else None
        self._under_way: Counter[str] = Counter()
        self.draining = False

    def reserve(self, signal: str, size: int, held: int = 0) -> None:
        """Make room for so many bytes of a request that holds some already. Raises `OverloadedError` if there is none.

        A request that is alone is let in at any size. An eighth is kept for each other signal: one whose requests hang
        further on is in nobody's way.
        """
        under_way = self._under_way
        others = sum(max(under_way[one], self._max_in_flight // 8) for one in SIGNALS if one != signal)
        if self._health.in_flight > held and others + under_way[signal] + size > self._max_in_flight:
            raise OverloadedError(f"too many requests of {signal} are under way")
        under_way[signal] += size
        self._health.in_flight += size

    def release(self, signal: str, size: int) -> None:
        """Give the room back."""
        self._under_way[signal] -= size
        self._health.in_flight -= size

    async def take(self, signal: str, data: bytes, protocol: str) -> Accepted:
        """Take a request; once this returns, it is safe. Raises `RefusedError`."""
        try:
            if self.draining:
                raise OverloadedError("the collector is shutting down")
            accepted = await (self._traces(data) if signal == "traces" else self._others(signal, data))
        except RefusedError as error:
            self._health.requests[signal, protocol, type(error).__name__.removesuffix("Error").lower()] += 1
            raise
        wanted = signal == "traces" or self._delivery.takes(signal)
        self._health.requests[signal, protocol, "accepted" if wanted else "unwanted"] += 1
        return accepted

    async def _traces(self, data: bytes) -> Accepted:
        try:
            priced = self._pricer.price(data)
        except MalformedRequestError as error:
            raise MalformedError(str(error)) from None
        except Exception:  # noqa: BLE001 - a failure of ours costs nobody their spans
            _log.exception("a request could not be priced, and goes on as it came")
            self._health.spans["not_priced"] += 1
            priced = Priced(data, spans=1)
        if priced.rejected and priced.rejected == priced.spans:
            raise MalformedError("no span of the request can be decoded")
        await self._keep(priced)
        self._pricer.remember()
        refused: list[Refused] = []
        if priced.spans and self._delivery.takes("traces"):  # an envelope without spans is nobody's news
            refused = await self.deliver("traces", priced.data)
        self._costs.count(priced)
        self._health.count(priced)
        if refused:
            return Accepted(priced.rejected + _lost(refused), f"not accepted further on: {refused[0].why}")
        if priced.rejected:
            return Accepted(priced.rejected, f"{priced.rejected} spans cannot be decoded and were left out")
        return Accepted()

    async def _keep(self, priced: Priced) -> None:
        """Write what it costs to the ledger, so that it is safe there."""
        if self._ledger is None or self._writing is None or not (priced.counted or priced.joined or priced.lifetimes):
            return
        kept = await asyncio.get_running_loop().run_in_executor(self._writing, _record, self._ledger, priced)
        if not kept:
            raise OverloadedError(f"the ledger {self._ledger.where} cannot be written", 5.0)

    async def _others(self, signal: str, data: bytes) -> Accepted:
        try:
            wire.check_envelope(data)  # decoding it whole would take thirty times its size
        except MalformedRequestError as error:
            raise MalformedError(f"the request is no {signal} in OTLP's protobuf encoding: {error}") from None
        refused = await self.deliver(signal, data) if data and self._delivery.takes(signal) else []
        return Accepted(_lost(refused), f"not accepted further on: {refused[0].why}") if refused else Accepted()

    async def deliver(self, signal: str, data: bytes) -> list[Refused]:
        """Hand a request on; returns what nobody will ever take of it. Raises `RefusedError`."""
        try:
            return await self._delivery.accept(signal, data)
        except UnavailableError as error:
            raise OverloadedError(str(error), error.retry_after) from error
        except RejectedError as error:
            kind = TooLargeError if error.too_large else MalformedError
            raise kind(f"not accepted further on: {error}") from error
        except Exception as error:
            _log.exception("a request could not be handed on")
            raise OverloadedError(f"not handed on: {error!r}") from error

    def close(self) -> None:
        """Let go of the ledger."""
        if self._writing is not None:
            self._writing.shutdown()
        if self._ledger is not None:
            self._ledger.close()


def _lost(refused: list[Refused]) -> int:
    """How many spans, points or records those are. Only of traces are parts of a request ever at hand."""
    return sum(wire.count_spans(part.data) if part.items is None else part.items for part in refused)


def _record(ledger: Ledger, priced: Priced) -> bool:
    """Whether all of it is safe, but for what no ledger could ever hold; that is counted in `lost`."""
    sightings = [one.sighting for one in priced.joined if one.sighting is not None]
    told = priced.lifetimes.told if priced.lifetimes is not None else None
    entries = [entry for one in priced.counted for entry in one.entries]
    lost = ledger.lost
    is_safe = ledger.record(entries, sightings=sightings, told=told)
    for one in priced.counted:
        if one.replaces:
            is_safe = ledger.record(one.entries[-1:], replaces=one.replaces) and is_safe
    if not is_safe:
        ledger.lost = lost  # whoever sent it has it still
    return is_safe
