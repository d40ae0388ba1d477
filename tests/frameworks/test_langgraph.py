"""What only langgraph and langchain do: interrupts, resuming, sub-graphs, links, callbacks that fail, streams left."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest

pytest.importorskip("langgraph")

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from opentelemetry import trace

import aicost
from aicost.integrations import _activities
from aicost.telemetry.call import Target
from aicost.testing import Fail, ProviderEmulator, Reply
from tests.conftest import App

from .doors.langgraph_loops import agent, model
from .test_loops import assert_counted_once, rows

PROMPT = ChatPromptTemplate.from_messages([("user", "{q}")])


class State(TypedDict, total=False):
    """Of the graphs below."""

    said: str


def graph(emulator: ProviderEmulator, saver: Any, name: str = "approval") -> Any:
    def draft(state: State) -> dict[str, Any]:
        return {"said": model(emulator).invoke("draft").content}

    def approve(state: State) -> dict[str, Any]:
        return {"said": interrupt("good?")}

    def send(state: State) -> dict[str, Any]:
        return {"said": model(emulator).invoke("send").content}

    made = StateGraph(State)
    for step in (draft, approve, send):
        made.add_node(step.__name__, step)
    made.add_edge(START, "draft")
    made.add_edge("draft", "approve")
    made.add_edge("approve", "send")
    made.add_edge("send", END)
    return made.compile(checkpointer=saver, name=name)


def test_a_graph_that_stops_to_ask_goes_on_as_the_same_run(app: App, emulator: ProviderEmulator) -> None:
    built = graph(emulator, InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    stopped = built.invoke({}, config)
    assert "__interrupt__" in stopped
    assert config == {"configurable": {"thread_id": "t"}}
    assert built.invoke(Command(resume="yes"), config)["said"]
    assert_counted_once(app, emulator)
    (run,) = rows(app, "runs")
    assert (run.workflow, run.status) == ("approval", "ok")
    assert [(row.step, row.run_id) for row in app.charges()] == [
        ("draft", run.run_id),
        ("send", run.run_id),
    ]
    # Stopping to ask is no failure, and nothing was wasted.
    assert {step.status for step in rows(app, "steps")} == {"ok"}
    # Another question on the same thread is another run.
    built.invoke({}, config)
    assert len(rows(app, "runs")) == 2


def test_async_graphs_go_on_as_the_same_run(app: App, emulator: ProviderEmulator) -> None:
    async def main() -> None:
        built = graph(emulator, InMemorySaver())
        config: Any = {"configurable": {"thread_id": "t"}}
        await built.ainvoke({}, config)
        await built.ainvoke(Command(resume="yes"), config)

    asyncio.run(main())
    assert_counted_once(app, emulator)
    assert len(rows(app, "runs")) == 1


RESUME = """
import sys, aicost
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from tests.frameworks.test_langgraph import graph

class Emulator:
    openai_base_url = sys.argv[2]

aicost.init(ledger=sys.argv[3])
with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    graph(Emulator, saver).invoke(Command(resume="yes"), {"configurable": {"thread_id": "t"}})
aicost.shutdown()
"""


def test_a_run_goes_on_in_another_process(app: App, emulator: ProviderEmulator, tmp_path: Path) -> None:
    saver = pytest.importorskip("langgraph.checkpoint.sqlite").SqliteSaver
    with saver.from_conn_string(str(tmp_path / "graph.sqlite")) as checkpoints:
        graph(emulator, checkpoints).invoke({}, {"configurable": {"thread_id": "t"}})
    command = [sys.executable, "-c", RESUME, tmp_path / "graph.sqlite", emulator.openai_base_url, app.ledger_path]
    subprocess.run([str(part) for part in command], check=True, timeout=60)
    assert app.ledger_total() == emulator.bill.total
    assert len({row.run_id for row in app.charges()}) == 1
    assert [row.step for row in app.charges()] == ["draft", "send"]


def test_a_subgraph_is_a_step_with_steps_in_it(app: App, emulator: ProviderEmulator) -> None:
    inner = StateGraph(State)
    inner.add_node("look", lambda _: {"said": model(emulator).invoke("look").content})
    inner.add_edge(START, "look")
    outer = StateGraph(State)
    outer.add_node("research", inner.compile())
    outer.add_edge(START, "research")
    outer.compile(name="outer").invoke({})
    assert_counted_once(app, emulator)
    steps = {step.name: step for step in rows(app, "steps")}
    assert steps["look"].parent_step_id is not None
    assert [row.step for row in app.charges()] == ["look"]
    assert len(rows(app, "runs")) == 1


@pytest.mark.parametrize("mode", ["sync", "async", "batch", "stream"])
def test_retries_and_fallbacks_are_linked(app: App, emulator: ProviderEmulator, mode: str) -> None:
    def ask(chain: Any) -> None:
        if mode == "async":
            asyncio.run(chain.ainvoke({"q": "tea"}))
        elif mode == "batch":
            chain.batch([{"q": "tea"}])
        elif mode == "stream":
            list(chain.stream({"q": "tea"}))
        else:
            chain.invoke({"q": "tea"})

    emulator.on().then(Fail(status=400), Reply(), Fail(status=400), Reply())
    with aicost.run_scope("nightly") as run:
        ask(PROMPT | model(emulator, max_retries=0).with_fallbacks([_mini(emulator)]))
        if mode != "stream":  # langchain does not try a stream again
            ask(PROMPT | model(emulator, max_retries=0).with_retry(stop_after_attempt=2, wait_exponential_jitter=False))
    first, second, *again = app.charges()
    assert (second.fallback_of, second.retry_of) == (first.event_id, None)
    assert run.fallbacks == 1
    if mode != "stream":
        third, fourth = again
        assert (fourth.retry_of, fourth.fallback_of) == (third.event_id, None)
        assert run.app_retries == 1


def _mini(emulator: ProviderEmulator) -> Any:
    return model(emulator, max_retries=0).model_copy(update={"model_name": "gpt-4o-mini"})


def test_parallel_branches_are_not_each_others_retries(app: App, emulator: ProviderEmulator) -> None:
    emulator.on(contains="bad").then(Fail(status=400))
    chain = PROMPT | model(emulator, max_retries=0)
    with aicost.run_scope("nightly") as run:
        chain.batch([{"q": "bad"}, {"q": "good"}, {"q": "fine"}], {"max_concurrency": 1}, return_exceptions=True)
    assert (run.app_retries, run.fallbacks) == (0, 0)
    assert_no_links(app)


def assert_no_links(app: App) -> None:
    assert [(row.retry_of, row.fallback_of) for row in app.charges()] == [(None, None)] * len(app.charges())


@pytest.mark.parametrize("on", [("langchain-core",), ("langchain-core", "openai")], ids=["framework", "both"])
def test_what_langchains_cache_answers_is_no_call(
    make_app: Callable[..., App], emulator: ProviderEmulator, on: tuple[str, ...]
) -> None:
    app = make_app(instrument=on)
    set_llm_cache(InMemoryCache())
    try:
        asked = model(emulator)
        asked.invoke("How much is tea?")
        asked.invoke("How much is tea?")
    finally:
        set_llm_cache(None)
    assert len(emulator.bill.calls) == 1
    assert_counted_once(app, emulator)
    assert (app.spans[-1].attributes or {})["aicost.covered.reason"] == "cache"


@pytest.mark.parametrize("kind", ["chain", "graph"])
def test_a_stream_that_is_left_leaves_nothing_behind(app: App, emulator: ProviderEmulator, kind: str) -> None:
    chain = PROMPT | model(emulator)
    streamed = (
        chain.stream({"q": "tea"})
        if kind == "chain"
        else agent(emulator).stream({"messages": [("user", "hi")]}, stream_mode="messages")
    )
    for _ in streamed:
        # What the application does between two chunks is not part of the chain.
        assert not trace.get_current_span().get_span_context().is_valid
        break
    streamed.close()
    gc.collect()
    assert not trace.get_current_span().get_span_context().is_valid
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1})
    aicost.flush()
    assert app.charges()[-1].workflow is None
    (run,) = rows(app, "runs")
    assert run.ended_ns is not None


def test_a_handler_of_the_application_that_raises_changes_nothing_for_us(app: App, emulator: ProviderEmulator) -> None:
    class Broken(BaseCallbackHandler):
        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("mine")

    (PROMPT | model(emulator)).invoke({"q": "tea"}, {"callbacks": [Broken()]})
    assert_counted_once(app, emulator)


@pytest.mark.provokes_own_failure
def test_a_failure_of_ours_changes_nothing_for_the_application(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_activities, "open_step", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(_activities, "open_run", lambda *_, **__: 1 / 0)
    assert (PROMPT | model(emulator)).invoke({"q": "tea"}).content
    assert agent(emulator).invoke({"messages": [("user", "hi")]})["messages"]
    assert app.ledger_total() == emulator.bill.total


def test_a_tool_that_returns_megabytes_costs_no_memory_of_ours(app: App, emulator: ProviderEmulator) -> None:
    big = RunnableLambda(lambda _: "x" * 5_000_000, name="big")
    for _ in range(20):
        (PROMPT | big).invoke({"q": "tea"})
    assert all(len(str(span.attributes)) < 5_000 for span in app.spans)


def test_activities_that_never_end_do_not_fill_the_memory(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from aicost.telemetry.state import current

    state = current()
    assert state is not None
    monkeypatch.setattr(_activities, "MAX_OPEN", 10)
    activities = _activities.Activities(lambda: state.pipeline, "test")
    for number in range(100):
        activities.begin(number, "workflow", "endless")
    assert len(activities._open) == 10
    assert len([row for row in rows(app, "runs") if row.ended_ns is not None]) == 90
    activities.ask("asked", Target("openai", "chat", "reported", "gpt-4o"))
    for number in range(100, 111):
        activities.begin(number, "step", "endless")
    assert [(row.chargeable, row.run_id is not None) for row in app.charges()] == [("possibly", True)]


def test_uninstrumented_langchain_is_as_it_was(app: App, emulator: ProviderEmulator) -> None:
    from langchain_core.runnables import config
    from langchain_core.tracers import context

    aicost.uninstrument()
    assert not hasattr(config._set_config_context, "__wrapped__")
    assert not any("aicost" in str(hook[0]) for hook in context._configure_hooks)
    (PROMPT | model(emulator)).invoke({"q": "tea"})
    assert app.spans == []
