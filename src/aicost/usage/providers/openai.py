"""OpenAI: chat completions, responses and embeddings, which most others answer too; the media are beside it.

Read in openai 3.57 (types/completion_usage.py, types/responses/response_usage.py,
types/create_embedding_response.py). All counts are *inclusive*: cached and written tokens are part of the input,
reasoning is part of the output. Image and text details of a chat prompt are billed at the input rate and stay in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading
from aicost.usage.streams import USAGE, StreamAccumulator

from . import _openai_media as media
from ._openai_tools import count_tool_calls

_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')

_CHAT_INPUT = Fields("cached_tokens cache_write_tokens audio_tokens", informs="image_tokens text_tokens")
_CHAT_OUTPUT = Fields(
    "reasoning_tokens audio_tokens", informs="text_tokens accepted_prediction_tokens rejected_prediction_tokens"
)
CHAT = Fields(
    "prompt_tokens completion_tokens total_tokens",
    prompt_tokens_details=_CHAT_INPUT,
    completion_tokens_details=_CHAT_OUTPUT,
)
_TTL = Fields("ttl_30m_tokens ttl_12h_tokens")
_RESPONSES_INPUT = Fields(
    "cached_tokens cache_write_tokens audio_tokens", informs="text_tokens", cache_write_tokens_details=_TTL
)
_RESPONSES_OUTPUT = Fields("reasoning_tokens audio_tokens", informs="text_tokens")
RESPONSES = Fields(
    "input_tokens output_tokens total_tokens",
    input_tokens_details=_RESPONSES_INPUT,
    output_tokens_details=_RESPONSES_OUTPUT,
)
EMBEDDINGS = Fields("prompt_tokens total_tokens")


def read_chat(raw: Raw) -> Reading:
    """Usage of chat completions (and of the older completions API)."""
    counts = Counts(raw)
    details, out = counts.inside("prompt_tokens_details"), counts.inside("completion_tokens_details")
    prompt, completion = counts.require("prompt_tokens"), counts.take("completion_tokens")
    cached, written, audio = (
        details.take("cached_tokens"),
        details.take("cache_write_tokens"),
        details.take("audio_tokens"),
    )
    reasoning, spoken = out.take("reasoning_tokens"), out.take("audio_tokens")
    usage: dict[str, Quantity] = {}
    fresh = counts.remainder(prompt, cached, written, audio, name="input_tokens")
    said = counts.remainder(completion, reasoning, spoken, name="output_tokens")
    # Most are zero most of the time, and this is read for every call: written out, it takes half as long.
    if fresh:
        usage["input"] = fresh
    if cached:
        usage["input_cache_read"] = cached
    if written:
        usage["input_cache_write"] = written
    if audio:
        usage["input_audio"] = audio
    if said:
        usage["output"] = said
    if reasoning:
        usage["output_reasoning"] = reasoning
    if spoken:
        usage["output_audio"] = spoken
    _check_total(counts, prompt + completion)
    details.finish(_CHAT_INPUT)
    out.finish(_CHAT_OUTPUT)
    flags = counts.finish(CHAT)
    return Reading(usage, None, None, None, flags, not flags or counts.complete)


def read_responses(raw: Raw) -> Reading:
    """Usage of the responses API."""
    counts = Counts(raw)
    details, out = counts.inside("input_tokens_details"), counts.inside("output_tokens_details")
    prompt, completion = counts.require("input_tokens"), counts.require("output_tokens")
    cached, kept = details.take("cached_tokens"), cache_writes(details)
    audio, reasoning, spoken = (
        details.take("audio_tokens"),
        out.take("reasoning_tokens"),
        out.take("audio_tokens"),
    )
    usage = {
        "input": counts.remainder(prompt, cached, *kept.values(), audio, name="input_tokens"),
        "input_cache_read": cached,
        **kept,
        "input_audio": audio,
        "output": counts.remainder(completion, reasoning, spoken, name="output_tokens"),
        "output_reasoning": reasoning,
        "output_audio": spoken,
    }
    _check_total(counts, prompt + completion)
    details.finish(_RESPONSES_INPUT)
    out.finish(_RESPONSES_OUTPUT)
    return _reading(counts, usage, RESPONSES)


def read_embeddings(raw: Raw) -> Reading:
    """Usage of the embeddings API."""
    counts = Counts(raw)
    prompt = counts.require("prompt_tokens")
    _check_total(counts, prompt)
    return _reading(counts, {"input": prompt}, EMBEDDINGS)


def cache_writes(details: Counts) -> dict[str, int]:
    """What a prompt wrote to the cache, by the meter of how long it is kept."""
    total = details.take("cache_write_tokens") if details.has("cache_write_tokens") else None
    if not details.has("cache_write_tokens_details"):
        return details.cache_writes(total, {})
    ttl = details.inside("cache_write_tokens_details")
    by_life = {"30m": ttl.take("ttl_30m_tokens"), "12h": ttl.take("ttl_12h_tokens")}
    ttl.finish(_TTL)
    return details.cache_writes(total, by_life)


def _check_total(counts: Counts, expected: int) -> None:
    total = counts.take("total_tokens")
    if total != expected and counts.has("total_tokens"):
        counts.flag("total_tokens_mismatch")


def _reading(counts: Counts, usage: dict[str, int], known: Fields) -> Reading:
    flags = counts.finish(known)
    return Reading({meter: n for meter, n in usage.items() if n}, None, None, None, flags, not flags or counts.complete)


class ChatStream(StreamAccumulator):
    """Chat completions: every chunk names the response, one near the end may carry the usage."""

    def matters(self, data: bytes) -> bool:
        # Substrings first: a regex costs ten times that.
        return (b'"usage"' in data and USAGE.search(data) is not None) or b'"error"' in data

    def hidden(self, data: bytes) -> bool:
        return _NO_CHOICES.search(data) is not None and USAGE.search(data) is not None

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded chunk."""
        if event.get("error"):
            self._fail(event["error"])
        self._learn(event, "id", "model", "service_tier", "usage")
        choices = event.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
            self._learn(choices[0], "usage")  # where Moonshot puts it
        # Groq puts it elsewhere (groq 1.7, types/chat/chat_completion_chunk.py, XGroq).
        own = event.get("x_groq")
        if isinstance(own, Mapping):
            self._learn(own, "usage")
            if own.get("error"):
                self._fail(own["error"])
        self.complete = isinstance(self.body.get("usage"), Mapping)


class ResponsesStream(StreamAccumulator):
    """Responses: each lifecycle event carries the whole response so far; the last one has the usage."""

    ends_with_usage = True

    def matters(self, data: bytes) -> bool:
        return (
            (b'"usage"' in data and USAGE.search(data) is not None)
            or b'"error"' in data
            or b'"response.failed"' in data
            or b'"response.incomplete"' in data
            or b'"response.completed"' in data
        )

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        response = event.get("response")
        if isinstance(response, Mapping):
            self.body.update(response)
            self.finished = event.get("type") in {"response.completed", "response.incomplete", "response.failed"}
            self.complete = self.finished and isinstance(response.get("usage"), Mapping)
            if event.get("type") == "response.failed":
                self._fail(response.get("error"))
        elif event.get("type") == "error" or event.get("error"):
            self._fail(event.get("error") or event)


PROVIDERS = (
    Provider(
        "openai",
        aliases=("text_completion_openai",),
        hosts=("*.openai.com",),
        models=r"gpt-|chatgpt-|o[1-9](?:-|$)|text-embedding-(?:3|ada)|codex-",
        request_headers={"openai-organization": "organization", "openai-project": "project"},
        response_headers={
            "openai-organization": "organization",
            "openai-project": "project",
            "x-request-id": "request_id",
        },
        strict=True,
        spoken_by_others=True,
        apis={
            "chat": UsageReader(
                read_chat,
                fields=CHAT,
                stream=ChatStream,
                told_by=frozenset({"prompt_tokens", "completion_tokens"}),
                called="chat.completion",
            ),
            "completions": UsageReader(read_chat, fields=CHAT, stream=ChatStream, called="text_completion"),
            "responses": UsageReader(
                read_responses,
                fees=count_tool_calls,
                fields=RESPONSES,
                stream=ResponsesStream,
                told_by=frozenset({"input_tokens", "output_tokens"}),
                called="response",
            ),
            "embeddings": UsageReader(read_embeddings, fields=EMBEDDINGS, told_by=frozenset({"total_tokens"})),
            "realtime": UsageReader(
                media.read_realtime,
                fields=media.REALTIME,
                told_by=frozenset({"input_token_details", "output_token_details"}),
            ),
            "images": UsageReader(
                media.read_images, fees=media.count_drawings, fields=media.IMAGES, stream=media.MediaStream
            ),
            "transcription": UsageReader(
                media.read_transcription,
                fields=media.TRANSCRIPTION,
                stream=media.MediaStream,
                told_by=frozenset({"seconds"}),
            ),
            "speech": UsageReader(
                media.read_speech,
                fields=media.SPEECH,
                stream=media.MediaStream,
                told_by=frozenset({"input_characters"}),
            ),
            "moderations": UsageReader(media.read_moderation, found_at=()),
            "videos": UsageReader(media.read_video, found_at=(), fields=Fields("seconds")),
            "fine_tuning": UsageReader(media.read_fine_tuning, found_at=(), fields=Fields("trained_tokens")),
        },
    ),
)
