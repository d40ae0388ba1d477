"""One attempt of a call: what is known of it while it is under way, and of one whose usage never came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aicost.semconv import attributes as a
from aicost.usage.event import NOWHERE, Chargeable, Limits, Origin, UsageEvent
from aicost.usage.meters import token_sums
from aicost.usage.model_names import same_model

from . import guard


@dataclass(slots=True)
class Attempt:
    """A request that went out."""

    event_id: str
    started_ns: int
    ended_ns: int = 0
    backoff_ns: int = 0
    http_status: int | None = None
    error_type: str | None = None
    chargeable: Chargeable = Chargeable.NO
    origin: Origin = NOWHERE


def attempt_attributes(event: UsageEvent, attempt: Attempt) -> Mapping[str, Any]:
    """What the span's event of an attempt says."""
    attributes: dict[str, Any] = {
        a.AICOST_EVENT_ID: event.event_id,
        a.AICOST_REQUEST_ATTEMPT: event.attempt,
        a.AICOST_REQUEST_STATUS: event.status.value,
        a.AICOST_REQUEST_BILLED: event.chargeable.value,
    }
    if attempt.http_status is not None:
        attributes[a.HTTP_RESPONSE_STATUS_CODE] = attempt.http_status
    if event.error_type is not None:
        attributes[a.ERROR_TYPE] = event.error_type
    if event.backoff_ns:
        attributes[a.AICOST_REQUEST_BACKOFF] = event.backoff_ns / 1e9
    return attributes


def is_unknown(event: UsageEvent) -> bool:
    """Whether an attempt may cost more than is known of it."""
    return event.chargeable is not Chargeable.NO and (event.usage is None or not event.complete)


def with_limits(events: list[UsageEvent], region: str | None, max_output: Callable[[], int | None]) -> list[UsageEvent]:
    """The attempts of a call, and of those whose usage is not known what the request says of the most that it can be.

    Each attempt sends the same request: what one of them was sent, as its answer says, so were the others. They may
    have been served otherwise, though, unless the answer came from where every request goes, as `region` has it.
    """
    try:
        most = max_output()
    except Exception as error:  # noqa: BLE001 - a bound is worth less than the call
        guard.failed("read the limits of a request", error)
        return events
    if most is None:
        return events
    last = events[-1]
    plain = last.service_tier is None and last.speed is None and last.region == region
    told = last.usage is not None and last.complete and not last.flags and plain
    sent = token_sums(last.usage or {})[0] if told and same_model(last.request_model, last.model) else None
    return [replace(event, limits=Limits(most, sent)) if is_unknown(event) else event for event in events]
