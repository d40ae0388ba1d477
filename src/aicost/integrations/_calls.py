"""The methods of clients that make calls, wrapped.

A client integration says which of its methods make a call and what the call asks for (`CallRequest`). Everything below
that is the same for all of them: requests are seen where they leave, in the HTTP library (`_transports`), each one is
an attempt, and the answer is read from its bytes or from the object the client made of them (`_progress`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Literal

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from aicost._later import in_collector, later
from aicost.scopes.leaving import leave, reset
from aicost.telemetry import guard
from aicost.telemetry.state import Source

from ._admission import Permit, admit, admit_async, gate_in_force
from ._call_request import CallRequest
from ._progress import InProgress, raised, returned

Asking = Callable[[Any, tuple[Any, ...], dict[str, Any]], CallRequest | None]
"""Reads instance, args and kwargs of the client's method; None for a call that is none of ours."""

CallKind = Literal["call", "context", "generator"]


_current: ContextVar[InProgress | None] = ContextVar("aicost_call", default=None)
_NOTHING = object()


def current() -> InProgress | None:
    """The call whose method runs here. A task that was begun inside may outlive it, and is no part of it then."""
    progress = _current.get()
    return None if progress is None or progress.over else progress


def hook(asking: Asking, source: Source, *, kind: CallKind, is_async: bool) -> Callable[..., Any]:
    """A wrapt wrapper for a client's method that makes calls."""
    if kind == "context":
        return _async_context(asking, source) if is_async else _context(asking, source)
    if kind == "generator":
        return _async_generator(asking, source) if is_async else _generator(asking, source)
    return _async_call(asking, source) if is_async else _call(asking, source)


def _asked(asking: Asking, instance: Any, args: Any, kwargs: Any) -> CallRequest | None:
    """What a call asks for; None for one that is none of ours, or part of one that is open."""
    outer = current()
    # What is called while a request is out, by a hook of the HTTP library, is a call of its own.
    if outer is not None and not outer.in_flight:
        return None
    silent = not is_instrumentation_enabled()
    if silent and gate_in_force() is None:
        return None
    try:
        call_request = asking(instance, args, kwargs)
    except Exception as error:  # noqa: BLE001 - the application's call comes first
        guard.failed("read what a call asks for", error)
        return None
    if call_request is None or (silent and call_request.is_free):
        return None
    return call_request._replace(recorded=False) if silent else call_request


def _open(asking: Asking, source: Source, instance: Any, args: Any, kwargs: Any) -> InProgress | None:
    """Open a call that may be made, if it is one. Raises `CallRefused`."""
    call_request = _asked(asking, instance, args, kwargs)
    return None if call_request is None else _begin(source, call_request, admit(call_request), args, kwargs)


async def _open_async(asking: Asking, source: Source, instance: Any, args: Any, kwargs: Any) -> InProgress | None:
    call_request = _asked(asking, instance, args, kwargs)
    return None if call_request is None else _begin(source, call_request, await admit_async(call_request), args, kwargs)


def _begin(
    source: Source, call_request: CallRequest, permit: Permit | None, args: Any, kwargs: Any
) -> InProgress | None:
    try:
        pipeline = source()
        progress = InProgress(pipeline, call_request, permit)
        if call_request.stream_usage is not None and call_request.recorded and pipeline.options.request_stream_usage:
            progress.amended = call_request.stream_usage(args, kwargs)
        return progress
    except Exception as error:  # noqa: BLE001 - the application's call comes first
        guard.failed("open a call", error)
        if permit is not None:
            permit.over()
        return None


class _UnderWay:
    """A call, current while its method runs; what the method raises is how the call came out."""

    __slots__ = ("_progress", "_slot", "_token")

    def __init__(self, progress: InProgress) -> None:
        self._progress = progress

    def __enter__(self) -> None:
        call = self._progress.call
        self._slot = _current.set(self._progress)
        self._token = otel_context.attach(call.context) if call is not None else None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        call = self._progress.call
        self._progress.over = True
        if in_collector():  # the method was left half-way, and nobody waits for it any more
            later(partial(self._came_out, error))
        else:
            self._came_out(error)
        if self._token is not None and call is not None:
            leave(self._token, call.context)
        reset(_current, self._slot)

    def _came_out(self, error: BaseException | None) -> None:
        if self._progress.permit is not None:
            self._progress.permit.over(error)
        if error is not None:
            raised(self._progress, error)


def _call(asking: Asking, source: Source) -> Callable[..., Any]:
    def call(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        progress = _open(asking, source, instance, args, kwargs)
        if progress is None:
            return wrapped(*args, **kwargs)
        if progress.amended is not None:
            args, kwargs = progress.amended
        with _UnderWay(progress):
            result = wrapped(*args, **kwargs)
        returned(progress, result)
        return result

    return call


def _async_call(asking: Asking, source: Source) -> Callable[..., Any]:
    async def call(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        progress = await _open_async(asking, source, instance, args, kwargs)
        if progress is None:
            return await wrapped(*args, **kwargs)
        if progress.amended is not None:
            args, kwargs = progress.amended
        with _UnderWay(progress):
            result = await wrapped(*args, **kwargs)
        returned(progress, result)
        return result

    return call


def _context(asking: Asking, source: Source) -> Callable[..., Any]:
    @contextmanager
    def opened(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Iterator[Any]:
        progress = _open(asking, source, instance, args, kwargs)
        manager = wrapped(*args, **kwargs)
        if progress is None:
            with manager as entered:
                yield entered
            return
        with _UnderWay(progress):
            entered = manager.__enter__()
        returned(progress, None)
        try:
            yield entered
        except BaseException as error:
            if not manager.__exit__(type(error), error, error.__traceback__):
                raise
        else:
            manager.__exit__(None, None, None)

    return opened


def _async_context(asking: Asking, source: Source) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> AsyncGenerator[Any, None]:
        progress = await _open_async(asking, source, instance, args, kwargs)
        manager = wrapped(*args, **kwargs)
        if progress is None:
            async with manager as entered:
                yield entered
            return
        with _UnderWay(progress):
            entered = await manager.__aenter__()
        returned(progress, None)
        try:
            yield entered
        except BaseException as error:
            if not await manager.__aexit__(type(error), error, error.__traceback__):
                raise
        else:
            await manager.__aexit__(None, None, None)

    return opened


def _generator(asking: Asking, source: Source) -> Callable[..., Any]:
    """For a method whose request leaves when its generator is first asked for something."""
    plain = _call(asking, source)

    def call(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        if not kwargs.get("stream"):
            return plain(wrapped, instance, args, kwargs)
        return generate(wrapped(*args, **kwargs), instance, args, kwargs)

    def generate(inner: Any, instance: Any, args: Any, kwargs: Any) -> Generator[Any, Any, Any]:
        progress = _open(asking, source, instance, args, kwargs)
        if progress is None:
            return (yield from inner)
        try:
            with _UnderWay(progress):
                first = next(inner, _NOTHING)
            returned(progress, None)
            if first is _NOTHING:
                return None
            yield first
            return (yield from inner)
        finally:
            inner.close()

    return call


def _async_generator(asking: Asking, source: Source) -> Callable[..., Any]:
    plain = _async_call(asking, source)

    async def call(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        if not kwargs.get("stream"):
            return await plain(wrapped, instance, args, kwargs)
        return generate(await wrapped(*args, **kwargs), instance, args, kwargs)

    async def generate(inner: Any, instance: Any, args: Any, kwargs: Any) -> AsyncGenerator[Any, None]:
        progress = await _open_async(asking, source, instance, args, kwargs)
        try:
            if progress is not None:
                with _UnderWay(progress):
                    first = await anext(inner, _NOTHING)
                returned(progress, None)
                if first is _NOTHING:
                    return
                yield first
            async for item in inner:
                yield item
        finally:
            await inner.aclose()

    return call
