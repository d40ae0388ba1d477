"""Spans, metrics, ledger and export agree, whatever the sampler and the network do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased
from tests.clients import both as doors
from tests.conftest import App

import aicost
from aicost.scopes.ids import credential_digest
from aicost.telemetry.instruments import MAX_SERIES
from aicost.testing import Fail, OtlpReceiver, ProviderEmulator, Reply, attributes_of

pytestmark = pytest.mark.clients

FULL = Reply(input_tokens=1200, cached_tokens=1024, output_tokens=80, reasoning_tokens=64)


def recorded(sampler: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_metrics_say_what_the_ledger_says(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Fail(status=429), FULL)
    clients = doors.connect(emulator)
    with aicost.attribution(feature_id="search", tenant_id="t-1"):
        doors.chat(clients, "x")
        doors.messages(clients, "x")
        clients.openai.chat.completions.create(model="gpt-99", **doors.said("x"))
    metrics = app.metrics()
    assert sum(metrics["aicost.cost"].values()) == pytest.approx(float(app.ledger_total()), rel=1e-12)
    assert sum(metrics["aicost.request.attempts"].values()) == 4
    assert sum(metrics["aicost.request.retries"].values()) == 1
    assert sum(metrics["aicost.requests.unpriced"].values()) == 1
    usage = {dict(key)["aicost.meter"]: 0 for key in metrics["aicost.usage"]}
    for key, value in metrics["aicost.usage"].items():
        usage[dict(key)["aicost.meter"]] += value
    assert usage["input_cache_read"] == 1024
    assert sum(1 for _ in metrics["gen_ai.client.operation.duration"]) == 3
    for points in metrics.values():
        for key in points:
            assert "aicost.tenant.id" not in dict(key), "tenants are opt-in on metrics"
            assert "aicost.run.id" not in dict(key)


def test_ownership_on_metrics_is_a_choice(make_app: Callable[..., App], emulator: ProviderEmulator) -> None:
    app = make_app(metric_attributes="tenant_id")
    with aicost.attribution(tenant_id="t-1", feature_id="search"):
        doors.chat(doors.connect(emulator), "x")
    (key,) = app.metrics()["aicost.cost"]
    assert dict(key)["aicost.tenant.id"] == "t-1"
    assert "aicost.feature.id" not in dict(key)


def test_too_many_series_are_counted_together_and_nothing_is_lost(app: App) -> None:
    for n in range(MAX_SERIES + 50):
        aicost.record_usage(provider="acme", model=f"m-{n}", operation="chat", usage={"input": 1})
    points = app.metrics()["aicost.usage"]
    assert len(points) == MAX_SERIES + 1
    assert sum(points.values()) == MAX_SERIES + 50


@pytest.mark.parametrize("sampler", [TraceIdRatioBased(0.01), ALWAYS_OFF], ids=["1 %", "off"])
def test_money_is_exact_whatever_is_sampled(
    make_app: Callable[..., App], emulator: ProviderEmulator, sampler: Any
) -> None:
    provider, exporter = recorded(sampler)
    app = make_app(provider=provider, exporter=exporter)
    clients = doors.connect(emulator)
    spent, calls = Decimal(0), 0
    for n in range(60):
        with aicost.run_scope("w") as current:  # each run is a trace, and a trace is sampled as a whole
            [doors.chat, doors.chat_stream, doors.messages, doors.embeddings][n % 4](clients, "x")
        spent, calls = spent + current.cost, calls + current.calls
    assert len(exporter.get_finished_spans()) < 30
    assert app.total().calls == calls == 60
    assert app.ledger_total() == spent == emulator.bill.total
    assert sum(app.metrics()["aicost.cost"].values()) == pytest.approx(float(emulator.bill.total), rel=1e-12)


def test_without_any_sdk_money_still_counts(make_app: Callable[..., App], emulator: ProviderEmulator) -> None:
    from opentelemetry.trace import NoOpTracerProvider

    app = make_app(provider=NoOpTracerProvider())
    clients = doors.connect(emulator)
    for _ in range(3):
        doors.chat(clients, "x")
        doors.embeddings(clients, "x")
    assert app.total().calls == 6
    assert app.ledger_total() == emulator.bill.total


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_spans_arrive_by_otlp_with_their_cost(
    make_app: Callable[..., App], emulator: ProviderEmulator, protocol: str
) -> None:
    with OtlpReceiver() as receiver:
        exporter: Any
        if protocol == "http":
            exporter = HttpExporter(endpoint=f"{receiver.http_endpoint}/v1/traces")
        else:
            exporter = GrpcExporter(endpoint=receiver.grpc_endpoint, insecure=True)
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporter))
        make_app(provider=provider)
        with aicost.run_scope("w", tenant_id="t-1"):
            doors.chat(doors.connect(emulator), "x")
        assert provider.force_flush()
        provider.shutdown()
        spans = {span.name: attributes_of(span) for span in receiver.spans}
    assert spans["chat gpt-4o"]["aicost.tenant.id"] == "t-1"
    assert Decimal(spans["chat gpt-4o"]["aicost.cost.amount_exact"]) == emulator.bill.total
    assert spans["invoke_workflow w"]["gen_ai.workflow.name"] == "w"


def test_an_unreachable_backend_costs_the_application_nothing(
    make_app: Callable[..., App], emulator: ProviderEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(HttpExporter(endpoint="http://127.0.0.1:9/v1/traces", timeout=1)))
    app = make_app(provider=provider)
    clients = doors.connect(emulator)
    doors.chat(clients, "warm up")
    began = time.perf_counter()
    for _ in range(20):
        doors.chat(clients, "x")
    assert time.perf_counter() - began < 1
    assert app.ledger_total() == emulator.bill.total
    caplog.set_level(logging.CRITICAL)
    provider.shutdown()


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ("flat", {"gen_ai.usage.cost"}),
        ("semconv", {"gen_ai.usage.cost.amount", "gen_ai.usage.cost.currency", "gen_ai.usage.cost.source"}),
        ("openinference", {"llm.cost.total", "llm.cost.prompt", "llm.cost.completion"}),
        ("", set()),
    ],
)
def test_other_tools_names_are_written_when_asked_for(
    make_app: Callable[..., App], emulator: ProviderEmulator, profile: str, names: set[str]
) -> None:
    app = make_app(cost_profiles=profile)
    emulator.on().then(FULL)
    doors.chat(doors.connect(emulator), "x")
    found = app.inference
    assert {name for name in found if name.startswith(("gen_ai.usage.cost", "llm.cost"))} == names
    if profile == "openinference":
        assert found["llm.cost.prompt"] + found["llm.cost.completion"] == pytest.approx(found["llm.cost.total"])


def test_a_whole_span(app: App, emulator: ProviderEmulator) -> None:
    """What one call looks like in a backend, all of it."""
    emulator.on().then(FULL)
    with aicost.run_scope("support", tenant_id="t-1", feature_id="search") as current, aicost.track_step("draft"):
        doors.chat(doors.connect(emulator), "x")
    found = app.inference
    step = next(dict(s.attributes or {}) for s in app.spans if s.name == "step draft")
    billed = emulator.bill.calls[0]
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.response.id": billed.call_id,
        "server.address": "127.0.0.1",
        "server.port": emulator.port,
        "gen_ai.workflow.name": "support",
        "aicost.tenant.id": "t-1",
        "aicost.feature.id": "search",
        "aicost.run.id": current.id,
        "aicost.run.root_id": current.id,
        "aicost.step.name": "draft",
        "aicost.step.id": step["aicost.step.id"],
        "aicost.event.id": app.charges()[0].event_id,
        "aicost.provider.credential": credential_digest("test-key"),
        "aicost.provider.request_id": "req_0",
        "aicost.request.status": "success",
        "aicost.request.retry_count": 0,
        "aicost.request.billed": "yes",
        "aicost.usage.source": "provider",
        "aicost.usage.complete": True,
        "aicost.usage.meter.input": 176,
        "aicost.usage.meter.input_cache_read": 1024,
        "aicost.usage.meter.output": 16,
        "aicost.usage.meter.output_reasoning": 64,
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 80,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.reasoning.output_tokens": 64,
        "aicost.cost.status": "priced",
        "aicost.cost.amount": 0.00252,
        "aicost.cost.amount_exact": "0.00252",
        "aicost.cost.currency": "USD",
        "aicost.cost.input": 0.00044,
        "aicost.cost.cache_read": 0.00128,
        "aicost.cost.output": 0.00016,
        "aicost.cost.reasoning": 0.00064,
        "aicost.cost.rate_card": "bundled@2026-11-25",
        "aicost.cost.rate_ids": (
            "openai/gpt-4o/input@always",
            "openai/gpt-4o/input_cache_read@always",
            "openai/gpt-4o/output@always",
            "openai/gpt-4o/output@always",
        ),
    }


def test_outside_any_run_the_trace_is_the_run(app: App, emulator: ProviderEmulator) -> None:
    doors.chat(doors.connect(emulator), "x")
    (span,) = app.spans
    found = app.inference
    assert span.context is not None
    assert found["aicost.run.id"] == found["aicost.run.root_id"] == f"{span.context.trace_id:032x}"
    assert (found["aicost.run.implicit"], found["aicost.step.name"]) == (True, "chat")
    assert app.charges()[0].run_id == found["aicost.run.id"]
