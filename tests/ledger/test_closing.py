"""A month that was handed to finance: what is closed, when, by whom, and where the rest is posted."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from aicost._errors import UsageError
from aicost._money import ATTO
from aicost.cli import cli
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.closing import checked_month, close_month, month_after, month_of, posted_period
from aicost.ledger.query import Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus

from .charges import event, ns, priced, recorded
from .stores import Where

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    started = {"started_ns": ns("2020-01-15"), "ended_ns": ns("2020-01-15")}
    return recorded(tmp_path / "l.sqlite", (event("a", **started), priced(5)))


def closes(path: Path, month: str, *more: str) -> Result:
    return CliRunner().invoke(cli, ["ledger", "close", month, "--ledger", str(path), *more])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-11", "2026-11 is not over before 2026-12-01 00:00 UTC; close it then"),
        ("2026-12", "2026-12 is not over before 2027-01-01 00:00 UTC"),
        ("2026-13", "'2026-13' is no month; give it as 2026-10"),
        ("2026-1", "'2026-1' is no month; give it as 2026-01"),
        ("October", "'October' is no month"),
        ("2026-10-01", "'2026-10-01' is no month"),
        ("", "'' is no month"),
        (" 2026-10", "' 2026-10' is no month"),
    ],
)
def test_what_is_no_month_or_not_over_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked_month(text, NOW)
    assert why in str(caught.value)


def test_a_month_is_over_as_the_next_begins() -> None:
    begins = datetime(2026, 12, 1, tzinfo=timezone.utc)
    assert checked_month("2026-11", begins) == "2026-11"
    with pytest.raises(UsageError):
        checked_month("2026-11", begins - timedelta(microseconds=1))


@given(st.integers(-(2**63), 2**63 - 1), st.sets(st.integers(0, 5)))
def test_what_is_posted_is_posted_to_the_first_open_month_after_its_own(at: int, ahead: set[int]) -> None:
    months = [month_of(at)]
    for _ in range(7):
        months.append(month_after(months[-1]))
    assert months == sorted(months)
    closed = {months[n] for n in ahead}
    found = posted_period(months[0], closed)
    assert found == (None if 0 not in ahead else next(month for month in months if month not in closed))


def test_closing_twice_is_nothing_new(path: Path) -> None:
    assert closes(path, "2020-01").output == f"2020-01 is closed in {path}\n"
    assert closes(path, "2020-01").output == f"2020-01 was closed in {path} before\n"
    done = closes(path, "2020-01", "--json")
    assert json.loads(done.output) == {"ledger": str(path), "month": "2020-01", "was_closed_before": True}


def test_the_command_refuses_this_month(path: Path) -> None:
    month = f"{datetime.now(timezone.utc):%Y-%m}"
    done = closes(path, month)
    assert done.exit_code == 2
    assert f"{month} is not over" in done.output


def test_what_waits_in_the_journal_is_still_of_the_month(path: Path) -> None:
    ledger = Ledger.open(path)
    assert ledger.record([(event("b", started_ns=ns("2020-01-20"), ended_ns=ns("2020-01-20")), priced(7))])
    assert closes(path, "2020-01").exit_code == 0
    ledger.close()
    with LedgerReader(path) as reader:
        assert [(one.record.event_id, one.posted) for one in reader.booked()] == [("a", None), ("b", None)]


def test_a_ledger_that_cannot_be_written_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("aicost.ledger.ingest.READ_TIMEOUT_S", 0.1)
        done = closes(path, "2020-01")
    assert done.exit_code == 1
    assert "cannot write ledger" in str(done.exception)


def test_a_ledger_of_an_older_schema_can_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parent / "schemas" / "schema_5.sql").read_text())
    with LedgerReader(path) as reader:
        before = [one.atto for one in reader.records()]
        assert [one.record.atto for one in reader.booked()] == before, "also where it was not migrated yet"
    assert closes(path, "2020-01").exit_code == 0, "it is migrated"
    with LedgerReader(path) as reader:
        assert [one.atto for one in reader.records()] == before


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        ("2020-01-01", "2020-02-01", ["a"]),
        ("2020-02-01", "2020-03-01", ["late", "february"]),
        ("2020-02-01", "2020-02-02", ["late"]),
        ("2020-02-02", "2020-03-01", ["february"]),
        ("2020-01-31", "2020-02-01", []),
        (None, None, ["a", "late", "february"]),
    ],
)
def test_what_is_posted_to_a_month_is_billed_as_it_begins(
    path: Path, since: str | None, until: str | None, found: list[str]
) -> None:
    closes(path, "2020-01")
    at: Callable[[str], dict[str, int]] = lambda day: {"started_ns": ns(day), "ended_ns": ns(day)}  # noqa: E731
    recorded(path, (event("late", **at("2020-01-16")), priced(1)), (event("february", **at("2020-02-03")), priced(2)))
    where = Filter(since_ns=since and ns(since), until_ns=until and ns(until))
    with LedgerReader(path) as reader:
        assert [one.record.event_id for one in reader.booked(where)] == found


def test_it_is_narrowed_as_everything_else(path: Path) -> None:
    closes(path, "2020-01")
    seen = event(
        "b", started_ns=ns("2020-01-20"), ended_ns=ns("2020-01-20"), attribution={"tenant_id": "t"}, run_id="run-2"
    )
    recorded(path, (seen, priced(7)))
    with LedgerReader(path) as reader:
        for where in (Filter(tenant_id="t"), Filter(run_id="run-2"), Filter(event_id="b")):
            assert [(one.record.event_id, one.posted) for one in reader.booked(where)] == [("b", "2020-02")]
        assert list(reader.booked(Filter(tenant_id="t", until_ns=ns("2020-02-01")))) == []


MONTHS = ("2026-09", "2026-10", "2026-11", "2026-12", "2027-01")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.integers(1, 20), st.sampled_from(["2026-09-30", "2026-10-05"])),
        st.sampled_from(MONTHS[:3]),
    ),
    max_size=8,
)


def billed_in(where: Where, month: str | None = None) -> list[tuple[str, int, int | None, str | None]]:
    ends = {"since_ns": ns(f"{month}-01"), "until_ns": ns(f"{month_after(month)}-01")} if month else {}
    with where.reader() as reader:
        return [(one.record.event_id, one.n, one.record.atto, one.posted) for one in reader.booked(Filter(**ends))]


def test_what_was_billed_in_a_closed_month_stays_and_all_months_are_what_counts(where: Where) -> None:
    def holds(steps: list[Any]) -> None:
        where.store().close()  # or there is none, if nothing is told
        handed: dict[str, Any] = {}
        for step in steps:
            if isinstance(step, str):
                store = where.store()
                close_month(store, step, until=time.monotonic() + 5)
                store.close()
                handed.setdefault(step, billed_in(where, step))
            else:
                event_id, quantity, day = step
                at = {"started_ns": ns(day), "ended_ns": ns(day)}
                line = ChargeLine("input", quantity, "1", 1, quantity * ATTO, "r")
                told = Charge.of_lines(ChargeStatus.PRICED, "USD", quantity * ATTO, (line,), rate_card="t@1")
                where.recorded((event(event_id, usage={"input": quantity}, **at), told))
        assert {month: billed_in(where, month) for month in handed} == handed
        with where.reader() as reader:
            total = sum(one.atto for one in reader.answer(Query()))
            counts = sorted((one.event_id, one.atto) for one in reader.records())
        by_month = [one for month in MONTHS for one in billed_in(where, month)]
        assert sum(atto or 0 for _, _, atto, _ in by_month) == total
        assert sorted((name, atto) for name, _, atto, _ in billed_in(where)) == counts, "of all times it is what counts"
        assert list(check(where.location)) == []

    where.law(holds, STEPS, examples=where.examples // 3)
