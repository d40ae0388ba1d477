"""The dearest runs of a report are those of all runs, whether the store finds them or the report does."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicost.reports.summary import ReportRequest, build_report
from tests.ledger.charges import event, priced, recorded


@pytest.mark.parametrize("top", [0, 1, 2, 3, 9])
def test_a_cut_by_the_store_is_one_by_the_report(tmp_path: Path, top: int) -> None:
    runs = ("r-1", "r-2", None, "r-3", "r-3")
    made = [(event(f"e-{n}", run_id=run), priced(10**n, currency="USD")) for n, run in enumerate(runs)]
    made.append((event("e-9", run_id="r-1"), priced(5, currency="EUR")))
    path = recorded(tmp_path / "l.sqlite", *made)
    by_store = build_report(path, ReportRequest(by=("run",), top=top))
    by_report = build_report(path, ReportRequest(by=("run",), top=top, measures=("latency",)))
    assert [(line.sums.keys, line.sums.currency, line.sums.atto, line.sums.others) for line in by_store.rows] == [
        (line.sums.keys, line.sums.currency, line.sums.atto, line.sums.others) for line in by_report.rows
    ]
    assert [line.sums.atto for line in by_store.totals] == [line.sums.atto for line in by_report.totals]
