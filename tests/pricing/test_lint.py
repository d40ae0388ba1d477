"""What `aicost rates validate` and `diff` say of cards that can be used."""

from __future__ import annotations

from typing import Any

import pytest

from aicost.pricing.card import RateCard
from aicost.pricing.diff import differences
from aicost.pricing.lint import findings
from aicost.pricing.rates import parse_instant

from .cards import document, rate

NOW = parse_instant("2026-11-21")


def provider(*models: dict[str, Any], **more: Any) -> dict[str, Any]:
    data = document()
    data["providers"][0] |= {"models": list(models), **more}
    return data


def priced(*prices: str) -> dict[str, Any]:
    return provider(*({"model": f"m{n}", "rates": [rate("input", price)]} for n, price in enumerate(prices)))


ODD: list[tuple[str, dict[str, Any], list[tuple[str, str, str]]]] = [
    ("nothing odd", priced("1", "2", "3", "2.5"), []),
    (
        "a gap",
        document(rate("input", "1", valid_to="2026-01-01"), rate("input", "2", valid_from="2026-01-02")),
        [("gap", "p/m/input@always", "nothing holds between its end and the start of p/m/input@2026-01-02")],
    ),
    (
        "a gap in one tier only",
        document(
            rate("input", "1", valid_to="2026-01-01"),
            rate("input", "2", valid_from="2026-01-01"),
            rate("input", "1", valid_to="2026-01-01", when={"service_tier": ["flex"]}),
            rate("input", "2", valid_from="2026-02-01", when={"service_tier": ["flex"]}),
        ),
        [
            (
                "gap",
                "p/m/input[service_tier=flex]@always",
                "nothing holds between its end and the start of p/m/input[service_tier=flex]@2026-02-01",
            )
        ],
    ),
    (
        "per thousand for per million",
        priced("1", "2", "3", "2500"),
        [("unit", "p/m3/input@always", "2500 per 1,000,000; input is usually 2.5")],
    ),
    (
        "per token for per million",
        priced("1", "2", "3", "0.000001"),
        [("unit", "p/m3/input@always", "0.000001 per 1,000,000; input is usually 1.5")],
    ),
    (
        "output far above input",
        document(rate("input", "1"), rate("output", "5000")),
        [("unit", "p/m/output@always", "5000 times the price of input")],
    ),
    (
        "a discount on nothing",
        document(rate("input", "1"), modifiers=({"id": "deal", "multiply": "1/2", "meters": ["*"]},)),
        [("unmatched", "p/m", "modifier 'deal' is a discount on cards underneath, and there is none; see extends")],
    ),
    (
        "no source",
        provider({"model": "m", "rates": [rate("input", "1", source="TODO")]}),
        [("provenance", "p/m/input@always", "its source is 'TODO'; name a page or a contract")],
    ),
    (
        "attested after it was checked",
        document(rate("input", "1", attested_from="2026-11-10")),
        [("provenance", "p/m/input@always", "attested from 2026-11-10, after it was checked")],
    ),
    (
        "checked in the future",
        provider({"model": "m", "rates": [rate("input", "1", checked="2027-01-01")]}),
        [("provenance", "p/m/input@always", "checked on 2027-01-01, which is still to come")],
    ),
    (
        "checked long ago",
        provider({"model": "m", "rates": [rate("input", "1", checked="2025-01-01")]}),
        [("stale", "p/m/input@always", "last checked on 2025-01-01, more than a year ago")],
    ),
]


@pytest.mark.parametrize(("data", "found"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_what_is_odd_is_found(data: dict[str, Any], found: list[tuple[str, str, str]]) -> None:
    assert [(f.kind, f.where, f.problem) for f in findings(RateCard(data), now_ns=NOW)] == found


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"model": "gone", "aliases": ["ours"]}, ["unmatched"]),
        ({"model": "ours", "aliases": ["m"]}, []),
        ({"model": "new", "rates": [rate("input", "1")]}, []),
    ],
    ids=["nobody's", "a name for one below", "a new one"],
)
def test_a_contract_for_a_model_that_is_not_there(model: dict[str, Any], found: list[str]) -> None:
    card = RateCard(provider(model), base=RateCard(document(rate("input", "1"))))
    assert [finding.kind for finding in findings(card, now_ns=NOW)] == found


def test_what_changed_between_two_cards() -> None:
    half = {"id": "batch", "multiply": "1/2", "when": {"service_tier": ["batch"]}, "meters": ["input"]}
    doubtful = rate("output_audio", "4", attested_from="2026-05-01", valid_to="2026-09-01")
    before = RateCard(
        document(
            rate("input", "1"),
            rate("output", "4"),
            rate("output_audio", "4", valid_to="2026-09-01"),
            rate("pages", "1", 1),
        )
    )
    after = RateCard(
        document(rate("input", "2"), rate("output", "4"), doubtful, rate("queries", "1", 1), modifiers=(half,))
    )
    assert [(d.what, d.change, d.before, d.after) for d in differences(before, after)] == [
        ("input@always", "changed", "1 USD per 1,000,000", "2 USD per 1,000,000"),
        ("modifier batch", "added", None, "x 1/2 when service_tier=batch on input"),
        (
            "output_audio@always",
            "changed",
            "4 USD per 1,000,000 until 2026-09-01",
            "4 USD per 1,000,000 attested from 2026-05-01 until 2026-09-01",
        ),
        ("pages@always", "removed", "1 USD per 1", None),
        ("queries@always", "added", None, "1 USD per 1"),
    ]
    assert list(differences(before, before)) == []
