"""Gemini's wire format, at the Gemini API and at Vertex AI. Field names as in google-genai 3.4 (`types.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from aicost.testing.emulator.script import Reply

from .route import (
    EmulatedRequest,
    Event,
    Generated,
    Route,
    Usage,
    always,
    free,
    pieces,
    prompt_only,
    tokens,
    with_usage,
)


def _usage(made: Generated) -> dict[str, Any]:
    """Prompt tokens include the cached ones; the answer's leave thinking out."""
    usage = made.usage
    return {
        "promptTokenCount": made.prompt,
        "cachedContentTokenCount": usage.get("input_cache_read", 0),
        "candidatesTokenCount": usage.get("output", 0),
        "thoughtsTokenCount": usage.get("output_reasoning", 0),
        "totalTokenCount": made.prompt + made.completion,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": made.prompt}],
    }


def _chunk(made: Generated, text: str, *, last: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": text}]
    if made.reply.tool_calls:
        parts = [{"functionCall": {"name": c.name, "args": dict(c.arguments)}} for c in made.reply.tool_calls]
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = "STOP"
    return {"candidates": [candidate], "modelVersion": made.model, "responseId": made.call_id}


def _generate(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    return with_usage(_chunk(made, made.reply.text, last=True), made, _usage(made), "usageMetadata")


def _generate_stream(made: Generated, _request: EmulatedRequest) -> Iterator[Event]:
    texts = [""] if made.reply.tool_calls else pieces(made.reply)
    for number, text in enumerate(texts, 1):
        last = number == len(texts)
        chunk = _chunk(made, text, last=last)
        so_far = _usage(made)
        if not last:
            # What is known before the end: the prompt, and how much was written until here.
            so_far["candidatesTokenCount"] = so_far["candidatesTokenCount"] * number // len(texts)
            so_far["thoughtsTokenCount"] = so_far["thoughtsTokenCount"] * number // len(texts)
            so_far["totalTokenCount"] = made.prompt + so_far["candidatesTokenCount"] + so_far["thoughtsTokenCount"]
        with_usage(chunk, made, so_far, "usageMetadata")
        known: Usage = {meter: n for meter, n in made.usage.items() if meter.startswith("input")}
        known["output"] = so_far["candidatesTokenCount"]
        known["output_reasoning"] = so_far["thoughtsTokenCount"]
        reported = None if made.reply.omit_usage else {meter: n for meter, n in known.items() if n}
        yield Event(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n", reported)


def _embed(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    count = len(request.body.get("requests") or [0])
    return {"embeddings": [{"values": [0.25, -0.5]}] * count, "usageMetadata": {"promptTokenCount": made.prompt}}


def _predict(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    statistics = {"truncated": False, "token_count": made.prompt}
    count = len(request.body.get("instances") or [0])
    first = {"embeddings": {"values": [0.25, -0.5], "statistics": statistics}}
    rest = {"embeddings": {"values": [0.25, -0.5], "statistics": {"truncated": False, "token_count": 0}}}
    return {"predictions": [first, *[rest] * (count - 1)]}


def _cached(reply: Reply, request: EmulatedRequest) -> Usage:
    """What is cached, and for an hour or as long as asked."""
    count = tokens(reply, request)["input"]
    return {"input": count, "cache_storage_token_hours": count * _seconds(request) // 3600}


def _seconds(request: EmulatedRequest) -> int:
    return int(str(request.body.get("ttl") or "3600s").removesuffix("s"))


def _cached_content(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    start = datetime(2026, 11, 1, 10, tzinfo=timezone.utc)
    end = start + timedelta(seconds=_seconds(request))
    body = {"name": f"cachedContents/{made.call_id}", "model": request.body.get("model")}
    body |= {"createTime": start.isoformat(), "updateTime": start.isoformat(), "expireTime": end.isoformat()}
    return with_usage(body, made, {"totalTokenCount": made.usage["input"]}, "usageMetadata")


def generate_body(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    """A whole answer, for what is done in batches."""
    return _generate(made, request)


def _counted(_made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    return {"totalTokens": 21}


_CACHES = Route(
    r"/gemini/v1(?:beta)?/cachedContents", "gcp.gemini", "cached_content", "cache-", _cached_content, usage=_cached
)
_GEMINI = r"/gemini/v1(?:beta)?/models/(?P<model>[^:/]+)"
_VERTEX = r"/vertex/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/publishers/google/models/(?P<model>[^:/]+)"
_BY_BASE = tuple(
    route
    for base, provider in ((_GEMINI, "gcp.gemini"), (_VERTEX, "gcp.vertex_ai"))
    for route in (
        Route(f"{base}:generateContent", provider, "generate_content", "gen-", _generate),
        Route(
            f"{base}:streamGenerateContent",
            provider,
            "generate_content",
            "gen-",
            _generate,
            stream=_generate_stream,
            streams=always,
        ),
        Route(f"{base}:batchEmbedContents", provider, "embed_content", "emb-", _embed, usage=prompt_only),
        Route(f"{base}:embedContent", provider, "embed_content", "emb-", _embed, usage=prompt_only),
        Route(f"{base}:predict", provider, "embed_content", "emb-", _predict, usage=prompt_only),
        Route(f"{base}:countTokens", provider, "count_tokens", "cnt-", _counted, usage=free),
    )
)
ROUTES: tuple[Route, ...] = (_CACHES, *_BY_BASE)
