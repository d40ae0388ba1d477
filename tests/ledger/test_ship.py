"""What is shipped from one ledger to another is all there, and answers the same; sent again it is nothing new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aicost._errors import LedgerError
from aicost.ledger import Ledger, ship
from aicost.ledger.check import check
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.where import where_is
from aicost.reports.explain import explain
from aicost.scopes.ids import derived_id

from .charges import event, priced
from .stores import SqliteFile, Where, told_to
from .test_laws import charge_of, tellings, views

EXAMPLES = 6
"""Each is asked everything, twice; test_laws.py has more of them for less."""

Ways = tuple[Where, Where]


@pytest.fixture(params=["from a file", "to a file"])
def ways(where: Where, request: pytest.FixtureRequest) -> Ways:
    """A ledger to ship and one to ship to, of which one is a file."""
    file = SqliteFile(request)
    file._folder /= "other"
    file._folder.mkdir()
    file.clear()
    return (file, where) if request.param == "from a file" else (where, file)


def answers(where: Where) -> dict[str, Any]:
    """Whatever a ledger can be asked, but for how it came to its answers."""
    with where.reader() as reader:
        asked = [Query(), Query(("label:x", "user")), Query(("meter",), bucket="hour")]
        asked += [Query((by,)) for by in ("model", "workflow", "step", "tenant", "status", "run")]
        said: dict[str, Any] = {f"{query.group_by} {query.bucket}": reader.answer(query) for query in asked}
        # What is sorted here is in no order of its own where it began at the same moment.
        said["gaps"], said["sightings"] = reader.gaps(), reader.sightings()
        said["charges"] = charges = sorted(reader.charges(), key=lambda charge: charge.event_id)
        said["runs"], said["steps"] = (
            sorted(reader.runs("run-a")),
            sorted(reader.steps(["run-a", derived_id("run", 1)])),
        )
        said["rates"] = [reader.rate(charge.rate_card, line.rate_id) for charge in charges for line in charge.lines]
        identified = reader._dialect.identifier_text
        said["outcomes"] = sorted(
            (
                {**row, "id": identified(row["id"]), "run_id": identified(row["run_id"])}
                for row in map(dict, reader._snapshot.rows("SELECT * FROM outcomes"))
            ),
            key=str,
        )
    for charge in charges:
        explained = explain(where.location, charge.event_id)
        for attempt in explained["attempts"]:
            del attempt["history"]
        said[f"explain {charge.event_id}"] = explained
    said["broken"] = list(check(where.location))
    return said


def tried(law: Callable[[Any], None], ways: Ways) -> None:
    """Try a law with a few examples; a failing one is not made smaller, which would take minutes."""
    chosen = settings(
        max_examples=min(2 if where.name == "clickhouse" else EXAMPLES for where in ways),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        phases=[Phase.explicit, Phase.generate],
    )
    chosen(given(st.data())(law))()


def sizes(where: Where) -> list[tuple[Any, ...]]:
    tables = ("entries", "views", "sightings", "aliases", "runs", "steps", "outcomes", "rates", "names")
    return [where.ask(f"SELECT COUNT(*) FROM {table}")[0] for table in tables]


@st.composite
def told_of_runs(draw: st.DrawFn) -> Callable[[Ledger], object]:
    """What processes tell of runs and steps, and collectors of outcomes."""
    run = draw(st.sampled_from(["run-a", derived_id("run", 1)]))
    step, at = draw(st.sampled_from(["step-a", derived_id("step", 1)])), draw(st.integers(900, 1_100))
    status: Any = draw(st.sampled_from(["ok", "failed"]))
    inside = {"parent_run_id": "run-a", "root_run_id": "run-a"} if run != "run-a" else {}
    outcome = {"run_id": run, "attribution": {"tenant_id": "b"}, "at_ns": at, "value": "1.5", "unit": "EUR"}
    return draw(
        st.sampled_from(
            [
                partial(Ledger.start_run, run_id=run, workflow="w", started_ns=at, attribution={"plan": "x"}, **inside),
                partial(Ledger.end_run, run_id=run, status=status, ended_ns=at),
                partial(Ledger.start_step, step_id=step, run_id=run, name="s", kind="step", started_ns=at),
                partial(Ledger.end_step, step_id=step, status=status, ended_ns=at),
                partial(Ledger.record_outcome, name="ticket", count=at, outcome_id=f"o-{at % 3}", **outcome),
            ]
        )
    )


@st.composite
def named_otherwise(draw: st.DrawFn) -> Callable[[Ledger], object]:
    """A charge whose id is no 16 bytes, and that is in a run and step."""
    view = replace(draw(views()), event_id=draw(st.sampled_from(["chatcmpl-1", "réponse-2"])), step_id="step-a")
    return partial(Ledger.record, entries=[(view, charge_of(view))])


TOLD = st.lists(tellings() | told_of_runs() | named_otherwise(), max_size=12)


class Rates:
    """Knows where every rate is from."""

    def describe(self, rate_id: str) -> dict[str, str]:
        return {"source": f"https://prices.example/{rate_id}"}


def sent(source: Where, target: Where) -> ship.Shipment:
    return ship.ship(where_is(source.location), where_is(target.location))


def test_what_was_shipped_answers_the_same_and_shipped_again_is_nothing_new(ways: Ways) -> None:
    source, target = ways

    def law(data: st.DataObject) -> None:
        for one in ways:
            one.clear()
        told = data.draw(TOLD)
        told_to(source.ledger(Rates()), told, data.draw(st.lists(st.integers(0, 11), max_size=5)))
        done = sent(source, target)
        assert done.is_whole
        assert done.source == done.target
        there, expected = answers(target), answers(source)
        assert {asked: there[asked] for asked, said in expected.items() if there[asked] != said} == {}
        before = sizes(target)
        assert sent(source, target).is_whole
        assert sizes(target) == before

    tried(law, ways)


def test_what_is_there_already_is_joined_with_it_as_if_all_had_been_told_to_one(ways: Ways, tmp_path: Path) -> None:
    source, target = ways

    def law(data: st.DataObject) -> None:
        for one in ways:
            one.clear()
        first, second = data.draw(TOLD), data.draw(TOLD)
        told_to(source.ledger(), first)
        told_to(target.ledger(), second)
        assert sent(source, target).is_whole
        there = totals(target)
        both = tmp_path / f"{next(NUMBERS)}.sqlite"
        told_to(Ledger.open(both), [*second, *first])
        with LedgerReader(both) as reader:
            assert there == [(one.currency, one.atto, one.attempts) for one in reader.answer(Query())]
        assert list(check(target.location)) == []

    tried(law, ways)


NUMBERS = count()


def totals(where: Where) -> list[tuple[str, int, int]]:
    with where.reader() as reader:
        return [(one.currency, one.atto, one.attempts) for one in reader.answer(Query())]


@pytest.mark.parametrize("after", [1, 3])
def test_interrupted_it_is_whole_when_it_is_sent_again(ways: Ways, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = ways
    ledger = source.ledger()
    for n in range(9):
        ledger.start_run(f"run-{n}", workflow="w", started_ns=n)
        ledger.record([(event(f"event-{n}", run_id=f"run-{n}", usage={"input": 10}, complete=False), priced(n))])
        ledger.record([(event(f"event-{n}", run_id=f"run-{n}", usage={"input": 10, "output": 10}), priced(1, n))])
    ledger.close()
    monkeypatch.setattr(ship, "EVENTS_AT_A_TIME", 2)
    turns: list[str] = []

    def interrupt(what: str, _: int) -> None:
        turns.append(what)
        if len(turns) > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ship.ship(where_is(source.location), where_is(target.location), interrupt)
    done = sent(source, target)
    assert done.is_whole
    assert done.source == done.target == {"USD": ship.Total(9, sum(range(1, 10)))}
    assert answers(target) == answers(source)


def test_a_target_that_lacks_something_is_found_out(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = ways
    source.recorded((event("event-1"), priced(1)), (event("event-2"), priced(1)))
    monkeypatch.setattr(ship._Sender, "_events", lambda *_: None)
    done = sent(source, target)
    assert not done.is_whole
    assert done.missing["events"] == 2


def test_a_ledger_is_not_shipped_to_itself(where: Where) -> None:
    where.recorded((event("event-1"), priced(1)))
    with pytest.raises(LedgerError, match="cannot be the one to ship to"):
        ship.ship(where_is(where.location), where_is(where.location))
