"""An agent of autogen."""

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient
from common import tracing

provider = tracing()


def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


def agent(**options: object) -> AssistantAgent:
    return AssistantAgent("helper", model_client=OpenAIChatCompletionClient(model="gpt-4o"), **options)


async def main() -> None:
    await agent().run(task="cached question")
    await agent(tools=[search], reflect_on_tool_use=True).run(task="tool question")
    await RoundRobinGroupChat([agent()], max_turns=1).run(task="plain question")
    try:
        await agent().run(task="bad question")
    except Exception as error:
        print("failed as asked:", type(error).__name__)


asyncio.run(main())
provider.shutdown()
