"""The loops of openai-agents."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import (
    Agent,
    MaxTurnsExceeded,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    trace,
    usage,
)
from openai import AsyncOpenAI

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKS_WITH = "Agent workflow", "input"
REPORTS = "priced" if hasattr(usage, "model_usage_to_span_usage") else "totals"


def model(emulator: ProviderEmulator, kind: Any = OpenAIChatCompletionsModel) -> Any:
    return kind("gpt-4o", AsyncOpenAI(base_url=emulator.openai_base_url, api_key="test-key"))


def agent(emulator: ProviderEmulator, *, failing: bool = False, kind: Any = OpenAIChatCompletionsModel) -> Any:
    settings = ModelSettings(include_usage=True)  # the SDK asks for it by itself only at OpenAI's own address
    tools = [function_tool(searcher(failing=failing))]
    return Agent(name="helper", model=model(emulator, kind), tools=tools, model_settings=settings)


ASKED = "How much is tea?"


async def answer(emulator: ProviderEmulator) -> Any:
    return await Runner.run(agent(emulator), ASKED)


def tool_sync(emulator: ProviderEmulator) -> Any:
    return Runner.run_sync(agent(emulator), ASKED)


async def tool_responses(emulator: ProviderEmulator) -> Any:
    return await Runner.run(agent(emulator, kind=OpenAIResponsesModel), ASKED)


async def tool_stream(emulator: ProviderEmulator) -> Any:
    return [event async for event in Runner.run_streamed(agent(emulator), ASKED).stream_events()]


async def tool_stream_responses(emulator: ProviderEmulator) -> Any:
    streamed = Runner.run_streamed(agent(emulator, kind=OpenAIResponsesModel), ASKED)
    return [event async for event in streamed.stream_events()]


async def failing_tool(emulator: ProviderEmulator) -> Any:
    return await Runner.run(agent(emulator, failing=True), ASKED)


async def two_tools(emulator: ProviderEmulator) -> Any:
    return await Runner.run(agent(emulator), ASKED)


async def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = Agent(name="researcher", model=model(emulator)).as_tool("researcher", "Find out.")
    return await Runner.run(Agent(name="helper", model=model(emulator), tools=[inner]), ASKED)


async def parallel(emulator: ProviderEmulator) -> Any:
    with trace(WORKFLOW):
        return await asyncio.gather(*(Runner.run(agent(emulator), f"part {n}") for n in range(3)))


async def limit(emulator: ProviderEmulator) -> None:
    try:
        await Runner.run(agent(emulator), ASKED, max_turns=4)
    except MaxTurnsExceeded:
        return
    raise AssertionError("the loop was to be stopped")
