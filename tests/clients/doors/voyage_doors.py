"""The doors of `voyageai`."""

from __future__ import annotations

import inspect
from typing import Any

import voyageai

from aicost.testing import ProviderEmulator

from .door import PROMPT_ONLY, Door

MODEL, RERANK = "voyage-3.5", "rerank-2.5"


def _connector(kind: Any) -> Any:
    def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, api_key: str = "x") -> Any:
        url = emulator.base_url("voyage") + "/v1"
        options = {"api_key": api_key, "timeout": timeout, "max_retries": retries + 1}
        if "base_url" in inspect.signature(kind).parameters:
            return kind(base_url=url, **options)
        voyageai.api_base = url
        return kind(**options)

    return connect


def embed(c: Any, ask: str) -> Any:
    return c.embed([ask], model=MODEL)


def rerank(c: Any, ask: str) -> Any:
    return c.rerank(ask, ["a", "b"], model=RERANK)


async def async_embed(c: Any, ask: str) -> Any:
    return await c.embed([ask], model=MODEL)


async def async_rerank(c: Any, ask: str) -> Any:
    return await c.rerank(ask, ["a", "b"], model=RERANK)


def _door(way: Any, kind_of_client: Any, **more: Any) -> Door:
    return Door("voyageai", way, _connector(kind_of_client), reply=PROMPT_ONLY, response_id=False, **more)


DOORS = [
    _door(embed, voyageai.Client, model=MODEL, operation="embeddings"),
    _door(rerank, voyageai.Client, model=RERANK, operation="rerank"),
    _door(async_embed, voyageai.AsyncClient, model=MODEL, operation="embeddings"),
    _door(async_rerank, voyageai.AsyncClient, model=RERANK, operation="rerank"),
]
