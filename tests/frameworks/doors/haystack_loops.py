"""The loops of haystack."""

from __future__ import annotations

from typing import Any

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW = AGENT = "agent"  # an agent has no name of its own
REPORTS = "nothing"  # its tracing says nothing of usage
ASKED = [ChatMessage.from_user("How much is tea?")]


def model(emulator: ProviderEmulator) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(
        model="gpt-4o", api_base_url=emulator.openai_base_url, api_key=Secret.from_token("test-key")
    )


def agent(emulator: ProviderEmulator, *, failing: bool = False) -> Agent:
    return Agent(chat_generator=model(emulator), tools=[create_tool_from_function(searcher(failing=failing))])


def tool_sync(emulator: ProviderEmulator) -> Any:
    return agent(emulator).run(messages=ASKED)


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run_async(messages=ASKED)


def two_tools(emulator: ProviderEmulator) -> Any:
    return agent(emulator).run(messages=ASKED)


def failing_tool(emulator: ProviderEmulator) -> Any:
    return agent(emulator, failing=True).run(messages=ASKED)
