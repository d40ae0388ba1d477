"""What a ledger keeps of a view: its event, its attempts that failed before, and the lines of their charges."""

from __future__ import annotations

from dataclasses import replace

from aicost._bounded import short
from aicost.pricing.charge import Charge, ChargeStatus
from aicost.pricing.kernel import Kernel
from aicost.semconv import attributes as a
from aicost.telemetry.dialects import STORAGE
from aicost.usage.event import STORAGE_API, RequestStatus, UsageEvent
from aicost.usage.reading import MAX_COUNT

from . import wire
from .prepriced import is_as_prepriced, prepriced_attempts, prepriced_event
from .view import SpanView, owners_of

PricedCall = tuple[UsageEvent, Charge]


def priced_calls(view: SpanView, charge: Charge, kernel: Kernel) -> list[PricedCall]:
    """The call, after its attempts that failed. Lines of a charge that was given have prices where those are known."""
    event = event_of(view)
    if not view.prepriced:
        return [(event, charge)]
    before, event = prepriced_attempts(view, event)
    return [
        *((attempt, kernel.price(attempt).plausible()) for attempt in before),
        (event, _with_lines(view, event, charge, kernel)),
    ]


def _with_lines(view: SpanView, event: UsageEvent, charge: Charge, kernel: Kernel) -> Charge:
    """The charge as it was given, with the lines that the collector's own card has for it, if it comes to the same.

    A span says what each line's rate is called, and not its price.
    """
    stated = event
    if charge.status is ChargeStatus.PROVIDER_REPORTED:
        stated = replace(event, provider_cost=str(charge.amount), provider_currency=charge.currency)
    made = kernel.price(stated)
    return made._replace(reason=charge.reason) if is_as_prepriced(view, charge, made) else charge


def event_of(view: SpanView) -> UsageEvent:
    """The event that a view reports."""
    labels, span = view.inference.labels, view.span
    said = wire.DecodedAttributes(view.attributes).get

    def get(name: str) -> str | None:
        return short(text) if isinstance(text := said(name), str) and text else None

    trace = span.trace_id.hex()
    run = get(a.AICOST_RUN_ID) or trace
    step, step_id = get(a.AICOST_STEP_NAME), get(a.AICOST_STEP_ID)
    if step_id is None and step == labels.operation:
        step = None  # the operation stands in on spans that are in no step
    event = UsageEvent(
        event_id=view.event_id,
        provider=view.provider,
        operation=labels.operation,
        model=view.model,
        usage=view.usage,
        started_ns=min(view.started_ns, MAX_COUNT),
        ended_ns=min(view.ended_ns, MAX_COUNT),
        request_model=view.request_model,
        response_id=view.response_id,
        api=STORAGE_API if labels.dialect is STORAGE else "reported",
        service_tier=view.service_tier,
        region=view.region,
        speed=view.speed,
        provider_cost=view.provider_cost,
        status=RequestStatus.SUCCESS if view.error_type is None else RequestStatus.FAILURE,
        chargeable=view.chargeable,
        error_type=view.error_type,
        complete=view.complete,
        flags=view.flags,
        trace_id=trace,
        span_id=span.span_id.hex(),
        run_id=run,
        root_run_id=get(a.AICOST_RUN_ROOT_ID) or run,
        workflow=get(a.GEN_AI_WORKFLOW_NAME),
        step=step,
        step_id=step_id,
        agent=get(a.GEN_AI_AGENT_NAME),
        attribution=owners_of(view.resource, view.attributes),
        origin=view.origin,
    )
    return prepriced_event(view, event) if view.prepriced else event
