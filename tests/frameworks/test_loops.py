"""Agent loops of every framework: each call under its run and step, each tool as it ended, each cent once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

import aicost
from aicost.ledger.columns import unpack
from aicost.testing import ProviderEmulator
from tests.conftest import App

from .doors import FRAMEWORKS, loops_of
from .loops import LOOPS, Loop


def _as_it_words_it(module: Any) -> dict[str, Any]:
    """What a framework's file says of all its loops."""
    return {
        key.lower(): getattr(module, key)
        for key in ("WORKFLOW", "TOOL", "ASKS_WITH", "REPORTS", "AGENT", "NAMES_AGENTS", "SAYS", "FINAL", "PER_CALL")
        if hasattr(module, key)
    }


ALL = [
    Loop(framework, name, function, **_as_it_words_it(loops_of(framework)))
    for framework in FRAMEWORKS
    for name, function in vars(loops_of(framework)).items()
    if getattr(function, "__module__", None) == loops_of(framework).__name__
    and any(name.startswith(known) for known in LOOPS)
]
every_loop = pytest.mark.parametrize("loop", ALL, ids=str)


def rows(app: App, table: str) -> list[Any]:
    """The runs or steps of a ledger, their ids as text."""
    aicost.flush()
    with closing(sqlite3.connect(app.ledger_path)) as ledger:
        ledger.row_factory = sqlite3.Row
        found = [dict(row) for row in ledger.execute(f"SELECT * FROM {table} ORDER BY started_ns")]
    return [
        SimpleNamespace(**{name: unpack(one) if isinstance(one, bytes) else one for name, one in row.items()})
        for row in found
    ]


def span_tokens(app: App) -> list[int]:
    """What the spans that are counted say was used."""
    return [said["gen_ai.usage.input_tokens"] + said.get("gen_ai.usage.output_tokens", 0) for said in app.inferences]


def assert_counted_once(app: App, emulator: ProviderEmulator, *, per_call: bool = True) -> None:
    assert app.ledger_total() == emulator.bill.total
    assert len(app.charges()) == (len(emulator.bill.calls) if per_call else 1)
    for span in app.spans:
        said = dict(span.attributes or {})
        # Whoever reports usage is counted, or says why not.
        if "gen_ai.usage.input_tokens" in said and said.get("gen_ai.operation.name") != "invoke_agent":
            assert ("aicost.cost.status" in said) != ("aicost.covered.reason" in said), (span.name, said)


@every_loop
def test_a_loop_is_one_run_with_its_steps(loop: Loop, app: App, emulator: ProviderEmulator) -> None:
    loop(emulator)
    assert_counted_once(app, emulator, per_call=loop.per_call)
    expected, charges = loop.expected, app.charges()
    if not expected.again and loop.per_call:
        assert len(charges) == len(expected.replies)
    (run,) = rows(app, "runs")
    assert {charge.run_id for charge in charges} == {run.run_id}
    assert run.workflow == loop.workflow
    assert run.ended_ns is not None
    steps = rows(app, "steps")
    assert all(step.ended_ns is not None for step in steps), steps
    ended = tuple(step.status for step in steps if (step.kind, step.name) == ("tool", loop.tool))
    if expected.again:
        assert ended
        assert set(ended) == {"ok"}
    else:
        assert ended == expected.tools
    if expected.agents and loop.names_agents:
        agents = {loop.agent if agent == "helper" else agent for agent in expected.agents}
        assert {charge.agent for charge in charges} == agents


@every_loop
def test_a_loop_inside_a_run_of_the_application_belongs_to_it(loop: Loop, app: App, emulator: ProviderEmulator) -> None:
    with aicost.run_scope("nightly", tenant_id="t-1") as run:
        loop(emulator)
    assert_counted_once(app, emulator, per_call=loop.per_call)
    assert run.cost == emulator.bill.total
    assert {(row.run_id, row.workflow, row.attribution.get("tenant_id")) for row in app.charges()} == {
        (run.id, "nightly", "t-1")
    }
    assert [row.run_id for row in rows(app, "runs")] == [run.id]


@every_loop
def test_a_loop_works_as_without_aicost(loop: Loop, emulator: ProviderEmulator) -> None:
    loop(emulator)
    bare = len(emulator.bill.calls)
    assert bare == len(loop.expected.replies) or loop.expected.again


@every_loop
def test_what_only_the_client_reports_is_counted(loop: Loop, make_app: Any, emulator: ProviderEmulator) -> None:
    if not loop.per_call or loop.framework == "dspy":
        pytest.skip("no client that is wrapped is below it")
    app = make_app(instrument=("openai", "google-genai"))
    with aicost.run_scope("nightly") as run:
        loop(emulator)
    assert_counted_once(app, emulator)
    assert run.cost == emulator.bill.total


@every_loop
def test_what_only_the_framework_reports_is_counted(loop: Loop, make_app: Any, emulator: ProviderEmulator) -> None:
    app = make_app(instrument=(loop.framework,))
    loop(emulator)
    if loop.reports == "nothing":
        assert app.charges() == []
        return
    assert {charge.api for charge in app.charges()} == {"reported"}
    if loop.reports == "priced":
        assert_counted_once(app, emulator, per_call=loop.per_call)
        return
    tokens = [sum(n for _, n in sorted(call.usage.items())) for call in emulator.bill.calls]
    assert [sum(span_tokens(app)), len(app.charges())] == [sum(tokens), len(tokens)]
    if loop.reports == "estimated":
        assert {charge.charge_status for charge in app.charges()} == {"estimated"}
