"""Another process holds the ledger: no call waits for it, and nothing is lost or out of order."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aicost import journal
from aicost.ledger import Ledger, ingest
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.reports.report_data import to_json
from aicost.reports.summary import ReportRequest, build_report

from .charges import event, priced

HOLDER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
db.execute("ROLLBACK")
"""


def hold(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def found(path: Path, select: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as db:
        return list(db.execute(select))


def test_an_event_loop_goes_on_while_another_process_holds_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    holder = hold(path, 2.0)

    async def calls() -> list[float]:
        took = []
        for n in range(50):
            began = time.perf_counter()
            ledger.start_run(f"run-{n}", workflow="w", started_ns=1)
            ledger.record([(event(f"e-{n}", run_id=f"run-{n}"), priced(1))])
            ledger.end_run(f"run-{n}", status="ok", ended_ns=2)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)
        return took

    took = sorted(asyncio.run(calls()))
    assert holder.poll() is None, "it is still held"
    assert took[-1] < 0.1
    assert sum(took) < 0.5, "no call waits for a database"
    holder.wait()
    until(lambda: found(path, "SELECT COUNT(*) FROM charges") == [(50,)])  # by itself, without a flush
    assert found(path, "SELECT DISTINCT status FROM runs") == [("ok",)], "a run began before it ended"
    ledger.close()


def test_the_end_of_the_process_waits_for_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    holder = hold(path, 1.5)
    for n in range(20):
        ledger.record([(event(f"e-{n}"), priced(1))])
    ledger.close()
    holder.wait()
    assert (ledger.lost, found(path, "SELECT COUNT(*) FROM charges")) == (0, [(20,)])


def test_what_waits_is_bounded_in_bytes_and_what_does_not_fit_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path, max_bytes=100_000, segment_bytes=20_000)
    holder = hold(path, 3.0)
    charges = [(event(f"e-{n}", attribution={"tenant_id": "t" * 5_000}), priced(1)) for n in range(100)]
    kept = [ledger.record([charge]) for charge in charges]
    assert 10 < sum(kept) < 25
    assert ledger.lost == 100 - sum(kept)
    assert caplog.text.count("is full: it may hold 100000 bytes") == 1
    holder.kill()
    holder.wait()
    assert ledger.flush(20)
    until(lambda: ledger.record([charges[-1]]))  # there is room again
    ledger.close()
    assert found(path, "SELECT COUNT(*) FROM charges") == [(sum(kept) + 1,)]


def test_a_reader_takes_in_what_waits_and_says_what_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    ledger.record([(event("e-1"), priced(1))])
    with LedgerReader(path) as reader:
        assert (reader.answer(Query())[0].calls, reader.waiting) == (1, 0)
    monkeypatch.setattr(ingest, "READ_TIMEOUT_S", 0.1)
    with journal.ingesting(ingest.journal_of(path)) as alone:
        assert alone
        ledger.record([(event("e-2"), priced(1))])
        with LedgerReader(path) as reader:
            assert reader.answer(Query())[0].calls == 1
            assert reader.waiting > 100
        report = build_report(path, ReportRequest())
        assert to_json(report)["waiting_bytes"] == report.waiting > 100
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_does_not_wait_for_another_process(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    holder = hold(path, 3.0)
    ledger.record([(event("e-1"), priced(1))])
    flushing = threading.Thread(target=ledger.flush)
    flushing.start()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    took = time.monotonic() - began
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert took < 0.5
    flushing.join()
    holder.kill()
    holder.wait()
    ledger.close()
    assert found(path, "SELECT COUNT(*) FROM charges") == [(1,)]


def until(happened: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.01)
    assert happened()  # type: ignore[operator]


def test_calls_that_come_faster_than_can_be_written_lose_nothing_and_blame_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger.open(tmp_path / "l.sqlite")
    each, threads = 150, 64

    def call(number: int) -> None:
        for turn in range(each):
            ledger.record([(event(f"{number}-{turn}"), priced(1))])

    started = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    ledger.close()
    assert ledger.lost == 0
    assert "another process" not in caplog.text
    with LedgerReader(tmp_path / "l.sqlite") as reader:
        assert reader.answer(Query())[0].calls == each * threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_does_not_wait_for_another_ingester(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    ledger.record([(event("e-1"), priced(1))])
    with journal.ingesting(ingest.journal_of(path)) as alone:
        assert alone
        flushing = threading.Thread(target=ledger.flush, args=(3.0,))
        flushing.start()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        assert time.monotonic() - began < 0.5
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    flushing.join()
    ledger.close()
    assert found(path, "SELECT COUNT(*) FROM charges") == [(1,)]
