"""One application that does everything a ledger can tell of: what its ledger says, a collector's has to say, too."""

from __future__ import annotations

import contextlib
import random
from decimal import Decimal
from typing import Any

import openai
import wrapt
from opentelemetry import trace

import aicost
from aicost._runtime import _pipeline
from aicost.integrations._operations import Operation, store
from aicost.telemetry.call import Call, CallResult, Target
from aicost.telemetry.state import current
from aicost.testing import Drop, Fail, ProviderEmulator, Reply
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.readers import ResponseView
from aicost.usage.reading import Reading

ASK = [{"role": "user", "content": "hello"}]


def use(emulator: ProviderEmulator) -> None:
    """A workflow with steps, tools, agents and child runs; things that fail, at every level; outcomes; every meter."""
    client = openai.OpenAI(base_url=emulator.openai_base_url, api_key="test", max_retries=2)

    def ask(model: str = "gpt-4o", **more: Any) -> None:
        client.chat.completions.create(model=model, messages=ASK, **more)

    with aicost.run_scope("scoring", version="3", tenant_id="t-1", feature_id="renewals"):
        with aicost.track_step("plan"):
            ask()
            with aicost.track_tool("look-up"):
                ask("gpt-4o-mini")
        emulator.on().then(Fail(status=500), Reply(input_tokens=3000, cached_tokens=1024, output_tokens=70))
        with aicost.track_agent("writer", version="1", customer_id="c-9"):
            ask()  # after one attempt that failed
            with aicost.track_step("polish"), aicost.run_scope("inner"):
                ask()
        with contextlib.suppress(ValueError), aicost.track_step("doomed"):
            ask()
            with aicost.track_tool("inside"):
                ask("gpt-4o-mini")
            with aicost.run_scope("child of the doomed"):
                ask()
            raise ValueError
        stream = client.chat.completions.create(
            model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        for _ in stream:
            pass
        emulator.on().then(Drop(after_chunks=2))
        with contextlib.suppress(Exception):
            for _ in client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True):
                pass
        emulator.on().then(Fail(status=400))
        with contextlib.suppress(openai.BadRequestError):
            ask()
        ask("gpt-4o-mini")  # in place of the one that failed
        ask("nobody-knows-this-model")
        client.embeddings.create(model="text-embedding-3-small", input="hello")
        client.moderations.create(model="omni-moderation-latest", input="hello")
        with aicost.attribution(tenant_id="t-2", team="search"):
            aicost.record_outcome("document", 3, value=Decimal("74.70"), unit="USD")
            aicost.record_outcome("n" * 300, value=7, unit="minutes saved " * 30)
            aicost.record_outcome("ticket", idempotency_key="ticket-7")
            aicost.record_outcome("ticket", idempotency_key="ticket-7")
        _meters()
        _operations_of_a_database()
        _spans_of_a_framework(ask)
    _spans_of_a_framework(ask)
    with contextlib.suppress(LookupError), aicost.run_scope("failing", team="ops"):
        ask()
        with aicost.track_step("fine in itself"):
            ask()
        raise LookupError
    with aicost.run_scope("continued", run_id="a-run-known-elsewhere"):
        ask()
    with aicost.run_scope("continued", run_id="a-run-known-elsewhere"), aicost.track_step("more"):
        ask()
    with aicost.track_step("in no run"):
        ask()
    ask()


def _meters() -> None:
    """Usage of every kind, and how it comes to be priced."""
    usage = {"input": 1000, "input_cache_read": 400, "input_cache_write_5m": 50, "output": 90, "tool_web_search": 2}
    aicost.record_usage(provider="anthropic", model="claude-sonnet-4-5", operation="chat", usage=usage)
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 7}, service_tier="batch")
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 7, "of_no_card": 3})
    aicost.record_usage(
        provider="openai", model="whisper-1", operation="transcribe", usage={"input_audio_seconds": Decimal("7.25")}
    )
    aicost.record_usage(provider="acme", model="gpt-4o", operation="whatever", usage={"input": 7})
    aicost.record_usage(provider="acme", model="m", operation="chat", usage={})

    nowhere = Target("openrouter", "chat", "custom", "openai/gpt-4o")
    for reading, outcome in (
        (Reading({"input": 100}, provider_cost="0.5"), CallResult()),
        (Reading({"input": 100}, flags=("cached_exceeds_input",)), CallResult()),
        (Reading({"input": 100}, complete=False), CallResult()),
        (Reading({"input": 100}), CallResult(estimated=True)),
        (Reading({"input": 100}), CallResult(RequestStatus.FAILURE, Chargeable.YES, "broke")),
        (None, CallResult(RequestStatus.TIMEOUT, Chargeable.POSSIBLY, "ReadTimeout", complete=False)),
        (None, CallResult()),
    ):
        call = Call(_pipeline(), nowhere)
        call.attempt_started()
        call.finish(ResponseView(reading), outcome)


def _operations_of_a_database() -> None:
    """A database that bills by use, one that does not, and what fails."""
    state = current()
    assert state is not None
    for system, units in (
        ("pinecone", {"read_units": 5}),
        ("chroma", None),
        ("pinecone", {"read_gb": Decimal("0.25")}),
    ):
        asked = Operation("query", "query", "documents", "tenant-a", top_k=3, units=units)
        made = store(system, lambda *_, asked=asked: asked)(lambda: state.pipeline)
        wrapt.FunctionWrapper(lambda: ["found"], made)()
        with contextlib.suppress(ConnectionError):
            wrapt.FunctionWrapper(_broken, made)()


def _broken() -> None:
    raise ConnectionError


def _spans_of_a_framework(ask: Any) -> None:
    """Agents and tools that a framework tells of itself, and aicost adopts."""
    tracer = trace.get_tracer("some.framework", "1.0")

    def part(operation: str, key: str, name: str) -> Any:
        return tracer.start_as_current_span(
            f"{operation} {name}", attributes={"gen_ai.operation.name": operation, key: name}
        )

    with part("invoke_agent", "gen_ai.agent.name", "planner"):
        with part("execute_tool", "gen_ai.tool.name", "search"):
            ask()
        with contextlib.suppress(KeyError), part("execute_tool", "gen_ai.tool.name", "breaks"):
            ask()
            raise KeyError
        with aicost.track_agent("planner"):  # another of that name inside it
            ask()
        with tracer.start_as_current_span("chat gpt-4o") as span:
            span.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o",
                    "gen_ai.usage.input_tokens": random.randint(2000, 3000),
                    "gen_ai.usage.output_tokens": 11,
                }
            )
