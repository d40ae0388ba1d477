"""What a public price list says of one model, in the form that all lists are merged from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from aicost.pricing._text import price_text
from aicost.usage.providers import find_provider

ModelEntry = dict[str, Any]


def provider_name(listed: str) -> str:
    """A provider under the name its events carry.

    >>> provider_name("vertex_ai-anthropic_models"), provider_name("github-copilot")
    ('gcp.vertex_ai', 'github_copilot')
    """
    known = find_provider(listed)
    return re.sub(r"[^a-z0-9.]+", "_", listed.lower()).strip("_") if known is None else known.name


@dataclass(slots=True)
class ListedPrice:
    """One price of a list: an exact amount per `per` units of a meter under the conditions of `when`."""

    meter: str
    price: Fraction
    per: int
    when: ModelEntry = field(default_factory=dict)
    valid_from: str | None = None
    valid_to: str | None = None
    attested_from: str | None = None
    """Since when it is known to be this much, where it was another price before."""
    history: bool = False
    """Whether the list says what it was at all times, rather than only what it is."""

    @property
    def key(self) -> str:
        """The meter and the conditions, whatever the price and the date."""
        return f"{self.meter} {sorted_text(self.when)}"

    def entry(self) -> ModelEntry:
        """The rate in a card's file form."""
        made: ModelEntry = {"meter": self.meter, "price": price_text(self.price), "per": self.per}
        made |= {"when": self.when} if self.when else {}
        dates = {"valid_from": self.valid_from, "valid_to": self.valid_to, "attested_from": self.attested_from}
        return made | {name: date for name, date in dates.items() if date}


@dataclass(slots=True)
class Listing:
    """A model of a list, with the names it goes by."""

    provider: str
    model: str
    prices: list[ListedPrice]
    modifiers: list[ModelEntry] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    url: str | None = None
    checked: str | None = None
    """When the list says it last looked at the prices."""

    def names(self) -> Iterator[str]:
        """The model's name and its aliases, as matching compares them."""
        return (name.lower() for name in (self.model, *self.aliases))


@dataclass(slots=True)
class PriceList:
    """A public price list: its name and version, its models, and what could not be carried over, by reason."""

    name: str
    listings: list[Listing]
    pages: dict[str, str] = field(default_factory=dict)
    """The providers' own price pages, where the list names them."""
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, reason: str, what: str) -> None:
        """Remember what the catalogue will lack, and why."""
        self.left_out.setdefault(reason, []).append(what)


def exact(value: object) -> Fraction | None:
    """The decimal that a number in a list was meant to be; None for what is no price.

    Lists keep prices as floats and divide them to single tokens, which leaves noise in the seventeenth digit. Twelve
    digits are more than any price has.

    >>> exact(1.8000000000000001e-07)
    Fraction(9, 50000000)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or number < 0:
        return None
    return Fraction(Decimal(format(number, ".12g")))


def near(price: Fraction) -> Fraction:
    """The price that one per second or per pixel was divided from, where rounding hides it.

    >>> near(Fraction("0.20999988"))
    Fraction(21, 100)
    """
    rounded = Fraction(Decimal(format(Decimal(price.numerator) / Decimal(price.denominator), ".5g")))
    return rounded if abs(rounded - price) * 100_000 < price else price


def agree(one: ListedPrice, other: ListedPrice) -> bool:
    """Whether two lists mean the same price: one may have rounded it, to a tenth of a per mille."""
    a, b = one.price * other.per, other.price * one.per
    return abs(a - b) * 5000 <= max(a, b)


def unique(prices: Iterable[ListedPrice]) -> list[ListedPrice]:
    """Each price once: a list that states one twice, under two names, means the first."""
    found: dict[tuple[str, str | None], ListedPrice] = {}
    for price in prices:
        found.setdefault((price.key, price.valid_from), price)
    return list(found.values())


def over(tokens: int, op: str = "gt") -> ModelEntry:
    """The condition that a request has more input tokens than that; the whole request then has another price."""
    return {"context": {"basis": ["input_tokens"], "op": op, "value": tokens, "scope": "cliff"}}


def sorted_text(data: Mapping[str, Any]) -> str:
    """The same text for the same conditions."""
    return json.dumps(data, sort_keys=True)
