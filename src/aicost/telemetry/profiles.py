"""Charges as span attributes: our own names, upstream's, and, where asked for, the names other tools read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from opentelemetry.util.types import AttributeValue

from aicost._money import ATTO, to_text
from aicost.pricing.charge import Charge, ChargeStatus
from aicost.semconv import attributes as a
from aicost.usage.event import NOWHERE, Chargeable, UsageEvent
from aicost.usage.meters import METERS, Quantity, direction_of, group_of, token_sums

SpanAttributes = dict[str, AttributeValue]

COST_GROUPS = {
    "input": a.AICOST_COST_INPUT,
    "cache_read": a.AICOST_COST_CACHE_READ,
    "cache_write": a.AICOST_COST_CACHE_WRITE,
    "output": a.AICOST_COST_OUTPUT,
    "reasoning": a.AICOST_COST_REASONING,
    "tool": a.AICOST_COST_TOOL,
    "other": a.AICOST_COST_OTHER,
}
METER_KEYS = {meter: f"{a.AICOST_USAGE_METER}.{meter}" for meter in METERS}
UPSTREAM_GROUPS = {
    "cache_read": a.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    # Upstream's span attributes say cache_creation where its newer metrics say cache_write.
    "cache_write": a.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
    "reasoning": a.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
}


class CostProfile(str, Enum):
    """Further names for the same amount, each off unless configured."""

    FLAT = "flat"
    """`gen_ai.usage.cost`, which most tools read today."""
    SEMCONV = "semconv"
    """`gen_ai.usage.cost.amount`, `.currency`, `.source`, as proposed upstream."""
    OPENINFERENCE = "openinference"
    """`llm.cost.total`, `.prompt`, `.completion`."""


ORIGIN_KEYS = (
    a.AICOST_PROVIDER_ORGANIZATION,
    a.AICOST_PROVIDER_PROJECT,
    a.AICOST_PROVIDER_CREDENTIAL,
    a.AICOST_PROVIDER_REQUEST_ID,
    a.AICOST_GATEWAY_CALL_ID,
    a.AICOST_GATEWAY_DECLARED,
    a.AICOST_EVENT_UPSTREAM_ID,
)
"""Of the fields of an `Origin` after the host, which is `server.address`."""


class Used(Protocol):
    """What was used, as events have it."""

    @property
    def usage(self) -> Mapping[str, Quantity] | None: ...
    @property
    def complete(self) -> bool: ...
    @property
    def operation(self) -> str: ...


def span_attributes(
    entries: Sequence[tuple[UsageEvent, Charge]], profiles: Sequence[CostProfile] = ()
) -> SpanAttributes:
    """Everything a finished call says about itself. The last entry is its outcome; all of them are its attempts."""
    event, charge = entries[-1]
    if event.is_storage:
        return _storage_attributes(event, charge)
    attributes: SpanAttributes = {
        a.AICOST_EVENT_ID: event.event_id,
        a.AICOST_REQUEST_STATUS: event.status.value,
        a.AICOST_REQUEST_RETRY_COUNT: event.retry_count,
        a.AICOST_REQUEST_BILLED: event.chargeable.value,
        a.AICOST_USAGE_SOURCE: "none" if event.usage is None else "estimated" if event.estimated else "provider",
        a.AICOST_COST_STATUS: charge.status.value,
    }
    if event.response_id is not None:
        attributes[a.GEN_AI_RESPONSE_ID] = event.response_id
    if event.origin is not NOWHERE:
        for key, value in zip(ORIGIN_KEYS, event.origin[1:], strict=True):
            if value:
                attributes[key] = value
    if event.retry_count:
        attributes[a.HTTP_REQUEST_RESEND_COUNT] = event.retry_count
    if event.error_type is not None:
        attributes[a.ERROR_TYPE] = event.error_type
    if event.service_tier is not None:
        attributes[a.AICOST_RESPONSE_SERVICE_TIER] = event.service_tier
    if event.region is not None:
        attributes[a.AICOST_RESPONSE_REGION] = event.region
    if event.speed is not None:
        attributes[a.AICOST_RESPONSE_SPEED] = event.speed
    if event.flags:
        attributes[a.AICOST_USAGE_FLAGS] = list(event.flags)
    possibly = sum(attempt.chargeable is Chargeable.POSSIBLY for attempt, _ in entries)
    if possibly:
        attributes[a.AICOST_REQUEST_POSSIBLY_BILLED_ATTEMPTS] = possibly
    add_usage(attributes, event)
    add_cost(attributes, charge)
    for profile in profiles:
        PROFILES[profile](attributes, charge)
    return attributes


def _storage_attributes(event: UsageEvent, charge: Charge) -> SpanAttributes:
    """What an operation of a database says: there are many of them, and most cost nothing by themselves."""
    attributes: SpanAttributes = {
        a.AICOST_EVENT_ID: event.event_id,
        a.AICOST_REQUEST_STATUS: event.status.value,
        a.AICOST_COST_STATUS: charge.status.value,
    }
    if event.chargeable is not Chargeable.YES:
        attributes[a.AICOST_REQUEST_BILLED] = event.chargeable.value
    if event.error_type is not None:
        attributes[a.ERROR_TYPE] = event.error_type
    for meter, quantity in (event.usage or {}).items():
        attributes[METER_KEYS[meter]] = quantity if type(quantity) is int else float(quantity)
    if charge.atto or charge.reason is not None:
        add_cost(attributes, charge)
    elif charge.atto is not None:
        attributes[a.AICOST_COST_AMOUNT_EXACT] = "0"
        attributes[a.AICOST_COST_CURRENCY] = charge.currency
    return attributes


def add_usage(attributes: SpanAttributes, event: Used) -> None:
    """What was used: upstream's inclusive counts, and the disjoint meters."""
    usage = event.usage
    if usage is None:
        return
    attributes[a.AICOST_USAGE_COMPLETE] = event.complete
    inputs, outputs = token_sums(usage)
    attributes[a.GEN_AI_USAGE_INPUT_TOKENS] = inputs
    if event.operation != "embeddings" and event.complete:
        attributes[a.GEN_AI_USAGE_OUTPUT_TOKENS] = outputs
    grouped: dict[str, int] = {}
    for meter, quantity in usage.items():
        if type(quantity) is not int and quantity == int(quantity):
            quantity = int(quantity)  # noqa: PLW2901 - whole seconds are a whole number
        if type(quantity) is int:
            attributes[METER_KEYS.get(meter) or f"{a.AICOST_USAGE_METER}.{meter}"] = quantity
            upstream = UPSTREAM_GROUPS.get(group_of(meter))
            if upstream is not None:
                grouped[upstream] = grouped.get(upstream, 0) + quantity
        else:
            attributes[METER_KEYS.get(meter) or f"{a.AICOST_USAGE_METER}.{meter}"] = float(quantity)
    attributes.update(grouped)


def add_cost(attributes: SpanAttributes, charge: Charge) -> None:
    """The amount, its parts, and what explains them."""
    if charge.reason is not None:
        attributes[a.AICOST_COST_REASON] = charge.reason
    if charge.rate_card is not None:
        attributes[a.AICOST_COST_RATE_CARD] = charge.rate_card
    if charge.atto is None:
        return
    attributes[a.AICOST_COST_AMOUNT] = charge.atto / ATTO
    attributes[a.AICOST_COST_AMOUNT_EXACT] = to_text(charge.atto)
    attributes[a.AICOST_COST_CURRENCY] = charge.currency
    if charge.computed_atto is not None:
        attributes[a.AICOST_COST_COMPUTED_AMOUNT] = charge.computed_atto / ATTO
    groups: dict[str, int] = {}
    rate_ids = []
    for line in charge.lines:
        if line.atto is not None and line.rate_id is not None:
            key = COST_GROUPS[group_of(line.meter)]
            groups[key] = groups.get(key, 0) + line.atto
            rate_ids.append(line.rate_id)
    attributes.update({key: atto / ATTO for key, atto in groups.items()})
    if rate_ids:
        attributes[a.AICOST_COST_RATE_IDS] = rate_ids


def _flat(attributes: SpanAttributes, charge: Charge) -> None:
    if charge.atto is not None:
        attributes[a.GEN_AI_USAGE_COST] = charge.atto / ATTO


def _semconv(attributes: SpanAttributes, charge: Charge) -> None:
    if charge.atto is not None:
        attributes[a.GEN_AI_USAGE_COST_AMOUNT] = charge.atto / ATTO
        attributes[a.GEN_AI_USAGE_COST_CURRENCY] = charge.currency
        reported = charge.status is ChargeStatus.PROVIDER_REPORTED
        attributes[a.GEN_AI_USAGE_COST_SOURCE] = "provider" if reported else "local"


def _openinference(attributes: SpanAttributes, charge: Charge) -> None:
    if charge.atto is None:
        return
    sides = {"input": 0, "output": 0}
    for line in charge.lines:
        direction = direction_of(line.meter)
        if line.atto is not None and direction is not None:
            sides[direction] += line.atto
    attributes[a.LLM_COST_TOTAL] = charge.atto / ATTO
    attributes[a.LLM_COST_PROMPT] = sides["input"] / ATTO
    attributes[a.LLM_COST_COMPLETION] = sides["output"] / ATTO


PROFILES: Mapping[CostProfile, Callable[[SpanAttributes, Charge], None]] = {
    CostProfile.FLAT: _flat,
    CostProfile.SEMCONV: _semconv,
    CostProfile.OPENINFERENCE: _openinference,
}
"""What writes the names of each profile."""

PROFILE_KEYS: Mapping[CostProfile, tuple[str, ...]] = {
    CostProfile.FLAT: (a.GEN_AI_USAGE_COST,),
    CostProfile.SEMCONV: (
        a.GEN_AI_USAGE_COST_AMOUNT,
        a.GEN_AI_USAGE_COST_CURRENCY,
        a.GEN_AI_USAGE_COST_SOURCE,
    ),
    CostProfile.OPENINFERENCE: (a.LLM_COST_TOTAL, a.LLM_COST_PROMPT, a.LLM_COST_COMPLETION),
}
"""The names of each profile."""
