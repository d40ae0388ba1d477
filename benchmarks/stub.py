"""Clients on a transport in memory, so that what is measured is the client and its instrumentation, not a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai

try:
    import httpx2 as httpx
except ImportError:  # openai before 3
    import httpx

USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 80,
    "total_tokens": 1280,
    "prompt_tokens_details": {"cached_tokens": 1024},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
MESSAGES: list[Any] = [{"role": "user", "content": "What does it cost?"}]
CHUNKS = 1000

_CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Little."}}
_BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [_CHOICE],
        "usage": USAGE,
    }
).encode()


def _chunk(**more: Any) -> bytes:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "usage": None}
    base["choices"] = [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]
    return b"data: " + json.dumps({**base, **more}).encode() + b"\n\n"


_STREAM = [_chunk()] * CHUNKS + [_chunk(choices=[], usage=USAGE), b"data: [DONE]\n\n"]


class _Body(httpx.SyncByteStream):  # type: ignore[misc,unused-ignore]
    def __iter__(self) -> Iterator[bytes]:
        yield from _STREAM


class _Transport(httpx.BaseTransport):  # type: ignore[misc,unused-ignore]
    def handle_request(self, request: Any) -> Any:
        if b'"stream":true' in request.content.replace(b" ", b""):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Body())
        return httpx.Response(200, headers={"content-type": "application/json"}, content=_BODY)


def client() -> openai.OpenAI:
    """An OpenAI client that answers from memory."""
    return openai.OpenAI(api_key="x", max_retries=0, http_client=httpx.Client(transport=_Transport()))


def call(made: openai.OpenAI) -> None:
    """One plain call."""
    made.chat.completions.create(model="gpt-4o", messages=MESSAGES)


def stream(made: openai.OpenAI) -> None:
    """One stream, read to its end."""
    options: Any = {"include_usage": True}
    for _ in made.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options=options):
        pass


def read_bytes(made: openai.OpenAI) -> None:
    """The same stream, its bytes read as they come: parsing would take fifty times what is to be measured."""
    create = made.chat.completions.with_streaming_response.create
    options: Any = {"include_usage": True}
    with create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options=options) as response:
        for _ in response.iter_bytes():
            pass


def abandon(made: openai.OpenAI) -> None:
    """One stream, dropped after its first chunk."""
    next(iter(made.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)))
