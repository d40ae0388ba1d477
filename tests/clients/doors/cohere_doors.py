"""The doors of `cohere`, version 1 and 2 of its API."""

from __future__ import annotations

import inspect
from typing import Any

import cohere
from cohere.core.http_client import HttpClient

from aicost.testing import ProviderEmulator, Reply

from .door import NO_CACHE, PROMPT_ONLY, Door

MODEL, EMBED, RERANK = "command-a-03-2025", "embed-v4.0", "rerank-v3.5"


class _Connected:
    """A client, and the options that make it retry as often as a test asks."""

    def __init__(self, client: Any, retries: int) -> None:
        self.client = client
        # Earlier versions begin to count at two.
        first = inspect.signature(HttpClient.request).parameters["retries"].default
        self.options: Any = {"max_retries": retries + first}


def _connector(kind: Any) -> Any:
    def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, api_key: str = "x") -> Any:
        return _Connected(kind(api_key=api_key, base_url=emulator.base_url("cohere"), timeout=timeout), retries)

    return connect


def said(ask: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": ask}]}


def chat(c: Any, ask: str) -> Any:
    return c.client.chat(**said(ask), request_options=c.options)


def chat_stream(c: Any, ask: str) -> Any:
    return c.client.chat_stream(**said(ask), request_options=c.options)


def embed(c: Any, ask: str) -> Any:
    return c.client.embed(
        model=EMBED, texts=[ask], input_type="search_query", embedding_types=["float"], request_options=c.options
    )


def rerank(c: Any, ask: str) -> Any:
    return c.client.rerank(model=RERANK, query=ask, documents=["a", "b"], request_options=c.options)


def v1_chat(c: Any, ask: str) -> Any:
    return c.client.chat(model=MODEL, message=ask, request_options=c.options)


def v1_chat_stream(c: Any, ask: str) -> Any:
    return c.client.chat_stream(model=MODEL, message=ask, request_options=c.options)


def v1_embed(c: Any, ask: str) -> Any:
    return c.client.embed(
        model=EMBED, texts=[ask], input_type="search_query", batching=False, request_options=c.options
    )


async def async_chat(c: Any, ask: str) -> Any:
    return await chat(c, ask)


async def async_chat_stream(c: Any, ask: str) -> Any:
    return chat_stream(c, ask)


async def async_embed(c: Any, ask: str) -> Any:
    return await embed(c, ask)


async def async_rerank(c: Any, ask: str) -> Any:
    return await rerank(c, ask)


def _door(way: Any, kind_of_client: Any = cohere.ClientV2, **more: Any) -> Door:
    more.setdefault("model", MODEL)
    more.setdefault("reply", NO_CACHE)
    return Door("cohere", way, _connector(kind_of_client), **more)


_EMBED: dict[str, Any] = {"model": EMBED, "reply": PROMPT_ONLY, "operation": "embeddings"}
_RERANK: dict[str, Any] = {"model": RERANK, "reply": Reply(), "operation": "rerank"}
DOORS = [
    _door(chat), _door(chat_stream, kind="stream", lazy=True, retries=False), _door(embed, **_EMBED),
    _door(rerank, **_RERANK),
    _door(v1_chat, cohere.Client), _door(v1_chat_stream, cohere.Client, kind="stream", lazy=True, retries=False),
    _door(v1_embed, cohere.Client, **_EMBED),
    _door(async_chat, cohere.AsyncClientV2), _door(async_embed, cohere.AsyncClientV2, **_EMBED),
    _door(async_chat_stream, cohere.AsyncClientV2, kind="stream", lazy=True, retries=False),
    _door(async_rerank, cohere.AsyncClientV2, **_RERANK),
]  # fmt: skip
