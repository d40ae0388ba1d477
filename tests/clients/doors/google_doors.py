"""The doors of `google-genai`, at the Gemini API and at Vertex AI."""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from aicost.testing import ProviderEmulator

from .door import FULL, PROMPT_ONLY, Door

MODEL, EMBED = "gemini-2.5-flash", "gemini-embedding-001"
RETRIES = hasattr(types, "HttpRetryOptions")


def _options(url: str, timeout: float, retries: int) -> Any:
    options: dict[str, Any] = {"base_url": url, "timeout": int(timeout * 1000)}
    if RETRIES:
        options["retry_options"] = types.HttpRetryOptions(
            attempts=retries + 1, initial_delay=0.01, max_delay=0.05, exp_base=1.1, jitter=0.01
        )
    return types.HttpOptions(**options)


def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, api_key: str = "test-key") -> Any:
    return genai.Client(api_key=api_key, http_options=_options(emulator.base_url("gemini"), timeout, retries))


def connect_vertex(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, api_key: str = "x") -> Any:
    return genai.Client(
        vertexai=True,
        project="p-1",
        location="us-central1",
        credentials=Credentials(token=api_key),
        http_options=_options(emulator.base_url("vertex"), timeout, retries),
    )


def generate(c: Any, ask: str) -> Any:
    return c.models.generate_content(model=MODEL, contents=ask)


def generate_stream(c: Any, ask: str) -> Any:
    return c.models.generate_content_stream(model=MODEL, contents=ask)


def chat(c: Any, ask: str) -> Any:
    return c.chats.create(model=MODEL).send_message(ask)


def chat_stream(c: Any, ask: str) -> Any:
    return c.chats.create(model=MODEL).send_message_stream(ask)


def embed(c: Any, ask: str) -> Any:
    return c.models.embed_content(model=EMBED, contents=[ask])


def vertex(c: Any, ask: str) -> Any:
    return generate(c, ask)


def vertex_stream(c: Any, ask: str) -> Any:
    return generate_stream(c, ask)


def vertex_embed(c: Any, ask: str) -> Any:
    return c.models.embed_content(model=EMBED, contents=[ask])


async def async_generate(c: Any, ask: str) -> Any:
    return await c.aio.models.generate_content(model=MODEL, contents=ask)


async def async_generate_stream(c: Any, ask: str) -> Any:
    return await c.aio.models.generate_content_stream(model=MODEL, contents=ask)


async def async_chat(c: Any, ask: str) -> Any:
    return await c.aio.chats.create(model=MODEL).send_message(ask)


async def async_embed(c: Any, ask: str) -> Any:
    return await c.aio.models.embed_content(model=EMBED, contents=[ask])


def _door(way: Any, **more: Any) -> Door:
    more.setdefault("connect", connect)
    more.setdefault("model", MODEL)
    more.setdefault("operation", "generate_content")
    more.setdefault("reply", FULL)
    return Door("google-genai", way, retries=RETRIES, partial=True, **more)


_EMBED: dict[str, Any] = {"model": EMBED, "reply": PROMPT_ONLY, "operation": "embeddings", "response_id": False}

DOORS = [
    _door(generate), _door(generate_stream, kind="stream", lazy=True), _door(chat),
    _door(chat_stream, kind="stream", lazy=True), _door(embed, **_EMBED),
    _door(vertex, connect=connect_vertex), _door(vertex_stream, kind="stream", lazy=True, connect=connect_vertex),
    _door(vertex_embed, connect=connect_vertex, **_EMBED),
    _door(async_generate), _door(async_generate_stream, kind="stream"), _door(async_chat), _door(async_embed, **_EMBED),
]  # fmt: skip
