"""Sums that are kept answer what the entries would: whatever is asked, and whatever became of runs since."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import strategies as st

from aicost.cli import cli
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.forget import forget_user
from aicost.ledger.query import BUCKETS, EVERYTHING, MEASURES, METER, REQUEST, Bucket, Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.rebuild import rebuild
from aicost.ledger.schema import DERIVED
from aicost.ledger.where import where_is
from tests.tools.big_ledger import DAYS, START_NS, make_file

from .charges import event, priced, recorded
from .stores import Where
from .stories import ENTRIES, GROUPINGS, SOME_TIMES, Told, tell

DAY_NS = 86_400 * 10**9
LATER = st.sampled_from(["fail run-000001", "fail run-000003", "name run-000004", "name s-2", "fail s-2"])
MORE_TIMES = st.sampled_from([None, *SOME_TIMES, 5, DAY_NS, -(2**70), 2**70, SOME_TIMES[3] + 1, SOME_TIMES[5] - 1])
FILTERS = st.fixed_dictionaries(
    {"since_ns": MORE_TIMES, "until_ns": MORE_TIMES},
    optional={
        "model": st.sampled_from("mn"),
        "tenant_id": st.sampled_from("ab"),
        "user_id": st.just("u"),
        "workflow": st.sampled_from("wvx"),
        "step": st.sampled_from(("bad", "s")),
        "run_id": st.sampled_from(("run-000001", "run-000002")),
        "event_id": st.just("e-1"),
    },
)


def happened_later(ledger: Ledger, happened: Sequence[str]) -> None:
    """What is known of runs and steps only after their calls."""
    for verb, _, of in (text.partition(" ") for text in happened):
        if of.startswith("s-"):
            ledger.start_step(of, run_id="run-000003", name="s", kind="step", started_ns=0)
            if verb == "fail":
                ledger.end_step(of, status="failed", ended_ns=9)
        else:
            ledger.start_run(of, workflow="x", started_ns=0)
            if verb == "fail":
                ledger.end_run(of, status="failed", ended_ns=9)
    ledger.close()


def from_both(place: Path | str, asked: Callable[[LedgerReader], Any]) -> tuple[Any, Any]:
    """An answer with the sums, and from the entries alone."""
    with LedgerReader(place) as reader:
        with_sums = asked(reader)
        reader._snapshot.has_sums = False
        return with_sums, asked(reader)


ASKED = st.tuples(
    st.lists(ENTRIES, min_size=1, max_size=10),
    st.lists(LATER, max_size=3),
    st.one_of(GROUPINGS, st.sampled_from([["workflow"], ["run"], ["step", "model"], ["tenant"], []])),
    st.sampled_from((None, *BUCKETS)),
    FILTERS,
    st.sampled_from((None, 0, 1, 3)),
    st.sampled_from((REQUEST, "run", "workflow", "tenant")),
)


def test_every_question_has_the_answer_that_entries_give(where: Where) -> None:
    def as_entries_say(
        given: tuple[list[Told], list[str], list[str], Bucket | None, dict[str, Any], int | None, str],
    ) -> None:
        told, later, by, bucket, narrowed, top, unit = given
        chosen = Filter(**narrowed)
        plain = Query(tuple(by), chosen, bucket, top=top)
        valued = Query(tuple(by), chosen, bucket, unit=unit, measures=() if METER in by else tuple(MEASURES))
        tell(where.ledger(), told)
        happened_later(where.ledger(), later)
        for asked in (plain, valued):
            kept, entries = from_both(where.location, lambda reader, asked=asked: reader.answer(asked))
            assert kept == entries
        kept, entries = from_both(where.location, lambda reader: reader.gaps(chosen))
        assert kept == entries
        assert list(check(where.location)) == []
        if rebuild(where_is(where.location)) is not None:
            assert list(check(where.location)) == []
            kept, entries = from_both(where.location, lambda reader: reader.answer(plain))
            assert kept == entries

    where.law(as_entries_say, ASKED, 2 * where.examples)


def kept_rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return sum(db.execute(f"SELECT COUNT(*) FROM {table.name}").fetchone()[0] for table in DERIVED)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ledger like the one that is measured."""
    return make_file(tmp_path_factory.mktemp("big") / "l.sqlite", 3_000)


CUT = Filter(since_ns=START_NS + 10 * DAY_NS + 7, until_ns=START_NS + (DAYS - 20) * DAY_NS + 7 * 10**12)
QUESTIONS = {
    "total": Query(),
    "tenant": Query(("tenant",)),
    "tenant x feature": Query(("tenant", "feature")),
    "day x model": Query(("model",), bucket="day"),
    "run, top 20": Query(("run",), top=20),
    "workflow, runs": Query(("workflow",), measures=("runs",)),
    "meter": Query((METER,)),
    "cost of a run": Query(("workflow",), measures=("cost_each",), unit="run"),
    "latency": Query(("model",), measures=("latency", "cost_each")),
    "a time that is no whole days": Query(("tenant", "step"), CUT),
    "week of a tenant": Query(("model",), Filter(since_ns=CUT.since_ns, tenant_id="t-1"), bucket="week"),
    "runs of a time": Query(("run",), CUT, top=3),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_measured_is_right(big: Path, question: str) -> None:
    kept, entries = from_both(big, lambda reader: reader.answer(QUESTIONS[question]))
    assert kept == entries
    assert kept, "nothing is no answer"


@pytest.mark.parametrize("where", [EVERYTHING, CUT], ids=["all", "some days"])
def test_gaps_are_those_of_the_entries(big: Path, where: Filter) -> None:
    kept, entries = from_both(big, lambda reader: reader.gaps(where))
    assert kept == entries != []


def test_a_ledger_like_the_one_that_is_measured_is_sound(big: Path) -> None:
    assert list(check(big)) == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    entries = [
        (event(f"e-{n}", attribution={"tenant_id": "t", "user_id": "u"}, model="mn"[n % 2]), priced(10**18 + n))
        for n in range(4)
    ]
    return recorded(tmp_path / "l.sqlite", *entries)


BREAKS = {
    "a sum is another": "UPDATE sums_by_day SET amount_atto = amount_atto + 1 WHERE book = 0",
    "a sum is gone": "DELETE FROM sums_by_run",
    "there is one of nothing": "UPDATE sums_by_run SET day = day + 1",
    "an entry is not in them": "UPDATE entries SET q0 = q0 + 1",
}


@pytest.mark.parametrize("broken", BREAKS)
def test_check_names_a_sum_that_is_not_that_of_the_entries(path: Path, broken: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(BREAKS[broken])
        db.commit()
    found = [one for one in check(path) if one.invariant == "sums that are kept are those of the entries"]
    assert found
    assert found[0].row.split()[0] in {table.name for table in DERIVED}
    done = CliRunner().invoke(cli, ["ledger", "rebuild", "--ledger", str(path)])
    assert done.exit_code == 0, done.output
    assert not [one for one in check(path) if one.invariant == found[0].invariant]


@pytest.mark.parametrize("gone", [("sums_by_day",), ("sums_by_run",), ("sums_by_day", "sums_by_run")])
def test_a_ledger_from_before_sums_gets_them(path: Path, gone: Sequence[str]) -> None:
    before = from_both(path, lambda reader: reader.answer(Query(("model",), measures=("runs",))))[1]
    with closing(sqlite3.connect(path)) as db:
        for table in gone:
            db.execute(f"DROP TABLE {table}")
        db.commit()
    assert from_both(path, lambda reader: reader.answer(Query(("model",), measures=("runs",)))) == (before, before)
    Ledger.open(path).close()
    assert kept_rows(path) > 0
    assert list(check(path)) == []


def test_forgetting_a_person_leaves_the_sums(path: Path) -> None:
    asked = Query(("tenant", "model"), measures=("runs",))
    before = from_both(path, lambda reader: reader.answer(asked))
    forget_user(path, "u")
    assert from_both(path, lambda reader: reader.answer(asked)) == before
    assert list(check(path)) == []
