"""Stream events -> the response they add up to, as far as its cost is concerned.

Usage in a stream is *cumulative*: a later object overwrites an earlier one and nothing is ever added. What an
Anthropic `message_start` says of the output is a placeholder, not a count, so until a `message_delta` the output is
not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class StreamAccumulator(Protocol):
    """Collects what a stream says about its cost. `body` reads like a whole response's body."""

    body: dict[str, Any]
    complete: bool
    """Whether the final usage has arrived."""
    finished: bool
    """Whether the provider has said that the stream is over."""
    error_type: str | None
    """The provider's own word for what went wrong in the stream."""

    def add(self, event: Mapping[str, Any]) -> None: ...


class _Accumulator:
    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.complete = False
        self.finished = False
        self.error_type: str | None = None

    def _fail(self, error: object) -> None:
        kind = error.get("type") or error.get("code") if isinstance(error, Mapping) else None
        self.error_type = str(kind or "stream_error")

    def _learn(self, source: Mapping[str, Any], *names: str) -> None:
        for name in names:
            if source.get(name) is not None:
                self.body[name] = source[name]


class ChatStream(_Accumulator):
    """Chat completions: every chunk names the response, one near the end may carry the usage."""

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded chunk."""
        if event.get("error"):
            self._fail(event["error"])
        self._learn(event, "id", "model", "service_tier", "usage")
        self.complete = self.complete or isinstance(event.get("usage"), Mapping)


class ResponsesStream(_Accumulator):
    """Responses: each lifecycle event carries the whole response so far; the last one has the usage."""

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        response = event.get("response")
        if isinstance(response, Mapping):
            self.body.update(response)
            self.finished = event.get("type") in {"response.completed", "response.incomplete", "response.failed"}
            self.complete = self.finished and isinstance(response.get("usage"), Mapping)
            if event.get("type") == "response.failed":
                self._fail(response.get("error"))
        elif event.get("type") == "error" or event.get("error"):
            self._fail(event.get("error") or event)


class MessagesStream(_Accumulator):
    """Anthropic messages: input usage first, cumulative output later."""

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        kind = event.get("type")
        if kind == "message_start":
            message = event.get("message") or {}
            self._learn(message, "id", "model")
            usage = message.get("usage") or {}
            self.body["usage"] = {name: value for name, value in usage.items() if name != "output_tokens"}
        elif kind == "message_delta":
            usage = self.body.setdefault("usage", {})
            usage.update({name: value for name, value in (event.get("usage") or {}).items() if value is not None})
            self.complete = "output_tokens" in usage
        elif kind == "message_stop":
            self.finished = True
        elif kind == "error":
            self._fail(event.get("error"))


STREAMS: dict[str, type[ChatStream | ResponsesStream | MessagesStream]] = {
    "chat": ChatStream,
    "responses": ResponsesStream,
    "messages": MessagesStream,
}
"""What collects the stream of each API."""
