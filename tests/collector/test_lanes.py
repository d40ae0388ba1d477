"""No signal waits for another, and no exporter for another: whatever one of them answers, the rest goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from pydantic import ValidationError

from aicost._settings.collector_section import CollectorSettings
from aicost.collector.exporters import REJECTED, RESPONSES, exporters_for

from .older import write_older_spool
from .running import (
    Answer,
    Backend,
    InProcess,
    a_request,
    a_span,
    metric,
    post,
    reset,
    settings,
    slow,
    status,
    until,
)
from .test_otlp import export

QUICK = {"initial": 0.02, "longest": 0.1}
PATHS = {"traces": "/v1/traces", "metrics": "/v1/metrics", "logs": "/v1/logs"}


def body(count: int = 1, **attributes: Any) -> bytes:
    return a_request([a_span(attributes or None) for _ in range(count)]).SerializeToString()


def some_metrics() -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="requests")
    metric.gauge.data_points.add().as_int = 1
    return request.SerializeToString()


def some_logs() -> bytes:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "hello"
    return request.SerializeToString()


def otlp(backend: Backend, **more: Any) -> dict[str, Any]:
    return {"type": "otlp-http", "endpoint": backend.url, "retry": QUICK, "timeout": 3, **more}


def kept(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"spool": {"path": str(tmp_path / "spool"), **more}}


@pytest.fixture
def other() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.close()


STUCK: dict[str, Answer] = {
    "404": status(404),
    "405": status(405),
    "501": status(501),
    "400": status(400),
    "401": status(401),
    "503": status(503),
    "429 for an hour": status(429, retry_after="3600"),
    "reset": reset,
    "hangs": slow(30),
}


@pytest.mark.parametrize("answer", STUCK.values(), ids=STUCK)
@pytest.mark.parametrize("signal", ["metrics", "logs"])
def test_a_backend_that_does_not_take_one_signal_gets_the_others(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, signal: str, answer: Answer
) -> None:
    backend.by_path[PATHS[signal]] = answer
    one = collector(**kept(tmp_path, max_size="64KiB"), drain_timeout=0.2)
    for _ in range(12):
        assert post(one.http, some_metrics() if signal == "metrics" else some_logs(), PATHS[signal])[0] == 200
    sent = 0
    for _ in range(30):
        assert post(one.http, body(10))[0] == 200
        sent += 10
        until(lambda sent=sent: len(backend.ids()) == sent)  # type: ignore[misc]
    assert metric(one.http, "aicost_collector_spool_waiting_bytes", signal="traces") == 0


def test_metrics_of_cost_that_a_backend_does_not_take_stop_no_traces(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend.by_path["/v1/metrics"] = status(404)
    with caplog.at_level(logging.WARNING, logger="aicost.collector"):
        one = collector(**kept(tmp_path), cost_metrics={"interval": 0.02})
        for number in range(20):
            assert post(one.http, body())[0] == 200
            until(lambda number=number: len(backend.ids()) == number + 1)  # type: ignore[misc]
        until(lambda: metric(one.http, "aicost_collector_rejected_requests_total", signal="metrics") > 5)
    said = [record.getMessage() for record in caplog.records if "metrics" in record.getMessage()]
    assert len(said) == 1, said
    assert "404" in said[0]
    assert "signals" in said[0]
    assert metric(one.http, "aicost_collector_rejected_requests_total", reason="unwanted", signal="traces") == 0


@pytest.mark.parametrize("spool", [False, True], ids=["direct", "spool"])
def test_a_grpc_backend_without_a_metrics_service_gets_the_traces(
    collector: Callable[..., InProcess], tmp_path: Path, spool: bool
) -> None:
    seen: list[int] = []

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            seen.append(len(request.resource_spans[0].scope_spans[0].spans))
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        exporter = {"type": "otlp-grpc", "endpoint": f"127.0.0.1:{port}", "retry": QUICK}
        one = collector(exporters=[exporter], **(kept(tmp_path) if spool else {}))
        for _ in range(8):
            assert post(one.http, some_metrics(), "/v1/metrics")[0] == (200 if spool else 400)
        assert post(one.http, body(3))[0] == 200
        until(lambda: seen == [3])
        until(lambda: metric(one.http, "aicost_collector_rejected_requests_total", reason="unwanted") == 8)
    finally:
        server.stop(None)


def test_metrics_that_hang_leave_room_for_traces_without_a_spool(
    collector: Callable[..., InProcess], backend: Backend
) -> None:
    backend.by_path["/v1/metrics"] = slow(3)
    one = collector(receivers={**settings()["receivers"], "max_in_flight": "100KiB"})
    data = some_metrics() * 400
    waiting = [threading.Thread(target=post, args=(one.http, data, "/v1/metrics"), daemon=True) for _ in range(12)]
    for thread in waiting:
        thread.start()
    until(lambda: backend.tried >= 3)
    assert post(one.http, body(10))[0] == 200
    for thread in waiting:
        thread.join()
    assert one.service.health.in_flight == 0


@pytest.mark.parametrize("signal", PATHS)
def test_what_a_backend_leaves_out_of_what_it_takes_is_told(
    collector: Callable[..., InProcess], backend: Backend, signal: str
) -> None:
    def give(handler: Any) -> None:
        answer = RESPONSES[signal]()
        setattr(answer.partial_success, REJECTED[signal], 2)
        answer.partial_success.error_message = "too old"
        raw = answer.SerializeToString()
        handler.send_response(200)
        handler.send_header("content-length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    backend.by_path[PATHS[signal]] = Answer(give, False)
    one = collector()
    data = {"traces": body(3), "metrics": some_metrics(), "logs": some_logs()}[signal]
    code, answer, _ = post(one.http, data, PATHS[signal])
    told = RESPONSES[signal].FromString(answer).partial_success
    assert (code, getattr(told, REJECTED[signal])) == (200, 2)
    assert "too old" in told.error_message
    assert backend.tried == 1, "a partial success must not be sent again"


@pytest.mark.parametrize("spool", [False, True], ids=["direct", "spool"])
def test_an_exporter_is_sent_the_signals_it_is_to_have(
    collector: Callable[..., InProcess], backend: Backend, other: Backend, tmp_path: Path, spool: bool
) -> None:
    exporters = [otlp(backend, signals=["traces"]), otlp(other, signals=["metrics", "traces"])]
    one = collector(exporters=exporters, **(kept(tmp_path) if spool else {}))
    for data, path in ((body(), "/v1/traces"), (some_metrics(), "/v1/metrics"), (some_logs(), "/v1/logs")):
        assert post(one.http, data, path)[0] == 200
    until(lambda: sorted(path for path, _ in other.requests) == ["/v1/metrics", "/v1/traces"])
    until(lambda: [path for path, _ in backend.requests] == ["/v1/traces"])
    assert metric(one.http, "aicost_collector_requests_total", signal="logs", result="unwanted") == 1
    assert metric(one.http, "aicost_collector_requests_total", signal="logs", result="accepted") == 0


@pytest.mark.parametrize("answer", [status(503), status(401), slow(30), reset], ids=["503", "401", "hangs", "reset"])
def test_an_exporter_that_is_away_delays_no_other(
    collector: Callable[..., InProcess], backend: Backend, other: Backend, tmp_path: Path, answer: Answer
) -> None:
    other.always = answer
    one = collector(exporters=[otlp(other), otlp(backend)], **kept(tmp_path), drain_timeout=0.2)
    for number in range(1, 31):
        assert post(one.http, body(5))[0] == 200
        until(lambda number=number: len(backend.ids()) == 5 * number, 5)  # type: ignore[misc]


def test_a_spool_that_one_exporter_fills_is_not_full_for_the_others(
    collector: Callable[..., InProcess], backend: Backend, other: Backend, tmp_path: Path
) -> None:
    other.always = status(503)
    one = collector(exporters=[otlp(other), otlp(backend)], **kept(tmp_path, max_size="200KiB"))
    for number in range(1, 101):
        assert post(one.http, body(10))[0] == 200
        until(lambda number=number: len(backend.ids()) == 10 * number)  # type: ignore[misc]
    assert metric(one.http, "aicost_collector_spool_bytes") <= 200 * 1024
    name = exporters_for(CollectorSettings.model_validate({**settings(other)}).exporters)[0].name
    left = metric(one.http, "aicost_collector_spool_left_behind_bytes_total", exporter=name)
    assert left == metric(one.http, "aicost_collector_spool_left_behind_bytes_total") > 0
    other.always = None
    until(lambda: metric(one.http, "aicost_collector_spool_waiting_bytes") == 0)
    assert 0 < len(other.ids()) < 1000
    assert post(one.http, body(7))[0] == 200
    until(lambda: len(backend.ids()) == 1007)


def test_with_all_exporters_away_the_client_keeps_what_no_longer_fits(
    collector: Callable[..., InProcess], backend: Backend, other: Backend, tmp_path: Path
) -> None:
    other.always = backend.always = status(503)
    one = collector(exporters=[otlp(other), otlp(backend)], **kept(tmp_path, max_size="100KiB"))
    codes = [post(one.http, body(10))[0] for _ in range(60)]
    assert set(codes) == {200, 503}
    other.always = backend.always = None
    taken = 10 * codes.count(200)
    until(lambda: len(backend.ids()) == len(other.ids()) == taken)
    assert metric(one.http, "aicost_collector_spool_left_behind_bytes_total") == 0


@pytest.mark.parametrize("code", [401, 403, 301, 407])
def test_what_an_operator_has_to_put_right_is_waited_for_but_not_for_ever(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, code: int
) -> None:
    backend.always = status(code)
    exporter = otlp(backend, retry={**QUICK, "give_up_after": "1s"})
    one = collector(exporters=[exporter], **kept(tmp_path))
    began = time.monotonic()
    assert post(one.http, body(2))[0] == 200
    until(lambda: metric(one.http, "aicost_collector_rejected_requests_total", reason="unwanted") == 1)
    assert time.monotonic() - began >= 0.9
    assert post(one.http, body(3))[0] == 200
    until(lambda: metric(one.http, "aicost_collector_rejected_requests_total", reason="unwanted") == 2)
    backend.always = None
    assert post(one.http, body(4))[0] == 200
    until(lambda: len(backend.ids()) == 4)


def test_a_signal_that_was_taken_before_is_waited_for_when_its_address_is_gone(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    one = collector(**kept(tmp_path))
    assert post(one.http, body())[0] == 200
    until(lambda: len(backend.ids()) == 1)
    backend.answers.extend([status(404)] * 5)
    assert post(one.http, body())[0] == 200
    until(lambda: len(backend.ids()) == 2)
    assert metric(one.http, "aicost_collector_rejected_requests_total") == 0


def test_without_a_spool_what_one_exporter_takes_is_taken(
    collector: Callable[..., InProcess], backend: Backend, other: Backend
) -> None:
    other.by_path["/v1/metrics"] = status(404)
    one = collector(exporters=[otlp(other), otlp(backend)])
    assert post(one.http, some_metrics(), "/v1/metrics")[0] == 200
    assert post(one.http, body())[0] == 200
    assert len(backend.ids()) == len(other.ids()) == len(backend.metrics) == 1
    backend.by_path["/v1/metrics"] = status(404)
    both = collector(exporters=[otlp(other), otlp(backend)])
    assert post(both.http, some_metrics(), "/v1/metrics")[0] == 400


def test_a_spool_of_an_older_version_is_delivered(backend: Backend, tmp_path: Path) -> None:
    config = settings(backend, **kept(tmp_path))
    (exporter,) = exporters_for(CollectorSettings.model_validate(config).exporters)
    for folder in ("0", "3"):
        kept_then = [("traces", body(3)), ("metrics", some_metrics()), ("traces", body(4)), ("logs", some_logs())]
        write_older_spool(tmp_path / "spool" / folder, [kept_then], {exporter.name: (1, 1)})
    one = InProcess(config)
    until(lambda: (len(backend.ids()), len(backend.metrics), len(backend.logs)) == (8, 2, 2))
    one.stop()
    two = InProcess(config)
    assert post(two.http, body())[0] == 200
    until(lambda: len(backend.ids()) == 9)
    two.stop()
    assert len(backend.requests) == 7


@contextmanager
def lines_of(path: Path, count: int) -> Iterator[None]:
    yield
    until(lambda: path.exists() and len(path.read_text().splitlines()) == count)


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "an attribute's text": lambda data: data.replace(b"xyzzy", b"\xff\xfe\xfd\xfc\xfb"),
    "an attribute's name": lambda data: data.replace(b"named", b"\xc3\x28\xc3\x28\xc3"),
    "the span's name": lambda data: data.replace(b"plugh", b"\xed\xa0\x80\xed\xa0"),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("spool", [False, True], ids=["direct", "spool"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_span_that_a_file_cannot_hold_is_a_partial_success(
    collector: Callable[..., InProcess], tmp_path: Path, protocol: str, spool: bool, damage: Callable[[bytes], bytes]
) -> None:
    out = tmp_path / "out.jsonl"
    one = collector(exporters=[{"type": "file", "path": str(out)}], **(kept(tmp_path) if spool else {}))
    odd = a_span({"named": "xyzzy"})
    odd.name = "plugh"
    data = damage(a_request([a_span(), odd, a_span()]).SerializeToString())
    with lines_of(out, 1):
        if protocol == "http":
            code, answer, _ = post(one.http, data)
            assert code == 200
        else:
            answer = export(one, data)
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
        assert partial.rejected_spans == 1
        assert "decoded" in partial.error_message
    assert out.read_text().count("spanId") == 2
    alone = damage(a_request([odd]).SerializeToString())
    assert post(one.http, alone)[0] == 400


@pytest.mark.parametrize("signals", [[], ["spans"], "traces"])
def test_signals_that_there_are_not_are_a_mistake(signals: Any) -> None:
    exporter = {"type": "file", "path": "-", "signals": signals}
    with pytest.raises(ValidationError, match="signals"):
        CollectorSettings.model_validate({"receivers": {"http": {"listen": ":0"}}, "exporters": [exporter]})
