"""Spans that aicost priced where they were made: what they say is taken as it is, for the ledger of a fleet.

They are not priced or metered again, for the process did that: a second amount would be another opinion, and a second
metric a double count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from aicost._bounded import LONGEST_NAME, short
from aicost._money import ATTO
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.pricing.kernel import sane_amount
from aicost.semconv import attributes as a
from aicost.telemetry.dialects import STORAGE, Inference, Labels
from aicost.usage.event import Chargeable, RequestStatus, UsageEvent
from aicost.usage.meters import Quantity
from aicost.usage.reading import MAX_COUNT, PLAUSIBLE

from . import wire
from .view import SpanView, prepriced_origin

_MOST_RETRIES = 1000
_MOST_METERS = 128
_LARGE = 64 * 2**10
_LONGEST_ID = 128
_METER = f"{a.AICOST_USAGE_METER}."


def prepriced_inference(attributes: Mapping[str, bytes], read: Inference | None) -> Inference:
    """What a span of aicost that was priced says it is: any operation, of anybody, and of a database too.

    `read` is what it would be if it were somebody else's, which is guessed where that is not known by its words.
    """
    get = wire.DecodedAttributes(attributes).get
    values = (get(a.GEN_AI_OPERATION_NAME), get(a.GEN_AI_PROVIDER_NAME), get(a.GEN_AI_REQUEST_MODEL))
    operation, provider, asked = (short(str(one or "unknown")) for one in values)
    answered, dialect = _text(get(a.GEN_AI_RESPONSE_MODEL)), "upstream"
    if a.DB_SYSTEM_NAME in attributes:
        names = (get(a.DB_COLLECTION_NAME), get(a.DB_NAMESPACE))
        operation, provider = short(str(get(a.DB_OPERATION_NAME))), short(str(get(a.DB_SYSTEM_NAME)))
        asked, answered, dialect = short("/".join([str(name) for name in names if name])), None, STORAGE
    if read is not None:
        known, said_so = read.labels, (operation, provider, asked, answered)
        if said_so == (known.operation, known.provider, known.request_model, known.model):
            return Inference(known, read.response_id, None)
    labels = Labels(operation, provider, asked, answered, None, dialect, named=True, assumed=False)
    return Inference(labels, _text(get(a.GEN_AI_RESPONSE_ID)), None)


def take_prepriced(view: SpanView) -> None:
    """Take the identity, usage and outcome that a span of aicost says."""
    values = wire.DecodedAttributes(view.attributes)
    view.prepriced = True
    stated = values.get(a.AICOST_EVENT_ID)
    if isinstance(stated, str) and 0 < len(stated) <= _LONGEST_ID:
        view.event_id = stated
    view.origin = prepriced_origin(view.attributes, view.origin)
    view.service_tier = _text(values.get(a.AICOST_RESPONSE_SERVICE_TIER))
    view.chargeable = _member(Chargeable, values.get(a.AICOST_REQUEST_BILLED), Chargeable.YES)
    # An operation of a database says neither where its usage is from nor whether that is all of it.
    source = values.get(a.AICOST_USAGE_SOURCE, "none" if view.chargeable is not Chargeable.YES else "provider")
    view.usage = _usage(view) if source != "none" else None
    whole = view.chargeable is not Chargeable.POSSIBLY and "usage_incomplete" not in str(
        values.get(a.AICOST_COST_REASON)
    )
    view.complete = values.get(a.AICOST_USAGE_COMPLETE, whole) is not False
    view.flags = wire.texts(view.attributes[a.AICOST_USAGE_FLAGS]) if a.AICOST_USAGE_FLAGS in values else ()
    if source != "none" and len(view.usage or ()) < _meters_said(view):
        view.complete, view.flags = False, (*view.flags, "invalid_count:usage")
    view.error_type = _text(values.get(a.ERROR_TYPE))


def prepriced_charge(view: SpanView) -> Charge:
    """The charge that a span of aicost says. Its lines have quantities; prices the span says only in sum."""
    values = wire.DecodedAttributes(view.attributes)
    status = _member(ChargeStatus, values.get(a.AICOST_COST_STATUS), ChargeStatus.UNPRICED)
    reason = values.get(a.AICOST_COST_REASON)
    exact = sane_amount(str(values.get(a.AICOST_COST_AMOUNT_EXACT)))
    if exact is None and status is not ChargeStatus.UNPRICED:
        status, reason = ChargeStatus.UNPRICED, "invalid_amount"
    return Charge.of_lines(
        status,
        str(values.get(a.AICOST_COST_CURRENCY) or "USD"),
        None if exact is None or status is ChargeStatus.UNPRICED else round(exact * ATTO),
        tuple(ChargeLine(meter, quantity, None, 1, None, None) for meter, quantity in (view.usage or {}).items()),
        reason,
        values.get(a.AICOST_COST_RATE_CARD),
    )


def is_as_prepriced(view: SpanView, prepriced: Charge, made: Charge) -> bool:
    """Whether a charge that was made here is the one the span says, to the last digit, by the same card and rates."""
    values = view.attributes
    rates = wire.texts(values[a.AICOST_COST_RATE_IDS]) if a.AICOST_COST_RATE_IDS in values else ()
    if (made.status, made.currency, made.atto) != (prepriced.status, prepriced.currency, prepriced.atto):
        return False
    if view.inference.labels.dialect is STORAGE and prepriced.atto == 0:
        return True  # of what costs nothing, its span says no more
    computed = wire.DecodedAttributes(values).get(a.AICOST_COST_COMPUTED_AMOUNT)
    ours = None if made.computed_atto is None else made.computed_atto / ATTO
    applied = tuple(rate_id for rate_id in made.layout.rate_ids if rate_id is not None)
    return (made.rate_card, ours) == (prepriced.rate_card, computed) and (made.atto is None or applied == rates)


def prepriced_event(view: SpanView, event: UsageEvent) -> UsageEvent:
    """The event of a span of aicost: what any span says, and what only these do."""
    values = wire.DecodedAttributes(view.attributes)
    retries = values.get(a.AICOST_REQUEST_RETRY_COUNT)
    retries = retries if isinstance(retries, int) and 0 <= retries < _MOST_RETRIES else 0
    return replace(
        event,
        status=_member(RequestStatus, values.get(a.AICOST_REQUEST_STATUS), event.status),
        retry_count=retries,
        attempt=retries + 1,
        region=values.get(a.AICOST_RESPONSE_REGION),
        speed=values.get(a.AICOST_RESPONSE_SPEED),
        estimated=values.get(a.AICOST_USAGE_SOURCE) == "estimated",
        retry_of=values.get(a.AICOST_RETRY_OF),
        fallback_of=values.get(a.AICOST_FALLBACK_OF),
    )


def prepriced_attempts(view: SpanView, event: UsageEvent) -> tuple[list[UsageEvent], UsageEvent]:
    """The attempts before the last one, which a span of aicost tells of as its events; and the last, when it began."""
    if not event.retry_count:
        return [], event
    told = [dict(wire.plain_attributes(one), ended=one.time_unix_nano) for one in _attempts(view)]
    told = [values for values in told if isinstance(values.get(a.AICOST_REQUEST_ATTEMPT), int)]
    # What the answer says is of the last one alone; where the others went and how they ended, they say.
    asked = replace(
        event,
        model=event.request_model or event.model,
        response_id=None,
        usage=None,
        service_tier=None,
        region=None,
        speed=None,
        flags=(),
        estimated=False,
        retry_of=None,
        fallback_of=None,
        origin=event.origin._replace(request_id=None, gateway_call_id=None),
    )
    found, started = [], event.started_ns
    for values in sorted(told, key=lambda values: values[a.AICOST_REQUEST_ATTEMPT]):
        number, stated = values[a.AICOST_REQUEST_ATTEMPT], values.get(a.AICOST_EVENT_ID)
        if not 0 < number < event.attempt:
            continue
        ended, backoff = min(values["ended"], MAX_COUNT), _nanoseconds(values.get(a.AICOST_REQUEST_BACKOFF))
        found.append(
            replace(
                asked,
                event_id=stated if isinstance(stated, str) else f"{event.event_id}:{number}",
                started_ns=min(started, ended),
                ended_ns=ended,
                status=_member(RequestStatus, values.get(a.AICOST_REQUEST_STATUS), RequestStatus.RETRY),
                chargeable=_member(Chargeable, values.get(a.AICOST_REQUEST_BILLED), Chargeable.POSSIBLY),
                error_type=values.get(a.ERROR_TYPE),
                attempt=number,
                retry_count=number - 1,
                backoff_ns=backoff,
                complete=values.get(a.AICOST_REQUEST_BILLED) != Chargeable.POSSIBLY.value,
            )
        )
        started = ended + backoff
    return found, replace(event, started_ns=min(started, event.ended_ns))


def _attempts(view: SpanView) -> list[Any]:
    return [told for told in Span.FromString(view.encoded).events if told.name == "aicost.attempt"]


def _nanoseconds(seconds: object) -> int:
    return round(seconds * 1e9) if isinstance(seconds, float) and 0 <= seconds < 1e6 else 0


def _usage(view: SpanView) -> dict[str, Quantity]:
    """The meters, in the order in which the span says them: that of the charge's lines."""
    attributes, encoded, found = view.attributes, view.encoded, dict[str, Quantity]()
    keys = [key for key in wire.names_in(attributes) if key.startswith(_METER) and len(key) <= LONGEST_NAME][
        :_MOST_METERS
    ]
    if len(encoded) <= _LARGE:  # it is looked through for each
        keys.sort(key=lambda key: encoded.find(b"\x0a" + wire.varint(len(key.encode())) + key.encode()))
    for key in keys:
        quantity = wire.decoded(attributes[key])
        if isinstance(quantity, float):
            quantity = Decimal(repr(quantity)) if 0 <= quantity <= PLAUSIBLE else None
        if isinstance(quantity, (int, Decimal)) and not isinstance(quantity, bool) and 0 <= quantity <= PLAUSIBLE:
            found[key[len(_METER) :]] = quantity
    return found


def _meters_said(view: SpanView) -> int:
    return sum(key.startswith(_METER) for key in wire.names_in(view.attributes))


def _text(value: object) -> str | None:
    return short(value) if isinstance(value, str) and value else None


_T = TypeVar("_T", bound=Enum)


def _member(kind: type[_T], value: object, otherwise: _T) -> _T:
    try:
        return kind(value)
    except ValueError:
        return otherwise
