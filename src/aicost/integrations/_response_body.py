"""Watching a response body go by, on the wire side of the client.

A body that the application reads itself (a stream, a raw streaming response) is watched below the client: the
byte stream inside the HTTP response is wrapped, so the client's own objects stay what they were, whatever version
they are of and however the application reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol
from weakref import WeakSet
from zlib import crc32

from aicost import _forks
from aicost._later import drain, in_collector, later
from aicost.telemetry import guard
from aicost.usage.streams import STREAMS, StreamAccumulator

from . import _framing
from ._call_request import CallRequest
from ._framing import (
    BLANK,
    DONE,
    MAX_FRAME,
    Events,
    Frames,
    Lines,
    Nothing,
    first_object,
    framing_of,
    json_object,
    payload,
)

MAX_BODY = MAX_FRAME
"""Bytes of one JSON body that are kept to be read; beyond that the usage counts as not received."""

MAX_WITHHELD = 64 * 2**10
"""Bytes of an event that are kept from the client until it is whole; one that only carries usage is far shorter."""

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


class BodyObserver:
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
        "_events",
        "_frames",
        "_hides",
        "_kept",
        "_kept_bytes",
        "_latest",
        "_passed",
    )

    def __init__(
        self,
        headers: Mapping[str, str],
        call_request: CallRequest,
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
        self._each_line = call_request.each_line
        self._passed = 0
        """Bytes of the event under way that the client has, where others are kept from it."""
        self._body = bytearray()
        self._latest: bytes | None = None
        framing = Lines if call_request.each_line else framing_of(headers)
        self._frames: Frames | None = None if framing is None else framing()
        self._events = self._frames if isinstance(self._frames, Events) else None
        accumulator = STREAMS.get((call_request.target.provider, call_request.target.api)) or STREAMS.get(
            call_request.target.api
        )
        self._accumulator: StreamAccumulator | None = accumulator() if accumulator and framing else None
        _open.add(self)

    def hide(self) -> None:
        """Keep the chunk that only carries usage from the client: the application did not ask for it."""
        self._hides = self._events is not None and self._accumulator is not None

    def feed(self, chunk: bytes) -> bytes:
        """Take the bytes that are about to be handed to the client; returns what to hand on."""
        if self._ended and not self._hides:
            return chunk
        try:
            data = chunk if self._decode is None else self._decode(chunk)
            self._digest = crc32(data, self._digest)
            if self._hides:
                return self._feed_hiding(data)
            if self._frames is not None:
                self._feed_framed(data)
            elif len(self._body) <= MAX_BODY:
                self._body += data
        except Exception as error:  # noqa: BLE001 - the application's bytes come first
            guard.failed("read a stream's usage", error)
            self._decode, self._accumulator, self._body = None, None, bytearray()
            self._frames, self._events = Nothing(), None
        return chunk

    def rest(self) -> bytes:
        """What is still held back when the body has ended."""
        if not self._hides:
            return b""
        held = b"" if self._events is None else bytes(self._events.held)[self._passed :]
        return b"" if not self._passed and self._is_hidden(payload(held)) else held

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
        accumulator, frames, events = self._accumulator, self._frames, self._events
        if frames is None or (accumulator is None and not self._each_line):
            return
        if events is not None and accumulator is not None:
            # The common case, kept cheap: whole events that say nothing of usage are not even taken apart.
            before = len(events.held)
            whole = data if not before and data.endswith(b"\n\n") else events.stretch(data)
            if not whole:
                # Some clients read line by line, and stop at this one.
                if events.is_done(before):
                    self._finish(error=None, closed_early=False)
                return
            if self._kept is not None or not accumulator.body or accumulator.matters(whole):
                for block in events.cut(whole):
                    self._take(payload(block))
            # Recorded before the last bytes are handed on, so that nothing the application was given can be lost.
            if accumulator.finished or (b"[DONE]" in whole and DONE.search(whole) is not None):
                self._finish(error=None, closed_early=False)
            return
        for frame in frames.feed(data):
            self._take(frame)
        if accumulator is not None and accumulator.finished:
            self._finish(error=None, closed_early=False)

    def _feed_hiding(self, data: bytes) -> bytes:
        events, accumulator = self._events, self._accumulator
        if events is None or accumulator is None:
            return data
        handed_on = bytearray()
        if events.skips:  # it is no event of usage only
            blank = BLANK.search(bytes(events.held) + data)
            size = len(data) if blank is None else blank.end() - len(events.held)
            handed_on += data[:size]
            events.stretch(data[:size])
            self._passed, data = len(events.held), data[size:]
        withheld = events.held[self._passed :] if len(events.held) + len(data) > _framing.MAX_FRAME else b""
        blocks = list(events.feed(data))
        if events.skips and data:
            self._passed = len(events.held)
            return bytes(handed_on + withheld + data)
        for block in blocks:
            said, passed, self._passed = payload(block), self._passed, 0
            if not self._ended:
                try:
                    self._take(said)
                except Exception as error:  # noqa: BLE001 - what is hidden and what is not does not depend on it
                    guard.failed("read a stream's usage", error)
            if not passed and self._is_hidden(said):
                continue
            handed_on += block[passed:]
            if DONE.search(block) is not None:
                self._finish(error=None, closed_early=False)
        if len(events.held) - self._passed > MAX_WITHHELD:
            handed_on += events.held[self._passed :]
            self._passed = len(events.held)
        return bytes(handed_on)

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
            rest = self._frames.rest() if self._frames is not None and not closed_early and error is None else b""
            if rest:
                self._take(payload(rest) if self._events is not None else rest)
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
_open: WeakSet[BodyObserver] = WeakSet()


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


_forks.in_child(_in_child)


def drain_abandoned() -> None:
    """Finish the streams that were dropped without being closed, and what else was left half-way."""
    drain()
