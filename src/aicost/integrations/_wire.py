"""Watching a response body go by, on the wire side of the client.

A body that the application reads itself (a stream, a raw streaming response) is watched below the client: the
byte stream inside the HTTP response is wrapped, so the client's own objects stay what they were, whatever version
they are of and however the application reads them. Works for httpx and httpx2, which share this interface.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, Protocol

from aicost.telemetry import guard
from aicost.usage.streams import STREAMS, StreamAccumulator

MAX_BODY = 64 * 2**20
"""Bytes of one event or one JSON body that are kept to be read; beyond that the usage counts as not received."""

_BLANK = re.compile(rb"\r?\n\r?\n")
# `"usage":null` is in every chunk of a chat stream that was asked for usage.
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
# At the start of a line only: a model may say the same words, but never with a line break before them.
_DONE = re.compile(rb"^data:\s*\[DONE\]", re.MULTILINE)
_ERROR = re.compile(rb'"error"\s*:\s*[{"]|"type"\s*:\s*"error"')


def _matters(data: bytes) -> bool:
    """Whether stream events hold final usage, an error or the end. Substrings first: a regex costs ten times that."""
    return (
        (b'"usage"' in data and _USAGE.search(data) is not None)
        or (b'"error"' in data and _ERROR.search(data) is not None)
        or b"message_stop" in data
    )


class BodyEnd(Protocol):
    """Told once how a watched body ended."""

    def __call__(self, body: Mapping[str, Any] | None, end: EndOfBody) -> None: ...


class EndOfBody:
    """How reading a body ended: `complete` if the final usage arrived, `error` if reading it failed."""

    __slots__ = ("closed_early", "complete", "error", "error_type")

    def __init__(self, *, complete: bool, closed_early: bool, error: BaseException | None, error_type: str | None):
        self.complete = complete
        self.closed_early = closed_early
        self.error = error
        self.error_type = error_type


def watch(response: Any, api: str, done: BodyEnd) -> None:
    """Wrap the byte stream of an unread `response`, and call `done` once it has ended, whichever way."""
    stream = response.stream
    observer = _Observer(response, api, done)
    response.stream = _tee_class(_stream_base(type(stream)))(stream, observer)


class _Observer:
    """Reads usage out of the bytes going by. Its own failures never touch them."""

    __slots__ = ("__weakref__", "_accumulator", "_body", "_decode", "_done", "_ended", "_events", "_tail")

    def __init__(self, response: Any, api: str, done: BodyEnd) -> None:
        self._done = done
        self._ended = False
        self._events = "event-stream" in response.headers.get("content-type", "")
        accumulator = STREAMS.get(api)
        self._accumulator: StreamAccumulator | None = accumulator() if accumulator and self._events else None
        self._decode = _decoder(response)
        self._tail = b""
        self._body: bytearray = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the bytes that are about to be handed to the client."""
        if self._ended:
            return
        try:
            data = chunk if self._decode is None else self._decode(chunk)
            if self._events:
                self._feed_events(data)
            elif len(self._body) <= MAX_BODY:
                self._body += data
        except Exception as error:  # noqa: BLE001 - the application's bytes come first
            guard.failed("read a stream's usage", error)
            self._decode, self._events, self._body = (lambda _: b""), False, bytearray()

    def end(self, error: BaseException | None) -> None:
        """The body was read to its end, or reading it failed."""
        early = isinstance(error, GeneratorExit)
        self._finish(error=None if early else error, closed_early=early)

    def close(self) -> None:
        """The body was closed; unless it had ended before, the application stopped early."""
        self._finish(error=None, closed_early=True)

    def abandon(self) -> None:
        """The body was dropped without being closed. Runs in the garbage collector, so the work is done elsewhere."""
        if not self._ended:
            _reaper.take(self.close)

    def _feed_events(self, data: bytes) -> None:
        accumulator = self._accumulator
        if accumulator is None:
            return
        buffer = self._tail + data if self._tail else data
        if buffer.endswith(b"\n\n"):
            self._tail = b""
        else:
            cut = max(buffer.rfind(b"\n\n"), buffer.rfind(b"\n\r\n"))
            if cut < 0:
                self._tail = buffer if len(buffer) <= MAX_BODY else b""
                return
            buffer, self._tail = buffer[: cut + 1], buffer[cut + 1 :]
        if not accumulator.body or _matters(buffer):
            for block in _BLANK.split(buffer):
                if not accumulator.body or _matters(block):
                    _add(accumulator, block)
        # Recorded before the last bytes are handed on, so that nothing the application was given can be lost.
        if accumulator.finished or (b"[DONE]" in buffer and _DONE.search(buffer) is not None):
            self._finish(error=None, closed_early=False)

    def _finish(self, *, error: BaseException | None, closed_early: bool) -> None:
        if self._ended:
            return
        self._ended = True
        body, complete, error_type = None, False, None
        try:
            if self._accumulator is not None:
                body, complete = self._accumulator.body or None, self._accumulator.complete
                error_type = self._accumulator.error_type
            elif not closed_early and error is None and self._body:
                body, complete = _json_object(bytes(self._body)), True
            end = EndOfBody(complete=complete, closed_early=closed_early, error=error, error_type=error_type)
            self._done(body, end)
        except Exception as failure:  # noqa: BLE001 - the application's stream comes first
            guard.failed("end a stream", failure)
        self._body = bytearray()


def _add(accumulator: StreamAccumulator, block: bytes) -> None:
    lines = [line[5:].strip() for line in block.splitlines() if line.startswith(b"data:")]
    event = _json_object(b"\n".join(lines))
    if event is not None:
        accumulator.add(event)


def _json_object(data: bytes) -> dict[str, Any] | None:
    if not data.startswith(b"{"):
        return None
    value = json.loads(data)
    return value if isinstance(value, dict) else None


def _decoder(response: Any) -> Callable[[bytes], bytes] | None:
    """A decoder for the response's content coding, or None when its bytes are plain."""
    coding = response.headers.get("content-encoding")
    if coding is None or coding == "identity":
        return None
    # A second response object gives a decoder of the same library without touching the state of the first one's.
    decoder = type(response)(200, headers={"content-encoding": coding})._get_content_decoder()

    def decode(data: bytes) -> bytes:
        decoded: bytes | Iterable[bytes] = decoder.decode(data)  # httpx gives bytes, httpx2 an iterator of them
        return decoded if isinstance(decoded, bytes) else b"".join(decoded)

    return decode


def _stream_base(kind: type) -> type:
    """The byte-stream interface, sync or async, that the HTTP library will check for."""
    for base in kind.__mro__:
        if base.__name__ in {"SyncByteStream", "AsyncByteStream"}:
            return base
    raise TypeError(f"{kind.__qualname__} is no byte stream of httpx")


@lru_cache(maxsize=8)
def _tee_class(base: type) -> Any:
    tee = _AsyncTee if base.__name__ == "AsyncByteStream" else _SyncTee
    return type(tee.__name__, (tee, base), {})


class _Tee:
    def __init__(self, inner: Any, observer: _Observer) -> None:
        self._inner = inner
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        # httpx2's Response.elapsed reads from the stream it was given.
        if name in {"_inner", "_observer"}:
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __del__(self) -> None:
        observer = self.__dict__.get("_observer")
        if observer is not None:
            observer.abandon()


class _SyncTee(_Tee):
    def __iter__(self) -> Iterator[bytes]:
        observer = self._observer
        feed = observer.feed
        try:
            for chunk in self._inner:
                feed(chunk)
                yield chunk
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._observer.close()


class _AsyncTee(_Tee):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        observer = self._observer
        feed = observer.feed
        try:
            async for chunk in self._inner:
                feed(chunk)
                yield chunk
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._observer.close()


class _Reaper:
    """Finishes what the garbage collector found, in a thread of its own: a collector may run under any lock."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pid: int | None = None

    def take(self, finish: Callable[[], None]) -> None:
        # SimpleQueue.put is documented as safe to call from a destructor.
        self._queue.put(finish)
        if self._pid != os.getpid() and not sys.is_finalizing():
            self._pid = os.getpid()
            try:
                threading.Thread(target=self._run, name="aicost-reaper", daemon=True).start()
            except RuntimeError:  # the interpreter is going down: what is left is drained at exit
                self._pid = None

    def drain(self) -> None:
        """Finish what is waiting now."""
        while not self._queue.empty():
            self._queue.get()()

    def _run(self) -> None:
        while True:
            self._queue.get()()


_reaper = _Reaper()


def drain_abandoned() -> None:
    """Finish the streams that were dropped without being closed."""
    _reaper.drain()
