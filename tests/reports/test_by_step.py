"""A call in no step is in none in every face of a report, whoever wrote the ledger; its span names the operation."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.console import Console

import aicost
from aicost.reports.explain import explain
from aicost.reports.rendering import render
from aicost.reports.report_data import to_json
from aicost.reports.summary import ReportRequest, build_report
from tests.collector.conftest import backend, collector
from tests.collector.running import InProcess, a_request, a_span, chat, post
from tests.conftest import App

__all__ = ["backend", "collector"]


def by_step(path: Path) -> dict[str | None, int]:
    """The rows of `--by step`, which are the same on screen."""
    report = build_report(path, ReportRequest(("step",)))
    console = Console(file=io.StringIO(), width=160)
    render(report, console)
    assert isinstance(console.file, io.StringIO)
    rows = {row["by"]["step"]: row["calls"] for row in to_json(report)["rows"]}
    shown = console.file.getvalue().splitlines()
    for key in rows:
        assert any(line.lstrip("│").startswith(key or "(none)") for line in shown), shown
    return rows


def use() -> None:
    aicost.record_usage(provider="p", model="m", operation="chat", usage={"input": 1})


def test_what_this_process_calls(app: App) -> None:
    use()
    with aicost.run_scope("w") as run:
        use()
        with aicost.track_step("chat"):
            use()
        with aicost.track_step("draft"):
            use()
        assert set(run.steps) == {"(none)", "chat", "draft"}
    aicost.flush()
    assert by_step(app.ledger_path) == {None: 2, "chat": 1, "draft": 1}
    said = [(found["aicost.step.name"], found.get("aicost.step.id") is not None) for found in app.inferences]
    assert said == [("chat", False), ("chat", False), ("chat", True), ("draft", True)]


def test_what_a_collector_is_told_of(tmp_path: Path, collector: Callable[..., InProcess]) -> None:
    ledger = tmp_path / "l.sqlite"
    one = collector(ledger=str(ledger))
    named = {**chat(), "aicost.step.name": "draft"}
    stands_in = {**chat(), "aicost.run.id": "r", "aicost.step.name": "chat"}
    a_step = {**stands_in, "aicost.step.id": "s-1"}
    spans = [a_span(), a_span(named), a_span(stands_in), a_span(a_step)]
    assert post(one.http, a_request(spans).SerializeToString())[0] == 200
    one.stop()
    assert by_step(ledger) == {None: 2, "draft": 1, "chat": 1}


def test_a_step_in_no_run_that_fails_is_waste_and_is_explained_in_its_trace(app: App) -> None:
    with suppress(ValueError), aicost.track_step("outer"), aicost.run_scope("inner"):
        use_known()
        raise ValueError
    with suppress(ValueError), aicost.track_step("alone"):
        use_known()
        raise ValueError
    use_known()
    aicost.flush()
    rows = {row["by"]["step"]: row for row in to_json(build_report(app.ledger_path, ReportRequest(("step",))))["rows"]}
    assert rows["alone"]["wasted"] == rows["alone"]["amount"] != "0"
    total = build_report(app.ledger_path, ReportRequest()).totals[0].sums
    assert total.wasted_atto * 3 == total.atto * 2
    (alone,) = (charge for charge in app.charges() if charge.step == "alone")
    [attempt] = explain(app.ledger_path, alone.run_id)["attempts"]
    assert [(part["kind"], part["name"], part["status"]) for part in attempt["path"]] == [
        ("workflow", "(no run scope)", None),
        ("step", "alone", "failed"),
    ]


def use_known() -> None:
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1000})
