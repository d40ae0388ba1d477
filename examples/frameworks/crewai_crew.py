"""A crew of CrewAI. Needs OPENAI_API_KEY."""

from __future__ import annotations

import os

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


def ask() -> None:
    """Ask one agent one question."""
    model = LLM(model="openai/gpt-4o-mini", base_url=os.environ.get("OPENAI_BASE_URL"))
    agent = Agent(role="helper", goal="To help.", backstory="A merchant.", llm=model, tools=[tool("search")(search)])
    task = Task(description="How much is tea?", expected_output="A price.", agent=agent, name="ask")
    print(Crew(agents=[agent], tasks=[task], name="tea").kickoff())


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
