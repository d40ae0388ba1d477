"""Sessions over a websocket: many turns on one connection, each a call of its own.

What the client receives is looked at after the client has it. A turn begins with the first message about it and ends
with the one that has its usage; a turn that is open when its connection ends may have been billed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from aicost import _forks
from aicost._later import in_collector, later
from aicost.scopes.leaving import reset
from aicost.telemetry import guard
from aicost.telemetry.call import Call, CallResult, Target
from aicost.telemetry.state import Source
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.readers import read_response

from ._admission import Permit, admit, admit_async, gate_in_force
from ._call_request import CallRequest

Look = Callable[["Session", Any], None]
"""Looks at one message that a session received."""
OpenSession = Callable[[Source, Any], "Session"]
Asks = Callable[["Session", tuple[Any, ...], dict[str, Any]], CallRequest | None]
"""Reads from the arguments of a method that sends what its message asks for; None where no model works for it."""


class Session:
    """One connection: what it is connected to, and the turns that are open on it."""

    __slots__ = ("__weakref__", "heard", "memory", "source", "target", "turns")

    def __init__(self, source: Source, target: Target) -> None:
        self.source = source
        self.target = target
        self.turns: dict[str, Call] = {}
        self.memory: dict[str, Any] = {}
        """What later messages need of earlier ones."""
        self.heard = False
        """Whether the turn that the provider will begin of itself, by what it hears, was admitted."""

    def may_begin(
        self, *, of_itself: bool, body: Mapping[str, Any] | None = None, model: object = None
    ) -> CallRequest | None:
        """What a message asks for that makes the model work at once, or once the provider has heard enough."""
        heard, self.heard = self.heard, of_itself
        if heard:
            return None
        target = self.target._replace(model=model) if isinstance(model, str) and model else self.target
        return CallRequest(target, body=body)

    def begin(self, turn: str) -> Call:
        """The call of a turn, opened if it is not."""
        call = self.turns.get(turn)
        if call is None:
            call = self.turns[turn] = Call(self.source(), self.target)
            self.heard = False
            call.attempt_started()
        return call

    def end(self, turn: str, body: Mapping[str, Any], outcome: CallResult | None = None) -> None:
        """Finish a turn with what its last message says."""
        self.begin(turn)
        call = self.turns.pop(turn)
        view = read_response(body, api=self.target.api, provider=self.target.provider)
        known = view.reading is not None
        call.finish(view, outcome or CallResult(complete=known))

    def lost(self, error: BaseException | None = None) -> None:
        """The connection is over: open turns have no usage, and may have been billed."""
        turns, self.turns = self.turns, {}
        if in_collector():
            later(partial(_lose, turns, error))
        else:
            _lose(turns, error)

    def __del__(self) -> None:
        if self.turns:
            later(partial(_lose, self.turns))


def _lose(turns: dict[str, Call], error: BaseException | None = None) -> None:
    for call in turns.values():
        if error is None:
            call.finish(None, CallResult(chargeable=Chargeable.POSSIBLY, complete=False))
        else:
            failure = RequestStatus.FAILURE
            call.finish(None, CallResult(failure, Chargeable.POSSIBLY, type(error).__name__, complete=False))


_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def end_sessions() -> None:
    """Finish the turns that are still open, at the end of the process."""
    for session in list(_sessions.values()):
        session.lost()


def _in_child() -> None:
    """Turns that were open when the process forked are its parent's to finish."""
    for session in list(_sessions.values()):
        session.turns = {}


_forks.in_child(_in_child)


def session_of(connection: Any) -> Session | None:
    """The session of a client's connection object."""
    return _sessions.get(connection)


def begin_session(connection: Any, session: Session) -> Session:
    """Remember a connection for as long as it is there."""
    _sessions[connection] = session
    return session


def receiving(look: Look, open_session: OpenSession, source: Source) -> Callable[..., Any]:
    """A wrapt wrapper for the method of a connection that receives one message."""

    def receive(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        try:
            message = wrapped(*args, **kwargs)
        except BaseException as error:
            _over(instance, error)
            raise
        _looked(look, open_session, source, instance, message)
        return message

    return receive


def async_receiving(look: Look, open_session: OpenSession, source: Source) -> Callable[..., Any]:
    """A wrapt wrapper for the coroutine method of a connection that receives one message."""

    async def receive(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        try:
            message = await wrapped(*args, **kwargs)
        except BaseException as error:
            _over(instance, error)
            raise
        _looked(look, open_session, source, instance, message)
        return message

    return receive


def closing(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper for the method that closes a connection."""
    _over(instance, None)
    return wrapped(*args, **kwargs)


def sending(asks: Asks, open_session: OpenSession, source: Source) -> Callable[..., Any]:
    """A wrapt wrapper for the method of a connection that sends one message: a gate is asked before the model works."""

    def send(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        if gate_in_force() is None or _sending.get():  # one method sends by another
            return wrapped(*args, **kwargs)
        with _Leaving(instance) as leaving:
            call_request = _asked(asks, open_session, source, instance, args, kwargs)
            leaving.permit = admit(call_request) if call_request is not None else None
            return wrapped(*args, **kwargs)

    return send


def async_sending(asks: Asks, open_session: OpenSession, source: Source) -> Callable[..., Any]:
    """A wrapt wrapper for the coroutine method of a connection that sends one message."""

    async def send(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        if gate_in_force() is None or _sending.get():  # one method sends by another
            return await wrapped(*args, **kwargs)
        with _Leaving(instance) as leaving:
            call_request = _asked(asks, open_session, source, instance, args, kwargs)
            leaving.permit = await admit_async(call_request) if call_request is not None else None
            return await wrapped(*args, **kwargs)

    return send


_sending: ContextVar[bool] = ContextVar("aicost_sending", default=False)


def _asked(
    asks: Asks, open_session: OpenSession, source: Source, instance: Any, args: Any, kwargs: Any
) -> CallRequest | None:
    """What a message asks for; None for one that makes no model work."""
    try:
        session = session_of(instance) or begin_session(instance, open_session(source, instance))
        return asks(session, args, kwargs)
    except Exception as error:  # noqa: BLE001 - the application's message comes first
        guard.failed("read what a message asks for", error)
        return None


class _Leaving:
    """A message that is being admitted and sent. One that did not leave begins no turn."""

    __slots__ = ("_instance", "_token", "permit")

    def __init__(self, instance: Any) -> None:
        self._instance = instance
        self.permit: Permit | None = None

    def __enter__(self) -> _Leaving:  # noqa: PYI034 - Self needs Python 3.11
        self._token = _sending.set(True)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        reset(_sending, self._token)
        session = session_of(self._instance)
        if error is not None and session is not None:
            session.heard = False
        if self.permit is None:
            return
        if in_collector():
            later(partial(self.permit.over, error))
        else:
            self.permit.over(error)


def _looked(look: Look, open_session: OpenSession, source: Source, instance: Any, message: Any) -> None:
    try:
        session = session_of(instance)
        if session is None:
            session = begin_session(instance, open_session(source, instance))
        look(session, message)
    except Exception as error:  # noqa: BLE001 - the application's message comes first
        guard.failed("read a session's usage", error)


def _over(instance: Any, error: BaseException | None) -> None:
    try:
        session = session_of(instance)
        # A closed connection is how a session ends, not a failure of it; nor is one that nobody listens to any more.
        if session is not None:
            ends = error is None or isinstance(error, GeneratorExit) or "ConnectionClosed" in type(error).__name__
            session.lost(None if ends else error)
    except Exception as failure:  # noqa: BLE001 - the application's connection comes first
        guard.failed("end a session", failure)
