"""WSGI: each request is a run. For Flask, Django, Bottle and any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from aicost.scopes.frames import Frame
from aicost.scopes.scope import enter
from aicost.telemetry import guard

from ._requests import ClientGone, Requests, ServerError, default_name, end, failure_of
from ._routes import wsgi_route

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_FILE_WRAPPER = "wsgi.file_wrapper"


class WSGIMiddleware:
    """Around a WSGI application: a run for each request, which ends when the response's body does.

    `workflow` names it, a text or a function of the environ. By default it is the method and the rule's template,
    `GET /items/<id>`, where Werkzeug routes (Flask), and else the method alone: never the path, which has ids in it.
    `scope` is a function of the environ that says whose the request is, by the keys of `aicost.attribution`; `headers`
    says which header is which of these keys. Name only headers that your own proxy sets. A scope that a caller sent
    along is continued for the keys in `AICOST_BAGGAGE_KEYS`; with `baggage=False`, for a server that strangers reach,
    it is not.

    A generator's body is in the run while it is advanced. A run fails when the application raises, when the status is
    500 or more, and when the server closes the response before it is exhausted, since the client has left.

    >>> app.wsgi_app = WSGIMiddleware(app.wsgi_app, headers={"x-tenant": "tenant_id"})
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        workflow: str | Callable[[Environ], str | None] | None = None,
        scope: Callable[[Environ], Any] | None = None,
        headers: Mapping[str, str] | None = None,
        baggage: bool = True,
    ) -> None:
        self.app = app
        self._requests = Requests(workflow, scope, headers or {}, baggage)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request."""
        frame = self._requests.begin(
            environ, _headers(environ), self._requests.owner_of(environ), lambda: self._name(environ)
        )
        if frame is None:
            return self.app(environ, start_response)
        response = _Response(frame, environ, start_response)
        entered = enter(frame.context, frame.scope)
        try:
            body = self.app(environ, response.start)
        except BaseException as error:
            response.end(failure_of(error))
            raise
        finally:
            response.context = otel_context.get_current()
            entered.leave()
        return response.of(body)

    def _name(self, environ: Environ) -> str:
        try:
            return default_name(environ.get("REQUEST_METHOD"), wsgi_route(self.app, environ))
        except Exception as error:  # noqa: BLE001 - a router of another version is no reason to fail
            guard.failed("tell the route of a request", error)
            return default_name(environ.get("REQUEST_METHOD"), None)


class _Response:
    """A response under way, and the context that the last step of the application left."""

    def __init__(self, frame: Frame, environ: Environ, start_response: Callable[..., Any]) -> None:
        self.context: Context = frame.context
        self.scope = frame.scope
        self._frame: Frame | None = frame
        self._start = start_response
        self._failed = False
        self._files: list[Any] = []
        self._file_type = environ.get(_FILE_WRAPPER)
        if callable(self._file_type) and not isinstance(self._file_type, type):
            make = self._file_type  # uWSGI's is a function: what it returns is told by being remembered

            def remembering(*args: Any) -> Any:
                self._files.append(make(*args))
                return self._files[-1]

            environ[_FILE_WRAPPER] = remembering

    def start(self, status: str, *rest: Any, **named: Any) -> Any:
        """`start_response`, noting the status."""
        self._failed = str(status)[:1] == "5"
        return self._start(status, *rest, **named)

    def of(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """The body as the server gets it: as it is where nothing more is done for it, else watched."""
        if isinstance(body, (list, tuple, bytes)) or self._is_file(body):
            self.end(None)
            return body
        return _SizedBody(self, body) if hasattr(body, "__len__") else _Body(self, body)

    def end(self, error: BaseException | None) -> None:
        """The body ended, or never will."""
        frame, self._frame = self._frame, None
        if frame is not None:
            end(frame, ServerError() if error is None and self._failed else error)

    def _is_file(self, body: Iterable[bytes]) -> bool:
        # A server sends these from the kernel, if it gets them as they are.
        if isinstance(self._file_type, type):
            return isinstance(body, self._file_type)
        return any(body is file for file in self._files)


class _Body:
    """The body of a response, each step of it taken in the context that the last one left."""

    def __init__(self, response: _Response, body: Iterable[bytes]) -> None:
        self._response, self._body = response, body
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        response = self._response
        entered = enter(response.context, response.scope)
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        except StopIteration:
            response.end(None)
            raise
        except BaseException as error:
            response.end(failure_of(error))
            raise
        finally:
            response.context = otel_context.get_current()
            entered.leave()

    def close(self) -> None:
        """Called by the server when it is done with the response, whether or not that is complete."""
        entered = enter(self._response.context, self._response.scope)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            entered.leave()
            self._response.end(ClientGone())


class _SizedBody(_Body):
    """One whose number of chunks is known, which servers ask for."""

    _body: Any

    def __len__(self) -> int:
        return len(self._body)


def _headers(environ: Environ) -> dict[str, str]:
    return {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
