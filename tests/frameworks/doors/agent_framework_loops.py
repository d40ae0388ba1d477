"""The loops of agent-framework."""

from __future__ import annotations

from typing import Any

from agent_framework import Agent
from agent_framework.openai import OpenAIChatClient, OpenAIChatCompletionClient
from openai import AsyncOpenAI

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKED = "helper", "How much is tea?"


def model(emulator: ProviderEmulator, kind: Any = OpenAIChatCompletionClient) -> Any:
    return kind(model="gpt-4o", async_client=AsyncOpenAI(base_url=emulator.openai_base_url, api_key="test-key"))


def agent(emulator: ProviderEmulator, *, failing: bool = False, kind: Any = OpenAIChatCompletionClient) -> Any:
    return Agent(client=model(emulator, kind), name="helper", tools=[searcher(failing=failing)])


async def answer(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(ASKED)


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(ASKED)


async def tool_responses(emulator: ProviderEmulator) -> Any:
    return await agent(emulator, kind=OpenAIChatClient).run(ASKED)


async def tool_stream(emulator: ProviderEmulator) -> Any:
    return [event async for event in agent(emulator).run(ASKED, stream=True)]


async def failing_tool(emulator: ProviderEmulator) -> Any:
    return await agent(emulator, failing=True).run(ASKED)


async def two_tools(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(ASKED)


async def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = Agent(client=model(emulator), name="researcher").as_tool(name="researcher", arg_name="query")
    return await Agent(client=model(emulator), name="helper", tools=[inner]).run(ASKED)
