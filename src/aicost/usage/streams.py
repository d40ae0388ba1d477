"""Stream events -> the response they add up to, as far as its cost is concerned.

Usage in a stream is *cumulative*: a later object overwrites an earlier one and nothing is ever added. What an
Anthropic `message_start` says of the output is a placeholder, not a count, so until a `message_delta` the output is
not known.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

# `"usage":null` is in every chunk of a chat stream that was asked for usage.
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class StreamAccumulator(ABC):
    """Collects what a stream says about its cost. `body` reads like a whole response's body."""

    markers: tuple[bytes, ...] = (b'"usage"', b'"error"')
    """What the JSON text of an event has in it that holds usage, an error or the end."""
    latest_only = False
    """Whether every event says all there is to know so far, so that only the last one need be read."""
    ends_with_usage = False
    """Whether a stream without final usage has not come to its end."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.complete = False
        """Whether the final usage has arrived."""
        self.finished = False
        """Whether the provider has said that the stream is over."""
        self.error_type: str | None = None
        """The provider's own word for what went wrong in the stream."""

    def matters(self, data: bytes) -> bool:
        """Whether the JSON text of one or more events holds usage, an error or the end. It must be cheap."""
        return any(marker in data for marker in self.markers)

    def hidden(self, data: bytes) -> bool:  # noqa: ARG002 - for those that hide something
        """Whether an event carries usage and nothing else."""
        return False

    @abstractmethod
    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""

    def _fail(self, error: object) -> None:
        kind = error
        if isinstance(error, Mapping):
            kind = error.get("type") or error.get("code") or error.get("status")
        self.error_type = str(kind or "stream_error")[:60]

    def _learn(self, source: Mapping[str, Any], *names: str) -> None:
        for name in names:
            if source.get(name) is not None:
                self.body[name] = source[name]


class ChatStream(StreamAccumulator):
    """Chat completions: every chunk names the response, one near the end may carry the usage."""

    def matters(self, data: bytes) -> bool:
        # Substrings first: a regex costs ten times that.
        return (b'"usage"' in data and _USAGE.search(data) is not None) or b'"error"' in data

    def hidden(self, data: bytes) -> bool:
        return _NO_CHOICES.search(data) is not None and _USAGE.search(data) is not None

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded chunk."""
        if event.get("error"):
            self._fail(event["error"])
        self._learn(event, "id", "model", "service_tier", "usage")
        choices = event.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
            self._learn(choices[0], "usage")  # where Moonshot puts it
        # Groq puts it elsewhere (groq 1.7, types/chat/chat_completion_chunk.py, XGroq).
        own = event.get("x_groq")
        if isinstance(own, Mapping):
            self._learn(own, "usage")
            if own.get("error"):
                self._fail(own["error"])
        self.complete = isinstance(self.body.get("usage"), Mapping)


class ResponsesStream(StreamAccumulator):
    """Responses: each lifecycle event carries the whole response so far; the last one has the usage."""

    ends_with_usage = True

    def matters(self, data: bytes) -> bool:
        return (
            (b'"usage"' in data and _USAGE.search(data) is not None)
            or b'"error"' in data
            or b'"response.failed"' in data
            or b'"response.incomplete"' in data
            or b'"response.completed"' in data
        )

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


class MessagesStream(StreamAccumulator):
    """Anthropic messages: input usage first, cumulative output later."""

    markers: tuple[bytes, ...] = (b'"usage"', b'"error"', b"message_stop")
    ends_with_usage = True

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
            # Some readers stop here and never see `message_stop`.
            stopped = (event.get("delta") or {}).get("stop_reason") is not None
            self.finished = self.complete and stopped
        elif kind == "message_stop":
            self.finished = True
        elif kind == "error" or "error" in event:
            self._fail(event.get("error"))


class InvokeModelStream(MessagesStream):
    """Bedrock's streams: a model's own events, and Bedrock's count in the last one, whichever the model.

    Its counts leave caches out, so an Anthropic model's own, which say more, are taken where they are there.
    """

    markers: tuple[bytes, ...] = (*MessagesStream.markers, b"amazon-bedrock-invocationMetrics", b"amazon-bedrock-trace")

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        super().add(event)
        self._learn(event, "amazon-bedrock-trace")
        counted = event.get("amazon-bedrock-invocationMetrics")
        if isinstance(counted, Mapping):
            if "usage" not in self.body:
                self.body["amazon-bedrock-invocationMetrics"] = counted
                self.complete = True
            self.finished = True
        elif event.get("type") == "message_stop":
            self.finished = False  # the count comes with it or after it


class ConverseStream(StreamAccumulator):
    """Bedrock converse: one `metadata` event at the end."""

    markers = (b'"metadata"', b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        if "error" in event:
            self._fail(event["error"])
        metadata = event.get("metadata")
        if isinstance(metadata, Mapping):
            self.body.update(metadata)
            self.complete = self.finished = True


class GenerateContentStream(StreamAccumulator):
    """Gemini: every chunk has the usage so far; the last one is the whole."""

    markers = (b"usageMetadata", b'"error"')
    latest_only = True

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded chunk."""
        if event.get("error"):
            self._fail(event["error"])
        self._learn(event, "responseId", "modelVersion", "usageMetadata")
        candidates = event.get("candidates")
        if isinstance(candidates, list):
            self._learn(event, "candidates")
            ended = any(isinstance(c, Mapping) and c.get("finishReason") for c in candidates)
            self.complete = ended and isinstance(event.get("usageMetadata"), Mapping)
        elif isinstance(event.get("promptFeedback"), Mapping):
            self.complete = isinstance(event.get("usageMetadata"), Mapping)


class CohereStream(StreamAccumulator):
    """Cohere, v1 (`stream-end`) and v2 (`message-end`)."""

    markers = (b'"usage"', b'"billed_units"', b"stream-end", b"message-end", b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        kind = event.get("type") or event.get("event_type")
        self._learn(event, "id", "generation_id")
        delta = event.get("delta")
        whole = event.get("response")
        if kind == "message-end" and isinstance(delta, Mapping):
            self._learn(delta, "usage")
            self.complete = self.finished = isinstance(delta.get("usage"), Mapping)
            if delta.get("error"):
                self._fail(delta["error"])
        elif kind == "stream-end" and isinstance(whole, Mapping):
            self._learn(whole, "meta", "generation_id", "response_id")
            self.complete = self.finished = isinstance(whole.get("meta"), Mapping)
        elif event.get("error"):
            self._fail(event["error"])


class OllamaStream(StreamAccumulator):
    """Ollama: the line that says `done` has the counts."""

    markers = (b'"done":true', b'"done": true', b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded line."""
        if event.get("error"):
            self._fail(event["error"])
        self.body.update({name: value for name, value in event.items() if name not in {"message", "response"}})
        self.complete = self.finished = event.get("done") is True


class MediaStream(StreamAccumulator):
    """OpenAI's streams of images, speech and transcriptions: the usage is in the event that ends them."""

    def matters(self, data: bytes) -> bool:
        return (b'"usage"' in data and _USAGE.search(data) is not None) or b'"error"' in data

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        if event.get("type") == "error" or event.get("error"):
            self._fail(event.get("error") or event)
        self._learn(event, "usage", "model")
        self.complete = isinstance(self.body.get("usage"), Mapping)


class TextGenerationStream(StreamAccumulator):
    """Hugging Face text generation: the last event has `details` (huggingface_hub 2.4, text_generation.py)."""

    markers = (b'"generated_tokens"', b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        if event.get("error"):
            self._fail(event["error"])
        if isinstance(event.get("details"), Mapping):
            self._learn(event, "details")
            self.complete = True


STREAMS: dict[str | tuple[str, str], type[StreamAccumulator]] = {
    "chat": ChatStream,
    "completions": ChatStream,
    "responses": ResponsesStream,
    "messages": MessagesStream,
    "generate_content": GenerateContentStream,
    "converse": ConverseStream,
    "invoke_model": InvokeModelStream,
    "images": MediaStream,
    "speech": MediaStream,
    "transcription": MediaStream,
    "text_generation": TextGenerationStream,
    ("cohere", "chat"): CohereStream,
    ("ollama", "chat"): OllamaStream,
}
"""What collects the stream of each API, and of providers that stream an API in a form of their own."""
