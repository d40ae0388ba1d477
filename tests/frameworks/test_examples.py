"""The examples run as they are, and print what each step cost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from aicost.testing import ProviderEmulator, Reply, ToolCall

from .doors import FRAMEWORKS

EXAMPLES = Path(__file__).parents[2] / "examples" / "frameworks"
CALL = Reply(tool_calls=(ToolCall("search", {"query": "tea"}),), input_tokens=900, output_tokens=30)
ANSWER = Reply(text="Tea is dear.", input_tokens=1200, output_tokens=80)
FILES = {
    "langgraph": ("langgraph_agent", (CALL, ANSWER)),
    "openai-agents": ("openai_agents_agent", (CALL, ANSWER)),
    "pydantic-ai-slim": ("pydantic_ai_agent", (CALL, ANSWER)),
    "strands-agents": ("strands_agent", (CALL, ANSWER)),
    "semantic-kernel": (
        "semantic_kernel_agent",
        (replace(CALL, tool_calls=(ToolCall("tools-search", {"query": "tea"}),)), ANSWER),
    ),
    "agent-framework-core": ("agent_framework_agent", (CALL, ANSWER)),
    "autogen-core": ("autogen_agent", (CALL, ANSWER)),
    "google-adk": ("google_adk_agent", (CALL, ANSWER)),
    "smolagents": (
        "smolagents_agent",
        (CALL, replace(ANSWER, tool_calls=(ToolCall("final_answer", {"answer": "12 euros"}),))),
    ),
    "crewai": ("crewai_crew", (CALL, ANSWER)),
    "haystack-ai": ("haystack_agent", (CALL, ANSWER)),
    "dspy": ("dspy_module", (replace(ANSWER, text="[[ ## answer ## ]]\nTea is dear.\n\n[[ ## completed ## ]]"),)),
    "llama-index-core": ("llamaindex_agent", (CALL, ANSWER)),
    "claude-agent-sdk": (
        "claude_agent",
        (replace(CALL, tool_calls=(ToolCall("mcp__tea__search", {"query": "tea"}),)), ANSWER),
    ),
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_example_prints_what_each_step_cost(framework: str, emulator: ProviderEmulator, tmp_path: Path) -> None:
    name, replies = FILES[framework]
    emulator.on().then(*replies)
    env = {
        **os.environ,
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": emulator.openai_base_url,
        "OPENAI_AGENTS_DISABLE_TRACING_EXPORT": "1",
        "GOOGLE_API_KEY": "test-key",
        "GOOGLE_GEMINI_BASE_URL": emulator.base_url("gemini"),
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": emulator.anthropic_base_url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "IS_SANDBOX": "1",
        "AICOST_REQUEST_STREAM_USAGE": "true",
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^(\S.*): ([\d.E-]+) USD$", done.stdout, re.MULTILINE)
    total = re.search(r"^(\d+) calls, ([\d.E-]+) USD$", done.stdout, re.MULTILINE)
    assert total is not None, done.stdout
    assert Decimal(total.group(2)) == emulator.bill.total > 0
    assert sum(Decimal(cost) for _, cost in steps) == emulator.bill.total
