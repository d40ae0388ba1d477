"""Sessions over a websocket: many turns on one connection, each a call of its own.

What the client receives is looked at after the client has it. A turn begins with the first message about it and ends
with the one that has its usage; a turn that is open when its connection ends may have been billed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from aicost.telemetry import guard
from aicost.telemetry.call import Call, Outcome, Target
from aicost.telemetry.pipeline import Pipeline
from aicost.usage.event import Billed, RequestStatus
from aicost.usage.readers import read_response

Look = Callable[["Session", Any], None]
"""Looks at one message that a session received."""


class Session:
    """One connection: what it is connected to, and the turns that are open on it."""

    __slots__ = ("__weakref__", "memory", "pipeline", "target", "turns")

    def __init__(self, pipeline: Pipeline, target: Target) -> None:
        self.pipeline = pipeline
        self.target = target
        self.turns: dict[str, Call] = {}
        self.memory: dict[str, Any] = {}
        """What later messages need of earlier ones."""

    def begin(self, turn: str) -> Call:
        """The call of a turn, opened if it is not."""
        call = self.turns.get(turn)
        if call is None:
            call = self.turns[turn] = Call(self.pipeline, self.target)
            call.attempt_started()
        return call

    def end(self, turn: str, body: Mapping[str, Any], outcome: Outcome | None = None) -> None:
        """Finish a turn with what its last message says."""
        self.begin(turn)
        call = self.turns.pop(turn)
        view = read_response(body, api=self.target.api, provider=self.target.provider)
        known = view.reading is not None
        call.finish(view, outcome or Outcome(complete=known))

    def lost(self, error: BaseException | None = None) -> None:
        """The connection is over: open turns have no usage, and may have been billed."""
        while self.turns:
            _, call = self.turns.popitem()
            if error is None:
                call.finish(None, Outcome(billed=Billed.POSSIBLY, complete=False))
            else:
                failure = RequestStatus.FAILURE
                call.finish(None, Outcome(failure, Billed.POSSIBLY, type(error).__name__, complete=False))

    def __del__(self) -> None:
        if self.turns:
            self.lost()


_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def session_of(connection: Any) -> Session | None:
    """The session of a client's connection object."""
    return _sessions.get(connection)


def begin_session(connection: Any, session: Session) -> Session:
    """Remember a connection for as long as it is there."""
    _sessions[connection] = session
    return session


def receiving(look: Look, open_session: Callable[[Pipeline, Any], Session], pipeline: Pipeline) -> Callable[..., Any]:
    """A wrapt wrapper for the method of a connection that receives one message."""

    def receive(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        try:
            message = wrapped(*args, **kwargs)
        except BaseException as error:
            _over(instance, error)
            raise
        _looked(look, open_session, pipeline, instance, message)
        return message

    return receive


def async_receiving(
    look: Look, open_session: Callable[[Pipeline, Any], Session], pipeline: Pipeline
) -> Callable[..., Any]:
    """A wrapt wrapper for the coroutine method of a connection that receives one message."""

    async def receive(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        try:
            message = await wrapped(*args, **kwargs)
        except BaseException as error:
            _over(instance, error)
            raise
        _looked(look, open_session, pipeline, instance, message)
        return message

    return receive


def closing(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper for the method that closes a connection."""
    _over(instance, None)
    return wrapped(*args, **kwargs)


def _looked(
    look: Look, open_session: Callable[[Pipeline, Any], Session], pipeline: Pipeline, instance: Any, message: Any
) -> None:
    try:
        session = session_of(instance)
        if session is None:
            session = begin_session(instance, open_session(pipeline, instance))
        look(session, message)
    except Exception as error:  # noqa: BLE001 - the application's message comes first
        guard.failed("read a session's usage", error)


def _over(instance: Any, error: BaseException | None) -> None:
    try:
        session = session_of(instance)
        # A closed connection is how a session ends, not a failure of it.
        if session is not None:
            session.lost(None if error is None or "ConnectionClosed" in type(error).__name__ else error)
    except Exception as failure:  # noqa: BLE001 - the application's connection comes first
        guard.failed("end a session", failure)
