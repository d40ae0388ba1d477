"""What a ledger answers with, beside sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aicost.pricing.kernel import Inquiry

from .records import ChargeRecord


@dataclass(frozen=True, slots=True)
class Gap:
    """Charges whose amount is not, or not fully, known: which model, why, how many, and what they come to at least."""

    provider: str
    model: str
    status: str
    chargeable: str
    reason: str
    count: int
    currency: str
    atto: int | None
    """What is known of it, in 1e-18; None if nothing is."""
    at_most_atto: int | None
    """What it comes to at most; None where nobody can say."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """Views of one kind that are no money: how many, and what they would have come to in 1e-18 of the currency.

    `kind` is `joined`, `differs`, `replaced` or `contradiction` (`aicost.pricing.sighting`).
    """

    kind: str
    reason: str
    currency: str
    count: int
    atto: int | None
    unknown: int = 0
    """Of how many it is not known what they would have come to."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An attempt as it was recorded: the question of its price, and the answer it got then."""

    event_id: str
    inquiry: Inquiry
    currency: str
    atto: int | None


class RunRow(NamedTuple):
    """A run. Times are nanoseconds since the epoch."""

    run_id: str
    root_run_id: str
    parent_run_id: str | None
    parent_step_id: str | None
    workflow: str
    version: str | None
    status: str
    started_ns: int
    ended_ns: int | None
    attribution: Mapping[str, str]


class StepRow(NamedTuple):
    """A step of a run."""

    step_id: str
    run_id: str
    parent_step_id: str | None
    name: str
    kind: str
    status: str
    started_ns: int
    ended_ns: int | None


class Booked(NamedTuple):
    """An entry as it is billed. Of one that takes another back (`n` is -1) amounts and quantities are negative."""

    record: ChargeRecord
    n: int = 1
    posted: str | None = None
    """The month (YYYY-MM) it is billed in, if that is not the one it began in: that was closed."""
    entry_id: str | None = None
    """The id of a correction; None of what was entered first, which has that of its event."""
    corrects: str | None = None
    """The entry that a correction takes back or replaces."""


class EntryRow(NamedTuple):
    """One entry of an event's history. `n` is -1 of a reversal; amounts are in 1e-18."""

    id: str
    n: int
    corrects: str | None
    atto: int | None
    record: ChargeRecord
