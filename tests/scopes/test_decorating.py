"""Whatever can be called can be decorated: the scope covers the work, failures mark it, and it stays what it was."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import sys
import types
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from tests.conftest import App, run

import aicost
from aicost._later import drain
from aicost.ledger.reader import LedgerReader
from aicost.scopes.scope import current_scope

seen: list[tuple[str | None, bool]] = []
"""The step that each part of the work was done in."""


def note() -> None:
    step = current_scope().step
    seen.append((None if step is None else step.name, step is not None and step.failed))
    aicost.record_usage(provider="p", model="m", operation="chat", usage={"input": 1})


def behind(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of somebody's that leaves a plain function."""

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return plain


def call(how: str) -> str:
    note()
    if how == "fails":
        raise ValueError
    return "done"


async def coroutine(how: str) -> str:
    note()
    await asyncio.sleep(0)
    if how == "waits":
        await asyncio.sleep(60)
    return call(how)


@types.coroutine
def old_coroutine(how: str) -> Any:
    note()
    yield from asyncio.sleep(0).__await__()
    return (yield from coroutine(how).__await__())


def generator(how: str) -> Iterator[str]:
    note()
    yield "first"
    call(how)
    yield "last"


async def async_generator(how: str) -> AsyncIterator[str]:
    note()
    yield "first"
    await asyncio.sleep(0)
    call(how)
    yield "last"


class PlainCallable:
    def __call__(self, how: str) -> str:
        return call(how)


class AsyncCallable:
    async def __call__(self, how: str) -> str:
        return await coroutine(how)


class Has:
    async def method(self, how: str) -> str:
        return await coroutine(how)


async def two(first: str, how: str) -> str:
    return await coroutine(how)


@functools.singledispatch
def dispatched(how: Any) -> Any:
    raise NotImplementedError


@dispatched.register
async def _(how: str) -> str:
    return await coroutine(how)


def in_a_task(how: str) -> asyncio.Task[str]:
    return asyncio.get_running_loop().create_task(coroutine(how))


KINDS: dict[str, Callable[..., Any]] = {
    "function": call,
    "behind, function": behind(call),
    "partial": functools.partial(call),
    "instance": PlainCallable(),
    "coroutine": coroutine,
    "behind, coroutine": behind(coroutine),
    "old coroutine": old_coroutine,
    "behind, old coroutine": behind(old_coroutine),
    "partial, coroutine": functools.partial(two, "first"),
    "behind, partial, coroutine": behind(functools.partial(two, "first")),
    "instance, coroutine": AsyncCallable(),
    "bound method": Has().method,
    "singledispatch": dispatched,
    "behind, task": in_a_task,
    "generator": generator,
    "behind, generator": behind(generator),
    "partial, generator": functools.partial(generator),
    "async generator": async_generator,
    "behind, async generator": behind(async_generator),
}
DECORATORS: dict[str, tuple[Callable[..., Any], str]] = {
    "track_step": (aicost.track_step, "step work"),
    "track_agent": (aicost.track_agent, "invoke_agent work"),
    "track_tool": (aicost.track_tool, "execute_tool work"),
}


async def use(result: Any, outcome: str) -> None:
    """Use up what a decorated function returned, as its kind is used."""
    if inspect.isasyncgen(result):
        async for _ in result:
            assert current_scope().step is None, "between two items the caller is in its own scope"
            if outcome == "is left early":
                break
        await result.aclose()
    elif inspect.isawaitable(result):
        if outcome == "is cancelled":
            task = asyncio.ensure_future(result)
            await asyncio.sleep(0.01)
            task.cancel()
        else:
            task = result
        await task
    elif inspect.isgenerator(result):
        for _ in result:
            assert current_scope().step is None, "between two items the caller is in its own scope"
            if outcome == "is left early":
                break
        result.close()


ASYNC = {kind for kind in KINDS if "coroutine" in kind} | {"bound method", "singledispatch", "behind, task"}
ENDS = {
    kind: ["ends", "fails"] + ["is cancelled"] * (kind in ASYNC) + ["is left early"] * ("generator" in kind)
    for kind in KINDS
}


@pytest.mark.parametrize(("kind", "outcome"), [(kind, outcome) for kind in KINDS for outcome in ENDS[kind]])
@pytest.mark.parametrize("decorator", DECORATORS)
def test_the_scope_covers_the_work_and_failures_mark_it(app: App, kind: str, decorator: str, outcome: str) -> None:
    decorate, span_name = DECORATORS[decorator]
    decorated = decorate("work")(KINDS[kind])
    assert inspect.iscoroutinefunction(decorated) == (
        kind in {"coroutine", "partial, coroutine", "instance, coroutine", "bound method"}
    ), "it says what it is"
    how = {"fails": "fails", "is cancelled": "waits"}.get(outcome, "ends")
    seen.clear()

    async def main() -> None:
        with aicost.run_scope("w") as current:
            try:
                await use(decorated(how), outcome)
            except ValueError:
                assert outcome == "fails"
            except asyncio.CancelledError:
                assert outcome == "is cancelled"
            assert current_scope().step is None
            await asyncio.sleep(0)  # a task tells of its end by and by
        failed = outcome in {"fails", "is cancelled"}
        assert seen
        assert {name for name, _ in seen} == {"work"}
        assert current.attempts == len(seen)
        assert current.waste == (current.cost if failed else 0)

    run(main())
    (span,) = (span for span in app.spans if span.name == span_name)
    error = {"fails": "ValueError", "is cancelled": "CancelledError"}.get(outcome)
    assert (span.attributes or {}).get("error.type") == error
    aicost.flush()
    with LedgerReader(app.ledger_path) as reader:
        (run_row,) = {row.run_id for row in reader.charges()}
        assert [row.status for row in reader.steps([run_row])] == ["failed" if error else "ok"]


def in_a_class(decorate: Callable[..., Any]) -> tuple[type, type]:
    """Methods of every kind, decorated outside of the descriptor and inside of it."""

    class Outside:
        @decorate
        @staticmethod
        def static(how: str) -> str:
            return call(how)

        @decorate
        @classmethod
        async def of_class(cls, how: str) -> str:
            assert cls is Outside
            return await coroutine(how)

        async def method(self, how: str) -> str:
            return await coroutine(how)

        part = decorate(functools.partialmethod(method, "ends"))

    class Inside:
        @staticmethod
        @decorate
        def static(how: str) -> str:
            return call(how)

        @classmethod
        @decorate
        async def of_class(cls, how: str) -> str:
            assert cls is Inside
            return await coroutine(how)

        @decorate
        async def method(self, how: str) -> str:
            return await coroutine(how)

        part = functools.partialmethod(method, "ends")

    return Outside, Inside


@pytest.mark.parametrize("side", [0, 1], ids=["outside", "inside"])
@pytest.mark.parametrize("decorate", [aicost.track_step, aicost.track_step()], ids=["bare", "called"])
def test_methods_are_decorated_outside_of_their_descriptor_as_inside(app: App, decorate: Any, side: int) -> None:
    made = in_a_class(decorate)[side]
    one = made()
    seen.clear()
    assert made.static("ends") == one.static("ends") == "done"  # type: ignore[attr-defined]
    assert run(made.of_class("ends")) == run(one.of_class("ends")) == "done"  # type: ignore[attr-defined]
    assert run(one.part()) == "done"  # type: ignore[attr-defined]
    assert inspect.iscoroutinefunction(made.of_class)  # type: ignore[attr-defined]
    assert {name for name, _ in seen} == {"static", "of_class", "method"}


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (functools.partial(functools.partial(coroutine), "ends"), "coroutine"),
        (functools.partial(PlainCallable(), "ends"), "PlainCallable"),
        (functools.partial(Has().method, "ends"), "method"),
        (functools.partial(dispatched, "ends"), "dispatched"),
    ],
)
def test_what_has_no_name_of_its_own_has_that_of_what_it_calls(app: App, what: Any, name: str) -> None:
    decorated = aicost.track_workflow(what)
    seen.clear()
    result = decorated()
    assert (run(result) if inspect.isawaitable(result) else result) == "done"
    assert [span.name for span in app.spans if span.name.startswith("invoke")] == [f"invoke_workflow {name}"]


class Whole:
    pass


@pytest.mark.parametrize(
    ("what", "way_out"),
    [
        (Whole, r"class Whole: decorate its methods, or use a `with` block"),
        (property(lambda _: None), "below the other"),
        (functools.cached_property(lambda _: None), "below the other"),
        (functools.singledispatchmethod(call), "below the other"),
        (7, "below the other"),
    ],
)
@pytest.mark.parametrize("decorate", [aicost.track_step, aicost.track_workflow("w"), aicost.track_tool()])
def test_what_cannot_be_followed_is_refused_with_the_way_out(decorate: Any, what: Any, way_out: str) -> None:
    with pytest.raises(TypeError, match=way_out):
        decorate(what)


def test_a_dispatcher_can_still_be_taught() -> None:
    decorated: Any = aicost.track_step("work")(dispatched)
    decorated.register(float, lambda _: "a float")
    assert decorated(1.0) == "a float"


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        ("behind, coroutine", inspect.iscoroutine),
        ("behind, old coroutine", inspect.isawaitable),
        ("behind, generator", inspect.isgenerator),
        ("behind, async generator", inspect.isasyncgen),
    ],
)
def test_what_is_returned_stays_what_it_was_and_may_be_let_go_of(
    app: App, kind: str, is_one: Callable[[Any], bool]
) -> None:
    decorated = aicost.track_step("work")(KINDS[kind])
    for let_go in ("drop", "close"):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            made = decorated("ends")
            assert is_one(made)
            assert made.__qualname__ == KINDS[kind].__qualname__
            if let_go == "close" and hasattr(made, "close"):
                made.close()
            del made
        unawaited = [str(one.message) for one in warned]
        expected = (
            ["coroutine 'coroutine' was never awaited"] if (kind, let_go) == ("behind, coroutine", "drop") else []
        )
        assert unawaited == expected
    drain()
    assert [(span.name, span.status.is_ok) for span in app.spans] == [("step work", True)] * 2, "the step has ended"


def test_a_task_that_is_cancelled_before_it_begins_ends_its_step(app: App) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(aicost.track_step("work")(behind(coroutine))("ends"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    drain()
    assert [span.name for span in app.spans] == ["step work"]


def test_a_future_is_handed_on_as_it_is_and_its_failure_counts(app: App) -> None:
    future: concurrent.futures.Future[str] = concurrent.futures.Future()
    assert aicost.track_step("work")(lambda: future)() is future
    assert app.spans == []
    future.set_exception(ValueError())
    (span,) = app.spans
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert aicost.track_step("work")(lambda: future)() is future, "one that is done already, too"
    assert len(app.spans) == 2


def test_what_was_marked_as_a_coroutine_function_still_is_one() -> None:
    def marked(how: str) -> Awaitable[str]:
        return coroutine(how)

    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(marked)
        assert inspect.iscoroutinefunction(aicost.track_step(marked))
    else:
        marked._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
        assert asyncio.iscoroutinefunction(aicost.track_step(marked))
    assert run(aicost.track_step(marked)("ends")) == "done"


def ended(app: App, since: int) -> list[tuple[Any, Any]]:
    """The steps that have ended since so many spans had: which, and with what error."""
    said = [span.attributes or {} for span in app.spans[since:]]
    return [(found["aicost.step.id"], found.get("error.type")) for found in said]


def test_one_step_for_blocks_in_many_tasks_ends_each_with_its_own_block(app: App) -> None:
    step = aicost.track_step("work")
    steps: dict[int, Any] = {}

    async def work(go: asyncio.Event, n: int) -> None:
        with suppress(ValueError), step:
            steps[n] = current_scope().step
            await go.wait()
            assert current_scope().step is steps[n]
            if n % 2:
                raise ValueError
        assert current_scope().step is None

    async def main() -> None:
        going = [asyncio.Event() for _ in range(6)]
        tasks = [asyncio.create_task(work(going[n], n)) for n in range(6)]
        for n in (3, 0, 5, 1, 4, 2):
            await asyncio.sleep(0)
            before = len(app.spans)
            going[n].set()
            await tasks[n]
            assert ended(app, before) == [(steps[n].id, "ValueError" if n % 2 else None)]

    run(main())


def test_one_step_for_blocks_in_threads_generators_and_stacks(app: App) -> None:
    step = aicost.track_step("work")
    begun, go = concurrent.futures.Future[Any](), concurrent.futures.Future[None]()

    def in_a_thread() -> None:
        with suppress(KeyError), step:
            begun.set_result(current_scope().step)
            go.result(30)
            raise KeyError

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with ExitStack() as stack:
            thread = pool.submit(in_a_thread)
            first = begun.result(30)
            stack.enter_context(step)
            outer = current_scope().step
            assert outer is not None
            with step, step:
                inner = current_scope().step
                assert inner is not None
            assert next(found for found, _ in ended(app, 0)) == inner.id
            go.set_result(None)
            thread.result(30)
            assert ended(app, 2) == [(first.id, "KeyError")]
        assert ended(app, 3) == [(outer.id, None)]


def test_one_step_for_blocks_in_generators_that_take_turns(app: App) -> None:
    step = aicost.track_step("work")

    def work(error: type[Exception] | None) -> Iterator[str]:
        with step:
            inside = current_scope().step
            assert inside is not None
            yield inside.id
            if error is not None:
                raise error

    def in_turns() -> None:
        first, second = work(LookupError), work(None)
        ids = [next(first), next(second)]
        with pytest.raises(LookupError):
            next(first)
        assert list(second) == []
        assert ended(app, 0) == [(ids[0], "LookupError"), (ids[1], None)]

    contextvars.copy_context().run(in_turns)


@pytest.mark.parametrize(("kind", "outcome"), [(kind, outcome) for kind in KINDS for outcome in ENDS[kind]])
@pytest.mark.parametrize("decorator", ["attribution", "run_scope"])
def test_what_opens_a_block_is_a_decorator_of_the_same_kinds(app: App, kind: str, decorator: str, outcome: str) -> None:
    decorate = aicost.attribution(tenant_id="t") if decorator == "attribution" else aicost.run_scope("w", tenant_id="t")
    decorated = decorate(KINDS[kind])
    how = {"fails": "fails", "is cancelled": "waits"}.get(outcome, "ends")

    async def main() -> None:
        with suppress(ValueError, asyncio.CancelledError):
            await use(decorated(how), outcome)
        await asyncio.sleep(0)
        assert current_scope().attribution == {}

    run(main())
    charges = app.charges()
    assert charges
    assert {charge.attribution.get("tenant_id") for charge in charges} == {"t"}
    if decorator == "run_scope":
        (ended,) = (span for span in app.spans if span.name == "invoke_workflow w")
        assert ("error.type" in (ended.attributes or {})) == (outcome in {"fails", "is cancelled"})
