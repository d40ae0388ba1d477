"""What a provider says a call cost, in its usage object: OpenRouter and Perplexity as `cost`, xAI in ticks."""

from __future__ import annotations

from decimal import Decimal

from .reading import PLAUSIBLE_COST, STATED, Counts, Raw, Reading

_TICKS_PER_USD = Decimal(10) ** 10


def with_stated_cost(reading: Reading, usage: Raw) -> Reading:
    """The reading of a usage object with the cost that it states, in USD.

    One that cannot be read is flagged, and the usage is priced by the card.
    """
    if STATED.isdisjoint(usage):
        return reading
    counts = Counts(usage)
    amount = counts.decimal("cost_in_usd_ticks", "invalid_cost", PLAUSIBLE_COST * 10**10)
    if amount is not None:
        amount /= _TICKS_PER_USD
    elif (nested := counts.object("cost")) is None:
        amount = counts.decimal("cost", "invalid_cost", PLAUSIBLE_COST)
    else:
        amount = counts.within("cost", nested).decimal("total_cost", "invalid_cost", PLAUSIBLE_COST)
    if amount is not None and counts.true("is_byok"):
        # The fee only: the model itself is billed to the customer's own key.
        counts.flag("byok_fee_only")
    flags = (*reading.flags, *counts.finish(usage.keys()))
    return reading._replace(flags=flags, provider_cost=None if amount is None else format(amount, "f"))
