"""Periods: allowances, graduated and volume tiers, seats and minimums, as lines beside the calls' charges."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost import RateCardError
from aicost.pricing.card import RateCard
from aicost.pricing.charge import ATTO
from aicost.pricing.rates import parse_instant
from aicost.pricing.terms import MeterUsage, settle

from .cards import document, rate

NOVEMBER = parse_instant("2026-11-01")


def terms(*raws: dict[str, Any]) -> Any:
    data = document(rate("read_units", "2", 1))
    data["providers"][0]["terms"] = list(raws)
    return RateCard(data).terms("p")


def used(quantity: int, price: str = "2", *, meter: str = "read_units", model: str = "m") -> MeterUsage:
    return MeterUsage(model, meter, quantity, int(quantity * Fraction(price) * ATTO))


FREE = {"id": "free", "kind": "allowance", "meters": ["read_units"], "quantity": 100}
GRADUATED = {
    "id": "steps",
    "kind": "graduated",
    "meters": ["read_units"],
    "tiers": [{"start": 0, "price": "2"}, {"start": 100, "price": "1"}, {"start": 1000, "price": "0.5"}],
}
VOLUME = {**GRADUATED, "kind": "volume"}
MINIMUM = {"id": "plan", "kind": "minimum", "price": "50"}
SEATS = {"id": "seat", "kind": "seat", "price": "19", "quantity": 2}

CASES: list[tuple[str, list[dict[str, Any]], list[MeterUsage], dict[str, int], list[tuple[str, str]]]] = [
    ("inside the allowance", [FREE], [used(60)], {}, [("free", "-120")]),
    ("past the allowance", [FREE], [used(150)], {}, [("free", "-200")]),
    ("an allowance over two models", [FREE], [used(60), used(60, model="n")], {}, [("free", "-120"), ("free", "-80")]),
    ("an allowance of another model", [{**FREE, "models": ["n"]}], [used(60)], {}, []),
    ("an allowance of another meter", [FREE], [used(60, meter="write_units")], {}, []),
    ("the first tier is the list price", [GRADUATED], [used(100)], {}, []),
    ("graduated, one past a step", [GRADUATED], [used(101)], {}, [("steps", "-1")]),
    ("graduated, through all steps", [GRADUATED], [used(1200)], {}, [("steps", "-1200")]),
    ("graduated over two models", [GRADUATED], [used(90), used(20, model="n")], {}, [("steps", "-10")]),
    ("volume, below", [VOLUME], [used(99)], {}, []),
    ("volume, exactly at a step", [VOLUME], [used(100)], {}, [("steps", "-100")]),
    ("below the minimum", [MINIMUM], [used(10)], {}, [("plan", "30")]),
    ("nothing used is the whole minimum", [MINIMUM], [], {}, [("plan", "50")]),
    ("above the minimum", [MINIMUM], [used(26)], {}, []),
    ("the minimum sees the allowance", [FREE, MINIMUM], [used(110)], {}, [("free", "-200"), ("plan", "30")]),
    ("seats, two of them included", [SEATS], [], {"seat": 5}, [("seat", "57")]),
    ("only included seats", [SEATS], [], {"seat": 2}, []),
    ("a term that has ended", [{**MINIMUM, "valid_to": "2026-11-01"}], [], {}, []),
    ("a term of another currency", [{**MINIMUM, "currency": "EUR"}], [], {}, []),
    ("a yearly term in a month", [{**MINIMUM, "period": "year"}], [], {}, []),
]


@pytest.mark.parametrize(("raws", "rows", "seats", "lines"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_period_is_settled(
    raws: list[dict[str, Any]], rows: list[MeterUsage], seats: dict[str, int], lines: list[tuple[str, str]]
) -> None:
    settled = settle(terms(*raws), rows, at_ns=NOVEMBER, currency="USD", seats=seats)
    assert [(line.term, Fraction(line.atto, ATTO)) for line in settled] == [(t, Fraction(a)) for t, a in lines]
    assert all(line.source == "the price list" for line in settled)


@given(st.lists(st.integers(0, 5000), max_size=6))
def test_graduated_tiers_do_not_depend_on_how_the_usage_is_split(parts: list[int]) -> None:
    def bill(rows: list[MeterUsage]) -> int:
        lines = settle(terms(GRADUATED), rows, at_ns=NOVEMBER, currency="USD")
        return sum(row.atto for row in rows) + sum(line.atto for line in lines)

    assert bill([used(part, model=str(n)) for n, part in enumerate(parts)]) == bill([used(sum(parts))])


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_allowance_never_takes_off_more_than_was_charged(quantity: int, granted: int) -> None:
    [*lines] = settle(terms({**FREE, "quantity": granted}), [used(quantity)], at_ns=NOVEMBER, currency="USD")
    assert sum(line.atto for line in lines) == -min(quantity, granted) * 2 * ATTO


WRONG = [
    ({"id": "x", "kind": "minimum"}, "a term of kind 'minimum' needs price"),
    ({"id": "x", "kind": "allowance", "meters": ["queries"]}, "needs quantity"),
    ({**GRADUATED, "tiers": [{"start": 5, "price": "1"}]}, "tiers must start at 0 and rise"),
    (
        {**GRADUATED, "tiers": [{"start": 0, "price": "1"}, {"start": 0, "price": "2"}]},
        "tiers must start at 0 and rise",
    ),
]


@pytest.mark.parametrize(("term", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_term_that_says_too_little_is_refused(tmp_path: Path, term: dict[str, Any], message: str) -> None:
    data = document()
    data["providers"][0]["terms"] = [term]
    (tmp_path / "card.json").write_text(json.dumps(data))
    with pytest.raises(RateCardError, match=message):
        RateCard.load(tmp_path / "card.json")


@pytest.mark.parametrize(
    ("raws", "message"),
    [
        ([MINIMUM, MINIMUM], "term 'plan' stands twice"),
        ([FREE, GRADUATED], "'free' and 'steps' both price read_units; a free first tier does it"),
    ],
    ids=["twice", "an allowance and tiers on the same meter"],
)
def test_terms_that_contradict_each_other_are_refused(tmp_path: Path, raws: list[Any], message: str) -> None:
    data = document()
    data["providers"][0]["terms"] = raws
    (tmp_path / "card.json").write_text(json.dumps(data))
    with pytest.raises(RateCardError, match=message):
        RateCard.load(tmp_path / "card.json")


def test_a_contract_s_term_replaces_the_list_s_of_the_same_id() -> None:
    base, over = document(), document()
    base["providers"][0]["terms"] = [MINIMUM, SEATS]
    over["providers"][0]["terms"] = [{**MINIMUM, "price": "20"}]
    found = RateCard(over, base=RateCard(base)).terms("p")
    assert {term.id: term.price for term in found} == {"plan": 20, "seat": 19}
