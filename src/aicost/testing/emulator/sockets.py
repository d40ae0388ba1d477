"""The emulated providers' websockets: OpenAI's realtime and responses APIs, and Gemini's live API.

Messages as in openai 3.52 (`types/realtime`) and google-genai 3.4 (`live.py`). Needs the package `websockets`.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from .formats.openai import responses_stream
from .formats.route import EmulatedRequest, Generated, tokens
from .jobs import Host
from .script import Drop, Reply


class Sockets:
    """A websocket server on a port of its own, started when it is first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; the server runs from now on."""
        if self._server is None:
            from websockets.sync.server import serve

            self._server = serve(self._serve, "127.0.0.1", 0)
            threading.Thread(target=self._server.serve_forever, name="aicost-sockets", daemon=True).start()
        return int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop serving, if it ever began."""
        if self._server is not None:
            self._server.shutdown()

    def _serve(self, socket: Any) -> None:
        path = socket.request.path
        model = path.partition("model=")[2].partition("&")[0] or "gpt-realtime"
        if "/realtime" in path:
            _send(socket, {"type": "session.created", "event_id": "e0", "session": _session(model)})
            for message in socket:
                self._realtime(socket, json.loads(message), model)
        elif path.endswith("/responses"):
            for message in socket:
                self._responses(socket, json.loads(message))
        else:
            for message in socket:
                model = self._live(socket, json.loads(message), model)

    def _make(self, api: str, provider: str, model: str, raw: bytes, prefix: str) -> tuple[Generated, bool]:
        action = self._host.next_action(raw, model, api)
        reply = action if isinstance(action, Reply) else action.bill if isinstance(action, Drop) else Reply()
        used = {m: n for m, n in tokens(reply, EmulatedRequest("", {}, {"model": model}, raw)).items() if n}
        if api == "realtime":
            used["input_audio"] = used.pop("input", 0)
            used["output_audio"] = used.pop("output", 0)
        made = Generated(self._host.call_id(prefix), api, model, reply, used)
        self._host.charge(made, provider, None)
        return made, isinstance(action, Drop)

    def _realtime(self, socket: Any, event: dict[str, Any], model: str) -> None:
        if event.get("type") == "session.update":
            _send(socket, {"type": "session.updated", "event_id": "e1", "session": _session(model)})
        if event.get("type") != "response.create":
            return
        made, breaks = self._make("realtime", "openai", model, json.dumps(event).encode(), "resp_")
        base = {"id": made.call_id, "object": "realtime.response", "output": []}
        _send(socket, {"type": "response.created", "event_id": "e2", "response": {**base, "status": "in_progress"}})
        where = {"response_id": made.call_id, "item_id": "i", "output_index": 0, "content_index": 0}
        _send(socket, {"type": "response.output_text.delta", "event_id": "e3", **where, "delta": made.reply.text})
        if breaks:
            socket.close()
            return
        usage = {
            "total_tokens": made.prompt + made.completion,
            "input_tokens": made.prompt,
            "output_tokens": made.completion,
            "input_token_details": {
                "text_tokens": 0,
                "audio_tokens": made.prompt,
                "cached_tokens": 0,
                "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": 0, "audio_tokens": made.completion},
        }
        self._host.delivered(made)
        done = {**base, "status": "completed", "usage": usage}
        _send(socket, {"type": "response.done", "event_id": "e4", "response": done})

    def _responses(self, socket: Any, event: dict[str, Any]) -> None:
        """The same events that a stream of responses has, as messages."""
        if event.get("type") != "response.create":
            return
        asked = {**event, "stream": True}
        made, breaks = self._make("responses", "openai", str(event.get("model")), json.dumps(event).encode(), "resp_")
        request = EmulatedRequest("/responses", {}, asked, b"")
        for number, sent in enumerate(responses_stream(made, request)):
            if breaks and number == 2:
                socket.close()
                return
            if sent.usage is not None:
                self._host.delivered(made)
            socket.send(sent.data.partition(b"data: ")[2].strip().decode())

    def _live(self, socket: Any, event: dict[str, Any], model: str) -> str:
        if "setup" in event:
            _send(socket, {"setupComplete": {}})
            return str(event["setup"]["model"]).rpartition("/")[2]
        said = event.get("clientContent") or event.get("client_content")
        if said is None or not (said.get("turnComplete") or said.get("turn_complete")):
            return model
        made, breaks = self._make("generate_content", "gcp.gemini", model, json.dumps(event).encode(), "live-")
        _send(socket, {"serverContent": {"modelTurn": {"parts": [{"text": made.reply.text}], "role": "model"}}})
        if breaks:
            socket.close()
            return model
        self._host.delivered(made)
        usage = {
            "promptTokenCount": made.prompt,
            "responseTokenCount": made.completion,
            "totalTokenCount": made.prompt + made.completion,
        }
        _send(socket, {"serverContent": {"turnComplete": True}, "usageMetadata": usage})
        return model


def _session(model: str) -> dict[str, Any]:
    return {"type": "realtime", "object": "realtime.session", "id": "sess_1", "model": model}


def _send(socket: Any, event: dict[str, Any]) -> None:
    socket.send(json.dumps(event))
