"""Laws of the ledger: any order, repetition and splitting of what is told gives the same sums, and all is sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import Any

import pytest
from hypothesis import strategies as st

from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.query import Query
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.pricing.sighting import Sighting
from aicost.scopes.ids import derived_id
from aicost.usage.event import Chargeable, Origin, RequestStatus, UsageEvent

from .charges import UNSEEN
from .stores import Where, told_to

Telling = Callable[[Ledger], object]

IDS = [derived_id("law", n) for n in range(4)]
"""Events; the last two are the work of the first ones, as a gateway or a propagated id tells."""


def charge_of(event: UsageEvent) -> Charge:
    """A token of input costs 3, one of output 7, and nobody knows what a page does."""
    if event.usage is None:
        return UNSEEN
    prices = {"input": 3, "output": 7}
    lines = [
        ChargeLine(meter, n, str(prices[meter]), 10**18, n * prices[meter], f"r/{meter}")
        if meter in prices
        else ChargeLine(meter, n, None, 1, None, None)
        for meter, n in event.usage.items()
    ]
    known = [line.atto for line in lines if line.atto is not None]
    status = (
        ChargeStatus.PRICED if len(known) == len(lines) else ChargeStatus.PARTIAL if known else ChargeStatus.UNPRICED
    )
    return Charge.of_lines(status, "USD", sum(known) if known or not lines else None, lines, rate_card="t@1")


USAGES = st.one_of(
    st.none(),
    st.fixed_dictionaries({"input": st.integers(0, 30)}, optional={"output": st.integers(0, 9), "pages": st.just(2)}),
)
OWNERS = st.fixed_dictionaries(
    {}, optional={"tenant_id": st.sampled_from("ab"), "user_id": st.sampled_from("uv"), "label:x": st.just("1")}
)


@st.composite
def views(draw: st.DrawFn) -> UsageEvent:
    at = draw(st.integers(0, 3))
    usage = draw(USAGES)
    started = draw(st.integers(1_000, 1_003))
    origin = {}
    if at >= 2 and draw(st.booleans()):
        origin = {"upstream_id": draw(st.sampled_from([IDS[at - 2], "gateway:g-0"]))}
    elif at == 0 and draw(st.booleans()):
        origin = {"gateway": True, "gateway_call_id": "g-0"}
    return UsageEvent(
        IDS[at],
        "p",
        "chat",
        draw(st.sampled_from(["m", "m", "n"])),
        usage,
        started,
        started + 5,
        complete=draw(st.booleans()),
        status=draw(st.sampled_from([RequestStatus.SUCCESS, RequestStatus.FAILURE])),
        chargeable=Chargeable.YES if usage is not None else Chargeable.POSSIBLY,
        run_id=draw(st.sampled_from([None, "run-a", "run-b"])),
        workflow=draw(st.sampled_from([None, "w"])),
        attribution=draw(OWNERS),
        origin=Origin(**origin),
    )


@st.composite
def tellings(draw: st.DrawFn) -> Telling:
    view = draw(views())
    entry = (view, charge_of(view))
    kind = draw(st.sampled_from(["charge"] * 8 + ["replaces", "sighting", "run"]))
    if kind == "charge":
        return lambda ledger: ledger.record([entry])
    if kind == "replaces":
        gone = draw(st.sampled_from(IDS[:2]))
        return lambda ledger: ledger.record([entry], replaces=[gone] if gone < view.event_id else [])
    if kind == "sighting":
        seen = Sighting("joined", "response_id", IDS[3], "framework", replace(view, event_id=IDS[1]), entry[1])
        return lambda ledger: ledger.record([], sightings=[seen])
    return lambda ledger: ledger.start_run("run-a", workflow="named", started_ns=900)


def outcome(where: Where, told: Sequence[Telling], breaks: Sequence[int]) -> dict[str, Any]:
    """What a ledger says after it was told this, taken in as often as that."""
    where.clear()
    told_to(where.ledger(), told, breaks)
    assert list(check(where.location)) == []
    with where.reader() as reader:
        return {
            by: [
                (row.keys, row.currency, row.atto, row.attempts, row.input_tokens, row.output_tokens, row.unpriced)
                for row in reader.answer(Query((by,) if by else ()))
            ]
            for by in ("", "tenant", "user", "model", "workflow", "meter", "status", "label:x")
        } | {"sightings": sorted(map(repr, reader.sightings()))}


def test_any_order_repetition_and_splitting_gives_the_same_sums_and_sightings(where: Where) -> None:
    def law(data: st.DataObject) -> None:
        told = data.draw(st.lists(tellings(), min_size=1, max_size=7))
        again = data.draw(st.lists(st.sampled_from(told), max_size=3))
        other = data.draw(st.permutations([*told, *again]))
        breaks = data.draw(st.lists(st.integers(0, 9), max_size=4))
        assert outcome(where, told, []) == outcome(where, other, breaks)

    where.law(law, st.data())


@pytest.mark.parametrize("reverse", [False, True], ids=["link first", "link last"])
@pytest.mark.parametrize("breaks", [[], [0]], ids=["at once", "one by one"])
def test_a_view_that_tells_whose_work_it_is_and_nothing_else_counts_for_that(
    where: Where, reverse: bool, breaks: list[int]
) -> None:
    caller, below = (UsageEvent(one, "p", "chat", "m", {"input": 3}, 1_000, 1_005) for one in IDS[:3:2])
    link = replace(below, usage=None, complete=False, chargeable=Chargeable.POSSIBLY, origin=Origin(upstream_id=IDS[0]))
    views = [link, below] if not reverse else [below, link]
    told = [lambda ledger, one=one: ledger.record([(one, charge_of(one))]) for one in (caller, *views)]
    ((_, _, atto, attempts, *_),) = outcome(where, told, [*breaks, 1] if breaks else [])[""]
    assert (atto, attempts) == (9, 1), "the attempt below counts, and not the caller's beside it"


def test_a_view_that_does_not_say_its_run_leaves_the_run_its_name(where: Where) -> None:
    first = UsageEvent(
        IDS[0], "p", "chat", "m", {"input": 3}, 1_000, 1_005, run_id="run-a", workflow="w", complete=False
    )
    more = replace(first, usage={"input": 3, "output": 1}, run_id=None, workflow=None, complete=True)
    told = [
        lambda ledger: ledger.record([(first, charge_of(first))]),
        lambda ledger: ledger.start_run("run-a", workflow="named", started_ns=900),
        lambda ledger: ledger.record([(more, charge_of(more))]),
    ]
    for breaks in ([], [0, 1]):
        assert [row[0] for row in outcome(where, told, breaks)["workflow"]] == [("named",)]


def seen(n: int, usage: dict[str, int], **known: Any) -> UsageEvent:
    return UsageEvent(IDS[n], "p", "chat", "m", usage, 1_000, 1_005, **known)


JOINED = [
    seen(0, {"input": 1}, origin=Origin(gateway=True, gateway_call_id="g-0")),
    seen(0, {"input": 1}),
    seen(0, {"input": 20, "output": 3}),
    seen(2, {"input": 5}, origin=Origin(upstream_id="gateway:g-0")),
]
"""An attempt that one view of it joins with one further down, and others do not; the last is what counts."""


@pytest.mark.parametrize("told", [*permutations(range(len(JOINED)))], ids=str)
@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
def test_what_any_view_joins_stays_joined_in_any_order(where: Where, told: Sequence[int], at_once: bool) -> None:
    tellings = [partial(Ledger.record, entries=[(JOINED[n], charge_of(JOINED[n]))]) for n in told]
    found = outcome(where, tellings, [] if at_once else range(len(tellings)))
    assert found[""] == [((), "USD", 15, 1, 5, 0, 0)]
