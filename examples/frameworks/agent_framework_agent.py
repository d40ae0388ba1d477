"""An agent of Microsoft's Agent Framework. Needs OPENAI_API_KEY."""

from __future__ import annotations

import asyncio

from agent_framework import Agent
from agent_framework.openai import OpenAIChatCompletionClient

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


async def ask() -> None:
    """Ask one agent one question."""
    agent = Agent(client=OpenAIChatCompletionClient(model="gpt-4.1-mini"), name="helper", tools=[search])
    print(await agent.run("How much is tea?"))


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
