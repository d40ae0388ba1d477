"""The loops of semantic-kernel."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKED, TOOL = "helper", "How much is tea?", "tools-search"
REPORTS = "totals"  # its spans do not say what of the input was cached


def model(emulator: ProviderEmulator) -> OpenAIChatCompletion:
    client = AsyncOpenAI(base_url=emulator.openai_base_url, api_key="test-key")
    return OpenAIChatCompletion(ai_model_id="gpt-4o", async_client=client)


def agent(emulator: ProviderEmulator, *, failing: bool = False) -> ChatCompletionAgent:
    made = ChatCompletionAgent(service=model(emulator), name="helper")
    made.kernel.add_function("tools", kernel_function(name="search")(searcher(failing=failing)))
    return made


async def answer(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).get_response(messages=ASKED)


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).get_response(messages=ASKED)


async def tool_stream(emulator: ProviderEmulator) -> Any:
    return [event async for event in agent(emulator).invoke_stream(messages=ASKED)]


async def failing_tool(emulator: ProviderEmulator) -> Any:
    return await agent(emulator, failing=True).get_response(messages=ASKED)


async def two_tools(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).get_response(messages=ASKED)
