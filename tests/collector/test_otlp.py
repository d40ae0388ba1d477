"""The receivers keep to the OTLP specification, row by row, and to what real exporters do."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from aicost.collector.otlp_json import OtlpJsonError, from_json, to_json
from aicost.testing import OtlpReceiver

from .running import (
    PROTOBUF,
    Backend,
    InProcess,
    a_request,
    a_span,
    attributes_of,
    chat,
    get,
    post,
    settings,
    spans_of,
    status,
)

JSON = {"content-type": "application/json"}
NODE = Path(__file__).parent / "node"


def body(count: int = 1) -> bytes:
    return a_request([a_span() for _ in range(count)]).SerializeToString()


def as_json(count: int = 1) -> bytes:
    return json.dumps(to_json(a_request([a_span() for _ in range(count)]))).encode()


def export(collector: InProcess, data: bytes, signal: str = "trace.v1.TraceService", **options: Any) -> bytes:
    with grpc.insecure_channel(
        f"127.0.0.1:{collector.grpc}", options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        return channel.unary_unary(f"/opentelemetry.proto.collector.{signal}/Export")(data, timeout=20, **options)


# --- what is taken


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics", "/v1/logs"])
@pytest.mark.parametrize("headers", [PROTOBUF, JSON, {"content-type": "application/json; charset=utf-8"}], ids=str)
def test_an_empty_request_succeeds(collector: Callable[..., InProcess], path: str, headers: dict[str, str]) -> None:
    empty = b"" if headers is PROTOBUF else b"{}"
    code, answer, sent = post(collector().http, empty, path, headers=headers)
    assert (code, answer) == (200, empty)
    assert sent["content-type"] == headers["content-type"].partition(";")[0]


@pytest.mark.parametrize("coding", ["none", "gzip"])
@pytest.mark.parametrize("kind", ["protobuf", "json"])
def test_traces_arrive_priced(collector: Callable[..., InProcess], backend: Backend, kind: str, coding: str) -> None:
    data = as_json(3) if kind == "json" else body(3)
    headers = dict(JSON if kind == "json" else PROTOBUF)
    if coding == "gzip":
        data, headers["content-encoding"] = gzip.compress(data), "gzip"
    assert post(collector().http, data, headers=headers)[0] == 200
    assert [attributes_of(span)["aicost.cost.amount_exact"] for span in backend.spans] == ["0.0075"] * 3


def test_metrics_and_logs_pass_untouched(collector: Callable[..., InProcess], backend: Backend) -> None:
    metrics, logs = ExportMetricsServiceRequest(), ExportLogsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=4)
    logs.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "gen_ai.usage.input_tokens"
    bodies = {
        "/v1/metrics": metrics.SerializeToString() + b"\xfa\x3e\x03new",
        "/v1/logs": logs.SerializeToString() + b"\xfa\x3e\x03new",
    }
    one = collector()
    for path, data in bodies.items():
        assert post(one.http, data, path)[0] == 200
    assert export(one, bodies["/v1/metrics"], "metrics.v1.MetricsService") == b""
    assert export(one, bodies["/v1/logs"], "logs.v1.LogsService") == b""
    assert sorted(backend.requests) == sorted([*bodies.items(), *bodies.items()])


def test_a_chunked_request_is_read(collector: Callable[..., InProcess], backend: Backend) -> None:
    data = body()
    with socket.create_connection(("127.0.0.1", collector().http)) as connection:
        head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(data), 100):
            piece = data[start : start + 100]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert len(backend.spans) == 1


# --- what is refused, and how


@pytest.mark.parametrize(
    ("path", "data", "headers", "code"),
    [
        ("/v1/traces", b"\x0a\xff", PROTOBUF, 400),
        ("/v1/metrics", b"\x0a\xff", PROTOBUF, 400),
        ("/v1/traces", b"{", JSON, 400),
        ("/v1/traces", b"[]", JSON, 400),
        ("/v1/traces", b'{"resourceSpans": 1}', JSON, 400),
        ("/v1/traces", b"not gzip", {**PROTOBUF, "content-encoding": "gzip"}, 400),
        ("/v1/traces", gzip.compress(b"x" * 1000)[:-9], {**PROTOBUF, "content-encoding": "gzip"}, 400),
        ("/v1/traces", b"", {"content-type": "text/plain"}, 415),
        ("/v1/traces", b"", {**PROTOBUF, "content-encoding": "br"}, 415),
        ("/v1/nothing", b"", PROTOBUF, 404),
    ],
)
def test_what_is_wrong_is_told_as_a_status(
    collector: Callable[..., InProcess], path: str, data: bytes, headers: dict[str, str], code: int
) -> None:
    found, answer, sent = post(collector().http, data, path, headers=headers)
    assert found == code
    if headers is JSON:
        assert sent["content-type"] == "application/json"
        assert json.loads(answer)["message"]
    else:
        assert sent["content-type"] == "application/x-protobuf"
        assert status_pb2.Status.FromString(answer).message


def test_other_methods_are_refused(collector: Callable[..., InProcess]) -> None:
    assert get(collector().http, "/v1/traces")[0] == 405


def test_a_span_that_cannot_be_decoded_is_a_partial_success(
    collector: Callable[..., InProcess], backend: Backend
) -> None:
    from aicost.collector.wire import varint

    def field(number: int, content: bytes) -> bytes:
        return bytes((number << 3 | 2,)) + varint(len(content)) + content

    good = a_span().SerializeToString()
    data = field(1, field(2, field(2, good) + field(2, b"\x4a\x20gen_ai.operation.name") + field(2, good)))
    one = collector()
    answers = [post(one.http, data)[1], export(one, data)]
    for answer in answers:
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
        assert partial.rejected_spans == 1
        assert partial.error_message
    assert len(backend.spans) == 4


@pytest.mark.parametrize(
    ("answer", "code", "wait"),
    [
        (status(503), 503, "1"),
        (status(429, retry_after="7"), 503, "7"),
        (status(400), 400, None),
        (status(401), 503, "1"),
    ],
    ids=["503", "429", "400", "401"],
)
def test_what_the_backend_answers_is_what_the_client_is_told(
    collector: Callable[..., InProcess], backend: Backend, answer: Any, code: int, wait: str | None
) -> None:
    one = collector()
    backend.always = answer
    found, _, headers = post(one.http, body())
    assert (found, headers.get("retry-after")) == (code, wait)


def test_over_grpc_errors_have_the_codes_and_the_advice_of_the_specification(
    collector: Callable[..., InProcess], backend: Backend
) -> None:
    one = collector(receivers={**settings()["receivers"], "max_request": "1MiB"})
    backend.always = status(503, retry_after="3")
    for data, code in (
        (b"\x0a\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (b"\x0a" * (2**20 + 100), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (body(), grpc.StatusCode.UNAVAILABLE),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            export(one, data)
        assert raised.value.code() is code
        advice = dict(raised.value.trailing_metadata() or ())
        if code is grpc.StatusCode.UNAVAILABLE:
            info = error_details_pb2.RetryInfo.FromString(advice["google.rpc.retryinfo-bin"])
            assert info.retry_delay.seconds == 3
            (detail,) = status_pb2.Status.FromString(advice["grpc-status-details-bin"]).details
            assert detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)


@pytest.mark.parametrize("where", ["http", "grpc"])
def test_the_limit_holds_after_decompression_too(collector: Callable[..., InProcess], where: str) -> None:
    one = collector(receivers={**settings()["receivers"], "max_request": "1MiB"})
    data = a_request([a_span({"x": "y" * 2**21})]).SerializeToString()
    if where == "http":
        headers = {**PROTOBUF, "content-encoding": "gzip"}
        assert post(one.http, data)[0] == 413
        assert post(one.http, gzip.compress(data), headers=headers)[0] == 413
    else:
        with pytest.raises(grpc.RpcError) as raised:
            export(one, data, compression=grpc.Compression.Gzip)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


# --- JSON


def test_json_has_hex_ids_whole_numbers_either_way_and_unknown_fields_are_ignored() -> None:
    message = ExportTraceServiceRequest()
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat gpt-4o",
        "kind": 3,
        "startTimeUnixNano": "1790000000000000000",
        "endTimeUnixNano": 1790000001000000000,
        "attributes": [
            {"key": "a", "value": {"intValue": "7"}},
            {"key": "b", "value": {"intValue": 7}},
            {"key": "c", "value": {"doubleValue": "NaN"}},
            {"key": "d", "value": {"bytesValue": "aGk="}},
            {"key": "e", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
            {"key": "f", "value": None},
        ],
        "newField": {"deep": [1, 2]},
    }
    from_json({"resourceSpans": [{"scopeSpans": [{"spans": [span], "old_name": 1}]}], "x": 1}, message)
    (found,) = message.resource_spans[0].scope_spans[0].spans
    assert found.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert [pair.value.int_value for pair in found.attributes[:2]] == [7, 7]
    assert found.attributes[3].value.bytes_value == b"hi"
    shown = to_json(message)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert shown["traceId"] == "5b8efff798038103d269b633813fc60c"
    assert shown["startTimeUnixNano"] == "1790000000000000000"
    again = ExportTraceServiceRequest()
    from_json(to_json(message), again)
    assert again.SerializeToString() == message.SerializeToString()


@pytest.mark.parametrize(
    "wrong",
    [
        {"traceId": "xyz"},
        {"traceId": 5},
        {"name": 5},
        {"kind": "SPAN_KIND_CLIENT"},
        {"startTimeUnixNano": 1.5},
        {"startTimeUnixNano": -1},
        {"attributes": {}},
        {"attributes": [5]},
        {"attributes": [{"key": "a", "value": {"boolValue": 1}}]},
    ],
)
def test_json_that_does_not_fit_names_the_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(OtlpJsonError, match=next(iter(wrong))):
        from_json({"resourceSpans": [{"scopeSpans": [{"spans": [wrong]}]}]}, ExportTraceServiceRequest())


def test_half_a_surrogate_pair_does_not_cost_the_request() -> None:
    message = ExportTraceServiceRequest()
    named = {"name": "a\ud800", "attributes": [{"key": "k\udfff", "value": {"stringValue": "\ud83d"}}]}
    from_json({"resourceSpans": [{"scopeSpans": [{"spans": [named]}]}]}, message)
    (span,) = spans_of(ExportTraceServiceRequest.FromString(message.SerializeToString()))
    assert (span.name, attributes_of(span)) == ("a\\ud800", {"k\\udfff": "\\ud83d"})


def test_json_that_nests_without_end_is_refused(collector: Callable[..., InProcess]) -> None:
    deep = b'{"arrayValue":{"values":[' * 5000 + b"]}}" * 5000
    spans = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":' + deep + b"}]}]}]}]}"
    assert post(collector().http, spans, headers=JSON)[0] == 400


# --- real clients


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip], ids=str)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_python_sdks_exporters(
    collector: Callable[..., InProcess], backend: Backend, protocol: str, compression: Compression
) -> None:
    one = collector()
    gzipped = compression is Compression.Gzip
    exporter = (
        HttpExporter(endpoint=f"http://127.0.0.1:{one.http}/v1/traces", compression=compression)
        if protocol == "http"
        else GrpcExporter(
            endpoint=f"http://127.0.0.1:{one.grpc}",
            insecure=True,
            compression=grpc.Compression.Gzip if gzipped else grpc.Compression.NoCompression,
        )
    )
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("application")
    for number in range(700):
        with tracer.start_as_current_span("chat gpt-4o", attributes=chat(number)) as span:
            span.add_event("said", {"x": [1, 2]})
    provider.shutdown()
    found = [attributes_of(span) for span in backend.spans]
    assert len(found) == 700
    assert all(one["aicost.cost.amount_exact"] == "0.0075" for one in found)


@pytest.fixture(scope="module")
def sender() -> Path:
    """OpenTelemetry's exporters for Node, installed."""
    if shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    if not (NODE / "node_modules").exists():
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(command, cwd=NODE, check=True, timeout=300)
    return NODE / "send.mjs"


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["http-json", "http-protobuf", "grpc"])
def test_nodes_exporters(
    collector: Callable[..., InProcess], backend: Backend, sender: Path, protocol: str, compression: str
) -> None:
    one = collector()
    port = one.grpc if protocol == "grpc" else one.http
    done = subprocess.run(
        ["node", str(sender), protocol, f"http://127.0.0.1:{port}", compression, "450"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["failed"] == 0
    found = [attributes_of(span) for span in backend.spans]
    assert len(found) == 450
    assert {one["aicost.cost.amount_exact"] for one in found} == {"0.0075"}


def test_a_grpc_backend_takes_what_comes(collector: Callable[..., InProcess]) -> None:
    with OtlpReceiver() as receiver:
        target = receiver.grpc_endpoint
        for compression in ("none", "gzip"):
            exporter = {"type": "otlp-grpc", "endpoint": target, "compression": compression}
            assert post(collector(exporters=[exporter]).http, body(2))[0] == 200
        assert len(receiver.spans) == 4
