"""Mistral: OCR, which is billed by the page; the rest is in OpenAI's shape. Read in mistralai 3.7."""

from __future__ import annotations

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading

OCR = Fields("pages_processed pages_processed_annotation", informs="doc_size_bytes")


def read_ocr(raw: Raw) -> Reading:
    """Pages, and those of them that were annotated."""
    counts = Counts(raw)
    pages, annotated = counts.require("pages_processed"), counts.take("pages_processed_annotation")
    usage: dict[str, Quantity] = {
        "pages": counts.remainder(pages, annotated, name="pages"),
        "annotated_pages": annotated,
    }
    return Reading(counts.usage(usage), flags=counts.finish(OCR), complete=counts.complete)


PROVIDERS = (
    Provider(
        "mistral_ai",
        aliases=("mistral", "mistralai", "codestral", "text_completion_codestral"),
        hosts=("api.mistral.ai", "codestral.mistral.ai"),
        models=r"(?:mistral|ministral|codestral|magistral|pixtral|devstral)-",
        apis={
            "ocr": UsageReader(
                read_ocr, found_at=("usage_info", "usage"), fields=OCR, told_by=frozenset({"pages_processed"})
            ),
        },
    ),
)
