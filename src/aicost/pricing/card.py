"""RateCard: versioned, effective-dated rates, in layers, and finding a model in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from aicost._bounded import LONGEST_NAME
from aicost.usage.providers import canonical_provider, find_provider, model_names, served_by

from ._text import price_text
from .card_format import HEADER, specificity
from .models import CardSection, ModelRates
from .rates import ExchangeRate, in_force, parse_instant
from .terms import Term, parse_term

_SNAPSHOT = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$")
_MAX_REMEMBERED = 10_000


class _Match(NamedTuple):
    """What a card has for a name, and how well it fits."""

    fit: int
    """`_EXACT` by name or alias, `_SNAPSHOT_OF` as a dated snapshot, below that as much as a pattern pins down."""
    entry: CardSection | None


_EXACT, _SNAPSHOT_OF = 1 << 30, 1 << 29
_NOTHING = _Match(-1, None)


class RateCard:
    """An immutable rate card. Load one with `RateCard.load`, or take the one that comes with aicost.

    A card may lie over another (`base`): what it says of a model's meter replaces all that the base says of it, its
    modifiers come on top, and everything else stays as it is below.

    >>> RateCard.bundled().find("openai", "gpt-4o-mini").name
    'gpt-4o-mini'
    """

    def __init__(self, document: CardSection, base: RateCard | None = None, folder: Path | None = None) -> None:
        self.id: str = document["id"]
        self.version: str = document["version"]
        self.currency: str = document["currency"]
        self.base = base
        files = folder.glob("*.json") if folder is not None else ()
        self._files = {file.stem: file for file in files if file.name != HEADER}
        self._providers: dict[str, CardSection] = {p["provider"]: p for p in document.get("providers", ())}
        self._names: dict[str, dict[str, CardSection]] = {}
        self._found: dict[tuple[str, str], ModelRates | None] = {}
        self._fx = tuple(_exchange_rate(raw) for raw in document.get("fx", ()))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> RateCard:
        """Read and check a rate card: a file, or a folder with a `card.json` and one file per provider.

        Raises `RateCardError` with the file, line and field for anything wrong in it.
        """
        from .files import read_layers  # what checks a file takes long to import, and the bundled card is checked

        layers, is_over_bundled = read_layers(Path(path))
        card = cls.bundled() if is_over_bundled else None
        for document, folder in reversed(layers):
            card = cls(document, base=card, folder=folder)
        assert card is not None  # noqa: S101 - narrowing: a path is at least one layer
        return card

    @staticmethod
    def bundled() -> RateCard:
        """The card that comes with aicost: public list prices, offline."""
        return _bundled()

    @property
    def key(self) -> str:
        """`id@version`, as charges name the card that priced them."""
        return f"{self.id}@{self.version}"

    def find(self, provider: str, model: str) -> ModelRates | None:
        """The rates of a model, or None: by exact name or alias, then dated snapshot, then pattern.

        In every layer; what an upper one says comes first, unless one below fits the name better and is another model.
        """
        key = (provider, model)
        try:
            return self._found[key]
        except KeyError:
            named, model = served_by(canonical_provider(provider), model)
            row = find_provider(named)
            sellers = (named, *row.priced_with) if row is not None else (named,)
            found = next((rates for one in sellers if (rates := self._find(one, model)) is not None), None)
            if len(self._found) < _MAX_REMEMBERED and len(key[0]) + len(key[1]) <= 2 * LONGEST_NAME:
                self._found[key] = found
            return found

    def models(self) -> Iterator[ModelRates]:
        """Every model of the card and of those under it, provider by provider."""
        for provider in self.providers():
            seen: set[str] = set()
            for layer in self._layers():
                for entry in (layer.provider(provider) or {}).get("models", ()):
                    found = self.find(provider, entry["model"]) if entry["model"].lower() not in seen else None
                    # What a card says of another's alias is said of that model.
                    if found is not None and found.name.lower() not in seen:
                        seen.update((entry["model"].lower(), found.name.lower()))
                        yield found

    def providers(self) -> list[str]:
        """The names of all providers, of this card and of those under it."""
        return sorted({name for layer in self._layers() for name in (*layer._providers, *layer._files)})

    def provider(self, name: str) -> CardSection | None:
        """What this layer itself says of a provider, in the file's form; None if nothing."""
        if name not in self._providers and name in self._files:
            self._providers[name] = json.loads(self._files[name].read_bytes())
        return self._providers.get(name)

    def terms(self, provider: str) -> tuple[Term, ...]:
        """What a provider charges or grants per period rather than per call, in every layer; same id, upper wins."""
        found: dict[str, Term] = {}
        for layer in self._layers():
            entry = layer.provider(canonical_provider(provider)) or {}
            for raw in entry.get("terms", ()):
                found.setdefault(raw["id"], parse_term(raw, entry, layer.currency))
        return tuple(found.values())

    def exchange(self, base: str, quote: str, at_ns: int) -> tuple[Fraction, str] | None:
        """What one unit of `base` is in `quote` at an instant, and the id of the rate; None if no layer says."""
        for layer in self._layers():
            for fx in layer._fx:
                if in_force(fx, at_ns) and {fx.base, fx.quote} == {base, quote}:
                    return (fx.price if fx.base == base else 1 / fx.price), fx.id
        return None

    def exchange_dates(self) -> set[int]:
        """The instants at which an exchange rate begins or ends."""
        dates = (edge for layer in self._layers() for fx in layer._fx for edge in (fx.valid_from_ns, fx.valid_to_ns))
        return {edge for edge in dates if edge is not None}

    def describe(self, rate_id: str) -> Mapping[str, str] | None:
        """Where a rate comes from, or None.

        Gives `source`, `checked`, `price`, `per`, `currency`, `valid_from`, `attested_from` (always a date: since when
        a source is known to have it), and `note` if there is one. What a charge line's rate id says after a `*`
        (modifiers, an exchange rate) is described as `modifiers`.
        """
        bare, *applied = rate_id.split("*")
        provider, _, rest = bare.partition("/")
        name, _, _ = rest.partition("@")[0].rpartition("/")
        found = self.find(provider, name)
        for rate in (r for rates in found.rates.values() for r in rates) if found else ():
            if rate.id == bare and found is not None:
                about = {"source": rate.source, "checked": rate.checked, "price": price_text(rate.price)}
                about |= {"per": str(rate.per), "currency": rate.currency, "valid_from": bare.rpartition("@")[2]}
                about["attested_from"] = rate.attested
                said = [f"{m.id} x {m.factor} ({m.source})" for m in found.modifiers if m.id in applied]
                said += [f"{fx.id} x {fx.price} ({fx.source})" for fx in self._all_fx() if fx.id in applied]
                extra = {"note": rate.note, "modifiers": "; ".join(said)}
                return about | {key: value for key, value in extra.items() if value}
        return None

    def _find(self, provider: str, model: str) -> ModelRates | None:
        layers = [(layer, entry) for layer in self._layers() if (entry := layer.provider(provider)) is not None]
        found = _resolve(layers, model.lower())
        if not any(found):
            return None
        said = zip(layers, found, strict=True)
        return ModelRates(provider, [(layer.key, layer.currency, entry, own) for (layer, entry), own in said])

    def _layers(self) -> Iterator[RateCard]:
        card: RateCard | None = self
        while card is not None:
            yield card
            card = card.base

    def _all_fx(self) -> Iterator[ExchangeRate]:
        return (fx for layer in self._layers() for fx in layer._fx)

    def _match(self, entry: CardSection, model: str) -> _Match:
        """What this layer itself has for a name in lower case."""
        names = self._names.get(entry["provider"])
        if names is None:
            names = {n.lower(): m for m in entry.get("models", ()) for n in (m["model"], *m.get("aliases", ()))}
            self._names[entry["provider"]] = names
        called = model_names(entry["provider"], model)
        for fit in (_EXACT, _SNAPSHOT_OF):
            for name in called:
                named = names.get(name if fit == _EXACT else _SNAPSHOT.sub("", name))
                if named is not None:
                    return _Match(fit, named)
        return next((found for name in called if (found := _by_pattern(entry, name)).entry is not None), _NOTHING)


def _resolve(layers: Sequence[tuple[RateCard, CardSection]], name: str) -> list[CardSection | None]:
    """What each layer, the uppermost first, says of the model that a name means."""
    matches = [layer._match(entry, name) for layer, entry in layers]
    found: list[CardSection | None] = []
    meant = name
    for n, (layer, entry) in enumerate(layers):
        better = max(matches[n:], key=lambda match: match.fit)
        own = matches[n].entry
        if better.entry is not None and better.fit > matches[n].fit:
            # A layer below knows the name better: this one speaks of another model, unless it has that very one.
            known = layer._match(entry, better.entry["model"].lower())
            own = known.entry if known.fit == _EXACT else None
        if own is None and meant != name:
            own = _resolve(layers[n:], meant)[0]
        if own is not None:
            meant = own["model"].lower()
        found.append(own)
    return found


def _by_pattern(provider: CardSection, model: str) -> _Match:
    best, found = -1, None
    for entry in provider.get("models", ()):
        for pattern in entry.get("patterns", ()):
            score = specificity(pattern)
            if score >= best and fnmatchcase(model, pattern.lower()):
                # What two models claim equally well is neither's.
                found = None if score == best and entry is not found else entry
                best = score
    return _NOTHING if found is None else _Match(best, found)


@lru_cache(maxsize=1)
def _bundled() -> RateCard:
    # Checked against its schema and for overlaps by the test suite, so it is not checked again at every start.
    def at(name: str, base: RateCard | None = None) -> RateCard:
        folder = Path(__file__).with_name("data") / name
        return RateCard(json.loads((folder / HEADER).read_bytes()), base=base, folder=folder)

    return at("overlay", base=at("catalogue"))


def _exchange_rate(raw: CardSection) -> ExchangeRate:
    start, end = raw.get("valid_from"), raw.get("valid_to")
    return ExchangeRate(
        raw["base"],
        raw["quote"],
        Fraction(raw["price"]),
        raw["source"],
        raw["checked"],
        start,
        parse_instant(start) if start else None,
        parse_instant(end) if end else None,
    )
