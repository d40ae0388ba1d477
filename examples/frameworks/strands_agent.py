"""An agent of Strands. Needs OPENAI_API_KEY."""

from __future__ import annotations

from strands import Agent, tool
from strands.models.openai import OpenAIModel

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


def ask() -> None:
    """Ask one agent one question."""
    model = OpenAIModel(model_id="gpt-4.1-mini")
    print(Agent(model=model, tools=[tool(search)], name="helper", callback_handler=None)("How much is tea?"))


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
