"""The agent loops that each framework runs. A framework's loops are in a file of its own."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

_FILES = {
    "langgraph": ("langgraph", "langgraph_loops"),
    "pydantic-ai-slim": ("pydantic_ai", "pydantic_ai_loops"),
    "google-adk": ("google.adk", "google_adk_loops"),
    "strands-agents": ("strands", "strands_loops"),
    "semantic-kernel": ("semantic_kernel", "semantic_kernel_loops"),
    "agent-framework-core": ("agent_framework", "agent_framework_loops"),
    "autogen-core": ("autogen_core", "autogen_loops"),
    "smolagents": ("smolagents", "smolagents_loops"),
    "crewai": ("crewai", "crewai_loops"),
    "haystack-ai": ("haystack", "haystack_loops"),
    "dspy": ("dspy", "dspy_loops"),
    "llama-index-core": ("llama_index", "llamaindex_loops"),
    "claude-agent-sdk": ("claude_agent_sdk", "claude_agent_loops"),
    "openai-agents": ("agents", "openai_agents_loops"),
}
"""By package: what it is imported as, and the file of its loops."""

CHOSEN = os.environ.get("AICOST_TEST_FRAMEWORKS")
"""The frameworks to test, by package and separated by commas; all that are installed when it is not set."""
FRAMEWORKS = [
    name
    for name in (CHOSEN.split(",") if CHOSEN else _FILES)
    if name in _FILES and find_spec(_FILES[name][0]) is not None
]


def loops_of(framework: str) -> ModuleType:
    """The module with a framework's loops."""
    return import_module(f"{__name__}.{_FILES[framework][1]}")
