"""Cohere's wire format, versions 1 and 2. Field names as in cohere 7.3 (`types/`) and 5.x."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aicost.testing.emulator.script import Reply

from .route import EmulatedRequest, Event, Generated, Route, Usage, line, named, pieces, prompt_only, with_usage


def _usage(made: Generated) -> dict[str, Any]:
    billed: dict[str, Any] = {"input_tokens": made.usage.get("input", 0)}
    if made.completion:
        billed["output_tokens"] = made.completion
    # What the model saw is more than what is billed.
    return {"billed_units": billed, "tokens": {"input_tokens": made.prompt + 60, "output_tokens": made.completion}}


def _chat_v2(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"type": "text", "text": made.reply.text}]}
    return with_usage({"id": made.call_id, "finish_reason": "COMPLETE", "message": message}, made, _usage(made))


def _chat_v2_stream(made: Generated, _request: EmulatedRequest) -> Iterator[Event]:
    start = {"type": "message-start", "id": made.call_id, "delta": {"message": {"role": "assistant", "content": []}}}
    yield Event(named("message-start", start))
    text = {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}
    yield Event(named("content-start", text))
    for piece in pieces(made.reply):
        delta = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
        yield Event(named("content-delta", delta))
    yield Event(named("content-end", {"type": "content-end", "index": 0}))
    end = {"type": "message-end", "delta": with_usage({"finish_reason": "COMPLETE"}, made, _usage(made))}
    yield Event(named("message-end", end), None if made.reply.omit_usage else made.usage)
    yield Event(b"data: [DONE]\n\n")


def _chat_v1(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    body = {
        "response_id": f"r-{made.call_id}",
        "generation_id": made.call_id,
        "text": made.reply.text,
        "finish_reason": "COMPLETE",
    }
    return with_usage(body, made, {"api_version": {"version": "1"}, **_usage(made)}, "meta")


def _chat_v1_stream(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    start = {"is_finished": False, "event_type": "stream-start", "generation_id": made.call_id}
    yield Event(line(start))
    for piece in pieces(made.reply):
        yield Event(line({"is_finished": False, "event_type": "text-generation", "text": piece}))
    whole = _chat_v1(made, request)
    end = {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": whole}
    yield Event(line(end), None if made.reply.omit_usage else made.usage)


def _embed(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    count = len(request.body.get("texts") or request.body.get("inputs") or [0])
    vectors: Any = [[0.25, -0.5]] * count
    if "/v2/" in request.path or request.body.get("embedding_types"):
        vectors = {"float": vectors}
    kind = "embeddings_by_type" if isinstance(vectors, dict) else "embeddings_floats"
    body = {"id": made.call_id, "embeddings": vectors, "texts": request.body.get("texts") or [], "response_type": kind}
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": made.prompt}}
    return with_usage(body, made, meta, "meta")


def _searched(_reply: Reply, _request: EmulatedRequest) -> Usage:
    return {"search_units": 1}


def _rerank(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    body = {"id": made.call_id, "results": [{"index": 0, "relevance_score": 0.9}]}
    return with_usage(body, made, {"billed_units": {"search_units": made.usage["search_units"]}}, "meta")


ROUTES: tuple[Route, ...] = (
    Route(r"/cohere/v2/chat", "cohere", "chat", "co-", _chat_v2, stream=_chat_v2_stream),
    Route(
        r"/cohere/v1/chat", "cohere", "chat", "co-", _chat_v1, stream=_chat_v1_stream,
        stream_type="application/stream+json",
    ),
    Route(r"/cohere/v[12]/embed", "cohere", "embeddings", "co-", _embed, usage=prompt_only),
    Route(r"/cohere/v[12]/rerank", "cohere", "rerank", "co-", _rerank, usage=_searched),
)  # fmt: skip
