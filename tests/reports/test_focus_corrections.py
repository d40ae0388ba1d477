"""A closed month in FOCUS: what was handed over stays, and what turns out later is a correction in a later one."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicost.ledger.check import check
from aicost.ledger.closing import close_month
from aicost.ledger.engines.sqlite import SqliteStore
from aicost.ledger.query import Filter
from aicost.reports.periods import parse_period
from tests.ledger.charges import EPOCH, FREE, event, ns, recorded

from .exported import Row, assert_sound, charge, line, rows_of, violations


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.sqlite"


OCTOBER, NOVEMBER = "2026-10", "2026-11"


def closed(path: Path, month: str) -> None:
    with closing(SqliteStore(path, synchronous="FULL", timeout_s=5)) as store:
        close_month(store, month, until=time.monotonic() + 5)


def billed_in(path: Path, month: str) -> list[Row]:
    period = parse_period(month, EPOCH)
    rows = rows_of(path, Filter(since_ns=period.since_ns, until_ns=period.until_ns))
    assert violations(rows) == [] or not rows
    return rows


def told_again(path: Path, event_id: str, quantity: int, when: str = "2026-10-05") -> None:
    """A view of an event: of two the one that counts more counts."""
    seen = event(event_id, usage={"input": quantity}, started_ns=ns(when), ended_ns=ns(when))
    recorded(path, (seen, charge(line("input", quantity, "1", 1))))


NAMES = ("ChargeClass", "BilledCost", "PricingQuantity", "BillingPeriodStart", "ChargePeriodStart")


def test_a_correction_of_a_closed_month_is_billed_later_for_the_time_it_was_in(path: Path) -> None:
    told_again(path, "a", 10)
    told_again(path, "b", 3)
    told_again(path, "b", 4)  # while the month was open: a correction that nobody sees
    before = billed_in(path, OCTOBER)
    assert [row["BilledCost"] for row in before] == ["10.0", "4.0"]
    closed(path, OCTOBER)
    told_again(path, "a", 12)
    told_again(path, "late", 1, "2026-10-31T23:59:59")
    told_again(path, "november", 5, "2026-11-02")
    assert billed_in(path, OCTOBER) == before, "what was handed over stays"
    november = billed_in(path, NOVEMBER)
    assert [tuple(row[name].removesuffix("T00:00:00Z") for name in NAMES) for row in november] == [
        ("Correction", "-10.0", "-10.0", "2026-11-01", "2026-10-05"),
        ("Correction", "12.0", "12.0", "2026-11-01", "2026-10-05"),
        ("Correction", "1.0", "1.0", "2026-11-01", "2026-10-31T23:59:59Z"),
        ("", "5.0", "5.0", "2026-11-01", "2026-11-02"),
    ]
    back, anew, late, _ = november
    assert (back["ConsumedQuantity"], back["ListUnitPrice"]) == ("-10.0", "1.0")
    assert back["x_CorrectsEntryId"] == anew["x_CorrectsEntryId"] != ""
    assert late["x_CorrectsEntryId"] == ""
    assert_sound(path, rows_of(path))
    assert list(check(path)) == []


def test_what_is_corrected_again_in_an_open_month_leaves_its_last_word(path: Path) -> None:
    told_again(path, "a", 10)
    closed(path, OCTOBER)
    told_again(path, "a", 12)
    told_again(path, "a", 13)
    assert [row["BilledCost"] for row in billed_in(path, NOVEMBER)] == ["-10.0", "13.0"]
    closed(path, NOVEMBER)
    told_again(path, "a", 20)
    assert [row["BilledCost"] for row in billed_in(path, NOVEMBER)] == ["-10.0", "13.0"]
    assert [row["BilledCost"] for row in billed_in(path, "2026-12")] == ["-13.0", "20.0"]
    assert [row["BilledCost"] for row in rows_of(path)] == ["20.0"], "over all months it is what counts"
    assert_sound(path, rows_of(path))


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from("abc"), st.integers(1, 20), st.sampled_from(["2026-09-30", "2026-10-05", "2026-11-05"])
        ),
        st.sampled_from(["2026-09", OCTOBER, NOVEMBER]),
    ),
    max_size=9,
)


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_a_closed_month_never_changes_and_all_months_are_what_counts(steps: list[Any]) -> None:
    months = ("2026-09", OCTOBER, NOVEMBER, "2026-12", "2027-01")
    with tempfile.TemporaryDirectory() as folder:
        path = recorded(Path(folder) / "l.sqlite", (event("first", usage={}), FREE))
        handed: dict[str, list[Row]] = {}
        for step in steps:
            if isinstance(step, str):
                closed(path, step)
                handed.setdefault(step, billed_in(path, step))
            else:
                told_again(path, *step)
            for month, rows in handed.items():
                assert billed_in(path, month) == rows
        every = [row for month in months for row in billed_in(path, month)]
        assert_sound(path, every)
        assert list(check(path)) == []
