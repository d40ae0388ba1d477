"""Fixtures: a provider emulator, the application under test, and what it emitted.

Whatever any test emits is checked against the semantic-convention registry when the test ends.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aicost
from aicost import integrations
from aicost._money import to_decimal
from aicost._settings import load
from aicost.integrations._response_body import end_open
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.sums import Sums
from aicost.telemetry import guard, state
from aicost.testing import ProviderEmulator, assert_conforms

from .servers.clickhouse import clickhouse_server, clickhouse_url  # noqa: F401 - fixtures
from .servers.fake import fake_server  # noqa: F401 - a fixture
from .servers.postgresql import postgresql_server, postgresql_url  # noqa: F401 - fixtures

if os.environ.get("AICOST_TEST_CANARY"):  # whatever version is installed is the one to try
    for _name in integrations.INTEGRATIONS:
        type(integrations.load(_name)).requires = _name

# What is kept for the user, as the key of digests is, is not kept for whoever runs the tests.
_state = tempfile.TemporaryDirectory(prefix="aicost-tests-")
os.environ["XDG_STATE_HOME"] = _state.name

_exporter = InMemorySpanExporter()
_provider = TracerProvider()
_provider.add_span_processor(SimpleSpanProcessor(_exporter))
trace.set_tracer_provider(_provider)


@dataclass
class App:
    """An application with aicost set up: its spans, metrics and ledger."""

    ledger_path: Path
    provider: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    metrics_seen: list[Any] = field(default_factory=list)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Finished spans in the order they ended."""
        return list(self.exporter.get_finished_spans())

    @property
    def inferences(self) -> list[dict[str, Any]]:
        """The attributes of the inference spans."""
        return [dict(s.attributes or {}) for s in self.spans if "aicost.cost.status" in (s.attributes or {})]

    @property
    def inference(self) -> dict[str, Any]:
        """The attributes of the only inference span."""
        (only,) = self.inferences
        return only

    def metrics(self) -> dict[str, dict[tuple[tuple[str, Any], ...], Any]]:
        """Metric points by name: value of sums, or sum of histograms, by attributes."""
        data = self.reader.get_metrics_data()
        self.metrics_seen.append(data)
        found: dict[str, dict[tuple[tuple[str, Any], ...], Any]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = found.setdefault(metric.name, {})
                    for point in metric.data.data_points:
                        value = point.value if hasattr(point, "value") else point.sum
                        points[tuple(sorted((point.attributes or {}).items()))] = value
        return found

    def total(self) -> Sums:
        """The ledger's totals."""
        aicost.flush()
        with LedgerReader(self.ledger_path) as ledger:
            rows = ledger.answer(Query())
        assert len(rows) == 1, rows
        return rows[0]

    def ledger_total(self) -> Decimal:
        """The ledger's exact total in USD."""
        aicost.flush()
        with LedgerReader(self.ledger_path) as ledger:
            return to_decimal(sum(row.atto for row in ledger.answer(Query())))

    def charges(self) -> list[Any]:
        """The ledger's rows, one per attempt."""
        aicost.flush()
        with LedgerReader(self.ledger_path) as ledger:
            return ledger.charges()


@pytest.fixture
def emulator() -> Iterator[ProviderEmulator]:
    """Emulated providers on loopback."""
    with ProviderEmulator() as running:
        yield running


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[..., App]]:
    """Sets aicost up with given settings, a ledger and in-memory telemetry."""
    made: list[App] = []

    def make(
        *, provider: TracerProvider = _provider, exporter: InMemorySpanExporter = _exporter, **settings: Any
    ) -> App:
        _exporter.clear()
        reader = InMemoryMetricReader()
        settings.setdefault("ledger", tmp_path / "ledger.sqlite")
        redact = settings.pop("redact", None)
        chosen = load(**settings)
        state.configure(
            chosen, tracer_provider=provider, meter_provider=MeterProvider(metric_readers=[reader]), redact=redact
        )
        integrations.instrument(chosen.instrument)
        app = App(Path(settings["ledger"]), provider, exporter, reader)
        made.append(app)
        return app

    yield make
    end_open()
    for app in made:
        app.metrics()
    aicost.shutdown()
    for app in made:
        assert_conforms(app.spans)
        for data in app.metrics_seen:
            assert_conforms(metrics=data)


@pytest.fixture
def app(make_app: Callable[..., App]) -> App:
    """The application with the settings everybody has."""
    return make_app()


@pytest.fixture(autouse=True)
def _all_spans_conform() -> Iterator[None]:
    """Every span that any test emits on the global provider is as the registry says."""
    _exporter.clear()
    yield
    spans = _exporter.get_finished_spans()
    _exporter.clear()
    assert_conforms(spans)


@pytest.fixture(autouse=True)
def _no_own_failures(request: pytest.FixtureRequest) -> Iterator[None]:
    """No failure inside aicost goes unnoticed, unless the test provokes one."""
    before = sum(guard.errors().values())
    yield
    if "provokes_own_failure" not in request.keywords:
        assert sum(guard.errors().values()) == before, guard.errors()


def run(coroutine: Any) -> Any:
    """Run a coroutine to its end."""
    return asyncio.run(coroutine)
