"""The providers' wire formats: bodies and stream events.

Field names as in openai 3.52 and anthropic 2.11 (`types/`).
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .script import Reply

Usage = dict[str, int]


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated answer: who, what, and its usage as disjoint meters."""

    call_id: str
    api: str
    model: str
    reply: Reply
    usage: Usage

    @property
    def prompt(self) -> int:
        """All prompt tokens."""
        return sum(n for meter, n in self.usage.items() if meter.startswith("input"))

    @property
    def completion(self) -> int:
        """All output tokens, reasoning included."""
        return self.usage.get("output", 0) + self.usage.get("output_reasoning", 0)


@dataclass(frozen=True, slots=True)
class Event:
    """One stream event. `usage` is the usage the client knows once it has this event; None leaves that as it was."""

    data: bytes
    usage: Usage | None = None


def generate(call_id: str, api: str, model: str, reply: Reply, body: bytes) -> Generated:
    """The usage of a reply: what it states, else what follows from the lengths of prompt and text."""
    prompt = reply.input_tokens if reply.input_tokens is not None else max(1, len(body) // 4)
    output = 0
    if api != "embeddings":
        output = reply.output_tokens if reply.output_tokens is not None else max(1, len(reply.text) // 4)
    usage = {
        "input": prompt - reply.cached_tokens - reply.cache_write_5m - reply.cache_write_1h,
        "input_cache_read": reply.cached_tokens,
        "input_cache_write_5m": reply.cache_write_5m,
        "input_cache_write_1h": reply.cache_write_1h,
        "output": output - reply.reasoning_tokens,
        "output_reasoning": reply.reasoning_tokens,
        "tool_web_search": reply.web_searches,
    }
    return Generated(call_id, api, reply.model or model, reply, {meter: n for meter, n in usage.items() if n})


def json_body(made: Generated, request: Mapping[str, Any]) -> dict[str, Any]:
    """The whole response."""
    return {"chat": _chat, "responses": _responses, "embeddings": _embeddings, "messages": _messages}[made.api](
        made, request
    )


def stream(made: Generated, request: Mapping[str, Any]) -> Iterator[Event]:
    """The response as stream events."""
    return {"chat": _chat_stream, "responses": _responses_stream, "messages": _messages_stream}[made.api](made, request)


def error_body(provider: str, status: int, message: str) -> dict[str, Any]:
    """An error in the provider's shape."""
    kind = {429: "rate_limit_error", 400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
    if provider == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_0"}
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _openai_usage(made: Generated) -> dict[str, Any]:
    usage = made.usage
    return {
        "prompt_tokens": made.prompt,
        "completion_tokens": made.completion,
        "total_tokens": made.prompt + made.completion,
        "prompt_tokens_details": {"cached_tokens": usage.get("input_cache_read", 0), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.get("output_reasoning", 0),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _with_usage(body: dict[str, Any], made: Generated, usage: dict[str, Any]) -> dict[str, Any]:
    if not made.reply.omit_usage:
        body["usage"] = dict(made.reply.raw_usage) if made.reply.raw_usage is not None else usage
    return body


def _chat(made: Generated, _request: Mapping[str, Any]) -> dict[str, Any]:
    body = {
        "id": made.call_id,
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": made.model,
        "service_tier": made.reply.service_tier or "default",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": made.reply.text, "refusal": None},
            }
        ],
    }
    return _with_usage(body, made, _openai_usage(made))


def _chat_stream(made: Generated, request: Mapping[str, Any]) -> Iterator[Event]:
    wants_usage = bool((request.get("stream_options") or {}).get("include_usage")) and not made.reply.omit_usage
    base = {
        "id": made.call_id,
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": made.model,
        "service_tier": made.reply.service_tier or "default",
    }
    if wants_usage:
        base["usage"] = None
    for piece in _pieces(made.reply):
        choice = {"index": 0, "delta": {"content": piece}, "logprobs": None, "finish_reason": None}
        yield Event(_data({**base, "choices": [choice]}))
    yield Event(_data({**base, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]}))
    if wants_usage:
        usage = made.reply.raw_usage if made.reply.raw_usage is not None else _openai_usage(made)
        yield Event(_data({**base, "choices": [], "usage": usage}), made.usage)
    yield Event(b"data: [DONE]\n\n")


def _responses(made: Generated, _request: Mapping[str, Any]) -> dict[str, Any]:
    usage = made.usage
    searches = [
        {"type": "web_search_call", "id": f"ws_{n}", "status": "completed", "action": {"type": "search", "query": "q"}}
        for n in range(made.reply.web_searches)
    ]
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": made.reply.text, "annotations": []}],
    }
    body = {
        "id": made.call_id,
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed",
        "model": made.model,
        "service_tier": made.reply.service_tier or "default",
        "output": [*searches, message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
    }
    return _with_usage(
        body,
        made,
        {
            "input_tokens": made.prompt,
            "input_tokens_details": {"cached_tokens": usage.get("input_cache_read", 0), "cache_write_tokens": 0},
            "output_tokens": made.completion,
            "output_tokens_details": {"reasoning_tokens": usage.get("output_reasoning", 0)},
            "total_tokens": made.prompt + made.completion,
        },
    )


def _responses_stream(made: Generated, request: Mapping[str, Any]) -> Iterator[Event]:
    whole = _responses(made, request)
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **where, "part": part},
    ]
    events += [
        {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []} for piece in _pieces(made.reply)
    ]
    text = {"type": "response.output_text.done", **where, "text": made.reply.text, "logprobs": []}
    events += [text, {"type": "response.completed", "response": whole}]
    for number, event in enumerate(events):
        final = event["type"] == "response.completed" and not made.reply.omit_usage
        yield Event(_named(event["type"], {**event, "sequence_number": number}), made.usage if final else None)


def _embeddings(made: Generated, request: Mapping[str, Any]) -> dict[str, Any]:
    given = request.get("input")
    count = len(given) if isinstance(given, list) else 1
    vector: Any = [0.25, -0.5, 0.125, 1.0]
    if request.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
    data = [{"object": "embedding", "index": n, "embedding": vector} for n in range(count)]
    body = {"object": "list", "data": data, "model": made.model}
    return _with_usage(body, made, {"prompt_tokens": made.prompt, "total_tokens": made.prompt})


def _anthropic_usage(made: Generated) -> dict[str, Any]:
    usage, reply = made.usage, made.reply
    wire: dict[str, Any] = {
        "input_tokens": usage.get("input", 0),
        "cache_creation_input_tokens": reply.cache_write_5m + reply.cache_write_1h,
        "cache_read_input_tokens": reply.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": reply.cache_write_5m,
            "ephemeral_1h_input_tokens": reply.cache_write_1h,
        },
        "output_tokens": made.completion,
        "service_tier": reply.service_tier or "standard",
    }
    if reply.web_searches:
        wire["server_tool_use"] = {"web_search_requests": reply.web_searches, "web_fetch_requests": 0}
    if reply.reasoning_tokens:
        wire["output_tokens_details"] = {"thinking_tokens": reply.reasoning_tokens}
    return wire


def _messages(made: Generated, _request: Mapping[str, Any]) -> dict[str, Any]:
    body = {
        "id": made.call_id,
        "type": "message",
        "role": "assistant",
        "model": made.model,
        "content": [{"type": "text", "text": made.reply.text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    return _with_usage(body, made, _anthropic_usage(made))


def _messages_stream(made: Generated, request: Mapping[str, Any]) -> Iterator[Event]:
    whole = _messages(made, request)
    usage = whole.pop("usage", None) or _anthropic_usage(made)
    # What is known at the start: the input, and a placeholder for the output. Tool calls are counted at the end.
    early = {**usage, "output_tokens": 1}
    early.pop("server_tool_use", None)
    early.pop("output_tokens_details", None)
    known = {meter: n for meter, n in made.usage.items() if meter.startswith("input")}
    start = {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": early}}
    yield Event(_named("message_start", start), known)
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield Event(_named("content_block_start", block))
    yield Event(_named("ping", {"type": "ping"}))
    for piece in _pieces(made.reply):
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        yield Event(_named("content_block_delta", delta))
    yield Event(_named("content_block_stop", {"type": "content_block_stop", "index": 0}))
    final = {name: usage[name] for name in usage if name not in {"service_tier", "cache_creation"}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": final}
    yield Event(_named("message_delta", end), made.usage)
    yield Event(_named("message_stop", {"type": "message_stop"}))


def _pieces(reply: Reply) -> list[str]:
    size = max(1, -(-len(reply.text) // reply.chunks))
    return [reply.text[n : n + size] for n in range(0, len(reply.text), size)]


def _data(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _named(name: str, value: Mapping[str, Any]) -> bytes:
    return f"event: {name}\n".encode() + _data(value)
