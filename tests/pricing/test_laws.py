"""Laws that hold for every card and every event: the kernel against the rules written out, and against itself."""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aicost import RateCardError
from aicost.pricing.card import RateCard, _bundled
from aicost.pricing.charge import ATTO, Charge
from aicost.pricing.kernel import Inquiry, Kernel
from aicost.pricing.validate import check_document
from aicost.pricing.whatif import reprice

from .cards import document, rate
from .test_vectors import answer, inquiry, layered

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vectors"))
import reference

METER = st.sampled_from(["input", "input_cache_read", "input_image", "output", "output_reasoning", "pages"])
GROUP = st.sampled_from(["input", "output", "input_tokens", "tokens", "*"])
DATE = st.sampled_from(["2026-01-01", "2026-04-01", "2026-07-01T12:00:00Z"])
PRICE = st.sampled_from(["0", "1", "2.5", "0.0375", "1000"])
NAMES: list[dict[str, Any]] = [{}, {}, {"aliases": ["m-2026-01-01"]}, {"aliases": ["n"]}, {"patterns": ["m-*"]}]
NAMES += [{"patterns": ["m-m*"]}, {"patterns": ["*-mini"]}]
TIER, REGION = st.sampled_from(["batch", "flex"]), st.sampled_from(["eu", "us"])


@st.composite
def when(draw: st.DrawFn, *, request: bool) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if draw(st.booleans()):
        said["service_tier"] = draw(st.sampled_from([["batch"], ["batch", "flex"], ["*"]]))
    if draw(st.integers(0, 3)) == 0:
        said["region"] = draw(st.sampled_from([["eu"], ["*"]]))
    if request and draw(st.integers(0, 2)) == 0:
        basis = draw(st.sampled_from([["input"], ["input_tokens"], ["pages", "output"]]))
        op = draw(st.sampled_from(["gt", "ge"]))
        said["context"] = {"basis": basis, "op": op, "value": draw(st.sampled_from([5, 10])), "scope": "cliff"}
    if request and draw(st.integers(0, 3)) == 0:
        said["window"] = draw(st.sampled_from([{"start": "08:00", "end": "20:00"}, {"start": "20:00", "end": "08:00"}]))
    return said


@st.composite
def rates(draw: st.DrawFn) -> dict[str, Any]:
    made = rate(draw(METER), draw(PRICE), draw(st.sampled_from([1, 3, 1_000_000])))
    said = draw(when(request=True))
    if said:
        made["when"] = said
    if draw(st.integers(0, 2)) == 0:
        made["valid_from"] = draw(DATE)
    elif draw(st.integers(0, 2)) == 0:
        made["valid_to"] = draw(DATE)
    if draw(st.integers(0, 5)) == 0:
        made["currency"] = "EUR"
    if draw(st.integers(0, 5)) == 0:
        made["attested_from"] = draw(DATE)
    return made


@st.composite
def modifiers(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(["a", "b", "c"]))
    made = {"id": name, "multiply": draw(st.sampled_from(["1/2", "11/10", "2"])), "meters": [draw(GROUP)]}
    return {**made, "when": draw(when(request=False))}


@st.composite
def cards(draw: st.DrawFn) -> dict[str, Any]:
    made = document(*draw(st.lists(rates(), max_size=5)), modifiers=tuple(draw(st.lists(modifiers(), max_size=2))))
    provider = made["providers"][0]
    provider["rates"] = draw(st.lists(rates(), max_size=2))
    for name in draw(st.lists(st.sampled_from(["m-2026-01-01", "m-mini", "n", "ours"]), max_size=2, unique=True)):
        more = {"model": name, "rates": draw(st.lists(rates(), max_size=2))}
        provider["models"].append(more | draw(st.sampled_from(NAMES)))
    provider["models"][0] |= draw(st.sampled_from(NAMES))
    provider["modifiers"] = draw(st.lists(modifiers(), max_size=1))
    made["fx"] = [{"base": "EUR", "quote": "USD", "price": "1.25", "source": "x", "checked": "2026-01-01"}]
    made["id"] = draw(st.sampled_from(["one", "two"]))
    return made


@st.composite
def events(draw: st.DrawFn, *, doubtful: bool = False) -> dict[str, Any]:
    quantity = st.integers(0, 15).map(str) | st.integers(0, 10**9).map(str)
    made = {
        "provider": "p",
        "model": draw(st.sampled_from(["m", "M", "m-2026-01-01", "m-mini", "m-mini-2026-01-01", "n", "ours"])),
        "at": draw(st.sampled_from(["2025-12-31T23:59:59Z", "2026-04-01T00:00:00Z", "2026-08-01T21:00:00Z"])),
        "usage": draw(st.dictionaries(METER, quantity, max_size=4)),
    }
    if draw(st.booleans()):
        made["service_tier"] = draw(TIER)
    if draw(st.booleans()):
        made["region"] = draw(REGION)
    if doubtful and draw(st.integers(0, 3)) == 0:
        made["request_model"] = draw(st.sampled_from(["m", "n", "m-mini"]))
    if doubtful and draw(st.integers(0, 3)) == 0:
        made["provider_cost"] = draw(st.sampled_from(["0", "0.5", "much"]))
    return made


def valid(card: dict[str, Any]) -> bool:
    try:
        check_document(card, "", "card")
    except RateCardError:
        return False
    return True


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(st.lists(cards(), min_size=1, max_size=3), events(doubtful=True))
def test_the_kernel_does_what_the_rules_say(stack: list[dict[str, Any]], event: dict[str, Any]) -> None:
    assume(all(valid(card) for card in stack))
    made = answer(Kernel(layered(stack)).price(inquiry(event)))
    for line in made["lines"]:
        line.pop("atto")
    assert made == reference.price(stack, event)


@settings(max_examples=200, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(cards(), events())
def test_lines_are_all_of_the_usage_and_sum_to_the_total(card: dict[str, Any], event: dict[str, Any]) -> None:
    assume(valid(card))
    charge = Kernel(layered([card])).price(inquiry(event))
    assert {line.meter: str(line.quantity) for line in charge.lines} == event["usage"]
    assert len(charge.lines) == len(event["usage"]), "each in one line"
    known = [line.atto for line in charge.lines if line.atto is not None]
    assert charge.atto == (sum(known) if known or not event["usage"] else None)
    unpriced = [line.meter for line in charge.lines if line.atto is None]
    lost = [one for one in (charge.reason or "").split(";") if one and not one.startswith("price_before_attested")]
    assert bool(unpriced) == bool(lost)
    assert all(meter in (charge.reason or "") or "unknown_model" in (charge.reason or "") for meter in unpriced)


def test_threads_that_price_at_once_get_what_one_gets_alone() -> None:
    card = RateCard.bundled()
    asked = [
        Inquiry(model.provider, model.name, {"input": 1000 + n, "output": 7}, 1_795_000_000 * 10**9, tier)
        for n, model in enumerate(islice(card.models(), 400))
        for tier in (None, "batch")
    ]
    alone = [Kernel(card).price(one) for one in asked]
    shared = Kernel(_bundled.__wrapped__())
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: [shared.price(one) for one in asked], range(8)))
    assert all(charges == alone for charges in together)


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(cards(), events())
def test_pricing_again_with_the_same_card_is_the_identity(card: dict[str, Any], event: dict[str, Any]) -> None:
    assume(valid(card))
    asked = inquiry(event)
    first = Kernel(layered([card])).price(asked)
    assert list(reprice([asked], Kernel(layered([copy.deepcopy(card)])))) == [first]


@given(
    st.dictionaries(st.sampled_from(["input", "output", "input_cache_read"]), st.integers(0, 10**9), min_size=1),
    st.data(),
)
def test_pricing_is_additive_over_split_events(usage: dict[str, int], data: st.DataObject) -> None:
    kernel = Kernel(RateCard(document(*(rate(meter, "2.5") for meter in ("input", "output", "input_cache_read")))))
    part = {meter: data.draw(st.integers(0, quantity)) for meter, quantity in usage.items()}
    rest = {meter: quantity - part[meter] for meter, quantity in usage.items()}

    def amount(some: dict[str, int]) -> int:
        event = {"provider": "p", "model": "m", "at": "2026-06-01", "usage": {m: str(q) for m, q in some.items()}}
        return kernel.price(inquiry(event)).atto or 0

    assert amount(part) + amount(rest) == amount(usage)


@pytest.mark.parametrize("scope", ["cliff", "marginal"])
def test_a_threshold_is_what_makes_split_events_cost_less(scope: str) -> None:
    high = {"context": {"basis": ["input"], "op": "gt", "value": 100, "scope": scope}}
    kernel = Kernel(RateCard(document(rate("input", "1", 1), rate("input", "2", 1, when=high))))

    def amount(quantity: int) -> Decimal | None:
        asked = {"provider": "p", "model": "m", "at": "2026-06-01", "usage": {"input": str(quantity)}}
        return kernel.price(inquiry(asked)).amount

    whole = amount(200)
    assert whole is not None
    assert whole - 2 * (amount(100) or 0) == {"cliff": 200, "marginal": 100}[scope]


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(cards(), st.lists(events(), min_size=1, max_size=6), st.data())
def test_changing_a_rate_changes_exactly_the_charges_that_use_it(
    card: dict[str, Any], asked: list[dict[str, Any]], data: st.DataObject
) -> None:
    assume(valid(card) and card["providers"][0]["models"][0]["rates"])
    changed = copy.deepcopy(card)
    mutated = data.draw(st.sampled_from(changed["providers"][0]["models"][0]["rates"]))
    mutated["price"] = str(Fraction(mutated["price"]) + 1)
    name = reference.rate_id("p", "m", mutated)

    def uses(charge: Charge) -> bool:
        return any((line.rate_id or "").partition("*")[0] == name and line.quantity for line in charge.lines)

    for event in asked:
        before = Kernel(layered([card])).price(inquiry(event))
        after = Kernel(layered([changed])).price(inquiry(event))
        assert (before.atto != after.atto) == uses(before)
        assert uses(before) == uses(after)


@given(st.integers(0, 10**12), st.sampled_from(["1", "0.3", "2.5"]), st.sampled_from([1, 3, 7, 1000, 1_000_000]))
def test_an_amount_is_off_by_less_than_one_in_the_last_place(quantity: int, price: str, per: int) -> None:
    event = {"provider": "p", "model": "m", "at": "2026-06-01", "usage": {"input": str(quantity)}}
    charge = Kernel(RateCard(document(rate("input", price, per)))).price(inquiry(event))
    assert abs(Fraction(charge.atto or 0) - quantity * Fraction(price) / per * ATTO) <= Fraction(1, 2)
