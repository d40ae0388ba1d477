"""Clients that are slow, too many, too large, or not allowed; and what the collector tells of itself."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .running import (
    PROTOBUF,
    AsProcess,
    Backend,
    InProcess,
    a_request,
    a_span,
    chat,
    get,
    metric,
    post,
    until,
)
from .running import settings as usual


def body(count: int = 1) -> bytes:
    return a_request([a_span() for _ in range(count)]).SerializeToString()


def receivers(**more: Any) -> dict[str, Any]:
    return {"receivers": {**usual()["receivers"], **more}}


def memory_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


# --- size


def test_a_request_of_64_mib_is_taken_and_a_larger_one_refused(
    process: Callable[..., AsProcess], backend: Backend
) -> None:
    one = process()
    filler = "x" * 2**20
    large = a_request([a_span({**chat(), "filler": filler}) for _ in range(63)]).SerializeToString()
    assert post(one.http, large)[0] == 200
    assert len(backend.spans) == 63
    assert post(one.http, large + large)[0] == 413
    headers = {**PROTOBUF, "content-encoding": "gzip"}
    assert post(one.http, gzip.compress(large + large, 1), headers=headers)[0] == 413


def test_a_zip_bomb_takes_neither_memory_nor_time(process: Callable[..., AsProcess]) -> None:
    one = process()
    assert post(one.http, body())[0] == 200
    before = memory_mib(one.process.pid)
    bomb = gzip.compress(b"\0" * 2**30, 9)
    began = time.monotonic()
    assert post(one.http, bomb, headers={**PROTOBUF, "content-encoding": "gzip"})[0] == 413
    assert time.monotonic() - began < 5
    assert memory_mib(one.process.pid) - before < 200
    assert post(one.http, body())[0] == 200


@pytest.mark.parametrize("piece", [b"\x0a\x00", b"\x0a\x02\x12\x00"], ids=["resources", "scopes"])
def test_parts_of_a_few_bytes_each_are_not_let_in_by_the_million(
    process: Callable[..., AsProcess], piece: bytes
) -> None:
    one = process()
    headers = {**PROTOBUF, "content-encoding": "gzip"}
    assert post(one.http, body())[0] == 200
    before = memory_mib(one.process.pid)
    for path in ("/v1/traces", "/v1/metrics", "/v1/logs"):
        began = time.monotonic()
        assert post(one.http, gzip.compress(piece * 2**20), path, headers=headers)[0] == 400
        assert time.monotonic() - began < 3
    assert memory_mib(one.process.pid) - before < 100


def test_gzip_files_in_a_row_are_few(collector: Callable[..., InProcess]) -> None:
    headers = {**PROTOBUF, "content-encoding": "gzip"}
    one = collector()
    assert post(one.http, gzip.compress(b"") * 50 + gzip.compress(body()), headers=headers)[0] == 200
    assert post(one.http, gzip.compress(b"") * 100_000, headers=headers)[0] == 400


def test_an_announced_size_is_believed_only_as_far_as_it_helps(collector: Callable[..., InProcess]) -> None:
    one = collector(**receivers(read_timeout=0.5))
    with socket.create_connection(("127.0.0.1", one.http)) as connection:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n")
        connection.sendall(b"content-type: application/x-protobuf\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert one.service.health.in_flight == 0


# --- time and number


def test_a_client_that_sends_its_headers_slowly_is_cut_off(collector: Callable[..., InProcess]) -> None:
    one = collector(**receivers(read_timeout=0.5))
    with socket.create_connection(("127.0.0.1", one.http)) as connection:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nhost:")
        connection.settimeout(5)
        began = time.monotonic()
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""
        assert time.monotonic() - began < 3


def test_a_client_that_sends_its_body_slowly_is_told_and_cut_off(collector: Callable[..., InProcess]) -> None:
    one = collector(**receivers(read_timeout=0.5))
    with socket.create_connection(("127.0.0.1", one.http)) as connection:
        head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
        connection.sendall(head + b"content-length: 100\r\n\r\nabc")
        connection.settimeout(5)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
    assert one.service.health.in_flight == 0
    assert post(one.http, body())[0] == 200


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(
    collector: Callable[..., InProcess], backend: Backend
) -> None:
    one = collector()
    head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", one.http)) as connection:
            connection.sendall(head + b"content-length: 100000\r\n\r\n" + body()[:200])
    until(lambda: one.service.health.in_flight == 0)
    assert post(one.http, body())[0] == 200
    assert len(backend.spans) == 1


def test_headers_without_end_are_refused(collector: Callable[..., InProcess]) -> None:
    with socket.create_connection(("127.0.0.1", collector().http)) as connection:
        connection.settimeout(5)
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\n")
        try:
            for number in range(2000):
                connection.sendall(b"x-%d: " % number + b"y" * 1000 + b"\r\n")
            answer = connection.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 200")


def test_ten_thousand_connections(process: Callable[..., AsProcess]) -> None:
    import resource

    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10_000 if most >= 10_500 else most - 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    one = process(**receivers(max_connections=wanted + 10, read_timeout=60))
    held = []
    try:
        for _ in range(wanted):
            connection = socket.socket()
            connection.connect(("127.0.0.1", one.http))
            held.append(connection)
        assert post(one.http, body())[0] == 200
        assert memory_mib(one.process.pid) < 300
    finally:
        for connection in held:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
    assert post(one.http, body())[0] == 200


def test_more_connections_than_are_allowed_are_closed(collector: Callable[..., InProcess]) -> None:
    one = collector(**receivers(max_connections=5))
    held = [socket.create_connection(("127.0.0.1", one.http)) for _ in range(5)]
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", one.http)) as late:
        late.settimeout(5)
        with suppress(ConnectionResetError):
            assert late.recv(10) == b""
    for connection in held:
        connection.close()
    until(lambda: post(one.http, body())[0] == 200)


# --- anything at all


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300),
    st.sampled_from(["application/x-protobuf", "application/json"]),
    st.sampled_from([None, "gzip"]),
    st.sampled_from(["/v1/traces", "/v1/metrics", "/v1/logs"]),
)
def test_whatever_is_sent_is_answered(
    lasting: InProcess, data: bytes, kind: str, coding: str | None, path: str
) -> None:
    headers = {"content-type": kind} | ({"content-encoding": coding} if coding else {})
    assert post(lasting.http, data, path, headers=headers)[0] in (200, 400)
    assert lasting.service.health.in_flight == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_whatever_is_sent_over_grpc_is_answered(lasting: InProcess, data: bytes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{lasting.grpc}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        try:
            call(data, timeout=10)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - either is an answer


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_bytes_that_are_no_http_harm_nobody(lasting: InProcess, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", lasting.http)) as connection:
        connection.sendall(data + b"\r\n\r\n")
    assert get(lasting.http, "/healthz")[0] == 200


def test_whatever_is_sent_leaves_no_memory_behind(process: Callable[..., AsProcess]) -> None:
    one = process()
    connection = http.client.HTTPConnection("127.0.0.1", one.http)

    def send(count: int) -> float:
        for number in range(count):
            data = random.randbytes(number % 400)
            kind = "application/json" if number % 3 == 0 else "application/x-protobuf"
            headers = {"content-type": kind} | ({"content-encoding": "gzip"} if number % 5 == 0 else {})
            connection.request("POST", "/v1/traces", data, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 400)
        return memory_mib(one.process.pid)

    before = send(1500)
    assert send(3000) - before < 8


@pytest.fixture(scope="module")
def lasting() -> Any:
    """A collector for many tries."""
    backend = Backend()
    one = InProcess(usual(backend))
    yield one
    one.stop()
    backend.close()


# --- who may


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's certificate and a client's."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)
    return folder


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mtls"])
def test_tls_on_both_receivers_and_towards_the_backend(
    collector: Callable[..., InProcess], certificates: Path, mutual: bool
) -> None:
    tls = {"cert_file": str(certificates / "server.pem"), "key_file": str(certificates / "server.key")}
    client = {"ca_file": str(certificates / "ca.pem")}
    if mutual:
        tls["client_ca_file"] = str(certificates / "ca.pem")
        client |= {"cert_file": str(certificates / "client.pem"), "key_file": str(certificates / "client.key")}
    listen = {"listen": "127.0.0.1:0", "tls": tls}
    last = collector(receivers={"http": listen, "grpc": listen})
    endpoints = [
        {"type": "otlp-http", "endpoint": f"https://127.0.0.1:{last.http}", "tls": client},
        {"type": "otlp-grpc", "endpoint": f"127.0.0.1:{last.grpc}", "tls": client},
    ]
    for endpoint in endpoints:
        assert post(collector(exporters=[endpoint]).http, body())[0] == 200
    if mutual:
        context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        with pytest.raises(OSError, match=r"(?i)alert|eof|reset|pipe|ssl|closed"):
            post(last.http, body(), scheme="https", context=context)


def test_a_bearer_token_is_asked_for(collector: Callable[..., InProcess], backend: Backend, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    one = collector(**receivers(bearer_token_file=str(token)))
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    with grpc.insecure_channel(f"127.0.0.1:{one.grpc}") as channel:
        for given_token, allowed in ((None, False), ("wrong", False), ("s3cret", True)):
            metadata = [("authorization", f"Bearer {given_token}")] if given_token else []
            headers = PROTOBUF | ({"authorization": f"Bearer {given_token}"} if given_token else {})
            assert post(one.http, body(), headers=headers)[0] == (200 if allowed else 401)
            if allowed:
                channel.unary_unary(method)(body(), metadata=metadata)
            else:
                with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                    channel.unary_unary(method)(body(), metadata=metadata)
    assert len(backend.spans) == 2
    assert get(one.http, "/metrics")[0] == 401
    assert get(one.http, "/healthz")[0] == 200


def test_headers_and_secrets_go_where_they_should(collector: Callable[..., InProcess], backend: Backend) -> None:
    exporter = {"type": "otlp-http", "endpoint": backend.url, "headers": {"X-Key": "s3cret"}}
    assert post(collector(exporters=[exporter]).http, body())[0] == 200
    assert {key.lower(): value for key, value in backend.headers[0].items()}["x-key"] == "s3cret"


# --- what it tells of itself


def test_health_readiness_and_metrics(collector: Callable[..., InProcess], backend: Backend) -> None:
    one = collector()
    assert get(one.http, "/healthz") == (200, "ok\n")
    assert get(one.http, "/readyz") == (200, "ready\n")
    spans = [a_span(), a_span({**chat(), "gen_ai.request.model": "unheard-of"}), a_span({"http.url": "/"})]
    assert post(one.http, a_request(spans).SerializeToString())[0] == 200
    assert post(one.http, b"\x0a\xff")[0] == 400
    port = one.http
    assert metric(port, "aicost_collector_spans_total", what="received") == 3
    assert metric(port, "aicost_collector_inferences_total", outcome="priced", detail="unknown") == 1
    assert metric(port, "aicost_collector_inferences_total", outcome="unpriced") == 1
    assert metric(port, "aicost_collector_requests_total", signal="traces", result="accepted") == 1
    assert metric(port, "aicost_collector_requests_total", result="malformed") == 1
    assert metric(port, "aicost_cost_USD_total", service_name="shop", gen_ai_request_model="gpt-4o") == 0.0075
    assert metric(port, "aicost_requests_unpriced_total", aicost_cost_reason="unknown_model") == 1
    assert metric(port, "aicost_request_cost_USD_count") == 1
    assert metric(port, "aicost_request_cost_USD_bucket", le="0.01") == 1
    one.service._ready = False
    assert get(port, "/readyz")[0] == 503


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_metrics_of_cost_go_where_the_spans_go(
    collector: Callable[..., InProcess], backend: Backend, temporality: str
) -> None:
    metrics = {"interval": 0.1, "temporality": temporality, "attributes": ["team"]}
    one = collector(cost_metrics=metrics)
    sampled_out = a_span({**chat(), "aicost.team": "search"}, flags=0)
    assert post(one.http, a_request([sampled_out]).SerializeToString())[0] == 200
    until(lambda: len(backend.metrics) > 0)
    assert post(one.http, a_request([a_span({**chat(), "aicost.team": "search"})]).SerializeToString())[0] == 200
    time.sleep(0.5)
    one.stop()
    points = [point for one in backend.metrics if one.name == "aicost.cost" for point in one.sum.data_points]
    values = [point.as_double for point in points]
    assert (sum(values) if temporality == "delta" else values[-1]) == 0.015
    found = {pair.key: pair.value.string_value for pair in points[0].attributes}
    assert found["aicost.team"] == "search"
    assert found["service.name"] == "shop"
    histograms = [one for one in backend.metrics if one.name == "aicost.request.cost"]
    assert histograms[-1].histogram.data_points[0].explicit_bounds[0] == 1e-6


def test_series_are_bounded(collector: Callable[..., InProcess]) -> None:
    one = collector(cost_metrics={"enabled": True, "max_series": 10})
    spans = [a_span({**chat(), "gen_ai.request.model": f"model-{number}"}) for number in range(50)]
    assert post(one.http, a_request(spans).SerializeToString())[0] == 200
    assert metric(one.http, "aicost_request_attempts_total") == 50
    assert metric(one.http, "aicost_request_attempts_total", otel_metric_overflow="true") == 40


def test_logs_are_json_lines(process: Callable[..., AsProcess]) -> None:
    one = process()
    assert one.terminate() == 0
    until(lambda: one.lines[-1]["message"] == "stopped")
    assert [line["message"] for line in one.lines] == ["listening", "stopping", "stopped"]
    assert {"time", "level", "logger", "message"} <= one.lines[0].keys()


# --- how it is started


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from aicost.cli import main; main()", "collector", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to listen on"),
        (["--listen-http", "127.0.0.1:4318"], "nowhere to send to"),
        (["--listen-http", "4318", "--export", "file=-"], "HOST:PORT"),
        (["--listen-http", ":1", "--export", "kafka=x"], "kafka=x"),
        (["--listen-http", ":1", "--export", "otlp-http=backend:4318"], "http://"),
        (
            ["--listen-http", "127.0.0.1:0", "--export", "file=-", "--rate-card", "/nowhere/card.json"],
            "/nowhere/card.json",
        ),
        (["--listen-http", "127.0.0.1:0", "--export", "file=-", "--rate-card", "http://prices/card.json"], "https"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--listen-http", "203.0.113.1:4318", "--export", "file=-"], "cannot listen"),
    ],
)
def test_what_cannot_work_is_one_line_and_a_status(arguments: list[str], said: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.startswith("aicost: ")
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_wrong_is_told_with_the_field(tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text("receivers: {http: {listen: 127.0.0.1:0, port: 3}}\nexporters: [{type: file, path: '-'}]\n")
    done = cli("--config", str(file))
    assert done.returncode == 1
    assert "receivers.http.port" in done.stderr


def test_print_config_shows_what_would_run_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text(
        "exporters: [{type: otlp-http, endpoint: 'http://b:4318', headers: {key: s3cret}}]\n"
        "receivers: {max_request: 8MiB, read_timeout: 500ms}\n"
    )
    done = cli("--config", str(file), "--listen-grpc", "127.0.0.1:4317", "--print-config")
    assert done.returncode == 0
    assert "s3cret" not in done.stdout
    for line in ("listen: 127.0.0.1:4317", "max_request: 8388608", "read_timeout: 0.5", "endpoint: http://b:4318"):
        assert line in done.stdout


def test_the_file_exporter_writes_otlp_json(collector: Callable[..., InProcess], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    one = collector(exporters=[{"type": "file", "path": str(out)}])
    for _ in range(2):
        assert post(one.http, body())[0] == 200
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] == "chat gpt-4o"
