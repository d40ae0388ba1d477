"""Tiers, regions and speeds of a price list as factors on the plain prices, and what they leave unsaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aicost.pricing.rates import AXES, expand
from aicost.usage.meters import direction_of

from .dates import current as prices_of
from .listing import ListedPrice, ModelEntry


def tiers_as_modifiers(prices: Sequence[ListedPrice], as_of: str) -> tuple[list[ListedPrice], list[ModelEntry]]:
    """A tier whose prices are all the same fraction of the plain ones is that fraction.

    What a list says of a tier's input or output it means of all tokens of that direction: those that it does not name
    there (reasoning, images, the cache) cost the same fraction of their plain price.
    """
    current = prices_of(prices, as_of)
    left, modifiers = list(prices), []
    said = sorted({(name, value) for p in prices for name in AXES for value in p.when.get(name, ())})
    for axis, value in said:
        mine = [price for price in prices if price.when.get(axis) == [value]]
        ratios: dict[str, set[Any]] = {}
        plainly: dict[str, Any] = {}
        for price in mine:
            ratio = _ratio(price, axis, prices, current)
            ratios.setdefault(price.meter, set()).add(ratio)
            if set(price.when) == {axis} and price.key in current:
                plainly[price.meter] = ratio
        for meter in ratios:
            levels = sum(p.meter == meter and axis not in p.when for p in current.values())
            stated = sum(p.meter == meter and p.when.get(axis) == [value] for p in current.values())
            # A threshold that the tier has not, or the other way round. Without a price below it, it was forgotten.
            if stated != levels and meter in plainly:
                ratios[meter].add(None)
        fixed = {meter: next(iter(some)) for meter, some in ratios.items() if len(some) == 1 and None not in some}
        unsaid = {p.meter for p in current.values() if not set(p.when) & set(AXES)} - ratios.keys()
        implied = {meter: plainly.get(direction_of(meter) or "") for meter in unsaid}
        usual = Counter(fixed.values()).most_common(1)[0][0] if fixed else None
        as_factor = {meter for meter, ratio in fixed.items() if ratio == usual}
        by_ratio: dict[Any, set[str]] = {usual: set(as_factor)} if fixed else {}
        for meter, ratio in implied.items():
            if ratio is not None:
                by_ratio.setdefault(ratio, set()).add(meter)
        for n, (ratio, meters) in enumerate(by_ratio.items()):
            name = value if n == 0 else f"{value}:{min(meters)}"
            modifiers.append({"id": name, "multiply": str(ratio), "when": {axis: [value]}, "meters": sorted(meters)})
        left = [p for p in left if not (p.when.get(axis) == [value] and p.meter in as_factor)]
    return left, modifiers


def _ratio(price: ListedPrice, axis: str, prices: Iterable[ListedPrice], current: Mapping[str, ListedPrice]) -> Any:
    """A tier's price in the plain ones of its time; None where there is none, or not always the same."""
    when = {name: said for name, said in price.when.items() if name != axis}
    key = ListedPrice(price.meter, price.price, price.per, when).key
    start, end = price.valid_from or "", price.valid_to or "9"
    # What a list does not date it says of now.
    during = [p for p in prices if p.key == key and (p.valid_from or "") < end and start < (p.valid_to or "9")]
    if not price.valid_from and not price.valid_to:
        during = [current[key]] if key in current else []
    ratios = {price.price / p.price if p.price and p.per == price.per else None for p in during}
    return ratios.pop() if len(ratios) == 1 else None


def not_sold(provider: str, entry: ModelEntry, as_of: str) -> Iterator[tuple[str, list[str]]]:
    """The tiers of a model, with the meters that no list prices there; fees of tools and calls are the same on all.

    What is sold on a tier in some region only is left aside.
    """
    rates = [rate for rate in entry.get("rates", ()) if not rate.get("valid_to", "9") <= as_of]
    plain = {rate["meter"] for rate in rates if not _axes(rate)}
    there: dict[str, set[str]] = {}
    for one in (*rates, *entry.get("modifiers", ())):
        if _axes(one) == {"service_tier"}:
            for tier in one["when"]["service_tier"]:
                there.setdefault(tier, set()).update(expand(one.get("meters") or [one["meter"]]))
    for tier, meters in sorted(there.items()):
        lacking = sorted(meter for meter in plain - meters if not meter.startswith("tool_"))
        if lacking:
            yield f"{provider}/{entry['model']}: {tier}", lacking


def _axes(one: ModelEntry) -> set[str]:
    return set(one.get("when", {})) & set(AXES)
