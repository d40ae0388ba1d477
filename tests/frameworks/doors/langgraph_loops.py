"""The loops of langgraph 1.x, with langchain's agents and models."""

from __future__ import annotations

import inspect
from typing import Any, TypedDict

from langchain.agents import create_agent, factory
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW = "helper"
NAMES_AGENTS = "lc_agent_name" in inspect.getsource(factory)


def model(emulator: ProviderEmulator, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="gpt-4o", base_url=emulator.openai_base_url, api_key="test-key", stream_usage=True, **options
    )  # type: ignore[arg-type,unused-ignore]


def agent(emulator: ProviderEmulator, *, failing: bool = False, **options: Any) -> Any:
    return create_agent(model(emulator), [tool(searcher(failing=failing))], name=WORKFLOW, **options)


ASKED: Any = {"messages": [("user", "How much is tea?")]}


def answer(emulator: ProviderEmulator) -> Any:
    return agent(emulator).invoke(ASKED)


def tool_sync(emulator: ProviderEmulator) -> Any:
    return agent(emulator).invoke(ASKED)


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).ainvoke(ASKED)


def tool_stream(emulator: ProviderEmulator) -> Any:
    return list(agent(emulator).stream(ASKED, stream_mode="messages"))


async def tool_astream(emulator: ProviderEmulator) -> Any:
    return [event async for event in agent(emulator).astream(ASKED, stream_mode="messages")]


def tool_batch(emulator: ProviderEmulator) -> Any:
    return agent(emulator).batch([ASKED])


def two_tools(emulator: ProviderEmulator) -> Any:
    return agent(emulator).invoke(ASKED)


def _retried(call: Any, handler: Any) -> Any:
    try:
        return handler(call)
    except LookupError as error:
        from langchain_core.messages import ToolMessage

        return ToolMessage(str(error), tool_call_id=call.tool_call["id"])


def failing_tool(emulator: ProviderEmulator) -> Any:
    from langchain.agents.middleware import wrap_tool_call

    return agent(emulator, failing=True, middleware=[wrap_tool_call(_retried)]).invoke(ASKED)


def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = create_agent(model(emulator), [], name="researcher")

    @tool
    def researcher(query: str) -> str:
        """Find out."""
        return str(inner.invoke({"messages": [("user", query)]})["messages"][-1].content)

    return create_agent(model(emulator), [researcher], name=WORKFLOW).invoke(ASKED)


class State(TypedDict, total=False):
    """Of the graph below."""

    part: int
    done: list[str]


def parallel(emulator: ProviderEmulator) -> Any:
    def look(state: State) -> dict[str, Any]:
        model(emulator).invoke(f"part {state.get('part')}")
        return {}

    graph = StateGraph(State)
    graph.add_node("look", look)
    graph.add_conditional_edges(START, lambda _: [Send("look", {"part": n}) for n in range(3)])
    graph.add_edge("look", END)
    return graph.compile(name=WORKFLOW).invoke({})


def limit(emulator: ProviderEmulator) -> None:
    try:
        agent(emulator).invoke(ASKED, {"recursion_limit": 6})
    except GraphRecursionError:
        return
    raise AssertionError("the loop was to be stopped")
