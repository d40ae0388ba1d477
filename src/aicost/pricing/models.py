"""ModelRates: every rate and modifier that holds for one model of one provider, in all layers of a card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from .rates import ANY, AXES, Dated, Modifier, Rate, built_price, expand, parse_context, parse_instant, parse_window

CardSection = Mapping[str, Any]
Layer = tuple[str, str, CardSection, "CardSection | None"]
"""Key and currency of a card, what it says of the provider, and of the model."""


class ModelRates:
    """The rates of a model by meter, and its modifiers.

    For each meter the uppermost card that has rates decides; in one card the model's own come before the provider's.
    """

    __slots__ = ("cards", "modifiers", "name", "provider", "rates")

    def __init__(self, provider: str, layers: Sequence[Layer]) -> None:
        self.provider = provider
        self.name: str = next(model["model"] for _, _, _, model in reversed(layers) if model is not None)
        self.rates: dict[str, list[Rate]] = {}
        modifiers: dict[str, Modifier] = {}
        said: list[str] = []
        for depth, (card, currency, above, model) in enumerate(layers):
            named = said_of = False
            for owner in (model, above):
                if owner is None:
                    continue
                named |= self._take(owner, model or {}, above, currency, depth)
                for raw in owner.get("modifiers", ()):
                    said_of = True
                    modifiers.setdefault(raw["id"], _modifier(raw, owner, above, depth))
            if named or said_of:
                said.append(card)
        self.cards = "+".join(dict.fromkeys(said))
        """`id@version` of each card that says something of the model, the uppermost first."""
        self.modifiers = tuple(modifiers.values())

    def _take(self, owner: CardSection, model: CardSection, above: CardSection, currency: str, depth: int) -> bool:
        """Take the rates of meters that nothing further up has; whether there were any."""
        fresh: dict[str, list[Rate]] = {}
        for raw in owner.get("rates", ()):
            if raw["meter"] not in self.rates:
                rate = _rate(raw, self.provider, self.name, model, above, currency, depth)
                fresh.setdefault(rate.meter, []).append(rate)
        self.rates.update(fresh)
        return bool(fresh)

    def dates(self) -> Iterator[int]:
        """Every instant at which a rate or a modifier begins or ends, or a rate's price begins to be attested."""
        rates = [rate for every in self.rates.values() for rate in every]
        dated: list[Dated] = [*rates, *self.modifiers]
        edges = [edge for one in dated for edge in (one.valid_from_ns, one.valid_to_ns)]
        yield from (edge for edge in (*edges, *(rate.attested_from_ns for rate in rates)) if edge is not None)


def rate_id(provider: str, model: str, raw: CardSection) -> str:
    """The readable, unique name of a rate: `openai/gpt-4.1/input[service_tier=flex]@2025-04-14`."""
    when = raw.get("when", {})
    # `*` parts a rate from what was applied to it, so it cannot stand inside.
    said = [f"{axis}={'|'.join(when[axis])}".replace(ANY, "any") for axis in AXES if axis in when]
    if "context" in when:
        context = when["context"]
        said.append(f"context{'>=' if context['op'] == 'ge' else '>'}{context['value']}")
    if "window" in when:
        window = when["window"]
        said.append(f"window={','.join(window.get('days', ()))}{window['start']}-{window['end']}")
    conditions = f"[{';'.join(said)}]" if said else ""
    return f"{provider}/{model}/{raw['meter']}{conditions}@{raw.get('valid_from') or 'always'}"


def axes_of(when: CardSection) -> Mapping[str, frozenset[str]]:
    """The values a `when` names on each axis."""
    return {axis: frozenset(when[axis]) for axis in AXES if axis in when}


def _rate(
    raw: CardSection, provider: str, name: str, model: CardSection, above: CardSection, currency: str, depth: int
) -> Rate:
    when = raw.get("when", {})
    return Rate(
        id=rate_id(provider, name, raw),
        meter=raw["meter"],
        price=Fraction(raw["price"]) if "price" in raw else built_price(raw["built"]),
        per=raw["per"],
        currency=raw.get("currency", currency),
        source=raw.get("source") or model.get("source") or above["source"],
        checked=raw.get("checked") or model.get("checked") or above["checked"],
        axes=axes_of(when),
        layer=depth,
        context=parse_context(when["context"]) if "context" in when else None,
        window=parse_window(when["window"]) if "window" in when else None,
        valid_from=raw.get("valid_from"),
        valid_from_ns=_instant(raw, "valid_from"),
        valid_to_ns=_instant(raw, "valid_to"),
        attested_from=raw.get("attested_from"),
        note=raw.get("note") or model.get("note"),
    )


def _modifier(raw: CardSection, owner: CardSection, above: CardSection, depth: int) -> Modifier:
    return Modifier(
        raw["id"],
        Fraction(raw["multiply"]),
        frozenset(expand(raw["meters"])),
        axes_of(raw.get("when", {})),
        depth,
        _instant(raw, "valid_from"),
        _instant(raw, "valid_to"),
        raw.get("source") or owner.get("source") or above["source"],
    )


def _instant(raw: CardSection, name: str) -> int | None:
    return parse_instant(raw[name]) if raw.get(name) else None
