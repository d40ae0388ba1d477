"""The doors of `together`."""

from __future__ import annotations

from typing import Any

import together

from aicost.testing import ProviderEmulator

from .door import NO_CACHE, PROMPT_ONLY, Door

MODEL, EMBED = "meta-llama/Llama-3.3-70B-Instruct-Turbo", "BAAI/bge-base-en-v1.5"


def _connector(kind: Any) -> Any:
    def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, api_key: str = "x") -> Any:
        # From 3.0 on the version of the API is part of the paths.
        url = emulator.base_url("together") + ("" if together.__version__ >= "3" else "/v1")
        return kind(api_key=api_key, base_url=url, timeout=timeout, max_retries=retries)

    return connect


USAGE: dict[str, Any] = {"extra_body": {"stream_options": {"include_usage": True}}}


def said(ask: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": ask}]}


def chat(c: Any, ask: str) -> Any:
    return c.chat.completions.create(**said(ask))


def chat_stream(c: Any, ask: str) -> Any:
    return c.chat.completions.create(stream=True, **USAGE, **said(ask))


def completions(c: Any, ask: str) -> Any:
    return c.completions.create(model=MODEL, prompt=ask)


def embeddings(c: Any, ask: str) -> Any:
    return c.embeddings.create(model=EMBED, input=[ask])


def rerank(c: Any, ask: str) -> Any:
    return c.rerank.create(model="Salesforce/Llama-Rank-V1", query=ask, documents=["a", "b"])


async def async_chat(c: Any, ask: str) -> Any:
    return await chat(c, ask)


async def async_chat_stream(c: Any, ask: str) -> Any:
    return await chat_stream(c, ask)


def _door(way: Any, kind_of_client: Any, **more: Any) -> Door:
    more.setdefault("model", MODEL)
    more.setdefault("reply", NO_CACHE)
    return Door("together", way, _connector(kind_of_client), **more)


DOORS = [
    _door(chat, together.Together), _door(chat_stream, together.Together, kind="stream"),
    _door(completions, together.Together, operation="text_completion"),
    _door(
        embeddings, together.Together, model=EMBED, reply=PROMPT_ONLY, operation="embeddings", response_id=False
    ),
    _door(
        rerank, together.Together, model="Salesforce/Llama-Rank-V1", reply=PROMPT_ONLY, operation="rerank",
    ),
    _door(async_chat, together.AsyncTogether), _door(async_chat_stream, together.AsyncTogether, kind="stream"),
]  # fmt: skip
