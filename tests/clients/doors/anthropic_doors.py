"""The doors of `anthropic`."""

from __future__ import annotations

import inspect
from typing import Any

import anthropic

from aicost.testing import ProviderEmulator

from .door import Door

MODEL = "claude-sonnet-5"


def connect(
    emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, **options: Any
) -> anthropic.Anthropic:
    options = {"api_key": "test-key", **options}
    return anthropic.Anthropic(base_url=emulator.anthropic_base_url, timeout=timeout, max_retries=retries, **options)


def connect_async(
    emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, **options: Any
) -> anthropic.AsyncAnthropic:
    options = {"api_key": "test-key", **options}
    return anthropic.AsyncAnthropic(
        base_url=emulator.anthropic_base_url, timeout=timeout, max_retries=retries, **options
    )


def said(ask: str) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": ask}]}


def messages(c: Any, ask: str) -> Any:
    return c.messages.create(**said(ask))


def messages_beta(c: Any, ask: str) -> Any:
    return c.beta.messages.create(**said(ask))


def messages_create_stream(c: Any, ask: str) -> Any:
    return c.messages.create(stream=True, **said(ask))


def messages_beta_stream(c: Any, ask: str) -> Any:
    return c.beta.messages.create(stream=True, **said(ask))


def messages_stream_helper(c: Any, ask: str) -> Any:
    return c.messages.stream(**said(ask))


def messages_raw(c: Any, ask: str) -> Any:
    return c.messages.with_raw_response.create(**said(ask)).parse()


def messages_raw_stream(c: Any, ask: str) -> Any:
    return c.messages.with_raw_response.create(stream=True, **said(ask)).parse()


def messages_streaming_response(c: Any, ask: str) -> Any:
    with c.messages.with_streaming_response.create(**said(ask)) as response:
        return response.parse()


def messages_with_options(c: Any, ask: str) -> Any:
    return c.with_options(timeout=3).copy().messages.create(**said(ask))


async def async_messages(c: Any, ask: str) -> Any:
    return await messages(c, ask)


async def async_messages_beta(c: Any, ask: str) -> Any:
    return await messages_beta(c, ask)


async def async_messages_create_stream(c: Any, ask: str) -> Any:
    return await messages_create_stream(c, ask)


async def async_messages_stream_helper(c: Any, ask: str) -> Any:
    return messages_stream_helper(c, ask)


# Early versions put ten minutes into every call, whatever the client was told.
_OWN_TIMEOUT = inspect.signature(anthropic.resources.Messages.create).parameters["timeout"].default == 600


def _door(way: Any, **more: Any) -> Door:
    more.setdefault("own_timeout", _OWN_TIMEOUT)
    more.setdefault("connect", connect_async if way.__name__.startswith("async_") else connect)
    return Door("anthropic", way, model=MODEL, silent_reasoning=True, partial=True, **more)


DOORS = [
    _door(messages), _door(messages_raw), _door(messages_streaming_response), _door(messages_with_options),
    _door(async_messages),
    _door(messages_create_stream, kind="stream"), _door(messages_raw_stream, kind="stream"),
    _door(messages_stream_helper, kind="manager"), _door(async_messages_create_stream, kind="stream"),
    _door(async_messages_stream_helper, kind="manager"),
]  # fmt: skip
if hasattr(getattr(anthropic.Anthropic(api_key="x"), "beta", None), "messages"):
    DOORS += [_door(messages_beta), _door(messages_beta_stream, kind="stream"), _door(async_messages_beta)]
