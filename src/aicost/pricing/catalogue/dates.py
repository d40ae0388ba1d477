"""What prices were before, which one list says and another does not, and since when the undated ones are attested."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from aicost.usage.meters import METERS, direction_of

from .listing import ListedPrice, Listing, PriceList, agree

SNAPSHOT = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$")
_MAKERS = ("anthropic", "gcp.gemini", "openai", "x_ai")
"""Whose prices others follow who sell the same models; what runs open models has prices of its own."""


class PriceChange(NamedTuple):
    """A price of a model that its maker changed: since when, from what, and to what it is now."""

    since: str
    before: ListedPrice
    after: ListedPrice


Changes = Mapping[str, Mapping[str, PriceChange]]
"""The latest change of each meter, by model."""


def current(prices: Iterable[ListedPrice], as_of: str) -> dict[str, ListedPrice]:
    """The prices of a day, by what they are for."""
    now = (p for p in prices if (p.valid_from or "") <= as_of and (p.valid_to is None or as_of < p.valid_to))
    return {price.key: price for price in now}


def changes_of(lists: Sequence[PriceList], as_of: str) -> Changes:
    """The latest changes of prices by the makers of models, as far as any list has them."""
    found: dict[str, dict[str, PriceChange]] = {}
    for listing in (one for each in lists for one in each.listings if one.provider in _MAKERS):
        now = current(listing.prices, as_of)
        for before in listing.prices:
            after = now.get(before.key)
            if not before.when and after is not None and after.valid_from == before.valid_to is not None:
                found.setdefault(listing.model.lower(), {})[before.meter] = PriceChange(before.valid_to, before, after)
    return found


def follow(listing: Listing, as_of: str) -> None:
    """Leave out an undated meter that costs what the dated one costs that it is a kind of: it changes with that one."""
    now = current(listing.prices, as_of)
    for meter in {price.meter for price in listing.prices}:
        above = METERS[meter].priced_as if meter in METERS else None
        mine = [price for price in listing.prices if price.meter == meter]
        theirs = [now.get(ListedPrice(above or "", price.price, price.per, price.when).key) for price in mine]
        same = all(
            other is not None and agree(price, other) and not (price.history or price.valid_from or price.valid_to)
            for price, other in zip(mine, theirs, strict=True)
        )
        if same and any(other is not None and (other.valid_from or other.valid_to) for other in theirs):
            listing.prices = [price for price in listing.prices if price.meter != meter]


def attest(listing: Listing, as_of: str, changes: Changes) -> None:
    """Say since when prices without dates are attested, where they are known to have changed.

    They are if the list that dates them has another price for the same tokens before, on another tier or of another
    kind, or if the model's maker had, and this seller has not still the price of before. A model whose name goes on
    after another's has changed with it if it costs the same now.
    """
    plain = {p.meter: p for p in current(listing.prices, as_of).values() if not p.when}
    for price in listing.prices:
        if price.history or price.valid_from or price.valid_to:
            continue
        alike = (price.meter, direction_of(price.meter) or "")
        own = next((plain[m] for m in alike if m in plain and plain[m].history), None)
        change = next(_changes_like(listing.model.lower(), alike, plain, changes), None)
        if own is not None:
            price.attested_from = own.valid_from
        elif change is not None:
            price.attested_from = change.since


def _changes_like(
    model: str, meters: Iterable[str], plain: Mapping[str, ListedPrice], changes: Changes
) -> Iterator[PriceChange]:
    name = SNAPSHOT.sub("", model)
    for known, by_meter in changes.items():
        same = name == known or name.endswith((f".{known}", f"/{known}"))
        if same or name.rpartition("/")[2].startswith(f"{known}-"):
            for meter in meters:
                if meter in by_meter:
                    change, now = by_meter[meter], plain.get(meter)
                    followed = (
                        now is None or not agree(now, change.before) if same else now and agree(now, change.after)
                    )
                    if followed:
                        yield change
                    return


def adopt_history(
    kept: Listing, mine: Mapping[str, ListedPrice], listing: Listing, theirs: Mapping[str, ListedPrice]
) -> None:
    """Take what prices were before from the list that says it, where both agree on what they are."""
    for key, price in theirs.items():
        if price.history and key in mine and not mine[key].history and agree(price, mine[key]):
            kept.prices = [p for p in kept.prices if p.key != key] + [p for p in listing.prices if p.key == key]
