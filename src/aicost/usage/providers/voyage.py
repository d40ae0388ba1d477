"""Voyage: embeddings. Read in voyageai 0.5 (object/*.py)."""

from __future__ import annotations

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading

VOYAGE = Fields("total_tokens text_tokens image_pixels video_pixels", informs="prompt_tokens")


def read_voyage(raw: Raw) -> Reading:
    """Usage of Voyage embeddings: tokens, and the pixels of images and video of the multimodal ones."""
    counts = Counts(raw)
    total = counts.require("total_tokens")
    if counts.has("text_tokens"):
        total = counts.take("text_tokens")  # the total then has images and video in it, which are billed by the pixel
    pixels = counts.take("image_pixels") + counts.take("video_pixels")
    usage: dict[str, Quantity] = {"input": total, "input_pixels": pixels}
    return Reading(counts.usage(usage), flags=counts.finish(VOYAGE), complete=counts.complete)


PROVIDERS = (
    Provider(
        "voyage",
        aliases=("voyageai", "voyage_ai"),
        hosts=("api.voyageai.com",),
        forms={"embeddings": UsageReader(read_voyage, fields=VOYAGE)},
    ),
)
