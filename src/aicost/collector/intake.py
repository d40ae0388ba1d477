"""The way of a request through the collector: let in, priced, written to the ledger, delivered, counted.

Receivers hand requests in as bytes and turn what comes of them into answers of their protocol.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from google.protobuf.message import DecodeError

from aicost._errors import LedgerError
from aicost.ledger import Ledger

from .delivery import Delivery
from .exporters import REQUESTS, RejectedError, UnavailableError
from .meters import CostMeters, Health
from .pricing import Priced, Pricer
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
        self.draining = False

    def reserve(self, size: int, held: int = 0) -> None:
        """Make room for so many bytes of a request that holds some already. Raises `OverloadedError` if there is none.

        A request that is alone is let in at any size.
        """
        others = self._health.in_flight - held
        if others and others + held + size > self._max_in_flight:
            raise OverloadedError("too many requests are under way")
        self._health.in_flight += size

    def release(self, size: int) -> None:
        """Give the room back."""
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
        self._health.requests[signal, protocol, "accepted"] += 1
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
        try:
            await self._keep(priced)
            if priced.spans:  # an envelope without spans is nobody's news
                await self.deliver("traces", priced.data)
        except BaseException:
            self._pricer.take_back(priced)
            raise
        self._costs.count(priced)
        self._health.count(priced)
        if priced.rejected:
            return Accepted(priced.rejected, f"{priced.rejected} spans cannot be decoded and were left out")
        return Accepted()

    async def _keep(self, priced: Priced) -> None:
        """Write what it costs to the ledger, so that it is safe there."""
        if self._ledger is None or self._writing is None or not priced.counted:
            return
        kept = await asyncio.get_running_loop().run_in_executor(self._writing, _record, self._ledger, priced)
        if not kept:
            raise OverloadedError(f"the ledger {self._ledger.path} cannot be written", 5.0)

    async def _others(self, signal: str, data: bytes) -> Accepted:
        try:
            request = REQUESTS[signal].FromString(data)
        except DecodeError:
            raise MalformedError(f"the request is no {signal} in OTLP's protobuf encoding") from None
        if request.ByteSize():
            await self.deliver(signal, data)
        return Accepted()

    async def deliver(self, signal: str, data: bytes) -> None:
        """Hand a request on. Raises `RefusedError`."""
        try:
            await self._delivery.accept(signal, data)
        except UnavailableError as error:
            raise OverloadedError(str(error), error.retry_after) from error
        except RejectedError as error:
            raise MalformedError(f"not accepted further on: {error}") from error

    def close(self) -> None:
        """Let go of the ledger."""
        if self._writing is not None:
            self._writing.shutdown()
        if self._ledger is not None:
            self._ledger.close()


def _record(ledger: Ledger, priced: Priced) -> bool:
    try:
        ledger.record([entry for one in priced.counted for entry in one.entries])
    except LedgerError as error:
        _log.error("%s", error)
        return False
    return ledger.pending == 0
