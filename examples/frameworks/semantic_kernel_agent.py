"""An agent of Semantic Kernel. Needs OPENAI_API_KEY."""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


async def ask() -> None:
    """Ask one agent one question."""
    service = OpenAIChatCompletion(ai_model_id="gpt-4.1-mini", async_client=AsyncOpenAI())
    agent = ChatCompletionAgent(service=service, name="helper")
    agent.kernel.add_function("tools", kernel_function(name="search")(search))
    print(await agent.get_response(messages="How much is tea?"))


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
