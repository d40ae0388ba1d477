"""Anthropic's wire format. Field names as in anthropic 2.11 (`types/`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .route import EmulatedRequest, Event, Generated, Route, free, named, pieces, with_usage


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


def _content(made: Generated) -> list[dict[str, Any]]:
    if not made.reply.tool_calls:
        return [{"type": "text", "text": made.reply.text}]
    return [
        {"type": "tool_use", "id": f"toolu_{made.call_id}_{n}", "name": call.name, "input": dict(call.arguments)}
        for n, call in enumerate(made.reply.tool_calls)
    ]


def messages_body(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    body = {
        "id": made.call_id,
        "type": "message",
        "role": "assistant",
        "model": made.model,
        "content": _content(made),
        "stop_reason": "tool_use" if made.reply.tool_calls else "end_turn",
        "stop_sequence": None,
    }
    return with_usage(body, made, _anthropic_usage(made))


def messages_stream(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    whole = messages_body(made, request)
    usage = whole.pop("usage", None) or _anthropic_usage(made)
    # What is known at the start: the input, and a placeholder for the output. Tool calls are counted at the end.
    early = {**usage, "output_tokens": 1}
    early.pop("server_tool_use", None)
    early.pop("output_tokens_details", None)
    known = {meter: n for meter, n in made.usage.items() if meter.startswith("input")}
    start = {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": early}}
    yield Event(named("message_start", start), known)
    for index, block in enumerate(whole["content"]):
        empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        begin = {"type": "content_block_start", "index": index, "content_block": empty}
        yield Event(named("content_block_start", begin))
        if index == 0:
            yield Event(named("ping", {"type": "ping"}))
        if block["type"] == "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(made.reply)]
        else:
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        for piece in deltas:
            delta = {"type": "content_block_delta", "index": index, "delta": piece}
            yield Event(named("content_block_delta", delta))
        yield Event(named("content_block_stop", {"type": "content_block_stop", "index": index}))
    final = {name: usage[name] for name in usage if name not in {"service_tier", "cache_creation"}}
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
        "usage": final,
    }
    yield Event(named("message_delta", end), made.usage)
    yield Event(named("message_stop", {"type": "message_stop"}))


def _count_tokens(_made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    return {"input_tokens": 21}


_VERTEX = r"/vertex/v1/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/(?P<model>[^:/]+)"
ROUTES: tuple[Route, ...] = (
    Route(r"/v1/messages/count_tokens", "anthropic", "count_tokens", "cnt_", _count_tokens, usage=free),
    Route(r"/v1/messages", "anthropic", "messages", "msg_", messages_body, stream=messages_stream),
    Route(r"/foundry/v1/messages", "azure.ai.inference", "messages", "msg_", messages_body, stream=messages_stream),
    Route(f"{_VERTEX}:rawPredict", "gcp.vertex_ai", "messages", "msg_vrtx_", messages_body),
    Route(
        f"{_VERTEX}:streamRawPredict", "gcp.vertex_ai", "messages", "msg_vrtx_", messages_body, stream=messages_stream
    ),
)
