"""Cards over cards: a contract in a few lines, currencies, discounts, machines of one's own."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aicost import ChargeStatus, RateCardError
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel

from .cards import document, rate
from .test_kernel import BATCH, event

LIST = RateCard(
    document(rate("input", "2", 1), rate("output", "8", 1), modifiers=(BATCH,), aliases=["alias"])
    | {"id": "list", "version": "1"}
)


def over(base: RateCard = LIST, *, models: list[dict[str, Any]] | None = None, **provider: Any) -> RateCard:
    """A contract over `base` that says `models` and more of provider `p`."""
    entry = {"provider": "p", "source": "contract 7", "checked": "2026-11-01", "models": models or [], **provider}
    known = {key: provider.pop(key) for key in ("fx", "currency") if key in entry and entry.pop(key)}
    header = {"schema": "aicost.rate-card/1", "id": "contract", "version": "2", "currency": "USD"}
    return RateCard({**header, **known, "providers": [entry]}, base=base)


TENTH_OFF = {"id": "contract", "multiply": "9/10", "meters": ["*"]}

CONTRACTS: list[tuple[str, RateCard, dict[str, Any], dict[str, Any], str, str]] = [
    (
        "one meter's price",
        over(models=[{"model": "m", "rates": [rate("input", "1", 1)]}]),
        {"input": 1, "output": 1},
        {},
        "9",
        "contract@2+list@1",
    ),
    ("a discount on everything", over(modifiers=[TENTH_OFF]), {"input": 1, "output": 1}, {}, "9", "contract@2+list@1"),
    (
        "a discount does not lower a price of the same contract",
        over(models=[{"model": "m", "rates": [rate("input", "1", 1)]}], modifiers=[TENTH_OFF]),
        {"input": 1, "output": 1},
        {},
        "8.2",
        "contract@2+list@1",
    ),
    (
        "the list's batch factor holds for a contract's price",
        over(models=[{"model": "m", "rates": [rate("input", "1", 1)]}]),
        {"input": 1},
        {"service_tier": "batch"},
        "0.5",
        "contract@2+list@1",
    ),
    (
        "a discount comes on top of batch",
        over(modifiers=[TENTH_OFF]),
        {"input": 1},
        {"service_tier": "batch"},
        "0.9",
        "contract@2+list@1",
    ),
    (
        "the contract's modifier replaces the list's of the same id",
        over(modifiers=[{**BATCH, "multiply": "1/4"}]),
        {"input": 1},
        {"service_tier": "batch"},
        "0.5",
        "contract@2+list@1",
    ),
    (
        "a discount that has ended",
        over(modifiers=[{**TENTH_OFF, "valid_to": "2026-01-01"}]),
        {"input": 1},
        {},
        "2",
        "contract@2+list@1",
    ),
    (
        "an alias of the contract for a model of the list",
        over(models=[{"model": "m", "aliases": ["ours"]}]),
        {"input": 1},
        {"model": "ours"},
        "2",
        "list@1",
    ),
    (
        "a name that the list knows by alias",
        over(models=[{"model": "alias", "rates": [rate("input", "1", 1)]}]),
        {"input": 1, "output": 1},
        {"model": "alias"},
        "9",
        "contract@2+list@1",
    ),
    ("a contract that says nothing of it", over(models=[]), {"input": 1}, {}, "2", "list@1"),
]


@pytest.mark.parametrize(
    ("card", "usage", "known", "amount", "cards"), [row[1:] for row in CONTRACTS], ids=[row[0] for row in CONTRACTS]
)
def test_a_contract_over_a_list(
    card: RateCard, usage: dict[str, int], known: dict[str, Any], amount: str, cards: str
) -> None:
    charge = Kernel(card).price(event(usage, **known))
    assert (charge.amount, charge.status, charge.rate_card) == (Decimal(amount), ChargeStatus.PRICED, cards)


def test_layers_may_be_several() -> None:
    group = over(modifiers=[{**TENTH_OFF, "id": "group"}])
    team = over(group, modifiers=[{**TENTH_OFF, "id": "team"}])
    charge = Kernel(team).price(event({"input": 100}))
    assert charge.amount == Decimal(162)
    assert charge.lines[0].rate_id == "p/m/input@always*team*group"


SNAPSHOTS = [
    ("gpt-4o", {}, "gpt-4o", True),
    ("gpt-4o", {}, "gpt-4o-2024-08-06", True),
    ("gpt-4o", {}, "gpt-4o-2024-05-13", False),
    ("acme", {"patterns": ["gpt-4o*"]}, "gpt-4o-2024-05-13", False),
    ("acme", {"patterns": ["gpt-4o*"]}, "gpt-4o-mini", False),
    ("acme", {"patterns": ["gpt-4o*"]}, "gpt-4o-of-ours", True),
    ("gpt-4o", {"aliases": ["gpt-4o-2024-05-13"]}, "gpt-4o-2024-05-13", True),
]


@pytest.mark.parametrize(
    ("model", "names", "asked", "ours"), SNAPSHOTS, ids=[f"{r[0]} {r[1]} {r[2]}" for r in SNAPSHOTS]
)
def test_a_contract_for_a_model_prices_no_other_that_the_list_knows_better(
    model: str, names: dict[str, Any], asked: str, ours: bool
) -> None:
    deal = {"model": model, **names, "rates": [rate("input", "0.5", 1), rate("output", "1", 1)]}
    card = over(RateCard.bundled(), models=[deal], provider="openai")
    one = event({"input": 1, "output": 1}, provider="openai", model=asked)
    charge, listed = Kernel(card).price(one), Kernel(RateCard.bundled()).price(one)
    assert charge == listed if not ours else charge.amount == Decimal("1.5")


def test_a_line_explains_its_modifiers() -> None:
    card = over(modifiers=[TENTH_OFF])
    line = Kernel(card).price(event({"input": 1})).lines[0]
    about = card.describe(line.rate_id or "")
    assert about is not None
    assert (about["price"], about["modifiers"]) == ("2", "contract x 9/10 (contract 7)")


EURO = {"base": "EUR", "quote": "USD", "price": "1.08", "source": "central bank", "checked": "2026-11-01"}
EUROS = [{"model": "m", "rates": [rate("input", "1", 1, currency="EUR")]}]


@pytest.mark.parametrize(
    ("card", "usage", "amount", "currency", "reason"),
    [
        (over(RateCard(document()), models=EUROS), {"input": 2}, "2", "EUR", None),
        (over(RateCard(document()), models=EUROS, fx=[EURO]), {"input": 2}, "2.16", "USD", None),
        (over(models=EUROS, fx=[EURO]), {"input": 2, "output": 1}, "10.16", "USD", None),
        (over(models=EUROS), {"input": 2, "output": 1}, "8", "USD", "no_fx:input"),
        (over(currency="EUR", fx=[EURO]), {"input": 27}, "50", "EUR", None),
        (
            over(models=EUROS, fx=[{**EURO, "valid_from": "2026-07-01"}]),
            {"input": 2, "output": 1},
            "8",
            "USD",
            "no_fx:input",
        ),
    ],
    ids=[
        "one foreign currency stays as the bill is",
        "an exchange rate makes it the card's",
        "mixed and converted",
        "mixed and not convertible is not added",
        "the other way round, exactly",
        "an exchange rate of later does not count",
    ],
)
def test_other_currencies(
    card: RateCard, usage: dict[str, int], amount: str, currency: str, reason: str | None
) -> None:
    charge = Kernel(card).price(event(usage))
    assert (charge.amount, charge.currency, charge.reason) == (Decimal(amount), currency, reason)


def test_a_converted_line_names_the_exchange_rate_and_the_price_in_its_own_currency() -> None:
    card = over(models=EUROS, fx=[{**EURO, "valid_from": "2026-01-01"}])
    line = Kernel(card).price(event({"input": 2})).lines[0]
    assert (line.unit_price, line.rate_id) == ("1.08", "p/m/input@always*fx:EUR>USD@2026-01-01")
    about = card.describe(line.rate_id or "")
    assert about is not None
    assert (about["price"], about["currency"]) == ("1", "EUR")
    assert about["modifiers"] == "fx:EUR>USD@2026-01-01 x 27/25 (central bank)"


@pytest.mark.parametrize(
    ("fx", "amount", "currency"), [([EURO], "10.8", "USD"), ([], "10", "EUR")], ids=["converted", "as reported"]
)
def test_a_cost_the_provider_reports_in_another_currency(fx: list[Any], amount: str, currency: str) -> None:
    card = over(models=[{"model": "m", "rates": [rate("input", "1", 1)]}], fx=fx)
    charge = Kernel(card).price(event({"input": 2}, provider_cost="10", provider_currency="EUR"))
    assert (charge.amount, charge.currency, charge.status) == (
        Decimal(amount),
        currency,
        ChargeStatus.PROVIDER_REPORTED,
    )
    assert all(line.atto is None for line in charge.lines) == (currency == "EUR")


OWNED = {
    "capex": "30000",
    "salvage": "0.1",
    "lifetime_hours": "36000",
    "utilisation": "0.5",
    "power_kw": "0.7",
    "pue": "1.3",
    "energy_price": "0.2",
    "opex_per_hour": "0.318",
    "units_per_hour": "3600",
}


@pytest.mark.parametrize(
    ("built", "usage", "amount"),
    [
        (OWNED, {"compute_seconds": 3600}, "2"),
        ({"hourly": "2", "utilisation": "0.5", "units_per_hour": "3600"}, {"compute_seconds": Decimal("1.8")}, "0.002"),
        ({"hourly": "3.6", "units_per_hour": "7200000"}, {"output": 1_000_000}, "0.5"),
    ],
    ids=["a machine of one's own", "a rented one, half idle", "tokens by measured throughput"],
)
def test_self_hosted_models_are_priced_by_what_a_machine_hour_costs(
    tmp_path: Path, built: dict[str, str], usage: dict[str, Any], amount: str
) -> None:
    [meter] = usage
    path = tmp_path / "card.json"
    path.write_text(json.dumps(document({"meter": meter, "per": 1, "built": built})))
    assert Kernel(RateCard.load(path)).price(event(usage)).amount == Decimal(amount)


def test_usage_of_another_model_in_one_call_is_priced_at_that_model_s_rates() -> None:
    data = document(rate("input", "1", 1))
    data["providers"][0]["models"].append({"model": "small/2", "rates": [rate("input", "3", 1)]})
    charge = Kernel(RateCard(data)).price(event({"input": 10, "small/2/input": 5, "gone/input": 1}))
    assert [(line.meter, line.amount) for line in charge.lines] == [
        ("input", 10),
        ("small/2/input", 15),
        ("gone/input", None),
    ]
    assert (charge.amount, charge.reason) == (25, "no_rate:gone/input")


def test_a_threshold_counts_what_each_model_did() -> None:
    high = {"context": {"basis": ["input_tokens"], "op": "gt", "value": 10, "scope": "cliff"}}
    data = document(rate("input", "1", 1), rate("input", "2", 1, when=high))
    charge = Kernel(RateCard(data)).price(event({"input": 8, "m/input": 8}))
    assert charge.amount == 16


def folder(tmp_path: Path, **providers: Any) -> Path:
    path = tmp_path / "card"
    path.mkdir()
    header = {key: value for key, value in document().items() if key != "providers"}
    (path / "card.json").write_text(json.dumps(header))
    for name, entry in providers.items():
        (path / f"{name}.json").write_text(json.dumps(entry))
    return path


def test_a_folder_is_a_card_of_one_file_per_provider(tmp_path: Path) -> None:
    card = RateCard.load(folder(tmp_path, p=document(rate("input", "1", 1))["providers"][0]))
    assert Kernel(card).price(event({"input": 3})).amount == 3
    assert (card.providers(), [model.name for model in card.models()]) == (["p"], ["m"])
    (tmp_path / "q.json").write_text(json.dumps({**document(rate("input", "1"))["providers"][0], "provider": "q"}))
    assert card.find("../q", "m") is None, "only the card's own files are read"


def test_a_provider_s_file_is_checked_like_a_card(tmp_path: Path) -> None:
    entry = document(rate("input", "1"), rate("input", "2"))["providers"][0]
    with pytest.raises(RateCardError, match=r"p\.json:1: overlapping rates"):
        RateCard.load(folder(tmp_path, p=entry))


def test_a_file_named_after_another_provider_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RateCardError, match=r"q\.json: holds provider 'p'; name the file p\.json"):
        RateCard.load(folder(tmp_path, q=document()["providers"][0]))


def test_a_card_may_extend_another_file(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps(document(rate("input", "2", 1))))
    mine = {**document(rate("output", "5", 1)), "extends": "list.json", "id": "mine"}
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    charge = Kernel(RateCard.load(tmp_path / "mine.json")).price(event({"input": 1, "output": 1}))
    assert (charge.amount, charge.rate_card) == (7, "mine@1+t@1")


def test_cards_that_extend_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(json.dumps({**document(), "extends": "card.json"}))
    with pytest.raises(RateCardError, match="is there a circle"):
        RateCard.load(tmp_path / "card.json")


AMBIGUOUS = [
    (["gpt-*-mini"], ["gpt-*-mini"], True),
    (["a*c"], ["ab*"], True),
    (["*x"], ["x*"], True),
    (["ab*"], ["ac*"], False),
    (["gpt-*"], ["gpt-4*"], False),
    (["*abc"], ["abd*"], False),
    (["*ab*"], ["*ac*"], False),
    (["a*"], ["*a"], True),
]


@pytest.mark.parametrize(("one", "other", "refused"), AMBIGUOUS)
def test_patterns_that_match_the_same_names_equally_well_are_refused(
    tmp_path: Path, one: list[str], other: list[str], refused: bool
) -> None:
    data = document(patterns=one)
    data["providers"][0]["models"].append({"model": "n", "patterns": other})
    path = tmp_path / "card.json"
    path.write_text(json.dumps(data))
    if refused:
        with pytest.raises(RateCardError, match="match the same names equally well"):
            RateCard.load(path)
    else:
        RateCard.load(path)


def test_a_name_that_two_patterns_match_equally_well_is_not_found() -> None:
    data = document(rate("input", "1"), patterns=["*small*"])
    data["providers"][0]["models"].append({"model": "n", "patterns": ["*large*"], "rates": [rate("input", "2")]})
    card = RateCard(data)
    assert card.find("p", "a-small-one") is not None
    assert card.find("p", "small-and-large") is None


def test_a_kernel_changes_cards_between_two_calls() -> None:
    kernel = Kernel(LIST)
    assert kernel.price(event({"input": 1})).amount == 2
    kernel.use(over(modifiers=[TENTH_OFF]))
    assert kernel.price(event({"input": 1})).amount == Decimal("1.8")
