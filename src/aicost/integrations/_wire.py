"""Watching a response body go by, on the wire side of the client.

A body that the application reads itself (a stream, a raw streaming response) is watched below the client: the
byte stream inside the HTTP response is wrapped, so the client's own objects stay what they were, whatever version
they are of and however the application reads them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet
from zlib import crc32

from aicost._later import drain, in_collector, later
from aicost.telemetry import guard
from aicost.usage.streams import STREAMS, StreamAccumulator

from ._framing import BLANK, DONE, Split, events, first_object, json_object, lines, nothing, payload, split_of

if TYPE_CHECKING:
    from ._progress import Ask

MAX_BODY = 64 * 2**20
"""Bytes of one event or one JSON body that are kept to be read; beyond that the usage counts as not received."""

MAX_KEPT = 4 * 2**20
"""Bytes of a stream's events that are kept for those who record content or estimate tokens."""


class BodyEnd(Protocol):
    """Told once how a watched body ended, and of each result in a file that has one per line."""

    def __call__(self, body: Mapping[str, Any] | None, end: EndOfBody) -> None: ...

    def line(self, result: Mapping[str, Any]) -> None: ...


class EndOfBody:
    """How reading a body ended: `complete` if the final usage arrived, `error` if reading it failed."""

    __slots__ = ("closed_early", "complete", "digest", "error", "error_type", "events")

    def __init__(
        self,
        *,
        complete: bool,
        closed_early: bool,
        error: BaseException | None,
        error_type: str | None,
        events: Sequence[Mapping[str, Any]] = (),
        digest: int = 0,
    ) -> None:
        self.complete = complete
        self.digest = digest
        """Of the bytes that went by."""
        self.closed_early = closed_early
        self.error = error
        self.error_type = error_type
        self.events = events
        """All events of a stream, where they were kept."""


class Observer:
    """Reads usage out of the bytes going by. Its own failures never touch them."""

    __slots__ = (
        "__weakref__",
        "_accumulator",
        "_body",
        "_decode",
        "_digest",
        "_done",
        "_each_line",
        "_ended",
        "_hides",
        "_kept",
        "_kept_bytes",
        "_latest",
        "_split",
        "_tail",
    )

    def __init__(
        self,
        headers: Mapping[str, str],
        ask: Ask,
        done: BodyEnd,
        *,
        decode: Callable[[bytes], bytes] | None = None,
        keep: bool = False,
    ) -> None:
        self._done = done
        self._kept: list[bytes] | None = [] if keep else None
        self._kept_bytes = 0
        self._decode = decode
        self._digest = 0
        self._ended = False
        self._hides = False
        self._each_line = ask.each_line
        self._tail = b""
        self._body = bytearray()
        self._latest: bytes | None = None
        self._split: Split | None = lines if ask.each_line else split_of(headers)
        accumulator = STREAMS.get((ask.target.provider, ask.target.api)) or STREAMS.get(ask.target.api)
        self._accumulator: StreamAccumulator | None = accumulator() if accumulator and self._split else None
        _open.add(self)

    def hide(self) -> None:
        """Keep the chunk that only carries usage from the client: the application did not ask for it."""
        self._hides = self._split is events and self._accumulator is not None

    def feed(self, chunk: bytes) -> bytes:
        """Take the bytes that are about to be handed to the client; returns what to hand on."""
        if self._ended and not self._hides:
            return chunk
        try:
            data = chunk if self._decode is None else self._decode(chunk)
            self._digest = crc32(data, self._digest)
            if self._hides:
                return self._feed_hiding(data)
            if self._split is not None:
                self._feed_framed(data)
            elif len(self._body) <= MAX_BODY:
                self._body += data
        except Exception as error:  # noqa: BLE001 - the application's bytes come first
            guard.failed("read a stream's usage", error)
            self._decode, self._split, self._accumulator, self._body = None, nothing, None, bytearray()
        return chunk

    def rest(self) -> bytes:
        """What is still held back when the body has ended."""
        if not self._hides:
            return b""
        held, self._tail = self._tail, b""
        return b"" if self._is_hidden(payload(held)) else held

    def _is_hidden(self, said: bytes) -> bool:
        accumulator = self._accumulator
        return accumulator is not None and accumulator.matters(said) and accumulator.hidden(said)

    def end(self, error: BaseException | None) -> None:
        """The body was read to its end, or reading it failed."""
        early = isinstance(error, GeneratorExit)
        self._finish(error=None if early else error, closed_early=early)

    def close(self) -> None:
        """The body was closed; unless it had ended before, the application stopped early."""
        self._finish(error=None, closed_early=True)

    def abandon(self) -> None:
        """The body was dropped without being closed, maybe by the garbage collector: the work is done elsewhere."""
        if not self._ended:
            later(self.close)

    def disown(self) -> None:
        """This is a forked copy: the process that opened the body tells how it ended. What is hidden stays so."""
        self._ended = True

    def _feed_framed(self, data: bytes) -> None:
        accumulator, split = self._accumulator, self._split
        if split is None or (accumulator is None and not self._each_line):
            return
        buffer = self._tail + data if self._tail else data
        if split is events:
            # The common case, kept cheap: whole events that say nothing of usage are not even taken apart.
            if buffer.endswith(b"\n\n"):
                whole, self._tail = buffer, b""
            else:
                cut = max(buffer.rfind(b"\n\n"), buffer.rfind(b"\n\r\n"))
                if cut < 0:
                    self._tail = buffer if len(buffer) <= MAX_BODY else b""
                    # Some clients read line by line, and stop at this one.
                    if b"[DONE]" in buffer and accumulator is not None and DONE.search(buffer) is not None:
                        self._finish(error=None, closed_early=False)
                    return
                whole, self._tail = buffer[: cut + 1], buffer[cut + 1 :]
            if self._kept is not None or (
                accumulator is not None and (not accumulator.body or accumulator.matters(whole))
            ):
                for block in BLANK.split(whole):
                    self._take(payload(block))
            # Recorded before the last bytes are handed on, so that nothing the application was given can be lost.
            if accumulator is not None and (
                accumulator.finished or (b"[DONE]" in whole and DONE.search(whole) is not None)
            ):
                self._finish(error=None, closed_early=False)
            return
        frames, self._tail = split(buffer)
        if len(self._tail) > MAX_BODY:
            self._tail = b""
        for frame in frames:
            self._take(frame)
        if accumulator is not None and accumulator.finished:
            self._finish(error=None, closed_early=False)

    def _feed_hiding(self, data: bytes) -> bytes:
        blocks, self._tail = events(self._tail + data)
        passed = bytearray()
        for block in blocks:
            said = payload(block)
            accumulator = self._accumulator
            if not self._ended and accumulator is not None:
                try:
                    self._take(said)
                except Exception as error:  # noqa: BLE001 - what is hidden and what is not does not depend on it
                    guard.failed("read a stream's usage", error)
                if self._is_hidden(said):
                    continue
            passed += block
            if DONE.search(block) is not None:
                self._finish(error=None, closed_early=False)
        return bytes(passed)

    def _take(self, frame: bytes) -> None:
        if self._each_line:
            result = json_object(frame)
            if result is not None:
                self._done.line(result)
            return
        accumulator = self._accumulator
        if self._kept is not None and self._kept_bytes < MAX_KEPT:
            self._kept.append(frame)
            self._kept_bytes += len(frame)
        if accumulator is None or not (not accumulator.body or accumulator.matters(frame)):
            return
        if accumulator.latest_only and accumulator.body:
            self._latest = frame
            return
        event = json_object(frame)
        if event is not None:
            accumulator.add(event)

    def _finish(self, *, error: BaseException | None, closed_early: bool) -> None:
        if self._ended:
            return
        if in_collector():
            later(partial(self._finish, error=error, closed_early=closed_early))
            return
        self._ended = True
        _open.discard(self)
        body, complete, error_type = None, False, None
        try:
            if self._split is not None and self._tail and not closed_early and error is None:
                self._take(payload(self._tail) if self._split is events else self._tail)
            if self._accumulator is not None:
                event = json_object(self._latest) if self._latest is not None else None
                if event is not None:
                    self._accumulator.add(event)
                body, complete = self._accumulator.body or None, self._accumulator.complete
                error_type = self._accumulator.error_type
                if not complete and not self._accumulator.finished and self._accumulator.ends_with_usage:
                    error_type = error_type or (None if closed_early or error is not None else "stream_cut")
            elif not closed_early and error is None and self._body:
                try:
                    body = first_object(bytes(self._body))
                except ValueError:
                    error_type = "body_cut"
                complete = body is not None
            kept = [event for frame in self._kept or () if (event := json_object(frame)) is not None]
            end = EndOfBody(
                complete=complete,
                closed_early=closed_early,
                error=error,
                error_type=error_type,
                events=kept,
                digest=self._digest,
            )
            self._done(body, end)
        except Exception as failure:  # noqa: BLE001 - the application's stream comes first
            guard.failed("end a stream", failure)
        self._body = bytearray()


# Weak, so that this keeps no stream alive that nobody reads any more.
_open: WeakSet[Observer] = WeakSet()


def end_open() -> None:
    """Finish every stream that is still open, at the end of the process: what was known of it is all there will be."""
    while _open:
        try:
            still_open = list(_open)
        except RuntimeError:  # another thread opened one meanwhile
            continue
        for observer in still_open:
            observer.close()
        return


def _in_child() -> None:
    """What was open when the process forked is its parent's to finish."""
    global _open
    inherited, _open = _open, WeakSet()
    for observer in list(inherited):
        observer.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def drain_abandoned() -> None:
    """Finish the streams that were dropped without being closed, and what else was left half-way."""
    drain()
