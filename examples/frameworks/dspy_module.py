"""A module of DSPy, with a tool. Needs OPENAI_API_KEY."""

from __future__ import annotations

import os

import dspy

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


def ask() -> None:
    """Ask one agent one question."""
    model = dspy.LM("openai/gpt-4.1-mini", api_base=os.environ.get("OPENAI_BASE_URL"), cache=False)
    with dspy.context(lm=model):
        print(dspy.Predict("question, notes -> answer")(question="How much is tea?", notes=search("tea")).answer)


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
