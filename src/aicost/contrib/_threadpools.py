"""Scopes that FastAPI and Starlette open in a thread hold for what comes after.

A thread of theirs works in a copy of the context, which is thrown away when it is done: what a plain yield-dependency
opened is lost to its endpoint, and what a streamed generator opened is lost to its own next step. Only where such a
step left another scope of ours in force than it found is anything done. It is put in force in the task of the request,
or in the next step, and nowhere else: what branches of the request open for themselves is not seen by each other.
Read in FastAPI 0.165, Starlette 1.10 and AnyIO 4.16.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from types import ModuleType, TracebackType
from typing import Any

import wrapt
from opentelemetry import context as otel_context
from opentelemetry.context import Context

from aicost.scopes.scope import enter, hold, let_go, scope_in
from aicost.telemetry import guard

_OURS = "_aicost_carries"
_PLACES = (
    ("fastapi.concurrency", "contextmanager_in_threadpool"),
    ("fastapi.dependencies.utils", "contextmanager_in_threadpool"),
    ("fastapi.dependencies.utils", "_solve_generator"),
    ("starlette.concurrency", "iterate_in_threadpool"),
    ("starlette.responses", "iterate_in_threadpool"),
    ("fastapi.concurrency", "iterate_in_threadpool"),
    ("fastapi.routing", "iterate_in_threadpool"),
)
_following = False


def follow_threadpools() -> None:
    """From now on; however often it is asked for, once."""
    global _following
    if not _following:
        _following = True
        for module, name in _PLACES:
            wrapt.register_post_import_hook(functools.partial(_replace, name), module)


def _replace(name: str, module: ModuleType) -> None:
    try:
        original = getattr(module, name, None)
        if original is not None and not hasattr(original, _OURS):
            made = functools.wraps(original)(_MAKERS[name](original))
            setattr(made, _OURS, True)
            setattr(module, name, made)
    except Exception as error:  # noqa: BLE001 - the application comes first
        guard.failed("carry scopes out of a thread", error)


class _Entering(AbstractContextManager[Any]):
    """A context manager entered in a thread, and what it left in force there, if that is another scope."""

    def __init__(self, wrapped: AbstractContextManager[Any]) -> None:
        self._wrapped = wrapped
        self.left: Context | None = None

    def __enter__(self) -> Any:
        before = scope_in()
        value = self._wrapped.__enter__()
        if scope_in() is not before:
            self.left = otel_context.get_current()
        return value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._wrapped.__exit__(kind, error, traceback)


def _in_threadpool(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def contextmanager_in_threadpool(cm: AbstractContextManager[Any]) -> AsyncIterator[Any]:
        entering, entered = _Entering(cm), None
        try:
            async with original(entering) as value:
                if entering.left is not None:
                    entered = enter(entering.left)
                yield value
        finally:
            # After the block was left, which is in a copy of this context: what it does last is still in its scope.
            if entered is not None:
                entered.leave()

    return contextmanager_in_threadpool


def _solving(original: Callable[..., Any]) -> Callable[..., Any]:
    """What a dependency opened holds for the request, even if FastAPI's own span puts an earlier context back."""

    async def _solve_generator(*args: Any, **kwargs: Any) -> Any:
        held: list[Any] = []
        stack = kwargs.get("stack")
        if stack is not None:
            stack.callback(_let_go, held)  # when the dependency has left its block
        before = scope_in()
        value = await original(*args, **kwargs)
        if stack is not None and (now := scope_in()) is not before:
            held.append(hold(now))
        return value

    return _solve_generator


def _let_go(held: list[Any]) -> None:
    for token in held:
        let_go(token)


class _Steps(Iterator[Any]):
    """An iterator whose every step is taken in another copy of the context: in the scope that the last one left."""

    def __init__(self, wrapped: Iterable[Any]) -> None:
        self._iterable = wrapped
        self._left: Context | None = None

    def __iter__(self) -> _Steps:
        self._iterator = iter(self._iterable)
        return self

    def __next__(self) -> Any:
        around = scope_in()
        if self._left is not None:
            otel_context.attach(self._left)  # and never detached: the copy is thrown away
        try:
            return next(self._iterator)
        finally:
            self._left = otel_context.get_current() if scope_in() is not around else None


def _iterating(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def iterate_in_threadpool(iterator: Iterable[Any]) -> Any:
        return original(_Steps(iterator))

    return iterate_in_threadpool


_MAKERS = {
    "contextmanager_in_threadpool": _in_threadpool,
    "_solve_generator": _solving,
    "iterate_in_threadpool": _iterating,
}
