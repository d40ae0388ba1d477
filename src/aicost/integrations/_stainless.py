"""The base that the OpenAI and Anthropic clients share, instrumented once.

Both packages are generated from one template, whose base client has had the same few methods since openai 1.x and
anthropic 0.x. Read in openai 1.66 and 3.52, anthropic 0.49 and 2.11 (`_base_client.py`):

- `request` is one call, whatever the resource method, with all its retries inside;
- `_build_request` runs once per attempt, just before it goes out;
- `_should_retry(response)` and `_calculate_retry_timeout(...)` run between a failed attempt and the next, the
  latter inside the `except` block when the attempt failed without a response;
- `_process_response(response=...)` gets the HTTP response of the attempt that succeeded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import wrapt
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from aicost.scopes import propagation
from aicost.telemetry import guard
from aicost.telemetry.call import Call, Outcome, Target
from aicost.telemetry.pipeline import Pipeline
from aicost.usage.event import Billed, RequestStatus
from aicost.usage.readers import read_response

from ._wire import EndOfBody, watch


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A billable path of an API: its operation by the conventions, and the reader of its usage."""

    operation: str
    api: str


@dataclass(frozen=True, slots=True)
class StainlessClient:
    """What differs between the clients: the module, the billable paths, and who answers a given client object."""

    module: str
    endpoints: Mapping[str, Endpoint]
    provider_of: Callable[[Any], str]


@dataclass(slots=True)
class _InProgress:
    call: Call
    response: Any = None
    """The HTTP response of the attempt that succeeded."""
    watched: bool = False
    status: int | None = None
    """HTTP status of the attempt that just failed."""


_current: ContextVar[_InProgress | None] = ContextVar("aicost_stainless_call", default=None)

# What never reached the provider's model, by the names httpx and httpx2 share.
_NOT_SENT = {
    "ConnectTimeout",
    "ConnectError",
    "PoolTimeout",
    "WriteTimeout",
    "WriteError",
    "ProxyError",
    "UnsupportedProtocol",
    "LocalProtocolError",
}
# A gateway that gave up on the model says nothing of what the model went on to do.
_MAYBE_BILLED_STATUS = {408, 499, 504, 524}


def wrap_client(base: Any, client: StainlessClient, pipeline: Pipeline) -> list[tuple[Any, str]]:
    """Patch the methods of the base module; returns what was patched, as (class, method) pairs."""
    hooks: list[tuple[Any, str, Any]] = [
        (base.SyncAPIClient, "request", _request(client, pipeline)),
        (base.AsyncAPIClient, "request", _async_request(client, pipeline)),
        (base.SyncAPIClient, "_process_response", _process_response),
        (base.AsyncAPIClient, "_process_response", _process_response),
        (base.BaseClient, "_build_request", _build_request),
        (base.BaseClient, "_should_retry", _should_retry),
        (base.BaseClient, "_calculate_retry_timeout", _calculate_retry_timeout),
    ]
    for owner, name, _ in hooks:
        getattr(owner, name)  # all of them are there, or none is touched
    for owner, name, hook in hooks:
        wrapt.wrap_function_wrapper(owner, name, hook)
    return [(owner, name) for owner, name, _ in hooks]


def in_our_span() -> bool:
    """Whether a call recorded by aicost is under way here."""
    return _current.get() is not None


def _request(client: StainlessClient, pipeline: Pipeline) -> Callable[..., Any]:
    def request(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        progress = _begin(client, pipeline, instance, args, kwargs)
        slot = _current.set(progress)
        if progress is None:
            try:
                return wrapped(*args, **kwargs)
            finally:
                _current.reset(slot)
        token = otel_context.attach(progress.call.context)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            _raised(progress, error)
            raise
        finally:
            otel_context.detach(token)
            _current.reset(slot)
        _returned(progress, result)
        return result

    return request


def _async_request(client: StainlessClient, pipeline: Pipeline) -> Callable[..., Any]:
    async def request(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        progress = _begin(client, pipeline, instance, args, kwargs)
        slot = _current.set(progress)
        if progress is None:
            try:
                return await wrapped(*args, **kwargs)
            finally:
                _current.reset(slot)
        token = otel_context.attach(progress.call.context)
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            _raised(progress, error)
            raise
        finally:
            otel_context.detach(token)
            _current.reset(slot)
        _returned(progress, result)
        return result

    return request


def _begin(client: StainlessClient, pipeline: Pipeline, instance: Any, args: Any, kwargs: Any) -> _InProgress | None:
    try:
        options = kwargs["options"] if "options" in kwargs else args[1]
        endpoint = client.endpoints.get(options.url.partition("?")[0])
        if endpoint is None or options.method.lower() != "post" or not is_instrumentation_enabled():
            return None
        body = options.json_data
        model = body.get("model") if isinstance(body, Mapping) else None
        url = instance.base_url
        target = Target(
            provider=client.provider_of(instance),
            operation=endpoint.operation,
            api=endpoint.api,
            model=model if isinstance(model, str) else "unknown",
            server_address=url.host,
            server_port=url.port or (443 if url.scheme == "https" else 80),
            streaming=bool(kwargs.get("stream")),
        )
        return _InProgress(Call(pipeline, target))
    except Exception as error:  # noqa: BLE001 - the application's call comes first
        guard.failed("open a call", error)
        return None


def _build_request(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    request = wrapped(*args, **kwargs)
    progress = _current.get()
    if progress is not None:
        progress.status = None
        progress.call.attempt_started()
        try:
            if propagation.enabled():
                propagation.inject(request.headers, host=request.url.host)
        except Exception as error:  # noqa: BLE001 - the application's request comes first
            guard.failed("send the scope along", error)
    return request


def _should_retry(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    progress = _current.get()
    if progress is not None:
        response = args[0] if args else kwargs.get("response")
        progress.status = getattr(response, "status_code", None)
    return wrapped(*args, **kwargs)


def _calculate_retry_timeout(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    timeout = wrapped(*args, **kwargs)
    progress = _current.get()
    if progress is not None:
        try:
            _attempt_failed(progress, sys.exc_info()[1], float(timeout))
        except Exception as error:  # noqa: BLE001 - the client's retry comes first
            guard.failed("record a retry", error)
    return timeout


def _process_response(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    progress = _current.get()
    if progress is not None:
        try:
            progress.response = response = kwargs["response"]
            if not response.is_closed:
                api = progress.call.target.api
                watch(response, api, _BodyOutcome(progress.call))
                progress.watched = True
        except Exception as error:  # noqa: BLE001 - the application's response comes first
            guard.failed("watch a response", error)
    return wrapped(*args, **kwargs)


def _attempt_failed(progress: _InProgress, error: BaseException | None, backoff_s: float) -> None:
    if progress.status is not None:
        status = progress.status
        billed = Billed.POSSIBLY if status in _MAYBE_BILLED_STATUS else Billed.NO
        progress.call.attempt_failed(billed=billed, error_type=str(status), http_status=status, backoff_s=backoff_s)
    else:
        cause = _root(error)
        progress.call.attempt_failed(
            billed=_billed_after(cause), error_type=type(cause).__name__ if cause else "unknown", backoff_s=backoff_s
        )


def _returned(progress: _InProgress, result: Any) -> None:
    """The client gave the application something: finish now, unless a watched body will."""
    if progress.watched:
        return
    try:
        body = _body_of(result, progress.response, progress.call.target.api)
        view = (
            None
            if body is None
            else read_response(body, api=progress.call.target.api, provider=progress.call.target.provider)
        )
        progress.call.finish(view, Outcome(complete=view is not None and view.reading is not None))
    except Exception as error:  # noqa: BLE001 - the application has its result
        guard.failed("read a response", error)
        progress.call.finish(None, Outcome(complete=False))


def _raised(progress: _InProgress, error: BaseException) -> None:
    """The client raised. What the provider billed by then is whatever the response said, if one came back."""
    try:
        view = None
        response = progress.response
        if response is not None and response.is_closed and not progress.watched:
            view = read_response(
                json.loads(response.content), api=progress.call.target.api, provider=progress.call.target.provider
            )
        status_code = getattr(error, "status_code", None)
        cause = _root(error)
        if view is not None and view.reading is not None:
            billed = Billed.YES
        elif response is not None:
            billed = Billed.POSSIBLY
        elif isinstance(status_code, int):
            billed = Billed.POSSIBLY if status_code in _MAYBE_BILLED_STATUS else Billed.NO
        else:
            billed = _billed_after(cause) if progress.call.sent else Billed.NO
        timed_out = "Timeout" in type(error).__name__
        outcome = Outcome(
            status=RequestStatus.TIMEOUT if timed_out else RequestStatus.FAILURE,
            billed=billed,
            error_type=str(status_code) if isinstance(status_code, int) else type(cause).__name__,
            http_status=status_code if isinstance(status_code, int) else None,
            complete=billed is not Billed.POSSIBLY,
        )
        progress.call.finish(view, outcome)
    except Exception as failure:  # noqa: BLE001 - the application's own error comes first
        guard.failed("record a failed call", failure)
        progress.call.finish(None, Outcome(RequestStatus.FAILURE, Billed.POSSIBLY, complete=False))


class _BodyOutcome:
    """Finishes a call when its watched body has ended."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __call__(self, body: Mapping[str, Any] | None, end: EndOfBody) -> None:
        view = (
            None
            if body is None
            else read_response(body, api=self._call.target.api, provider=self._call.target.provider)
        )
        known = end.complete and view is not None and view.reading is not None
        cut = end.closed_early or end.error is not None or end.error_type is not None
        # A stream that ran to its end without usage was billed; one that was cut may have been.
        billed = Billed.POSSIBLY if cut and not known else Billed.YES
        if end.error is not None:
            cause = _root(end.error)
            timed_out = "Timeout" in type(cause).__name__
            status = RequestStatus.TIMEOUT if timed_out else RequestStatus.FAILURE
            outcome = Outcome(status, billed, type(cause).__name__, complete=known)
        elif end.error_type is not None:
            outcome = Outcome(RequestStatus.FAILURE, billed, end.error_type, complete=known)
        else:
            outcome = Outcome(billed=billed, complete=known)
        self._call.finish(view, outcome)


def _body_of(result: Any, response: Any, api: str) -> Mapping[str, Any] | None:
    """What a response says, from the object the client made of it, or else from its bytes."""
    if hasattr(result, "usage"):
        body = {name: getattr(result, name, None) for name in ("id", "model", "service_tier")}
        body["usage"] = result.usage
        if api == "responses":
            # Only the kinds of items matter; dumping their content would cost more than the rest together.
            body["output"] = [
                {"type": getattr(item, "type", None), "container_id": getattr(item, "container_id", None)}
                for item in (getattr(result, "output", None) or ())
            ]
        return body
    if response is None:
        return None
    data = json.loads(response.content)
    return data if isinstance(data, dict) else None


def _billed_after(error: BaseException | None) -> Billed:
    """Whether an attempt that failed with `error`, and no response, may have been billed."""
    return Billed.NO if type(error).__name__ in _NOT_SENT else Billed.POSSIBLY


def _root(error: BaseException | None) -> BaseException | None:
    """The HTTP library's own error below the client's."""
    while error is not None and error.__cause__ is not None:
        if error.__cause__.__class__.__module__.startswith("httpcore"):
            return error
        error = error.__cause__
    return error


def host_of(instance: Any) -> str:
    """The host a client talks to."""
    host: str = instance.base_url.host
    return host
