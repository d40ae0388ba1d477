"""An agent of LlamaIndex. Needs OPENAI_API_KEY."""

from __future__ import annotations

import asyncio
import os

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


async def ask() -> None:
    """Ask one agent one question."""
    asked = {"stream_options": {"include_usage": True}}  # an agent streams, and OpenAI says what was used only then
    model = OpenAI(model="gpt-4.1-mini", api_base=os.environ.get("OPENAI_BASE_URL"), additional_kwargs=asked)
    print(await FunctionAgent(name="helper", tools=[search], llm=model).run("How much is tea?"))


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
