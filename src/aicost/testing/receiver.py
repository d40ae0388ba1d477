"""An OTLP receiver on loopback: OTLP over HTTP (protobuf) and gRPC, keeping what arrives."""

from __future__ import annotations

import gzip
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_MAX_BODY = 64 * 2**20


class OtlpReceiver:
    """Takes spans and metrics from any OTLP exporter, so that a test can look at what really went over the wire.

    >>> with OtlpReceiver() as receiver:
    ...     exporter = OTLPSpanExporter(endpoint=receiver.http_endpoint + "/v1/traces")
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._metrics: list[tuple[str, Metric]] = []
        handler = type("Handler", (_HttpHandler,), {"receiver": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._grpc = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self), self._grpc)  # type: ignore[no-untyped-call]
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self._grpc)  # type: ignore[no-untyped-call]
        self._grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> OtlpReceiver:  # noqa: PYI034 - Self needs Python 3.11
        threading.Thread(target=self._http.serve_forever, args=(0.02,), name="aicost-otlp", daemon=True).start()
        self._grpc.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(grace=None)

    @property
    def http_endpoint(self) -> str:
        """Base address for OTLP over HTTP."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def grpc_endpoint(self) -> str:
        """Address for OTLP over gRPC, without TLS."""
        return f"http://127.0.0.1:{self._grpc_port}"

    @property
    def spans(self) -> list[Span]:
        """Every span received so far."""
        with self._lock:
            return list(self._spans)

    @property
    def metrics(self) -> list[Metric]:
        """Every metric received so far, one entry per export."""
        return [metric for _, metric in self.metrics_by_instance]

    @property
    def metrics_by_instance(self) -> list[tuple[str, Metric]]:
        """Every metric received so far, with the `service.instance.id` of the process that sent it."""
        with self._lock:
            return list(self._metrics)

    def _take_traces(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        with self._lock:
            self._spans.extend(s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans)

    def _take_metrics(self, request: metrics_service_pb2.ExportMetricsServiceRequest) -> None:
        with self._lock:
            self._metrics.extend(
                (str(attributes_of(r.resource).get("service.instance.id", "")), m)
                for r in request.resource_metrics
                for scope in r.scope_metrics
                for m in scope.metrics
            )


def attributes_of(item: Any) -> dict[str, Any]:
    """The attributes of a received span, event or data point as plain values."""
    return {pair.key: _value(pair.value) for pair in item.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: OtlpReceiver

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is the library's
        """What arrives is kept, not printed."""

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("content-length") or 0), _MAX_BODY))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.endswith("/v1/traces"):
            self.receiver._take_traces(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
        elif self.path.endswith("/v1/metrics"):
            self.receiver._take_metrics(metrics_service_pb2.ExportMetricsServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the signature is gRPC's
        self._receiver._take_traces(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the signature is gRPC's
        self._receiver._take_metrics(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()
