"""The data of genai-prices as a price list. Form read in genai-prices 0.2.3 (types.py, data_units.py).

Only what its objects say is used, by attribute names, so that nothing of the package needs to be imported here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

from .listing import ListedPrice, Listing, ModelEntry, PriceList, exact, over, provider_name, unique

_UNITS: dict[str, tuple[str, int]] = {
    "input_mtok": ("input", 1_000_000),
    "output_mtok": ("output", 1_000_000),
    "cache_read_mtok": ("input_cache_read", 1_000_000),
    "cache_write_mtok": ("input_cache_write", 1_000_000),
    "cache_write_5m_mtok": ("input_cache_write_5m", 1_000_000),
    "cache_write_1h_mtok": ("input_cache_write_1h", 1_000_000),
    "input_audio_mtok": ("input_audio", 1_000_000),
    "output_audio_mtok": ("output_audio", 1_000_000),
    "cache_audio_read_mtok": ("input_cache_read_audio", 1_000_000),
    "input_image_mtok": ("input_image", 1_000_000),
    "output_image_mtok": ("output_image", 1_000_000),
    "cache_image_read_mtok": ("input_cache_read_image", 1_000_000),
    "input_video_mtok": ("input_video", 1_000_000),
    "output_video_mtok": ("output_video", 1_000_000),
    "output_reasoning_mtok": ("output_reasoning", 1_000_000),
    "output_citation_mtok": ("input_citation", 1_000_000),
    "input_mchars": ("input_characters", 1_000_000),
    "audio_hours": ("input_audio_seconds", 3600),
    "input_audio_hours": ("input_audio_seconds", 3600),
    "output_audio_hours": ("output_audio_seconds", 3600),
    "web_searches_kcount": ("tool_web_search", 1000),
    "storage_searches_kcount": ("tool_file_search", 1000),
    "requests_kcount": ("requests", 1000),
    "rerank_searches_kcount": ("search_units", 1000),
    "input_document_kpages": ("pages", 1000),
    "input_annotated_document_kpages": ("annotated_pages", 1000),
}
_VARIANTS: dict[tuple[str, str], ModelEntry] = {
    ("processing", "batch"): {"service_tier": ["batch"]},
    ("service_tier", "flex"): {"service_tier": ["flex"]},
    ("service_tier", "priority"): {"service_tier": ["priority"]},
    ("service_tier", "fast"): {"service_tier": ["priority"]},  # OpenAI's later word for the same tier
    ("speed", "fast"): {"speed": ["fast"]},
}
_LITERAL = re.compile(r"^\^((?:[\w/@-]|\\\W)+?)(?:(?:-|\[-@\])\\d\{[48]\}(?:-\\d\{2\}-\\d\{2\})?)?\$$")
_FREE = re.compile(r"[-:/]free\b|^openai/moderation|/gemma-")


def read(providers: Iterable[Any], name: str) -> PriceList:
    """The list in `providers`, the package's own objects; `name` says which version it is."""
    found = PriceList(name, [])
    for provider in providers:
        named = provider_name(provider.id)
        if getattr(provider, "pricing_urls", None):
            found.pages.setdefault(named, provider.pricing_urls[0])
        for model in provider.models:
            # Google's own list has the Claude models of Vertex in it.
            claude = named == "gcp.gemini" and model.id.startswith("claude")
            listing = _listing("gcp.vertex_ai" if claude else named, model, found)
            found.listings.append(listing)
            if not listing.prices:
                found.leave_out("price", f"{named}/{model.id}")
    return found


def _listing(provider: str, model: Any, found: PriceList) -> Listing:
    aliases: list[str] = []
    patterns: list[str] = []
    for clause in _clauses(model.match):
        alias, pattern = _name(clause)
        aliases += [alias] if alias and alias != model.id else []
        patterns += [pattern] if pattern else []
        if alias is None and pattern is None:
            found.leave_out(f"match {type(clause).__name__}", f"{provider}/{model.id}")
    plain = re.sub(r"[@*+]", "-", model.id)
    prices = unique(_history(model, found, f"{provider}/{model.id}"))
    if any(price.price for price in prices):
        prices = [price for price in prices if price.price]
    elif re.search(_FREE, f"{provider}/{model.id}"):
        prices = [ListedPrice(meter, Fraction(0), 1) for meter in ("input", "output")]
    else:
        prices = []
    names = [*([model.id] if plain != model.id else []), *dict.fromkeys(aliases)]
    checked = getattr(model, "prices_checked", None)
    said = checked.isoformat() if isinstance(checked, date) else None
    return Listing(provider, plain, prices, [], names, list(dict.fromkeys(patterns)), checked=said)


def _clauses(match: Any) -> Iterator[Any]:
    """The alternatives of a match. Where several must hold the first is the name, the others narrow it."""
    for clause in getattr(match, "or_", None) or getattr(match, "and_", [match])[:1]:
        if clause is match:
            yield clause
        else:
            yield from _clauses(clause)


def _name(clause: Any) -> tuple[str | None, str | None]:
    """The alias or the pattern that says exactly what a clause says, if one does."""
    if hasattr(clause, "equals"):
        return str(clause.equals).lower(), None
    literal = _LITERAL.match(getattr(clause, "regex", ""))
    if literal is not None:
        # Dated snapshots of a name are found by the name itself.
        return re.sub(r"\\(.)", r"\1", literal[1]).lower(), None
    shapes = {"starts_with": "{}*", "contains": "*{}*", "ends_with": "*{}"}
    shape = next((shape for name, shape in shapes.items() if hasattr(clause, name)), None)
    text = next((str(getattr(clause, name)).lower() for name in shapes if hasattr(clause, name)), "")
    return None, shape.format(text) if shape else None


DatedPrices = list[tuple["str | None", list[ListedPrice]]]
"""Prices by the day from which they hold; None is always."""


def _history(model: Any, found: PriceList, where: str) -> Iterator[ListedPrice]:
    """The prices of all times, then those of other tiers."""
    conditional = model.prices if isinstance(model.prices, list) else [None]
    dated: DatedPrices = []
    hours: DatedPrices = []
    for one in conditional:
        prices = list(_prices(model.prices if one is None else one.prices, {}, found, where))
        rule = None if one is None else getattr(one, "constraint", None)
        window = _window(rule)
        if window is not None:
            # The last rule that holds decides, so hours are of the prices they follow and end with the next ones.
            since = dated[-1][0] if dated else None
            hours.append((since, [replace(p, when={**p.when, "window": window}, valid_from=since) for p in prices]))
        else:
            dated.append((_start(rule), prices))
    dated.sort(key=lambda pair: pair[0] or "")
    current = {price.key: price for price in dated[-1][1]} if dated else {}
    for since, prices in hours:
        until = next((start for start, _ in dated if (start or "") > (since or "")), None)
        yield from (replace(price, valid_to=until) for price in prices)
    yield from _merged(dated)
    yield from _variants(model, current, found, where)


def _variants(model: Any, current: Mapping[str, ListedPrice], found: PriceList, where: str) -> Iterator[ListedPrice]:
    """The prices of other tiers and speeds. What the first of one were before its date the list does not say."""
    dated: dict[tuple[str, str], DatedPrices] = {}
    for variant in getattr(model, "price_variants", None) or ():
        [(axis, value), *more] = variant.when.items()
        when = _VARIANTS.get((axis, value))
        if when is not None and not more:
            prices = list(_prices(variant.prices, when, found, where))
            dated.setdefault((axis, value), []).append((_start(getattr(variant, "constraint", None)), prices))
        elif (axis, value) != ("service_tier", "default"):
            found.leave_out(f"variant {axis}={value}", where)
        elif any(
            current.get(p.key) and current[p.key].price != p.price for p in _prices(variant.prices, {}, found, where)
        ):
            found.leave_out("a default tier unlike the plain price", where)
    for one in dated.values():
        one.sort(key=lambda pair: pair[0] or "")
        yield from _merged([(start if n else None, prices) for n, (start, prices) in enumerate(one)])


def _start(rule: Any) -> str | None:
    start = getattr(rule, "start_date", None)
    return start.isoformat() if isinstance(start, date) else None


def _merged(dated: DatedPrices) -> Iterator[ListedPrice]:
    """Each price from where it begins to where another takes over; one that stays the same is one."""
    for n, (start, prices) in enumerate(dated):
        before = {(p.key, p.price) for p in dated[n - 1][1]} if n else set()
        for price in prices:
            if (price.key, price.price) in before:
                continue
            ends = (
                later_start
                for later_start, later in dated[n + 1 :]
                if (price.key, price.price) not in {(p.key, p.price) for p in later}
            )
            price.valid_from, price.valid_to, price.history = start, next(ends, None), len(dated) > 1
            yield price


def _window(rule: Any) -> ModelEntry | None:
    start, end = getattr(rule, "start_time", None), getattr(rule, "end_time", None)
    if start is None or end is None:
        return None
    return {"start": start.strftime("%H:%M"), "end": end.strftime("%H:%M")}


def _prices(prices: Any, when: ModelEntry, found: PriceList, where: str) -> Iterator[ListedPrice]:
    for name, value in vars(prices).items():
        if value is None or name.startswith("_"):
            continue
        unit = _UNITS.get(name)
        if unit is None:
            found.leave_out(f"unit {name}", where)
            continue
        meter, per = unit
        base = exact(getattr(value, "base", value))
        if base is not None:
            yield ListedPrice(meter, base, per, dict(when))
        for tier in getattr(value, "tiers", ()):
            higher = exact(tier.price)
            if higher is not None:
                # The list knows only "more than": a threshold that includes its value is written one below it.
                at = over(tier.start + 1, "ge") if tier.start % 1000 == 999 else over(tier.start)
                yield ListedPrice(meter, higher, per, {**when, **at})
