"""The loops of claude-agent-sdk: its real program, told that Anthropic is the emulator."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, create_sdk_mcp_server, query, tool

from aicost.testing import ProviderEmulator
from tests.frameworks.loops import searcher

WORKFLOW = AGENT = "claude"
TOOL, ASKED = "mcp__tea__search", "How much is tea?"
PER_CALL = False  # a turn is one event for each model


def options(emulator: ProviderEmulator, *, failing: bool = False, **more: Any) -> ClaudeAgentOptions:
    found = searcher(failing=failing)

    @tool("search", "Search.", {"query": str})
    async def search(asked: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": found(asked["query"])}]}

    return ClaudeAgentOptions(
        model="claude-sonnet-4-5",
        mcp_servers={"tea": create_sdk_mcp_server("tea", "1.0.0", [search])},
        allowed_tools=[TOOL],
        tools=[],
        env={
            "ANTHROPIC_BASE_URL": emulator.anthropic_base_url,
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "IS_SANDBOX": "1",
        },
        **more,
    )


async def ask(emulator: ProviderEmulator, **more: Any) -> list[Any]:
    return [message async for message in query(prompt=ASKED, options=options(emulator, **more))]


async def answer(emulator: ProviderEmulator) -> Any:
    return await ask(emulator)


async def tool_async(emulator: ProviderEmulator) -> Any:
    return await ask(emulator)


async def tool_client(emulator: ProviderEmulator) -> Any:
    async with ClaudeSDKClient(options(emulator)) as client:
        await client.query(ASKED)
        return [message async for message in client.receive_response()]


async def tool_partial_messages(emulator: ProviderEmulator) -> Any:
    return await ask(emulator, include_partial_messages=True)


async def failing_tool(emulator: ProviderEmulator) -> Any:
    return await ask(emulator, failing=True)


async def two_tools(emulator: ProviderEmulator) -> Any:
    return await ask(emulator)


async def limit(emulator: ProviderEmulator) -> None:
    last = None
    with suppress(Exception):  # some versions raise at the end
        async for message in query(prompt=ASKED, options=options(emulator, max_turns=3)):
            last = message
    assert getattr(last, "subtype", None) == "error_max_turns"
