"""Every door that a call to Acme may come in by, run where `aicost` has its file and rates; JSON by door."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
from click.testing import CliRunner
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aicost
from aicost.cli import cli
from aicost.collector.pricer import price_request
from aicost.telemetry.evidence import is_unique

USAGE = {"tokens_in": 1000, "tokens_stored": 400, "tokens_out": 100, "plan": "ordinary"}
"""$3 x 600 + $0.30 x 400 + $15 x 100, by the million."""
BODY = {
    "id": "acme-7Qd92kXv0LmZp4Tr",
    "object": "chat.completion",
    "model": "acme-large",
    "choices": [],
    "usage": USAGE,
}
ASK: Any = {"model": "acme-large", "messages": [{"role": "user", "content": "hi"}]}


def charge(found: aicost.Charge) -> list[str]:
    return [str(found.amount), found.status.value, str(found.lines[0].rate_id).partition("/")[0]]


def client(content: bytes, kind: str) -> openai.OpenAI:
    answer = httpx2.Response(200, content=content, headers={"content-type": kind, "x-acme-trace": "t-1"})
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    return openai.OpenAI(api_key="k", base_url="https://api.acme.example/v1", http_client=http, max_retries=0)


def wrapped() -> str:
    with aicost.run_scope("wrapped") as run:
        client(json.dumps(BODY).encode(), "application/json").chat.completions.create(**ASK)
    return str(run.cost)


def streamed() -> str:
    chunks: list[Any] = [{"id": BODY["id"], "object": "chat.completion.chunk", "model": "acme-large", "choices": []}]
    events = [*chunks, {**chunks[0], "goodbye": USAGE}]
    content = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    with aicost.run_scope("streamed") as run:
        for _ in client(content.encode(), "text/event-stream").chat.completions.create(**ASK, stream=True):
            pass
    return str(run.cost)


def recorded() -> str:
    meters = {"input": 600, "input_cache_read": 400, "output": 100}
    with aicost.run_scope("recorded") as run:
        aicost.record_usage(
            provider="Acme-AI", model="acme-large", operation="chat", usage=meters, service_tier="Ordinary"
        )
    return str(run.cost)


def collected(scope: str = "application", **attributes: Any) -> list[Any]:
    """A foreign span that says who was asked, or only by which model."""
    request = ExportTraceServiceRequest()
    of_scope = request.resource_spans.add().scope_spans.add()
    of_scope.scope.name = scope
    span = of_scope.spans.add()
    span.name, span.trace_id, span.span_id = "chat acme-large", b"1" * 16, b"2" * 8
    span.start_time_unix_nano, span.end_time_unix_nano = 1_790_000_000_000_000_000, 1_790_000_001_000_000_000
    said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "acme-large", **attributes}
    for name, value in said.items():
        held = span.attributes.add(key=name).value
        setattr(held, "int_value" if isinstance(value, int) else "string_value", value)
    done = ExportTraceServiceRequest.FromString(price_request(request.SerializeToString()))
    found = {one.key: one.value for one in done.resource_spans[0].scope_spans[0].spans[0].attributes}
    return [str(found["aicost.cost.amount"].double_value), found["aicost.cost.status"].string_value]


def terminal(*arguments: str, given: str | None = None) -> Any:
    done = CliRunner().invoke(cli, [*arguments, "--json"], input=given)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def main() -> None:
    spans = InMemorySpanExporter()
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(spans))  # type: ignore[attr-defined]
    aicost.init("doors", exporter="none", instrument=("openai",))
    counts = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.cache_read.input_tokens": 400,
              "gen_ai.usage.output_tokens": 100}  # fmt: skip
    line = json.dumps({"provider": "acme", "model": "acme-large", "usage": USAGE, "service_tier": "ordinary"})
    found = {
        "package": aicost.__file__,
        "price": charge(aicost.price(provider="acme", model="acme-large", usage=USAGE, api="chat")),
        "price, API not told": charge(aicost.price(provider="Acme AI", model="acme/acme-large", usage=USAGE)),
        "price, a whole response": charge(
            aicost.price(provider="acme", model="acme-large", usage=BODY, service_tier="ordinary")
        ),
        "price, nobody's default tier": charge(
            aicost.price(provider="acme", model="acme-large", usage=USAGE, service_tier="extraordinary")
        ),
        "wrapped": wrapped(),
        "streamed": streamed(),
        "recorded": recorded(),
        "collector, by alias": collected(**counts, **{"gen_ai.provider.name": "Acme AI"}),
        "collector, by model": collected(**counts),
        "collector, its own usage object": collected(
            "logfire.openai", **{"gen_ai.provider.name": "acme", "gen_ai.usage.raw": json.dumps(USAGE)}
        ),
        "ids": [is_unique(BODY["id"], "acme", host) for host in ("api.acme.example", "api.nobody.example")],
        "rates list": [row["model"] for row in terminal("rates", "list", "--provider", "acme")["models"]],
        "rates show": sorted(rate["meter"] for rate in terminal("rates", "show", "Acme", "acme-large")["rates"]),
        "command": [terminal("price", given=line)[name] for name in ("amount", "status")],
    }
    [asked, streamed_] = [span.attributes or {} for span in spans.get_finished_spans() if span.name.startswith("chat")][
        :2
    ]
    for name in ("gen_ai.provider.name", "aicost.provider.request_id"):
        found[name] = [asked[name], streamed_[name]]
    aicost.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
