"""Charges as rows, and what to do when a charge is seen twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aicost._money import to_text
from aicost._wellformed import wellformed
from aicost.pricing.charge import Charge
from aicost.usage.event import NOWHERE, UsageEvent
from aicost.usage.meters import Quantity

from .schema import ORIGIN, OWNER_COLUMNS

NANO = 10**9

Row = tuple[Any, ...]
_NO_ORIGIN = (None,) * len(ORIGIN)


def limbs(atto: int | None) -> tuple[int | None, int | None]:
    """An amount in 1e-18 as (whole 1e-9, rest in 1e-18)."""
    return (None, None) if atto is None else divmod(atto, NANO)


def charge_row(event: UsageEvent, charge: Charge) -> Row:
    """The values of CHARGE_COLUMNS."""
    nano, rest = limbs(charge.atto)
    owner = event.attribution
    computed = None if charge.computed_atto is None else to_text(charge.computed_atto)
    return (
        event.event_id,
        payload_hash(event),
        event.provider,
        event.model,
        event.request_model,
        event.response_id,
        event.operation,
        event.api,
        event.service_tier,
        event.region,
        event.speed,
        event.status.value,
        event.chargeable.value,
        event.error_type,
        event.attempt,
        event.retry_count,
        event.backoff_ns,
        int(event.complete),
        int(event.estimated),
        json.dumps(event.flags) if event.flags else "[]",
        event.started_ns,
        event.ended_ns,
        event.trace_id,
        event.span_id,
        event.run_id,
        event.root_run_id,
        event.workflow,
        event.step,
        event.step_id,
        event.agent,
        *(owner.get(name) for name in OWNER_COLUMNS),
        charge.status.value,
        charge.reason,
        charge.currency,
        nano,
        rest,
        computed,
        charge.rate_card,
        event.retry_of,
        event.fallback_of,
        *(event.origin if event.origin != NOWHERE else _NO_ORIGIN),
    )


def line_rows(event_id: str, charge: Charge) -> list[Row]:
    """One row per line of the charge."""
    rows: list[Row] = [
        (event_id, n, line.meter, str(line.quantity), line.unit_price, line.per, line.rate_id, *limbs(line.atto))
        for n, line in enumerate(charge.lines)
    ]
    plain = all(line.meter.isascii() and (line.rate_id or "").isascii() for line in charge.lines)
    return rows if plain else [storable(row) for row in rows]


def storable(row: Row) -> Row:
    """`row` with text that is no valid Unicode made so: one odd id must not cost the charge it belongs to."""
    if "".join([value for value in row if value.__class__ is str]).isascii():
        return row
    return tuple(wellformed(value) if isinstance(value, str) else value for value in row)


def payload_hash(event: UsageEvent) -> str:
    """A digest of what is billed: the same for every true copy of an event, whoever saw it."""
    usage = (
        sorted((meter, str(quantity)) for meter, quantity in event.usage.items()) if event.usage is not None else None
    )
    chargeable = (event.provider, event.model, event.service_tier, event.region, event.speed, usage, event.complete)
    return hashlib.blake2b(repr(chargeable).encode(), digest_size=12).hexdigest()


def supersedes(new: UsageEvent, old_complete: bool, old_usage: Mapping[str, Quantity] | None) -> bool:
    """Whether a second view of an event knows more than the first: it completes it, or counts nothing less."""
    if new.usage is None:
        return False
    if old_usage is None:
        return True
    if old_complete:
        return False
    return all(new.usage.get(meter, 0) >= quantity for meter, quantity in old_usage.items())
