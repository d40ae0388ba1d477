"""Several price lists into one: what they agree on, what one of them adds, and where they disagree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aicost.pricing._text import price_text
from aicost.pricing.card import RateCard
from aicost.pricing.card_format import specificity
from aicost.pricing.lint import far_off
from aicost.pricing.models import rate_id
from aicost.pricing.validate import meet

from .dates import SNAPSHOT, Changes, adopt_history, attest, changes_of, current, follow
from .listing import ListedPrice, Listing, ModelEntry, PriceList, agree
from .tiers import not_sold, tiers_as_modifiers

_WRITES_ARE_INPUT = re.compile(r"(openai|azure\.ai\.openai)/|aws\.bedrock/([a-z]+\.)?amazon\.nova-")
"""Where writing to the cache costs nothing beyond the input itself unless a price is listed for it.

Sources: https://platform.openai.com/docs/guides/prompt-caching, and for Amazon's own models
https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html (as models.dev reads it, pull request 6793).
"""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A price on which the lists disagree. A list that has the meter but not the condition says `None`."""

    provider: str
    model: str
    meter: str
    when: Mapping[str, Any]
    said: Mapping[str, str | None]
    chosen: str


@dataclass(slots=True)
class Catalogue:
    """Provider entries in a card's file form, by name, and everything a reader should know of how they came about."""

    providers: dict[str, ModelEntry]
    conflicts: list[Conflict] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """Names that two models claimed."""
    implausible: list[str] = field(default_factory=list)
    """Prices that were left out because their unit must be another one."""
    not_sold: dict[str, list[str]] = field(default_factory=dict)
    """Meters that no list has a price for on a tier that the model has, by `provider/model: tier`."""


def merge(lists: Sequence[PriceList], *, as_of: str, trust: Mapping[str, str]) -> Catalogue:
    """One catalogue of several lists. The first list is believed, except for providers that `trust` gives to another.

    `as_of` is the date (ISO) on which the lists were taken: the prices of that day are compared.
    """
    made = Catalogue({})
    changes = changes_of(lists, as_of)
    for provider in sorted({listing.provider for one in lists for listing in one.listings}):
        first = trust.get(provider, lists[0].name)
        ordered = sorted(lists, key=lambda one: one.name != first)
        models: dict[str, _Merged] = {}
        for one in ordered:
            for listing in (found for found in one.listings if found.provider == provider):
                _take(models, listing, one.name, as_of, made)
        entry = _provider(provider, ordered, models, as_of, made, changes)
        if entry["models"]:
            made.providers[provider] = entry
    return made


@dataclass(slots=True)
class _Merged:
    listing: Listing
    lists: list[str]
    notes: dict[str, str] = field(default_factory=dict)


def _take(models: dict[str, _Merged], listing: Listing, name: str, as_of: str, made: Catalogue) -> None:
    """Add what a list says of a model to what is known of it, by whichever of its names it is known."""
    own = models.get(listing.model.lower())
    # Only another list may mean the same model under another name.
    known = own or next((models[n] for n in listing.names() if n in models and name not in models[n].lists), None)
    if known is None:
        known = _Merged(
            Listing(
                listing.provider,
                listing.model,
                list(listing.prices),
                list(listing.modifiers),
                list(listing.aliases),
                list(listing.patterns),
                listing.url,
                listing.checked,
            ),
            [name],
        )
        _what_its_model_has(known, models.get(SNAPSHOT.sub("", listing.model.lower())), as_of, made)
        for one in listing.names():
            models.setdefault(one, known)
        return
    kept = known.listing
    mine, theirs = current(kept.prices, as_of), current(listing.prices, as_of)
    # Where the lists disagree on a plain price, what else the other says of that meter belongs to another price list.
    unlike = {p.meter for key, p in theirs.items() if key in mine and not p.when and not agree(p, mine[key])}
    # Under another name it is the same model only if it costs the same.
    same = own is not None or all(agree(price, mine[key]) for key, price in theirs.items() if key in mine)
    for key, price in theirs.items():
        if key in mine:
            if not agree(price, mine[key]) and key not in known.notes:
                said = {known.lists[0]: _said(mine[key]), name: _said(price)}
                made.conflicts.append(
                    Conflict(kept.provider, listing.model, price.meter, price.when, said, known.lists[0])
                )
                known.notes[key] = f"{name}: {_said(price)}"
        elif same and price.meter not in unlike:
            _note_threshold(known, price, mine, name, made)
    for key, price in mine.items():
        plain = theirs.get(ListedPrice(price.meter, price.price, price.per).key)
        if set(price.when) == {"context"} and key not in theirs and plain and name not in known.lists:
            _forgotten(known, key, price, known.lists[0], name, made)
    if same:
        adopt_history(kept, mine, listing, theirs)
        kept.prices += [p for p in listing.prices if p.key not in mine and p.meter not in unlike]
        ids = {modifier["id"] for modifier in kept.modifiers}
        kept.modifiers += [modifier for modifier in listing.modifiers if modifier["id"] not in ids]
        kept.url = kept.url or listing.url
    known.lists += [name] if name not in known.lists else []
    for one in listing.names():
        if one not in models:
            models[one] = known
            kept.aliases.append(one)


def _note_threshold(
    known: _Merged, price: ListedPrice, mine: Mapping[str, ListedPrice], name: str, made: Catalogue
) -> None:
    """One list has a threshold and the other a plain price: it is kept, because lists forget more than they invent."""
    plain = mine.get(ListedPrice(price.meter, price.price, price.per).key)
    if "context" in price.when and plain is not None and name not in known.lists:
        kept = known.listing
        said = {known.lists[0]: None, name: _said(price)}
        made.conflicts.append(Conflict(kept.provider, kept.model, price.meter, price.when, said, name))
        known.notes[price.key] = f"{known.lists[0]} has no such threshold"


def _what_its_model_has(snapshot: _Merged, known: _Merged | None, as_of: str, made: Catalogue) -> None:
    """A dated snapshot in one list has the thresholds and the past that its model has in another, if it costs the same.

    The other list means the snapshot, too: lists forget more than they invent.
    """
    name, one = snapshot.lists[0], snapshot.listing
    if known is None or name == known.lists[0]:
        return
    mine, theirs = current(one.prices, as_of), current(known.listing.prices, as_of)
    has_some = {price.meter for price in mine.values() if "context" in price.when}
    for key, price in theirs.items():
        below = {name: said for name, said in price.when.items() if name != "context"}
        plain = ListedPrice(price.meter, price.price, price.per, below).key
        same = plain in mine and plain in theirs and agree(mine[plain], theirs[plain])
        if "context" in price.when and same and price.meter not in has_some:
            one.prices.append(replace(price))
            _forgotten(snapshot, key, price, known.lists[0], name, made)
    adopt_history(one, mine, known.listing, theirs)


def _forgotten(known: _Merged, key: str, price: ListedPrice, first: str, name: str, made: Catalogue) -> None:
    """Report a threshold that only the list which is believed has."""
    one = known.listing
    made.conflicts.append(
        Conflict(one.provider, one.model, price.meter, price.when, {first: _said(price), name: None}, first)
    )
    known.notes.setdefault(key, f"{name} has no such threshold")


def _said(price: ListedPrice) -> str:
    return f"{price_text(price.price)} per {price.per}"


def _provider(
    name: str,
    lists: Sequence[PriceList],
    models: dict[str, _Merged],
    as_of: str,
    made: Catalogue,
    changes: Changes,
) -> ModelEntry:
    used = [one for one in lists if any(listing.provider == name for listing in one.listings)]
    page = next((one.pages[name] for one in used if name in one.pages), None)
    said = " and ".join(one.name for one in used)
    entries = []
    merged = sorted({id(m): m for m in models.values()}.values(), key=lambda m: m.listing.model.lower())
    for one in merged:
        entry = _model(one, as_of, changes)
        if len(one.lists) < len(used) or (one.listing.url and one.listing.url != page):
            via = f"via {' and '.join(one.lists)}"
            entry["source"] = f"{one.listing.url} ({via})" if one.listing.url else f"{page or name} ({via})"
        if one.listing.checked:
            entry["checked"] = one.listing.checked
        entries.append(entry)
    entries = _without_snapshots(entries)
    _leave_out_unit_errors(name, entries, made)
    _make_unambiguous(name, entries, made)
    made.not_sold |= {where: meters for entry in entries for where, meters in not_sold(name, entry, as_of)}
    source = f"{page} (via {said})" if page else said
    return {"provider": name, "source": source, "checked": as_of, "models": entries}


def _model(one: _Merged, as_of: str, changes: Changes) -> ModelEntry:
    listing = one.listing
    meters = {price.meter for price in listing.prices}
    if (
        _WRITES_ARE_INPUT.match(f"{listing.provider}/{listing.model}")
        and "input_cache_read" in meters
        and "input_cache_write" not in meters
    ):
        written = (replace(p, meter="input_cache_write") for p in listing.prices if p.meter == "input")
        listing.prices += list(written)
    follow(listing, as_of)
    attest(listing, as_of, changes)
    prices, modifiers = tiers_as_modifiers(listing.prices, as_of)
    entry: ModelEntry = {"model": listing.model, "aliases": listing.aliases, "patterns": listing.patterns}
    ids = {modifier["id"] for modifier in listing.modifiers}
    entry["modifiers"] = [*listing.modifiers, *(modifier for modifier in modifiers if modifier["id"] not in ids)]
    entry["rates"] = [price.entry() for price in sorted(prices, key=_order)]
    for price, rate in zip(sorted(prices, key=_order), entry["rates"], strict=True):
        if price.key in one.notes and price.valid_to is None:
            rate["note"] = one.notes[price.key]
    return entry


def _order(price: ListedPrice) -> tuple[str, str, str]:
    return price.meter, price.key, price.valid_from or ""


def _without_snapshots(entries: list[ModelEntry]) -> list[ModelEntry]:
    """Dated snapshots that cost what their model costs are found by its name."""
    by_name = {entry["model"].lower(): entry for entry in entries}
    kept = []
    for entry in entries:
        base = by_name.get(SNAPSHOT.sub("", entry["model"].lower()))
        same = base is not None and base is not entry and all(base[k] == entry[k] for k in ("rates", "modifiers"))
        if not same or entry["patterns"]:
            kept.append(entry)
        elif base is not None:
            base["aliases"] += [alias for alias in entry["aliases"] if alias not in base["aliases"]]
    return kept


def _leave_out_unit_errors(provider: str, entries: list[ModelEntry], made: Catalogue) -> None:
    """A price a thousand times off its neighbours is per another unit than the list says; which, nobody knows."""
    card = RateCard(
        {
            "id": "",
            "version": "",
            "currency": "USD",
            "providers": [{"provider": provider, "source": "", "checked": "2000-01-01", "models": entries}],
        }
    )
    off = {finding.where: finding.problem for finding in far_off(list(card.models()))}
    for entry in entries:
        for rate in list(entry["rates"]):
            problem = off.get(rate_id(provider, entry["model"], rate))
            if problem is not None:
                entry["rates"].remove(rate)
                made.implausible.append(f"{provider}/{entry['model']}: {rate['meter']} {problem}")


def _make_unambiguous(provider: str, entries: list[ModelEntry], made: Catalogue) -> None:
    """Leave each name and each pattern to one model, and no field empty."""
    owners = {entry["model"].lower(): entry["model"] for entry in entries}
    patterns: list[tuple[str, str]] = []
    for entry in entries:
        aliases: list[str] = []
        for alias in dict.fromkeys(entry["aliases"]):
            if owners.setdefault(alias.lower(), entry["model"]) == entry["model"]:
                if alias.lower() not in {entry["model"].lower(), *(a.lower() for a in aliases)}:
                    aliases.append(alias)
            else:
                made.dropped.append(f"{provider}/{alias}: {owners[alias.lower()]}, not {entry['model']}")
        entry["aliases"] = sorted(aliases)
        kept = []
        for pattern in entry["patterns"]:
            rival = next(_rivals(pattern, entry["model"], patterns), None)
            if rival is None:
                patterns.append((pattern, entry["model"]))
                kept.append(pattern)
            else:
                made.dropped.append(f"{provider}/{pattern}: {rival}, not {entry['model']}")
        entry["patterns"] = kept
        for name in ("aliases", "patterns", "modifiers", "rates"):
            if not entry[name]:
                del entry[name]


def _rivals(pattern: str, model: str, patterns: Iterable[tuple[str, str]]) -> Iterator[str]:
    for other, owner in patterns:
        if owner != model and specificity(other) == specificity(pattern) and meet(other, pattern):
            yield owner
