"""Setting up OpenTelemetry for an application that has not: providers and exporters, from the standard settings."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple
from weakref import WeakSet

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from aicost._errors import ConfigError

from . import guard

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)


class _Ids(RandomIdGenerator):
    """Ids of the operating system's randomness. The SDK draws its own from `random`, which applications seed: two
    processes that seed it alike would be in one trace, and an implicit run is a trace."""

    def generate_span_id(self) -> int:
        """A span's id."""
        return int.from_bytes(os.urandom(8), "big") or 1

    def generate_trace_id(self) -> int:
        """A trace's id."""
        return int.from_bytes(os.urandom(16), "big") or 1


# OpenTelemetry lets the global providers be set only once, so one that was closed here stays and is passed over.
_made: WeakSet[Any] = WeakSet()
_closed: WeakSet[Any] = WeakSet()


class Providers(NamedTuple):
    """What spans and metrics go through. None where the application's own is no SDK's, or nothing is exported."""

    tracer_provider: TracerProvider | None
    meter_provider: MeterProvider | None
    processor: BatchSpanProcessor | None
    """What exports the spans of the tracer provider, if that was asked for here."""

    def put_in_force(self) -> None:
        """Export from now on, and make global what was made here."""
        tracing, metering, processor = self
        if tracing is not None and processor is not None:
            tracing.add_span_processor(processor)
        if tracing in _made and trace.get_tracer_provider() not in _closed:
            trace.set_tracer_provider(tracing)  # type: ignore[arg-type]
        if metering in _made and metrics.get_meter_provider() not in _closed:
            metrics.set_meter_provider(metering)  # type: ignore[arg-type]

    def discard(self) -> None:
        """Leave nothing of what was made here behind."""
        if self.processor is not None:
            self.processor.shutdown()  # type: ignore[no-untyped-call]
        for made in self[:2]:
            if made in _made:
                _made.discard(made)
                made.shutdown()  # type: ignore[union-attr]


def set_up(exporter: str | SpanExporter | None, service_name: str | None) -> Providers:
    """The application's own providers where it has set them, else new ones; what is global stays so until it is told.

    An exporter given as an object gets the spans of either; a named one only those of a provider made here. Raises
    `ConfigError` for exporters that cannot be made as the environment describes them, and leaves nothing behind.
    """
    tracing, metering = trace.get_tracer_provider(), metrics.get_meter_provider()
    makes_tracing = isinstance(tracing, trace.ProxyTracerProvider) or tracing in _closed
    makes_metering = type(metering).__name__ == "_ProxyMeterProvider" or metering in _closed
    name = exporter if exporter is None or isinstance(exporter, str) else None
    spans_to = exporter if name is not exporter else span_exporter(name) if makes_tracing else None
    metrics_to = metric_exporter(name) if makes_metering else None
    resource = _resource(service_name)
    processor = None
    try:
        processor = BatchSpanProcessor(spans_to) if isinstance(spans_to, SpanExporter) else None
        readers = [PeriodicExportingMetricReader(metrics_to)] if metrics_to is not None else []
    except ValueError as error:
        if processor is not None:
            processor.shutdown()  # type: ignore[no-untyped-call]
        raise ConfigError(f"an OTEL_* variable has a value that cannot be used: {error}") from error
    # The end of the process is for `integrations/_ending.py` to see to: the SDK would wait for a dead backend.
    if makes_tracing:
        tracing = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        _made.add(tracing)
    if readers:
        metering = MeterProvider(resource=resource, metric_readers=readers, shutdown_on_exit=False)
        _made.add(metering)
    return Providers(
        tracing if isinstance(tracing, TracerProvider) else None,
        metering if isinstance(metering, MeterProvider) and metering not in _closed else None,
        processor,
    )


def export(provider: object, timeout_s: float) -> bool:
    """Send what a provider has. Returns whether that was done in time."""
    force_flush: Callable[[int], object] | None = getattr(provider, "force_flush", None)
    try:
        return force_flush is None or bool(force_flush(int(timeout_s * 1000)))
    except Exception as error:  # noqa: BLE001 - an exporter's failure is not the application's
        guard.failed("flush", error)
        return False


def close(provider: object, timeout_s: float) -> bool:
    """Send what a provider has, and close it if it was made here. The application's own is left open."""
    if provider not in _made:
        return export(provider, timeout_s)
    _made.discard(provider)
    _closed.add(provider)
    try:
        provider.shutdown()  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001 - an exporter's failure is not the application's
        guard.failed("shut down a provider", error)
        return False
    return True


def span_exporter(name: str | None) -> SpanExporter | None:
    """The span exporter a setting names: OTLP over HTTP or gRPC as OTEL_EXPORTER_OTLP_PROTOCOL says."""
    kind = _kind(name)
    if kind == "console":
        return ConsoleSpanExporter()
    if kind != "otlp":
        return None
    return _Spans(_otlp("trace", "OTLPSpanExporter"))


def metric_exporter(name: str | None) -> MetricExporter | None:
    """The metric exporter a setting names, like `span_exporter`."""
    kind = _kind(name)
    if kind == "console":
        return ConsoleMetricExporter()
    if kind != "otlp":
        return None
    return _Metrics(_otlp("metric", "OTLPMetricExporter"))


def _kind(name: str | None) -> str | None:
    if name is not None:
        return name
    return "otlp" if any(os.environ.get(variable) for variable in _ENDPOINTS) else None


def _otlp(signal: str, exporter: str) -> Callable[[], Any]:
    default = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    variable = f"OTEL_EXPORTER_OTLP_{signal.upper()}S_PROTOCOL"
    protocol = os.environ.get(variable, default)
    try:
        module = import_module(f"opentelemetry.exporter.otlp.proto.{protocol.partition('/')[0]}.{signal}_exporter")
    except ImportError:
        raise ConfigError(
            f"OTLP protocol {protocol!r} is unknown; set {variable} or OTEL_EXPORTER_OTLP_PROTOCOL "
            "to grpc or http/protobuf"
        ) from None
    make: Callable[[], Any] = getattr(module, exporter)
    return make


class _PerProcess:
    """An exporter that a forked child makes for itself: it must not write into its parent's connections."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        try:
            self._own: tuple[int, Any] = os.getpid(), make()
        except Exception as error:
            raise ConfigError(f"an OTEL_EXPORTER_OTLP_* variable has a value that cannot be used: {error}") from error
        self._inherited: list[Any] = []

    def __call__(self) -> Any:
        pid, exporter = self._own
        if pid != os.getpid():
            self._inherited.append(exporter)  # closing it might close its parent's channel
            exporter = self._make()
            self._own = os.getpid(), exporter
        return exporter


class _Spans(SpanExporter):
    def __init__(self, make: Callable[[], Any]) -> None:
        self._exporter = _PerProcess(make)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result: SpanExportResult = self._exporter().export(spans)
        return result

    def shutdown(self) -> None:
        self._exporter().shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._exporter().force_flush(timeout_millis))


class _Metrics(MetricExporter):
    def __init__(self, make: Callable[[], Any]) -> None:
        self._exporter = _PerProcess(make)
        # As the SDK's readers ask for them (opentelemetry-sdk 1.45.1, `PeriodicExportingMetricReader`).
        chosen = self._exporter()
        super().__init__(chosen._preferred_temporality, chosen._preferred_aggregation)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        result: MetricExportResult = self._exporter().export(metrics_data, timeout_millis=timeout_millis, **kwargs)
        return result

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._exporter().shutdown(timeout_millis=timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return bool(self._exporter().force_flush(timeout_millis))


def _resource(service_name: str | None) -> Resource:
    made = Resource.create({"service.name": service_name} if service_name else {})
    # The SDK draws one since 1.45: without it, the sums of two workers of a service take each other's place.
    drawn = Resource({SERVICE_INSTANCE_ID: str(uuid.uuid4())})
    return made if SERVICE_INSTANCE_ID in made.attributes else made.merge(drawn)
