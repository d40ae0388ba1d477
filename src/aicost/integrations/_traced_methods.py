"""Methods of frameworks wrapped as what they are: a workflow, an agent, a step or a tool; or a view of a model's call.

For frameworks without a way in of their own, or whose events come from another thread than the work.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from aicost._errors import UsageError
from aicost.scopes.frames import Frame, wrap
from aicost.scopes.leaving import leave
from aicost.scopes.runs import StepKind
from aicost.scopes.scope import current_scope
from aicost.telemetry import guard
from aicost.telemetry.call import Target
from aicost.telemetry.state import Source
from aicost.usage.readers import ResponseView, read_answer

from ._activities import Activities, ActivityKind, enter, open_frames

Naming = Callable[[Any, tuple[Any, ...], dict[str, Any]], str | None]
"""The name of what a method does, from instance, args and kwargs; None for what is none of ours."""

Wrapping = Callable[[Source], Callable[..., Any]]


class Execution:
    """The frames of one execution, current while it runs."""

    __slots__ = ("_frames", "_token", "failed", "goes_on")

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self.failed: BaseException | None = None
        """What went wrong, where that is not raised."""
        self.goes_on = False
        """Whether it is not over when the block is: its frames end with what it returned."""

    def __enter__(self) -> None:
        self._token = otel_context.attach(self._frames[-1].context)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        leave(self._token, self._frames[-1].context)
        if self.goes_on and error is None:
            return
        for frame in reversed(self._frames):
            frame.end(error or self.failed)


def traced_method(kind: ActivityKind, naming: Naming) -> Wrapping:
    """Wraps a method, of whichever kind of function: each execution is a `kind`, named by `naming`."""

    def wrapper(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
        def begin(instance: Any, args: Any, kwargs: Any) -> list[Frame]:
            try:
                name = naming(instance, args, kwargs) if is_instrumentation_enabled() else None
                return [] if name is None or is_under_way(kind, name) else open_frames(kind, name)
            except Exception as error:  # noqa: BLE001 - the framework's work comes first
                guard.failed(f"begin a {kind}", error)
                return []

        def execute(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            if inspect.iscoroutinefunction(wrapped):
                return await_it(wrapped, instance, args, kwargs)
            frames = begin(instance, args, kwargs)
            if not frames:
                return wrapped(*args, **kwargs)
            around = Execution(frames)
            with around:
                result = wrapped(*args, **kwargs)
                around.goes_on = inspect.isgenerator(result) or inspect.isasyncgen(result)
            return _drive(result, frames) if around.goes_on else result

        async def await_it(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            frames = begin(instance, args, kwargs)
            if not frames:
                return await wrapped(*args, **kwargs)
            with Execution(frames):
                return await wrapped(*args, **kwargs)

        return execute

    return wrapper


def is_under_way(kind: ActivityKind, name: str) -> bool:
    """Whether this is a tool's second way in, called by the first."""
    step = current_scope().step
    return kind == "tool" and step is not None and (step.kind, step.name) == (StepKind.TOOL, name)


def _drive(body: Any, frames: list[Frame]) -> Any:
    """A generator's frames are current only while it runs, and end with it."""
    if inspect.isasyncgen(body):

        async def again() -> AsyncGenerator[Any, Any]:
            async for item in body:
                yield item

        driven: Any = again
    else:

        def once_more() -> Generator[Any, Any, Any]:
            return (yield from body)

        driven = once_more
    for frame in reversed(frames):
        driven = wrap(driven, partial(_same, frame))
    return driven()


def _same(frame: Frame) -> Frame:
    return frame


def model_view(
    observer: str,
    target_of: Callable[[Any, tuple[Any, ...], dict[str, Any]], Target | None],
    view_of: Callable[[Any], tuple[ResponseView | None, bool]],
) -> Wrapping:
    """Wraps a method that asks a model: it is counted if nobody nearer to the wire does.

    `view_of` reads what it returned, and says whether a cache of the framework's had it.
    """

    def wrapper(source: Source) -> Callable[..., Any]:
        activities = Activities(source, observer)

        @contextmanager
        def asking(instance: Any, args: Any, kwargs: Any) -> Iterator[Callable[[Any], Any]]:
            key = object()
            try:
                target = target_of(instance, args, kwargs) if is_instrumentation_enabled() else None
                if target is not None:
                    enter(activities.ask(key, target))
            except Exception as error:  # noqa: BLE001 - the framework's work comes first
                guard.failed("open a view of a call", error)

            def answered(result: Any) -> Any:
                try:
                    view, cached = view_of(result)
                except Exception as error:  # noqa: BLE001 - an answer of another shape has no counts we could read
                    guard.failed("read an answer", error)
                    view, cached = None, False
                activities.answered(key, view, asked_nobody=cached)
                return result

            try:
                yield answered
            except BaseException as error:
                activities.refused(key, error)
                raise

        async def ask_async(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            with asking(instance, args, kwargs) as answered:
                return answered(await wrapped(*args, **kwargs))

        def ask(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            if inspect.iscoroutinefunction(wrapped):
                return ask_async(wrapped, instance, args, kwargs)
            with asking(instance, args, kwargs) as answered:
                return answered(wrapped(*args, **kwargs))

        return ask

    return wrapper


def view_of_response(response: object, provider: str | None = None) -> ResponseView | None:
    """What a provider's own response says, whatever its API; None when nothing in it says what was used."""
    try:
        view = read_answer(response, provider=provider)
    except UsageError:
        return None
    return view if view.reading is not None else None
