"""What every Python door needs: a tracer provider that exports over OTLP, and the instrumentation that is asked for."""

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

EMULATOR = os.environ["EMULATOR"]
ENDPOINT = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]

_INSTRUMENTORS = {
    "upstream": {"openai": "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor"},
    "openllmetry": {
        "openai": "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
        "anthropic": "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
        "langchain": "opentelemetry.instrumentation.langchain:LangchainInstrumentor",
    },
    "openinference": {
        "openai": "openinference.instrumentation.openai:OpenAIInstrumentor",
        "anthropic": "openinference.instrumentation.anthropic:AnthropicInstrumentor",
        "langchain": "openinference.instrumentation.langchain:LangChainInstrumentor",
    },
}
_OPENLIT_PRICES = {
    "chat": {
        "gpt-4o": {"promptPrice": 0.0025, "completionPrice": 0.01},
        "claude-sonnet-4-5": {"promptPrice": 0.003, "completionPrice": 0.015},
    },
    "embeddings": {"text-embedding-3-small": 0.00002},
}
"""Dollars per thousand tokens, in OpenLIT's form: a part of what it would otherwise fetch."""


def tracing() -> TracerProvider:
    """A tracer provider as applications set it up; call `shutdown` on it when all is done."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def instrument(which: str, *libraries: str) -> Callable[[], object]:
    """Turn an instrumentation on for some libraries, as its users do; returns what to call when all is done.

    `own` is the library's own tracing, which needs a tracer provider and nothing else.
    """
    if which == "openlit":
        import openlit

        prices = Path("prices.json").absolute()
        prices.write_text(json.dumps(_OPENLIT_PRICES))
        openlit.init(otlp_endpoint=ENDPOINT, pricing_json=str(prices), disable_metrics=True)
        return trace.get_tracer_provider().shutdown
    if which == "mlflow":
        os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{ENDPOINT}/v1/traces"
        import mlflow

        for library in libraries:
            import_module(f"mlflow.{library}").autolog()
        return lambda: mlflow.flush_trace_async_logging(terminate=True)
    provider = tracing()
    if which == "langsmith":
        os.environ |= {"LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ENABLED": "true", "LANGSMITH_OTEL_ONLY": "true"}
        os.environ |= {"LANGSMITH_ENDPOINT": ENDPOINT, "LANGSMITH_API_KEY": "test"}
        from langsmith.run_trees import get_cached_client

        def finish() -> None:
            get_cached_client().flush()
            provider.shutdown()

        return finish
    for library in libraries if which != "own" else ():
        module, _, name = _INSTRUMENTORS[which][library].partition(":")
        getattr(import_module(module), name)().instrument()
    return provider.shutdown
