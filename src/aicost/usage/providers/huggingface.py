"""Hugging Face: text generation, and the router to other hosts. Read in huggingface_hub 2.4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading
from aicost.usage.streams import StreamAccumulator

GENERATED = Fields(details=Fields("generated_tokens"))


def read_text_generation(raw: Raw) -> Reading:
    """Hugging Face text generation: what was generated; the prompt is not counted (huggingface_hub 2.4)."""
    counts = Counts(raw)
    details = counts.inside("details")
    if not details.has("generated_tokens"):
        counts.require("details")
    usage: dict[str, Quantity] = {"output": details.take("generated_tokens")}
    flags = ("prompt_not_reported", *counts.finish(raw.keys()))
    return Reading(counts.usage(usage), flags=flags, complete=False)


class TextGenerationStream(StreamAccumulator):
    """Hugging Face text generation: the last event has `details` (huggingface_hub 2.4, text_generation.py)."""

    markers = (b'"generated_tokens"', b'"error"')

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        if event.get("error"):
            self._fail(event["error"])
        if isinstance(event.get("details"), Mapping):
            self._learn(event, "details")
            self.complete = True


_ROUTES = (
    "baseten", "cerebras", "cohere", "deepinfra", "fal_ai", "featherless_ai", "fireworks_ai", "groq", "hyperbolic",
    "nebius", "novita", "nscale", "ovhcloud", "publicai", "replicate", "sambanova", "scaleway", "together",
    "wavespeed", "zai_org",
)  # fmt: skip
"""Read in huggingface_hub 2.4 (`inference/_providers/`), and those of 1.0 that have gone since."""
PROVIDERS = (
    Provider(
        "huggingface",
        aliases=("hugging_face", "hf", "hf_inference"),
        hosts=("router.huggingface.co", "api-inference.huggingface.co", "*.endpoints.huggingface.cloud"),
        routes=_ROUTES,
        apis={
            "text_generation": UsageReader(
                read_text_generation, found_at=(), fields=GENERATED, stream=TextGenerationStream
            ),
        },
    ),
)
