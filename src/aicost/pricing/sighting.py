"""Sighting: a view of an inference that is not counted, kept for whoever wants to compare."""

from __future__ import annotations

from typing import Literal, NamedTuple

from aicost.usage.event import UsageEvent

from .charge import Charge

SightingKind = Literal["joined", "differs", "replaced", "contradiction"]
"""Joined to what is counted; joined although it counts otherwise; counted until something nearer to the wire came; the
same event told twice, differently."""


class Sighting(NamedTuple):
    """A view that is no money, and what it would have been."""

    kind: SightingKind
    reason: str
    by: str | None
    """The event that counts the inference, where it is known."""
    observer: str
    event: UsageEvent
    charge: Charge
