"""What every store must do, beside what test_laws, test_query, test_ledger, test_waste and test_records ask of each.

The strongest: told the same, all answer every question the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from aicost import LedgerError
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.forget import forget_user
from aicost.ledger.query import BREAKDOWNS, BUCKETS, METER, RUN, Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.schema import ENTRIES, PLACES, RUNS, TABLES, UNREAD
from aicost.ledger.sums import Sums
from aicost.ledger.told import Told, ToldOutcome, ToldRun, ToldStep
from aicost.ledger.writing import Writer, places_in
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.scopes.ids import derived_id, new_event_id
from aicost.usage.event import Origin, RequestStatus

from . import test_laws, test_records
from .charges import UNSEEN, event, priced, unpriced
from .stores import STORES, Where, told_to

Telling = Callable[[Ledger], object]

ODD = [
    "a",
    "",
    "O'Re\"illy",
    "100%s ? \\x",
    "株式\U0001f600",
    "tab\tnew\nline\r\\N \\.",
    "nul\0",
    "half\ud83d",
    "é" * 3000,
]
RUNS_ = [derived_id("run", n) for n in range(2)] + ["run-text", "Run-Text"]
STEPS_ = [derived_id("step", n)[:16] for n in range(2)]
SPELLED = st.sampled_from(ODD)


@st.composite
def notes(draw: st.DrawFn) -> Telling:
    """What is told of runs, steps and outcomes, by the process itself or by spans."""
    run, step = draw(st.sampled_from(RUNS_)), draw(st.sampled_from(STEPS_))
    above = draw(st.sampled_from([None, *RUNS_]))
    root, name, at = draw(st.sampled_from([run, above or run])), draw(SPELLED), draw(st.integers(0, 2**62))
    failed, owners = draw(st.booleans()), {"tenant_id": name}
    status: Any = "failed" if failed else "ok"
    ids = {"parent_run_id": above, "parent_step_id": draw(st.sampled_from([None, *STEPS_]))}
    span = draw(st.sampled_from(STEPS_))
    match draw(st.sampled_from(["run", "step", "end run", "end step", "told", "outcome"])):
        case "run":
            return lambda ledger: ledger.start_run(
                run, workflow=name, root_run_id=root, attribution=owners, started_ns=at, **ids
            )
        case "step":
            parent = ids["parent_step_id"]
            return lambda ledger: ledger.start_step(
                step, run_id=run, parent_step_id=parent, name=name, kind="step", started_ns=at
            )
        case "end run":
            return lambda ledger: ledger.end_run(run, status=status, ended_ns=at)
        case "end step":
            return lambda ledger: ledger.end_step(step, status=status, ended_ns=at)
        case "told":
            told_run = ToldRun(run, root, ids["parent_run_id"], None, name, None, failed, at, at + 1, owners)
            told_step = ToldStep(step, run, span, name, "tool", failed, at, at + 1)
            return lambda ledger: ledger.record(
                [], told=Told([told_run], [told_step], [ToldOutcome(run, name, 1, run, at, owners)])
            )
        case _:
            return lambda ledger: ledger.record_outcome(
                name, count=3, run_id=run, attribution=owners, at_ns=at, outcome_id=step, value="0.10", unit="EUR"
            )


@st.composite
def odd_charges(draw: st.DrawFn) -> Telling:
    """Charges of all that an event can say, in the runs and steps of the notes."""
    made = replace(
        draw(test_records.events()),
        event_id=draw(st.sampled_from([derived_id("odd", n) for n in range(3)] + ["e-odd", "E-odd", "e" * 5000])),
        run_id=draw(st.sampled_from([None, *RUNS_])),
        step_id=draw(st.sampled_from([None, *STEPS_])),
    )
    return lambda ledger: ledger.record([(made, test_records.charged(made))])


TOLD = st.lists(st.one_of(odd_charges(), notes(), test_laws.tellings()), min_size=1, max_size=12)


def answers(reader: LedgerReader) -> dict[str, Any]:
    """All that a ledger can be asked, whatever is in it."""
    every = sorted(map(repr, reader.charges()))
    found: dict[str, Any] = {"charges": every, "gaps": reader.gaps(), "sightings": sorted(reader.sightings(), key=repr)}
    for name in (*BREAKDOWNS, "label:x", "label:\ud800"):
        found[name] = reader.answer(Query((name,)))
    found |= {bucket: reader.answer(Query(("run", "status"), bucket=bucket)) for bucket in BUCKETS}
    ids = [one.event_id for one in reader.charges()]
    found["history"] = [(one, reader.history(one)) for one in sorted(ids)]
    found["runs"] = [(run, sorted(reader.runs(run), key=repr)) for run in RUNS_]
    found["steps"] = sorted(reader.steps(RUNS_), key=repr)
    found["recorded"] = sorted(map(repr, reader.recorded()))
    found["resolved"] = [resolved(reader, start) for one in (*ids, *RUNS_, *STEPS_, "law") for start in (one, one[:7])]
    for name in BREAKDOWNS:
        if name not in (METER, RUN):
            said = [row.key for row in found[name] if row.key is not None][:2]
            found[f"where {name}"] = [reader.answer(Query((), Filter(**{name: value}))) for value in said]
    return found


def resolved(reader: LedgerReader, start: str) -> object:
    try:
        return reader.resolve(start)
    except LedgerError as error:
        return str(error)


@pytest.fixture
def everywhere(request: pytest.FixtureRequest) -> list[Where]:
    """A place for a ledger of each kind."""
    return [make(request) for make in STORES.values()]


def test_told_the_same_all_stores_answer_the_same(everywhere: list[Where]) -> None:
    def law(data: st.DataObject) -> None:
        told = data.draw(TOLD)
        breaks = data.draw(st.lists(st.integers(0, 11), max_size=3))
        found = []
        for where in everywhere:
            where.clear()
            told_to(where.ledger(), told, breaks)
            assert list(check(where.location)) == []
            with where.reader() as reader:
                found.append(answers(reader))
        for one in found[1:]:
            assert one == found[0]

    everywhere[-1].law(law, st.data())


def sums(rows: Sequence[Sums], by: str = "") -> dict[str, tuple[int, ...]]:
    """The total of rows by currency. Only amounts add up by meter: a call has several."""
    total: dict[str, tuple[int, ...]] = {}
    for row in rows:
        of = (row.atto, row.wasted_atto)
        if by != METER:
            of += (row.attempts, row.calls, row.unpriced, row.app_retries, row.fallbacks)
        total[row.currency] = tuple(map(sum, zip(total.get(row.currency, (0,) * len(of)), of, strict=True)))
    return total


def test_every_breakdown_has_the_same_total_and_a_filter_is_a_row_of_it(where: Where) -> None:
    def law(told: list[Telling]) -> None:
        told_to(where.ledger(), told)
        with where.reader() as reader:
            total = reader.answer(Query())
            for name in (*BREAKDOWNS, "label:x"):
                rows = reader.answer(Query((name,)))
                assert sums(rows, name) == sums(total, name), name
                assert sums(reader.answer(Query((name, "model"), bucket="month")), name) == sums(total, name), name
                for key in {row.key for row in rows if row.key is not None and name != METER}:
                    narrowed = Filter(run_id=key) if name == RUN else Filter(**{name: key})
                    mine = sums([row for row in rows if row.key == key])
                    assert sums(reader.answer(Query((), narrowed))) == mine, (name, key)

    where.law(law, st.lists(st.one_of(odd_charges(), notes()), min_size=1, max_size=8), examples=where.examples // 4)


@pytest.mark.parametrize("key", ["x", "a'b", 'say "so"', "100%s", "? ?", "back\\slash", "株", "1", "a.b", "$.x"])
def test_a_label_is_found_whatever_it_is_called(where: Where, key: str) -> None:
    said = [(event(f"e-{n}", attribution={f"label:{key}": value}), priced(n)) for n, value in enumerate(("", key, "1"))]
    where.recorded(*said, (event("other", attribution={"label:other": key}), priced(1000)))
    with where.reader() as reader:
        rows = {row.key: row.atto for row in reader.answer(Query((f"label:{key}",)))}
        found = {
            value: [row.atto for row in reader.answer(Query((), Filter(**{f"label:{key}": value})))]
            for value in ("", key, "1", "no")
        }
    expected = {"": 0, key: 1, "1": 2}
    if key == "1":
        expected = {"": 0, "1": 3}
    assert rows == {**expected, None: 1000}
    assert found == {"": [0], key: [expected[key]], "1": [expected.get("1", 0)], "no": []}


def test_an_empty_text_and_none_are_two(where: Where) -> None:
    where.recorded(
        (event("none"), priced(1)),
        (event("empty", attribution={"tenant_id": ""}, service_tier="", retry_of="", trace_id=""), priced(2)),
    )
    with where.reader() as reader:
        assert {row.key: row.atto for row in reader.answer(Query(("tenant",)))} == {None: 1, "": 2}
        assert [row.atto for row in reader.answer(Query((), Filter(tenant_id="")))] == [2]
        kept = {one.event_id: (one.service_tier, one.retry_of, one.trace_id) for one in reader.charges()}
    assert kept["none"] == (None, None, None)
    assert kept["empty"][:2] == ("", "")


def test_the_numbers_a_column_can_just_hold_come_back(where: Where) -> None:
    most = 2**63 - 1
    where.recorded(
        (event("late", started_ns=most, ended_ns=most, retry_count=2**40, backoff_ns=most), priced(1)),
        (event("early", started_ns=-most, ended_ns=-most), priced(2)),
        (event("dear"), priced(10**26)),
        (event("credit"), priced(-(10**26) - 1)),
        (event("beyond", started_ns=10**30, ended_ns=10**31), priced(4)),
    )
    with where.reader() as reader:
        kept = {one.event_id: (one.started_ns, one.atto) for one in reader.charges()}
        (total,) = reader.answer(Query())
    assert kept["late"] == (most, 1)
    assert kept["early"] == (-most, 2)
    assert (kept["dear"][1], kept["credit"][1], kept["beyond"]) == (10**26, -(10**26) - 1, (most, 4))
    assert total.atto == 1 + 2 + 4 - 1
    assert list(check(where.location)) == []


LONG = [
    {"event_id": "é" * 5000},
    {"event_id": "\U0001f600" * 5000},
    {"run_id": "株" * 5000, "span_id": "式" * 5000, "step_id": "会" * 5000},
    {"model": "m" * 100_000, "response_id": "r" * 100_000},
    {"attribution": {"tenant_id": "t" * 100_000, "label:" + "k" * 9000: "v" * 100_000}},
    {"origin": Origin("h" * 9000, "o" * 9000, None, None, "r" * 9000, None, False, "up" * 5000)},
]


@pytest.mark.parametrize("known", LONG, ids=lambda known: "-".join(known))
def test_text_of_any_length_costs_no_charge(where: Where, known: dict[str, Any]) -> None:
    import random

    chance = random.Random(1)  # text that cannot be compressed, as an index might do
    letters = "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(3000))
    odd = {name: letters + value if isinstance(value, str) else value for name, value in known.items()}
    for one in (known, odd):
        where.recorded((event(**{"event_id": f"e-{one is odd}", **one}), priced(1)))
    with where.reader() as reader:
        assert [row.attempts for row in reader.answer(Query())] == [2]
        assert [reader.answer(Query((), Filter(event_id=kept.event_id)))[0].atto for kept in reader.charges()] == [1, 1]


def test_what_failed_is_waste_with_all_that_is_inside(where: Where) -> None:
    ledger = where.ledger()
    ledger.start_run("outer", workflow="w", started_ns=1)
    ledger.start_step("s-1", run_id="outer", name="s", kind="step", started_ns=1)
    ledger.start_step("s-2", run_id="outer", parent_step_id="s-1", name="t", kind="step", started_ns=1)
    ledger.start_run(
        "inner", workflow="v", root_run_id="outer", parent_run_id="outer", parent_step_id="s-2", started_ns=2
    )
    ledger.record([(event("in", run_id="inner"), priced(1)), (event("out", run_id="outer"), priced(10))])
    ledger.record([(event("deep", run_id="outer", step_id="s-2"), priced(100))])
    ledger.end_step("s-1", status="failed", ended_ns=2)
    ledger.close()
    with where.reader() as reader:
        (total,) = reader.answer(Query())
        assert (total.atto, total.wasted_atto) == (111, 101)
        assert [run.run_id for run in reader.runs("outer")] == ["outer", "inner"]
        assert [step.step_id for step in reader.steps(["outer"])] == ["s-1", "s-2"]
        assert {row.key: row.wasted_atto for row in reader.answer(Query(("step",)))} == {"t": 100, None: 1}


def test_a_reader_sees_one_moment(where: Where) -> None:
    where.recorded((event("first"), priced(1)))
    with where.reader() as reader:
        before = reader.answer(Query())
        where.recorded((event("second"), priced(2)), (event(new_event_id()), priced(4)))
        assert reader.answer(Query()) == before
        assert [one.event_id for one in reader.charges()] == ["first"]
    with where.reader() as reader:
        assert [row.atto for row in reader.answer(Query())] == [7]


def test_a_transaction_is_all_or_nothing_and_the_next_goes_on(where: Where) -> None:
    store = where.store()
    writer = Writer(store)

    def told(n: int) -> Any:
        from aicost.ledger.records import charges_record, read_record

        return [
            ("w", n, read_record(charges_record([(event(f"e-{n}", attribution={"tenant_id": f"t-{n}"}), priced(1))])))
        ]

    with suppress(RuntimeError), store.transaction(time.monotonic() + 5):
        writer.take_in(told(1))
        writer.put_places("j", {"s": 10})
        raise RuntimeError
    writer.rolled_back()
    assert places_in(store, "j") == {}
    for _ in range(2):
        with store.transaction(time.monotonic() + 5):
            writer.take_in(told(1))
            writer.put_places("j", {"s": 10, "t": 5})
            writer.put_unread([("w", 3, b"\0\xff'", "why ? %s")])
    assert places_in(store, "j") == {"s": 10, "t": 5}
    with store.transaction(time.monotonic() + 5):
        writer.forget_places(["s", "never"])
    assert places_in(store, "j") == {"t": 5}
    assert [(row["record"], row["why"]) for row in store.rows("SELECT record, why FROM unread")] == [
        (b"\0\xff'", "why ? %s")
    ]
    store.close()
    with where.reader() as reader:
        assert {row.key: row.atto for row in reader.answer(Query(("tenant",)))} == {"t-1": 1}


@pytest.mark.parametrize("count", [1, 3, 500])
def test_of_a_key_the_first_row_stays_and_the_last_state_holds(where: Where, count: int) -> None:
    """However many rows come at once, and however often a key is among them."""
    store = where.store()
    runs = [(f"r-{n}", f"r-{n}", None, None, "before", None, "running", n, None, "{}") for n in range(count)]
    later = [(*run[:4], "after", "1", "ok", run[7], run[7] + 1, '{"a": 1}') for run in runs]
    unread = [("w", n, b"first", "") for n in range(count)]
    again = [("w", n, b"second", "") for n in range(count)]
    with store.transaction(time.monotonic() + 5):
        store.replace(RUNS, [*runs, *later])
        store.put(UNREAD, [*unread, *again])
        store.put(UNREAD, again)
        store.replace(RUNS, later[:1])
        store.replace(PLACES, [("s", 1, "j"), ("s", 3, "j"), ("s", 2, "j")])
    with store.transaction(time.monotonic() + 5):
        store.put(UNREAD, again)
    assert {row["record"] for row in store.rows("SELECT record FROM unread")} == {b"first"}
    assert {
        (row["workflow"], row["ended_ns"] is None) for row in store.rows("SELECT workflow, ended_ns FROM runs")
    } == {("after", False)}
    assert [row["n"] for row in store.rows("SELECT COUNT(*) AS n FROM runs")] == [count]
    assert places_in(store, "j") == {"s": 2}
    with store.transaction(time.monotonic() + 5):
        store.delete(UNREAD, [("w", n) for n in range(count)])
    assert list(store.rows("SELECT writer FROM unread")) == []
    store.close()


def test_a_key_is_the_first_columns_of_its_table() -> None:
    """Stores go by that."""
    for table in TABLES:
        assert tuple(column.name for column in table.columns[: len(table.key)]) == table.key
    assert all(one.name != two.name for one, two in pairwise(sorted(TABLES, key=lambda table: table.name)))
    assert ENTRIES.key == ("id",)


def test_many_rows_are_read_while_others_are_asked_for(where: Where) -> None:
    ledger = where.ledger()
    for n in range(0, 5000, 500):
        ledger.record([(event(f"e-{m}", run_id=f"run-{m % 7}", workflow=None), priced(m)) for m in range(n, n + 500)])
    for n in range(7):
        ledger.start_run(f"run-{n}", workflow=f"w-{n}", started_ns=1)
    ledger.close()
    with where.reader() as reader:
        first = reader.recorded()
        assert next(first).event_id
        assert sum(one.atto or 0 for one in reader.recorded()) == sum(range(5000))
        assert sum(1 for _ in first) == 4999
        next(reader.recorded())  # left in the middle
        assert [row.atto for row in reader.answer(Query())] == [sum(range(5000))]


def counted(n: int) -> Charge:
    return Charge.of_lines(
        ChargeStatus.PRICED, "USD", n, [ChargeLine("input", n, "1", 10**18, n, "r")], rate_card="t@1"
    )


def test_gaps_and_sightings_are_told_apart(where: Where) -> None:
    where.recorded(
        (event("a", model="x"), unpriced()),
        (event("b", usage=None, status=RequestStatus.TIMEOUT), UNSEEN),
        (event("c", usage={"input": 10}), counted(10)),
        (event("c", usage={"input": 99}), counted(99)),
    )
    with where.reader() as reader:
        assert {(gap.model, gap.reason): gap.count for gap in reader.gaps()} == {
            ("x", "unknown_model:p/m"): 1,
            ("m", "usage_not_received"): 1,
        }
        assert [(one.kind, one.count, one.atto) for one in reader.sightings()] == [("contradiction", 1, 10)]


def test_a_ledger_that_is_not_there_is_named(where: Where) -> None:
    with pytest.raises(LedgerError, match="no ledger at"):
        where.reader()


def test_an_unknown_dimension_never_gets_to_the_store(where: Where) -> None:
    where.recorded((event(), priced(1)))
    with where.reader() as reader, pytest.raises(LedgerError, match="no dimension is called"):
        reader.answer(Query(("tenant; DROP TABLE entries",)))


def test_a_person_is_forgotten_everywhere_but_in_the_sums(where: Where) -> None:
    person, own = "user-4711-forgettable", {"user_id": "user-4711-forgettable", "tenant_id": "t"}
    ledger = where.ledger()
    ledger.start_run("run-000001", workflow="w", started_ns=1, attribution=own)
    ledger.record(
        [(event("e-1", attribution=own), priced(2)), (event("e-3", attribution={"user_id": "other"}), priced(4))]
    )
    ledger.record([(event("e-2", usage={"input": 3}, complete=False, attribution=own), priced(2))])
    ledger.record([(event("e-2", usage={"input": 10}, attribution={**own, "label:x": person}), priced(8))])
    ledger.record_outcome("document", count=1, run_id=None, attribution=own, at_ns=1)
    ledger.close()
    store = where.store()
    with store.transaction(time.monotonic() + 5):
        store.put(UNREAD, [("w", 1, f"of tomorrow, by {person}".encode(), "")])
    store.close()
    with where.reader() as reader:
        before = {by: reader.answer(Query((by,))) for by in ("tenant", "model", "meter", "workflow")}
    location: Any = where.location if where.name != "sqlite" else Path(where.location)
    assert forget_user(location, person) == (2, 4, 0)
    assert forget_user(location, person) == (0, 0, 0)
    with where.reader() as reader:
        assert {by: reader.answer(Query((by,))) for by in before} == before
        assert {row.key: row.atto for row in reader.answer(Query(("user",)))} == {None: 10, "other": 4}
    assert list(check(where.location)) == []
    assert person not in repr([where.ask(f"SELECT * FROM {table.name}") for table in TABLES])
