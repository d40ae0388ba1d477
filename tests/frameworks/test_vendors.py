"""Another vendor's instrumentation of the framework and the client beside ours: the ledger is the bill all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec

import pytest

import aicost
from aicost.testing import ProviderEmulator
from tests.conftest import App

from .loops import Loop
from .test_loops import ALL

OPENINFERENCE = {
    "langgraph": "langchain:LangChainInstrumentor",
    "openai-agents": "openai_agents:OpenAIAgentsInstrumentor",
    "llama-index-core": "llama_index:LlamaIndexInstrumentor",
    "crewai": "crewai:CrewAIInstrumentor",
    "smolagents": "smolagents:SmolagentsInstrumentor",
    "dspy": "dspy:DSPyInstrumentor",
    "haystack-ai": "haystack:HaystackInstrumentor",
}
"""By framework: the vendor's module and class."""
SILENT = {("dspy", "client"), ("dspy", "neither")}
"""Where nobody who looks on says what was used: dspy asks with a client of its own, and the vendor counts nothing."""


@contextmanager
def openinference(framework: str) -> Iterator[None]:
    with ExitStack() as stack:
        for which in (OPENINFERENCE[framework], "openai:OpenAIInstrumentor"):
            module, _, owner = which.partition(":")
            if find_spec("openinference") is None or find_spec(f"openinference.instrumentation.{module}") is None:
                pytest.skip(f"openinference-instrumentation-{module} is not installed")
            instrumentor = getattr(import_module(f"openinference.instrumentation.{module}"), owner)()
            instrumentor.instrument(skip_dep_check=True)
            stack.callback(instrumentor.uninstrument)
        yield


@pytest.mark.parametrize("on", ["both", "framework", "client", "neither"])
@pytest.mark.parametrize("loop", [loop for loop in ALL if loop.framework in OPENINFERENCE], ids=str)
def test_the_ledger_is_the_bill_whoever_looks_on(
    loop: Loop, on: str, make_app: Callable[..., App], emulator: ProviderEmulator
) -> None:
    if (loop.framework, on) in SILENT:
        pytest.skip("nobody counts there")
    if on == "neither" and loop.name == "tool_stream_responses":
        pytest.skip("the vendor loses the usage of streams of responses")
    with openinference(loop.framework):
        ours = ((loop.framework,) if on in ("both", "framework") else ()) + (
            ("openai",) if on in ("both", "client") else ()
        )
        app = make_app(instrument=ours)
        with aicost.run_scope("nightly") as run:
            loop(emulator)
    assert app.ledger_total() == run.cost == emulator.bill.total
    assert len(app.charges()) == len(emulator.bill.calls)
