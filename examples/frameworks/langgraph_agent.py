"""A LangGraph agent with a tool. Needs OPENAI_API_KEY."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


def ask() -> None:
    """Ask one agent one question."""
    agent = create_agent(ChatOpenAI(model="gpt-4.1-mini"), [search], name="helper")
    print(agent.invoke({"messages": [("user", "How much is tea?")]})["messages"][-1].content)


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
