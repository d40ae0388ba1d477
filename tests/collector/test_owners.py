"""Whose a call is, in a collector: as its own process says, from the resource and the span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aicost
from aicost.collector.pricer import Priced, Pricer
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel
from aicost.scopes.owners import MOST_LABELS
from aicost.scopes.scope import current_scope
from tests.conftest import App

from .running import a_request, a_span, chat, put

KERNEL = Kernel(RateCard.bundled())
OF_RESOURCE = {
    "cloud.region": "eu-central-1",
    "k8s.statefulset.name": "indexer",
    "service.name": "answers-api",
    "aicost.team": "search",
    "aicost.label.app": "faq",
}
BY_RESOURCE = {
    "cloud_region": "eu-central-1",
    "k8s_workload": "indexer",
    "service": "answers-api",
    "team": "search",
    "label:app": "faq",
}


def priced(data: bytes) -> Priced:
    return Pricer(KERNEL, events=True).price(data)


def attribution(done: Priced) -> Mapping[str, str]:
    ((event, _charge),) = done.counted[0].entries
    return event.attribution


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {}),
        ({"aicost.team": "faq", "user.id": "u-1"}, {"team": "faq", "user_id": "u-1"}),
        ({"gen_ai.conversation.id": "c-1", "session.id": "s-1"}, {"conversation_id": "c-1", "session_id": "s-1"}),
        ({"aicost.label.app": "x", "aicost.label.cohort": "beta"}, {"label:app": "x", "label:cohort": "beta"}),
        ({"aicost.label.": "x"}, {}),
        ({"cloud.region": "us-east-1", "k8s.deployment.name": "x"}, {}),
        (
            {"aicost.phase": "research", "aicost.forecast_category": "growth"},
            {"phase": "research", "forecast_category": "growth"},
        ),
        ({"user.id": "jane@example.com"}, {"user_id": "h:"}),
        ({"aicost.business_unit": 7}, {"business_unit": "7"}),
        # One label of the resource is there already.
        ({f"aicost.label.{n:02}": "x" for n in range(99)}, {f"label:{n:02}": "x" for n in range(MOST_LABELS - 1)}),
    ],
    ids=[
        "nothing",
        "owners",
        "subjects",
        "labels",
        "no key",
        "of the server",
        "new",
        "personal",
        "number",
        "many labels",
    ],
)
def test_a_span_s_owners_are_above_the_resource_s(said: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    request = a_request(
        [a_span({**chat(1), **said})], scope="opentelemetry.instrumentation.google_genai", version="1.3"
    )
    for name, value in OF_RESOURCE.items():
        put(request.resource_spans[0].resource, name, value)
    found = attribution(priced(request.SerializeToString()))
    assert {key: "h:" if value.startswith("h:") else value for key, value in found.items()} == {
        **BY_RESOURCE,
        **expected,
    }


def test_a_process_and_the_collector_its_spans_go_to_say_the_same(make_app: Callable[..., App]) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(OF_RESOURCE))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = make_app(provider=provider, exporter=exporter, attribution={"environment": "production"})
    with aicost.run_scope("w", tenant_id="t-1", labels={"cohort": "beta", "app": "other"}):
        aicost.record_usage(provider="acme", model="m", operation="chat", usage={"input": 1})
        aicost.record_outcome("document")
        own = dict(current_scope().attribution)
    done = priced(encode_spans(app.spans).SerializeToString())
    assert attribution(done) == own
    assert done.lifetimes is not None
    (run,), (outcome,) = done.lifetimes.told.runs, done.lifetimes.told.outcomes
    assert run.attribution == outcome.attribution == own
    assert own == {
        **BY_RESOURCE,
        "environment": "production",
        "tenant_id": "t-1",
        "label:cohort": "beta",
        "label:app": "other",
    }
