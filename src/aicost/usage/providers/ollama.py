"""Ollama, on a machine of one's own. Read in ollama 0.6 (_types.py: BaseGenerateResponse, EmbedResponse)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading
from aicost.usage.streams import StreamAccumulator

from . import _compatible as compatible

OLLAMA = Fields("prompt_eval_count eval_count prompt_eval_duration eval_duration")
_NANOSECONDS = Decimal(10) ** 9


def read_ollama(raw: Raw) -> Reading:
    """A whole Ollama response, chat, generate or embed: tokens, and the seconds the machine worked on them.

    A prompt that was still in memory is left out of the count by the server. Loading the model is no one call's work.
    """
    counts = Counts(raw)
    nanoseconds = counts.take("prompt_eval_duration") + counts.take("eval_duration")
    usage: dict[str, Quantity] = {
        "input": counts.take("prompt_eval_count"),
        "output": counts.take("eval_count"),
        "compute_seconds": Decimal(nanoseconds) / _NANOSECONDS,
    }
    if not counts.has("prompt_eval_count") and not counts.has("eval_count"):
        counts.require("eval_count")
    return Reading(counts.usage(usage), flags=counts.finish(raw.keys()), complete=counts.complete)


class OllamaStream(StreamAccumulator):
    """Ollama: the line that says `done` has the counts."""

    markers = (b'"done":true', b'"done": true', b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded line."""
        if event.get("error"):
            self._fail(event["error"])
        self.body.update({name: value for name, value in event.items() if name not in {"message", "response"}})
        self.complete = self.finished = event.get("done") is True


_OWN = compatible.or_compatible(read_ollama)
PROVIDERS = (
    # Its server's OpenAI endpoint draws `chatcmpl-0` to `chatcmpl-998` (openai/openai.go).
    Provider(
        "ollama",
        aliases=("ollama_chat", "chatollama"),
        ports=(11434,),
        weak_ids=True,
        forms={
            "chat": UsageReader(
                _OWN,
                found_at=(),
                fields=OLLAMA,
                stream=OllamaStream,
                told_by=frozenset({"prompt_eval_count", "eval_count"}),
            ),
            "embeddings": UsageReader(_OWN, found_at=(), fields=OLLAMA),
        },
    ),
)
