"""Live totals of runs: exact under concurrency, summed over child runs once, and honest about waste."""

from __future__ import annotations

import threading
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aicost
from aicost._money import ATTO
from aicost.scopes.ids import new_event_id
from aicost.scopes.runs import Run, Step
from aicost.usage.event import Chargeable, RequestStatus, UsageEvent


def event(
    status: RequestStatus = RequestStatus.SUCCESS, chargeable: Chargeable = Chargeable.YES, **usage: int
) -> UsageEvent:
    return UsageEvent(new_event_id(), "p", "chat", "m", usage or None, 0, 0, status=status, chargeable=chargeable)


def test_a_charge_counts_once_in_its_run_and_in_every_run_around_it() -> None:
    outer = Run("outer")
    inner = Run("inner", parent=outer)
    sibling = Run("sibling", parent=outer)
    inner.add(event(input=10), atto=2 * ATTO, currency="USD")
    sibling.add(event(input=5), atto=ATTO, currency="USD")
    assert (inner.cost, sibling.cost, outer.cost) == (2, 1, 3)
    assert outer.usage == {"input": 15}
    assert (inner.root_id, outer.root_id) == (outer.id, outer.id)


def test_totals_are_exact_under_threads() -> None:
    root = Run("root")

    def work() -> None:
        child = Run("child", parent=root)
        step = Step("s", run=child, parent=None)
        for _ in range(500):
            child.add(event(input=1), atto=1, currency="USD", step=step)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert root.cost == Decimal(4000) / ATTO
    assert (root.calls, root.attempts, root.usage) == (4000, 4000, {"input": 4000})


def test_retries_unpriced_and_possibly_billed_are_kept_apart() -> None:
    run = Run("w")
    run.add(event(RequestStatus.RETRY, Chargeable.NO), atto=0, currency="USD")
    run.add(event(RequestStatus.RETRY, Chargeable.POSSIBLY), atto=None, currency="USD")
    run.add(event(input=3), atto=None, currency="USD")
    assert (run.calls, run.attempts, run.retries, run.possibly_billed, run.unpriced) == (1, 3, 2, 1, 1)
    assert (run.cost, run.costs) == (None, {}), "nothing of it is known"


def test_what_a_failed_call_cost_is_waste() -> None:
    run = Run("w")
    run.add(event(RequestStatus.FAILURE, input=3), atto=ATTO, currency="USD")
    assert (run.cost, run.waste) == (1, 1)


def test_a_failed_step_wastes_what_it_and_its_inner_steps_spent_once() -> None:
    run = Run("w")
    outer = Step("outer", run=run, parent=None)
    inner = Step("inner", run=run, parent=outer)
    run.add(event(input=1), atto=ATTO, currency="USD", step=inner)
    run.add(event(input=1), atto=2 * ATTO, currency="USD", step=outer)
    run.add(event(input=1), atto=4 * ATTO, currency="USD")
    inner.fail()
    assert run.waste == 1
    outer.fail()
    assert run.waste == 3
    run.add(event(input=1), atto=8 * ATTO, currency="USD", step=inner)
    assert run.waste == 11, "a stream that ends after its step failed is waste too"
    assert run.cost == 15


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0), (1, 1, 0)])
def test_what_failed_inside_of_what_failed_is_waste_once(order: tuple[int, ...]) -> None:
    run = Run("w")
    outer = Step("outer", run=run, parent=None)
    inner = Run("inner", parent=run, parent_step=outer)
    run.add(event(input=1), atto=ATTO, currency="USD")
    inner.add(event(input=1), atto=2 * ATTO, currency="USD")
    for which in order:
        (inner, outer)[which].fail()
    assert (inner.waste, run.waste, run.cost) == (2, 2, 3)


def test_a_failed_run_wasted_all_of_it_and_a_child_that_failed_its_own() -> None:
    run = Run("w")
    child = Run("child", parent=run)
    run.add(event(input=1), atto=ATTO, currency="USD")
    child.add(event(input=1), atto=2 * ATTO, currency="USD")
    child.fail()
    assert (child.waste, run.waste) == (2, 2), "the run around it may recover"
    run.fail()
    child.add(event(input=1), atto=4 * ATTO, currency="USD")
    assert (child.waste, run.waste, run.cost) == (6, 7, 7)


def test_waste_is_in_the_currency_of_the_cost_and_unknown_if_nothing_of_it_is_known() -> None:
    run = Run("w")
    run.add(event(input=1), atto=ATTO, currency="USD")
    run.add(event(RequestStatus.FAILURE, input=1), atto=2 * ATTO, currency="EUR")
    assert (run.cost, run.waste) == (1, 0)
    run.add(event(RequestStatus.FAILURE, input=1), atto=None, currency="USD")
    assert (run.cost, run.waste, run.unpriced) == (1, None, 1)
    run.add(event(RequestStatus.FAILURE, input=1), atto=5 * ATTO, currency="USD")
    assert (run.cost, run.waste) == (6, 5)


def test_a_step_of_which_nothing_is_known_has_not_cost_nothing() -> None:
    run = Run("w")
    for name, atto in [("known", ATTO), ("unknown", None), ("free", 0), (None, 3 * ATTO)]:
        run.add(replace(event(input=1), step=name), atto=atto, currency="USD")
    assert run.steps == {"known": 1, "unknown": None, "free": 0, "(none)": 3}


def test_currencies_are_not_added_up() -> None:
    run = Run("w")
    run.add(event(input=1), atto=ATTO, currency="USD")
    run.add(event(input=1), atto=ATTO, currency="EUR")
    assert run.costs == {"USD": 1, "EUR": 1}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**21))))
def test_every_run_holds_the_sum_of_what_happened_in_and_below_it(charges: list[tuple[int, int]]) -> None:
    runs = [Run("0")]
    for n in range(1, 4):
        runs.append(Run(str(n), parent=runs[(n - 1) // 2]))
    expected = [0] * 4
    for where, atto in charges:
        runs[where].add(event(input=1), atto=atto, currency="USD")
        run: Run | None = runs[where]
        while run is not None:
            expected[runs.index(run)] += atto
            run = run.parent
    for run, total in zip(runs, expected, strict=True):
        assert run.costs.get("USD", Decimal(0)) * ATTO == total if total < 10**27 else True


def test_run_scope_gives_the_run_and_current_run_finds_it() -> None:
    assert aicost.current_run() is None
    with aicost.run_scope("w", run_id="r-1") as run:
        assert aicost.current_run() is run
        assert (run.id, run.calls) == ("r-1", 0)
    with pytest.raises(AttributeError):
        run.cost = 1  # type: ignore[misc]
