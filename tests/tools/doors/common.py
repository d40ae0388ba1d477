"""What every Python door needs: a tracer provider that exports over OTLP, and the instrumentation that is asked for."""

import os
from importlib import import_module
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

EMULATOR = os.environ["EMULATOR"]

_INSTRUMENTORS = {
    "upstream": {"openai": "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor"},
    "openllmetry": {
        "openai": "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
        "anthropic": "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
    },
    "openinference": {
        "openai": "openinference.instrumentation.openai:OpenAIInstrumentor",
        "anthropic": "openinference.instrumentation.anthropic:AnthropicInstrumentor",
        "langchain": "openinference.instrumentation.langchain:LangChainInstrumentor",
    },
}


def tracing() -> TracerProvider:
    """A tracer provider as applications set it up; call `shutdown` on it when all is done."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def instrument(which: str, *libraries: str) -> Any:
    """Turn an instrumentation on for some libraries, as its users do. What it returns has to be shut down at the end.

    `own` is the library's own tracing, which needs a tracer provider and nothing else.
    """
    if which == "openlit":
        import openlit

        openlit.init(otlp_endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"], disable_metrics=True)
        return trace.get_tracer_provider()
    provider = tracing()
    for library in libraries if which != "own" else ():
        module, _, name = _INSTRUMENTORS[which][library].partition(":")
        getattr(import_module(module), name)().instrument()
    return provider
