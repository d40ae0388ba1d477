"""The loops of strands-agents."""

from __future__ import annotations

from typing import Any

from strands import Agent, tool
from strands.models.openai import OpenAIModel

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKED = "helper", "How much is tea?"
REPORTS = "estimated"  # its spans name no provider, and the model's name is taken for it


def model(emulator: ProviderEmulator) -> OpenAIModel:
    return OpenAIModel(client_args={"api_key": "test-key", "base_url": emulator.openai_base_url}, model_id="gpt-4o")  # type: ignore[no-untyped-call,unused-ignore]


def agent(emulator: ProviderEmulator, *, failing: bool = False, **options: Any) -> Agent:
    tools = [tool(searcher(failing=failing))]
    return Agent(model=model(emulator), tools=tools, name="helper", callback_handler=None, **options)


def answer(emulator: ProviderEmulator) -> Any:
    return agent(emulator)(ASKED)


def tool_sync(emulator: ProviderEmulator) -> Any:
    return agent(emulator)(ASKED)


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).invoke_async(ASKED)


async def tool_stream(emulator: ProviderEmulator) -> Any:
    return [event async for event in agent(emulator).stream_async(ASKED)]


def failing_tool(emulator: ProviderEmulator) -> Any:
    return agent(emulator, failing=True)(ASKED)


def two_tools(emulator: ProviderEmulator) -> Any:
    return agent(emulator)(ASKED)


def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = Agent(model=model(emulator), name="researcher", callback_handler=None)

    @tool
    def researcher(query: str) -> str:
        """Find out."""
        return str(inner(query))

    return Agent(model=model(emulator), tools=[researcher], name="helper", callback_handler=None)(ASKED)
