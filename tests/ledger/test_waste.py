"""What is waste is one definition: live totals, ledger and a plain reference agree, whatever fails and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

from hypothesis import strategies as st

from aicost._money import to_atto
from aicost.ledger import Ledger
from aicost.ledger.query import Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.sums import WASTE_CAUSES
from aicost.pricing.kernel import Kernel
from aicost.scopes.runs import Run, Step
from aicost.telemetry.pipeline import Pipeline
from aicost.usage.event import Chargeable, RequestStatus, UsageEvent
from tests.pricing.cards import card, rate

from .stores import Where

KERNEL = Kernel(card(rate("input", "1", per=1)))


@dataclass
class World:
    """Runs and steps as the scopes make them, every sink told of them, and what is plainly true of them."""

    ledger: Ledger
    nodes: list[Run | Step] = field(default_factory=list)
    parents: list[int | None] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    counted: dict[str, tuple[int, UsageEvent]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(KERNEL, store=self.ledger)
        self.numbers = count()

    def open(self, kind: str, at: int | None) -> None:
        above = None if at is None else self.nodes[at]
        run = above if isinstance(above, Run) else above.run if above is not None else None
        step = above if isinstance(above, Step) else None
        self.parents.append(at)
        if kind == "run":
            made = Run("w", parent=run, parent_step=step)
            parents = {
                "parent_run_id": run.id if run is not None else None,
                "parent_step_id": step.id if step is not None else None,
            }
            self.ledger.start_run(made.id, workflow="w", root_run_id=made.root_id, started_ns=0, **parents)
            self.nodes.append(made)
        else:
            inner = Step("s", run=run, parent=step)
            self.ledger.start_step(
                inner.id,
                run_id=run.id if run is not None else "trace",
                parent_step_id=step.id if step is not None else None,
                name="s",
                kind="step",
                started_ns=0,
            )
            self.nodes.append(inner)

    def fail(self, at: int) -> None:
        node = self.nodes[at]
        node.fail()
        if isinstance(node, Run):
            self.ledger.end_run(node.id, status="failed", ended_ns=1)
        else:
            self.ledger.end_step(node.id, status="failed", ended_ns=1)
        self.failed.add(at)

    def call(self, at: int, replaces: tuple[str, ...] = (), **known: Any) -> None:
        event_id = known.pop("event_id", None) or f"event-{next(self.numbers)}"
        node = self.nodes[at]
        run, step = (node, None) if isinstance(node, Run) else (node.run, node)
        event = UsageEvent(
            event_id,
            "p",
            "chat",
            started_ns=1,
            ended_ns=2,
            run_id=run.id if run is not None else "trace",
            step=None if step is None else step.name,
            step_id=None if step is None else step.id,
            **{"model": "m", "usage": None, **known},
        )
        for gone in replaces:
            del self.counted[gone]
        self.counted[event_id] = (at, event)
        self.pipeline.settle([event], run=run, step=step, replaces=replaces, is_nearest=False)

    def late(self, event_id: str, amount: int) -> None:
        at, before = self.counted[event_id]
        if before.usage is None and before.chargeable is not Chargeable.NO and before.status is not RequestStatus.RETRY:
            self.call(at, event_id=event_id, model=before.model, usage={"input": amount}, status=before.status)

    def is_wasted(self, at: int, event: UsageEvent) -> bool:
        around: int | None = at
        while around is not None:
            if around in self.failed:
                return True
            around = self.parents[around]
        return event.status is not RequestStatus.SUCCESS

    def cause(self, at: int, event: UsageEvent) -> str | None:
        """Why it bought nothing: the attempt, the call, a step around it in its run, or else what is further out."""
        if event.status is not RequestStatus.SUCCESS:
            return "retry" if event.status is RequestStatus.RETRY else "failed_call"
        around: int | None = at
        while around is not None and isinstance(self.nodes[around], Step):
            if around in self.failed:
                return "failed_step"
            around = self.parents[around]
        return "failed_run" if self.is_wasted(at, event) else None

    def is_in(self, at: int, above: int) -> bool:
        around: int | None = at
        while around is not None and around != above:
            around = self.parents[around]
        return around is not None


def amount(events: list[UsageEvent]) -> Decimal | None:
    chargeable = [event for event in events if event.chargeable is not Chargeable.NO]
    known = [event for event in chargeable if event.usage is not None and event.model == "m"]
    return Decimal(sum(event.usage["input"] for event in known if event.usage)) if known or not chargeable else None


# A tree is said by the kind of each node and what is around it: nothing, or so many before it.
TREES = st.lists(
    st.tuples(st.sampled_from(["run", "step"]), st.sampled_from([1, 1, 1, 1, 2, 3, None])), min_size=3, max_size=6
)
CALLS = st.tuples(
    st.just("call"),
    st.integers(0, 6),
    st.sampled_from([None, {"input": 3}, {"input": 50}]),
    st.sampled_from([Chargeable.YES, Chargeable.YES, Chargeable.POSSIBLY, Chargeable.NO]),
    st.sampled_from([RequestStatus.SUCCESS] * 3 + [RequestStatus.FAILURE, RequestStatus.RETRY]),
    st.sampled_from(["m", "m", "m", "unknown"]),
)
STORIES = st.lists(
    st.one_of(
        CALLS, CALLS, *(st.tuples(st.just(verb), st.integers(0, 20)) for verb in ("fail", "fail", "late", "replace"))
    ),
    min_size=6,
    max_size=25,
)


def test_live_totals_the_ledger_and_a_reference_agree_on_what_is_waste(where: Where) -> None:
    def law(drawn: tuple[list[tuple[str, int | None]], list[tuple[Any, ...]]]) -> None:
        tree, story = drawn
        world = World(where.ledger())
        for number, (kind, around) in enumerate(tree):
            world.open(kind, None if number == 0 or around is None else max(0, number - around))
        for verb, which, *more in story:
            if verb == "call":
                usage, chargeable, status, model = more
                known = None if chargeable is Chargeable.NO else usage
                world.call(which % len(tree), usage=known, chargeable=chargeable, status=status, model=model)
            elif verb == "fail":
                world.fail(which % len(tree))
            elif world.counted:
                event_id = sorted(world.counted)[which % len(world.counted)]
                if verb == "late":
                    world.late(event_id, 700)
                else:
                    nearer = f"nearer-{event_id}"
                    world.call(world.counted[event_id][0], (event_id,), event_id=nearer, usage={"input": 11})
        world.ledger.close()
        with where.reader() as reader:
            check(world, reader)

    where.law(law, st.tuples(TREES, STORIES), examples=2 * where.examples)


def is_unpriced(event: UsageEvent) -> bool:
    return event.chargeable is Chargeable.YES and (event.usage is None or event.model != "m")


def check(world: World, reader: LedgerReader) -> None:
    everything = [event for _, event in world.counted.values()]
    wasted = [event for at, event in world.counted.values() if world.is_wasted(at, event)]
    for by in (None, "meter", "step"):
        rows = reader.answer(Query((by,) if by else ()))
        assert sum(row.atto for row in rows) == to_atto(amount(everything) or Decimal(0))
        assert sum(row.wasted_atto for row in rows) == to_atto(amount(wasted) or Decimal(0)), by
        for cause in WASTE_CAUSES:
            mine = [event for at, event in world.counted.values() if world.cause(at, event) == cause]
            assert sum(row.waste[cause] for row in rows) == to_atto(amount(mine) or Decimal(0)), (by, cause)
    for number, run in enumerate(world.nodes):
        if not isinstance(run, Run):
            continue
        inside = [(at, event) for at, event in world.counted.values() if world.is_in(at, number)]
        lost = [event for at, event in inside if world.is_wasted(at, event)]
        assert run.attempts == len(inside)
        assert run.unpriced == sum(is_unpriced(event) for _, event in inside)
        if run.is_recorded:
            assert run.cost == amount([event for _, event in inside])
            assert run.waste == amount(lost)
        steps = run.steps.values()
        assert sum(spent or 0 for spent in steps) == (run.cost or 0)
        ids = [row.run_id for row in reader.runs(run.id)]
        rows = [row for run_id in ids for row in reader.answer(Query(where=Filter(run_id=run_id)))]
        assert sum(row.wasted_atto for row in rows) == to_atto(amount(lost) or Decimal(0))
