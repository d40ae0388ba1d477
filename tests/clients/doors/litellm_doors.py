"""The doors of `litellm`: through its own HTTP handlers, and through openai's client."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
import litellm

from aicost.testing import ProviderEmulator

from .door import FULL, NO_CACHE, NO_REASONING, PROMPT_ONLY, Door

litellm.telemetry = False
litellm.suppress_debug_info = True


class _Connected:
    """Where an emulator is, and the options of each call."""

    def __init__(self, emulator: ProviderEmulator, timeout: float, api_key: str) -> None:
        self.emulator = emulator
        self.options: dict[str, Any] = {"timeout": timeout, "api_key": api_key, "max_retries": 0}


def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 0, api_key: str = "test-key") -> Any:
    return _Connected(emulator, timeout, api_key)


def said(ask: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": ask}]}


def _anthropic(c: Any) -> dict[str, Any]:
    return {"model": "anthropic/claude-sonnet-5", "api_base": c.emulator.base_url(), "max_tokens": 50, **c.options}


def _openai(c: Any) -> dict[str, Any]:
    return {"model": "openai/gpt-4o", "api_base": c.emulator.openai_base_url, **c.options}


def _gemini(c: Any) -> dict[str, Any]:
    base = c.emulator.base_url("gemini") + "/v1beta"
    return {"model": "gemini/gemini-2.5-flash", "api_base": base, **c.options}


def _mistral(c: Any) -> dict[str, Any]:
    base = c.emulator.base_url("mistral") + "/v1"
    return {"model": "mistral/mistral-large-latest", "api_base": base, **c.options}


USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def anthropic(c: Any, ask: str) -> Any:
    return litellm.completion(**_anthropic(c), **said(ask))


def anthropic_stream(c: Any, ask: str) -> Any:
    return litellm.completion(**_anthropic(c), **said(ask), stream=True)


def openai(c: Any, ask: str) -> Any:
    return litellm.completion(**_openai(c), **said(ask))


def openai_stream(c: Any, ask: str) -> Any:
    return litellm.completion(**_openai(c), **said(ask), **USAGE)


def openai_embedding(c: Any, ask: str) -> Any:
    asked = {**_openai(c), "model": "openai/text-embedding-3-small"}
    return litellm.embedding(input=[ask], **asked)


def gemini(c: Any, ask: str) -> Any:
    return litellm.completion(**_gemini(c), **said(ask))


def gemini_stream(c: Any, ask: str) -> Any:
    return litellm.completion(**_gemini(c), **said(ask), stream=True)


def mistral(c: Any, ask: str) -> Any:
    return litellm.completion(**_mistral(c), **said(ask))


async def async_anthropic(c: Any, ask: str) -> Any:
    return await litellm.acompletion(**_anthropic(c), **said(ask))


async def async_anthropic_stream(c: Any, ask: str) -> Any:
    return await litellm.acompletion(**_anthropic(c), **said(ask), stream=True)


async def async_openai(c: Any, ask: str) -> Any:
    return await litellm.acompletion(**_openai(c), **said(ask))


def _door(way: Any, **more: Any) -> Door:
    return Door("litellm", way, connect, retries=False, keeps_streams=True, **more)


_CLAUDE: dict[str, Any] = {"model": "claude-sonnet-5", "reply": NO_REASONING, "partial": True}
_GEMINI: dict[str, Any] = {"model": "gemini-2.5-flash", "operation": "generate_content", "partial": True}
DOORS = [
    _door(anthropic, **_CLAUDE), _door(anthropic_stream, kind="stream", **_CLAUDE),
    _door(async_anthropic, **_CLAUDE), _door(async_anthropic_stream, kind="stream", **_CLAUDE),
    _door(openai, model="gpt-4o", reply=FULL), _door(openai_stream, model="gpt-4o", reply=FULL, kind="stream"),
    _door(async_openai, model="gpt-4o", reply=FULL),
    _door(
        openai_embedding, model="text-embedding-3-small", operation="embeddings", reply=PROMPT_ONLY,
        response_id=False, own_timeout=True,
    ),
    _door(gemini, **_GEMINI), _door(gemini_stream, kind="stream", own_timeout=True, **_GEMINI),
    _door(mistral, model="mistral-large-latest", reply=NO_CACHE),
]  # fmt: skip
