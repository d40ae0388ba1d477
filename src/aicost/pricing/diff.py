"""What changed from one rate card to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from ._text import price_text
from .card import RateCard
from .models import ModelRates


@dataclass(frozen=True, slots=True)
class Difference:
    """One rate or modifier that one card has and the other has not, or has at another price."""

    provider: str
    model: str
    what: str
    """The rate's id without provider and model, or `modifier ID`."""
    change: Literal["added", "removed", "changed"]
    before: str | None
    after: str | None


def differences(before: RateCard, after: RateCard) -> Iterator[Difference]:
    """Every difference between two cards, with all that lies under each, by provider and model."""
    old, new = _models(before), _models(after)
    for key in sorted(old.keys() | new.keys()):
        was, now = _prices(old.get(key)), _prices(new.get(key))
        for what in sorted(was.keys() | now.keys()):
            if was.get(what) != now.get(what):
                change: Literal["added", "removed", "changed"] = (
                    "added" if what not in was else "removed" if what not in now else "changed"
                )
                yield Difference(*key, what, change, was.get(what), now.get(what))


def _models(card: RateCard) -> dict[tuple[str, str], ModelRates]:
    return {(model.provider, model.name): model for model in card.models()}


def _prices(model: ModelRates | None) -> dict[str, str]:
    if model is None:
        return {}
    start = len(f"{model.provider}/{model.name}/")
    said = {
        rate.id[start:]: f"{price_text(rate.price)} {rate.currency} per {rate.per:,}"
        + (f" attested from {rate.attested_from}" if rate.attested_from else "")
        + _until(rate.valid_to_ns)
        for rates in model.rates.values()
        for rate in rates
    }
    for modifier in model.modifiers:
        when = ", ".join(f"{axis}={'|'.join(sorted(values))}" for axis, values in modifier.axes.items())
        meters = ", ".join(sorted(modifier.meters))
        said[f"modifier {modifier.id}"] = f"x {modifier.factor} when {when or 'always'} on {meters}"
    return said


def _until(valid_to_ns: int | None) -> str:
    if valid_to_ns is None:
        return ""
    return f" until {datetime.fromtimestamp(valid_to_ns // 10**9, tz=timezone.utc).date().isoformat()}"
