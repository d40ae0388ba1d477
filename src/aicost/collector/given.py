"""Spans that aicost priced where they were made: what they say is taken as it is, for the ledger of a fleet.

They are not priced or metered again, for the process did that: a second amount would be another opinion, and a second
metric a double count.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TypeVar

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from aicost._money import ATTO
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.pricing.kernel import sane_amount
from aicost.semconv import attributes as a
from aicost.usage.event import Billed, RequestStatus, UsageEvent
from aicost.usage.meters import METERS, Quantity
from aicost.usage.reading import PLAUSIBLE

from . import wire
from .view import View, given_origin

_MOST_RETRIES = 1000
_LONGEST_ID = 128
_METER = f"{a.AICOST_USAGE_METER}."
_METER_KEYS = tuple((meter, _METER + meter) for meter in METERS)


def take_given(view: View) -> None:
    """Take the identity, usage and outcome that a span of aicost says."""
    said = wire.Attributes(view.attributes)
    view.given = True
    stated = said.get(a.AICOST_EVENT_ID)
    if isinstance(stated, str) and 0 < len(stated) <= _LONGEST_ID:
        view.event_id = stated
    view.origin = given_origin(view.attributes, view.origin)
    known = said.get(a.AICOST_USAGE_SOURCE) != "none"
    view.usage = _usage(said) if known else None
    view.complete = said.get(a.AICOST_USAGE_COMPLETE) is not False
    view.service_tier = said.get(a.AICOST_RESPONSE_SERVICE_TIER)
    view.billed = _member(Billed, said.get(a.AICOST_REQUEST_BILLED), Billed.YES)
    view.flags = ()
    if known and any(isinstance(n := said.get(key), int) and n > PLAUSIBLE for _, key in _METER_KEYS):
        view.complete, view.flags = False, ("invalid_count:usage",)
    view.error_type = said.get(a.ERROR_TYPE)


def given_charge(view: View) -> Charge:
    """The charge that a span of aicost says. Its lines have quantities; prices the span says only in sum."""
    said = wire.Attributes(view.attributes)
    status = _member(ChargeStatus, said.get(a.AICOST_COST_STATUS), ChargeStatus.UNPRICED)
    reason = said.get(a.AICOST_COST_REASON)
    exact = sane_amount(str(said.get(a.AICOST_COST_AMOUNT_EXACT)))
    if exact is None and status is not ChargeStatus.UNPRICED:
        status, reason = ChargeStatus.UNPRICED, "invalid_amount"
    return Charge(
        status,
        str(said.get(a.AICOST_COST_CURRENCY) or "USD"),
        None if exact is None or status is ChargeStatus.UNPRICED else round(exact * ATTO),
        tuple(ChargeLine(meter, quantity, None, 1, None, None) for meter, quantity in (view.usage or {}).items()),
        reason,
        said.get(a.AICOST_COST_RATE_CARD),
    )


def given_event(view: View, event: UsageEvent) -> UsageEvent:
    """The event of a span of aicost: what any span says, and what only these do."""
    said = wire.Attributes(view.attributes)
    retries = said.get(a.AICOST_REQUEST_RETRY_COUNT)
    retries = retries if isinstance(retries, int) and 0 <= retries < _MOST_RETRIES else 0
    return replace(
        event,
        status=_member(RequestStatus, said.get(a.AICOST_REQUEST_STATUS), event.status),
        retry_count=retries,
        attempt=retries + 1,
        region=said.get(a.AICOST_RESPONSE_REGION),
        speed=said.get(a.AICOST_RESPONSE_SPEED),
        estimated=said.get(a.AICOST_USAGE_SOURCE) == "estimated",
        retry_of=said.get(a.AICOST_RETRY_OF),
        fallback_of=said.get(a.AICOST_FALLBACK_OF),
    )


def given_attempts(view: View, event: UsageEvent) -> list[UsageEvent]:
    """The attempts before the last one, which a span of aicost tells of as its events."""
    if not event.retry_count:
        return []
    found = []
    for told in Span.FromString(view.encoded).events:
        said = dict(wire.plain_attributes(told))
        number, stated = said.get(a.AICOST_REQUEST_ATTEMPT), said.get(a.AICOST_EVENT_ID)
        if told.name == "aicost.attempt" and isinstance(number, int) and 0 < number < event.attempt:
            found.append(
                replace(
                    event,
                    event_id=stated if isinstance(stated, str) else f"{event.event_id}:{number}",
                    response_id=None,
                    usage=None,
                    ended_ns=told.time_unix_nano,
                    status=_member(RequestStatus, said.get(a.AICOST_REQUEST_STATUS), RequestStatus.RETRY),
                    billed=_member(Billed, said.get(a.AICOST_REQUEST_BILLED), Billed.POSSIBLY),
                    error_type=said.get(a.ERROR_TYPE),
                    attempt=number,
                    retry_count=number - 1,
                    backoff_ns=_nanoseconds(said.get(a.AICOST_REQUEST_BACKOFF)),
                    complete=said.get(a.AICOST_REQUEST_BILLED) != Billed.POSSIBLY.value,
                )
            )
    return found


def _nanoseconds(seconds: object) -> int:
    return round(seconds * 1e9) if isinstance(seconds, float) and 0 <= seconds < 1e6 else 0


def _usage(said: wire.Attributes) -> dict[str, Quantity]:
    return {
        meter: quantity
        for meter, key in _METER_KEYS
        if isinstance(quantity := said.get(key), int) and 0 <= quantity <= PLAUSIBLE
    }


_T = TypeVar("_T", bound=Enum)


def _member(kind: type[_T], value: object, otherwise: _T) -> _T:
    try:
        return kind(value)
    except ValueError:
        return otherwise
