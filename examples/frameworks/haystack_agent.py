"""An agent of Haystack. Needs OPENAI_API_KEY."""

from __future__ import annotations

import os

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


def ask() -> None:
    """Ask one agent one question."""
    model = OpenAIChatGenerator(model="gpt-4.1-mini", api_base_url=os.environ.get("OPENAI_BASE_URL"))
    agent = Agent(chat_generator=model, tools=[create_tool_from_function(search)])
    print(agent.run(messages=[ChatMessage.from_user("How much is tea?")])["messages"][-1].text)


def main() -> None:
    """Say what each step cost."""
    aicost.init(service_name="tea", exporter="none")
    with aicost.run_scope("tea", tenant_id="t-42") as run:
        ask()
    for step, cost in run.steps.items():
        print(f"{step}: {cost} USD")
    print(f"{run.calls} calls, {run.cost} USD")


if __name__ == "__main__":
    main()
