"""An agent of AutoGen. Needs OPENAI_API_KEY."""

from __future__ import annotations

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


async def ask() -> None:
    """Ask one agent one question."""
    model = OpenAIChatCompletionClient(model="gpt-4o-mini")
    agent = AssistantAgent("helper", model_client=model, tools=[search], reflect_on_tool_use=True)
    print((await agent.run(task="How much is tea?")).messages[-1])


def main() -> None:
    """Say what each step cost."""
    aicost.init(service_name="tea", exporter="none")
    with aicost.run_scope("tea", tenant_id="t-42") as run:
        asyncio.run(ask())
    for step, cost in run.steps.items():
        print(f"{step}: {cost} USD")
    print(f"{run.calls} calls, {run.cost} USD")


if __name__ == "__main__":
    main()
