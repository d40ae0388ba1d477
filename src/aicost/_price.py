"""The public functions that answer what a call costs. They load nothing but pricing: no settings, no telemetry."""

from __future__ import annotations

import time
from datetime import datetime

from ._errors import UsageError
from .pricing.charge import Charge
from .pricing.kernel import Inquiry, kernel_in_force
from .pricing.rates import to_ns
from .usage.event import Chargeable
from .usage.providers import normal_region, normal_tier
from .usage.readers import read_answer

CHARACTERS_PER_TOKEN = 4


def price(
    *,
    provider: str,
    model: str,
    usage: object,
    at: datetime | None = None,
    api: str | None = None,
    service_tier: str | None = None,
    region: str | None = None,
) -> Charge:
    """What a call cost, from the provider's whole response or its usage object (JSON or the client's typed object).

    Uses the rate card in force, or the bundled one, at the rates of `at` (default: now). A whole response is read like
    that of a wrapped client: it says which model answered, at which tier, and what it bills beside its tokens.
    `service_tier` is the tier that served the request, `region` where it was served. Raises `UsageError` for an object
    that no reader takes; an unknown model is a charge with status `unpriced` and a reason.

    >>> aicost.price(provider="openai", model="gpt-4o", usage={"prompt_tokens": 1000, "completion_tokens": 500}).amount
    Decimal('0.0075')
    """
    return (
        kernel_in_force()
        .price(
            inquiry(
                usage, provider=provider, model=model, at=_at(at), api=api, service_tier=service_tier, region=region
            )
        )
        .plausible()
    )


def inquiry(
    answer: object,
    *,
    provider: str,
    model: str,
    at: int,
    api: str | None = None,
    service_tier: str | None = None,
    region: str | None = None,
) -> Inquiry:
    """The question of price that a whole response or its usage object is. Raises `UsageError` for what no reader takes.

    `at` is in nanoseconds since the epoch.
    """
    view = read_answer(answer, api=api, provider=provider, model=model)
    tier = normal_tier(service_tier, provider) or view.service_tier
    region = normal_region(region, provider, model)
    answered = view.model or model
    reading = view.reading
    if reading is None:
        return Inquiry(provider, answered, None, at, tier, region, request_model=model)
    return Inquiry(
        provider,
        answered,
        reading.usage,
        at,
        tier,
        reading.region or region,
        reading.speed,
        reading.complete,
        reading.flags,
        Chargeable.YES,
        False,
        reading.provider_cost,
        request_model=model,
    )


def estimate(
    *,
    provider: str,
    model: str,
    text: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int = 0,
    at: datetime | None = None,
    service_tier: str | None = None,
    region: str | None = None,
) -> Charge:
    """What a call will cost, before it is made: from token counts, or from the length of its `text`.

    A text is taken at four characters to a token, the rule of thumb for English (source:
    https://platform.openai.com/tokenizer); other languages and code need more tokens. `output_tokens` is what the
    answer may take, such as the request's maximum. The charge has status `estimated`, or `unpriced` with a reason.
    Raises `UsageError` unless exactly one of `text` and `input_tokens` is given.

    >>> aicost.estimate(provider="openai", model="gpt-4o", input_tokens=1000, output_tokens=500).amount
    Decimal('0.0075')
    """
    if (text is None) == (input_tokens is None):
        raise UsageError("estimate() needs either text= or input_tokens=, and not both")
    tokens = -(-len(text) // CHARACTERS_PER_TOKEN) if text is not None else input_tokens or 0
    usage = {"input": tokens} | ({"output": output_tokens} if output_tokens else {})
    return (
        kernel_in_force()
        .price(Inquiry(provider, model, usage, _at(at), normal_tier(service_tier, provider), region, estimated=True))
        .plausible()
    )


def _at(at: datetime | None) -> int:
    return time.time_ns() if at is None else to_ns(at)
