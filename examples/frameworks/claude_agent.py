"""A question to the Claude Agent SDK, with a tool. Needs ANTHROPIC_API_KEY."""

from __future__ import annotations

import asyncio
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, create_sdk_mcp_server, query, tool

import aicost


def search(query: str) -> str:
    """Search for what is known.

    Args:
        query: what to look for
    """
    return f"A kilogram of {query} is 12 euros."


async def ask() -> None:
    """Ask one agent one question."""

    @tool("search", "Search for what is known.", {"query": str})
    async def look(asked: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": search(asked["query"])}]}

    options = ClaudeAgentOptions(
        model="claude-sonnet-4-5",
        mcp_servers={"tea": create_sdk_mcp_server("tea", "1.0.0", [look])},
        allowed_tools=["mcp__tea__search"],
        tools=[],
    )
    async for message in query(prompt="How much is tea?", options=options):
        print(message)


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
