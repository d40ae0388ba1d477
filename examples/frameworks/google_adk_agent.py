"""An agent of Google's ADK. Needs GOOGLE_API_KEY."""

from __future__ import annotations

import asyncio

from google.adk.agents import Agent
from google.adk.runners import InMemoryRunner
from google.genai import types

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


async def ask() -> None:
    """Ask one agent one question."""
    runner = InMemoryRunner(Agent(name="helper", model="gemini-2.5-flash", tools=[search]), app_name="tea")
    session = await runner.session_service.create_session(app_name="tea", user_id="u")
    asked = types.Content(role="user", parts=[types.Part(text="How much is tea?")])
    async for event in runner.run_async(user_id="u", session_id=session.id, new_message=asked):
        print(event.content)


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
