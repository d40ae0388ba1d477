"""A run that goes on in another process is one workflow, in a ledger that both write and in a collector's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.collector.conftest import backend, collector
from tests.collector.running import InProcess
from tests.ledger.charges import event, priced

from aicost.ledger import Ledger
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.reports.explain import explain

__all__ = ["backend", "collector"]

USED = 'provider="p", model="m", operation="chat", usage={"input": 1}'
CALLER = f"""
import json, re, subprocess, sys
import aicost

aicost.init(exporter=sys.argv[1], instrument=())
with aicost.run_scope("checkout"):
    aicost.record_usage({USED})
    headers = {{}}
    aicost.inject(headers, host="worker.internal")
    if sys.argv[2] == "of old":
        headers["baggage"] = re.sub(",gen_ai.workflow.name=[^,]*", "", headers["baggage"])
    subprocess.run([sys.executable, "-c", sys.argv[3], sys.argv[1], json.dumps(headers)], check=True)
aicost.shutdown()
"""
WORKER = f"""
import json, sys
import aicost

aicost.init(exporter=sys.argv[1], instrument=())
with aicost.extract(json.loads(sys.argv[2])):
    aicost.record_usage({USED})
aicost.shutdown()
"""


def run_both(exporter: str, sender: str, **environment: str) -> None:
    """A process that opens a run, and one that it asks to go on with it."""
    carried = {"AICOST_BAGGAGE_KEYS": "run_id", "AICOST_BAGGAGE_HOSTS": "worker.internal"}
    subprocess.run(
        [sys.executable, "-c", CALLER, exporter, sender, WORKER],
        env={**os.environ, **carried, **environment},
        check=True,
        timeout=120,
    )


def workflows(ledger: Path) -> list[tuple[str | None, int]]:
    with LedgerReader(ledger) as reader:
        assert len({row.run_id for row in reader.charges()}) == 1
        return [(row.key, row.calls) for row in reader.answer(Query(("workflow",)))]


@pytest.mark.parametrize("sender", ["of now", "of old"])
def test_in_a_ledger_of_both_processes(tmp_path: Path, sender: str) -> None:
    ledger = tmp_path / "l.sqlite"
    run_both("none", sender, AICOST_LEDGER=str(ledger))
    assert workflows(ledger) == [("checkout", 2)]
    with LedgerReader(ledger) as reader:
        (run_id,) = {row.run_id for row in reader.charges()}
        assert [(row.workflow, row.status) for row in reader.runs(run_id)] == [("checkout", "ok")]
    assert {attempt["path"][0]["name"] for attempt in explain(ledger, run_id)["attempts"]} == {"checkout"}


def test_in_the_ledger_of_a_collector(tmp_path: Path, collector: Callable[..., InProcess]) -> None:
    ledger = tmp_path / "l.sqlite"
    one = collector(ledger=str(ledger))
    run_both(
        "otlp",
        "of now",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{one.http}",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    one.stop()
    assert workflows(ledger) == [("checkout", 2)]


@pytest.mark.parametrize("begun_first", [True, False])
def test_a_run_has_the_name_it_was_begun_under_whoever_tells_of_it_first(tmp_path: Path, begun_first: bool) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)

    def begin() -> None:
        ledger.start_run("run-000001", workflow="checkout", started_ns=0)

    if begun_first:
        begin()
    for name, said in [("a", None), ("b", "another"), ("c", "checkout")]:
        ledger.record([(event(name, workflow=said), priced(1))])
    if not begun_first:
        begin()
    ledger.record([(event("elsewhere", run_id="run-000002"), priced(1))])
    ledger.start_run("run-000001", workflow="worker", started_ns=5)  # gone on with, under another name
    ledger.close()
    with LedgerReader(path) as reader:
        found: dict[Any, int] = {row.key: row.calls for row in reader.answer(Query(("workflow",)))}
    assert found == {"checkout": 3, None: 1}, "no name is invented where none is known"
