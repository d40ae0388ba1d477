"""Whoever looks on, the ledger is the bill: every pair of framework, client, client's own spans and other vendor."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

import aicost
from aicost.testing import ProviderEmulator, Reply
from tests.conftest import App

MODES = ("invoke", "ainvoke", "stream", "astream", "batch")
MODELS = ("openai", "anthropic")
VENDORS = {
    None: (),
    "openinference": ("openinference.instrumentation.{}:{}Instrumentor",),
    "openllmetry": ("opentelemetry.instrumentation.{}:{}Instrumentor",),
}
_CLASSES = {"openai": "OpenAI", "anthropic": "Anthropic"}
_HAS_SPANS = hasattr(import_module("anthropic._base_client"), "start_api_call_span")
REPLIES = tuple(Reply(input_tokens=n, cached_tokens=256, output_tokens=40 + n % 7) for n in (1200, 1201, 1202))


def cells() -> Iterator[Any]:
    # Those without another vendor come first: not all of them can be turned off again.
    for vendor, model, mode, framework, client, native in itertools.product(
        VENDORS, MODELS, MODES, (True, False), (True, False), (True, False)
    ):
        if native and (model == "openai" or not _HAS_SPANS):
            continue  # it has no spans of its own
        words = [model, mode, "framework" * framework, "client" * client, "native" * native, vendor or ""]
        yield pytest.param(model, mode, framework, client, native, vendor, id="-".join(word for word in words if word))


@contextmanager
def other_vendor(name: str | None, model: str) -> Iterator[None]:
    """Another vendor's instrumentation of the client and of langchain, both on."""
    with ExitStack() as stack:
        for path in VENDORS[name]:
            for package, owner in (
                (model, _CLASSES[model]),
                ("langchain", "LangChain" if "openinf" in path else "Langchain"),
            ):
                module, _, attribute = path.format(package, owner).partition(":")
                if find_spec(module.partition(".")[0]) is None or find_spec(module) is None:
                    pytest.skip(f"{module} is not installed")
                instrumentor = getattr(import_module(module), attribute)()
                instrumentor.instrument(skip_dep_check=True)
                stack.callback(instrumentor.uninstrument)
        yield


def connect(model: str, emulator: ProviderEmulator) -> Any:
    if model == "openai":
        return ChatOpenAI(model="gpt-4o", base_url=emulator.openai_base_url, api_key="test-key", stream_usage=True)  # type: ignore[arg-type,unused-ignore]
    return ChatAnthropic(
        model="claude-sonnet-4-5", base_url=emulator.anthropic_base_url, api_key="test-key", max_tokens=100
    )  # type: ignore[call-arg,arg-type,unused-ignore]


def ask(model: Any, mode: str) -> None:
    async def streamed() -> None:
        async for _ in model.astream("How much is tea?"):
            pass

    steps: dict[str, Callable[[], Any]] = {
        "invoke": lambda: model.invoke("How much is tea?"),
        "ainvoke": lambda: asyncio.run(model.ainvoke("How much is tea?")),
        "stream": lambda: list(model.stream("How much is tea?")),
        "astream": lambda: asyncio.run(streamed()),
        "batch": lambda: model.batch(["How much is tea?", "And coffee?", "And cocoa?"]),
    }
    steps[mode]()


@pytest.mark.parametrize(("model", "mode", "framework", "client", "native", "vendor"), list(cells()))
def test_the_ledger_is_the_bill(
    model: str,
    mode: str,
    framework: bool,
    client: bool,
    native: bool,
    vendor: str | None,
    make_app: Callable[..., App],
    emulator: ProviderEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", "true" if native else "false")
    monkeypatch.setenv("AICOST_ANTHROPIC_NATIVE_SPANS", "keep" if native else "silence")
    monkeypatch.setitem(os.environ, "TRACELOOP_TRACE_CONTENT", "false")
    with other_vendor(vendor, model):
        on = (("langchain-core",) if framework else ()) + ((model,) if client else ())
        app = make_app(instrument=on)
        emulator.on().then(*REPLIES)
        with aicost.run_scope("nightly") as run:
            ask(connect(model, emulator), mode)
    seen = bool(on) or native or vendor is not None
    assert app.ledger_total() == run.cost == (emulator.bill.total if seen else 0)
    assert len(app.charges()) == (len(emulator.bill.calls) if seen else 0)
