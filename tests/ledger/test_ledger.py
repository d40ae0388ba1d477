"""The ledger keeps each charge once, exactly, and whatever happens to its file."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost import LedgerError
from aicost.ledger import Ledger
from aicost.ledger.columns import NANO, limbs, whole
from aicost.ledger.query import BREAKDOWNS, Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.card import RateCard
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.usage.event import Chargeable, RequestStatus, UsageEvent

from .stores import Where


def event(event_id: str = "e-1", **known: Any) -> UsageEvent:
    base: dict[str, Any] = {"provider": "p", "operation": "chat", "model": "m", "usage": {"input": 10, "output": 2}}
    return UsageEvent(event_id=event_id, **{**base, "started_ns": 1, "ended_ns": 2, "run_id": "run-000001", **known})


def charge(atto: int | None = 5, rate_id: str = "p/m/input@always", quantity: int = 10) -> Charge:
    lines = (ChargeLine("input", quantity, "1", 1, atto, rate_id if atto is not None else None),)
    status = ChargeStatus.UNPRICED if atto is None else ChargeStatus.PRICED
    return Charge.of_lines(status, "USD", atto, lines, None if atto is not None else "unknown_model:p/m", "t@1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "ledger.sqlite"


def total(path: Path) -> int:
    with LedgerReader(path) as reader:
        return sum(row.atto for row in reader.answer(Query()))


def total_of(where: Where) -> int:
    with where.reader() as reader:
        return sum(row.atto for row in reader.answer(Query()))


def count(where: Where, table: str = "charges") -> int:
    ((found,),) = where.ask(f"SELECT COUNT(*) AS n FROM {table}")
    return int(found)


def test_the_same_event_again_changes_nothing(where: Where) -> None:
    ledger = where.ledger()
    for _ in range(5):
        ledger.record([(event(), charge())])
    ledger.close()
    assert (count(where), total_of(where), count(where, "sightings")) == (1, 5, 0)


def test_a_view_that_completes_an_earlier_one_replaces_it(where: Where) -> None:
    ledger = where.ledger()
    ledger.record([(event(usage={"input": 10}, complete=False), charge(3))])
    ledger.record([(event(usage={"input": 10, "output": 2}), charge(5))])
    ledger.record([(event(usage={"input": 10}, complete=False), charge(3))])
    ledger.close()
    assert (total_of(where), count(where, "sightings")) == (5, 0)
    with where.reader() as reader:
        entries = reader.history("e-1")
    assert [(entry.n, entry.atto) for entry in entries] == [(1, 3), (-1, -3), (1, 5)]
    assert [entry.corrects for entry in entries] == [None, entries[0].id, entries[0].id]


def test_usage_that_arrives_later_replaces_its_absence(where: Where) -> None:
    ledger = where.ledger()
    ledger.record(
        [
            (
                event(usage=None, chargeable=Chargeable.POSSIBLY, complete=False),
                Charge.of_lines(ChargeStatus.UNPRICED, "USD", None, (), "usage_not_received"),
            )
        ]
    )
    ledger.record([(event(), charge(5))])
    ledger.close()
    assert total_of(where) == 5


@pytest.mark.parametrize("reverse", [False, True])
def test_a_contradiction_is_set_aside_and_the_view_that_counts_more_counts(
    where: Where, caplog: pytest.LogCaptureFixture, *, reverse: bool
) -> None:
    views = [(event(usage={"input": 10}), charge(5)), (event(usage={"input": 99}), charge(99, quantity=99))]
    ledger = where.ledger()
    for view in reversed(views) if reverse else views:
        ledger.record([view])
    ledger.close()
    assert (total_of(where), count(where), count(where, "sightings")) == (99, 1, 1)
    assert "e-1 was seen twice with different usage" in caplog.text


def test_the_attempts_of_a_call_are_one_transaction(where: Where) -> None:
    ledger = where.ledger()
    bad = replace(event("e-3"), attempt="one")  # type: ignore[arg-type]
    object.__setattr__(bad, "attempt", object())
    ledger.record([(event("e-2"), charge()), (bad, charge())])
    ledger.record([(event("e-4"), charge())])
    ledger.close()
    assert ledger.lost == 2, "charges, not transactions"
    with where.reader() as reader:
        assert [row.event_id for row in reader.charges()] == ["e-4"], "all of a call or nothing, and the next goes on"


def test_sql_adds_amounts_exactly(where: Where) -> None:
    def law(amounts: list[int]) -> None:
        ledger = where.ledger()
        ledger.record([(event(f"e-{n}"), charge(atto)) for n, atto in enumerate(amounts)])
        ledger.close()
        assert total_of(where) == sum(amounts)

    where.law(law, st.lists(st.integers(-(10**24), 10**24), min_size=1, max_size=30))


@given(st.lists(st.integers(-(10**26), 10**26), min_size=1))
def test_amounts_are_sums_of_their_three_columns(amounts: list[int]) -> None:
    columns = [limbs(atto) for atto in amounts]
    assert whole(*map(sum, zip(*columns, strict=True))) == sum(amounts)  # type: ignore[arg-type]
    for atto, (units, nano, rest) in zip(amounts, columns, strict=True):
        assert [abs(limb or 0) < NANO for limb in (nano, rest)] == [True, True]
        assert all((limb or 0) * atto >= 0 for limb in (units, nano, rest)), "all of one sign"


def test_threads_may_share_a_ledger(path: Path) -> None:
    ledger = Ledger.open(path)

    def work(n: int) -> None:
        for i in range(50):
            ledger.record([(event(f"e-{n}-{i}"), charge(1))])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert total(path) == 400


WRITER = """
import sys
from aicost.ledger import Ledger
from aicost.pricing.charge import Charge, ChargeStatus
from aicost.usage.event import UsageEvent

path, n = sys.argv[1:]
ledger = Ledger.open(path)
one = Charge.of_lines(ChargeStatus.PRICED, "USD", 1, ())
for i in range(50):
    for name in (f"e-{n}-{i}", f"shared-{i}"):
        ledger.record([(UsageEvent(name, "p", "chat", "m", {"input": 1}, 1, 2), one)])
ledger.close()
sys.exit(ledger.lost)
"""


def test_processes_may_share_a_ledger_and_count_shared_events_once(path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)]) for n in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert total(path) == 3 * 50 + 50


def test_a_forked_child_writes_with_a_connection_of_its_own(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event("parent-1"), charge(1))])
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=lambda: (ledger.record([(event("child"), charge(1))]), ledger.flush()))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    ledger.record([(event("parent-2"), charge(1))])
    ledger.close()
    assert total(path) == 3


@pytest.mark.parametrize("kind", ["folder", "foreign", "garbage", "newer"])
def test_a_path_that_cannot_be_a_ledger_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.sqlite"
    if kind == "folder":
        path.mkdir()
    elif kind == "foreign":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE customers (id)")
    elif kind == "garbage":
        path.write_bytes(b"not a database at all " * 100)
    else:
        Ledger.open(path).close()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError) as caught:
        Ledger.open(path)
    assert "x.sqlite" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_read_only_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"cannot open ledger /proc/aicost/l\.sqlite: .*choose a writable path"):
        Ledger.open("/proc/aicost/l.sqlite")


def test_writes_after_close_are_dropped_quietly(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.close()
    ledger.close()
    ledger.record([(event(), charge())])
    assert total(path) == 0


def test_rates_keep_the_source_they_had_when_they_were_applied(where: Where) -> None:
    ledger = where.ledger(RateCard.bundled())
    ledger.record([(event(), charge(5, "openai/gpt-4o/input@always"))])
    ledger.close()
    with where.reader() as reader:
        (kept,) = reader.charges()
        assert reader.rate(kept.rate_card, kept.lines[0].rate_id)["price"] == "2.5"


@pytest.fixture
def busy(where: Where) -> Where:
    """A ledger with retries, failures, unpriced and possibly billed attempts, and a failed step."""
    ledger = where.ledger()
    ledger.start_run("run-000001", workflow="w", started_ns=0)
    ledger.start_step("s-outer", run_id="run-000001", name="outer", kind="step", started_ns=0)
    ledger.start_step("s-inner", run_id="run-000001", parent_step_id="s-outer", name="inner", kind="step", started_ns=0)
    retried = event("a-1", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None)
    free = Charge.of_lines(ChargeStatus.PRICED, "USD", 0, ())
    unseen = Charge.of_lines(ChargeStatus.UNPRICED, "USD", None, (), "usage_not_received")
    common = {"attribution": {"tenant_id": "t-1"}, "workflow": "w"}
    ledger.record([(retried, free), (event("a-2", attempt=2, retry_count=1, **common), charge(100))])
    ledger.record([(event("b-1", step_id="s-inner", step="inner", **common), charge(10))])
    ledger.record([(event("c-1", status=RequestStatus.FAILURE, step_id="s-inner", **common), charge(1))])
    ledger.record([(event("d-1", model="unknown"), charge(None))])
    ledger.record([(event("f-1", chargeable=Chargeable.POSSIBLY, usage=None, status=RequestStatus.TIMEOUT), unseen)])
    ledger.end_step("s-inner", status="ok", ended_ns=1)
    ledger.end_step("s-outer", status="failed", ended_ns=1)
    ledger.end_run("run-000001", status="ok", ended_ns=1)
    ledger.close()
    return where


def test_totals_tell_calls_attempts_waste_and_gaps_apart(busy: Where) -> None:
    with busy.reader() as reader:
        (sums,) = reader.answer(Query())
        gaps = {(gap.model, gap.chargeable, gap.reason): gap.count for gap in reader.gaps()}
    assert (sums.calls, sums.attempts, sums.retries) == (5, 6, 1)
    assert (sums.atto, sums.wasted_atto) == (111, 11), "a failed step's spending and a failed call's, each once"
    assert (sums.unpriced, sums.possibly_billed) == (1, 1)
    assert gaps == {("unknown", "yes", "unknown_model:p/m"): 1, ("m", "possibly", "usage_not_received"): 1}


@pytest.mark.parametrize("by", BREAKDOWNS)
def test_every_breakdown_adds_up_to_the_total(busy: Where, by: str) -> None:
    with busy.reader() as reader:
        (whole,) = reader.answer(Query())
        parts = reader.answer(Query((by,) if by else ()))
    for name in ("atto", "wasted_atto", "calls", "attempts", "retries", "unpriced", "possibly_billed", "input_tokens"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name), name


def test_what_has_no_owner_is_shown_as_such(busy: Where) -> None:
    with busy.reader() as reader:
        assert {row.key: row.atto for row in reader.answer(Query(("tenant",)))} == {"t-1": 111, None: 0}


def test_filters_narrow_a_question(busy: Where) -> None:
    with busy.reader() as reader:
        assert [r.calls for r in reader.answer(Query(where=Filter(tenant_id="t-1")))] == [3]
        assert reader.answer(Query(where=Filter(since_ns=2))) == []
        assert [r.attempts for r in reader.answer(Query(where=Filter(until_ns=2, model="unknown")))] == [1]


def test_ids_are_found_by_their_start(busy: Where) -> None:
    with busy.reader() as reader:
        assert reader.resolve("run-00") == ("run", "run-000001")
        with pytest.raises(LedgerError, match="no run, span or event starts with 'nothing'"):
            reader.resolve("nothing")
        with pytest.raises(LedgerError, match="too short"):
            reader.resolve("run")
        with pytest.raises(LedgerError, match="starts with '%%%%%%'"):
            reader.resolve("%%%%%%")


def test_an_ambiguous_start_lists_what_it_may_be(where: Where) -> None:
    ledger = where.ledger()
    ledger.record([(event("event-one"), charge()), (event("event-two"), charge())])
    ledger.close()
    with where.reader() as reader, pytest.raises(LedgerError, match="ambiguous: event event-one, event event-two"):
        reader.resolve("event-")


def test_an_unknown_dimension_lists_the_known_ones(busy: Where) -> None:
    with busy.reader() as reader, pytest.raises(LedgerError, match="'colour'; choose one of tenant, customer"):
        reader.answer(Query(("colour",)))


def test_a_ledger_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"no ledger at .*nowhere\.sqlite"):
        LedgerReader(tmp_path / "nowhere.sqlite")
