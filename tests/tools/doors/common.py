"""What every Python door needs: a tracer provider that exports over OTLP, and the emulator's addresses."""

import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

EMULATOR = os.environ["EMULATOR"]


def tracing() -> TracerProvider:
    """A tracer provider as applications set it up; call `shutdown` on it when all is done."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider
