"""The loops of smolagents."""

from __future__ import annotations

from typing import Any

from smolagents import OpenAIServerModel, ToolCallingAgent
from smolagents import tool as as_tool

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKED = "helper", "How much is tea?"
REPORTS = "nothing"  # it has no events of models
FINAL = "final_answer"
ASKS_WITH = "task"


def model(emulator: ProviderEmulator) -> OpenAIServerModel:
    return OpenAIServerModel("gpt-4o", api_base=emulator.openai_base_url, api_key="test-key")


def agent(emulator: ProviderEmulator, *, failing: bool = False) -> ToolCallingAgent:
    tools = [as_tool(searcher(failing=failing))]
    return ToolCallingAgent(tools=tools, model=model(emulator), name="helper", description="Helps.", verbosity_level=0)


def answer(emulator: ProviderEmulator) -> Any:
    return agent(emulator).run(ASKED)


def tool_sync(emulator: ProviderEmulator) -> Any:
    return agent(emulator).run(ASKED)


def tool_stream(emulator: ProviderEmulator) -> Any:
    return list(agent(emulator).run(ASKED, stream=True))


def failing_tool(emulator: ProviderEmulator) -> Any:
    return agent(emulator, failing=True).run(ASKED)


def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = ToolCallingAgent(
        tools=[], model=model(emulator), name="researcher", description="Finds out.", verbosity_level=0
    )
    return ToolCallingAgent(
        tools=[], model=model(emulator), managed_agents=[inner], name="helper", description="Helps.", verbosity_level=0
    ).run(ASKED)
