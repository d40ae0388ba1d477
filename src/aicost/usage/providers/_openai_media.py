"""OpenAI's realtime, image, transcription, speech and moderation usage -> disjoint meters.

Read in openai 3.57 (types/realtime/realtime_response_usage*.py, types/images_response.py,
types/image_gen_completed_event.py, types/audio/transcription.py, types/audio/transcription_text_done_event.py). All
counts are *inclusive*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost._bounded import short
from aicost.usage.meters import Quantity
from aicost.usage.reading import Counts, Fields, Raw, Reading, fields_of
from aicost.usage.streams import USAGE, StreamAccumulator

_TOTALS = "input_tokens output_tokens total_tokens"
_CACHED = Fields("audio_tokens image_tokens", informs="text_tokens")
_REALTIME_INPUT = Fields(
    "audio_tokens image_tokens cached_tokens", informs="text_tokens", cached_tokens_details=_CACHED
)
_REALTIME_OUTPUT = Fields("audio_tokens image_tokens reasoning_tokens", informs="text_tokens")
REALTIME = Fields(_TOTALS, input_token_details=_REALTIME_INPUT, output_token_details=_REALTIME_OUTPUT)
_CACHED_OF_IMAGES = Fields("cached_image_tokens", informs="cached_text_tokens")
_IMAGES_INPUT = Fields("image_tokens cached_tokens", informs="text_tokens")
_IMAGES_OUTPUT = Fields("text_tokens", informs="image_tokens")
IMAGES = Fields(
    f"{_TOTALS} cached_tokens",
    input_tokens_details=_IMAGES_INPUT,
    output_tokens_details=_IMAGES_OUTPUT,
    cached_tokens_details=_CACHED_OF_IMAGES,
)
_TRANSCRIPTION_INPUT = Fields("audio_tokens", informs="text_tokens")
TRANSCRIPTION = Fields(f"{_TOTALS} seconds", informs="type", input_token_details=_TRANSCRIPTION_INPUT)
SPEECH = Fields(f"{_TOTALS} input_characters", informs="input_token_details output_token_details")


def read_realtime(raw: Raw) -> Reading:
    """Usage of a `response.done` event. Cached tokens are part of the input, by modality where it says so."""
    counts = Counts(raw)
    details, out = counts.inside("input_token_details"), counts.inside("output_token_details")
    by_kind = details.inside("cached_tokens_details")
    total, answered = counts.require("input_tokens"), counts.require("output_tokens")
    cached = details.take("cached_tokens")
    audio_read, image_read = by_kind.take("audio_tokens"), by_kind.take("image_tokens")
    audio, image = details.take("audio_tokens"), details.take("image_tokens")
    text_read = details.remainder(cached, audio_read, image_read, name="cached_tokens")
    spoken, drawn, thought = out.take("audio_tokens"), out.take("image_tokens"), out.take("reasoning_tokens")
    usage: dict[str, Quantity] = {
        "input": counts.remainder(total, audio, image, text_read, name="input_tokens"),
        "input_audio": counts.remainder(audio, audio_read, name="input_audio_tokens"),
        "input_image": counts.remainder(image, image_read, name="input_image_tokens"),
        "input_cache_read": text_read,
        "input_cache_read_audio": audio_read,
        "input_cache_read_image": image_read,
        "output": counts.remainder(answered, spoken, drawn, thought, name="output_tokens"),
        "output_reasoning": thought,
        "output_audio": spoken,
        "output_image": drawn,
    }
    by_kind.finish(_CACHED)
    details.finish(_REALTIME_INPUT)
    out.finish(_REALTIME_OUTPUT)
    return _reading(counts, usage, total + answered, REALTIME)


def read_images(raw: Raw) -> Reading:
    """Usage of image generation, edits and variations. What comes out is image unless the details say text.

    A response of a model that reports no tokens says nothing; `{"output_images_hd_1024x1024": n}` says what the
    request asked for.
    """
    counts = Counts(raw)
    drawn = [str(name) for name in raw if str(name).startswith("output_images")]
    if drawn:
        by_size: dict[str, Quantity] = {name: counts.take(name) for name in drawn}
        return Reading(counts.usage(by_size), flags=counts.finish(frozenset(drawn)), complete=counts.complete)
    details, out = counts.inside("input_tokens_details"), counts.inside("output_tokens_details")
    total, answered = counts.require("input_tokens"), counts.require("output_tokens")
    image, written = details.take("image_tokens"), out.take("text_tokens")
    cached = counts.take("cached_tokens") or details.take("cached_tokens")
    by_kind = counts.inside("cached_tokens_details")
    image_read = by_kind.take("cached_image_tokens")
    text_read = counts.remainder(cached, image_read, name="cached_tokens")
    usage: dict[str, Quantity] = {
        "input": counts.remainder(total, image, text_read, name="input_tokens"),
        "input_image": counts.remainder(image, image_read, name="input_image_tokens"),
        "input_cache_read": text_read,
        "input_cache_read_image": image_read,
        "output_image": counts.remainder(answered, written, name="output_tokens"),
        "output": written,
    }
    by_kind.finish(_CACHED_OF_IMAGES)
    details.finish(_IMAGES_INPUT)
    out.finish(_IMAGES_OUTPUT)
    return _reading(counts, usage, total + answered, IMAGES)


def count_drawings(body: Raw) -> Reading:
    """What another model used to draw an SVG, under that model's name."""
    usage = fields_of(body.get("svg_usage"))
    model = usage.get("model") if usage is not None else None
    if usage is None or not isinstance(model, str):
        return Reading({})
    model = short(model)
    counts = Counts(usage, "svg_usage.")
    thought = counts.take("reasoning_tokens")
    drawn: dict[str, Quantity] = {
        f"{model}/input": counts.take("input_tokens"),
        f"{model}/output": counts.remainder(counts.take("output_tokens"), thought, name="output_tokens"),
        f"{model}/output_reasoning": thought,
    }
    return Reading(counts.usage(drawn), flags=counts.finish(usage.keys()), complete=counts.complete)


def read_transcription(raw: Raw) -> Reading:
    """Usage of a transcription or translation: tokens, or the seconds of the audio, whichever the model bills."""
    counts = Counts(raw)
    if counts.text("type") == "duration" or counts.has("seconds"):
        seconds = counts.decimal("seconds")
        if seconds is None and not counts.has("seconds"):
            counts.require("seconds")
        usage: dict[str, Quantity] = {"input_audio_seconds": seconds or 0}
        return Reading(counts.usage(usage), flags=counts.finish(TRANSCRIPTION), complete=counts.complete)
    details = counts.inside("input_token_details")
    total, answered = counts.require("input_tokens"), counts.require("output_tokens")
    audio = details.take("audio_tokens")
    usage = {
        "input": counts.remainder(total, audio, name="input_tokens"),
        "input_audio": audio,
        "output": answered,
    }
    details.finish(_TRANSCRIPTION_INPUT)
    return _reading(counts, usage, total + answered, TRANSCRIPTION)


def read_speech(raw: Raw) -> Reading:
    """Usage of text to speech: tokens where a stream's last event has them, else the characters of the request.

    A response that is only audio says nothing of its cost; `{"input_characters": n}` says what the request had.
    """
    counts = Counts(raw)
    if counts.has("input_characters"):
        characters: dict[str, Quantity] = {"input_characters": counts.take("input_characters")}
        return Reading(counts.usage(characters), flags=counts.finish(SPEECH), complete=counts.complete)
    total, answered = counts.require("input_tokens"), counts.require("output_tokens")
    # What a speech model gives is audio, and it has one output price, for that.
    return _reading(counts, {"input": total, "output_audio": answered}, total + answered, SPEECH)


def read_moderation(raw: Raw) -> Reading:
    """Moderation is free and reports no usage: nothing used, which is known."""
    del raw
    return Reading({})


def read_video(raw: Raw) -> Reading:
    """A video that is done: its seconds, which are billed (openai 3.57, types/video.py)."""
    counts = Counts(raw)
    usage: dict[str, Quantity] = {"output_video_seconds": counts.require("seconds")}
    return Reading(counts.usage(usage), flags=counts.finish(raw.keys()), complete=counts.complete)


def read_fine_tuning(raw: Raw) -> Reading:
    """A fine-tuning job that is done: the tokens it was trained on (openai 3.57, types/fine_tuning)."""
    counts = Counts(raw)
    usage: dict[str, Quantity] = {"training_tokens": counts.require("trained_tokens")}
    return Reading(counts.usage(usage), flags=counts.finish(raw.keys()), complete=counts.complete)


def _reading(counts: Counts, usage: dict[str, Quantity], expected: int, known: Fields) -> Reading:
    if counts.has("total_tokens") and counts.take("total_tokens") != expected:
        counts.flag("total_tokens_mismatch")
    flags = counts.finish(known)
    return Reading(counts.usage(usage), flags=flags, complete=counts.complete)


class MediaStream(StreamAccumulator):
    """OpenAI's streams of images, speech and transcriptions: the usage is in the event that ends them."""

    def matters(self, data: bytes) -> bool:
        return (b'"usage"' in data and USAGE.search(data) is not None) or b'"error"' in data

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        if event.get("type") == "error" or event.get("error"):
            self._fail(event.get("error") or event)
        self._learn(event, "usage", "model")
        self.complete = isinstance(self.body.get("usage"), Mapping)
