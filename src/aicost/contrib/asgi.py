"""ASGI: each request is a run, and each websocket connection. For FastAPI, Starlette, Quart, Django and any other."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from aicost.scopes.frames import Frame
from aicost.scopes.scope import enter
from aicost.telemetry import guard

from ._requests import ClientGone, Requests, ServerError, default_name, end, failure_of
from ._routes import asgi_route
from ._threadpools import follow_threadpools

AsgiScope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[AsgiMessage]]
AsgiSend = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp = Callable[[AsgiScope, AsgiReceive, AsgiSend], Awaitable[None]]

_GOODBYE = frozenset((1000, 1001, 1005))
"""Codes with which a websocket is closed in good order; 1005 is that none was given (RFC 6455, 7.4.1)."""


class ASGIMiddleware:
    """Around an ASGI application: a run for each request, which ends when the response's body does.

    `workflow` names it, a text or a function of the ASGI scope. By default it is the method and the route's template,
    `GET /items/{id}`, where Starlette or FastAPI routes, and else the method alone: never the path, which has ids in
    it. `scope` is a function of the ASGI scope, plain or async, that says whose the request is, by the keys of
    `aicost.attribution`; `headers` says which header is which of these keys. Name only headers that your own proxy
    sets. A scope that a caller sent along is continued for the keys in `AICOST_BAGGAGE_KEYS`; with `baggage=False`,
    for a server that strangers reach, it is not.

    A run fails when the application raises, when the status is 500 or more, and when the client leaves before the body
    is complete. What is done after it, in background tasks, still counts in the run.

    With it installed, what a yield-dependency of FastAPI opens holds for the endpoint, also where it runs in a thread.

    >>> app.add_middleware(ASGIMiddleware, headers={"x-tenant": "tenant_id"})
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        workflow: str | Callable[[AsgiScope], str | None] | None = None,
        scope: Callable[[AsgiScope], Any] | None = None,
        headers: Mapping[str, str] | None = None,
        baggage: bool = True,
    ) -> None:
        self.app = app
        self._requests = Requests(workflow, scope, headers or {}, baggage)
        follow_threadpools()

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        """One request, connection or lifespan."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        frame = await self._begin(scope, kind)
        if frame is None:
            await self.app(scope, receive, send)
            return
        exchange = (_Exchange if kind == "http" else _Connection)(frame, receive, send)
        entered = enter(frame.context, frame.scope)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            entered.leave()
            exchange.end(error)
            raise
        entered.leave()
        exchange.end(None)

    async def _begin(self, scope: AsgiScope, kind: str) -> Frame | None:
        owner = self._requests.owner_of(scope)
        try:
            if inspect.isawaitable(owner):
                owner = await owner
        except Exception as error:  # noqa: BLE001 - the request comes first
            guard.failed("ask whose a request is", error)
            owner = None

        def name() -> str:
            method = scope.get("method") if kind == "http" else "WEBSOCKET"
            try:
                return default_name(method, asgi_route(self.app, scope))
            except Exception as error:  # noqa: BLE001 - a router of another version is no reason to fail
                guard.failed("tell the route of a request", error)
                return default_name(method, None)

        return self._requests.begin(scope, _headers(scope), owner, name)


class _Exchange:
    """A request under way: when its body ends, and whether anybody still waits for it.

    A server need not say that the client has left: uvicorn (0.54) drops what is sent after, and tells it only to who
    asks. An application that streams and does not ask is asked for, one message ahead.
    """

    def __init__(self, frame: Frame, receive: AsgiReceive, send: AsgiSend) -> None:
        self._frame: Frame | None = frame
        self._receive, self._send = receive, send
        self._kept: list[AsgiMessage] = []
        self._ahead: asyncio.Future[AsgiMessage] | None = None
        self._asking = 0
        self._has_asked = False
        self._status = 0
        self._gone = False

    async def receive(self) -> AsgiMessage:
        while not self._kept:
            if self._ahead is None:
                self._asking += 1
                try:
                    message = await self._receive()
                finally:
                    self._asking -= 1
                self._note(message)
                return message
            await asyncio.wait([self._ahead])
        return self._kept.pop(0)

    async def send(self, message: AsgiMessage) -> None:
        kind, more = message["type"], message.get("more_body", False)
        if kind == "http.response.start":
            self._status = message.get("status", 0)
        try:
            await self._send(message)
        except OSError:  # how servers of ASGI 2.4 say that the client has left
            self._gone = True
            raise
        if kind == "http.response.pathsend" or (
            kind in ("http.response.body", "http.response.zerocopysend") and not more
        ):
            self._finish(None)
        elif more and self._frame is not None and not self._has_asked and not self._asking:
            self._has_asked = True
            self._ask()

    def end(self, error: BaseException | None) -> None:
        """The application returned or raised; a response that is not complete by now never will be."""
        if self._ahead is not None:
            self._ahead.cancel()
        self._finish(ClientGone() if error is None else failure_of(error))

    def _finish(self, error: BaseException | None) -> None:
        frame, self._frame = self._frame, None
        if frame is not None:
            if error is None and self._gone:
                error = ClientGone()
            elif error is None and self._status >= 500:
                error = ServerError()
            end(frame, error)

    def _note(self, message: AsgiMessage) -> None:
        if message["type"] == "http.disconnect" and self._frame is not None:
            self._gone = True

    def _ask(self) -> None:
        try:
            self._ahead = asyncio.ensure_future(self._receive())
        except RuntimeError:  # another event loop than asyncio's: then the application has to ask itself
            return
        self._ahead.add_done_callback(self._came)

    def _came(self, asked: asyncio.Future[AsgiMessage]) -> None:
        self._ahead = None
        if asked.cancelled() or asked.exception() is not None:
            return
        message = asked.result()
        self._kept.append(message)
        self._note(message)
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._ask()


class _Connection:
    """A websocket connection: a run from the handshake until the application is done with it."""

    def __init__(self, frame: Frame, receive: AsgiReceive, send: AsgiSend) -> None:
        self._frame = frame
        self._receive, self.send = receive, send
        self._code: int | None = None

    async def receive(self) -> AsgiMessage:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._code = message.get("code", 1005)
        return message

    def end(self, error: BaseException | None) -> None:
        said_goodbye = self._code in _GOODBYE
        if error is None:
            end(self._frame, None if self._code is None or said_goodbye else ClientGone())
        else:
            # Starlette tells an endpoint of the end by an exception, which need not be caught.
            told = said_goodbye and getattr(error, "code", None) == self._code
            end(self._frame, None if told else failure_of(error))


def _headers(scope: AsgiScope) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope.get("headers") or ():
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found
