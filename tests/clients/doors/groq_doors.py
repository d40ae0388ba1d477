"""The doors of `groq`."""

from __future__ import annotations

from typing import Any

import groq

from aicost.testing import ProviderEmulator

from .door import NO_CACHE, Door

MODEL = "llama-3.3-70b-versatile"


def _connector(kind: Any) -> Any:
    def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, api_key: str = "x") -> Any:
        return kind(api_key=api_key, base_url=emulator.base_url("groq"), timeout=timeout, max_retries=retries)

    return connect


def said(ask: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": ask}]}


def chat(c: Any, ask: str) -> Any:
    return c.chat.completions.create(**said(ask))


def chat_stream(c: Any, ask: str) -> Any:
    asked = {"extra_body": {"stream_options": {"include_usage": True}}}
    return c.chat.completions.create(stream=True, **asked, **said(ask))


async def async_chat(c: Any, ask: str) -> Any:
    return await chat(c, ask)


async def async_chat_stream(c: Any, ask: str) -> Any:
    return await chat_stream(c, ask)


def _door(way: Any, kind_of_client: Any, **more: Any) -> Door:
    return Door("groq", way, _connector(kind_of_client), model=MODEL, reply=NO_CACHE, **more)


DOORS = [
    _door(chat, groq.Groq), _door(chat_stream, groq.Groq, kind="stream"), _door(async_chat, groq.AsyncGroq),
    _door(async_chat_stream, groq.AsyncGroq, kind="stream"),
]  # fmt: skip
