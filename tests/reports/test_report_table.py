"""A report is one table, the same in text, JSON and CSV, and everything in it adds up, whatever was asked."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console

from aicost._errors import LedgerError
from aicost._money import to_atto
from aicost.ledger import Ledger
from aicost.ledger.outcomes import can_tell
from aicost.ledger.query import BREAKDOWNS, BUCKETS, Bucket, Filter
from aicost.pricing.card import RateCard
from aicost.pricing.charge import Charge, ChargeStatus
from aicost.reports.amounts import readable
from aicost.reports.per_unit import PerUnit
from aicost.reports.periods import Period, parse_period
from aicost.reports.rendering import render
from aicost.reports.report_data import to_csv, to_json
from aicost.reports.summary import Report, ReportRequest, build_report
from aicost.usage.event import Chargeable, RequestStatus
from tests.ledger.charges import UNSEEN, event, ns, priced, recorded, unpriced
from tests.ledger.stories import ENTRIES, GROUPINGS, Told, told_to
from tests.pricing.cards import document

NOW = datetime(2026, 11, 25, 21, 30, tzinfo=timezone.utc)
DOLLAR = 10**18
CARD = RateCard(
    {**document(),
    "fx": [
        {"base": "EUR", "quote": "USD", "price": "1.1", "source": "https://e.example", "checked": "2026-11-01",
         "valid_from": "2026-11-01", "valid_to": "2026-11-03"},
        {"base": "EUR", "quote": "USD", "price": "3", "source": "https://e.example", "checked": "2026-11-03",
         "valid_from": "2026-11-03"},
    ],
})  # fmt: skip
"""Euros, of one day, and of the days from the next on."""
ADD_UP = ("amount", "certain", "wasted", "fallback", "calls", "attempts", "retries", "unpriced", "partial")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.sqlite"


def shown(report: Report) -> str:
    console = Console(file=io.StringIO(), width=10_000, highlight=False)
    render(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def table(text: str) -> list[list[str]]:
    """The cells of the rows of a table, as they are shown."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]


def flat(row: dict[str, Any]) -> dict[str, str]:
    """A row of JSON as CSV says it."""
    nested = {**row.get("by", {}), **{f"wasted_{k}": v for k, v in row["waste"].items()}}
    nested |= {f"tokens_{k}": v for k, v in row["tokens"].items()}
    rest = {name: value for name, value in row.items() if name not in ("by", "waste", "tokens")}
    return {name: "" if value is None else str(value) for name, value in {**nested, **rest}.items()}


def total(rows: Iterable[dict[str, Any]], name: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for row in rows:
        found[row["currency"]] = found.get(row["currency"], Decimal(0)) + Decimal(row[name] or 0)
    return found


@settings(max_examples=50, deadline=None)
@given(
    st.lists(ENTRIES, max_size=10),
    st.lists(st.sampled_from([by for by in BREAKDOWNS if by != "meter"]), max_size=3, unique=True),
    st.sampled_from((None, *BUCKETS)),
    st.sampled_from((None, 1, 2)),
    st.sampled_from((None, "1M-tokens", "outcome:ticket")),
)
def test_text_json_and_csv_are_the_same_rows_and_add_up(
    told: list[Told], by: list[str], every: Bucket | None, top: int | None, per: str | None
) -> None:
    assume(per != "outcome:ticket" or all(map(can_tell, by)))
    unit = None if per is None else PerUnit(per)
    with tempfile.TemporaryDirectory() as folder:
        ledger = told_to(Path(folder) / "l.sqlite", told)
        report = build_report(ledger, ReportRequest(tuple(by), every=every, top=top, per=unit), NOW)
    data = to_json(report)
    rows = data["rows"] if by or every else data["totals"]
    for name in ADD_UP:
        assert total(rows, name) == total(data["totals"], name)
    said = list(csv.DictReader(io.StringIO(to_csv(report), newline="")))
    assert said == [flat(row) for row in rows]
    if not (by or every):
        return
    cells = table(shown(report))
    assert len(cells) == len(rows)
    at = len(by) + (every is not None)
    for row, line in zip(rows, cells, strict=True):
        amount = None if row["amount"] is None else to_atto(row["amount"])
        assert line[at] == readable(amount, row["currency"])
        calls = [cell for cell in line[at:] if cell == f"{row['calls']:,}"]
        assert calls
        keys = line[every is not None : at]
        if not row["others"]:
            assert keys == ["(none)" if key is None else key for key in row["by"].values()]
        else:
            assert keys[:1] == ([f"Other ({row['others']})"] if by else [])


@settings(max_examples=30, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=10), GROUPINGS, st.sampled_from((None, "day", "month")))
def test_in_another_currency_every_breakdown_has_the_same_total(
    told: list[Told], by: list[str], every: Bucket | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = told_to(Path(folder) / "l.sqlite", told)
        asked = ReportRequest(currency="EUR", card=CARD)
        whole = to_json(build_report(ledger, asked, NOW))["totals"]
        data = to_json(build_report(ledger, replace(asked, by=tuple(by), every=every), NOW))
    for name in ("amount", "wasted", "certain", "fallback"):
        assert total(data["rows"], name) == total(data["totals"], name) == total(whole, name)


def test_an_amount_is_converted_at_the_rate_of_its_own_day_and_without_one_is_not_known(path: Path) -> None:
    recorded(
        path,
        (event("a", started_ns=ns("2026-11-02T23:59:59")), priced(11 * DOLLAR)),
        (event("b", started_ns=ns("2026-11-03")), priced(10 * DOLLAR)),
        (event("c", started_ns=ns("2026-11-03")), priced(2 * DOLLAR, currency="EUR")),
        (event("d", started_ns=ns("2026-10-31")), priced(7 * DOLLAR)),
        (event("e", model="n", started_ns=ns("2026-11-03")), priced(100, currency="JPY")),
    )
    report = build_report(path, ReportRequest(("model",), currency="EUR", card=CARD), NOW)
    data = to_json(report)
    (whole,) = data["totals"]
    assert (whole["amount"], whole["currency"], data["currency"]) == (f"15.{'3' * 18}", "EUR", "EUR")
    assert (whole["at_most"], whole["calls"]) == (None, 5)
    assert {row["by"]["model"]: row["amount"] for row in data["rows"]} == {"m": f"15.{'3' * 18}", "n": None}
    unknown = [(one["status"], one["reason"], one["count"]) for one in data["unknown"]]
    assert unknown == [("unconverted", "no_exchange_rate:USD", 1), ("unconverted", "no_exchange_rate:JPY", 1)]
    text = shown(report)
    assert "nobody can say at most what" in text.splitlines()[0]
    assert "1 x billed in JPY: no exchange rate to EUR on the day" in text


def spent(path: Path, *days: tuple[str, int], **known: Any) -> Path:
    return recorded(
        path,
        *((event(f"e-{n}", started_ns=ns(day), **known), priced(atto)) for n, (day, atto) in enumerate(days)),
    )


@pytest.mark.parametrize(
    ("period", "days", "first"),
    [
        ("2026-11", [("2026-11-02", 224), ("2026-10-20", 200)], "in 2026-11 (25 of 30 days), +12 % on the 25 days"),
        ("2026-11", [("2026-11-02", 201), ("2026-10-20", 200)], "in 2026-11 (25 of 30 days), +0.5 % on the 25 days"),
        ("2026-11", [("2026-11-02", 100), ("2026-10-20", 200)], "in 2026-11 (25 of 30 days), -50 % on the 25 days"),
        ("2026-11", [("2026-11-02", 100)], "in 2026-11 (25 of 30 days), nothing in the 25 days before;"),
        ("2026-10", [("2026-10-02", 100), ("2026-09-20", 50)], "in 2026-10, +100 % on the 31 days before;"),
        ("2026-11-25", [("2026-11-25", 100), ("2026-11-24T20:00", 50)], "in 2026-11-25 (22 of 24 hours), +100 % on"),
        ("2026-W48", [("2026-11-24", 1)], "in 2026-W48 (3 of 7 days), nothing in the 3 days before;"),
        ("2026", [("2026-11-24", 1)], "in 2026 (329 of 365 days), nothing in the 329 days before;"),
        ("7d", [("2026-11-24", 1)], "in 2026-11-18 21:30 UTC to now, nothing in the 7 days before;"),
    ],
)  # fmt: skip
def test_the_first_line_answers(path: Path, period: str, days: list[tuple[str, int]], first: str) -> None:
    spent(path, *((day, atto * DOLLAR) for day, atto in days))
    line = shown(build_report(path, ReportRequest(period=parse_period(period, NOW)), NOW)).splitlines()[0]
    assert line.startswith(f"${days[0][1]}.00 {first}")


def test_nothing_is_said_in_one_clear_line(path: Path) -> None:
    spent(path, ("2026-11-02", DOLLAR))
    for period, said in (
        ("2027-01", "2027-01 has not begun: nothing is recorded in it."),
        ("2025", "Nothing recorded in this ledger for this selection in 2025."),
    ):
        report = build_report(path, ReportRequest(period=parse_period(period, NOW)), NOW)
        assert shown(report).splitlines()[0] == said
        data = to_json(report)
        assert (data["totals"], data["rows"], data["period"]["name"]) == ([], [], period)
        assert data["period"]["is_over"] is (period == "2025")
        assert len(to_csv(report).splitlines()) == 1, "a heading"
    with pytest.raises(LedgerError, match="needs a period that has begun"):
        build_report(path, ReportRequest(compare=True), NOW)


def test_a_comparison_says_what_changed_row_by_row_and_why(path: Path) -> None:
    recorded(
        path,
        (event("a", started_ns=ns("2026-11-02"), model="x"), priced(3 * DOLLAR)),
        (event("b", started_ns=ns("2026-11-03"), model="y"), priced(4 * DOLLAR)),
        (event("c", started_ns=ns("2026-10-31"), model="x"), priced(2 * DOLLAR)),
        (event("d", started_ns=ns("2026-10-30"), model="z"), priced(DOLLAR)),
        (event("e", started_ns=ns("2026-09-30"), model="z"), priced(DOLLAR)),
    )
    asked = ReportRequest(("model",), period=Period(datetime(2026, 11, 1, tzinfo=timezone.utc)), compare=True)
    report = build_report(path, asked, NOW)
    data = to_json(report)
    assert {row["by"]["model"]: (row["amount"], row["before"], row["change"]) for row in data["rows"]} == {
        "y": ("4", "0", "4"),
        "x": ("3", "2", "1"),
        "z": ("0", "1", "-1"),
    }
    (whole,) = data["totals"]
    assert (whole["before"], whole["change"]) == ("3", "4")
    (moved,) = data["changes"]
    assert sum(map(Decimal, moved["drivers"].values())) == Decimal(moved["change"]) == 4
    text = shown(report)
    assert "What changed: +$4.00 ($3.00 in the 25 days before, $7.00 now)" in text
    assert "which models" in text
    shorter = to_json(build_report(path, replace(asked, top=1), NOW))["rows"]
    assert [(row["by"]["model"], row["before"], row["others"]) for row in shorter] == [("y", "0", 0), ("Other", "3", 2)]


def test_outcomes_are_shown_and_divide(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.start_run("run-000001", workflow="w", started_ns=0)
    for n, (tenant, atto) in enumerate([("a", 6 * DOLLAR), ("b", 2 * DOLLAR)]):
        ledger.record([(event(f"e-{n}", attribution={"tenant_id": tenant}), priced(atto))])
    for name, count, tenant, value, unit in (
        ("ticket", 3, "a", "74.70", "USD"),
        ("ticket", 1, "c", None, None),
        ("page", 5, "a", "0.1", "points"),
    ):
        of = {"run_id": "run-000001", "attribution": {"tenant_id": tenant}}
        ledger.record_outcome(name, count=count, at_ns=5, value=value, unit=unit, **of)
    ledger.close()
    asked = ReportRequest(("tenant",), per=PerUnit("outcome:ticket"))
    report = build_report(path, asked, NOW)
    data = to_json(report)
    assert [(whole["count"], whole["each"]) for whole in data["totals"]] == [(4, "2")]
    assert [(row["by"]["tenant"], row["count"], row["each"]) for row in data["rows"]] == [
        ("a", 3, "2"), ("b", 0, None), ("c", 1, "0")
    ]  # fmt: skip
    assert data["outcomes"] == [
        {
            "name": "page", "count": 5, "cost_each": [{"currency": "USD", "amount": "1.6"}],
            "worth": [{"unit": "points", "amount": "0.1", "count": 5}],
        },
        {
            "name": "ticket", "count": 4, "cost_each": [{"currency": "USD", "amount": "2"}],
            "worth": [{"unit": "USD", "amount": "74.7", "count": 3}],
        },
    ]  # fmt: skip
    text = shown(report)
    assert "4 x ticket: $2.00 each; worth 74.7 USD (3 of them)" in text
    assert "`-`: no outcome 'ticket' was recorded there." in text
    narrowed = to_json(build_report(path, replace(asked, by=("workflow",), where=Filter(tenant_id="a")), NOW))
    assert [(row["by"]["workflow"], row["count"]) for row in narrowed["rows"]] == [("w", 3)]
    assert [one["name"] for one in narrowed["outcomes"]] == ["page", "ticket"]
    none = build_report(path, replace(asked, per=PerUnit("outcome:tiket")), NOW)
    assert "No outcome called 'tiket' was recorded in this selection; there are 'page', 'ticket'." in shown(none)
    assert [row["each"] for row in to_json(none)["totals"]] == [None]
    with pytest.raises(LedgerError, match="an outcome has no model; it has owners, labels, a run and a workflow"):
        build_report(path, replace(asked, by=("model",)), NOW)
    assert to_json(build_report(path, ReportRequest(where=Filter(model="m")), NOW))["outcomes"] is None


def test_text_is_no_formula_in_a_spreadsheet_and_amounts_are_exact(path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@x", 'a "b", c', "line\nbreak"]
    odd = [(event(f"e-{n}", model=name), priced(n)) for n, name in enumerate(names, 1)]
    recorded(path, *odd, (event("u", model="unknown"), unpriced()))
    report = build_report(path, ReportRequest(("model",)), NOW)
    text = to_csv(report)
    assert "\r\n" in text
    said = {row["model"]: row["amount"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert set(said) == {"'=1+1", "'+1", "'-1", "'@x", 'a "b", c', "line\nbreak", "unknown"}
    assert said["'=1+1"] == "0.000000000000000001"
    assert said["unknown"] == ""
    assert all(key == key.strip() for key in said)
    names_of_columns = next(csv.reader(io.StringIO(text)))
    assert not {*BREAKDOWNS} & {*names_of_columns} - {"model"}, "no column of a number is called as a dimension"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tennant", "did you mean 'tenant'"),
        ("meter", "nothing costs something per meter"),
        ("outcome:", "needs the name of an outcome"),
        ("inference", "or divide by request, completed-workflow, 1M-tokens or outcome:NAME"),
    ],
)
def test_a_unit_nobody_knows_is_refused_with_the_way_out(name: str, said: str) -> None:
    with pytest.raises(LedgerError, match=said):
        PerUnit(name)


def test_of_tokens_a_million_is_one(path: Path) -> None:
    recorded(path, (event(usage={"input": 3, "output": 1}), priced(DOLLAR)))
    (whole,) = to_json(build_report(path, ReportRequest(per=PerUnit("1M-tokens")), NOW))["totals"]
    assert (whole["count"], whole["each"]) == ("0.00001", "100000")


def test_what_is_not_known_is_listed_with_its_bounds(path: Path) -> None:
    part = priced(DOLLAR, DOLLAR, status=ChargeStatus.PARTIAL, at_most_atto=5 * DOLLAR, reason="no_rate:pages")
    cut = {"status": RequestStatus.TIMEOUT, "chargeable": Chargeable.POSSIBLY, "usage": None}
    recorded(
        path,
        (event("a"), part),
        (event("b", **cut), UNSEEN._replace(at_most_atto=3 * DOLLAR)),
        (event("c", **cut), UNSEEN._replace(at_most_atto=4 * DOLLAR)),
        (event("d", model="n", **cut), UNSEEN),
    )
    report = build_report(path, ReportRequest(), NOW)
    unknown = to_json(report)["unknown"]
    assert [(one["model"], one["count"], one["amount"], one["at_most"]) for one in unknown] == [
        ("m", 2, None, "7"),
        ("m", 1, "2", "5"),
        ("n", 1, None, None),
    ]
    text = shown(report)
    assert "2 x p/m: possibly billed (usage_not_received), at most $7.00" in text
    assert "1 x p/m: partial (no_rate:pages), at least $2.00, at most $5.00" in text


def test_an_owner_who_is_called_other_is_not_taken_for_all_others(path: Path) -> None:
    names = [("Other", 5), ("a", 3), ("b", 2)]
    recorded(path, *((event(name, attribution={"tenant_id": name}), priced(n * DOLLAR)) for name, n in names))
    asked = ReportRequest(("tenant",), top=1, period=parse_period("1970", NOW), compare=True)
    rows = to_json(build_report(path, asked, NOW))["rows"]
    assert [(row["by"]["tenant"], row["amount"], row["others"], row["before"]) for row in rows] == [
        ("Other", "5", 0, "0"),
        ("Other", "5", 2, "0"),
    ]


def test_what_cost_nothing_any_more_is_compared_too(path: Path) -> None:
    spent(path, ("2026-10-20", 2 * DOLLAR))
    asked = ReportRequest(("model",), period=parse_period("2026-11", NOW), compare=True)
    report = build_report(path, asked, NOW)
    assert shown(report).startswith(
        "$0.00 in 2026-11 (25 of 30 days), -100 % on the 25 days before; all of it is certain\n"
    )
    data = to_json(report)
    assert [(row["amount"], row["before"], row["change"]) for row in (*data["totals"], *data["rows"])] == [
        ("0", "2", "-2")
    ] * 2


@pytest.mark.parametrize("currency", ["[red]", "\x1b[2J", "US[/]D"])
def test_a_currency_is_shown_as_it_is(path: Path, currency: str) -> None:
    recorded(path, (event(status=RequestStatus.FAILURE), priced(DOLLAR, currency=currency)))
    assert currency.replace("\x1b", "\\x1b") in shown(build_report(path, ReportRequest(), NOW)).splitlines()[0]


@pytest.mark.parametrize(
    ("charges", "said"),
    [
        ([priced(982), priced(18, status=ChargeStatus.ESTIMATED)], "98.2 % certain"),
        ([priced(9999), priced(1, status=ChargeStatus.ESTIMATED)], "99.9 % certain"),
        ([priced(1), priced(10**20, status=ChargeStatus.ESTIMATED)], "0 % certain"),
        ([priced(5)], "all of it is certain"),
        ([priced(0)], "all of it is certain"),
        ([priced(5), unpriced()], "all that is known is certain, nobody can say at most what"),
        ([unpriced()], "nothing of it is known, nobody can say at most what"),
        (
            [priced(1), priced(1, status=ChargeStatus.PARTIAL, at_most_atto=DOLLAR)],
            "50 % certain, at most $1.00",
        ),
    ],
)
def test_how_much_is_certain_is_never_rounded_up(path: Path, charges: list[Charge], said: str) -> None:
    recorded(path, *((event(f"e-{n}"), charge) for n, charge in enumerate(charges)))
    assert shown(build_report(path, ReportRequest(), NOW)).splitlines()[0].partition("; ")[2] == said


UNITS = [  # run, tenant, amount, nanoseconds
    ("run-ok", "a", 6, 10),
    ("run-ok", "a", 2, 30),
    ("run-failed", "a", 4, 20),
    ("run-open", "b", 1, 40),
    (None, "b", 3, 50),
]


@pytest.fixture
def of_runs(path: Path) -> Path:
    ledger = Ledger.open(path)
    for run, status in (("run-ok", "ok"), ("run-failed", "failed"), ("run-open", None)):
        ledger.start_run(run, workflow="w", started_ns=0)
        if status is not None:
            ledger.end_run(run, status=status, ended_ns=1)
    for n, (run, tenant, amount, took) in enumerate(UNITS):
        about = {"run_id": run, "attribution": {"tenant_id": tenant}, "started_ns": 5, "ended_ns": 5 + took}
        ledger.record([(event(f"e-{n}", **about), priced(amount * DOLLAR))])
    ledger.close()
    return path


@pytest.mark.parametrize(
    ("per", "whole", "of_a"),
    [
        ("request", (5, "3.2", "3", "6"), (3, "4", "4", "6")),
        ("run", (3, "5.333333333333333333", "4", "8"), (2, "6", "4", "8")),
        ("tenant", (2, "8", "4", "12"), (1, "12", "12", "12")),
        ("completed-workflow", (1, "16", None, None), (1, "12", None, None)),
        ("step", (0, None, None, None), (0, None, None, None)),
    ],
)
def test_an_amount_is_divided_by_what_there_is(
    of_runs: Path, per: str, whole: tuple[Any, ...], of_a: tuple[Any, ...]
) -> None:
    report = build_report(of_runs, ReportRequest(("tenant",), per=PerUnit(per)), NOW)
    data = to_json(report)
    found = [
        tuple(row[name] for name in ("count", "each", "median", "p95")) for row in (data["totals"][0], data["rows"][0])
    ]
    assert found == [whole, of_a]
    text = shown(report)
    assert "cost each" in text
    assert ("median" in text) is (per != "completed-workflow")
    assert ("`-`: there was no such unit" in text) is (whole[0] == 0 or per == "completed-workflow")


def test_runs_and_latency_are_shown_if_asked_for(of_runs: Path) -> None:
    asked = ReportRequest(("tenant",), measures=("runs", "latency"))
    data = to_json(build_report(of_runs, asked, NOW))
    names = ("runs", "completed_runs", "calls_per_run", "latency_median_ns", "latency_p95_ns")
    assert [[row[name] for name in names] for row in (*data["totals"], *data["rows"])] == [
        [3, 1, "1.666667", 30, 50],
        [2, 1, "1.5", 20, 30],
        [1, 0, "2", 40, 50],
    ]
    text = shown(build_report(of_runs, asked, NOW))
    assert "3 runs, 1 completed · 1.666667 calls and 16.666667 tokens a run" in text
    assert all(heading in text for heading in ("calls a run", "tokens a run", "median s", "p95 s"))
    plain = to_json(build_report(of_runs, ReportRequest(("tenant",)), NOW))
    assert all(row[name] is None for row in (*plain["totals"], *plain["rows"]) for name in names)
