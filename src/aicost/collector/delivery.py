"""Delivery: a request is kept until every exporter has accepted it.

Without a spool it is kept by its sender: `Direct` answers only once the exporters have. With one it is on disk:
`Spooled` answers then, and delivers in its own time, for as long as that takes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from aicost import _owner_only

from . import wire
from .config import Retry
from .exporters import REQUESTS, Exporter, RejectedError, UnavailableError
from .spool import Reader, Record, Spool, SpoolFullError

_log = logging.getLogger("aicost.collector")
_MOST_REJECTED = 100


class Refused(NamedTuple):
    """A part of a request that an exporter will never take, and why."""

    data: bytes
    why: str


class Delivery(Protocol):
    """Keeps requests and delivers them."""

    rejected: int
    """Requests that an exporter will never take."""

    async def accept(self, signal: str, data: bytes) -> list[Refused]:
        """Take charge of a request; returns the parts of it that nobody will ever take.

        Raises `UnavailableError` or `RejectedError` where it cannot take charge of any of it.
        """
        ...

    async def start(self) -> None: ...
    async def stop(self, timeout: float) -> None: ...


class Direct:
    """Delivers while the sender waits."""

    def __init__(self, exporters: Sequence[Exporter]) -> None:
        self._exporters = exporters
        self.rejected = 0

    async def start(self) -> None:
        """Nothing to start."""

    async def accept(self, signal: str, data: bytes) -> list[Refused]:
        """Send a request to every exporter."""
        results = await asyncio.gather(
            *(send_whole(exporter, signal, data) for exporter in self._exporters), return_exceptions=True
        )
        # Its sender keeps it while any exporter may still take it; what those that have it get again is the same.
        for one in results:
            if isinstance(one, BaseException):
                raise one
        refused = max((one for one in results if not isinstance(one, BaseException)), key=len, default=[])
        if any(part.data is data for part in refused):
            raise RejectedError(refused[0].why)
        return refused

    async def stop(self, timeout: float) -> None:
        """Nothing is under way that nobody waits for."""


class Spooled:
    """Delivers out of a spool."""

    def __init__(
        self,
        spool: Spool,
        exporters: Sequence[Exporter],
        retries: Sequence[Retry],
        concurrency: Sequence[int],
        *,
        power: bool,
    ) -> None:
        self.spool = spool
        self.rejected = 0
        self.retried = 0
        self._power = power
        self._ways = [
            (one, spool.readers[one.name], retry, at_once)
            for one, retry, at_once in zip(exporters, retries, concurrency, strict=True)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._news: dict[str, asyncio.Event] = {}
        self._stopping = False

    async def start(self) -> None:
        """Begin to deliver what is there."""
        self._news = {exporter.name: asyncio.Event() for exporter, *_ in self._ways}
        self._tasks = [asyncio.create_task(self._deliver(*way), name=f"aicost-{way[0].name}") for way in self._ways]

    async def accept(self, signal: str, data: bytes) -> list[Refused]:
        """Keep a request on disk."""
        if not self.spool.fits(len(data)):
            raise RejectedError(f"larger than the spool, which holds {self.spool.max_size} bytes", too_large=True)
        try:
            number = self.spool.append(signal, data)
            if self._power:
                await asyncio.get_running_loop().run_in_executor(None, self.spool.make_safe, number)
        except SpoolFullError as error:
            raise UnavailableError(str(error), 5.0) from None
        except OSError as error:
            raise UnavailableError(f"the spool cannot be written: {error.strerror}", 5.0) from error
        for news in self._news.values():
            news.set()
        return []

    async def stop(self, timeout: float) -> None:
        """Give what is under way a last chance; the rest stays on disk."""
        until = time.monotonic() + timeout
        while time.monotonic() < until and self.spool.waiting:  # noqa: ASYNC110 - many tasks make it so
            await asyncio.sleep(0.02)
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.spool.close()

    async def _deliver(self, exporter: Exporter, reader: Reader, retry: Retry, at_once: int) -> None:
        news, room = self._news[exporter.name], asyncio.Semaphore(at_once)
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                await room.acquire()
                news.clear()
                try:
                    record = reader.read()
                except OSError as error:
                    _log.error("spool: cannot be read (%s); trying again", error)
                    room.release()
                    await asyncio.sleep(1.0)
                    continue
                if record is None:
                    room.release()
                    await news.wait()
                    continue
                task = asyncio.create_task(self._until_done(exporter, reader, retry, record))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                task.add_done_callback(lambda _: room.release())
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _until_done(self, exporter: Exporter, reader: Reader, retry: Retry, record: Record) -> None:
        wait, said = retry.initial, False
        while True:
            try:
                refused = await send_whole(exporter, record.signal, record.data)
            except Exception as error:  # noqa: BLE001 - whatever it is, what was acknowledged is kept
                self.retried += 1
                if not said:
                    said = True
                    known = isinstance(error, UnavailableError)
                    _log.warning(
                        "%s: %s; keeping what is for it, and trying again",
                        exporter.name,
                        error if known else repr(error),
                        exc_info=None if known else error,
                    )
                # Half of it at random, so that those who failed together do not come back together.
                advice = error.retry_after if isinstance(error, UnavailableError) else None
                pause = max(advice or 0.0, wait * (0.5 + random.random() / 2))  # noqa: S311 - no secret
                await asyncio.sleep(min(pause, 3600.0))
                wait = min(wait * 2, retry.longest)
                continue
            for part in refused:
                self.rejected += 1
                self._keep_rejected(exporter, record.signal, part.data)
                _log.error(
                    "%s will not take %d bytes of %s: %s", exporter.name, len(part.data), record.signal, part.why
                )
            if said:
                _log.warning("%s: takes requests again", exporter.name)
            reader.delivered(record)
            return

    def _keep_rejected(self, exporter: Exporter, signal: str, data: bytes) -> None:
        """Keep what was acknowledged and nobody takes, for a person to look at."""
        folder: Path = self.spool.folder / "rejected"
        try:
            _owner_only.make_folder(folder)
            kept = sorted(folder.iterdir())
            for old in kept[: max(0, len(kept) + 1 - _MOST_REJECTED)]:
                old.unlink()
            _owner_only.write_bytes(folder / f"{time.time_ns()}.{exporter.name}.{signal}.pb", data)
        except OSError as error:
            _log.error("spool: a rejected request cannot be kept: %s", error)


async def send_whole(exporter: Exporter, signal: str, data: bytes) -> list[Refused]:
    """Send a request; in halves if it is too large, and without what cannot be decoded if that is why it is refused.

    Returns the parts that the exporter will never take. Raises `UnavailableError` if some of it may be taken later.
    """
    try:
        await exporter.send(signal, data)
    except RejectedError as error:
        parts = []
        if signal == "traces":
            parts = wire.halves(data) if error.too_large else sound_part(data)
        if not parts:
            return [Refused(data, str(error))]
        return [refused for part in parts for refused in await send_whole(exporter, signal, part)]
    return []


def sound_part(data: bytes) -> list[bytes]:
    """A trace request without the spans that cannot be decoded; nothing if all of them can, or none."""
    resources, damaged, sound = wire.read_request(data), 0, 0
    decode = REQUESTS["traces"]
    for resource in resources:
        for scope in resource.scopes:
            for place in scope.spans:
                if _decodes(decode, data[place[1] : place[2]]):
                    sound += 1
                else:
                    damaged += 1
                    scope.edits.append(wire.Edit(*place, None))
    return [wire.spliced(data, resources)] if damaged and sound else []


def _decodes(decode: type, span: bytes) -> bool:
    wrapped = wire.wrapped(span)
    try:
        decode.FromString(wrapped)  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return False
    return True
