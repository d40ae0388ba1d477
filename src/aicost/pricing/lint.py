"""What is odd in a card that loads: gaps in dates, prices far off their neighbours, names that match nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

from ._text import price_text
from .card import RateCard
from .models import ModelRates
from .rates import Rate, parse_instant

FAR_OFF = 1000
"""A price this many times its neighbours', or this much below them, is a unit that was mixed up."""
STALE_NS = 365 * 86_400 * 10**9

_NO_SOURCE = {"", "?", "-", "none", "n/a", "tbd", "todo", "unknown", "xxx"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. `kind` is `gap`, `unit`, `unmatched`, `provenance` or `stale`."""

    kind: str
    where: str
    """A rate id, or `provider/model`."""
    problem: str


def findings(card: RateCard, *, now_ns: int) -> Iterator[Finding]:
    """Everything odd in a card, and in it alone: the cards under it are somebody else's."""
    for name in card.providers():
        entry = card.provider(name)
        if entry is None:
            continue
        own = RateCard({"id": card.id, "version": card.version, "currency": card.currency, "providers": [entry]})
        models = list(own.models())
        yield from far_off(models)
        for model in models:
            for rates in model.rates.values():
                yield from _gaps(rates)
                yield from _provenance(rates, now_ns)
        if card.base is not None:
            yield from _unmatched(card.base, name, entry)
        else:
            yield from _idle(name, entry)


def _gaps(rates: list[Rate]) -> Iterator[Finding]:
    alike: dict[Any, list[Rate]] = {}
    for rate in rates:
        axes = tuple(sorted((axis, tuple(sorted(values))) for axis, values in rate.axes.items()))
        alike.setdefault((axes, rate.context, rate.window), []).append(rate)
    for same in alike.values():
        in_time = sorted(same, key=lambda r: r.valid_from_ns if r.valid_from_ns is not None else -(1 << 70))
        for one, following in pairwise(in_time):
            if one.valid_to_ns is not None and one.valid_to_ns < (following.valid_from_ns or 0):
                yield Finding("gap", one.id, f"nothing holds between its end and the start of {following.id}")


def _provenance(rates: list[Rate], now_ns: int) -> Iterator[Finding]:
    for rate in rates:
        checked = parse_instant(rate.checked)
        if rate.source.strip().lower() in _NO_SOURCE:
            yield Finding("provenance", rate.id, f"its source is {rate.source!r}; name a page or a contract")
        if rate.attested_from is not None and (rate.attested_from_ns or 0) > checked:
            yield Finding("provenance", rate.id, f"attested from {rate.attested_from}, after it was checked")
        if checked > now_ns + 86_400 * 10**9:
            yield Finding("provenance", rate.id, f"checked on {rate.checked}, which is still to come")
        elif checked < now_ns - STALE_NS and rate.valid_to_ns is None:
            yield Finding("stale", rate.id, f"last checked on {rate.checked}, more than a year ago")


def far_off(models: list[ModelRates]) -> Iterator[Finding]:
    """Prices far from those of the same meter in the provider's other models, and from the model's own input."""
    by_meter: dict[str, list[tuple[Rate, Fraction]]] = {}
    for model in models:
        for meter, rates in model.rates.items():
            units = [(rate, rate.price / rate.per) for rate in rates if rate.price > 0]
            by_meter.setdefault(meter, []).extend(units)
        yield from _off_own_input(model)
    for meter, found in by_meter.items():
        if len(found) < 4:
            continue
        middle = median(unit for _, unit in found)
        for rate, unit in found:
            if unit >= middle * FAR_OFF or unit * FAR_OFF <= middle:
                usual = price_text(Fraction(middle * rate.per).limit_denominator(10**9))
                yield Finding("unit", rate.id, f"{price_text(rate.price)} per {rate.per:,}; {meter} is usually {usual}")


def _off_own_input(model: ModelRates) -> Iterator[Finding]:
    plain: Mapping[str, Rate] = {
        meter: rate for meter, rates in model.rates.items() for rate in rates if not rate.axes and rate.context is None
    }
    fresh = plain.get("input")
    for meter in ("output", "input_cache_read", "input_cache_write_5m", "input_cache_write_1h"):
        rate = plain.get(meter)
        if fresh is None or rate is None or not fresh.price or not rate.price:
            continue
        ratio = (rate.price / rate.per) / (fresh.price / fresh.per)
        if not Fraction(1, FAR_OFF) < ratio < FAR_OFF:
            yield Finding("unit", rate.id, f"{float(ratio):g} times the price of input")


def _idle(provider: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    """Discounts in a card that lies over no other."""
    for owner in (entry, *entry.get("models", ())):
        for modifier in owner.get("modifiers", ()):
            if not modifier.get("when"):
                where = f"{provider}/{owner.get('model', '*')}"
                problem = (
                    f"modifier {modifier['id']!r} is a discount on cards underneath, and there is none; see extends"
                )
                yield Finding("unmatched", where, problem)


def _unmatched(base: RateCard, provider: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    """Models that only change what a card below says, and are not there."""
    for model in entry.get("models", ()):
        names = (model["model"], *model.get("aliases", ()))
        if not model.get("rates") and not any(base.find(provider, name) for name in names):
            where = f"{provider}/{model['model']}"
            yield Finding("unmatched", where, "no card below has this model, and this one gives it no rates")
