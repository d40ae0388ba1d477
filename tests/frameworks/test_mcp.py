"""Tools behind MCP: a step on either side, in one trace, and the owner along where that is allowed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

mcp = pytest.importorskip("mcp")

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

import aicost
from aicost.testing import OtlpReceiver, attributes_of
from tests.conftest import App

from .doors import CHOSEN
from .test_loops import rows

pytestmark = pytest.mark.skipif(CHOSEN is not None and "mcp" not in CHOSEN.split(","), reason="another's turn")

SERVER = Path(__file__).parent / "mcp_server.py"


async def ask(tool: str, env: dict[str, str]) -> Any:
    server = StdioServerParameters(command=sys.executable, args=[str(SERVER)], env=env)
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        return await session.call_tool(tool, {"query": "tea"})


def call(tool: str, receiver: OtlpReceiver, **more: str) -> Any:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint, "PYTHONPATH": ":".join(sys.path), **more}
    return asyncio.run(asyncio.wait_for(ask(tool, env), 60))


def test_a_tool_is_a_step_on_both_sides_of_one_trace(app: App) -> None:
    with OtlpReceiver() as receiver:
        with aicost.run_scope("nightly"):
            call("search", receiver)
        (there,) = [s for s in receiver.spans if attributes_of(s).get("gen_ai.tool.name") == "search"]
    (here,) = [s for s in app.spans if s.name == "execute_tool search"]
    assert there.trace_id.hex() == f"{here.context.trace_id:032x}"
    assert [(s.name, s.kind, s.status) for s in rows(app, "steps")] == [("search", "tool", "ok")]


def test_a_tool_that_fails_is_a_step_that_failed(app: App) -> None:
    with OtlpReceiver() as receiver, aicost.run_scope("nightly"):
        result = call("broken", receiver)
    assert getattr(result, "is_error", None) or getattr(result, "isError", None)
    assert [(s.name, s.status) for s in rows(app, "steps")] == [("broken", "failed")]


@pytest.mark.parametrize("allowed", [True, False])
def test_who_it_is_for_goes_along_where_that_is_allowed(make_app: Callable[..., App], allowed: bool) -> None:
    keys = {"baggage_keys": ("tenant_id", "run_id", "workflow"), "baggage_hosts": ("mcp",)} if allowed else {}
    make_app(**keys)
    with OtlpReceiver() as receiver:
        with aicost.run_scope("nightly", tenant_id="t-1") as run:
            call("search", receiver, AICOST_BAGGAGE_KEYS="tenant_id,run_id,workflow")
        (there,) = [s for s in receiver.spans if attributes_of(s).get("gen_ai.tool.name") == "search"]
    said = attributes_of(there)
    assert (said.get("aicost.tenant.id"), said.get("aicost.run.id")) == (("t-1", run.id) if allowed else (None, None))
