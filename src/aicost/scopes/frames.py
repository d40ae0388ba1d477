"""Frames: one run or step in progress, and functions of every kind with a frame around each call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import logging
import time
import types
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer, TracerProvider

from aicost import _forks
from aicost._later import in_collector, later
from aicost._version import __version__
from aicost._wellformed import wellformed, wellformed_values
from aicost.semconv import attributes as a

from .leaving import leave
from .runs import Run, Step
from .scope import Scope, with_scope

_log = logging.getLogger("aicost")

F = TypeVar("F", bound=Callable[..., Any])

SCOPE_NAME = "aicost"
"""The instrumentation scope of the spans that aicost starts for runs and steps, and of its metrics."""

_STOPPED = (GeneratorExit, KeyboardInterrupt, SystemExit)


class ScopeListener(Protocol):
    """Hears of runs and steps as they begin and end; the ledger is one. Must not raise."""

    def run_started(self, run: Run, attribution: Mapping[str, str], at_ns: int) -> None: ...
    def run_ended(self, run: Run, at_ns: int, *, failed: bool) -> None: ...
    def step_started(self, step: Step, run_id: str, at_ns: int) -> None: ...
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

    __slots__ = ("_generation", "context", "run", "scope", "span", "step")

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
        self._generation = _forks.generation
        context = with_scope(scope, parent)
        self.span = _tracer.start_span(name, context, attributes={**wellformed_values(attributes), **scope.stamp})
        self.context: Context = trace.set_span_in_context(self.span, context)
        began(scope, run, step, self.span)

    def end(self, error: BaseException | None = None) -> None:
        """End the span. An error marks it, and the step, failed; being closed early does not."""
        if self._generation != _forks.generation:
            return  # a forked child that leaves the block: it is its parent's, which ends it once
        failure = None if isinstance(error, _STOPPED) else error
        if in_collector():
            later(functools.partial(self._end, failure, time.time_ns()))
        else:
            self._end(failure)

    def end_later(self) -> None:
        """End it outside of whatever goes on here, which may be anything: a destructor runs wherever it happens to."""
        if self._generation == _forks.generation:
            later(functools.partial(self._end, None, time.time_ns()))

    def _end(self, failure: BaseException | None, at_ns: int | None = None) -> None:
        ended(self.run, self.step, failed=failure is not None, at_ns=at_ns)
        if self.run is not None and not self.run.is_recorded:
            _say_nothing_is_recorded(self.run)
        if failure is not None and self.span.is_recording():
            name = wellformed(type(failure).__qualname__)
            self.span.set_attribute(a.ERROR_TYPE, name)
            self.span.set_status(Status(StatusCode.ERROR, name))
        self.span.end(at_ns)


_said = False


def _say_nothing_is_recorded(run: Run) -> None:
    global _said
    if not _said:
        _said = True
        _log.warning(
            "nothing is set up to record calls in this process: what run %r cost is unknown, not 0. "
            "Call aicost.init() or aicost.instrument() first.",
            run.workflow,
        )


def began(scope: Scope, run: Run | None, step: Step | None, span: Span) -> None:
    """Tell who listens that a run or a step began. Outside any run the trace of the step's span is the run."""
    if _listener is not None:
        if run is not None:
            _listener.run_started(run, scope.attribution, time.time_ns())
        elif step is not None:
            run_id = step.run.id if step.run is not None else f"{span.get_span_context().trace_id:032x}"
            _listener.step_started(step, run_id, time.time_ns())


def ended(run: Run | None, step: Step | None, *, failed: bool, at_ns: int | None = None) -> None:
    """Tell who listens that a run or a step ended; what was spent in one that failed is waste."""
    if failed and step is not None:
        step.fail()
    if failed and run is not None:
        run.fail()
    if _listener is not None:
        if run is not None:
            _listener.run_ended(run, at_ns or time.time_ns(), failed=failed)
        elif step is not None:
            _listener.step_ended(step, at_ns or time.time_ns(), failed=failed)


@contextmanager
def inside(frame: Frame) -> Iterator[None]:
    """Be in the frame's context for a block, and end the frame with it."""
    token = otel_context.attach(frame.context)
    try:
        yield
    except BaseException as error:
        leave(token, frame.context)
        frame.end(error)
        raise
    leave(token, frame.context)
    frame.end()


def name_of(function: object) -> str:
    """What a run or step of a decorated function is called by default: its name, or that of its class."""
    while isinstance(function, (functools.partial, functools.partialmethod)):
        function = function.func
    name = getattr(function, "__name__", None) or getattr(getattr(function, "__func__", None), "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def wrap(function: F, open_frame: Callable[[], Frame]) -> F:
    """`function` with a frame around each call. It keeps its kind (plain, async, generator, async generator).

    The frame's context is attached only while the body runs: between the yields of a generator the caller is in its
    own context, so its spans are not adopted. Where a plain function returns a coroutine, a generator or a future, the
    frame is open until that is finished. Raises TypeError for what cannot be followed, such as a class.
    """
    return cast(F, _wrapped(function, open_frame))


def _wrapped(function: Any, open_frame: Callable[[], Frame]) -> Any:
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(_wrapped(function.__func__, open_frame))
    if isinstance(function, functools.partialmethod):
        return functools.partialmethod(_wrapped(function.func, open_frame), *function.args, **function.keywords)
    if isinstance(function, type):
        raise TypeError(
            f"cannot decorate the class {function.__qualname__}: decorate its methods, or use a `with` block around it"
        )
    if not callable(function):
        raise TypeError(f"cannot decorate {function!r}: put this decorator below the other, on the function itself")
    # An instance is of the kind that its `__call__` is.
    asked = function if inspect.isroutine(function) or isinstance(function, functools.partial) else function.__call__
    if inspect.isasyncgenfunction(asked):
        return _wrap_async_generator(function, open_frame)
    if inspect.isgeneratorfunction(asked):
        made = _wrap_generator(function, open_frame)
        return types.coroutine(made) if _is_awaitable(getattr(asked, "__code__", None)) else made
    if inspect.iscoroutinefunction(asked):
        return _wrap_coroutine(function, open_frame)
    return _wrap_plain(function, open_frame)


def _is_awaitable(code: Any) -> bool:
    """Whether a generator is one that can be awaited, of `types.coroutine`."""
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


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
        if result is None or type(result) in _VALUES:
            frame.end()
            return result
        return _followed(result, frame)

    return plain


_VALUES = frozenset((bool, bytes, dict, float, int, list, str, tuple))


def _followed(result: Any, frame: Frame) -> Any:
    """What a plain function returned, with the frame open until it is finished if it is work still to be done.

    A coroutine or generator, which another decorator may have brought, is one again. A future or task is under way
    already, in a copy of the context: it is handed on as it is, and ends the frame. So is anything else that can be
    awaited, but that ends nothing: the frame ends here.
    """
    wrapping: Callable[..., Any]
    if isinstance(result, types.CoroutineType):
        wrapping = _wrap_coroutine
    elif isinstance(result, types.GeneratorType):
        wrapping = _wrap_generator
    elif isinstance(result, types.AsyncGeneratorType):
        wrapping = _wrap_async_generator
    elif isinstance(result, (asyncio.Future, concurrent.futures.Future)) and not result.done():
        result.add_done_callback(lambda future: frame.end(_error_of(future)))
        return result
    else:
        frame.end(_error_of(result) if isinstance(result, (asyncio.Future, concurrent.futures.Future)) else None)
        return result
    kept = _Kept(result, frame)
    function = wrapping(kept.body, kept.open)
    if isinstance(result, types.GeneratorType) and _is_awaitable(result.gi_code):
        function = types.coroutine(function)
    made = function()
    made.__name__, made.__qualname__ = result.__name__, result.__qualname__
    return made


def _error_of(future: Any) -> BaseException | None:
    # Not `exception()` alone: of a cancelled one it raises, and of asyncio's it says that somebody has seen the error,
    # which then is not logged if nobody does.
    if future.cancelled():
        return asyncio.CancelledError()
    error: BaseException | None = getattr(future, "_exception", None)
    return error


class _Kept:
    """A coroutine or generator that was returned, and its frame, until it is begun. Let go of before, the frame ends.

    Python itself closes neither in one that wraps it if that was never begun.
    """

    __slots__ = ("_body", "_frame", "_is_begun")

    def __init__(self, body: Any, frame: Frame) -> None:
        self._body, self._frame, self._is_begun = body, frame, False

    def body(self) -> Any:
        return self._body

    def open(self) -> Frame:
        self._is_begun = True
        return self._frame

    def __del__(self) -> None:
        if not self._is_begun:
            # Its wrapper, of the same name, has warned already if it was never awaited.
            if not isinstance(self._body, types.AsyncGeneratorType):
                self._body.close()
            self._frame.end_later()


def _wrap_coroutine(function: Callable[..., Any], open_frame: Callable[[], Frame]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with inside(open_frame()):
            return await function(*args, **kwargs)

    return coroutine


def _wrap_generator(function: Callable[..., Any], open_frame: Callable[[], Frame]) -> Callable[..., Any]:
    attach = otel_context.attach

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
                    leave(token, frame.context)
                try:
                    argument, advance = (yield item), body.send
                except GeneratorExit:
                    token = attach(frame.context)
                    try:
                        body.close()
                    finally:
                        leave(token, frame.context)
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
    attach = otel_context.attach

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
                    leave(token, frame.context)
                try:
                    argument, advance = (yield item), body.asend
                except GeneratorExit:
                    token = attach(frame.context)
                    try:
                        await body.aclose()
                    finally:
                        leave(token, frame.context)
                    raise
                except BaseException as thrown:  # noqa: BLE001 - thrown in by the caller, for the body
                    argument, advance = thrown, body.athrow
        except StopAsyncIteration:
            frame.end()
        except BaseException as error:
            frame.end(error)
            raise

    return async_generator
