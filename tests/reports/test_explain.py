"""An explanation leads from a total down to each rate, and its parts add up."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from aicost import LedgerError
from aicost.ledger import Ledger
from aicost.ledger.reader import LedgerReader
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.reports.explain import explain, render
from aicost.usage.event import Chargeable, RequestStatus
from tests.ledger.charges import FREE, UNSEEN, event, priced, recorded, unpriced


class Rates:
    """Rates that all come from one page."""

    def describe(self, rate_id: str) -> Mapping[str, str] | None:
        return {"source": "https://prices.example", "checked": "2026-11-01"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run with a retried call in a nested step, and a run inside it."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(path, rates=Rates())
    ledger.start_run("run-000001", workflow="outer", started_ns=0)
    ledger.start_run("run-000002", workflow="inner", root_run_id="run-000001", parent_run_id="run-000001", started_ns=1)
    ledger.start_step("step-plan-1", run_id="run-000001", name="plan [b]", kind="step", started_ns=0)
    ledger.start_step(
        "step-tool-1", run_id="run-000001", parent_step_id="step-plan-1", name="look-up", kind="tool", started_ns=0
    )
    ledger.end_step("step-tool-1", status="failed", ended_ns=1)
    call = {"trace_id": "t", "span_id": "span-aaaaaa", "step_id": "step-tool-1", "workflow": "outer"}
    refused = event("a-1", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None, error_type="429", **call)
    ledger.record([(refused, FREE), (event("a-2", attempt=2, retry_count=1, **call), priced(10**18, 2 * 10**18))])
    ledger.record([(event("b-1", run_id="run-000002", workflow="inner", started_ns=5), priced(10**17))])
    cut = event("c-1", status=RequestStatus.TIMEOUT, chargeable=Chargeable.POSSIBLY, usage=None, run_id="run-000003")
    ledger.record([(cut, UNSEEN)])
    ledger.close()
    return path


def shown(path: Path, identifier: str) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    render(explain(path, identifier), console)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_a_run_is_explained_down_to_rate_source_and_date(path: Path) -> None:
    assert shown(path, "run-000001") == (
        "run run-000001 = 3.1 USD\n"
        "└── workflow outer run-0000\n"
        "    ├── step plan [b] step-pla\n"
        "    │   └── tool look-up step-too (failed: what it spent is waste)\n"
        "    │       └── chat m, 2 attempts\n"
        "    │           ├── chat m · attempt 1 · retry 429 · not billed = 0 USD  a-1\n"
        "    │           └── chat m · attempt 2 = 3 USD  a-2\n"
        "    │               ├── input: 10 x 1000000000000000000 / 1 = 1  p/m/input@always  t@1  "
        "https://prices.example (checked 2026-11-01)\n"
        "    │               └── output: 10 x 2000000000000000000 / 1 = 2  p/m/output@always  t@1  "
        "https://prices.example (checked 2026-11-01)\n"
        "    └── workflow inner run-0000\n"
        "        └── chat m = 0.1 USD  b-1\n"
        "            └── input: 10 x 100000000000000000 / 1 = 0.1  p/m/input@always  t@1  "
        "https://prices.example (checked 2026-11-01)"
    )


def test_lines_add_up_to_attempts_and_attempts_to_the_total(path: Path) -> None:
    data = explain(path, "run-000001")
    for attempt in data["attempts"]:
        assert sum(Decimal(line["amount"]) for line in attempt["lines"]) == Decimal(attempt["amount"])
    assert sum(Decimal(attempt["amount"]) for attempt in data["attempts"]) == Decimal(data["totals"]["USD"])


def test_json_holds_data_and_no_markup(path: Path) -> None:
    data = explain(path, "run-000001")
    inner = next(attempt for attempt in data["attempts"] if attempt["event_id"] == "b-1")
    assert [(scope["kind"], scope["id"], scope["name"]) for scope in inner["path"]] == [
        ("workflow", "run-000001", "outer"),
        ("workflow", "run-000002", "inner"),
    ]
    assert "[dim]" not in json.dumps(data)
    assert "[red]" not in json.dumps(data)


@pytest.mark.parametrize(
    ("identifier", "kind", "attempts"),
    [("span-aaa", "span", 2), ("run-000002", "run", 1), ("run-000003", "run", 1)],
)
def test_a_part_is_explained_by_the_start_of_its_id(path: Path, identifier: str, kind: str, attempts: int) -> None:
    data = explain(path, identifier)
    assert (data["kind"], len(data["attempts"])) == (kind, attempts)


def test_a_total_of_which_nothing_is_known_is_null_and_a_question_mark(path: Path) -> None:
    assert explain(path, "run-000003")["totals"] == {"USD": None}
    text = shown(path, "run-000003")
    assert text.startswith("run run-000003 = ? USD; 1 attempt unknown (1 possibly billed)\n└── (no run scope)\n")
    assert "chat m · timeout · possibly billed = ?  c-1" in text
    assert "usage_not_received: the provider may have billed this attempt; its usage never came back" in text


def test_a_cost_the_provider_reported_is_not_passed_off_as_the_sum_of_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    reported = priced(10**18, 10**18, status=ChargeStatus.PROVIDER_REPORTED, atto=3 * 10**18, computed_atto=2 * 10**18)
    ledger.record([(event("event-r"), reported)])
    ledger.close()
    text = shown(path, "event-r")
    assert "chat m · as the provider reported = 3 USD" in text
    assert "the rate card alone says 2" in text


def test_names_with_brackets_are_shown_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    odd = event("event-[/b]", model="m[/x]", error_type="[e]", status=RequestStatus.FAILURE)
    ledger.record([(odd, unpriced("no_rate:output[speed=fast]"))])
    ledger.close()
    text = shown(path, "event-[/b]")
    for name in ("event-[/b]", "m[/x]", "[e]", "no_rate:output[speed=fast]: the rate card has no rate"):
        assert name in text


@pytest.mark.parametrize("where", ["run-000001", "run-000002"], ids=["the run", "the run inside it"])
def test_the_headline_says_how_much_of_the_total_is_not_known(path: Path, where: str) -> None:
    inside = {"run_id": "run-000002", "workflow": "inner"}
    ledger = Ledger.open(path)
    ledger.record([(event("u-1", **inside), unpriced()), (event("u-2", **inside), unpriced())])
    part = priced(10**16, status=ChargeStatus.PARTIAL, reason="no_rate:output")
    ledger.record([(event("u-3", **inside), part)])
    cut = event("u-4", status=RequestStatus.TIMEOUT, chargeable=Chargeable.POSSIBLY, usage=None, **inside)
    refused = event("u-5", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None, **inside)
    euros = event("u-6", **inside)
    ledger.record([(cut, UNSEEN), (refused, FREE), (euros, priced(2 * 10**18, currency="EUR"))])
    ledger.close()
    total = {"run-000001": "3.11", "run-000002": "0.11"}[where]
    head = shown(path, where).splitlines()[0]
    counts = "4 attempts unknown (2 unpriced, 1 priced in part, 1 possibly billed)"
    assert head == f"run {where} = at least {total} USD, 2 EUR; {counts}"
    data = explain(path, where)
    assert data["totals"] == {"USD": total, "EUR": "2"}
    assert data["unknown"] == {"USD": {"unpriced": 2, "partial": 1, "possibly_billed": 1}}


def test_a_most_is_said_beside_what_is_not_known(tmp_path: Path) -> None:
    cut = event("cut-off", status=RequestStatus.TIMEOUT, chargeable=Chargeable.POSSIBLY, usage=None)
    path = recorded(tmp_path / "l.sqlite", (cut, UNSEEN._replace(at_most_atto=3 * 10**16)))
    [attempt] = explain(path, "cut-off")["attempts"]
    assert (attempt["amount"], attempt["at_most"]) == (None, "0.03")
    assert "possibly billed · at most 0.03 USD = ?" in shown(path, "cut-off")


def test_what_was_entered_first_and_turned_out_otherwise_is_explained_by_any_of_its_entries(tmp_path: Path) -> None:
    less = event("corrected", usage={"input": 10}, complete=False, run_id=None)
    path = recorded(tmp_path / "l.sqlite", (less, priced(10**18, status=ChargeStatus.PARTIAL)))
    assert explain(path, "corrected")["attempts"][0]["history"] == [], "nothing to tell where nothing was corrected"
    recorded(path, (event("corrected", run_id=None), priced(10**18, 2 * 10**18)))
    whole = explain(path, "corrected")
    history = whole["attempts"][0]["history"]
    assert [(one["n"], one["amount"]) for one in history] == [(1, "1"), (-1, "-1"), (1, "3")]
    assert [one["corrects"] for one in history] == [None, history[0]["id"], history[0]["id"]]
    assert whole["totals"] == {"USD": "3"}
    for one in history:
        assert explain(path, one["id"]) == explain(path, one["id"][:20]) == whole
    text = shown(path, "corrected")
    for what, one, amount in zip(("entry", "reversal", "replacement"), history, ("1", "-1", "3"), strict=True):
        assert f"{what} = {amount} USD  {one['id']}" in text


def test_the_start_of_an_id_is_ambiguous_however_often_the_first_of_them_was_corrected(tmp_path: Path) -> None:
    ids = [f"01a214312b07{n:020x}" for n in range(2)]
    path = tmp_path / "l.sqlite"
    for n in range(1, 6):
        more = Charge.of_lines(ChargeStatus.PRICED, "USD", n, (ChargeLine("input", n, "1", 1, n, "r"),))
        recorded(path, (event(ids[0], usage={"input": n}, run_id=None), more))
    recorded(path, (event(ids[1], run_id=None), priced(1)))
    assert len(explain(path, ids[0])["attempts"][0]["history"]) == 9
    with pytest.raises(LedgerError, match="ambiguous"):
        explain(path, "01a214312b07")


def test_an_event_that_another_one_counts_is_not_explained_as_nothing(tmp_path: Path) -> None:
    path = recorded(tmp_path / "l.sqlite", (event("the-caller", run_id=None), priced(1)))
    ledger = Ledger.open(path)
    ledger.record([(event("the-wire", run_id=None), priced(2))], replaces=["the-caller"])
    ledger.close()
    assert explain(path, "the-wire")["totals"] == {"USD": "0.000000000000000002"}
    with LedgerReader(path) as reader:
        entries = [one.id for one in reader.history("the-caller")]
    assert len(entries) == 2
    for named in ("the-caller", *entries):
        with pytest.raises(
            LedgerError, match=r"the-caller is a view that is not counted \(replaced\); aicost explain the-wire"
        ):
            explain(path, named)


def test_a_provider_s_cost_stands_beside_ours(tmp_path: Path) -> None:
    stated = priced(10**18, 10**18, status=ChargeStatus.PROVIDER_REPORTED, atto=3 * 10**18, computed_atto=2 * 10**18)
    path = recorded(tmp_path / "l.sqlite", (event("stated"), stated))
    [attempt] = explain(path, "stated")["attempts"]
    assert (attempt["amount"], attempt["computed"], attempt["charge_status"]) == ("3", "2", "provider_reported")
    assert [line["amount"] for line in attempt["lines"]] == ["1", "1"]
