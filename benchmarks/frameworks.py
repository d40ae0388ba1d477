"""What aicost adds to a step of a framework and to a query of a vector database, whichever are installed here.

    python benchmarks/frameworks.py

A step of LangChain is measured beside a span with as many attributes written into the step by hand, and beside
OpenInference and OpenLLMetry; a query beside the limit of 60 µs. `nox -s bench_frameworks` installs all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import aicost
from aicost import integrations
from aicost.telemetry import state
from timing import microseconds

STEPS, ATTRIBUTES = 10, 7
LIMIT_STEP, LIMIT_QUERY = 1.5, 60.0


class Null(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002 - the signature is the SDK's
        return SpanExportResult.SUCCESS


@contextmanager
def watched_by(name: str) -> Iterator[None]:
    """aicost, or another vendor's instrumentation of langchain, on for a block."""
    if name == "aicost":
        pipeline = state.pipeline_for(tracer_provider=None, meter_provider=None)
        integrations.instrument(("auto",), pipeline=pipeline)
        yield
        aicost.uninstrument()
        return
    module, _, owner = {
        "OpenInference": "openinference.instrumentation.langchain:LangChainInstrumentor",
        "OpenLLMetry": "opentelemetry.instrumentation.langchain:LangchainInstrumentor",
    }[name].partition(":")
    instrumentor = getattr(import_module(module), owner)()
    instrumentor.instrument(skip_dep_check=True)
    yield
    instrumentor.uninstrument()


def steps_of_langchain() -> None:
    from langchain_core.runnables import RunnableLambda

    chain: Any = RunnableLambda(lambda x: x, name="step0")
    for number in range(1, STEPS):
        chain = chain | RunnableLambda(lambda x: x, name=f"step{number}")
    tracer = trace.get_tracer("by.hand")
    said = {f"attribute.{n}": "a value" for n in range(ATTRIBUTES)}

    def by_hand(given: int) -> int:
        with tracer.start_as_current_span("step", attributes=said):
            return given

    yardstick: Any = RunnableLambda(by_hand, name="step0")
    for number in range(1, STEPS):
        yardstick = yardstick | RunnableLambda(by_hand, name=f"step{number}")

    def inside_one() -> None:
        with tracer.start_as_current_span("workflow", attributes=said):
            yardstick.invoke(1)

    timed = microseconds({"bare": lambda: chain.invoke(1), "hand": inside_one}, rounds=9, calls=100)
    bare, hand = timed["bare"], (timed["hand"] - timed["bare"]) / (STEPS + 1)
    print(f"langchain: a step alone {bare / STEPS:.1f} µs, with a span by hand in it {hand:.1f} µs more")
    for name in ("aicost", "OpenInference", "OpenLLMetry"):
        module = {"OpenInference": "openinference", "OpenLLMetry": "opentelemetry.instrumentation.langchain"}.get(name)
        if module is not None and (find_spec(module) is None):
            continue
        with watched_by(name):
            with_it = microseconds({"x": lambda: chain.invoke(1)}, rounds=9, calls=100)["x"]
        added = (with_it - bare) / (STEPS + 1)  # the chain itself is a span, too
        kept = (
            "" if name != "aicost" else f", limit {LIMIT_STEP} x: {'kept' if added <= LIMIT_STEP * hand else 'missed'}"
        )
        print(f"  {name} adds {added:.1f} µs to a step, {added / hand:.2f} x a span by hand{kept}")


def queries() -> dict[str, Callable[[], Any]]:
    """A query of each embedded database that is installed."""
    vectors, found = [[float(n), 0.5, 0.25, 1.0] for n in range(50)], {}
    if find_spec("faiss"):
        import faiss
        import numpy as np

        index, asked = faiss.IndexFlatL2(4), np.array(vectors[:1], dtype="float32")
        index.add(np.array(vectors, dtype="float32"))
        found["faiss"] = lambda: index.search(asked, 3)
    if find_spec("qdrant_client"):
        from qdrant_client import QdrantClient, models

        client = QdrantClient(":memory:")
        client.create_collection("docs", models.VectorParams(size=4, distance=models.Distance.DOT))
        client.upsert("docs", [models.PointStruct(id=n, vector=vector) for n, vector in enumerate(vectors)])
        found["qdrant"] = lambda: client.query_points("docs", query=vectors[0], limit=3)
    if find_spec("chromadb"):
        import chromadb

        docs = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False)).create_collection("docs")
        docs.add(ids=[str(n) for n in range(50)], embeddings=vectors)
        found["chroma"] = lambda: docs.query(query_embeddings=vectors[:1], n_results=3)
    return found


def main() -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Null()))
    trace.set_tracer_provider(provider)
    if find_spec("langchain_core"):
        steps_of_langchain()
    for name, query in queries().items():
        bare = microseconds({"bare": query}, rounds=9, calls=200)["bare"]
        with watched_by("aicost"):
            with_it = microseconds({"x": query}, rounds=9, calls=200)["x"]
        kept = "kept" if with_it - bare <= LIMIT_QUERY else "missed"
        print(
            f"{name}: a query takes {bare:.0f} µs, aicost adds {with_it - bare:.0f} µs, limit {LIMIT_QUERY:.0f}: {kept}"
        )


if __name__ == "__main__":
    main()
