"""The checker: what it finds on metrics, events, templates and foreign telemetry, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aicost.testing import assert_conforms, check_metrics, check_spans

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
STEP = {"aicost.step.name": "draft", "aicost.step.id": "s"}
INFERENCE = {
    **CALL,
    "aicost.run.id": "r",
    "aicost.run.root_id": "r",
    "aicost.step.name": "chat",
    "aicost.event.id": "e",
    "aicost.request.status": "success",
    "aicost.request.retry_count": 0,
    "aicost.request.billed": "yes",
    "aicost.usage.source": "none",
    "aicost.cost.status": "unpriced",
    "aicost.cost.reason": "usage_not_reported",
}
ATTEMPT = {
    "aicost.event.id": "e",
    "aicost.request.attempt": 1,
    "aicost.request.status": "success",
    "aicost.request.billed": "yes",
}


def in_span(
    name: str, attributes: dict[str, Any], *events: tuple[str, dict[str, Any]], scope: str = "aicost"
) -> list[str]:
    """What the checker says of one span."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer(scope).start_span(name, attributes=attributes)
    for event in events:
        span.add_event(*event)
    span.end()
    return [f"{found.name}: {found.problem}" for found in check_spans(exporter.get_finished_spans())]


def in_metrics(record: Callable[[Meter], None], *views: View, scope: str = "aicost") -> list[str]:
    """What the checker says of what `record` measures."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], views=views)
    record(provider.get_meter(scope))
    return [f"{found.name}: {found.problem}" for found in check_metrics(reader.get_metrics_data())]


def retries(**attributes: Any) -> Callable[[Meter], None]:
    carried = {name: value for name, value in {**CALL, **attributes}.items() if value is not None}
    return lambda meter: meter.create_counter("aicost.request.retries", "{retry}").add(1, carried)


def duration(meter: Meter) -> None:
    meter.create_histogram("gen_ai.client.operation.duration", "s").record(0.5, CALL)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            lambda meter: meter.create_counter("aicost.vibes").add(1),
            "aicost.vibes: is no metric the registry has",
        ),
        (
            lambda meter: meter.create_counter("gen_ai.vibes").add(1),
            "gen_ai.vibes: is no metric the registry has",
        ),
        (
            lambda meter: meter.create_counter("aicost.request.retries", "s").add(1, CALL),
            "aicost.request.retries: has unit 's', not '{retry}'",
        ),
        (
            lambda meter: meter.create_up_down_counter("aicost.request.retries", "{retry}").add(1, CALL),
            "aicost.request.retries: comes from the instrument updowncounter, not counter",
        ),
        (
            lambda meter: meter.create_histogram("aicost.request.retries", "{retry}").record(1, CALL),
            "aicost.request.retries: comes from the instrument histogram, not counter",
        ),
        (
            lambda meter: meter.create_gauge("aicost.request.retries", "{retry}").set(1, CALL),
            "aicost.request.retries: comes from the instrument gauge, not counter",
        ),
        (
            lambda meter: meter.create_counter("gen_ai.client.operation.duration", "s").add(1, CALL),
            "gen_ai.client.operation.duration: comes from the instrument counter, not histogram",
        ),
        (retries(**{"gen_ai.provider.name": None}), "gen_ai.provider.name: is required beside gen_ai.request.model"),
        (retries(**{"gen_ai.provider.name": 7}), "gen_ai.provider.name: is int 7, not string"),
        (retries(**{"aicost.vibes": "good"}), "aicost.vibes: is no attribute the registry has"),
        (retries(**{"aicost.meter": "input"}), "aicost.meter: does not belong here"),
        (retries(colour="red"), "colour: does not belong here"),
        (retries(**{"aicost.run.id": "r"}), "aicost.run.id: has new values all the time, which a metric cannot bear"),
        (retries(**{"user.id": "u"}), "user.id: has new values all the time, which a metric cannot bear"),
        (retries(**{"session.id": "s"}), "session.id: has new values all the time, which a metric cannot bear"),
    ],
    ids=[
        "unknown aicost metric",
        "unknown gen_ai metric",
        "wrong unit",
        "counter that goes down",
        "histogram for a counter",
        "gauge for a counter",
        "counter for a histogram",
        "missing attribute",
        "wrong type",
        "unknown attribute in our namespace",
        "attribute of another metric",
        "unknown attribute in no namespace",
        "run id",
        "user id",
        "session id",
    ],
)
def test_each_fault_of_a_metric_is_found_once(record: Callable[[Meter], None], expected: str) -> None:
    assert in_metrics(record) == [expected]


@pytest.mark.parametrize(
    ("record", "views"),
    [
        (retries(), []),
        (retries(**{"aicost.team": "support", "aicost.tenant.id": "t-42"}), []),
        (duration, []),
        (duration, [View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation())]),
        (
            lambda meter: meter.create_counter("aicost.request.retries", "{retry}").add(
                1, {"otel.metric.overflow": "true"}
            ),
            [],
        ),
        (lambda meter: meter.create_counter("queue.length", "{job}").add(1, {"colour": "red"}), []),
    ],
    ids=["plain", "owned", "histogram", "exponential histogram", "overflow", "a name that is not ours to judge"],
)
def test_conforming_metrics_have_no_violations(record: Callable[[Meter], None], views: list[View]) -> None:
    assert in_metrics(record, *views) == []


def test_metrics_of_others_are_judged_only_by_our_names() -> None:
    def record(meter: Meter) -> None:
        theirs = {**CALL, "gen_ai.response.model": "m", "server.address": "example.com", "user.id": "u"}
        meter.create_histogram("gen_ai.client.operation.duration", "ms").record(1, theirs)
        meter.create_counter("gen_ai.vibes").add(1, {"aicost.run.id": "r"})
        meter.create_counter("aicost.vibes").add(1)

    assert sorted(in_metrics(record, scope="other")) == [
        "aicost.run.id: has new values all the time, which a metric cannot bear",
        "aicost.vibes: is no metric the registry has",
    ]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (("aicost.attempt", ATTEMPT), []),
        (("exception", {"exception.type": "ValueError"}), []),
        (("aicost.vibes", {}), ["aicost.vibes: is no event the registry has"]),
        (("note", {"aicost.vibes": 1}), ["aicost.vibes: is no attribute the registry has"]),
        (
            ("aicost.outcome", {"aicost.outcome.id": "1", "aicost.outcome.name": "x"}),
            ["aicost.outcome.count: is required and missing"],
        ),
        (
            ("aicost.outcome", {"aicost.outcome.id": "1", "aicost.outcome.name": "x", "aicost.outcome.count": True}),
            ["aicost.outcome.count: is bool True, not int"],
        ),
        (
            ("aicost.attempt", {**ATTEMPT, "aicost.request.status": "retry"}),
            ["error.type: is required when aicost.request.status is one of ['retry', 'timeout', 'failure']"],
        ),
    ],
    ids=["good", "not ours", "unknown", "unknown name on any event", "missing", "wrong type", "condition"],
)
@pytest.mark.parametrize("scope", ["aicost", "other"])
def test_our_events_are_judged_on_anybodys_span(
    event: tuple[str, dict[str, Any]], expected: list[str], scope: str
) -> None:
    assert in_span("step draft", STEP, event, scope=scope) == expected


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("step draft", {}, []),
        ("chat m", {**INFERENCE, "aicost.usage.meter.input": 3}, []),
        ("chat m", {**INFERENCE, "aicost.usage.meter.my.own": 3}, []),
        (
            "chat m",
            {**INFERENCE, "aicost.usage.meter.input": "3"},
            ["aicost.usage.meter.input: is str '3', not double"],
        ),
        ("chat m", {**INFERENCE, "aicost.usage.meter": 3}, ["aicost.usage.meter: is no attribute the registry has"]),
        (
            "chat m",
            {**INFERENCE, "aicost.cost.input.x": 0.5},
            ["aicost.cost.input.x: is no attribute the registry has"],
        ),
        (
            "chat m",
            {**INFERENCE, "gen_ai.usage.cost.vibes": 0.5},
            ["gen_ai.usage.cost.vibes: is no attribute the registry has"],
        ),
        ("chat m", {**INFERENCE, "aicost.usage.flags": ["a", "b"]}, []),
        (
            "chat m",
            {**INFERENCE, "aicost.usage.flags": [1]},
            ["aicost.usage.flags: holds more than strings: (1,)"],
        ),
        ("chat m", {**INFERENCE, "server.address": "x"}, ["server.port: is required beside server.address"]),
        ("chat m", {**INFERENCE, "server.address": "x", "server.port": 443}, []),
        (
            "step draft",
            {"aicost.run.id": "r"},
            ["aicost.run.root_id: is required beside aicost.run.id"],
        ),
        ("step draft", {"aicost.cost.status": "priced"}, ["aicost.cost.status: does not belong here"]),
        (
            "invoke_agent writer",
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer", "aicost.cost.amount": 0.5},
            ["aicost.cost.amount: does not belong here"],
        ),
        ("tidy up", {}, ["gen_ai.operation.name: is of no span type the registry has"]),
    ],
    ids=[
        "step",
        "meter",
        "meter with a dot in its id",
        "meter of the wrong type",
        "template without a key",
        "key below a name that is no template",
        "key below an upstream name",
        "list",
        "list of the wrong type",
        "condition: present, missing",
        "condition: present, met",
        "condition: root run",
        "cost on a step",
        "cost on an agent",
        "no span type",
    ],
)
def test_what_is_said_of_our_spans(name: str, attributes: dict[str, Any], expected: list[str]) -> None:
    assert in_span(name, {**STEP, **attributes}) == expected


def test_a_priced_span_without_an_operation_is_an_incomplete_inference() -> None:
    without = {name: value for name, value in INFERENCE.items() if name != "gen_ai.operation.name"}
    assert in_span("call", without) == ["gen_ai.operation.name: is required and missing"]


def test_an_assertion_names_every_fault_and_its_place() -> None:
    reader = InMemoryMetricReader()
    MeterProvider(metric_readers=[reader]).get_meter("aicost").create_counter("aicost.vibes").add(1)
    with pytest.raises(AssertionError, match=r"metric 'aicost\.vibes': aicost\.vibes: is no metric the registry has"):
        assert_conforms(metrics=reader.get_metrics_data())
    assert_conforms()
