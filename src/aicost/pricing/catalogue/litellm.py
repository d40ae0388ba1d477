"""The price map of LiteLLM as a price list. Form read in litellm 1.109.1 (model_prices_and_context_window_backup.json).

One flat object per model, whose key names carry the conditions: `cache_read_input_token_cost_above_272k_tokens_flex`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from aicost.usage.providers import canonical_provider

from .listing import ListedPrice, Listing, ModelEntry, PriceList, exact, near, over, provider_name, unique

Model = Mapping[str, Any]

TOKEN = 1_000_000
_PER_TOKEN = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "output_reasoning",
    "cache_read_input_token_cost": "input_cache_read",
    "input_cost_per_token_cache_hit": "input_cache_read",
    "cache_creation_input_token_cost": "input_cache_write",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "cache_read_input_audio_token_cost": "input_cache_read_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "cache_read_input_image_token_cost": "input_cache_read_image",
    "input_cost_per_video_token": "input_video",
    "output_cost_per_video_token": "output_video",
    "citation_cost_per_token": "input_citation",
}
_PER_OTHER = {
    "input_cost_per_character": ("input_characters", TOKEN),
    "output_cost_per_character": ("output_characters", TOKEN),
    "input_cost_per_request": ("requests", 1000),
    "ocr_cost_per_page": ("pages", 1000),
    "annotation_cost_per_page": ("annotated_pages", 1000),
    "input_cost_per_audio_per_second": ("input_audio_seconds", 3600),
    "input_cost_per_video_per_second": ("input_video_seconds", 3600),
    "output_cost_per_video_per_second": ("output_video_seconds", 1),
    "google_maps_grounding_cost_per_query": ("tool_maps_search", 1000),
    "code_interpreter_cost_per_session": ("tool_code_interpreter", 1),
    "output_cost_per_pixel": ("output_pixels", TOKEN),
}
_TTL = {"_above_1hr": "_1h", "_above_12hr": "_12h"}
_TIERS = "batches|flex|priority|balanced|ultrafast|decisions"
_KEY = re.compile(rf"^(.+?)(_above_1hr|_above_12hr)?(?:_above_(\d+)k_tokens)?(?:_({_TIERS}))?$")
_SIZED_IMAGE = re.compile(r"^output_cost_per_image_(\w[\w.]*)$")
_SIZED_VIDEO = re.compile(r"^output_cost_per_second_(\d+p|\dk)$")
_IMAGE_NAME = re.compile(r"^(?:(hd|standard|low|medium|high)/)?(\d+)-x-(\d+)/(.+)$")
_REGION = re.compile(r"^((?:us|eu|ap|ca|sa|me|af|il|mx)(?:-gov)?-[a-z]+-\d)/(.+)$")
_AZURE_ZONES = {"eu": "eu", "us": "us", "global": None, "global-standard": None}

MODES = {
    "chat",
    "responses",
    "completion",
    "embedding",
    "audio_transcription",
    "audio_speech",
    "realtime",
    "image_generation",
    "image_edit",
    "video_generation",
    "rerank",
    "search",
    "ocr",
    "moderation",
}


MANTLE = "bedrock_mantle"
"""Bedrock's OpenAI-compatible endpoint, which the map has as a provider. Calls to it are Bedrock's."""


def read(data: Mapping[str, Any], name: str) -> PriceList:
    """The list in `data`, the JSON of the price map; `name` says which version it is."""
    found = PriceList(name, [])
    for key, model in data.items():
        provider = model.get("litellm_provider") if isinstance(model, Mapping) else None
        if not isinstance(provider, str) or key == "sample_spec":
            continue
        if (model.get("mode") or "chat") not in MODES:
            found.leave_out(f"mode {model.get('mode')}", key)
            continue
        listing = _listing(key, provider, model, found)
        if listing is None or not (listing.prices or listing.modifiers):
            found.leave_out("no price", key)
        else:
            found.listings.append(listing)
    found.listings += _at_bedrock(found.listings)
    return found


def _at_bedrock(listings: list[Listing]) -> list[Listing]:
    """The models that only the compatible endpoint has under their names, as Bedrock's own."""
    known = {listing.model for listing in listings if listing.provider == "aws.bedrock"}
    only = (one for one in listings if one.provider == MANTLE and one.model not in known)
    return [replace(one, provider="aws.bedrock", prices=[replace(price) for price in one.prices]) for one in only]


def _listing(key: str, listed: str, model: Model, found: PriceList) -> Listing | None:
    provider = provider_name(listed)
    name, where = _name(key, listed, provider)
    if name is None:
        return None
    variant = _IMAGE_NAME.match(name)
    suffix = ""
    if variant is not None:
        quality, width, height, name = variant.groups()
        suffix = f"_{quality + '_' if quality and quality != 'standard' else ''}{width}x{height}"
    prices = unique(_prices(model, provider, key, found))
    if all(price.price == 0 for price in prices):
        free = listed == "ollama" or re.search(r"[-:/]free\b", name)
        prices = prices if free else []
    else:
        prices = [price for price in prices if price.price != 0]
    for price in prices:
        price.when = {**where, **price.when}
        if suffix and price.meter in {"output_images", "output_pixels"}:
            price.meter += suffix
    source = model.get("source")
    url = source if isinstance(source, str) and source.startswith("http") else None
    # Those signs part a rate's id, so the model has a name without them and goes by the other as well.
    plain = re.sub(r"[@*+]", "-", name)
    aliases = [name] if plain != name and "*" not in name else []
    # A fine-tuned model is called after its base, its owner and itself.
    patterns = [f"{plain}:*"] if name.startswith("ft:") else []
    return Listing(provider, plain, prices, list(_modifiers(model)), aliases, patterns, url=url)


def _name(key: str, listed: str, provider: str) -> tuple[str | None, ModelEntry]:
    """The name that answers carry, and where the price holds."""
    head, slash, rest = key.partition("/")
    name = rest if slash and (head in (listed, MANTLE) or canonical_provider(head) == provider) else key
    if provider == "azure.ai.openai":
        zone, slash, rest = name.partition("/")
        if slash and zone in _AZURE_ZONES:
            region = _AZURE_ZONES[zone]
            return rest, {"region": [region]} if region else {}
    if provider in {"aws.bedrock", MANTLE}:
        if "commitment" in name:
            return None, {}  # rented by the hour, not priced by use
        name = re.sub(r"^(invoke|converse)/", "", name)
        placed = _REGION.match(name)
        if placed is not None:
            return placed[2], {"region": [placed[1]]}
    return name, {}


def _prices(model: Model, provider: str, key: str, found: PriceList) -> Iterator[ListedPrice]:
    op = "ge" if provider == "x_ai" else "gt"
    for name, value in model.items():
        amount = exact(value)
        if amount is not None and ("cost" in name or name == "search_context_cost_per_query"):
            price = _price(name, amount, model, op)
            if price is not None:
                yield price
            elif amount != 0 and name not in _USED_ELSEWHERE:
                found.leave_out(f"key {name}", key)
    yield from _searches(model.get("search_context_cost_per_query"))
    yield from _by_range(model.get("tiered_pricing"))
    yield from _off_peak(model.get("off_peak_pricing"))


_USED_ELSEWHERE = {"file_search_cost_per_1k_calls", "output_cost_per_second", "input_cost_per_second"}


def _price(name: str, amount: Fraction, model: Model, op: str) -> ListedPrice | None:
    mode = model.get("mode") or "chat"
    other = _by_other_unit(name, amount, model, mode)
    if other is not None:
        return other
    matched = _KEY.match(name)
    base, ttl, thousands, tier = matched.groups() if matched else (name, None, None, None)
    when: ModelEntry = {"service_tier": ["batch" if tier == "batches" else tier]} if tier else {}
    if base in _PER_OTHER and not thousands and not ttl:
        meter, per = _PER_OTHER[base]
        return ListedPrice(meter, near(amount * per), per, when)
    if base not in _PER_TOKEN or (ttl and base != "cache_creation_input_token_cost"):
        return None
    when |= over(int(thousands) * 1000, op) if thousands else {}
    return ListedPrice(_PER_TOKEN[base] + (_TTL[ttl] if ttl else ""), amount * TOKEN, TOKEN, when)


def _by_other_unit(name: str, amount: Fraction, model: Model, mode: str) -> ListedPrice | None:
    """Prices whose unit depends on what the model is for."""
    makes_images = mode in {"image_generation", "image_edit"}
    if name == "input_cost_per_image":
        made = makes_images and not model.get("output_cost_per_image")
        return ListedPrice("output_images" if made else "input_images", amount, 1)
    if name == "output_cost_per_image":
        return ListedPrice("output_images", amount, 1)
    sized = _SIZED_IMAGE.match(name)
    if sized and not sized[1].startswith("token"):
        return ListedPrice(f"output_images_{sized[1].lower()}", amount, 1)
    sized = _SIZED_VIDEO.match(name)
    if sized:
        return ListedPrice(f"output_video_seconds_{sized[1]}", amount, 1)
    if name == "input_cost_per_pixel":
        made = makes_images and not model.get("output_cost_per_pixel")
        return ListedPrice("output_pixels" if made else "input_pixels", amount * TOKEN, TOKEN)
    if name == "input_cost_per_query":
        return ListedPrice("search_units" if mode == "rerank" else "queries", amount * 1000, 1000)
    if name in {"input_cost_per_second", "output_cost_per_second"}:
        return _by_second(name, amount, model, mode)
    if name == "file_search_cost_per_1k_calls":
        return ListedPrice("tool_file_search", amount, 1000)
    return None


def _by_second(name: str, amount: Fraction, model: Model, mode: str) -> ListedPrice | None:
    if not amount:
        return None
    if mode == "realtime" and name.startswith("input"):
        return ListedPrice("input_audio_seconds", near(amount * 3600), 3600)
    if mode == "audio_transcription":
        # Some models have the same price under both names; a second of audio is billed once.
        twice = name.startswith("output") and model.get("input_cost_per_second")
        return None if twice else ListedPrice("input_audio_seconds", near(amount * 3600), 3600)
    made = {"audio_speech": "output_audio_seconds", "video_generation": "output_video_seconds"}.get(mode)
    return ListedPrice(made, amount, 1) if made and name.startswith("output") else None


def _searches(costs: object) -> Iterator[ListedPrice]:
    """Fees by how much of the web a search reads; without a size the medium one is the providers' default."""
    if not isinstance(costs, Mapping):
        return
    for size in ("low", "medium", "high"):
        amount = exact(costs.get(f"search_context_size_{size}"))
        if amount:
            yield ListedPrice(f"tool_web_search_{size}", amount * 1000, 1000)
            if size == "medium":
                yield ListedPrice("tool_web_search", amount * 1000, 1000)


def _by_range(tiers: object) -> Iterator[ListedPrice]:
    for tier in tiers if isinstance(tiers, list) else ():
        bounds = tier.get("range") if isinstance(tier, Mapping) else None
        if not isinstance(bounds, list) or not bounds:
            continue
        when = over(int(bounds[0])) if bounds[0] else {}
        for name, meter in _PER_TOKEN.items():
            amount = exact(tier.get(name))
            if amount is not None:
                yield ListedPrice(meter, amount * TOKEN, TOKEN, when)


def _off_peak(rules: object) -> Iterator[ListedPrice]:
    """Cheaper hours: prices, and windows of `hours_utc` ("00:30-16:30", or several) and `weekdays`."""
    if not isinstance(rules, Mapping):
        return
    for window in rules.get("windows") or ():
        hours, days = window.get("hours_utc"), window.get("weekdays")
        for span in [hours] if isinstance(hours, str) else hours or ():
            start, _, end = str(span).partition("-")
            said: ModelEntry = {"start": start, "end": end}
            if days and len(days) < len(_DAYS):
                said["days"] = [_day(day) for day in days]
            for name, meter in _PER_TOKEN.items():
                amount = exact(rules.get(name))
                if amount is not None:
                    yield ListedPrice(meter, amount * TOKEN, TOKEN, {"window": said})


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _day(said: object) -> str:
    """A day of the week, which the map has counted from Monday (1) since October 2026 and named before."""
    return _DAYS[int(said) - 1] if isinstance(said, int) else _DAYS[_DAYS.index(str(said).lower()[:3])]


def _modifiers(model: Model) -> Iterator[ModelEntry]:
    for zone in ("eu", "us"):
        uplift = exact(model.get(f"regional_processing_uplift_multiplier_{zone}"))
        if uplift:
            yield {"id": zone, "multiply": str(uplift), "when": {"region": [zone]}, "meters": ["tokens"]}
    uplift = exact(model.get("regional_endpoint_uplift_multiplier"))
    if uplift:
        yield {"id": "regional", "multiply": str(uplift), "when": {"region": ["*"]}, "meters": ["tokens"]}
    special = model.get("provider_specific_entry")
    for name, axis in (("us", "region"), ("fast", "speed")):
        factor = exact(special.get(name)) if isinstance(special, Mapping) else None
        if factor:
            yield {"id": name, "multiply": str(factor), "when": {axis: [name]}, "meters": ["tokens"]}
