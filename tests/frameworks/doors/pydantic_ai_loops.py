"""The loops of pydantic-ai."""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry import trace
from pydantic_ai import Agent, ModelRetry, UsageLimitExceeded, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW, ASKED = "helper", "How much is tea?"


def model(emulator: ProviderEmulator, kind: Any = OpenAIChatModel) -> Any:
    return kind("gpt-4o", provider=OpenAIProvider(base_url=emulator.openai_base_url, api_key="test-key"))


def agent(emulator: ProviderEmulator, *, failing: bool = False, kind: Any = OpenAIChatModel) -> Agent:
    found = searcher(failing=failing)

    def search(query: str) -> str:
        """Search."""
        try:
            return found(query)
        except LookupError as error:
            raise ModelRetry(str(error)) from error

    return Agent(model(emulator, kind), name="helper", tools=[search], retries=3)


async def answer(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(ASKED)


def tool_sync(emulator: ProviderEmulator) -> Any:
    return agent(emulator).run_sync(ASKED)


async def tool_responses(emulator: ProviderEmulator) -> Any:
    return await agent(emulator, kind=OpenAIResponsesModel).run(ASKED)


async def tool_stream(emulator: ProviderEmulator) -> Any:
    async with agent(emulator).run_stream(ASKED) as streamed:
        return [text async for text in streamed.stream_text()]


async def failing_tool(emulator: ProviderEmulator) -> Any:
    return await agent(emulator, failing=True).run(ASKED)


async def two_tools(emulator: ProviderEmulator) -> Any:
    return await agent(emulator).run(ASKED)


async def sub_agent(emulator: ProviderEmulator) -> Any:
    inner = Agent(model(emulator), name="researcher")

    async def researcher(query: str) -> str:
        """Find out."""
        return str((await inner.run(query)).output)

    return await Agent(model(emulator), name="helper", tools=[researcher]).run(ASKED)


async def parallel(emulator: ProviderEmulator) -> Any:
    with trace.get_tracer("an.application").start_as_current_span(f"invoke_workflow {WORKFLOW}"):
        return await asyncio.gather(*(agent(emulator).run(f"part {n}") for n in range(3)))


async def limit(emulator: ProviderEmulator) -> None:
    try:
        await agent(emulator).run(ASKED, usage_limits=UsageLimits(request_limit=4))
    except UsageLimitExceeded:
        return
    raise AssertionError("the loop was to be stopped")
