"""RateCard: a versioned, effective-dated file of rates, and finding a model in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from aicost._errors import RateCardError

from .rates import AXES, Modifier, Rate, parse_context, parse_instant, parse_window

SCHEMA = "aicost.rate-card/1"

PROVIDER_ALIASES = {
    "xai": "x_ai",
    "mistral": "mistral_ai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
}
"""Everyday names for the provider names of the OpenTelemetry conventions, which rate cards use."""

_SNAPSHOT = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$")
_MAX_REMEMBERED = 10_000

_Entry = Mapping[str, Any]


class ModelRates:
    """All rates and modifiers of one model on one provider, with the provider's own where the model has none."""

    __slots__ = ("currency", "modifiers", "name", "provider", "rates")

    def __init__(self, provider: _Entry, model: _Entry, currency: str) -> None:
        self.provider: str = provider["provider"]
        self.name: str = model["model"]
        own = [_rate(raw, model, provider, currency) for raw in model.get("rates", ())]
        priced = {rate.meter for rate in own}
        shared = [_rate(raw, model, provider, currency) for raw in provider.get("rates", ())]
        every = own + [rate for rate in shared if rate.meter not in priced]
        self.rates: dict[str, list[Rate]] = {}
        for rate in every:
            self.rates.setdefault(rate.meter, []).append(rate)
        ids = {raw["id"] for raw in model.get("modifiers", ())}
        raws = [*model.get("modifiers", ()), *(m for m in provider.get("modifiers", ()) if m["id"] not in ids)]
        self.modifiers = tuple(_modifier(raw) for raw in raws)
        self.currency = every[0].currency if every else currency


class RateCard:
    """An immutable rate card. Load one with `RateCard.load`, or take the one that comes with aicost.

    >>> RateCard.bundled().find("openai", "gpt-4o-mini").name
    'gpt-4o-mini'
    """

    def __init__(self, document: _Entry, base: RateCard | None = None) -> None:
        self.id: str = document["id"]
        self.version: str = document["version"]
        self.currency: str = document["currency"]
        self._base = base
        self._providers: dict[str, _Entry] = {p["provider"]: p for p in document["providers"]}
        self._names: dict[str, dict[str, _Entry]] = {}
        self._compiled: dict[tuple[str, str], ModelRates] = {}
        self._found: dict[tuple[str, str], ModelRates | None] = {}
        for name, provider in self._providers.items():
            names = self._names[name] = {}
            for model in provider.get("models", ()):
                for alias in (model["model"], *model.get("aliases", ())):
                    names[alias.lower()] = model

    @classmethod
    def load(cls, path: str | Path) -> RateCard:
        """Read and check a rate-card file.

        Raises `RateCardError` with the file, line and field for anything wrong in it.
        """
        from .validate import check_document

        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise RateCardError(f"cannot read rate card {file}: {error.strerror or error}") from error
        try:
            document = json.loads(text)
        except ValueError as error:
            raise RateCardError(f"rate card {file} is not valid JSON: {error}") from error
        check_document(document, text, str(file))
        return cls(document, base=cls.bundled() if document.get("extends") == "bundled" else None)

    @staticmethod
    def bundled() -> RateCard:
        """The card that comes with aicost: public list prices, offline."""
        return _bundled()

    @property
    def key(self) -> str:
        """`id@version`, as charges name the card that priced them."""
        return f"{self.id}@{self.version}"

    def find(self, provider: str, model: str) -> ModelRates | None:
        """The rates of a model, or None: by exact name, then alias, then dated snapshot, then pattern.

        A card that extends another is asked first.
        """
        key = (provider, model)
        try:
            return self._found[key]
        except KeyError:
            found = self._find(PROVIDER_ALIASES.get(provider, provider), model.lower())
            if found is None and self._base is not None:
                found = self._base.find(provider, model)
            if len(self._found) < _MAX_REMEMBERED:
                self._found[key] = found
            return found

    def models(self) -> Iterator[ModelRates]:
        """Every model of the card itself, in file order."""
        for provider, entry in self._providers.items():
            for model in entry.get("models", ()):
                yield self._model(provider, model)

    def describe(self, rate_id: str) -> Mapping[str, str] | None:
        """Where a rate comes from (`source`, `checked`, `price`, `per`, `currency`, `valid_from`), or None."""
        provider, _, rest = rate_id.partition("/")
        name, _, _ = rest.rpartition("/")
        found = self.find(provider, name)
        bare = rate_id.partition("*")[0]
        for rate in (r for rates in found.rates.values() for r in rates) if found else ():
            if rate.id == bare:
                start = bare.rpartition("@")[2]
                about = {"source": rate.source, "checked": rate.checked, "price": rate.price, "per": str(rate.per)}
                about |= {"currency": rate.currency, "valid_from": start}
                return about | {"note": rate.note} if rate.note else about
        return None

    def owner_of(self, found: ModelRates) -> RateCard:
        """The card, this one or the one it extends, that `found` came from."""
        own = self._names.get(found.provider, {}).get(found.name.lower())
        return self if own is not None or self._base is None else self._base

    def _find(self, provider: str, model: str) -> ModelRates | None:
        names = self._names.get(provider)
        if names is None:
            return None
        entry = names.get(model) or names.get(_SNAPSHOT.sub("", model)) or self._by_pattern(provider, model)
        return None if entry is None else self._model(provider, entry)

    def _by_pattern(self, provider: str, model: str) -> _Entry | None:
        fitting = [
            (len(pattern.replace("*", "")), entry)
            for entry in self._providers[provider].get("models", ())
            for pattern in entry.get("patterns", ())
            if fnmatchcase(model, pattern.lower())
        ]
        return max(fitting, key=lambda pair: pair[0])[1] if fitting else None

    def _model(self, provider: str, entry: _Entry) -> ModelRates:
        key = (provider, entry["model"])
        model = self._compiled.get(key)
        if model is None:
            model = self._compiled[key] = ModelRates(self._providers[provider], entry, self.currency)
        return model


@lru_cache(maxsize=1)
def _bundled() -> RateCard:
    # Checked against its schema and for overlaps by the test suite, so it is not checked again at every start.
    return RateCard(json.loads(files(__package__).joinpath("data/bundled.json").read_bytes()))


def _rate(raw: _Entry, model: _Entry, provider: _Entry, currency: str) -> Rate:
    when = raw.get("when", {})
    context = parse_context(when["context"]) if "context" in when else None
    start = raw.get("valid_from")
    return Rate(
        id=rate_id(provider["provider"], model["model"], raw),
        meter=raw["meter"],
        price=raw["price"],
        per=raw["per"],
        currency=raw.get("currency", currency),
        source=raw.get("source") or model.get("source") or provider["source"],
        checked=raw.get("checked") or model.get("checked") or provider["checked"],
        axes=_axes(when),
        context=context,
        window=parse_window(when["window"]) if "window" in when else None,
        valid_from_ns=parse_instant(start) if start else None,
        valid_to_ns=parse_instant(raw["valid_to"]) if raw.get("valid_to") else None,
        note=raw.get("note"),
    )


def rate_id(provider: str, model: str, raw: _Entry) -> str:
    """The readable, unique name of a rate: `openai/gpt-4.1/input[service_tier=flex]@2025-04-14`."""
    when = raw.get("when", {})
    said = [f"{axis}={'|'.join(when[axis])}" for axis in AXES if axis in when]
    if "context" in when:
        context = when["context"]
        said.append(f"context{'>=' if context['op'] == 'ge' else '>'}{context['value']}")
    if "window" in when:
        window = when["window"]
        said.append(f"window={','.join(window.get('days', ()))}{window['start']}-{window['end']}")
    conditions = f"[{';'.join(said)}]" if said else ""
    return f"{provider}/{model}/{raw['meter']}{conditions}@{raw.get('valid_from') or 'always'}"


def _modifier(raw: _Entry) -> Modifier:
    return Modifier(raw["id"], Fraction(raw["multiply"]), frozenset(raw["meters"]), _axes(raw["when"]))


def _axes(when: _Entry) -> Mapping[str, frozenset[str]]:
    return {axis: frozenset(when[axis]) for axis in AXES if axis in when}
