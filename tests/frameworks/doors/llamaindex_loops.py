"""The loops of llama-index."""

from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI
from workflows.errors import WorkflowRuntimeError

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKED = "helper", "How much is tea?"


def model(emulator: ProviderEmulator) -> OpenAI:
    return OpenAI(
        model="gpt-4o",
        api_base=emulator.openai_base_url,
        api_key="test-key",
        additional_kwargs={"stream_options": {"include_usage": True}},
    )


def agent(emulator: ProviderEmulator, *, failing: bool = False, **options: Any) -> FunctionAgent:
    tools: Any = [searcher(failing=failing)]
    return FunctionAgent(name="helper", tools=tools, llm=model(emulator), **options)


async def answer(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(ASKED)


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(ASKED)


async def tool_stream(emulator: ProviderEmulator) -> Any:
    handler = agent(emulator).run(ASKED)
    events = [event async for event in handler.stream_events()]
    await handler
    return events


async def two_tools(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(ASKED)


async def failing_tool(emulator: ProviderEmulator) -> Any:
    return await agent(emulator, failing=True).run(ASKED)


async def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = FunctionAgent(name="researcher", tools=[], llm=model(emulator))

    async def researcher(query: str) -> str:
        """Find out."""
        return str(await inner.run(query))

    return await FunctionAgent(name="helper", tools=[researcher], llm=model(emulator)).run(ASKED)


async def limit(emulator: ProviderEmulator) -> None:
    try:
        await agent(emulator).run(ASKED, max_iterations=4)
    except (WorkflowRuntimeError, ValueError):
        return
    raise AssertionError("the loop was to be stopped")
