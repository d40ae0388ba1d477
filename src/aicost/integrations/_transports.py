"""Where requests leave the process: the HTTP libraries below the clients.

While a call is in progress, each request that leaves for its host is an attempt of it, and the answer's bytes are
watched going by. Outside of one, these hooks do nothing but look. Read in httpx 0.23 and 0.28, httpx2 2.16, requests
2.34, aiohttp 3.14, botocore 1.44.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import wrapt
from opentelemetry.instrumentation.utils import unwrap

from aicost.scopes import propagation
from aicost.telemetry import guard

from ._calls import current
from ._framing import is_framed
from ._observed_streams import AioContent, RawBody, decoder_of, observed_stream
from ._progress import BodyOutcome, InProgress
from ._response_body import BodyObserver

_log = logging.getLogger("aicost")


def _send(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    """httpx.Client.send(request, ...) and requests.Session.send(request, ...)."""
    progress = current()
    if progress is None:
        return wrapped(*args, **kwargs)
    request = args[0] if args else kwargs["request"]
    if not _ours(progress, request.url, request.headers):
        return wrapped(*args, **kwargs)
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        _broken(progress, error)
        raise
    _answered(progress, response)
    return response


async def _async_send(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    """httpx.AsyncClient.send(request, ...)."""
    progress = current()
    if progress is None:
        return await wrapped(*args, **kwargs)
    request = args[0] if args else kwargs["request"]
    if not _ours(progress, request.url, request.headers):
        return await wrapped(*args, **kwargs)
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        _broken(progress, error)
        raise
    _answered(progress, response)
    return response


async def _aiohttp_request(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    """aiohttp.ClientSession._request(method, url, headers=...)."""
    progress = current()
    if progress is None:
        return await wrapped(*args, **kwargs)
    headers = kwargs.get("headers")
    if propagation.enabled():  # then headers may be added: never to the caller's own
        kwargs["headers"] = headers = headers.copy() if hasattr(headers, "copy") else dict(headers or ())
    if not _ours(progress, args[1] if len(args) > 1 else kwargs["str_or_url"], headers):
        return await wrapped(*args, **kwargs)
    try:
        response = await wrapped(*args, **kwargs)
    except BaseException as error:
        _broken(progress, error)
        raise
    _answered(progress, response, status=response.status)
    return response


def _converted(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    """botocore.endpoint.convert_to_response_dict(http_response, ...): also of what was never sent.

    A handler of the event `before-send` may give a response in place of the provider's; moto does.
    """
    progress, response = current(), args[0] if args else kwargs["http_response"]
    if progress is not None and progress.response is not response and response.status_code < 400:
        _answered(progress, response)
    return wrapped(*args, **kwargs)


def _ours(progress: InProgress, url: Any, headers: Any) -> bool:
    """Whether the request is part of the call; if so, an attempt has begun."""
    try:
        host = getattr(url, "host", None)
        if host is None:
            from urllib.parse import urlsplit

            host = urlsplit(str(url)).hostname or ""
        # One library may carry another's requests, httpx over aiohttp for one: the outermost is the attempt.
        if progress.in_flight or not progress.is_for(host):
            return False
        progress.sending(headers, host)
    except Exception as error:  # noqa: BLE001 - the application's request comes first
        guard.failed("record an attempt", error)
        return False
    return True


def _broken(progress: InProgress, error: BaseException) -> None:
    try:
        progress.in_flight = False
        progress.broken(error)
    except Exception as failure:  # noqa: BLE001 - the application's own error comes first
        guard.failed("record a failed attempt", failure)


def _answered(progress: InProgress, response: Any, status: int | None = None) -> None:
    """The provider answered; a body that is not read yet is watched."""
    try:
        progress.in_flight = False
        code = response.status_code if status is None else status
        progress.answered(response)
        if code >= 400:
            progress.refused(code)
            return
        progress.response = response
        call = progress.call
        # A job that is asked after is a stream, too, if it is still under way.
        streamed = progress.call_request.is_free and (
            progress.call_request.each_line or progress.call_request.target.streaming
        )
        if call is not None or streamed:
            progress.watched = watch(response, progress)
    except Exception as error:  # noqa: BLE001 - the application's response comes first
        guard.failed("watch a response", error)


def watch(response: Any, progress: InProgress) -> bool:
    """Watch the body of a response go by, whichever library it is of. Returns whether there is one to watch.

    A response may have been read, or closed, before the client has it: by a mock, a cache, a hook of the application's.
    What was read is looked at where it is; the client makes an object of it only if it is one whole JSON body.
    """
    kind = type(response).__module__.partition(".")[0]
    if kind not in _BODIES:
        raise TypeError(f"no way to watch a {type(response).__qualname__} of {kind}")
    body = _BODIES[kind](response)
    if isinstance(body, bytes):
        if not (progress.call_request.each_line or is_framed(response.headers)):
            return False
        _look_at(response, _whole.get(response, body), progress)
    elif body is _CLOSED:
        _observer(response.headers, progress).close()
    elif kind in {"httpx", "httpx2"}:
        observer = _observer(response.headers, progress, decoder_of(response))
        if progress.amended is not None:
            observer.hide()
            if "content-encoding" in response.headers:
                del response.headers["content-encoding"]  # what is handed on is decoded already
        response.stream = observed_stream(response.stream, observer)
    elif kind == "aiohttp":
        response.content = AioContent(response.content, _observer(response.headers, progress))
    else:
        response.raw = RawBody(response.raw, _observer(response.headers, progress))
    return True


_CLOSED = object()
"""Of a response that was closed before it was read."""


def _httpx_body(response: Any) -> object:
    if hasattr(response, "_content"):
        return response.content
    return _CLOSED if response.is_closed else None


def _raw_body(response: Any) -> object:
    """Of requests and botocore, whose raw body is urllib3's response or one made in its likeness."""
    if isinstance(response._content, bytes):
        return response._content
    return _CLOSED if getattr(response.raw, "closed", False) is True else None


_BODIES: dict[str, Callable[[Any], object]] = {
    "httpx": _httpx_body,
    "httpx2": _httpx_body,
    "requests": _raw_body,
    "botocore": _raw_body,
    # One that is closed may have everything in its buffer still; whoever reads it is told.
    "aiohttp": lambda response: response._body,
}
"""What of a response's body is there already, by library: its bytes, `_CLOSED`, or nothing yet."""

_whole: WeakKeyDictionary[Any, bytes] = WeakKeyDictionary()
"""Bodies from which something was hidden, by their response, as they came: a mock may give one response twice."""


def _look_at(response: Any, body: bytes, progress: InProgress) -> None:
    """Take in a body that is there already, decoded, and hide from the client what is not for it."""
    observer = _observer(response.headers, progress)
    if progress.amended is not None:
        observer.hide()
    handed_on = observer.feed(body)
    observer.end(None)
    handed_on += observer.rest()
    if progress.amended is not None and handed_on != body:
        _whole[response] = body
        response._content = handed_on


def _observer(headers: Any, progress: InProgress, decode: Callable[[bytes], bytes] | None = None) -> BodyObserver:
    return BodyObserver(
        headers, progress.call_request, BodyOutcome(progress), decode=decode, keep=progress.keeps_events
    )


_HOOKS: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "httpx": (("Client", "send", _send), ("AsyncClient", "send", _async_send)),
    "httpx2": (("Client", "send", _send), ("AsyncClient", "send", _async_send)),
    "requests": (("Session", "send", _send),),
    "aiohttp": (("ClientSession", "_request", _aiohttp_request),),
    "botocore.httpsession": (("URLLib3Session", "send", _send),),
    "botocore.endpoint": (("", "convert_to_response_dict", _converted),),
}


class Transports:
    """The hooks in the HTTP libraries, put in with the first client that needs them and taken out with the last."""

    def __init__(self) -> None:
        self._users: set[str] = set()
        self._patched: list[tuple[Any, str]] = []
        self._registered: set[str] = set()

    def use(self, client: str) -> None:
        """A client is instrumented."""
        first = not self._users
        self._users.add(client)
        for name in _HOOKS:
            if name not in self._registered:
                self._registered.add(name)
                wrapt.register_post_import_hook(self._imported, name)
            elif first:
                self._again(name)

    def leave(self, client: str) -> None:
        """A client is no longer instrumented."""
        self._users.discard(client)
        if not self._users:
            for owner, name in self._patched:
                unwrap(owner, name)
            self._patched = []

    def _again(self, name: str) -> None:
        import sys

        module = sys.modules.get(name)
        if module is not None:
            self._imported(module)

    def _imported(self, module: ModuleType) -> None:
        if not self._users:
            return
        try:
            for owner_name, method, wrapper in _HOOKS[module.__name__]:
                owner = getattr(module, owner_name) if owner_name else module
                getattr(owner, method)
                wrapt.wrap_function_wrapper(owner, method, wrapper)
                self._patched.append((owner, method))
        except Exception as error:  # noqa: BLE001 - a library that moved something must not stop the application
            _log.warning("%s: its requests are not seen: this version is laid out differently (%r)", module, error)


transports = Transports()
