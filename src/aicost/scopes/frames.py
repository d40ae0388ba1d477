"""Frames: one run or step in progress, and functions of every kind with a frame around each call."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode, Tracer, TracerProvider

from aicost._version import __version__
from aicost.semconv import attributes as a

from .runs import Run, Step
from .scope import Scope, enter, leave, with_scope

F = TypeVar("F", bound=Callable[..., Any])

SCOPE_NAME = "aicost"
"""The instrumentation scope of the spans aicost starts for runs and steps."""

_STOPPED = (GeneratorExit, KeyboardInterrupt, SystemExit)


class ScopeListener(Protocol):
    """Hears of runs and steps as they begin and end; the ledger is one. Must not raise."""

    def run_started(self, run: Run, attribution: Mapping[str, str], at_ns: int) -> None: ...
    def run_ended(self, run: Run, at_ns: int, *, failed: bool) -> None: ...
    def step_started(self, step: Step, at_ns: int) -> None: ...
    def step_ended(self, step: Step, at_ns: int, *, failed: bool) -> None: ...


_tracer: Tracer | None = None
_listener: ScopeListener | None = None


def use_tracer_provider(provider: TracerProvider | None) -> None:
    """Where the spans of scopes go; None for the global provider."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer(SCOPE_NAME, __version__)


def use_listener(listener: ScopeListener | None) -> None:
    """Who hears of runs and steps; None for nobody."""
    global _listener
    _listener = listener


class Frame:
    """One run or step in progress: its span, its scope, and the context to be in while its body runs."""

    __slots__ = ("context", "run", "scope", "span", "step")

    def __init__(
        self,
        name: str,
        scope: Scope,
        attributes: Mapping[str, Any],
        run: Run | None,
        step: Step | None,
        parent: Context | None = None,
    ):
        global _tracer
        if _tracer is None:
            _tracer = trace.get_tracer(SCOPE_NAME, __version__)
        self.run, self.step, self.scope = run, step, scope
        context = with_scope(scope, parent)
        self.span = _tracer.start_span(name, context, attributes={**attributes, **scope.stamp})
        self.context: Context = trace.set_span_in_context(self.span, context)
        began(scope, run, step)

    def end(self, error: BaseException | None = None) -> None:
        """End the span. An error marks it, and the step, failed; being closed early does not."""
        failure = None if isinstance(error, _STOPPED) else error
        ended(self.run, self.step, failed=failure is not None)
        if failure is not None and self.span.is_recording():
            name = type(failure).__qualname__
            self.span.set_attribute(a.ERROR_TYPE, name)
            self.span.set_status(Status(StatusCode.ERROR, name))
        self.span.end()


def began(scope: Scope, run: Run | None, step: Step | None) -> None:
    """Tell who listens that a run or a step began."""
    if _listener is not None:
        if run is not None:
            _listener.run_started(run, scope.attribution, time.time_ns())
        elif step is not None:
            _listener.step_started(step, time.time_ns())


def ended(run: Run | None, step: Step | None, *, failed: bool) -> None:
    """Tell who listens that a run or a step ended; what a failed step spent is waste."""
    if failed and step is not None:
        step.fail()
    if _listener is not None:
        if run is not None:
            _listener.run_ended(run, time.time_ns(), failed=failed)
        elif step is not None:
            _listener.step_ended(step, time.time_ns(), failed=failed)


@contextmanager
def inside(frame: Frame) -> Iterator[None]:
    """Be in the frame's context for a block, and end the frame with it."""
    entered = enter(frame.context)
    try:
        yield
    except BaseException as error:
        leave(entered)
        frame.end(error)
        raise
    leave(entered)
    frame.end()


def wrap(function: F, open_frame: Callable[[], Frame]) -> F:
    """`function` with a frame around each call. It keeps its kind (plain, async, generator, async generator).

    The frame's context is attached only while the body runs: between the yields of a generator the caller is in its
    own context, so its spans are not adopted.
    """
    if inspect.isasyncgenfunction(function):
        return cast(F, _wrap_async_generator(function, open_frame))
    if inspect.isgeneratorfunction(function):
        return cast(F, _wrap_generator(function, open_frame))
    if inspect.iscoroutinefunction(function):
        return cast(F, _wrap_coroutine(function, open_frame))
    return cast(F, _wrap_plain(function, open_frame))


def _wrap_plain(function: Callable[..., Any], open_frame: Callable[[], Frame]) -> Callable[..., Any]:
    attach, detach = otel_context.attach, otel_context.detach

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        frame = open_frame()
        token = attach(frame.context)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            detach(token)
            frame.end(error)
            raise
        detach(token)
        frame.end()
        return result

    return plain


def _wrap_coroutine(function: Callable[..., Any], open_frame: Callable[[], Frame]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with inside(open_frame()):
            return await function(*args, **kwargs)

    return coroutine


def _wrap_generator(function: Callable[..., Any], open_frame: Callable[[], Frame]) -> Callable[..., Any]:
    attach, detach = otel_context.attach, otel_context.detach

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        body, frame = function(*args, **kwargs), open_frame()
        advance, argument = body.send, None
        try:
            while True:
                token = attach(frame.context)
                try:
                    item = advance(argument)
                finally:
                    detach(token)
                try:
                    argument, advance = (yield item), body.send
                except GeneratorExit:
                    token = attach(frame.context)
                    try:
                        body.close()
                    finally:
                        detach(token)
                    raise
                except BaseException as thrown:  # noqa: BLE001 - thrown in by the caller, for the body
                    argument, advance = thrown, body.throw
        except StopIteration as stop:
            frame.end()
            return stop.value
        except BaseException as error:
            frame.end(error)
            raise

    return generator


def _wrap_async_generator(function: Callable[..., Any], open_frame: Callable[[], Frame]) -> Callable[..., Any]:
    attach, detach = otel_context.attach, otel_context.detach

    @functools.wraps(function)
    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body, frame = function(*args, **kwargs), open_frame()
        advance, argument = body.asend, None
        try:
            while True:
                token = attach(frame.context)
                try:
                    item = await advance(argument)
                finally:
                    detach(token)
                try:
                    argument, advance = (yield item), body.asend
                except GeneratorExit:
                    token = attach(frame.context)
                    try:
                        await body.aclose()
                    finally:
                        detach(token)
                    raise
                except BaseException as thrown:  # noqa: BLE001 - thrown in by the caller, for the body
                    argument, advance = thrown, body.athrow
        except StopAsyncIteration:
            frame.end()
        except BaseException as error:
            frame.end(error)
            raise

    return async_generator
