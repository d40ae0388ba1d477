"""The doors of `mistralai`."""

from __future__ import annotations

from typing import Any

try:
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig
except ImportError:  # before 2.0
    from mistralai import Mistral
    from mistralai.utils import BackoffStrategy, RetryConfig

from aicost.testing import ProviderEmulator, Reply

from .door import NO_CACHE, PROMPT_ONLY, Door

MODEL, EMBED = "mistral-large-latest", "mistral-embed"


def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, api_key: str = "test-key") -> Any:
    backoff = BackoffStrategy(10, 50, 1.1, 60_000 if retries else 0)
    return Mistral(
        api_key=api_key,
        server_url=emulator.base_url("mistral"),
        timeout_ms=int(timeout * 1000),
        retry_config=RetryConfig("backoff", backoff, True) if retries else None,
    )


def said(ask: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": ask}]}


def chat(c: Any, ask: str) -> Any:
    return c.chat.complete(**said(ask))


def chat_stream(c: Any, ask: str) -> Any:
    return c.chat.stream(**said(ask))


def embeddings(c: Any, ask: str) -> Any:
    return c.embeddings.create(model=EMBED, inputs=[ask])


def fim(c: Any, ask: str) -> Any:
    return c.fim.complete(model=MODEL, prompt=ask)


def ocr(c: Any, ask: str) -> Any:
    document = {"type": "document_url", "document_url": f"https://files.example/{ask}.pdf"}
    return c.ocr.process(model="mistral-ocr-latest", document=document)


async def async_chat(c: Any, ask: str) -> Any:
    return await c.chat.complete_async(**said(ask))


async def async_chat_stream(c: Any, ask: str) -> Any:
    return await c.chat.stream_async(**said(ask))


async def async_embeddings(c: Any, ask: str) -> Any:
    return await c.embeddings.create_async(model=EMBED, inputs=[ask])


def _door(way: Any, **more: Any) -> Door:
    more.setdefault("model", MODEL)
    more.setdefault("reply", NO_CACHE)
    return Door("mistralai", way, connect, **more)


_EMBED: dict[str, Any] = {"model": EMBED, "reply": PROMPT_ONLY, "operation": "embeddings"}
DOORS = [
    _door(chat), _door(chat_stream, kind="stream"), _door(embeddings, **_EMBED),
    _door(fim, operation="text_completion"),
    _door(async_chat), _door(async_chat_stream, kind="stream"), _door(async_embeddings, **_EMBED),
]  # fmt: skip
if hasattr(Mistral(api_key="x"), "ocr"):
    DOORS.append(
        _door(
            ocr, model="mistral-ocr-latest", operation="generate_content", reply=Reply(input_tokens=7),
            response_id=False, says_text=False,
        )
    )  # fmt: skip
