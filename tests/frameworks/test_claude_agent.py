"""What only claude-agent-sdk does: sessions of several turns, whose results count from their beginning."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("claude_agent_sdk")

from claude_agent_sdk import ClaudeSDKClient

import aicost
from aicost.testing import ProviderEmulator, Reply
from tests.conftest import App

from .doors.claude_agent_loops import options
from .test_loops import rows


def test_each_turn_of_a_session_costs_what_it_added(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(
        Reply(input_tokens=2000, cached_tokens=500, cache_write_1h=300, cache_write_5m=200, output_tokens=50),
        Reply(input_tokens=3000, cached_tokens=1500, output_tokens=70, web_searches=2),
    )

    async def main() -> None:
        async with ClaudeSDKClient(options(emulator)) as client:
            for asked in ("How much is tea?", "And coffee?"):
                with aicost.run_scope(asked):
                    await client.query(asked)
                    _ = [message async for message in client.receive_response()]

    asyncio.run(main())
    first, second = emulator.bill.calls
    costs = {row.workflow: row.atto for row in app.charges()}
    assert set(costs) == {"How much is tea?", "And coffee?"}
    assert app.ledger_total() == emulator.bill.total == first.amount + second.amount
    assert len(rows(app, "runs")) == 2
