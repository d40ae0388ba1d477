"""Outcomes: units of value that were delivered, by whom they were for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from aicost._errors import LedgerError
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.meters import Quantity

from .columns import MOST
from .query import RUN, Bucket, Filter, start_of
from .sums import Keys, added

WORKFLOW = "workflow"
_KEYS = {one.name: one.key for one in DIMENSIONS}
_HOUR_NS = 3_600 * 10**9


class OutcomeRow(NamedTuple):
    """An outcome as it is kept. `value` is what all its units are worth together, in `unit`."""

    name: str
    units: int
    at_ns: int
    run_id: str | None
    workflow: str | None
    attribution: Mapping[str, str]
    value: str | None
    unit: str | None


@dataclass(slots=True)
class OutcomeSums:
    """Units of one name, and what they are worth by unit of worth."""

    name: str
    keys: Keys
    start: datetime | None
    count: int = 0
    worth: dict[str, Quantity] = field(default_factory=dict)
    """What those are worth together that say it."""
    valued: dict[str, int] = field(default_factory=dict)
    """How many they are."""


def outcomes_sql(since_ns: int | None, until_ns: int | None) -> tuple[str, list[int]]:
    """What finds the outcomes of a stretch of time; those at its end may be among them."""
    asked = (
        "SELECT o.name, o.count AS units, o.at_ns, o.run_id, r.workflow, o.attribution, o.value, o.unit "
        "FROM outcomes o LEFT JOIN runs r ON r.run_id = o.run_id WHERE o.at_ns >= ? AND o.at_ns <= ?"
    )
    given = (-MOST if since_ns is None else since_ns, MOST if until_ns is None else until_ns)
    return asked, [min(max(one, -MOST), MOST) for one in given]


def outcome_of(row: Mapping[str, Any], run_id: str | None) -> OutcomeRow:
    """An outcome that was found."""
    owners = json.loads(row["attribution"])
    name, units, at_ns, value, unit = (row[key] for key in ("name", "units", "at_ns", "value", "unit"))
    return OutcomeRow(name, int(units), at_ns, run_id, row["workflow"], owners, value, unit)


def can_tell(name: str) -> bool:
    """Whether an outcome says of itself which one of this dimension it belongs to."""
    return name in _KEYS or name.startswith(LABEL) or name in (RUN, WORKFLOW)


def check_outcomes_by(names: Iterable[str]) -> None:
    """Raise `LedgerError` for dimensions that no outcome has."""
    for name in names:
        if not can_tell(name):
            raise LedgerError(f"an outcome has no {name}; it has owners, labels, a run and a workflow")


def outcome_sums(
    rows: Iterable[OutcomeRow],
    group_by: tuple[str, ...] = (),
    where: Filter | None = None,
    bucket: Bucket | None = None,
) -> list[OutcomeSums]:
    """Add up outcomes, by name, and by these dimensions and stretches of time; those of the most units first.

    Raises `LedgerError` for a dimension, in either, that no outcome has.
    """
    narrowed: Mapping[str, str] = {} if where is None else where.dimensions
    check_outcomes_by((*group_by, *narrowed))
    made: dict[tuple[str, Keys, datetime | None], OutcomeSums] = {}
    for row in rows:
        if any(_value(row, name) != value for name, value in narrowed.items()) or not _is_at(row, where):
            continue
        key = (
            row.name,
            tuple([_value(row, name) for name in group_by]),
            None if bucket is None else start_of(bucket, row.at_ns // _HOUR_NS),
        )
        sums = made.setdefault(key, OutcomeSums(*key))
        sums.count += row.units
        if row.value is not None and row.unit is not None:
            sums.worth[row.unit] = added((sums.worth.get(row.unit, 0), Decimal(row.value)))
            sums.valued[row.unit] = sums.valued.get(row.unit, 0) + row.units
    return sorted(made.values(), key=lambda one: (-one.count, one.name))


def _value(row: OutcomeRow, name: str) -> str | None:
    if name == RUN:
        return row.run_id
    return row.workflow if name == WORKFLOW else row.attribution.get(_KEYS.get(name, name))


def _is_at(row: OutcomeRow, where: Filter | None) -> bool:
    if where is None:
        return True
    if where.run_id is not None and row.run_id != where.run_id:
        return False
    return (where.since_ns is None or row.at_ns >= where.since_ns) and (
        where.until_ns is None or row.at_ns < where.until_ns
    )
