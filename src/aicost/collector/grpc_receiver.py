"""OTLP over gRPC. Requests reach the intake as the bytes they are: nothing here decodes them."""

from __future__ import annotations

import hmac
from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from aicost._errors import ConfigError
from aicost._settings.collector_section import Receiver, Receivers

from .exporters import METHODS, REJECTED, RESPONSES
from .intake import Intake, OverloadedError, RefusedError, TooLargeError

_UNAVAILABLE = 14


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, intake: Intake, config: Receivers, token: str | None) -> None:
        self._intake = intake
        self._most = config.max_request
        self._authorization = f"Bearer {token}" if token is not None else None
        self._handlers = {
            method: grpc.unary_unary_rpc_method_handler(self._exporter(signal)) for signal, method in METHODS.items()
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)

    def _exporter(self, signal: str) -> Any:
        async def export(data: bytes, context: Any) -> bytes:
            if not self._is_allowed(context):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token is needed")
            try:
                return await self._take(signal, data)
            except TooLargeError as error:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)
            except OverloadedError as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, error.message, _retry_info(error))
            except RefusedError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
            raise AssertionError("abort raises")

        return export

    def _is_allowed(self, context: Any) -> bool:
        if self._authorization is None:
            return True
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        return isinstance(given, str) and hmac.compare_digest(given.encode(), self._authorization.encode())

    async def _take(self, signal: str, data: bytes) -> bytes:
        if len(data) > self._most:
            raise TooLargeError(f"the request is larger than {self._most} bytes")
        self._intake.reserve(signal, len(data))
        try:
            accepted = await self._intake.take(signal, data, "grpc")
        finally:
            self._intake.release(signal, len(data))
        response = RESPONSES[signal]()
        if accepted.message:
            setattr(response.partial_success, REJECTED[signal], accepted.rejected)
            response.partial_success.error_message = accepted.message
        return bytes(response.SerializeToString())


def grpc_server(
    intake: Intake, config: Receivers, receiver: Receiver, token: str | None, *, shared: bool
) -> tuple[Any, int]:
    """A server that is ready to start, and its port. `shared`: other processes listen at the same one.

    Raises `ConfigError` for an address that cannot be listened at.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", config.max_request),
            ("grpc.so_reuseport", int(shared)),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.max_metadata_size", 64 * 2**10),
        ],
        maximum_concurrent_rpcs=config.max_connections,
    )
    server.add_generic_rpc_handlers((_Handler(intake, config, token),))
    try:
        if receiver.tls is None:
            port = server.add_insecure_port(receiver.listen)
        else:
            ca = receiver.tls.client_ca_file
            credentials = grpc.ssl_server_credentials(
                [(receiver.tls.key_file.read_bytes(), receiver.tls.cert_file.read_bytes())],
                ca.read_bytes() if ca is not None else None,
                require_client_auth=ca is not None,
            )
            port = server.add_secure_port(receiver.listen, credentials)
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"receivers.grpc.listen: cannot listen at {receiver.listen}: {error}") from None
    return server, port


def _retry_info(error: OverloadedError) -> tuple[tuple[str, bytes], ...]:
    """When to come again, both in the status and where the Python exporters look for it."""
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(round(error.retry_after * 1000))
    info = error_details_pb2.RetryInfo(retry_delay=delay)
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=_UNAVAILABLE, message=error.message, details=[detail])
    return (
        ("google.rpc.retryinfo-bin", info.SerializeToString()),
        ("grpc-status-details-bin", status.SerializeToString()),
    )
