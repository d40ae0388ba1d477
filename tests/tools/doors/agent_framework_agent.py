"""Agents of Microsoft's agent-framework, with its observability on."""

import asyncio

from agent_framework import Agent
from agent_framework.observability import enable_instrumentation
from agent_framework.openai import OpenAIChatClient, OpenAIChatCompletionClient
from common import tracing

provider = tracing()
enable_instrumentation()


def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


def agent(model: str = "gpt-4o", **options: object) -> Agent:
    return Agent(client=OpenAIChatCompletionClient(model=model), name="helper", **options)


async def main() -> None:
    await agent().run("cached question")
    await agent("o3").run("hard question")
    await Agent(client=OpenAIChatClient(model="gpt-5"), name="helper").run("hard question")
    async for _ in agent().run("streamed question", stream=True):
        pass
    await agent(tools=[search]).run("tool question")
    try:
        await agent().run("bad question")
    except Exception as error:
        print("failed as asked:", type(error).__name__)


asyncio.run(main())
provider.shutdown()
