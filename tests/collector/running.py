"""A collector that runs, what it sends to, and what is sent to it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from aicost._settings import Settings
from aicost._settings.collector_section import CollectorSettings
from aicost.collector.service import Service

PROTOBUF = {"content-type": "application/x-protobuf"}
_numbers = iter(range(1, 10**12))


def a_span(
    attributes: Mapping[str, Any] | None = None, *, name: str = "chat gpt-4o", number: int | None = None, **fields: Any
) -> Span:
    """A span of its own; without attributes, a call to gpt-4o of 1,000 tokens in and 500 out ($0.0075)."""
    number = next(_numbers) if number is None else number
    span = Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name=name,
        start_time_unix_nano=1_790_000_000_000_000_000 + number * 1_000_000,
        end_time_unix_nano=1_790_000_001_000_000_000 + number * 1_000_000,
    )
    for key, value in fields.items():
        setattr(span, key, value)
    for key, value in (chat(number) if attributes is None else attributes).items():
        put(span, key, value)
    return span


def chat(number: int | None = None) -> dict[str, Any]:
    """The attributes of a call to gpt-4o by upstream's conventions."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 500,
        **({} if number is None else {"gen_ai.response.id": f"resp-{number}"}),
    }


def put(item: Any, key: str, value: Any) -> None:
    """Add an attribute to a message."""
    held = item.attributes.add(key=key).value
    if isinstance(value, bool):
        held.bool_value = value
    elif isinstance(value, int):
        held.int_value = value
    elif isinstance(value, float):
        held.double_value = value
    elif isinstance(value, list):
        held.array_value.values.extend([type(held)(string_value=one) for one in value])
    else:
        held.string_value = value


def a_request(
    spans: Iterable[Span], *, scope: str = "application", version: str = "", resource: Mapping[str, Any] | None = None
) -> ExportTraceServiceRequest:
    """A request with these spans."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    for key, value in (resource or {"service.name": "shop"}).items():
        put(of_resource.resource, key, value)
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name, of_scope.scope.version = scope, version
    of_scope.spans.extend(spans)
    return request


def spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    """Its spans."""
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def attributes_of(item: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    found = {}
    for pair in item.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind) if kind else None
        found[pair.key] = [one.string_value for one in value.values] if kind == "array_value" else value
    return found


class Answer(NamedTuple):
    """What a backend does with a request, and whether it takes it."""

    give: Callable[[BaseHTTPRequestHandler], None]
    takes: bool


def status(code: int, **headers: str) -> Answer:
    """An answer with a status."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return Answer(give, code == 200)


def _break(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
    handler.close_connection = True


reset = Answer(_break, False)
"""The connection breaks off in the middle of the answer."""


def slow(seconds: float) -> Answer:
    """An answer that takes its time."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        status(200).give(handler)

    return Answer(give, True)


class Backend:
    """What a collector sends to: keeps what it takes, and answers as it is told, one answer a request, then 200."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.always: Answer | None = None
        self.by_path: dict[str, Answer] = {}
        """What always happens to requests of a path."""
        self.most: int | None = None
        """The largest body it takes."""
        self.requests: list[tuple[str, bytes]] = []
        self.tried = 0
        self.headers: list[Mapping[str, str]] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"backend": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[Span]:
        with self._lock:
            bodies = [body for path, body in self.requests if path == "/v1/traces"]
        return [span for body in bodies for span in spans_of(ExportTraceServiceRequest.FromString(body))]

    @property
    def metrics(self) -> list[Any]:
        with self._lock:
            bodies = [body for path, body in self.requests if path == "/v1/metrics"]
        return [
            metric
            for body in bodies
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    @property
    def logs(self) -> list[Any]:
        with self._lock:
            return [ExportLogsServiceRequest.FromString(body) for path, body in self.requests if path == "/v1/logs"]

    def ids(self) -> Counter[bytes]:
        """How often each span came."""
        return Counter(span.span_id for span in self.spans)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Those who go away are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    backend: Backend

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        backend = self.backend
        with backend._lock:
            backend.tried += 1
            always = backend.by_path.get(self.path) or backend.always or status(200)
            answer = backend.answers.popleft() if backend.answers else always
            if backend.most is not None and len(body) > backend.most:
                answer = status(413)
            if answer.takes:
                backend.requests.append((self.path, body))
                backend.headers.append(dict(self.headers))
        answer.give(self)


def post(
    port: int,
    body: bytes,
    path: str = "/v1/traces",
    *,
    headers: Mapping[str, str] = PROTOBUF,
    scheme: str = "http",
    context: Any = None,
    timeout: float = 30,
) -> tuple[int, bytes, dict[str, str]]:
    """Post something; the status, body and headers of the answer."""
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", data=body, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as response:
            return response.status, response.read(), {k.lower(): v for k, v in response.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {k.lower(): v for k, v in error.headers.items()}


def get(port: int, path: str) -> tuple[int, str]:
    """Read a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(port: int, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = get(port, "/metrics")[1].splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.partition("{")[0].partition(" ")[0] == name and all(one in line for one in wanted)
    )


def settings(backend: Backend | None = None, **more: Any) -> dict[str, Any]:
    """Settings of a collector that sends to a backend and tries again at once."""
    made: dict[str, Any] = {
        "receivers": {"http": {"listen": "127.0.0.1:0"}, "grpc": {"listen": "127.0.0.1:0"}},
        "cost_metrics": {"enabled": False},
        "drain_timeout": 5,
    }
    if backend is not None:
        quick = {"initial": 0.02, "longest": 0.1}
        made["exporters"] = [{"type": "otlp-http", "endpoint": backend.url, "retry": quick, "timeout": 3}]
    return made | more


class InProcess:
    """A collector in a thread of the test."""

    def __init__(self, config: dict[str, Any], **more: Any) -> None:
        self.service = Service(Settings(collector=CollectorSettings.model_validate(config), **more))
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begun = threading.Event()
        self._failed: BaseException | None = None
        self._stopped = False
        self._thread.start()
        self._begun.wait(20)
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self.service.start())
        except BaseException as error:
            self._failed = error
            self._begun.set()
            return
        self._begun.set()
        self.loop.run_forever()

    @property
    def http(self) -> int:
        return self.service.ports["http"]

    @property
    def grpc(self) -> int:
        return self.service.ports["grpc"]

    def stop(self) -> None:
        """Stop as SIGTERM does."""
        if not self._stopped:
            self._stopped = True
            asyncio.run_coroutine_threadsafe(self.service.stop(), self.loop).result(60)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)


class AsProcess:
    """A collector as its users run it."""

    def __init__(self, config: dict[str, Any], folder: Path, **environment: str) -> None:
        file = folder / "collector.yaml"
        file.write_text(yaml.safe_dump(config))
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from aicost.cli import main; main()", "collector", "--config", str(file)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.lines: list[dict[str, Any]] = []
        self.ports: dict[str, int] = {}
        self._listening = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if not self._listening.wait(30) or not self.ports:
            self.process.kill()
            raise AssertionError(f"the collector did not start: {self.lines}")

    def _read(self) -> None:
        for line in self.process.stderr or ():
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"message": line})
            if self.lines[-1]["message"] == "listening":
                self.ports = self.lines[-1]["ports"]
                self._listening.set()
        self._listening.set()

    @property
    def http(self) -> int:
        return self.ports["http"]

    def kill(self) -> None:
        """End it as a power cut would, as far as the process goes."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def terminate(self) -> int:
        """Ask it to stop; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
