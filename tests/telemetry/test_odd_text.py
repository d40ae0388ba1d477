"""Text that no file, database or wire can hold costs nothing: not the call, not its charge, not the spans around it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from tests.conftest import App

import aicost
from aicost._settings import load
from aicost._wellformed import wellformed
from aicost.ledger.query import Filter
from aicost.ledger.reader import LedgerReader
from aicost.reports.explain import explain

ODD = ["acme\ud83d", "\udcff\udcfe", "a\0b", "\ud83d\ude00 as two halves", "日本\udfff"]


class _Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@contextmanager
def served(body: bytes) -> Iterator[str]:
    """A server that answers everything with this JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def sendable(app: App) -> None:
    """What an OTLP exporter does with everything the application emitted."""
    assert encode_spans(app.spans).SerializeToString()
    data = app.reader.get_metrics_data()
    if data is not None:
        assert encode_metrics(data).SerializeToString()


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_names_and_ids_of_the_application_cost_nothing(app: App, odd: str) -> None:
    tool, agent = aicost.track_tool(odd), aicost.track_agent(odd, version=odd)
    owner = dict.fromkeys(("tenant_id", "feature_id", "team", "session_id"), odd)
    with aicost.run_scope(odd, run_id=odd, version=odd, **owner) as run, aicost.track_step(odd), agent, tool:
        aicost.record_usage(
            provider=odd, model=odd, operation=odd, usage={"input": 1, odd: 2}, response_id=odd, idempotency_key=odd
        )
        aicost.record_outcome(odd, idempotency_key=odd)
    sendable(app)
    aicost.flush()
    with LedgerReader(app.ledger_path) as ledger:
        (charge,) = ledger.charges(Filter(run_id=run.id))
        assert charge.workflow == charge.step == charge.attribution.get("tenant_id") == wellformed(odd) != odd
        assert [row.run_id for row in ledger.runs(run.id)] == [run.id]
    assert explain(app.ledger_path, charge.event_id)["attempts"][0]["path"][0]["name"] == wellformed(odd)


@pytest.mark.parametrize("value", [_Odd(), b"\xff", 7, None, 2.5, ["x"], "x" * 100_000], ids=lambda v: type(v).__name__)
def test_owners_of_any_kind_are_taken_and_never_long(app: App, value: Any) -> None:
    with aicost.run_scope("w", tenant_id=value):
        aicost.record_usage(provider="acme", model="m", operation="chat", usage={"input": 1})
    sendable(app)
    assert all(len(str(span.attributes.get("aicost.tenant.id", ""))) <= 256 for span in app.spans if span.attributes)


@pytest.mark.clients
@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_text_of_a_provider_costs_nothing(app: App, odd: str) -> None:
    answer = {
        "id": odd,
        "object": "chat.completion",
        "created": 1,
        "model": odd,
        "service_tier": odd,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": odd}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, odd: 1},
    }

    with served(json.dumps(answer).encode()) as url:
        client = openai.OpenAI(api_key="test", base_url=url)
        with aicost.run_scope("w") as run:
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
    assert run.calls == 1
    sendable(app)
    with LedgerReader(app.ledger_path) as ledger:
        (charge,) = ledger.charges(Filter(run_id=run.id))
    assert charge.model == charge.response_id == wellformed(json.loads(json.dumps(odd)))


def test_two_texts_stay_two() -> None:
    assert len({wellformed(odd) for odd in ODD}) == len(ODD)
    assert wellformed("plain") == "plain"
    assert wellformed("日本 😀") == "日本 😀"


def test_a_service_of_an_odd_name_is_exported_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICOST_SERVICE_NAME", "caf\udce9")  # as Python reads bytes that are no UTF-8
    resource = Resource.create({"service.name": load().service_name or ""})
    provider = TracerProvider(resource=resource)
    span = provider.get_tracer("t").start_span("s")
    span.end()
    assert isinstance(span, ReadableSpan)
    assert encode_spans([span]).SerializeToString()
