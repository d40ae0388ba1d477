"""Every door of every client, as a table: one conformance suite runs over all of them.

A door makes one call that asks for the text `ask` and returns the id of the response, read by the application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from aicost.testing import ProviderEmulator

pytestmark = pytest.mark.clients

CHAT, CLAUDE, EMBED = "gpt-4o", "claude-sonnet-5", "text-embedding-3-small"
USAGE = {"stream_options": {"include_usage": True}}


class Answer(BaseModel):
    """What structured output is parsed into."""

    text: str


@dataclass(frozen=True)
class Clients:
    """The four clients, pointed at an emulator."""

    openai: openai.OpenAI
    async_openai: openai.AsyncOpenAI
    anthropic: anthropic.Anthropic
    async_anthropic: anthropic.AsyncAnthropic


def connect(emulator: ProviderEmulator, **options: Any) -> Clients:
    """Clients with short time-outs."""
    options = {"api_key": "test-key", "timeout": 5.0, **options}
    return Clients(
        openai.OpenAI(base_url=emulator.openai_base_url, **options),
        openai.AsyncOpenAI(base_url=emulator.openai_base_url, **options),
        anthropic.Anthropic(base_url=emulator.anthropic_base_url, **options),
        anthropic.AsyncAnthropic(base_url=emulator.anthropic_base_url, **options),
    )


def said(ask: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": ask}]}


def chat(c: Clients, ask: str) -> str:
    return c.openai.chat.completions.create(model=CHAT, **said(ask)).id


def chat_stream(c: Clients, ask: str) -> str:
    return [chunk.id for chunk in c.openai.chat.completions.create(model=CHAT, stream=True, **USAGE, **said(ask))][-1]


def chat_raw(c: Clients, ask: str) -> str:
    return c.openai.chat.completions.with_raw_response.create(model=CHAT, **said(ask)).parse().id


def chat_raw_stream(c: Clients, ask: str) -> str:
    raw = c.openai.chat.completions.with_raw_response.create(model=CHAT, stream=True, **USAGE, **said(ask))
    return [chunk.id for chunk in raw.parse()][-1]


def chat_streaming_response(c: Clients, ask: str) -> str:
    with c.openai.chat.completions.with_streaming_response.create(model=CHAT, **said(ask)) as response:
        return response.parse().id


def chat_streaming_response_bytes(c: Clients, ask: str) -> str:
    create = c.openai.chat.completions.with_streaming_response.create
    with create(model=CHAT, stream=True, **USAGE, **said(ask)) as response:
        return str(list(response.iter_lines())[-1] and "")


def chat_parse(c: Clients, ask: str) -> str:
    return c.openai.beta.chat.completions.parse(model=CHAT, response_format=Answer, **said(ask)).id


def chat_stream_helper(c: Clients, ask: str) -> str:
    with c.openai.beta.chat.completions.stream(model=CHAT, **USAGE, **said(ask)) as stream:
        return stream.get_final_completion().id


def responses(c: Clients, ask: str) -> str:
    return c.openai.responses.create(model=CHAT, input=ask).id


def responses_stream(c: Clients, ask: str) -> str:
    events = list(c.openai.responses.create(model=CHAT, input=ask, stream=True))
    return events[-1].response.id


def responses_raw(c: Clients, ask: str) -> str:
    return c.openai.responses.with_raw_response.create(model=CHAT, input=ask).parse().id


def responses_stream_helper(c: Clients, ask: str) -> str:
    with c.openai.responses.stream(model=CHAT, input=ask) as stream:
        return stream.get_final_response().id


def embeddings(c: Clients, ask: str) -> str:
    assert len(c.openai.embeddings.create(model=EMBED, input=[ask]).data[0].embedding) == 4
    return ""


def embeddings_raw(c: Clients, ask: str) -> str:
    c.openai.embeddings.with_raw_response.create(model=EMBED, input=[ask]).parse()
    return ""


def messages(c: Clients, ask: str) -> str:
    return c.anthropic.messages.create(model=CLAUDE, max_tokens=50, **said(ask)).id


def messages_beta(c: Clients, ask: str) -> str:
    return c.anthropic.beta.messages.create(model=CLAUDE, max_tokens=50, **said(ask)).id


def messages_create_stream(c: Clients, ask: str) -> str:
    events = list(c.anthropic.messages.create(model=CLAUDE, max_tokens=50, stream=True, **said(ask)))
    return events[0].message.id


def messages_stream_helper(c: Clients, ask: str) -> str:
    with c.anthropic.messages.stream(model=CLAUDE, max_tokens=50, **said(ask)) as stream:
        return stream.get_final_message().id


def messages_raw(c: Clients, ask: str) -> str:
    return c.anthropic.messages.with_raw_response.create(model=CLAUDE, max_tokens=50, **said(ask)).parse().id


def messages_raw_stream(c: Clients, ask: str) -> str:
    create = c.anthropic.messages.with_raw_response.create
    return next(iter(create(model=CLAUDE, max_tokens=50, stream=True, **said(ask)).parse())).message.id


def messages_streaming_response(c: Clients, ask: str) -> str:
    create = c.anthropic.messages.with_streaming_response.create
    with create(model=CLAUDE, max_tokens=50, **said(ask)) as response:
        return response.parse().id


async def async_chat(c: Clients, ask: str) -> str:
    return (await c.async_openai.chat.completions.create(model=CHAT, **said(ask))).id


async def async_chat_stream(c: Clients, ask: str) -> str:
    stream = await c.async_openai.chat.completions.create(model=CHAT, stream=True, **USAGE, **said(ask))
    return [chunk.id async for chunk in stream][-1]


async def async_chat_raw(c: Clients, ask: str) -> str:
    return (await c.async_openai.chat.completions.with_raw_response.create(model=CHAT, **said(ask))).parse().id


async def async_chat_streaming_response(c: Clients, ask: str) -> str:
    async with c.async_openai.chat.completions.with_streaming_response.create(model=CHAT, **said(ask)) as response:
        return (await response.parse()).id


async def async_responses(c: Clients, ask: str) -> str:
    return (await c.async_openai.responses.create(model=CHAT, input=ask)).id


async def async_responses_stream(c: Clients, ask: str) -> str:
    stream = await c.async_openai.responses.create(model=CHAT, input=ask, stream=True)
    return [event async for event in stream][-1].response.id


async def async_embeddings(c: Clients, ask: str) -> str:
    await c.async_openai.embeddings.create(model=EMBED, input=ask)
    return ""


async def async_messages(c: Clients, ask: str) -> str:
    return (await c.async_anthropic.messages.create(model=CLAUDE, max_tokens=50, **said(ask))).id


async def async_messages_create_stream(c: Clients, ask: str) -> str:
    stream = await c.async_anthropic.messages.create(model=CLAUDE, max_tokens=50, stream=True, **said(ask))
    return [event async for event in stream][0].message.id  # noqa: RUF015 - read to the end


async def async_messages_stream_helper(c: Clients, ask: str) -> str:
    async with c.async_anthropic.messages.stream(model=CLAUDE, max_tokens=50, **said(ask)) as stream:
        return (await stream.get_final_message()).id


Door = Callable[[Clients, str], str | Awaitable[str]]

PLAIN: list[Door] = [
    chat, chat_raw, chat_streaming_response, chat_parse, responses, responses_raw, embeddings, embeddings_raw,
    messages, messages_beta, messages_raw, messages_streaming_response,
    async_chat, async_chat_raw, async_chat_streaming_response, async_responses, async_embeddings, async_messages,
]  # fmt: skip
STREAMS: list[Door] = [
    chat_stream, chat_raw_stream, chat_streaming_response_bytes, chat_stream_helper, responses_stream,
    responses_stream_helper, messages_create_stream, messages_stream_helper,
    async_chat_stream, async_responses_stream, async_messages_create_stream, async_messages_stream_helper,
]  # fmt: skip
ALL = PLAIN + STREAMS
