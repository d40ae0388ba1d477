"""OpenAI over websockets: the realtime API, and responses over a socket. Read in openai 1.66, 3.52 and 3.57.

Every message that is received passes `recv_bytes`, and few of them say anything of cost; those are told by their text
before they are parsed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aicost.telemetry.call import CallResult, Target
from aicost.telemetry.state import Source
from aicost.usage.event import RequestStatus

from ._call_request import CallRequest
from ._hosts import provider_at
from ._instrumentor import Method
from ._sessions import Session, async_receiving, async_sending, closing, receiving, sending

_TELLING = (b'"session.', b'"response.created"', b'"response.done"', b'"response.completed"', b'"response.incomplete"',
            b'"response.failed"', b"input_audio_transcription.completed")  # fmt: skip


def _look(session: Session, data: Any) -> None:
    raw = data if isinstance(data, bytes) else str(data).encode()
    if not any(word in raw[:400] or word in raw[-400:] for word in _TELLING):
        return
    event = json.loads(raw)
    kind = event.get("type")
    response = event.get("response")
    if kind in {"session.created", "session.updated"}:
        _learn(session, event.get("session") or {})
    elif kind == "response.created" and isinstance(response, Mapping):
        if isinstance(response.get("model"), str):
            session.target = session.target._replace(model=response["model"])
        session.begin(str(response.get("id")))
    elif kind in {"response.done", "response.completed", "response.incomplete", "response.failed"}:
        failed = (response or {}).get("status") == "failed"
        session.end(
            str((response or {}).get("id")),
            response or {},
            CallResult(RequestStatus.FAILURE, error_type="response_failed") if failed else None,
        )
    elif kind == "conversation.item.input_audio_transcription.completed":
        _transcribed(session, event)


_WORKS = (b'"response.create"', b'"input_audio_buffer.append"')


def _asks(session: Session, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    """Of the messages a client sends, those for which a model works.

    A turn begins with `response.create`, or of itself where the provider listens for pauses: then the first sound of it
    is what is asked about.
    """
    event = args[0] if args else next(iter(kwargs.values()))
    if isinstance(event, (str, bytes)):
        raw = event if isinstance(event, bytes) else event.encode()
        event = json.loads(raw) if any(word in raw for word in _WORKS) else {}
    known = event if isinstance(event, Mapping) else event.to_dict()
    kind = known.get("type")
    if kind not in {"response.create", "input_audio_buffer.append"}:
        return None
    return session.may_begin(
        of_itself=kind == "input_audio_buffer.append",
        body=known,
        model=known.get("model") if kind == "response.create" else None,
    )


def _learn(session: Session, said: Mapping[str, Any]) -> None:
    model = said.get("model")
    if isinstance(model, str) and model:
        session.target = session.target._replace(model=model)
    heard = ((said.get("audio") or {}).get("input") or {}).get("transcription") or said.get("input_audio_transcription")
    if isinstance(heard, Mapping) and isinstance(heard.get("model"), str):
        session.memory["transcription"] = heard["model"]


def _transcribed(session: Session, event: Mapping[str, Any]) -> None:
    """What the caller said, written down by a model of its own, which bills for itself."""
    target = session.target._replace(
        operation="generate_content",
        api="transcription",
        model=session.memory.get("transcription", "unknown"),
    )
    own = Session(session.source, target)
    own.end(str(event.get("item_id")), {"usage": event.get("usage"), "id": f"{event.get('item_id')}:transcript"})


def _open(api: str) -> Any:
    def open_session(source: Source, connection: Any) -> Session:
        request = getattr(getattr(connection, "_connection", None), "request", None)
        headers = getattr(request, "headers", None) or {}
        host, _, port = str(headers.get("Host", "api.openai.com")).partition(":")
        asked = str(getattr(request, "path", "")).partition("model=")[2].partition("&")[0]
        target = Target(
            provider=provider_at(host, int(port) if port.isdecimal() else None),
            operation="chat",
            api=api,
            model=asked or "unknown",
            server_address=host,
            server_port=int(port) if port.isdecimal() else 443,
            streaming=True,
        )
        return Session(source, target)

    return open_session


def _methods(module: str, name: str, api: str) -> tuple[Method, ...]:
    return tuple(
        method
        for owner, wrap in ((name, receiving), (f"Async{name}", async_receiving))
        for method in (
            Method(module, f"{owner}.recv_bytes", wrapper=_wrapper(wrap, api), optional=True),
            Method(module, f"{owner}.send", wrapper=_sender(owner, api), optional=True),
            Method(module, f"{owner}.close", wrapper=lambda _: closing, optional=True),
        )
    )


def _sender(owner: str, api: str) -> Any:
    wrap = async_sending if owner.startswith("Async") else sending
    return lambda source: wrap(_asks, _open(api), source)


def _wrapper(wrap: Any, api: str) -> Any:
    return lambda source: wrap(_look, _open(api), source)


REALTIME_METHODS = (
    *_methods("openai.resources.realtime.realtime", "RealtimeConnection", "realtime"),
    *_methods("openai.resources.beta.realtime.realtime", "RealtimeConnection", "realtime"),
    *_methods("openai.resources.responses.responses", "ResponsesConnection", "responses"),
    Method("openai._websocket_connection", "WebSocketConnectionBase.send_raw", wrapper=_sender("", "realtime")),
    Method(
        "openai._websocket_connection", "AsyncWebSocketConnectionBase.send_raw", wrapper=_sender("Async", "realtime")
    ),
)
