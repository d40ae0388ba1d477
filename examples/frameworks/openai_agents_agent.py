"""An agent of the OpenAI Agents SDK. Needs OPENAI_API_KEY."""

from __future__ import annotations

from agents import Agent, Runner, function_tool

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


def ask() -> None:
    """Ask one agent one question."""
    agent = Agent(name="helper", model="gpt-4.1-mini", tools=[function_tool(search)])
    print(Runner.run_sync(agent, "How much is tea?").final_output)


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
