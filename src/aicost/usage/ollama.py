"""Ollama responses -> disjoint meters. Read in ollama 0.6 (_types.py: BaseGenerateResponse, EmbedResponse)."""

from __future__ import annotations

from decimal import Decimal

from .meters import Quantity
from .reading import Counts, Fields, Raw, Reading

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
