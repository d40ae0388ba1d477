"""The loops of autogen."""

from __future__ import annotations

from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.tools import AgentTool
from autogen_ext.models.openai import OpenAIChatCompletionClient

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKED = "helper", "How much is tea?"
REPORTS = "nothing"  # it has no spans of models
ASKS_WITH = "task"


def model(emulator: ProviderEmulator) -> OpenAIChatCompletionClient:
    return OpenAIChatCompletionClient(model="gpt-4o", base_url=emulator.openai_base_url, api_key="test-key")


def agent(emulator: ProviderEmulator, *, failing: bool = False, **options: Any) -> AssistantAgent:
    tools: Any = [searcher(failing=failing)]
    return AssistantAgent(
        "helper", model_client=model(emulator), tools=tools, reflect_on_tool_use=True, max_tool_iterations=3, **options
    )


async def answer(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(task=ASKED)


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(task=ASKED)


async def failing_tool(emulator: ProviderEmulator) -> Any:
    return await agent(emulator, failing=True).run(task=ASKED)


async def two_tools(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(task=ASKED)


async def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = AgentTool(AssistantAgent("researcher", model_client=model(emulator), description="Find out."))
    return await AssistantAgent("helper", model_client=model(emulator), tools=[inner], max_tool_iterations=2).run(
        task=ASKED
    )
