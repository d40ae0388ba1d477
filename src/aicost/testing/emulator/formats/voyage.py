"""Voyage's wire format. Field names as in voyageai 0.5 (`object/`)."""

from __future__ import annotations

from typing import Any

from .route import EmulatedRequest, Generated, Route, prompt_only, with_usage


def _embed(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    given = request.body.get("input") or request.body.get("inputs") or [0]
    data: list[dict[str, Any]] = [
        {"object": "embedding", "embedding": [0.25, -0.5], "index": n} for n in range(len(given))
    ]
    if "contextualized" in request.path:
        data = [{"object": "list", "data": [item], "index": n} for n, item in enumerate(data)]
    return with_usage({"object": "list", "data": data, "model": made.model}, made, {"total_tokens": made.prompt})


def _rerank(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    body = {"object": "list", "data": [{"index": 0, "relevance_score": 0.9}], "model": made.model}
    return with_usage(body, made, {"total_tokens": made.prompt})


ROUTES: tuple[Route, ...] = (
    Route(
        r"/voyage/v1/(?:embeddings|multimodalembeddings|contextualizedembeddings)", "voyage", "embeddings", "voy-",
        _embed, usage=prompt_only,
    ),
    Route(r"/voyage/v1/rerank", "voyage", "rerank", "voy-", _rerank, usage=prompt_only),
)  # fmt: skip
