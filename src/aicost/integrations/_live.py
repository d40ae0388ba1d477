"""Gemini's live API. Read in google-genai 1.10, 3.4 and 3.6 (`live.py`).

The usage of a turn comes with one of its messages, or right after it has ended, and covers the whole turn.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aicost.telemetry import guard
from aicost.telemetry.call import CallResult, Target
from aicost.telemetry.state import Source

from ._call_request import CallRequest
from ._instrumentor import Method
from ._sessions import Session, async_receiving, async_sending, begin_session, closing

_TURN = "turn"


def _look(session: Session, message: Any) -> None:
    usage = getattr(message, "usage_metadata", None)
    content = getattr(message, "server_content", None)
    # A turn that ended without usage waits for one message: the usage may follow by itself.
    if session.memory.pop("waiting", False) and usage is None:
        session.end(_TURN, {}, CallResult(complete=False))
    if usage is not None:
        session.memory["usage"] = usage
        session.begin(_TURN)
    if content is not None or getattr(message, "tool_call", None) is not None:
        session.begin(_TURN)
    if (content is not None and content.turn_complete) or (usage is not None and content is None):
        used = session.memory.pop("usage", None)
        if used is None:
            session.memory["waiting"] = True
        else:
            session.end(_TURN, {"usage_metadata": used})


def _open(source: Source, connection: Any, model: str = "unknown") -> Session:
    vertex = bool(getattr(getattr(connection, "_api_client", None), "vertexai", False))
    provider = "gcp.vertex_ai" if vertex else "gcp.gemini"
    target = Target(provider, "generate_content", "generate_content", model.rpartition("/")[2], streaming=True)
    return Session(source, target)


def _asks(session: Session, _: tuple[Any, ...], kwargs: dict[str, Any], *, method: str) -> CallRequest | None:
    """Of what is sent, that for which the model works: a whole turn, a tool's result, sound as it comes."""
    if method == "send_client_content" and kwargs.get("turn_complete") is False:
        return None
    streamed = method == "send_realtime_input" or (method == "send" and not kwargs.get("end_of_turn"))
    return session.may_begin(of_itself=streamed, body=kwargs)


def _sender(method: str) -> Method:
    asks = partial(_asks, method=method)
    return Method(
        "google.genai.live", f"AsyncSession.{method}", wrapper=lambda p: async_sending(asks, _open, p), optional=True
    )


def _connecting(source: Source) -> Callable[..., Any]:
    @asynccontextmanager
    async def connect(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> AsyncGenerator[Any, None]:
        async with wrapped(*args, **kwargs) as connection:
            try:
                model = kwargs.get("model") or (args[0] if args else "unknown")
                begin_session(connection, _open(source, connection, str(model)))
            except Exception as error:  # noqa: BLE001 - the application's session comes first
                guard.failed("open a session", error)
            yield connection

    return connect


LIVE = (
    Method("google.genai.live", "AsyncLive.connect", wrapper=_connecting),
    Method("google.genai.live", "AsyncSession._receive", wrapper=lambda p: async_receiving(_look, _open, p)),
    *map(_sender, ("send", "send_client_content", "send_realtime_input", "send_tool_response")),
    Method("google.genai.live", "AsyncSession.close", wrapper=lambda _: closing),
)
