"""Beside genai-prices, over its whole model list: the same amount, or a difference with an explanation.

`genai_prices_differences.json` has one line for each model on which the two disagree, and says who is right and why.
Read in genai-prices 0.2.3.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aicost.pricing.card import RateCard
from aicost.pricing.catalogue.genai_prices import read
from aicost.pricing.catalogue.listing import provider_name
from aicost.pricing.kernel import Inquiry, Kernel
from aicost.pricing.rates import to_ns

genai_prices = pytest.importorskip("genai_prices")
from genai_prices.data import providers  # noqa: E402

AT = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
TABLE = json.loads((Path(__file__).parent / "genai_prices_differences.json").read_text())
EXPLAINED = {(row["provider"], row["model"]) for row in TABLE["differences"]}
UNITS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "input_cache_read",
    "cache_write_mtok": "input_cache_write",
    "cache_write_1h_mtok": "input_cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "input_cache_read_audio",
    "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
    "web_searches_kcount": "tool_web_search",
}


def current_prices(model: Any) -> Any:
    return model.get_prices(AT)


def name_of(model: Any, provider: Any) -> str:
    """The model's id, or, where its own list does not find it by that, a name it is found by."""
    if model.match.is_match(model.id.lower()):
        return str(model.id)
    clauses = [model.match, *getattr(model.match, "or_", ())]
    clauses += [inner for clause in clauses for inner in getattr(clause, "and_", ())]
    said = (getattr(c, kind, None) for c in clauses for kind in ("equals", "starts_with", "contains", "ends_with"))
    return next((text for text in said if text and model.match.is_match(text.lower())), str(model.id))


def draws(prices: Any, seed: str) -> Iterator[dict[str, int]]:
    """Usage of the meters that the list prices, small and past every threshold."""
    chosen = random.Random(seed)  # the same for the same model on every run
    meters = [meter for unit, meter in UNITS.items() if getattr(prices, unit, None)]
    for size in (1_000, 150_000, 500_000):
        yield {meter: chosen.randint(1, size) for meter in meters}


def their_amount(usage: dict[str, int], name: str, provider: Any) -> Decimal:
    def sums(start: str) -> int:
        return sum(count for meter, count in usage.items() if meter.startswith(start))

    # Theirs are inclusive: the input has everything in it, what is read all that is read, and so on.
    told = genai_prices.Usage(
        input_tokens=sums("input"),
        cache_read_tokens=sums("input_cache_read"),
        cache_write_tokens=sums("input_cache_write"),
        cache_write_1h_tokens=sums("input_cache_write_1h"),
        input_audio_tokens=sums("input_audio") + sums("input_cache_read_audio"),
        cache_audio_read_tokens=sums("input_cache_read_audio"),
        input_image_tokens=sums("input_image"),
        cache_image_read_tokens=0,
        output_tokens=sums("output"),
        output_audio_tokens=sums("output_audio"),
        output_image_tokens=sums("output_image"),
        web_searches=sums("tool_web_search"),
    )
    amount: Decimal = genai_prices.calc_price(
        told, name, provider_id=provider.id, genai_request_timestamp=AT
    ).total_price
    return amount


def compared() -> Iterator[tuple[str, str, dict[str, int], Decimal, Decimal | None]]:
    """Provider, model, usage, their amount and ours."""
    kernel = Kernel(RateCard.bundled())
    for provider in providers:
        for model in provider.models:
            named = provider_name(provider.id)
            if named == "gcp.gemini" and model.id.startswith("claude"):
                named = "gcp.vertex_ai"
            name = name_of(model, provider)
            for usage in draws(current_prices(model), f"{provider.id}/{model.id}"):
                try:
                    theirs = their_amount(usage, name, provider)
                except LookupError:
                    continue  # their own list does not find the name
                charge = kernel.price(Inquiry(named, name, usage, to_ns(AT)))
                yield named, str(model.id), usage, theirs, charge.amount if charge.reason is None else None


def test_every_amount_is_the_same_or_explained() -> None:
    differing: dict[tuple[str, str], str] = {}
    models = set()
    for provider, model, usage, theirs, ours in compared():
        models.add((provider, model))
        # Some of their prices are a twelfth of a dollar in sixteen digits, which no price is in twelve.
        if ours is None or abs(ours - theirs) > theirs * Decimal("1e-9"):
            differing.setdefault((provider, model), f"{usage}: theirs {theirs}, ours {ours}")
    new = {key: said for key, said in differing.items() if key not in EXPLAINED}
    assert not new, f"{len(new)} not explained: {list(new.items())[:20]}"
    gone = EXPLAINED - differing.keys()
    assert not gone, f"no longer different: {sorted(gone)}"
    assert len(models) > 2200


def test_every_difference_says_who_is_right_and_why() -> None:
    for row in TABLE["differences"]:
        assert row["right"] in {"ours", "theirs", "unclear", "both"}
        assert row["why"] in TABLE["reasons"]


def test_every_model_they_know_is_found() -> None:
    card = RateCard.bundled()
    lost = []
    for provider in providers:
        for model in provider.models:
            named = provider_name(provider.id)
            if named == "gcp.gemini" and model.id.startswith("claude"):
                named = "gcp.vertex_ai"
            if card.find(named, name_of(model, provider)) is None:
                lost.append(f"{named}/{model.id}")
    assert lost == []


def test_what_they_date_is_dated_here_too_or_reported() -> None:
    said = json.loads((Path(__file__).resolve().parents[2] / "docs" / "catalogue-report.json").read_text())
    reported = {(one["provider"], one["model"].lower(), one["meter"]) for one in said["conflicts"]}
    catalogue = RateCard.bundled().base
    assert catalogue is not None
    for listing in read(providers, "theirs").listings:
        changed = {p.meter for p in listing.prices if not p.when and p.valid_to and p.valid_to <= catalogue.version}
        found = catalogue.find(listing.provider, listing.model)
        for meter in changed if found is not None else ():
            assert found is not None
            plain = [r for r in found.rates.get(meter, ()) if not r.axes and r.context is None and r.window is None]
            dated = any(r.valid_from or r.valid_to_ns or r.attested_from for r in plain)
            names = {listing.model.lower(), found.name.lower()}
            assert dated or not plain or any((listing.provider, name, meter) in reported for name in names), meter
