"""What a wire format is made of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aicost.testing.emulator.script import Reply

Usage = dict[str, int]


@dataclass(frozen=True, slots=True)
class EmulatedRequest:
    """A request as it arrived: its path and what the route's pattern found in it, the body, and its bytes."""

    path: str
    found: Mapping[str, str]
    body: dict[str, Any]
    raw: bytes

    @property
    def model(self) -> str:
        """The model asked for, in the path or in the body."""
        asked = self.found.get("model") or str(self.body.get("model") or "unknown")
        return asked.partition("/")[2] if asked.startswith(("arn:", "models/")) else asked


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated answer: who, what, and its usage as disjoint meters."""

    bill_id: str
    """Under which it is on the bill, however often the id that the answer carries is given."""
    api: str
    model: str
    reply: Reply
    usage: Usage

    @property
    def call_id(self) -> str:
        """The id that the answer carries."""
        return self.reply.response_id or self.bill_id

    @property
    def prompt(self) -> int:
        """All prompt tokens."""
        return sum(n for meter, n in self.usage.items() if meter.startswith("input"))

    @property
    def completion(self) -> int:
        """All output tokens, reasoning included."""
        return sum(n for meter, n in self.usage.items() if meter.startswith("output"))


@dataclass(frozen=True, slots=True)
class Event:
    """One stream event. `usage` is the usage the client knows once it has this event; None leaves that as it was."""

    data: bytes
    usage: Usage | None = None


def tokens(reply: Reply, request: EmulatedRequest) -> Usage:
    """Prompt and answer: what the reply states, else what follows from the lengths of prompt and text."""
    prompt = reply.input_tokens if reply.input_tokens is not None else max(1, len(request.raw) // 4)
    output = reply.output_tokens if reply.output_tokens is not None else max(1, len(reply.text) // 4)
    return {
        "input": prompt - reply.cached_tokens - reply.cache_write_5m - reply.cache_write_1h,
        "input_cache_read": reply.cached_tokens,
        "input_cache_write_5m": reply.cache_write_5m,
        "input_cache_write_1h": reply.cache_write_1h,
        "output": output - reply.reasoning_tokens,
        "output_reasoning": reply.reasoning_tokens,
        "tool_web_search": reply.web_searches,
    }


def prompt_only(reply: Reply, request: EmulatedRequest) -> Usage:
    """The prompt, for APIs that write nothing."""
    return {"input": tokens(reply, request)["input"]}


def free(_reply: Reply, _request: EmulatedRequest) -> Usage:
    """Nothing, for what costs nothing."""
    return {}


def asks_for_stream(request: EmulatedRequest) -> bool:
    """Whether the body says `"stream": true`."""
    return bool(request.body.get("stream"))


def always(_: EmulatedRequest) -> bool:
    """For paths that only stream."""
    return True


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a provider's API: how it answers, whole and as a stream, and what it bills."""

    pattern: str
    """Regular expression of the whole path."""
    provider: str
    api: str
    prefix: str
    """Of the ids it gives."""
    whole: Callable[[Generated, EmulatedRequest], Any]
    stream: Callable[[Generated, EmulatedRequest], Iterator[Event]] | None = None
    streams: Callable[[EmulatedRequest], bool] = asks_for_stream
    stream_type: str = "text/event-stream"
    whole_type: str = "application/json"
    usage: Callable[[Reply, EmulatedRequest], Usage] = tokens
    says_usage: bool = True
    """Whether a whole answer reports its usage."""
    counts_in_headers: bool = False
    """Whether a whole answer has its token counts in its headers, too, as Bedrock's have."""
    method: str = "POST"
    _compiled: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", re.compile(self.pattern))

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """What the pattern found, or None when the path is another's."""
        found = self._compiled.fullmatch(path) if method == self.method else None
        return None if found is None else found.groupdict()

    def generate(self, call_id: str, reply: Reply, request: EmulatedRequest) -> Generated:
        """The answer to a request."""
        usage = {meter: n for meter, n in self.usage(reply, request).items() if n}
        return Generated(call_id, self.api, reply.model or request.model, reply, usage)


def pieces(reply: Reply) -> list[str]:
    """The text in pieces, for a stream."""
    size = max(1, -(-len(reply.text) // reply.chunks))
    return [reply.text[n : n + size] for n in range(0, len(reply.text), size)]


def data(value: Mapping[str, Any]) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def named(name: str, value: Mapping[str, Any]) -> bytes:
    """A server-sent event with a name."""
    return f"event: {name}\n".encode() + data(value)


def line(value: Mapping[str, Any]) -> bytes:
    """A line of newline-delimited JSON."""
    return json.dumps(value).encode() + b"\n"


def with_usage(body: dict[str, Any], made: Generated, usage: Any, name: str = "usage") -> dict[str, Any]:
    """A body with its usage, unless the reply leaves that out or has one of its own."""
    if not made.reply.omit_usage:
        body[name] = dict(made.reply.raw_usage) if made.reply.raw_usage is not None else usage
    return body
