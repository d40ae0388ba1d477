"""The doors of `ollama`."""

from __future__ import annotations

from typing import Any

import ollama

from aicost.testing import ProviderEmulator

from .door import NO_CACHE, PROMPT_ONLY, Door

MODEL, EMBED = "llama3.1", "llama3.1"


def _connector(kind: Any) -> Any:
    def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 0, api_key: str = "x") -> Any:
        headers = {"authorization": f"Bearer {api_key}"}
        return kind(host=emulator.base_url("ollama"), timeout=timeout, headers=headers)

    return connect


def said(ask: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": ask}]}


def chat(c: Any, ask: str) -> Any:
    return c.chat(**said(ask))


def chat_stream(c: Any, ask: str) -> Any:
    return c.chat(stream=True, **said(ask))


def generate(c: Any, ask: str) -> Any:
    return c.generate(model=MODEL, prompt=ask)


def generate_stream(c: Any, ask: str) -> Any:
    return c.generate(model=MODEL, prompt=ask, stream=True)


def embed(c: Any, ask: str) -> Any:
    return c.embed(model=EMBED, input=[ask])


async def async_chat(c: Any, ask: str) -> Any:
    return await chat(c, ask)


async def async_chat_stream(c: Any, ask: str) -> Any:
    return await chat_stream(c, ask)


async def async_embed(c: Any, ask: str) -> Any:
    return await embed(c, ask)


def _door(way: Any, kind_of_client: Any, **more: Any) -> Door:
    more.setdefault("model", MODEL)
    more.setdefault("reply", NO_CACHE)
    return Door("ollama", way, _connector(kind_of_client), retries=False, response_id=False, **more)


_EMBED: dict[str, Any] = {"model": EMBED, "reply": PROMPT_ONLY, "operation": "embeddings"}
DOORS = [
    _door(chat, ollama.Client), _door(chat_stream, ollama.Client, kind="stream", lazy=True),
    _door(generate, ollama.Client, operation="text_completion"),
    _door(generate_stream, ollama.Client, operation="text_completion", kind="stream", lazy=True),
    _door(embed, ollama.Client, **_EMBED), _door(async_chat, ollama.AsyncClient),
    _door(async_chat_stream, ollama.AsyncClient, kind="stream", lazy=True),
    _door(async_embed, ollama.AsyncClient, **_EMBED),
]  # fmt: skip
