"""The loops of google-adk, with Gemini."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("GOOGLE_API_KEY", "test-key")

import pytest
from google.adk.agents import Agent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models.google_llm import Gemini
from google.adk.runners import InMemoryRunner
from google.adk.tools.agent_tool import AgentTool
from google.genai import types

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKS_WITH = "helper", "request"


def model(emulator: ProviderEmulator) -> Gemini:
    return Gemini(model="gemini-2.5-flash", base_url=emulator.base_url("gemini"))


def agent(emulator: ProviderEmulator, *, failing: bool = False) -> Agent:
    found = searcher(failing=failing)

    def search(query: str) -> str:
        """Search."""
        return found(query)

    return Agent(name="helper", model=model(emulator), tools=[search])


async def ask(made: Agent, mode: StreamingMode = StreamingMode.NONE) -> list[Any]:
    runner = InMemoryRunner(agent=made, app_name="tea")
    session = await runner.session_service.create_session(app_name="tea", user_id="u")
    asked = types.Content(role="user", parts=[types.Part(text="How much is tea?")])
    config = RunConfig(streaming_mode=mode, max_llm_calls=4)
    events = runner.run_async(user_id="u", session_id=session.id, new_message=asked, run_config=config)
    return [event async for event in events]


async def answer(emulator: ProviderEmulator) -> Any:
    return await ask(agent(emulator))


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await ask(agent(emulator))


async def tool_stream(emulator: ProviderEmulator) -> Any:
    return await ask(agent(emulator), StreamingMode.SSE)


async def two_tools(emulator: ProviderEmulator) -> Any:
    return await ask(agent(emulator))


async def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = Agent(name="researcher", model=model(emulator), description="Finds out.")
    return await ask(Agent(name="helper", model=model(emulator), tools=[AgentTool(inner)]))


async def limit(emulator: ProviderEmulator) -> None:
    with pytest.raises(Exception, match="limit"):
        await ask(agent(emulator))
