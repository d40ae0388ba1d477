"""Setting up OpenTelemetry for an application that has not: providers and exporters, from the standard settings."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any
from weakref import WeakSet

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

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


def set_up_tracing(exporter: str | SpanExporter | None, service_name: str | None) -> TracerProvider | None:
    """The application's own tracer provider if it has set one, else a new one, set globally.

    An exporter given as an object is added to either; a named one only to a provider made here. Returns None when
    the global provider is not of the SDK, and so takes no processors.
    """
    present = trace.get_tracer_provider()
    if isinstance(present, trace.ProxyTracerProvider) or present in _closed:
        provider = TracerProvider(resource=_resource(service_name), id_generator=_Ids())
        chosen = span_exporter(exporter) if exporter is None or isinstance(exporter, str) else exporter
        if chosen is not None:
            provider.add_span_processor(BatchSpanProcessor(chosen))
        if present not in _closed:
            trace.set_tracer_provider(provider)
        _made.add(provider)
        return provider
    if not isinstance(present, TracerProvider):
        return None
    if exporter is not None and not isinstance(exporter, str):
        present.add_span_processor(BatchSpanProcessor(exporter))
    return present


def set_up_metrics(exporter: str | SpanExporter | None, service_name: str | None) -> MeterProvider | None:
    """The application's own meter provider if it has set one, else a new one where there is anywhere to export to."""
    present = metrics.get_meter_provider()
    if isinstance(present, MeterProvider) and present not in _closed:
        return present
    chosen = metric_exporter(exporter if isinstance(exporter, str) else None)
    if chosen is None or (type(present).__name__ != "_ProxyMeterProvider" and present not in _closed):
        return None
    provider = MeterProvider(resource=_resource(service_name), metric_readers=[PeriodicExportingMetricReader(chosen)])
    if present not in _closed:
        metrics.set_meter_provider(provider)
    _made.add(provider)
    return provider


def shut_down() -> None:
    """Close the providers made here. The application's own are left alone."""
    for provider in list(_made):
        _made.discard(provider)
        _closed.add(provider)
        try:
            provider.shutdown()
        except Exception as error:  # noqa: BLE001 - an exporter's failure is not the application's
            guard.failed("shut down a provider", error)


def span_exporter(name: str | None) -> SpanExporter | None:
    """The span exporter a setting names: OTLP over HTTP or gRPC as OTEL_EXPORTER_OTLP_PROTOCOL says."""
    kind = _kind(name)
    if kind == "console":
        return ConsoleSpanExporter()
    if kind != "otlp":
        return None
    return _otlp("trace", "OTLPSpanExporter")  # type: ignore[no-any-return]


def metric_exporter(name: str | None) -> MetricExporter | None:
    """The metric exporter a setting names, like `span_exporter`."""
    kind = _kind(name)
    if kind == "console":
        return ConsoleMetricExporter()
    if kind != "otlp":
        return None
    return _otlp("metric", "OTLPMetricExporter")  # type: ignore[no-any-return]


def _kind(name: str | None) -> str | None:
    if name is not None:
        return name
    return "otlp" if any(os.environ.get(variable) for variable in _ENDPOINTS) else None


def _otlp(signal: str, exporter: str) -> Any:
    default = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    protocol = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}S_PROTOCOL", default).partition("/")[0]
    module = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{signal}_exporter")
    return getattr(module, exporter)()


def _resource(service_name: str | None) -> Resource:
    return Resource.create({"service.name": service_name} if service_name else {})
