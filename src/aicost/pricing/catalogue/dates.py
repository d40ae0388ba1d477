"""What prices were before, which one list says and another does not, and since when the undated ones are attested."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from aicost.usage.meters import METERS, direction_of

from .listing import Listing, Price, PriceList, agree

SNAPSHOT = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$")
_MAKERS = ("anthropic", "gcp.gemini", "openai", "x_ai")
"""Whose prices others follow who sell the same models; what runs open models has prices of its own."""

Changes = Mapping[str, Mapping[str, tuple[str, Price]]]
"""Of each model whose maker changed its prices: by meter since when, and what it was before."""


def current(prices: Iterable[Price], as_of: str) -> dict[str, Price]:
    """The prices of a day, by what they are for."""
    now = (p for p in prices if (p.valid_from or "") <= as_of and (p.valid_to is None or as_of < p.valid_to))
    return {price.key: price for price in now}


def changes_of(lists: Sequence[PriceList], as_of: str) -> Changes:
    """The latest changes of prices by the makers of models, as far as any list has them."""
    found: dict[str, dict[str, tuple[str, Price]]] = {}
    for listing in (one for each in lists for one in each.listings if one.provider in _MAKERS):
        for price in listing.prices:
            before = price.valid_to
            if not price.when and before is not None and before <= as_of:
                known = found.setdefault(listing.model.lower(), {}).get(price.meter)
                if known is None or known[0] < before:
                    found[listing.model.lower()][price.meter] = (before, price)
    return found


def follow(listing: Listing, as_of: str) -> None:
    """Leave out an undated meter that costs what the dated one costs that it is a kind of: it changes with that one."""
    now = current(listing.prices, as_of)
    for meter in {price.meter for price in listing.prices}:
        above = METERS[meter].priced_as if meter in METERS else None
        mine = [price for price in listing.prices if price.meter == meter]
        theirs = [now.get(Price(above or "", price.price, price.per, price.when).key) for price in mine]
        same = all(
            other is not None and agree(price, other) and not (price.history or price.valid_from or price.valid_to)
            for price, other in zip(mine, theirs, strict=True)
        )
        if same and any(other is not None and (other.valid_from or other.valid_to) for other in theirs):
            listing.prices = [price for price in listing.prices if price.meter != meter]


def attest(listing: Listing, as_of: str, changes: Changes) -> None:
    """Say since when prices without dates are attested, where they are known to have changed.

    They are if the list that dates them has another price for the same tokens before, on another tier or of another
    kind, or if the model's maker had; unless this seller still has the price of before.
    """
    plain = {p.meter: p for p in current(listing.prices, as_of).values() if not p.when}
    name = SNAPSHOT.sub("", listing.model.lower())
    maker = next((changes[n] for n in changes if name == n or name.endswith((f".{n}", f"/{n}"))), {})
    for price in listing.prices:
        if price.history or price.valid_from or price.valid_to:
            continue
        alike = (price.meter, direction_of(price.meter) or "")
        own = next((plain[m] for m in alike if m in plain and plain[m].history), None)
        changed = next((maker[m] for m in alike if m in maker), None)
        if own is not None:
            price.attested_from = own.valid_from
        elif changed is not None and listing.provider not in _MAKERS:
            since, before = changed
            now = plain.get(before.meter)
            price.attested_from = None if now is not None and agree(now, before) else since


def adopt_history(kept: Listing, mine: Mapping[str, Price], listing: Listing, theirs: Mapping[str, Price]) -> None:
    """Take what prices were before from the list that says it, where both agree on what they are."""
    for key, price in theirs.items():
        if price.history and key in mine and not mine[key].history and agree(price, mine[key]):
            kept.prices = [p for p in kept.prices if p.key != key] + [p for p in listing.prices if p.key == key]
