"""Owners, labels and what the resource says: one attribution, the same by whichever way it came."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.conftest import App

import aicost
from aicost import ConfigError
from aicost.contrib._requests import Requests
from aicost.scopes import owners
from aicost.scopes.owners import MOST_LABELS, attribute_of, resource_dimensions, span_owners
from aicost.scopes.scope import current_scope
from aicost.semconv.dimensions import BY_KEY, DIMENSIONS, OWNERS, RESOURCE
from aicost.telemetry import state

EVERY_OWNER = {dimension.key: f"{dimension.name}-1" for dimension in OWNERS}
ON_SPANS = {dimension.attribute: f"{dimension.name}-1" for dimension in OWNERS}


class Seen:
    """A ledger that only looks whose each attempt is."""

    def __init__(self) -> None:
        self.attributions: list[Mapping[str, str]] = []

    def record(self, entries: Any, **_: Any) -> None:
        self.attributions += [event.attribution for event, _charge in entries]


def call() -> None:
    aicost.record_usage(provider="acme", model="m", operation="chat", usage={"input": 1})


def seen(app: App | None = None) -> Mapping[str, str]:
    """Whose a call made now is."""
    current = state.current()
    assert current is not None
    store, current.pipeline.store = current.pipeline.store, Seen()
    call()
    (only,) = current.pipeline.store.attributions
    current.pipeline.store = store
    return dict(only)


def on_span(app: App) -> dict[str, Any]:
    return {name: value for name, value in app.inferences[-1].items() if name in ON_SPANS or ".label." in name}


WAYS: dict[str, Callable[[], Any]] = {
    "attribution": lambda: aicost.attribution(**EVERY_OWNER, labels={"cohort": "beta"}),
    "run_scope": lambda: aicost.run_scope("w", **EVERY_OWNER, labels={"cohort": "beta"}),
    "track_workflow": lambda: aicost.track_workflow("w", **EVERY_OWNER, labels={"cohort": "beta"}),
    "track_step": lambda: aicost.track_step("s", **EVERY_OWNER, labels={"cohort": "beta"}),
    "track_agent": lambda: aicost.track_agent("a", **EVERY_OWNER, labels={"cohort": "beta"}),
    "track_tool": lambda: aicost.track_tool("t", **EVERY_OWNER, labels={"cohort": "beta"}),
    "key of a mapping": lambda: aicost.attribution(**EVERY_OWNER, **{"label:cohort": "beta"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_owner_and_label_is_on_events_and_spans(app: App, way: str) -> None:
    with WAYS[way]():
        assert seen() == {**EVERY_OWNER, "label:cohort": "beta"}
    assert on_span(app) == {**ON_SPANS, "aicost.label.cohort": "beta"}


def test_a_decorated_function_has_its_labels(app: App) -> None:
    @aicost.track_step(labels={"cohort": "beta"}, phase="research")
    def draft() -> Mapping[str, str]:
        return seen()

    assert draft() == {"label:cohort": "beta", "phase": "research"}


def test_settings_own_the_whole_process(make_app: Callable[..., App]) -> None:
    app = make_app(attribution={**EVERY_OWNER, "label:cohort": "beta"}, labels={"app": "faq"})
    assert seen() == {**EVERY_OWNER, "label:cohort": "beta", "label:app": "faq"}
    assert on_span(app) == {**ON_SPANS, "aicost.label.cohort": "beta", "aicost.label.app": "faq"}


def test_init_and_the_environment_give_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICOST_LABELS", '{"app": "faq"}')
    for given, expected in (({}, {"app": "faq"}), ({"labels": {"app": "x", "wave": 3}}, {"app": "x", "wave": "3"})):
        aicost.init(exporter="none", instrument=(), **given)
        try:
            assert {k: v for k, v in seen().items() if ":" in k} == {f"label:{k}": v for k, v in expected.items()}
        finally:
            aicost.shutdown()
    with pytest.raises(ConfigError, match=r"init\(labels=...\): 'beta' is not a mapping"):
        aicost.init(labels="beta")


def test_an_inner_scope_changes_one_label_and_keeps_the_others(app: App) -> None:
    with (
        aicost.attribution(labels={"cohort": "beta", "wave": 1}),
        aicost.attribution(labels={"wave": 2, "cohort": None}),
    ):
        assert seen() == {"label:cohort": "beta", "label:wave": "2"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"app.kubernetes.io/name": "faq"}, {"label:app.kubernetes.io/name": "faq"}),
        ({7: 1.5}, {"label:7": "1.5"}),
        ({"": "nothing"}, {}),
        ({"x": "y" * 1000}, {"label:x": "y" * 256}),
        ({"odd\ud83d": "\0"}, {"label:odd\\ud83d": "\\x00"}),
        ({"owner": "jane@example.com"}, {"label:owner": "h:"}),
        ({"jane@example.com": "x"}, {"label:h:": "x"}),
        ({"k" * 1000: "x"}, {"label:" + "k" * 256: "x"}),
    ],
    ids=["as Kubernetes has them", "no texts", "no key", "long", "odd", "personal", "a personal key", "a long key"],
)
def test_labels_are_made_fit_to_export(app: App, labels: Any, expected: dict[str, str]) -> None:
    with aicost.attribution(labels=labels):
        found = seen()
    assert {
        key[: len("label:h:")] if ":h:" in key else key: v[:2] if v[:2] == "h:" else v for key, v in found.items()
    } == (expected)


def test_labels_of_a_scope_are_bounded(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(owners, "_said", False)
    kept = {f"label:{n:02}": "x" for n in range(MOST_LABELS)}
    with aicost.attribution(labels={f"{n:02}": "x" for n in range(10)}), caplog.at_level(logging.WARNING, "aicost"):
        for _ in range(3):
            with aicost.attribution(team="t", labels={f"{n:02}": "x" for n in range(100)}):
                assert seen() == {**kept, "team": "t"}
                with aicost.attribution(labels={"one more": "x", "03": "changed"}):
                    assert seen() == {**kept, "team": "t", "label:03": "changed"}
    assert [record.message for record in caplog.records] == [
        "a scope has 16 labels at most; what is beyond that is left out"
    ]


def test_the_log_names_labels_once_however_many_look_personal(app: App, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(100):
        with aicost.attribution(labels={f"key-{n}": "jane@example.com"}):
            pass
    assert sum("looks like personal data" in record.message for record in caplog.records) <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: aicost.attribution(tennant_id="t"),
        lambda: aicost.run_scope("w", cloud_region="eu"),
        lambda: aicost.track_step("s", **{"label:": "x"}),
        lambda: aicost.track_workflow("w", labels="beta"),
        lambda: Requests(None, None, {"x-region": "cloud_region"}, False),
    ],
)
def test_a_key_that_there_is_not_is_refused_at_once(wrong: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"unknown attribution key|labels: 'beta' is not a mapping"):
        wrong()


def test_a_label_travels_as_baggage_and_in_headers(make_app: Callable[..., App]) -> None:
    make_app(baggage_keys=("label:cohort", "business_unit"), baggage_hosts=("here",))
    headers: dict[str, str] = {}
    with aicost.attribution(business_unit="consumer", labels={"cohort": "beta", "secret": "x"}):
        aicost.inject(headers, host="here")
    assert headers == {"baggage": "aicost.label.cohort=beta,aicost.business_unit=consumer"}
    with aicost.extract(headers):
        assert seen() == {"label:cohort": "beta", "business_unit": "consumer"}
    frame = Requests("w", None, {"x-cohort": "label:cohort"}, False).begin(None, {"x-cohort": "beta"}, None, str)
    assert frame is not None
    assert frame.scope.attribution == {"label:cohort": "beta"}
    frame.end()


def test_a_label_that_baggage_cannot_carry_is_refused(make_app: Callable[..., App]) -> None:
    with pytest.raises(ConfigError, match=r"setting baggage_keys: 'label:a,b' cannot be sent"):
        make_app(baggage_keys=("label:a,b",))
    with pytest.raises(ConfigError, match=r"'tenant' is unknown; known: tenant_id, .*, workflow, or label:KEY"):
        make_app(baggage_keys=("tenant",))


# --- what the resource says

OF_RESOURCE = {
    "cloud.provider": "aws",
    "cloud.account.id": "111111111111",
    "cloud.region": "eu-central-1",
    "k8s.cluster.name": "prod-eu",
    "k8s.namespace.name": "search",
    "k8s.deployment.name": "answers",
    "host.type": "g5.xlarge",
    "service.name": "answers-api",
    "deployment.environment.name": "production",
    "aicost.team": "search",
    "aicost.label.cohort": "beta",
    "process.pid": 7,
}
BY_RESOURCE = {
    "cloud_provider": "aws",
    "cloud_account": "111111111111",
    "cloud_region": "eu-central-1",
    "k8s_cluster": "prod-eu",
    "k8s_namespace": "search",
    "k8s_workload": "answers",
    "host_type": "g5.xlarge",
    "service": "answers-api",
    "environment": "production",
    "team": "search",
    "label:cohort": "beta",
}


@pytest.fixture
def somewhere(make_app: Callable[..., App]) -> Callable[..., App]:
    """An application with a resource, and other settings if need be."""

    def make(attributes: Mapping[str, Any] = OF_RESOURCE, **settings: Any) -> App:
        exporter = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource(attributes))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return make_app(provider=provider, exporter=exporter, **settings)

    return make


def test_what_the_resource_says_is_beneath_every_attribution(somewhere: Callable[..., App]) -> None:
    app = somewhere(attribution={"environment": "staging"})
    assert seen() == {**BY_RESOURCE, "environment": "staging"}, "what the application says wins"
    with aicost.run_scope("w", team="faq", service="batch", tenant_id="t-1"):
        said = {"environment": "staging", "team": "faq", "service": "batch", "tenant_id": "t-1"}
        assert seen() == {**BY_RESOURCE, **said}
    # Every span of the process has the resource: it is not on each again.
    assert on_span(app) == {
        "deployment.environment.name": "staging",
        "aicost.team": "faq",
        "service.name": "batch",
        "aicost.tenant.id": "t-1",
    }


def test_runs_and_outcomes_have_it_too(somewhere: Callable[..., App]) -> None:
    app = somewhere()
    with aicost.run_scope("w", tenant_id="t-1"):
        aicost.record_outcome("document")
    (run,) = (span for span in app.spans if span.name == "invoke_workflow w")
    (outcome,) = run.events
    assert {name for name in outcome.attributes or {} if name in ON_SPANS} == {"aicost.tenant.id"}
    assert current_scope().attribution == BY_RESOURCE


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, {}),
        ({"service.name": "unknown_service"}, {}),
        ({"service.name": "unknown_service:python"}, {}),
        ({"k8s.job.name": "nightly-29301", "k8s.cronjob.name": "nightly"}, {"k8s_workload": "nightly"}),
        ({"k8s.statefulset.name": "indexer"}, {"k8s_workload": "indexer"}),
        ({"k8s.deployment.name": "", "k8s.daemonset.name": "agent"}, {"k8s_workload": "agent"}),
        ({"cloud.account.id": 111111111111}, {"cloud_account": "111111111111"}),
        ({"user.id": "jane@example.com"}, {"user_id": "h:"}),
        ({f"aicost.label.{n:02}": "x" for n in range(99)}, {f"label:{n:02}": "x" for n in range(MOST_LABELS)}),
    ],
    ids=["nothing", "unnamed", "unnamed program", "cron job", "stateful", "empty", "number", "personal", "many labels"],
)
def test_a_resource_is_read(attributes: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    found = resource_dimensions(attributes)
    assert {key: "h:" if value.startswith("h:") else value for key, value in found.items()} == expected


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.key)
def test_a_span_says_owners_and_never_where_the_process_runs(dimension: Any) -> None:
    for attribute in (dimension.attribute, *dimension.others):
        assert resource_dimensions({attribute: "x"}) == {dimension.key: "x"}
        # `cloud.region` of a span is that of the service it called.
        expected = {} if dimension in RESOURCE else {dimension.key: "x"}
        assert span_owners({attribute: "x", "other": 1}) == expected
        if dimension not in RESOURCE:
            assert attribute_of(dimension.key) == attribute


def test_an_application_that_names_its_provider_late_has_its_resource(app: App) -> None:
    assert "cloud_region" not in seen()
    aicost.instrument("openai", tracer_provider=TracerProvider(resource=Resource({"cloud.region": "eu-central-1"})))
    assert seen()["cloud_region"] == "eu-central-1"


def test_an_application_that_sets_its_provider_after_aicost_has_its_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", trace.NoOpTracerProvider())
    state.configure(state.load(ledger=False))
    try:
        own = TracerProvider(resource=Resource({"cloud.region": "eu-central-1"}))
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", own)
        assert "cloud_region" not in current_scope().attribution
        state.PipelineSource()()  # as the first call of a client does
        assert current_scope().attribution["cloud_region"] == "eu-central-1"
    finally:
        state.reset()


def test_without_an_sdk_the_environment_says_it(make_app: Callable[..., App], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "cloud.region=eu-central-1,aicost.team=search")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", trace.NoOpTracerProvider())
    state.configure(state.load(ledger=False))
    try:
        assert seen() == {"cloud_region": "eu-central-1", "team": "search"}
    finally:
        state.reset()


def test_every_dimension_has_a_key() -> None:
    assert set(BY_KEY) == {*EVERY_OWNER, *(dimension.key for dimension in RESOURCE)}
