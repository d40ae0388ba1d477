"""Delivery: a request is kept until every exporter that takes its signal has accepted it.

Without a spool it is kept by its sender: `Direct` answers only once the exporters have. With one it is on disk:
`Spooled` answers then, and delivers in its own time, for as long as that takes.

Each signal has a lane of its own to each exporter, so that none waits for another.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from google.protobuf.message import DecodeError

from aicost import _owner_only

from . import wire
from .config import Retry
from .exporters import REQUESTS, Exporter, RejectedError, UnavailableError, UnwantedError
from .spool import Record, Spool, SpoolFullError, SpoolReader

_log = logging.getLogger("aicost.collector")
_MOST_REJECTED = 100
_KEEPING = "%s: %s; keeping the %s for it, and trying again"
_LEFT_OUT = "%s: %s; %s for it are left out (`signals` of an exporter says what it is sent)"


class Refused(NamedTuple):
    """A part of a request that an exporter will never take, and why. `unwanted`: as it takes none of that signal."""

    data: bytes
    why: str
    unwanted: bool = False
    items: int | None = None
    """How many it is, where what is left out is not at hand."""


class Lane:
    """The way of one signal to one exporter: how to try again there, and when to give up."""

    def __init__(self, exporter: Exporter, signal: str, retry: Retry, at_once: int) -> None:
        self.exporter, self.signal, self.retry, self.at_once = exporter, signal, retry, at_once
        self.refused: Counter[str] = Counter()
        """Requests or parts that were left out: `rejected` for what they are, `unwanted` for where they go."""
        self.retried = 0
        self.has_taken = False
        """Whether it ever took anything, as far as is known."""
        self._unwanted: tuple[float, float] | None = None
        """Since when it refuses everything, and when it did last."""
        self._said: str | None = None

    async def send(self, data: bytes) -> list[Refused]:
        """Send a request; returns the parts that will never be taken. Raises `UnavailableError` if it may be later."""
        try:
            refused = await send_whole(self.exporter, self.signal, data)
        except UnwantedError as error:
            if not self._gives_up(error):
                self._keep(error)
                raise
            self._say(_LEFT_OUT, error)
            self.refused["unwanted"] += 1
            return [Refused(data, str(error), unwanted=True)]
        except Exception as error:
            self._unwanted = None
            self._keep(error)
            raise
        self._unwanted = None
        if not any(part.data is data for part in refused):
            self.has_taken = True
            if self._said is not None:
                _log.warning("%s: takes %s again", self.exporter.name, self.signal)
                self._said = None
        whole = [part for part in refused if part.items is None]  # of the others, the exporter has told
        if whole:
            self.refused["rejected"] += len(whole)
            size = sum(len(part.data) for part in whole)
            _log.error("%s will not take %d bytes of %s: %s", self.exporter.name, size, self.signal, whole[0].why)
        return refused

    def _gives_up(self, error: UnwantedError) -> bool:
        now, patience = time.monotonic(), self.retry.give_up_after
        since, last = self._unwanted or (now, now)
        if now - last > patience:  # nobody has asked for so long: whoever does now has the same time
            since = now
        self._unwanted = since, now
        # What never took a signal has no place for it; what did may have lost its way to it for a while.
        return now - since >= (0.0 if error.unknown and not self.has_taken else patience)

    def _keep(self, error: Exception) -> None:
        self.retried += 1
        self._say(_KEEPING, error)

    def _say(self, what: str, error: Exception) -> None:
        if self._said != what:
            self._said = what
            known = isinstance(error, UnavailableError)
            _log.warning(
                what,
                self.exporter.name,
                error if known else repr(error),
                self.signal,
                exc_info=None if known else error,
            )


class Delivery(Protocol):
    """Keeps requests and delivers them."""

    def takes(self, signal: str) -> bool:
        """Whether requests of this signal go anywhere."""
        ...

    async def accept(self, signal: str, data: bytes) -> list[Refused]:
        """Take charge of a request; returns the parts of it that nobody will ever take.

        Raises `UnavailableError` or `RejectedError` where it cannot take charge of any of it.
        """
        ...

    async def start(self) -> None: ...
    async def stop(self, timeout: float) -> None: ...


class Direct:
    """Delivers while the sender waits."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes

    def takes(self, signal: str) -> bool:
        """Whether an exporter does."""
        return any(lane.signal == signal for lane in self._lanes)

    async def start(self) -> None:
        """Nothing to start."""

    async def accept(self, signal: str, data: bytes) -> list[Refused]:
        """Send a request to every exporter that takes its signal."""
        lanes = [lane for lane in self._lanes if lane.signal == signal]
        results = await asyncio.gather(*(lane.send(data) for lane in lanes), return_exceptions=True)
        # Its sender keeps it while any exporter may still take it; what those that have it get again is the same.
        refused: list[list[Refused]] = []
        for one in results:
            if isinstance(one, BaseException):
                raise one
            refused.append(one)
        in_part = [parts for parts in refused if not any(part.data is data for part in parts)]
        if refused and not in_part:
            raise RejectedError(refused[0][0].why)
        return max(in_part, key=len, default=[])

    async def stop(self, timeout: float) -> None:
        """Nothing is under way that nobody waits for."""


class Spooled:
    """Delivers out of spools, one for each signal."""

    def __init__(self, folder: Path, spools: Mapping[str, Spool], lanes: Iterable[Lane], *, power: bool) -> None:
        """What nobody takes is kept in `folder`. One spool may hold several signals: older versions wrote it so."""
        self.spools = spools
        self._folder = folder
        self._lanes = {(lane.exporter.name, lane.signal): lane for lane in lanes}
        self._power = power
        self._tasks: list[asyncio.Task[None]] = []
        self._news: dict[tuple[Spool, str], asyncio.Event] = {}

    def takes(self, signal: str) -> bool:
        """Whether there is a spool for it."""
        return signal in self.spools

    async def start(self) -> None:
        """Begin to deliver what is there."""
        for spool in set(self.spools.values()):
            for name, reader in spool.readers.items():
                at_once = max((lane.at_once for (of, _), lane in self._lanes.items() if of == name), default=1)
                self._news[spool, name] = asyncio.Event()
                for (of, signal), lane in self._lanes.items():
                    lane.has_taken |= of == name and reader.has_taken and self.spools.get(signal) is spool
                delivering = self._deliver(reader, self._news[spool, name], at_once)
                self._tasks.append(asyncio.create_task(delivering, name=f"aicost-{spool.folder.name}-{name}"))

    async def accept(self, signal: str, data: bytes) -> list[Refused]:
        """Keep a request on disk; all of it that can be decoded, where an exporter has to."""
        spool = self.spools[signal]
        refused: list[Refused] = []
        if any(lane.exporter.decodes and lane.signal == signal for lane in self._lanes.values()):
            data, refused = decodable(signal, data)
        if not spool.fits(len(data)):
            raise RejectedError(
                f"larger than the spool, which holds {spool.max_size} bytes of {signal}", too_large=True
            )
        try:
            number = spool.append(signal, data)
            if self._power:
                await asyncio.get_running_loop().run_in_executor(None, spool.make_safe, number)
        except SpoolFullError as error:
            raise UnavailableError(str(error), 5.0) from None
        except OSError as error:
            raise UnavailableError(f"the spool cannot be written: {error.strerror}", 5.0) from error
        for (of, _), news in self._news.items():
            if of is spool:
                news.set()
        return refused

    async def stop(self, timeout: float) -> None:
        """Give what is under way a last chance; the rest stays on disk."""
        spools = set(self.spools.values())
        until = time.monotonic() + timeout
        while time.monotonic() < until and any(spool.waiting for spool in spools):  # noqa: ASYNC110 - many tasks make it so
            await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for spool in spools:
            spool.close()

    async def _deliver(self, reader: SpoolReader, news: asyncio.Event, at_once: int) -> None:
        room = asyncio.Semaphore(at_once)
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
                task = asyncio.create_task(self._until_done(reader, record))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                task.add_done_callback(lambda _: room.release())
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _until_done(self, reader: SpoolReader, record: Record) -> None:
        lane = self._lanes.get((reader.name, record.signal))
        wait = lane.retry.initial if lane is not None else 0.0
        while lane is not None and not reader.has_passed(record):
            try:
                refused = await lane.send(record.data)
            except Exception as error:  # noqa: BLE001 - whatever it is, what was acknowledged is kept
                # Half of it at random, so that those who failed together do not come back together.
                advice = error.retry_after if isinstance(error, UnavailableError) else None
                pause = max(advice or 0.0, wait * (0.5 + random.random() / 2))  # noqa: S311 - no secret
                await asyncio.sleep(min(pause, 3600.0))
                wait = min(wait * 2, lane.retry.longest)
                continue
            reader.takes = not any(part.data is record.data for part in refused)
            if reader.takes:
                reader.note_taken()
            kept = [part.data for part in refused if not part.unwanted and part.items is None]
            if kept:  # requests one after the other are one
                self._keep_rejected(lane, b"".join(kept))
            break
        reader.delivered(record)

    def _keep_rejected(self, lane: Lane, data: bytes) -> None:
        """Keep what was acknowledged and nobody takes, for a person to look at."""
        folder = self._folder / "rejected"
        try:
            _owner_only.make_folder(folder)
            kept = sorted(folder.iterdir())
            for old in kept[: max(0, len(kept) + 1 - _MOST_REJECTED)]:
                old.unlink()
            _owner_only.write_bytes(folder / f"{time.time_ns()}.{lane.exporter.name}.{lane.signal}.pb", data)
        except OSError as error:
            _log.error("spool: a rejected request cannot be kept: %s", error)


def decodable(signal: str, data: bytes) -> tuple[bytes, list[Refused]]:
    """A request without the spans that cannot be decoded, and these. Raises `RejectedError` if nothing is left."""
    try:
        REQUESTS[signal].FromString(data)
    except DecodeError as error:
        sound, damaged = sound_part(data) if signal == "traces" else (None, [])
        if sound is None:
            raise RejectedError(f"cannot be decoded: {error}") from error
        return sound, damaged
    return data, []


async def send_whole(exporter: Exporter, signal: str, data: bytes) -> list[Refused]:
    """Send a request; in halves if it is too large, and without what cannot be decoded if that is why it is refused.

    Returns the parts that the exporter will never take. Raises `UnavailableError` if some of it may be taken later.
    """
    try:
        left = await exporter.send(signal, data)
    except RejectedError as error:
        parts: list[bytes] = []
        damaged: list[Refused] = []
        if signal == "traces" and error.too_large:
            parts = wire.halves(data)
        elif signal == "traces":
            sound, damaged = sound_part(data)
            parts = [sound] if sound is not None else []
        if not parts:
            return [Refused(data, str(error))]
        return damaged + [refused for part in parts for refused in await send_whole(exporter, signal, part)]
    return [] if left is None else [Refused(b"", left.why, items=left.items)]


def sound_part(data: bytes) -> tuple[bytes | None, list[Refused]]:
    """A trace request without the spans that cannot be decoded, and these; None if all of them can, or none."""
    resources, sound = wire.read_request(data), 0
    damaged: list[Refused] = []
    for resource in resources:
        for scope in resource.scopes:
            for place in scope.spans:
                span = wire.wrapped(data[place[1] : place[2]])
                try:
                    REQUESTS["traces"].FromString(span)
                    sound += 1
                except DecodeError as error:
                    damaged.append(Refused(span, f"a span cannot be decoded: {error}"))
                    scope.edits.append(wire.Edit(*place, None))
    if not (damaged and sound):
        return None, []
    return wire.spliced(data, resources), damaged
