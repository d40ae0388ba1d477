"""A report is true on screen and in JSON, whatever names and gaps a ledger holds."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from aicost.ledger import Ledger
from aicost.reports.summary import build_report, render, to_json
from aicost.usage.event import Chargeable, RequestStatus
from tests.ledger.charges import FREE, UNSEEN, event, priced, unpriced


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def shown(path: Path, *by: str) -> str:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    render(build_report(path, by), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_is_not_known_is_a_question_mark_and_null_never_zero(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event(model="new-model"), unpriced("unknown_model:p/new-model"))])
    ledger.close()
    text = shown(path, "model")
    assert text.startswith("? in 1 call")
    assert "1 x p/new-model: unpriced (unknown_model:p/new-model)" in text
    data = to_json(build_report(path, ["model"]))
    assert [row["amount"] for row in (*data["totals"], *data["by"]["model"])] == [None, None]


def test_every_gap_is_listed_below_the_tables(path: Path) -> None:
    ledger = Ledger.open(path)
    refused = event("a", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None)
    cut = event("b", status=RequestStatus.TIMEOUT, chargeable=Chargeable.POSSIBLY, usage=None)
    ledger.record([(refused, FREE), (cut, UNSEEN)])
    ledger.record([(event("c"), priced(10**16))])
    ledger.record([(event("d"), unpriced("no_rate:output[service_tier=flex]"))])
    ledger.close()
    text = shown(path)
    assert "$0.01 in 3 calls · 4 attempts, 1 retry · wasted ? · 1 unpriced · 1 possibly billed unseen" in text
    assert "1 x p/m: possibly billed (usage_not_received)" in text
    assert "1 x p/m: unpriced (no_rate:output[service_tier=flex])" in text, "brackets are no markup"


@pytest.mark.parametrize("name", ["acme[/x]", "[red]", "[link=https://x.example]", "\\[b]", "日本", "(none)"])
def test_names_are_shown_as_they_are(path: Path, name: str) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event(attribution={"tenant_id": name}, model=name), unpriced(f"unknown_model:{name}"))])
    ledger.close()
    assert shown(path, "tenant", "model").count(name) == 4


def test_what_has_no_owner_is_a_row_of_its_own(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event("a"), priced(1)), (event("b", attribution={"team": "search"}), priced(2))])
    ledger.close()
    assert "(none)" in shown(path, "team")
    rows = to_json(build_report(path, ["team"]))["by"]["team"]
    assert {row["key"]: row["amount"] for row in rows} == {
        "search": "0.000000000000000002",
        None: "0.000000000000000001",
    }


def test_shares_are_of_the_same_currency(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event("a", model="x"), priced(3)), (event("b", model="y"), priced(1))])
    ledger.record([(event("c", model="z"), priced(9, currency="EUR"))])
    ledger.close()
    rows = to_json(build_report(path, ["model"]))["by"]["model"]
    assert {row["key"]: row["share"] for row in rows} == {"x": "0.75", "y": "0.25", "z": "1"}


def test_a_report_by_meter_adds_up(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event(), priced(3 * 10**18, 10**18))])
    ledger.close()
    data = to_json(build_report(path, ["meter"]))
    assert sum(Decimal(row["amount"]) for row in data["by"]["meter"]) == Decimal(data["totals"][0]["amount"]) == 4
    assert "by meter" in shown(path, "meter")


def test_an_empty_ledger_says_so(path: Path) -> None:
    Ledger.open(path).close()
    assert shown(path, "model") == "Nothing recorded in this ledger for this selection.\n"
