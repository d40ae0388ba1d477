"""Ollama's wire format. Field names as in ollama 0.6 (`_types.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .route import EmulatedRequest, Event, Generated, Route, line, pieces, prompt_only

_WHEN = "2026-11-01T10:00:00.000000Z"


def _streams(request: EmulatedRequest) -> bool:
    """It streams unless it is asked not to."""
    return request.body.get("stream") is not False


def _counts(made: Generated) -> dict[str, Any]:
    if made.reply.omit_usage:
        return {"done": True, "done_reason": "stop"}
    return {
        "done": True,
        "done_reason": "stop",
        "total_duration": 900_000_000,
        "load_duration": 100_000_000,
        "prompt_eval_count": made.prompt,
        "prompt_eval_duration": 200_000_000,
        "eval_count": made.completion,
        "eval_duration": 600_000_000,
    }


def _said(request: EmulatedRequest, text: str) -> dict[str, Any]:
    return {"response": text} if "generate" in request.path else {"message": {"role": "assistant", "content": text}}


def _answer(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    return {"model": made.model, "created_at": _WHEN, **_said(request, made.reply.text), **_counts(made)}


def _answer_stream(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    for piece in pieces(made.reply):
        yield Event(line({"model": made.model, "created_at": _WHEN, **_said(request, piece), "done": False}))
    end = {"model": made.model, "created_at": _WHEN, **_said(request, ""), **_counts(made)}
    yield Event(line(end), None if made.reply.omit_usage else made.usage)


def _embed(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    given = request.body.get("input")
    count = len(given) if isinstance(given, list) else 1
    return {
        "model": made.model,
        "embeddings": [[0.25, -0.5]] * count,
        "total_duration": 9_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": made.prompt,
    }


ROUTES: tuple[Route, ...] = (
    Route(
        r"/ollama/api/(?:chat|generate)", "ollama", "chat", "oll-", _answer, stream=_answer_stream, streams=_streams,
        stream_type="application/x-ndjson",
    ),
    Route(r"/ollama/api/embed", "ollama", "embeddings", "oll-", _embed, usage=prompt_only),
)  # fmt: skip
