"""Where requests go: OTLP over HTTP and gRPC, and files.

An exporter takes one request at a time and either returns, once it was accepted, or raises: `UnavailableError` for
what may succeed later, `RejectedError` for what never will (OTLP specification, "Failures" of both transports).
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import logging
import math
import os
import ssl
import sys
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, NamedTuple, NoReturn, Protocol

import aiohttp
import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from aicost import _owner_only
from aicost._errors import ConfigError

from .config import ExporterConfig, FileExporter, OtlpExporter
from .otlp_json import to_json

_log = logging.getLogger("aicost.collector")

REQUESTS: dict[str, Any] = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
RESPONSES: dict[str, Any] = {
    "traces": trace_service_pb2.ExportTraceServiceResponse,
    "metrics": metrics_service_pb2.ExportMetricsServiceResponse,
    "logs": logs_service_pb2.ExportLogsServiceResponse,
}
REJECTED = {"traces": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}
"""Where a partial success says how much was left out."""
METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_WAIT_HTTP = {429, 502, 503, 504}
_SET_UP_HTTP = {301, 302, 303, 307, 308, 401, 403, 407}
"""What an operator has to put right. OTLP would have it dropped at once; here it waits for some time."""
_UNKNOWN_HTTP = {404, 405, 501}
"""There is nothing at this address that takes the signal: Jaeger has no /v1/metrics."""
_WAIT_GRPC = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
_SET_UP_GRPC = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
_IN_THREAD = 64 * 2**10
"""Requests above this size are compressed in a thread."""


class UnavailableError(Exception):
    """The endpoint cannot take it now. `retry_after` is how many seconds it asks for, if it does."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class UnwantedError(UnavailableError):
    """The endpoint refuses whatever is sent, until somebody puts that right. `unknown`: it knows no such signal."""

    def __init__(self, what: str, *, unknown: bool = False) -> None:
        super().__init__(what)
        self.unknown = unknown


class RejectedError(Exception):
    """The endpoint will never take it. `too_large`: it might take parts of it."""

    def __init__(self, what: str, *, too_large: bool = False) -> None:
        super().__init__(what)
        self.too_large = too_large


class LeftOut(NamedTuple):
    """What an endpoint left out of what it accepted."""

    items: int
    why: str


class Exporter(Protocol):
    """Sends requests somewhere."""

    name: str
    decodes: bool
    """Whether it can take only what it can decode."""
    refused_items: int
    """What endpoints accepted only in part left out."""

    async def send(self, signal: str, data: bytes) -> LeftOut | None:
        """Send a request; what of it the endpoint left out, although it accepted the whole."""
        ...

    async def close(self) -> None: ...


def exporters_for(configs: tuple[ExporterConfig, ...]) -> list[Exporter]:
    """The exporters that are configured, each with a name of its own."""
    made: list[Exporter] = []
    for config in configs:
        # By what it is and not by its place in the list: the spool remembers by this name what was delivered.
        where = config.path if isinstance(config, FileExporter) else config.endpoint
        name = f"{config.type}-{hashlib.sha256(where.encode()).hexdigest()[:10]}"
        same = sum(one.name.startswith(name) for one in made)
        name += f"-{same + 1}" if same else ""
        if isinstance(config, FileExporter):
            made.append(ToFile(name, config))
        elif config.type == "otlp-http":
            made.append(OverHttp(name, config))
        else:
            made.append(OverGrpc(name, config))
    return made


class OverHttp:
    """OTLP over HTTP, in protobuf."""

    decodes = False

    def __init__(self, name: str, config: OtlpExporter) -> None:
        self.name, self.refused_items = name, 0
        if not config.endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"exporter {name}: endpoint {config.endpoint!r} must begin with http:// or https://")
        self._base = config.endpoint.rstrip("/")
        self._gzip = config.compression == "gzip"
        self._headers = {key: value.get_secret_value() for key, value in config.headers.items()}
        self._headers |= {"content-type": "application/x-protobuf"}
        self._timeout = aiohttp.ClientTimeout(total=config.timeout)
        self._tls = _client_tls(name, config) if self._base.startswith("https://") else None
        self._limit = config.concurrency
        self._session: aiohttp.ClientSession | None = None

    async def send(self, signal: str, data: bytes) -> LeftOut | None:
        """Post one request."""
        headers, body = self._headers, data
        if self._gzip:
            headers = {**headers, "content-encoding": "gzip"}
            body = await _compressed(data)
        try:
            # A redirect would be followed without the body, and with the headers.
            sending = self._opened().post(
                f"{self._base}/v1/{signal}", data=body, headers=headers, allow_redirects=False
            )
            async with sending as response:
                answer = await _whole(response)
                return self._judge(signal, response, answer)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise UnavailableError(f"{self._base}: {type(error).__name__} {error}") from error

    def _judge(self, signal: str, response: aiohttp.ClientResponse, answer: bytes) -> LeftOut | None:
        status = response.status
        if 200 <= status < 300:
            left = _left_out(self.name, signal, answer)
            self.refused_items += left.items if left is not None else 0
            return left
        what = f"{self._base} answered {status} {response.reason or ''}".strip()
        if status in _SET_UP_HTTP or status in _UNKNOWN_HTTP:
            raise UnwantedError(what, unknown=status in _UNKNOWN_HTTP)
        if status in _WAIT_HTTP:
            raise UnavailableError(what, _retry_after(response.headers.get("retry-after")))
        raise RejectedError(f"{what}: {_status_message(answer)}", too_large=status == 413)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls is not None else True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, auto_decompress=True)
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


_MOST_ANSWER = 4 * 2**20


class OverGrpc:
    """OTLP over gRPC."""

    decodes = False

    def __init__(self, name: str, config: OtlpExporter) -> None:
        self.name, self.refused_items = name, 0
        target = config.endpoint.removeprefix("http://").removeprefix("https://").rstrip("/")
        self._target = target
        self._tls = config.tls is not None or config.endpoint.startswith("https://")
        self._config = config
        self._metadata = [(key.lower(), value.get_secret_value()) for key, value in config.headers.items()]
        self._compression = grpc.Compression.Gzip if config.compression == "gzip" else grpc.Compression.NoCompression
        self._credentials = _credentials(name, config) if self._tls else None
        self._channel: Any = None
        self._calls: dict[str, Any] = {}

    async def send(self, signal: str, data: bytes) -> LeftOut | None:
        """Send one request."""
        try:
            answer = await self._call(signal)(
                data, timeout=self._config.timeout, metadata=self._metadata, compression=self._compression
            )
        except grpc.aio.AioRpcError as error:
            self._raise(error)
        left = _left_out(self.name, signal, answer)
        self.refused_items += left.items if left is not None else 0
        return left

    def _raise(self, error: Any) -> NoReturn:
        code, wait = error.code(), _retry_info(error)
        what = f"{self._target}: {code.name} {error.details()}"
        if code in _WAIT_GRPC or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and wait is not None):
            raise UnavailableError(what, wait) from error
        if code in _SET_UP_GRPC or code is grpc.StatusCode.UNIMPLEMENTED:
            raise UnwantedError(what, unknown=code is grpc.StatusCode.UNIMPLEMENTED) from error
        raise RejectedError(what, too_large=code is grpc.StatusCode.RESOURCE_EXHAUSTED) from error

    def _call(self, signal: str) -> Any:
        if self._channel is None:
            options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
            if self._credentials is not None:
                self._channel = grpc.aio.secure_channel(self._target, self._credentials, options)
            else:
                self._channel = grpc.aio.insecure_channel(self._target, options)
        if signal not in self._calls:
            self._calls[signal] = self._channel.unary_unary(METHODS[signal])
        return self._calls[signal]

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close()


class ToFile:
    """OTLP/JSON, one request a line."""

    decodes = True

    def __init__(self, name: str, config: FileExporter) -> None:
        self.name, self.refused_items = name, 0
        self._path = config.path
        self._file: BinaryIO | None = None
        self._lock = asyncio.Lock()
        try:
            if self._path != "-":
                self._file = os.fdopen(_owner_only.open_file(self._path, os.O_WRONLY | os.O_APPEND), "ab", buffering=0)
        except OSError as error:
            raise ConfigError(f"exporter {name}: cannot write {self._path}: {error.strerror}") from None

    async def send(self, signal: str, data: bytes) -> LeftOut | None:
        """Write one request."""
        async with self._lock:
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._write, signal, data)
            except OSError as error:
                raise UnavailableError(f"cannot write {self._path}: {error.strerror}") from error
            except DecodeError as error:
                raise RejectedError(f"cannot be written as JSON: {error}") from error
        return None

    def _write(self, signal: str, data: bytes) -> None:
        line = json.dumps(to_json(REQUESTS[signal].FromString(data)), ensure_ascii=False).encode() + b"\n"
        if self._file is None:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            return
        size, written = os.fstat(self._file.fileno()).st_size, 0
        try:
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError:
            with contextlib.suppress(OSError):  # half a line would spoil the next one
                self._file.truncate(size)
            raise

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """All of an answer, up to what is reasonable. One that breaks off is none: it raises."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size <= _MOST_ANSWER:
            pieces.append(piece)
    return b"".join(pieces)


async def _compressed(data: bytes) -> bytes:
    if len(data) < _IN_THREAD:
        return gzip.compress(data, 1)
    return await asyncio.get_running_loop().run_in_executor(None, gzip.compress, data, 1)


def _left_out(name: str, signal: str, answer: bytes) -> LeftOut | None:
    """What of a request was not accepted, though it as a whole was."""
    try:
        partial = RESPONSES[signal].FromString(answer).partial_success
    except DecodeError:
        return None
    count = int(getattr(partial, REJECTED[signal]))
    if count or partial.error_message:
        _log.warning("%s left out %d of what it was sent: %s", name, count, partial.error_message)
    return LeftOut(count, partial.error_message or "left out further on") if count > 0 else None


def _status_message(answer: bytes) -> str:
    try:
        return str(status_pb2.Status.FromString(answer).message)[:200]
    except DecodeError:  # many answer in prose
        return answer[:200].decode(errors="replace")


def _retry_after(value: str | None) -> float | None:
    """Seconds, or a date."""
    if value is None:
        return None
    try:
        return _bounded(float(value))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)
    return _bounded((at - datetime.now(timezone.utc)).total_seconds())


def _bounded(seconds: float) -> float | None:
    """Advice that can be followed: at most an hour."""
    return min(max(0.0, seconds), 3600.0) if math.isfinite(seconds) else None


def _retry_info(error: Any) -> float | None:
    said = dict(error.trailing_metadata() or ())
    info = error_details_pb2.RetryInfo()
    try:
        if "google.rpc.retryinfo-bin" in said:
            info.ParseFromString(said["google.rpc.retryinfo-bin"])
            return _bounded(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
        for detail in status_pb2.Status.FromString(said.get("grpc-status-details-bin", b"")).details:
            if detail.Unpack(info):
                return _bounded(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    except DecodeError:
        pass  # advice that cannot be read is none
    return None


def _client_tls(name: str, config: OtlpExporter) -> ssl.SSLContext:
    tls = config.tls
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file) if tls is not None and tls.ca_file else None)
        if tls is not None and tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"exporter {name}: its TLS files cannot be used: {error}") from None
    return context


def _credentials(name: str, config: OtlpExporter) -> Any:
    tls = config.tls
    try:
        files = [
            None if path is None else path.read_bytes()
            for path in ((tls.ca_file, tls.key_file, tls.cert_file) if tls is not None else (None, None, None))
        ]
    except OSError as error:
        raise ConfigError(f"exporter {name}: its TLS files cannot be used: {error}") from None
    return grpc.ssl_channel_credentials(*files)
