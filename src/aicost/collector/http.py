"""OTLP over HTTP: an ASGI application, and the protocol that guards it against clients that are slow or too many."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import EncodeError
from google.rpc import status_pb2
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aicost._settings.collector_section import Receivers

from .exporters import REJECTED, REQUESTS, RESPONSES
from .intake import Accepted, Intake, MalformedError, OverloadedError, RefusedError, TooLargeError
from .otlp_json import OtlpJsonError, from_json, to_json

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Page = Callable[[], tuple[int, str, bytes]]
"""Answers a GET: status, content type and body."""

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_PATHS = {f"/v1/{signal}": signal for signal in REQUESTS}
_MOST_HEADERS = 64 * 2**10
_IN_THREAD = 2**20
"""Bodies above this size are decompressed in a thread."""
_MOST_MEMBERS = 100
_PART = 64 * 2**10
_MOST_OBJECTS = 2_000_000
"""In JSON, where an empty one is two bytes and many times that in memory."""
_OPEN = {"/healthz", "/readyz"}
_UNREAD = {401, 404, 405, 408, 413, 415}
"""Answers that are given before the body was read: the connection cannot be used again."""
# google.rpc.Code
_INVALID, _EXHAUSTED, _UNAVAILABLE, _UNAUTHENTICATED, _UNIMPLEMENTED = 3, 8, 14, 16, 12


class _Answer(NamedTuple):
    status: int
    body: bytes
    kind: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _RejectError(Exception):
    """A request that HTTP itself has an answer to."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes], code: int = _INVALID) -> None:
        super().__init__(message)
        self.status, self.message, self.headers, self.code = status, message, headers, code


class OtlpApp:
    """The receiver, and the pages of health and metrics beside it. `intake` is None where there are only pages."""

    def __init__(self, intake: Intake | None, config: Receivers, pages: Mapping[str, Page], token: str | None) -> None:
        self._intake, self._config, self._pages = intake, config, pages
        self._authorization = f"Bearer {token}".encode() if token is not None else None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        kind, body = _kind(headers), _Body(receive)
        try:
            answer = await self._answer(scope, headers, body)
        except _RejectError as error:
            await self._read_off(body)
            answer = _status(error.status, error.code, error.message, kind, error.headers)
        except TooLargeError as error:
            await self._read_off(body)
            answer = _status(413, _EXHAUSTED, error.message, kind)
        except OverloadedError as error:
            wait = str(max(1, round(error.retry_after))).encode()
            answer = _status(503, _UNAVAILABLE, error.message, kind, ((b"retry-after", wait),))
        except RefusedError as error:
            answer = _status(400, _INVALID, error.message, kind)
        more = [(b"content-type", answer.kind.encode()), (b"content-length", str(len(answer.body)).encode())]
        if answer.status in _UNREAD:
            more.append((b"connection", b"close"))
        await send(
            {"type": "http.response.start", "status": answer.status, "headers": [*more, *answer.headers]},
        )
        await send({"type": "http.response.body", "body": answer.body})

    async def _read_off(self, body: _Body) -> None:
        """Read what is left of a body, and forget it: who is cut off while sending never reads the answer."""
        left = 4 * self._config.max_request
        with contextlib.suppress(_RejectError, MalformedError):
            async with _deadline(self._config.read_timeout):
                while left > 0 and not body.ended:
                    left -= len(await body.next())

    async def _answer(self, scope: dict[str, Any], headers: dict[bytes, bytes], body: _Body) -> _Answer:
        path, method = scope["path"], scope["method"]
        if path not in _OPEN and self._authorization is not None:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._authorization):
                raise _RejectError(
                    401, "a bearer token is needed", (b"www-authenticate", b"Bearer"), code=_UNAUTHENTICATED
                )
        page = self._pages.get(path)
        if page is not None:
            if method not in ("GET", "HEAD"):
                raise _RejectError(405, f"{path} is read with GET", (b"allow", b"GET, HEAD"), code=_UNIMPLEMENTED)
            status, kind, text = page()
            return _Answer(status, text, kind)
        signal = _PATHS.get(path)
        if signal is None or self._intake is None:
            raise _RejectError(404, f"nothing at {path}; OTLP is at /v1/traces, /v1/metrics and /v1/logs", code=5)
        if method != "POST":
            raise _RejectError(405, f"{path} takes POST", (b"allow", b"POST"), code=_UNIMPLEMENTED)
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
        if kind not in (_PROTOBUF, _JSON):
            raise _RejectError(415, f"content type {kind!r}; send {_PROTOBUF} or {_JSON}")
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding not in (b"identity", b"gzip", b""):
            raise _RejectError(415, f"content encoding {coding.decode('latin-1')!r}; send gzip or none")
        room = _Room(self._intake, self._config.max_request, signal)
        try:
            async with _deadline(self._config.read_timeout):
                data = await _whole(body, headers, room)
            if coding == b"gzip":
                data = await _decompressed(data, room)
            accepted = await self._intake.take(signal, _protobuf(signal, kind, data), f"http/{kind[12:]}")
        finally:
            room.leave()
        return _success(signal, kind, accepted)


def _protobuf(signal: str, kind: str, body: bytes) -> bytes:
    if kind == _PROTOBUF:
        return body
    if body.count(b"{") > _MOST_OBJECTS:
        raise MalformedError(f"the body has more than {_MOST_OBJECTS} objects; send it in parts, or as protobuf")
    message = REQUESTS[signal]()
    try:
        from_json(json.loads(body, parse_constant=_no_number), message)
        return bytes(message.SerializeToString())
    except (ValueError, RecursionError, EncodeError) as error:
        where = "" if isinstance(error, (OtlpJsonError, EncodeError)) else "the body is no JSON: "
        raise MalformedError(f"{where}{error!s:.300}") from None


def _no_number(name: str) -> float:
    raise ValueError(f'{name} is no number in JSON; OTLP writes it as text: "{name}"')


def _success(signal: str, kind: str, accepted: Accepted) -> _Answer:
    response = RESPONSES[signal]()
    if accepted.message:
        setattr(response.partial_success, REJECTED[signal], accepted.rejected)
        response.partial_success.error_message = accepted.message
    if kind == _JSON:
        return _Answer(200, json.dumps(to_json(response)).encode(), kind)
    return _Answer(200, response.SerializeToString(), kind)


def _status(status: int, code: int, message: str, kind: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> _Answer:
    """An error as google.rpc.Status, in the encoding of the request."""
    if kind == _JSON:
        body = json.dumps({"code": code, "message": message}).encode()
    else:
        body = status_pb2.Status(code=code, message=message).SerializeToString()
    return _Answer(status, body, kind, headers)


def _kind(headers: dict[bytes, bytes]) -> str:
    return _JSON if headers.get(b"content-type", b"").startswith(b"application/json") else _PROTOBUF


class _Room:
    """What one request takes of the memory that all of them share."""

    def __init__(self, intake: Intake, most: int, signal: str) -> None:
        self._intake, self._most, self._signal = intake, most, signal
        self._taken = 0

    def take(self, size: int) -> None:
        self._intake.reserve(self._signal, size, self._taken)
        self._taken += size

    def check(self, size: int) -> None:
        if size > self._most:
            raise TooLargeError(f"the request is larger than {self._most} bytes")

    @property
    def most(self) -> int:
        return self._most

    def leave(self) -> None:
        self._intake.release(self._signal, self._taken)
        self._taken = 0


class _Body:
    """What a client sends, piece by piece."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def next(self) -> bytes:
        """The next piece. Raises `MalformedError` if there is none to come."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.ended = True
            raise MalformedError("the client went away in the middle of its request")
        self.ended = not message.get("more_body")
        return bytes(message.get("body", b""))


async def _whole(body: _Body, headers: dict[bytes, bytes], room: _Room) -> bytes:
    length = headers.get(b"content-length")
    room.check(int(length) if length is not None and length.isdigit() else 0)
    pieces: list[bytes] = []
    size = 0
    while not body.ended:
        piece = await body.next()
        size += len(piece)
        room.check(size)
        room.take(len(piece))
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _decompressed(body: bytes, room: _Room) -> bytes:
    if len(body) < _IN_THREAD:
        return _inflated(body, room)
    return await asyncio.get_running_loop().run_in_executor(None, _inflated, body, room)


def _inflated(body: bytes, room: _Room) -> bytes:
    """gzip undone, never to more than what is let in."""
    pieces: list[bytes] = []
    size, at, members, view = 0, 0, 0, memoryview(body)
    try:
        while at < len(view):
            members += 1
            if members > _MOST_MEMBERS:
                raise MalformedError(f"the body is more than {_MOST_MEMBERS} gzip files in a row")
            stream = zlib.decompressobj(wbits=31)
            tail = b""
            while not stream.eof:
                # By small parts: what is left over of one is copied each time.
                part = tail or bytes(view[at : at + _PART])
                at += 0 if tail else len(part)
                piece = stream.decompress(part, min(room.most + 1 - size, 2**20))
                size += len(piece)
                room.check(size)
                room.take(len(piece))
                pieces.append(piece)
                tail = stream.unconsumed_tail
                if at >= len(view) and not tail and not piece and not stream.eof:
                    raise MalformedError("the body is cut gzip")
            at -= len(stream.unused_data)
            while at < len(view) and view[at] == 0:
                at += 1
    except zlib.error as error:
        raise MalformedError(f"the body is no gzip: {error}") from None
    return b"".join(pieces)


class _deadline:  # noqa: N801 - used like a function
    """Cancels what takes too long. `asyncio.timeout` is of Python 3.11."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    async def __aenter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire, asyncio.current_task())

    def _expire(self, task: asyncio.Task[Any] | None) -> None:
        self._expired = True
        if task is not None:
            task.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if self._expired and kind is asyncio.CancelledError:
            raise _RejectError(
                408, f"the request took longer than {self._seconds:g} s to arrive", (b"connection", b"close")
            )


def guarded(max_connections: int, timeout: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol with limits of its own: of connections, of headers, and of the time these may take.

    Written against uvicorn 0.54, which limits neither.
    """

    class Guarded(HttpToolsProtocol):
        _slow: asyncio.TimerHandle | None = None
        _header_size = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                transport.abort()
                return
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._arrived()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._header_size = 0
            self._arrived()
            self._wait()
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._grow(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._grow(len(name) + len(value))
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._arrived()
            super().on_headers_complete()

        def _grow(self, size: int) -> None:
            self._header_size += size
            if self._header_size > _MOST_HEADERS:
                raise ValueError("headers too large")  # the parser answers 400 and closes

        def _wait(self) -> None:
            self._slow = self.loop.call_later(timeout, self.transport.abort)

        def _arrived(self) -> None:
            if self._slow is not None:
                self._slow.cancel()
                self._slow = None

    return Guarded
