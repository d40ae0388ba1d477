"""Pricing in the exporter of a process that does nothing else with aicost."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link

from aicost.collector import PricingExporter, price_request
from aicost.telemetry.profiles import CostProfile

from .running import a_request, a_span, chat


def exported(attributes: dict[str, Any], **options: Any) -> Any:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(PricingExporter(memory, **options)))
    tracer = provider.get_tracer("application", "1.2")
    with tracer.start_as_current_span("around") as around:
        link = Link(around.get_span_context())
        with tracer.start_as_current_span("chat gpt-4o", attributes=attributes, links=[link]) as span:
            span.add_event("said", {"x": 1})
    assert provider.force_flush()
    provider.shutdown()
    return memory.get_finished_spans()[0]


def test_a_span_gains_its_cost_and_keeps_everything_else() -> None:
    span = exported(chat(1), profiles=(CostProfile.FLAT,))
    assert span.attributes["aicost.cost.amount_exact"] == "0.0075"
    assert span.attributes["gen_ai.usage.cost"] == 0.0075
    assert span.attributes["aicost.cost.rate_ids"]
    assert (span.name, len(span.links), len(span.events)) == ("chat gpt-4o", 1, 1)
    assert span.instrumentation_scope.version == "1.2"
    assert span.parent is not None


def test_spans_that_are_no_inference_are_the_same_objects() -> None:
    assert not any(key.startswith("aicost.") for key in exported({"http.url": "/"}).attributes)


@pytest.mark.provokes_own_failure
def test_a_failure_of_ours_exports_the_spans_as_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PricingExporter, "_priced", lambda *_: 1 / 0)
    assert dict(exported(chat(2)).attributes) == chat(2)


def test_price_request_is_bytes_to_bytes() -> None:
    data = a_request([a_span()]).SerializeToString()
    assert b"aicost.cost.amount" in price_request(data)
    assert b"gen_ai.usage.cost" in price_request(data, profiles=(CostProfile.FLAT,))
