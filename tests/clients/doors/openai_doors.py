"""The doors of `openai`."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import openai
from pydantic import BaseModel

from aicost.testing import ProviderEmulator, Reply

from .door import FULL, NO_CACHE, PROMPT_ONLY, Door

MODEL, EMBED = "gpt-4o", "text-embedding-3-small"
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


class Answer(BaseModel):
    """What structured output is parsed into."""

    text: str


def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, **options: Any) -> openai.OpenAI:
    options = {"api_key": "test-key", **options}
    return openai.OpenAI(base_url=emulator.openai_base_url, timeout=timeout, max_retries=retries, **options)


def connect_async(
    emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, **options: Any
) -> openai.AsyncOpenAI:
    options = {"api_key": "test-key", **options}
    return openai.AsyncOpenAI(base_url=emulator.openai_base_url, timeout=timeout, max_retries=retries, **options)


def connect_azure(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2) -> openai.AzureOpenAI:
    return openai.AzureOpenAI(
        azure_endpoint=emulator.base_url(), api_key="test-key", api_version="2025-01-01", timeout=timeout,
        max_retries=retries,
    )  # fmt: skip


def said(ask: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": ask}]}


def chat(c: Any, ask: str) -> Any:
    return c.chat.completions.create(model=MODEL, **said(ask))


def chat_stream(c: Any, ask: str) -> Any:
    return c.chat.completions.create(model=MODEL, stream=True, **USAGE, **said(ask))


def chat_raw(c: Any, ask: str) -> Any:
    return c.chat.completions.with_raw_response.create(model=MODEL, **said(ask)).parse()


def chat_raw_stream(c: Any, ask: str) -> Any:
    return c.chat.completions.with_raw_response.create(model=MODEL, stream=True, **USAGE, **said(ask)).parse()


def chat_streaming_response(c: Any, ask: str) -> Any:
    with c.chat.completions.with_streaming_response.create(model=MODEL, **said(ask)) as response:
        return response.parse()


def chat_streaming_response_lines(c: Any, ask: str) -> Any:
    with c.chat.completions.with_streaming_response.create(model=MODEL, stream=True, **USAGE, **said(ask)) as response:
        return list(response.iter_lines())


def chat_with_options(c: Any, ask: str) -> Any:
    return c.with_options(timeout=3).copy().chat.completions.create(model=MODEL, **said(ask))


def chat_parse(c: Any, ask: str) -> Any:
    return c.beta.chat.completions.parse(model=MODEL, response_format=Answer, **said(ask))


def chat_stream_helper(c: Any, ask: str) -> Any:
    return c.beta.chat.completions.stream(model=MODEL, **USAGE, **said(ask))


def completions(c: Any, ask: str) -> Any:
    return c.completions.create(model="gpt-3.5-turbo-instruct", prompt=ask)


def completions_stream(c: Any, ask: str) -> Any:
    return c.completions.create(model="gpt-3.5-turbo-instruct", prompt=ask, stream=True, **USAGE)


def responses(c: Any, ask: str) -> Any:
    return c.responses.create(model=MODEL, input=ask)


def responses_stream(c: Any, ask: str) -> Any:
    return c.responses.create(model=MODEL, input=ask, stream=True)


def responses_raw(c: Any, ask: str) -> Any:
    return c.responses.with_raw_response.create(model=MODEL, input=ask).parse()


def responses_raw_stream(c: Any, ask: str) -> Any:
    return c.responses.with_raw_response.create(model=MODEL, input=ask, stream=True).parse()


def responses_stream_helper(c: Any, ask: str) -> Any:
    return c.responses.stream(model=MODEL, input=ask)


def responses_parse(c: Any, ask: str) -> Any:
    return c.responses.parse(model=MODEL, input=ask, text_format=Answer)


def responses_chain(c: Any, ask: str) -> Any:
    return c.responses.create(model=MODEL, input=ask, previous_response_id="resp_00000000")


def embeddings(c: Any, ask: str) -> Any:
    made = c.embeddings.create(model=EMBED, input=[ask])
    assert len(made.data[0].embedding) == 4
    return made


def embeddings_raw(c: Any, ask: str) -> Any:
    return c.embeddings.with_raw_response.create(model=EMBED, input=[ask]).parse()


def images(c: Any, ask: str) -> Any:
    return c.images.generate(model="gpt-image-1", prompt=ask)


def images_stream(c: Any, ask: str) -> Any:
    return c.images.generate(model="gpt-image-1", prompt=ask, stream=True)


def images_edit(c: Any, ask: str) -> Any:
    return c.images.edit(model="gpt-image-1", prompt=ask, image=("a.png", BytesIO(b"png"), "image/png"))


def images_variation(c: Any, ask: str) -> Any:
    return c.images.create_variation(model="gpt-image-1", image=("a.png", BytesIO(ask.encode()), "image/png"))


def speech(c: Any, ask: str) -> Any:
    return c.audio.speech.create(model="tts-1", voice="alloy", input=ask).content


def speech_streaming_response(c: Any, ask: str) -> Any:
    with c.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input=ask) as response:
        return b"".join(response.iter_bytes())


def transcription(c: Any, ask: str) -> Any:
    return c.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", BytesIO(ask.encode()), "audio/wav"))


def transcription_by_seconds(c: Any, ask: str) -> Any:
    return c.audio.transcriptions.create(model="whisper-1", file=("a.wav", BytesIO(ask.encode()), "audio/wav"))


def transcription_stream(c: Any, ask: str) -> Any:
    recording = ("a.wav", BytesIO(ask.encode()), "audio/wav")
    return c.audio.transcriptions.create(model="gpt-4o-transcribe", file=recording, stream=True)


def translation(c: Any, ask: str) -> Any:
    return c.audio.translations.create(model="whisper-1", file=("a.wav", BytesIO(ask.encode()), "audio/wav"))


def moderation(c: Any, ask: str) -> Any:
    return c.moderations.create(model="omni-moderation-latest", input=ask)


async def async_chat(c: Any, ask: str) -> Any:
    return await chat(c, ask)


async def async_chat_stream(c: Any, ask: str) -> Any:
    return await chat_stream(c, ask)


async def async_chat_raw(c: Any, ask: str) -> Any:
    return (await c.chat.completions.with_raw_response.create(model=MODEL, **said(ask))).parse()


async def async_chat_streaming_response(c: Any, ask: str) -> Any:
    async with c.chat.completions.with_streaming_response.create(model=MODEL, **said(ask)) as response:
        return await response.parse()


async def async_chat_stream_helper(c: Any, ask: str) -> Any:
    return chat_stream_helper(c, ask)


async def async_completions(c: Any, ask: str) -> Any:
    return await completions(c, ask)


async def async_responses(c: Any, ask: str) -> Any:
    return await responses(c, ask)


async def async_responses_stream(c: Any, ask: str) -> Any:
    return await responses_stream(c, ask)


async def async_embeddings(c: Any, ask: str) -> Any:
    return await c.embeddings.create(model=EMBED, input=ask)


async def async_images(c: Any, ask: str) -> Any:
    return await images(c, ask)


async def async_speech(c: Any, ask: str) -> Any:
    return (await c.audio.speech.create(model="tts-1", voice="alloy", input=ask)).content


async def async_transcription(c: Any, ask: str) -> Any:
    return await transcription(c, ask)


async def async_moderation(c: Any, ask: str) -> Any:
    return await moderation(c, ask)


def _door(way: Any, **more: Any) -> Door:
    more.setdefault("connect", connect_async if way.__name__.startswith("async_") else connect)
    more.setdefault("model", MODEL)
    return Door("openai", way, **more)


_EMBED: dict[str, Any] = {
    "model": EMBED, "reply": PROMPT_ONLY, "operation": "embeddings", "response_id": False,
}  # fmt: skip
_MEDIA: dict[str, Any] = {
    "reply": NO_CACHE, "operation": "generate_content", "response_id": False, "says_text": False,
}  # fmt: skip
_TEXT: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "operation": "text_completion", "reply": NO_CACHE}
_SECONDS = Reply(input_tokens=37)
_HAS = {
    "responses": find_spec("openai.resources.responses") is not None,
    "image_streams": "stream" in inspect.signature(openai.resources.images.Images.generate).parameters,
    "transcription_streams": "stream" in inspect.signature(openai.resources.audio.Transcriptions.create).parameters,
    "parse": hasattr(openai.OpenAI(api_key="x").beta, "chat")
    and hasattr(openai.OpenAI(api_key="x").beta.chat.completions, "parse"),
    "batches": hasattr(openai.OpenAI(api_key="x"), "batches"),
    "background": find_spec("openai.resources.responses") is not None
    and hasattr(openai.OpenAI(api_key="x"), "responses")
    and "background" in inspect.signature(openai.OpenAI(api_key="x").responses.create).parameters,
    "resumed": find_spec("openai.resources.responses") is not None
    and hasattr(openai.OpenAI(api_key="x"), "responses")
    and "starting_after" in inspect.signature(openai.OpenAI(api_key="x").responses.retrieve).parameters,
    "closing_streams": hasattr(openai.Stream, "close"),
    "streaming_response": hasattr(openai.OpenAI(api_key="x").chat, "with_streaming_response"),
    "stream_options": "stream_options" in inspect.signature(openai.resources.chat.Completions.create).parameters,
}

_PLAIN = [
    _door(chat), _door(chat_raw), _door(chat_with_options),
    _door(completions, **_TEXT), _door(embeddings, **_EMBED), _door(embeddings_raw, **_EMBED),
    _door(images, model="gpt-image-1", **_MEDIA), _door(images_edit, model="gpt-image-1", **_MEDIA),
    _door(images_variation, model="gpt-image-1", **_MEDIA),
    _door(speech, model="tts-1", **_MEDIA),
    _door(transcription, model="gpt-4o-transcribe", **_MEDIA),
    _door(transcription_by_seconds, model="whisper-1", **{**_MEDIA, "reply": _SECONDS}),
    _door(translation, model="whisper-1", **{**_MEDIA, "reply": _SECONDS}),
    _door(moderation, model="omni-moderation-latest", operation="moderation"),
    _door(async_chat), _door(async_chat_raw),
    _door(async_completions, **_TEXT), _door(async_embeddings, **_EMBED),
    _door(async_images, model="gpt-image-1", **_MEDIA), _door(async_speech, model="tts-1", **_MEDIA),
    _door(async_transcription, model="gpt-4o-transcribe", **_MEDIA),
    _door(async_moderation, model="omni-moderation-latest", operation="moderation"),
]  # fmt: skip
_STREAMS = [
    _door(chat_stream, kind="stream"), _door(chat_raw_stream, kind="stream"), _door(chat_streaming_response_lines),
    _door(completions_stream, kind="stream", **_TEXT), _door(async_chat_stream, kind="stream"),
]  # fmt: skip

DOORS = [*_PLAIN, *(_STREAMS if _HAS["stream_options"] else [])]
if _HAS["streaming_response"]:
    DOORS += [
        _door(chat_streaming_response), _door(async_chat_streaming_response),
        _door(speech_streaming_response, model="tts-1", **_MEDIA),
    ]  # fmt: skip
if _HAS["parse"]:
    DOORS += [
        _door(chat_parse), _door(chat_stream_helper, kind="manager"), _door(async_chat_stream_helper, kind="manager"),
    ]  # fmt: skip
if _HAS["responses"]:
    DOORS += [
        _door(responses), _door(responses_raw), _door(responses_parse), _door(responses_chain), _door(async_responses),
        _door(responses_stream, kind="stream"), _door(responses_raw_stream, kind="stream"),
        _door(responses_stream_helper, kind="manager"), _door(async_responses_stream, kind="stream"),
    ]  # fmt: skip
if _HAS["image_streams"]:
    DOORS.append(_door(images_stream, model="gpt-image-1", kind="stream", **_MEDIA))
if _HAS["transcription_streams"]:
    DOORS.append(_door(transcription_stream, model="gpt-4o-transcribe", kind="stream", **_MEDIA))

__all__ = ["DOORS", "FULL", "MODEL", "connect", "connect_async", "connect_azure", "said"]
