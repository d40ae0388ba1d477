"""The doors of `huggingface_hub`'s InferenceClient."""

from __future__ import annotations

from typing import Any

import huggingface_hub as hf

from aicost.testing import ProviderEmulator

from .door import NO_CACHE, Door

MODEL = "meta-llama/Llama-3.3-70B-Instruct"


def _connector(kind: Any) -> Any:
    def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 0, api_key: str = "x") -> Any:
        return kind(base_url=emulator.base_url("hf") + "/v1", api_key=api_key, timeout=timeout)

    return connect


def said(ask: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": ask}]}


def chat(c: Any, ask: str) -> Any:
    return c.chat.completions.create(**said(ask))


def chat_stream(c: Any, ask: str) -> Any:
    return c.chat.completions.create(stream=True, stream_options={"include_usage": True}, **said(ask))


async def async_chat(c: Any, ask: str) -> Any:
    return await chat(c, ask)


async def async_chat_stream(c: Any, ask: str) -> Any:
    return await chat_stream(c, ask)


def _door(way: Any, kind_of_client: Any, **more: Any) -> Door:
    more.setdefault("reply", NO_CACHE)
    return Door(
        "huggingface_hub", way, _connector(kind_of_client), model=MODEL, retries=False, priced=False,
        keeps_streams=True, **more
    )  # fmt: skip


DOORS = [
    _door(chat, hf.InferenceClient), _door(chat_stream, hf.InferenceClient, kind="stream"),
    _door(async_chat, hf.AsyncInferenceClient), _door(async_chat_stream, hf.AsyncInferenceClient, kind="stream"),
]  # fmt: skip
