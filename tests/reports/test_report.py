"""A report is true on screen and in JSON, whatever names and gaps a ledger holds."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from aicost.cli import cli
from aicost.ledger import Ledger
from aicost.ledger.query import BREAKDOWNS
from aicost.pricing.charge import Charge, ChargeStatus
from aicost.reports.rendering import render
from aicost.reports.report_data import to_json
from aicost.reports.summary import ReportRequest, build_report
from aicost.semconv.dimensions import DIMENSIONS
from aicost.usage.event import Chargeable, Origin, RequestStatus
from tests.ledger.charges import FREE, UNSEEN, event, priced, recorded, unpriced


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def shown(path: Path, *by: str) -> str:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    render(build_report(path, ReportRequest(by)), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_is_not_known_is_a_question_mark_and_null_never_zero(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event(model="new-model"), unpriced("unknown_model:p/new-model"))])
    ledger.close()
    text = shown(path, "model")
    assert text.startswith("?; nothing of it is known")
    assert "1 x p/new-model: unpriced (unknown_model:p/new-model)" in text
    data = to_json(build_report(path, ReportRequest(("model",))))
    assert [row["amount"] for row in (*data["totals"], *data["rows"])] == [None, None]


def test_every_gap_is_listed_below_the_tables(path: Path) -> None:
    ledger = Ledger.open(path)
    refused = event("a", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None)
    cut = event("b", status=RequestStatus.TIMEOUT, chargeable=Chargeable.POSSIBLY, usage=None)
    ledger.record([(refused, FREE), (cut, UNSEEN)])
    ledger.record([(event("c"), priced(10**16))])
    ledger.record([(event("d"), unpriced("no_rate:output[service_tier=flex]"))])
    ledger.close()
    text = shown(path)
    assert text.startswith(
        "$0.01; all that is known is certain, nobody can say at most what\n"
        "3 calls · 4 attempts, 1 retry\nwasted ?\n1 unpriced · 1 possibly billed unseen\n"
    )
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
    rows = to_json(build_report(path, ReportRequest(("team",))))["rows"]
    assert {row["by"]["team"]: row["amount"] for row in rows} == {
        "search": "0.000000000000000002",
        None: "0.000000000000000001",
    }


def test_shares_are_of_the_same_currency(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event("a", model="x"), priced(3)), (event("b", model="y"), priced(1))])
    ledger.record([(event("c", model="z"), priced(9, currency="EUR"))])
    ledger.close()
    rows = to_json(build_report(path, ReportRequest(("model",))))["rows"]
    assert {row["by"]["model"]: row["share"] for row in rows} == {"x": "0.75", "y": "0.25", "z": "1"}


def test_a_report_by_meter_adds_up(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event(), priced(3 * 10**18, 10**18))])
    ledger.close()
    data = to_json(build_report(path, ReportRequest(("meter",))))
    assert sum(Decimal(row["amount"]) for row in data["rows"]) == Decimal(data["totals"][0]["amount"]) == 4
    assert "by meter" in shown(path, "meter")


def test_an_empty_ledger_says_so(path: Path) -> None:
    Ledger.open(path).close()
    assert shown(path, "model") == "Nothing recorded in this ledger for this selection.\n"


CUT = {"status": RequestStatus.TIMEOUT, "chargeable": Chargeable.POSSIBLY, "usage": None}
DOLLAR = 10**18


def bounded(most: int | None) -> Charge:
    """An attempt that was not seen to its end, and cost that at most."""
    return UNSEEN._replace(at_most_atto=most)


@pytest.mark.parametrize(
    ("more", "amount", "at_most", "said"),
    [
        ([], "2", "2", None),
        ([bounded(3 * DOLLAR)], "2", "5", "certain, at most $5.00"),
        ([bounded(3 * DOLLAR), bounded(DOLLAR // 2)], "2", "5.5", "certain, at most $5.50"),
        ([bounded(3 * DOLLAR), bounded(None)], "2", None, "certain, nobody can say at most what"),
    ],
    ids=["all known", "a most", "two", "a most, and none"],
)
def test_what_is_not_known_has_a_least_and_a_most(
    path: Path, more: list[Charge], amount: str, at_most: str | None, said: str | None
) -> None:
    recorded(
        path, (event("seen"), priced(2 * DOLLAR)), *((event(f"cut-{n}", **CUT), one) for n, one in enumerate(more))
    )
    data = to_json(build_report(path, ReportRequest(("model", "provider"))))
    rows = [*data["totals"], *data["rows"]]
    assert [(row["amount"], row["at_most"]) for row in rows] == [(amount, at_most)] * 2
    text = shown(path)
    assert said is None or said in text
    assert ("at most" in text) == (said is not None)


def test_of_what_nothing_is_known_there_is_a_most_all_the_same(path: Path) -> None:
    recorded(path, (event(**CUT), bounded(3 * DOLLAR)))
    assert [(row["amount"], row["at_most"]) for row in to_json(build_report(path, ReportRequest()))["totals"]] == [
        (None, "3")
    ]
    assert shown(path).startswith("?; nothing of it is known")
    assert shown(path).startswith("?; nothing of it is known, at most $3.00\n")


def test_which_meter_comes_to_more_nobody_knows(path: Path) -> None:
    part = priced(DOLLAR, DOLLAR, status=ChargeStatus.PARTIAL, at_most_atto=5 * DOLLAR)
    recorded(path, (event("part"), part), (event("whole"), priced(DOLLAR, meters=("images",))))
    rows = to_json(build_report(path, ReportRequest(("meter",))))["rows"]
    assert {row["by"]["meter"]: (row["amount"], row["at_most"]) for row in rows} == {
        "input": ("1", None),
        "output": ("1", None),
        "images": ("1", "1"),
    }


def test_what_waits_in_a_journal_that_may_not_be_read_in_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(path, (event(), priced(DOLLAR)))
    assert to_json(build_report(path, ReportRequest()))["waiting_bytes"] == 0
    for waiting, said in (
        (1234, "1,234 bytes that wait in the ledger's journal"),
        (None, "What may wait in the ledger's"),
    ):
        monkeypatch.setattr("aicost.ledger.reader.take_in", lambda _, waits=waiting: waits)
        assert to_json(build_report(path, ReportRequest()))["waiting_bytes"] == waiting
        assert said in shown(path)
        assert shown(path).startswith("$1.00; ")


@pytest.mark.parametrize("by", [*BREAKDOWNS, "label:cohort"])
def test_every_dimension_is_a_breakdown_of_the_command(path: Path, by: str) -> None:
    own = {one.key: f"{one.name}-1" for one in DIMENSIONS} | {"label:cohort": "cohort-1"}
    origin = Origin(host="host-1", organization="account-1", project="provider_project-1", credential="credential-1")
    one = event(
        attribution=own, origin=origin, service_tier="tier-1", region="region-1", workflow="workflow-1", step="step-1",
        agent="agent-1", run_id="run-1"
    )  # fmt: skip
    recorded(path, (one, priced(DOLLAR, meters=("meter-1",))))
    done = CliRunner().invoke(cli, ["report", "--ledger", str(path), "--by", by, "--json"])
    assert done.exit_code == 0, done.output
    fixed = {
        "model": "m", "provider": "p", "operation": "chat", "status": "success", "rate_card": "t@1",
        "source": "aicost", "category": "usage",
    }  # fmt: skip
    [row] = json.loads(done.stdout)["rows"]
    assert (row["by"][by], row["amount"]) == (fixed.get(by, f"{by.removeprefix('label:')}-1"), "1")


@pytest.mark.parametrize("by", ["label:", "tennant", "currency"])
def test_a_breakdown_nobody_knows_is_refused_with_those_there_are(path: Path, by: str) -> None:
    recorded(path, (event(), priced(1)))
    done = CliRunner().invoke(cli, ["report", "--ledger", str(path), "--by", by])
    assert done.exit_code == 2
    assert all(name in done.output for name in BREAKDOWNS)
