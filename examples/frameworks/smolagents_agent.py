"""An agent of smolagents. Needs OPENAI_API_KEY."""

from __future__ import annotations

import os

from smolagents import OpenAIServerModel, ToolCallingAgent, tool

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


def ask() -> None:
    """Ask one agent one question."""
    model = OpenAIServerModel("gpt-4.1-mini", api_base=os.environ.get("OPENAI_BASE_URL"))
    agent = ToolCallingAgent(tools=[tool(search)], model=model, name="helper", verbosity_level=0)
    print(agent.run("How much is tea?"))


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
