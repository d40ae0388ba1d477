"""What a rate card's files are called and marked with, and how exactly a pattern names a model."""

from __future__ import annotations

SCHEMA = "aicost.rate-card/1"
HEADER = "card.json"
"""The file of a card's folder that says which card it is; every other file in it is one provider."""


def specificity(pattern: str) -> int:
    """How much of a name a pattern pins down: its characters that are no `*`."""
    return len(pattern.replace("*", ""))
