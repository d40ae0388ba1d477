"""What only openai-agents does: handing over, and processors that others set."""

from __future__ import annotations

import asyncio

import pytest

agents = pytest.importorskip("agents")

import aicost
from aicost.testing import ProviderEmulator, Reply, ToolCall
from tests.conftest import App

from .doors.openai_agents_loops import agent, model
from .test_loops import assert_counted_once, rows


def test_an_agent_that_hands_over_is_named_by_the_one_that_goes_on(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Reply(tool_calls=(ToolCall("transfer_to_expert", {}),)), Reply())
    expert = agents.Agent(name="expert", model=model(emulator))
    triage = agents.Agent(name="triage", model=model(emulator), handoffs=[expert])
    asyncio.run(agents.Runner.run(triage, "How much is tea?"))
    assert_counted_once(app, emulator)
    assert [row.agent for row in app.charges()] == ["triage", "expert"]
    (said,) = [dict(s.attributes or {}) for s in app.spans if s.name == "invoke_agent expert"]
    assert said["aicost.handoff.from"] == "triage"


def test_processors_that_others_set_do_not_replace_ours(app: App, emulator: ProviderEmulator) -> None:
    before = agents.tracing.get_trace_provider()._multi_processor._processors
    try:
        agents.set_trace_processors([])
        asyncio.run(agents.Runner.run(agent(emulator), "How much is tea?"))
        assert len(rows(app, "runs")) == 1
        aicost.uninstrument()
        assert not agents.tracing.get_trace_provider()._multi_processor._processors
    finally:
        agents.set_trace_processors([other for other in before if type(other).__name__ != "AicostProcessor"])


def test_two_runs_in_one_trace_are_one_run(app: App, emulator: ProviderEmulator) -> None:
    async def main() -> None:
        with agents.trace("tea"):
            await agents.Runner.run(agent(emulator), "How much is tea?")
            await agents.Runner.run(agent(emulator), "And coffee?")

    asyncio.run(main())
    (run,) = rows(app, "runs")
    assert (run.workflow, run.ended_ns is not None) == ("tea", True)
    assert_counted_once(app, emulator)
