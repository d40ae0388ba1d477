"""What requests of either interface have in common: whose they are, what their run is called, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aicost.scopes.frames import Frame
from aicost.scopes.propagation import received
from aicost.scopes.scope import ATTRIBUTES, check_keys, with_scope
from aicost.scopes.tracking import open_run
from aicost.telemetry import guard

Owner = Mapping[str, object | None]
IncomingRequest = Any
"""An ASGI scope or a WSGI environ, as it is handed to the functions of users."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"))


class ClientGone(Exception):  # noqa: N818 - it is the name of a state, and of an error type in spans
    """Whoever asked left before the response was complete."""


class ServerError(Exception):
    """The status of the response says that the server failed."""


@dataclass(frozen=True, slots=True)
class Requests:
    """How the runs of requests are made."""

    workflow: str | Callable[[IncomingRequest], str | None] | None
    scope: Callable[[IncomingRequest], Any] | None
    headers: Mapping[str, str]
    baggage: bool

    def __post_init__(self) -> None:
        check_keys(dict.fromkeys(self.headers.values()))

    def owner_of(self, request: IncomingRequest) -> Any:
        """What the user's function says of a request; nothing if it raises."""
        if self.scope is None:
            return None
        try:
            return self.scope(request)
        except Exception as error:  # noqa: BLE001 - the request comes first
            guard.failed("ask whose a request is", error)
            return None

    def begin(
        self, request: IncomingRequest, headers: Mapping[str, str], owner: Owner | None, name: Callable[[], str]
    ) -> Frame | None:
        """The run of a request, which whoever gets it ends. None if it could not be begun.

        `headers` are the request's, their names in lower case. What the function says wins over a header that was
        named, and that over baggage.
        """
        try:
            said: dict[str, object | None] = {
                key: headers[named.lower()] for named, key in self.headers.items() if headers.get(named.lower())
            }
            said |= {key: value for key, value in _checked(owner).items() if value is not None}
            parent = with_scope(received(headers)) if self.baggage else None
            return open_run(self._workflow_of(request) or name(), owner=said, parent=parent)
        except Exception as error:  # noqa: BLE001 - the request comes first
            guard.failed("begin the run of a request", error)
            return None

    def _workflow_of(self, request: IncomingRequest) -> str | None:
        if self.workflow is None or isinstance(self.workflow, str):
            return self.workflow
        try:
            named = self.workflow(request)
            return None if named is None else str(named)
        except Exception as error:  # noqa: BLE001 - the request comes first
            guard.failed("ask for the workflow of a request", error)
            return None


def end(frame: Frame, error: BaseException | None) -> None:
    """End the run of a request."""
    try:
        frame.end(error)
    except Exception as own:  # noqa: BLE001 - the request comes first
        guard.failed("end the run of a request", own)


def failure_of(error: BaseException) -> BaseException:
    """Why a response was not completed: an error, or that nobody waits for it any more."""
    return ClientGone() if isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)) else error


def default_name(method: object, route: str | None) -> str:
    """A workflow's name with few values: the method, and the route's template where that is known, never a path."""
    verb = str(method) if method in _METHODS or method == "WEBSOCKET" else "OTHER"
    return f"{verb} {route}" if route else verb


def _checked(owner: Owner | None) -> Owner:
    if owner is None:
        return {}
    if unknown := [key for key in owner if key not in ATTRIBUTES]:
        guard.failed("own a request", TypeError(f"unknown attribution keys {unknown}; known: {', '.join(ATTRIBUTES)}"))
    return {key: value for key, value in owner.items() if key in ATTRIBUTES}
