"""The loops of crewai."""

from __future__ import annotations

from typing import Any

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool as as_tool

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKED = "tea", "How much is tea?"
REPORTS = "nothing"  # its events of models come from another thread


def crew(emulator: ProviderEmulator, *, failing: bool = False) -> Crew:
    model = LLM(model="openai/gpt-4o", base_url=emulator.openai_base_url, api_key="test-key")
    tools = [as_tool("search")(searcher(failing=failing))]
    agent = Agent(role="helper", goal="To help.", backstory="Long.", llm=model, tools=tools)
    task = Task(description=ASKED, expected_output="A price.", agent=agent, name="ask")
    return Crew(agents=[agent], tasks=[task], name=WORKFLOW)


def answer(emulator: ProviderEmulator) -> Any:
    return crew(emulator).kickoff()


def tool_sync(emulator: ProviderEmulator) -> Any:
    return crew(emulator).kickoff()


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await crew(emulator).kickoff_async()


if hasattr(Crew, "akickoff"):

    async def tool_native_async(emulator: ProviderEmulator) -> Any:
        return await crew(emulator).akickoff()


def failing_tool(emulator: ProviderEmulator) -> Any:
    return crew(emulator, failing=True).kickoff()
