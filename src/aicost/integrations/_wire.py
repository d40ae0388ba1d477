"""Watching a response body go by, on the wire side of the client.

A body that the application reads itself (a stream, a raw streaming response) is watched below the client: the
byte stream inside the HTTP response is wrapped, so the client's own objects stay what they were, whatever version
they are of and however the application reads them.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from aicost.telemetry import guard
from aicost.usage.streams import STREAMS, StreamAccumulator

if TYPE_CHECKING:
    from ._calls import Ask

MAX_BODY = 64 * 2**20
"""Bytes of one event or one JSON body that are kept to be read; beyond that the usage counts as not received."""

MAX_KEPT = 4 * 2**20
"""Bytes of a stream's events that are kept for those who record content or estimate tokens."""

_BLANK = re.compile(rb"\r?\n\r?\n")
_DONE = re.compile(rb"^data:\s*\[DONE\]", re.MULTILINE)
"""At the start of a line only: a model may say the same words, but never with a line break before them."""


class BodyEnd(Protocol):
    """Told once how a watched body ended, and of each result in a file that has one per line."""

    def __call__(self, body: Mapping[str, Any] | None, end: EndOfBody) -> None: ...

    def line(self, result: Mapping[str, Any]) -> None: ...


class EndOfBody:
    """How reading a body ended: `complete` if the final usage arrived, `error` if reading it failed."""

    __slots__ = ("closed_early", "complete", "error", "error_type", "events")

    def __init__(
        self,
        *,
        complete: bool,
        closed_early: bool,
        error: BaseException | None,
        error_type: str | None,
        events: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.complete = complete
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
        self._ended = False
        self._hides = False
        self._each_line = ask.each_line
        self._tail = b""
        self._body = bytearray()
        self._latest: bytes | None = None
        self._split: Callable[[bytes], tuple[Iterable[bytes], bytes]] | None
        kind = headers.get("content-type") or ""
        self._split = _lines if ask.each_line else next((cut for name, cut in _FRAMING.items() if name in kind), None)
        accumulator = STREAMS.get((ask.target.provider, ask.target.api)) or STREAMS.get(ask.target.api)
        self._accumulator: StreamAccumulator | None = accumulator() if accumulator and self._split else None
        _open.add(self)

    def hide(self) -> None:
        """Keep the chunk that only carries usage from the client: the application did not ask for it."""
        self._hides = self._split is _events and self._accumulator is not None

    def feed(self, chunk: bytes) -> bytes:
        """Take the bytes that are about to be handed to the client; returns what to hand on."""
        if self._ended and not self._hides:
            return chunk
        try:
            data = chunk if self._decode is None else self._decode(chunk)
            if self._hides:
                return self._feed_hiding(data)
            if self._split is not None:
                self._feed_framed(data)
            elif len(self._body) <= MAX_BODY:
                self._body += data
        except Exception as error:  # noqa: BLE001 - the application's bytes come first
            guard.failed("read a stream's usage", error)
            self._decode, self._split, self._accumulator, self._body = None, _nothing, None, bytearray()
        return chunk

    def rest(self) -> bytes:
        """What is still held back when the body has ended."""
        held, self._tail = (self._tail, b"") if self._hides else (b"", self._tail)
        return held

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

    def _feed_framed(self, data: bytes) -> None:
        accumulator, split = self._accumulator, self._split
        if split is None or (accumulator is None and not self._each_line):
            return
        buffer = self._tail + data if self._tail else data
        if split is _events:
            # The common case, kept cheap: whole events that say nothing of usage are not even taken apart.
            if buffer.endswith(b"\n\n"):
                whole, self._tail = buffer, b""
            else:
                cut = max(buffer.rfind(b"\n\n"), buffer.rfind(b"\n\r\n"))
                if cut < 0:
                    self._tail = buffer if len(buffer) <= MAX_BODY else b""
                    # Some clients read line by line, and stop at this one.
                    if b"[DONE]" in buffer and accumulator is not None and _DONE.search(buffer) is not None:
                        self._finish(error=None, closed_early=False)
                    return
                whole, self._tail = buffer[: cut + 1], buffer[cut + 1 :]
            if self._kept is not None or (
                accumulator is not None and (not accumulator.body or accumulator.matters(whole))
            ):
                for block in _BLANK.split(whole):
                    self._take(_payload(block))
            # Recorded before the last bytes are handed on, so that nothing the application was given can be lost.
            if accumulator is not None and (
                accumulator.finished or (b"[DONE]" in whole and _DONE.search(whole) is not None)
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
        frames, self._tail = _events(self._tail + data)
        passed = bytearray()
        for block in frames:
            accumulator = self._accumulator
            payload = _payload(block)
            if not self._ended and accumulator is not None:
                self._take(payload)
                if accumulator.matters(payload) and accumulator.hidden(payload):
                    continue
            passed += block
            if _DONE.search(block) is not None:
                self._finish(error=None, closed_early=False)
        return bytes(passed)

    def _take(self, frame: bytes) -> None:
        if self._each_line:
            result = _json_object(frame)
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
        event = _json_object(frame)
        if event is not None:
            accumulator.add(event)

    def _finish(self, *, error: BaseException | None, closed_early: bool) -> None:
        if self._ended:
            return
        self._ended = True
        _open.discard(self)
        body, complete, error_type = None, False, None
        try:
            if self._split is not None and self._tail and not closed_early and error is None and not self._hides:
                self._take(_payload(self._tail) if self._split is _events else self._tail)
            if self._accumulator is not None:
                event = _json_object(self._latest) if self._latest is not None else None
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
            events = [event for frame in self._kept or () if (event := _json_object(frame)) is not None]
            end = EndOfBody(
                complete=complete, closed_early=closed_early, error=error, error_type=error_type, events=events
            )
            self._done(body, end)
        except Exception as failure:  # noqa: BLE001 - the application's stream comes first
            guard.failed("end a stream", failure)
        self._body = bytearray()


def _payload(block: bytes) -> bytes:
    """The data of one server-sent event."""
    if b"\n" not in block.strip() and block.startswith(b"data:"):
        return block[5:].strip()
    return b"\n".join(line[5:].strip() for line in block.splitlines() if line.startswith(b"data:"))


def _events(buffer: bytes) -> tuple[Iterable[bytes], bytes]:
    """Whole server-sent events, each with its blank line, and what is left."""
    blocks, at = [], 0
    for blank in _BLANK.finditer(buffer):
        blocks.append(buffer[at : blank.end()])
        at = blank.end()
    return blocks, buffer[at:]


def _lines(buffer: bytes) -> tuple[Iterable[bytes], bytes]:
    """Whole lines, and what is left."""
    *lines, rest = buffer.split(b"\n")
    return (line.strip() for line in lines), rest


def _aws_messages(buffer: bytes) -> tuple[Iterable[bytes], bytes]:
    """Messages of an AWS event stream as JSON objects, `{event type: payload}`, and what is left.

    Format: total length, length of headers, checksum; headers; payload; checksum (botocore 1.44, eventstream.py).
    Events called `chunk` carry the model's own event in base64; that is what is given for them.
    """
    found, at = [], 0
    while len(buffer) - at >= 12:
        total = int.from_bytes(buffer[at : at + 4], "big")
        if total < 16 or len(buffer) - at < total:
            break
        headers = int.from_bytes(buffer[at + 4 : at + 8], "big")
        payload = buffer[at + 12 + headers : at + total - 4]
        named = _EVENT_TYPE.search(buffer[at + 12 : at + 12 + headers])
        kind = named.group(2) if named is not None else b"?"
        if named is not None and named.group(1) == b"exception":
            found.append(b'{"error": {"type": "%s"}}' % kind)
        elif kind == b"chunk":
            inner = _json_object(payload) or {}
            found.append(base64.b64decode(inner.get("bytes") or ""))
        else:
            found.append(b'{"%s": %s}' % (kind, payload or b"{}"))
        at += total
    return found, buffer[at:]


def _nothing(_: bytes) -> tuple[Iterable[bytes], bytes]:
    return (), b""


_EVENT_TYPE = re.compile(rb":(event|exception)-type\x07..([A-Za-z]+)", re.DOTALL)
_FRAMING: dict[str, Callable[[bytes], tuple[Iterable[bytes], bytes]]] = {
    "text/event-stream": _events,
    "vnd.amazon.eventstream": _aws_messages,
    "ndjson": _lines,
    "jsonl": _lines,
    "stream+json": _lines,
    "audio/": _nothing,
    "image/": _nothing,
    "video/": _nothing,
    "octet-stream": _nothing,
}
"""How a body is taken apart, by what its content type has in it; a body of any other type is one JSON object."""


def _json_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object that an event is; None for anything else, a broken one included."""
    if not data.startswith(b"{"):
        return None
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def first_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object that a whole body is, or the first of those in its list; None if it holds none.

    Raises ValueError for a broken one.
    """
    if data.lstrip()[:1] not in {b"{", b"["}:
        return None
    value = json.loads(data)
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else None


def decoder_of(response: Any) -> Callable[[bytes], bytes] | None:
    """A decoder for the content coding of an httpx response, or None when its bytes are plain."""
    coding = response.headers.get("content-encoding")
    if coding is None or coding == "identity":
        return None
    # A second response object gives a decoder of the same library without touching the state of the first one's.
    decoder = type(response)(200, headers={"content-encoding": coding})._get_content_decoder()

    def decode(data: bytes) -> bytes:
        decoded: bytes | Iterable[bytes] = decoder.decode(data)  # httpx gives bytes, httpx2 an iterator of them
        return decoded if isinstance(decoded, bytes) else b"".join(decoded)

    return decode


def tee(stream: Any, observer: Observer) -> Any:
    """The byte stream of an httpx response, watched."""
    return _tee_class(_stream_base(type(stream)))(stream, observer)


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
    def __init__(self, inner: Any, observer: Observer) -> None:
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
                passed = feed(chunk)
                if passed:
                    yield passed
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)
        if rest := observer.rest():
            yield rest

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
                passed = feed(chunk)
                if passed:
                    yield passed
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)
        if rest := observer.rest():
            yield rest

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._observer.close()


class RawBody(_Tee):
    """The raw body below a `requests` or `botocore` response (urllib3's response), watched."""

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        """Read, as urllib3 does it."""
        observer = self._observer
        try:
            data: bytes = self._inner.read(amt, *args, **kwargs)
        except BaseException as error:
            observer.end(error)
            raise
        if data:
            observer.feed(data)
        if amt is None or (amt and not data):
            observer.end(None)
        return data

    def read1(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        """Read what there is, as urllib3 does it."""
        data: bytes = self._inner.read1(amt, *args, **kwargs)
        if data:
            self._observer.feed(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, as urllib3 does it."""
        count: int = self._inner.readinto(buffer)
        self._observer.feed(bytes(memoryview(buffer)[:count]))
        if not count:
            self._observer.end(None)
        return count

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        """Iterate over the body, as urllib3 does it."""
        observer = self._observer
        try:
            for chunk in self._inner.stream(*args, **kwargs):
                observer.feed(chunk)
                yield chunk
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)

    def __iter__(self) -> Iterator[bytes]:
        return self.stream()

    def close(self) -> None:
        """Close, as urllib3 does it."""
        try:
            self._inner.close()
        finally:
            self._observer.close()


class AioContent(_Tee):
    """The content of an aiohttp response (its StreamReader), watched."""

    def _saw(self, data: bytes) -> bytes:
        if data:
            self._observer.feed(data)
        if self._inner.at_eof():
            self._observer.end(None)
        return data

    async def _watched(self, reading: Any) -> Any:
        try:
            return await reading
        except BaseException as error:
            self._observer.end(error)
            raise

    async def read(self, n: int = -1) -> bytes:
        """Read, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.read(n)))

    async def readany(self) -> bytes:
        """Read what there is, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.readany()))

    async def readexactly(self, n: int) -> bytes:
        """Read so many bytes, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.readexactly(n)))

    async def readline(self, **kwargs: Any) -> bytes:
        """Read a line, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.readline(**kwargs)))

    async def readuntil(self, separator: bytes = b"\n", **kwargs: Any) -> bytes:
        """Read up to a separator, as aiohttp does it."""
        return self._saw(await self._watched(self._inner.readuntil(separator, **kwargs)))

    async def readchunk(self) -> tuple[bytes, bool]:
        """Read a chunk as it was received, as aiohttp does it."""
        data, end_of_chunk = await self._watched(self._inner.readchunk())
        return self._saw(data), end_of_chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Iterate over what there is, as aiohttp does it."""
        while data := await self.readany():
            yield data

    async def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        """Iterate in pieces of at most `n` bytes, as aiohttp does it."""
        while data := await self.read(n):
            yield data

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Iterate over the chunks as received, as aiohttp does it."""
        while True:
            data, end_of_chunk = await self.readchunk()
            if not data and not end_of_chunk:
                return
            yield data, end_of_chunk

    def set_exception(self, *args: Any, **kwargs: Any) -> None:
        """The connection was lost or closed, as aiohttp says it."""
        self._inner.set_exception(*args, **kwargs)
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
# Weak, so that this keeps no stream alive that nobody reads any more.
_open: WeakSet[Observer] = WeakSet()


def end_open() -> None:
    """Finish every stream that is still open, at the end of the process: what was known of it is all there will be."""
    for observer in list(_open):
        observer.close()


def drain_abandoned() -> None:
    """Finish the streams that were dropped without being closed."""
    _reaper.drain()
