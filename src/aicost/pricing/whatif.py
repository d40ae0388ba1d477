"""What calls would have cost otherwise: another card, another time, another model or tier, or no cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aicost.usage.meters import Quantity, group_of
from aicost.usage.providers import normal_tier

from .charge import Charge, ChargeStatus
from .kernel import Billable, Inquiry, Kernel


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to change of each call before pricing it; what is None stays as it was.

    `service_tier="default"` is the provider's default tier, `"batch"` its batch API. `cache="none"` counts every
    cached and cache-writing token as plain input. `at_ns` prices all calls at one instant.

    >>> Scenario("small model in a batch", model="gpt-4o-mini", service_tier="batch").model
    'gpt-4o-mini'
    """

    name: str
    provider: str | None = None
    model: str | None = None
    service_tier: str | None = None
    region: str | None = None
    cache: Literal["as used", "none"] = "as used"
    at_ns: int | None = None

    def changes_the_call(self) -> bool:
        """Whether it is about another call than the one the provider charged for."""
        changed = (self.provider, self.model, self.service_tier, self.region)
        return self.cache != "as used" or any(value is not None for value in changed)

    def apply(self, event: Billable) -> Inquiry:
        """The same usage under the scenario, as a question of price. `event.usage` must be known."""
        usage = event.usage or {}
        tier = (
            event.service_tier
            if self.service_tier is None
            else normal_tier(self.service_tier, self.provider or event.provider)
        )
        return Inquiry(
            self.provider or event.provider,
            self.model or event.model,
            usage if self.cache == "as used" else without_cache(usage),
            event.started_ns if self.at_ns is None else self.at_ns,
            tier,
            event.region if self.region is None else self.region,
            event.speed,
            event.complete,
            event.flags,
            event.chargeable,
            event.estimated,
            None if self.changes_the_call() else event.provider_cost,
            event.provider_currency,
            event.request_model if self.model is None else None,
        )


@dataclass(slots=True)
class ScenarioCost:
    """What a scenario comes to. `atto` holds amounts in 1e-18 by currency."""

    scenario: str
    atto: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    partial: int = 0
    """Calls of which only a part could be priced."""
    unpriced: int = 0
    """Calls that the scenario has no price for, or whose usage is not known: they are in no amount."""

    def add(self, charge: Charge) -> None:
        """Count one call."""
        self.calls += 1
        if charge.atto is None:
            self.unpriced += 1
            return
        self.partial += charge.status is ChargeStatus.PARTIAL
        self.atto[charge.currency] = self.atto.get(charge.currency, 0) + charge.atto


def reprice(events: Iterable[Billable], kernel: Kernel, *, at_ns: int | None = None) -> Iterator[Charge]:
    """The charge of each event with the kernel's card, at the event's own time or all at `at_ns`.

    An event's usage is taken as it is; with the card that priced it first the charge is the same again.
    """
    scenario = Scenario("repriced", at_ns=at_ns)
    for event in events:
        yield kernel.price(event if event.usage is None else scenario.apply(event))


def compare(events: Iterable[Billable], scenarios: Iterable[Scenario], kernel: Kernel) -> list[ScenarioCost]:
    """What the same traffic comes to under each scenario, and first, as `as used`, as it was.

    >>> compare(events, [Scenario("in batches", service_tier="batch")], kernel)[1].atto
    {'USD': 1250000000000000}
    """
    every = (Scenario("as used"), *scenarios)
    outcomes = [ScenarioCost(scenario.name) for scenario in every]
    for event in events:
        for scenario, outcome in zip(every, outcomes, strict=True):
            outcome.add(kernel.price(event if event.usage is None else scenario.apply(event)))
    return outcomes


def without_cache(usage: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """The usage had nothing been read from or written to a cache: the same tokens, all plain input.

    >>> without_cache({"input": 10, "input_cache_read": 90, "input_cache_read_audio": 5})
    {'input': 100, 'input_audio': 5}
    """
    plain: dict[str, Quantity] = {}
    for meter, quantity in usage.items():
        if group_of(meter) in {"cache_read", "cache_write"}:
            owner, slash, bare = meter.rpartition("/")
            modality = bare.removeprefix("input_cache_read").removeprefix("input_cache_write")
            meter = f"{owner}{slash}input{modality if modality in _MODALITIES else ''}"  # noqa: PLW2901
        plain[meter] = plain.get(meter, 0) + quantity
    return plain


_MODALITIES = {"_audio", "_image", "_video"}
