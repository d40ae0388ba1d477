"""Scopes and decorators: spans, ownership and context, for every kind of function, without a leak."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace
from tests.conftest import App, run

import aicost
from aicost.scopes.scope import current_scope

tracer = trace.get_tracer("somebody.else")


def names(app: App) -> list[str]:
    return [span.name for span in app.spans]


def attributes(app: App, name: str) -> dict[str, Any]:
    (span,) = (span for span in app.spans if span.name == name)
    return dict(span.attributes or {})


@aicost.track_workflow("plain", version="2")
def plain(x: int) -> int:
    return x + 1


@aicost.track_workflow("coroutine")
async def coroutine(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@aicost.track_workflow("generator")
def generator(n: int) -> Iterator[int]:
    for i in range(n):
        tracer.start_span(f"inside {i}").end()
        yield i


@aicost.track_workflow("async_generator")
async def async_generator(n: int) -> AsyncIterator[int]:
    for i in range(n):
        await asyncio.sleep(0)
        tracer.start_span(f"inside {i}").end()
        yield i


def test_decorated_functions_keep_their_kind_name_and_signature() -> None:
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(async_generator)
    assert plain.__name__ == "plain"
    assert list(inspect.signature(plain).parameters) == ["x"]


def test_a_workflow_is_a_run_with_a_span(app: App) -> None:
    assert plain(1) == 2
    assert run(coroutine(1)) == 2
    found = attributes(app, "invoke_workflow plain")
    assert found["gen_ai.workflow.name"] == "plain"
    assert found["aicost.workflow.version"] == "2"
    assert found["aicost.run.id"] == found["aicost.run.root_id"]
    assert names(app) == ["invoke_workflow plain", "invoke_workflow coroutine"]


def test_decorators_work_without_parentheses_and_as_blocks(app: App) -> None:
    @aicost.track_step
    def summarise() -> None: ...

    with aicost.track_workflow("nightly"):
        summarise()
        with aicost.track_tool("lookup"):
            pass
    assert names(app) == ["step summarise", "execute_tool lookup", "invoke_workflow nightly"]


def test_every_span_in_scope_is_stamped_ours_or_foreign(app: App) -> None:
    with (
        aicost.attribution(tenant_id="t-1", feature_id="search", environment="test"),
        aicost.run_scope("w", plan_tier="pro") as current,
        aicost.track_agent("writer", version="3"),
        aicost.track_step("draft"),
    ):
        tracer.start_span("foreign").end()
    found = attributes(app, "foreign")
    step = next(s for s in app.spans if s.name == "step draft")
    assert found == {
        "aicost.tenant.id": "t-1",
        "aicost.feature.id": "search",
        "deployment.environment.name": "test",
        "aicost.plan_tier": "pro",
        "aicost.run.id": current.id,
        "aicost.run.root_id": current.id,
        "gen_ai.workflow.name": "w",
        "gen_ai.agent.name": "writer",
        "aicost.step.name": "draft",
        "aicost.step.id": (step.attributes or {})["aicost.step.id"],
    }


def test_a_foreign_span_keeps_what_it_was_started_with(app: App) -> None:
    with aicost.attribution(tenant_id="t-1"):
        tracer.start_span("foreign", attributes={"aicost.tenant.id": "mine"}).end()
    assert attributes(app, "foreign") == {"aicost.tenant.id": "mine"}


def test_inner_ownership_wins_and_ends_with_its_block() -> None:
    with aicost.attribution(tenant_id="outer", team="x"):
        with aicost.attribution(tenant_id="inner", customer_id=None):
            assert current_scope().attribution == {"tenant_id": "inner", "team": "x"}
        assert current_scope().attribution == {"tenant_id": "outer", "team": "x"}
    assert current_scope().attribution == {}


def test_unknown_ownership_keys_are_refused() -> None:
    with pytest.raises(TypeError, match="unknown attribution key 'tenant'; known: tenant_id"):
        aicost.run_scope("w", tenant="t").__enter__()
    with pytest.raises(TypeError, match="unknown attribution key 'colour'"):
        aicost.track_step("s", colour="red")


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("t-42", True),
        ("3f2a9c0e-5b7d-4e1f-a2b3-c4d5e6f70819", True),
        ("customer 12345", True),
        ("ann@example.com", False),
        ("+49 170 1234567", False),
        ("sk-proj-abcdefghijklmnop", False),
    ],
)
def test_ids_that_look_like_personal_data_are_hashed(value: str, safe: bool) -> None:
    with aicost.attribution(tenant_id=value):
        exported = current_scope().stamp["aicost.tenant.id"]
    assert (exported == value) is safe
    if not safe:
        assert exported.startswith("h:")
        with aicost.attribution(tenant_id=value):
            assert current_scope().stamp["aicost.tenant.id"] == exported, "the same value must stay one owner"


def test_a_nested_run_is_a_child(app: App) -> None:
    with aicost.run_scope("outer") as outer, aicost.run_scope("inner", run_id="known-elsewhere") as inner:
        assert inner.parent is outer
    found = attributes(app, "invoke_workflow inner")
    assert found["aicost.run.id"] == "known-elsewhere"
    assert found["aicost.run.parent_id"] == found["aicost.run.root_id"] == outer.id


def test_a_run_inside_a_step_leaves_the_step_outside(app: App) -> None:
    with aicost.run_scope("outer"), aicost.track_step("s"), aicost.run_scope("inner"):
        tracer.start_span("foreign").end()
    assert "aicost.step.name" not in attributes(app, "foreign")


def test_recursion_nests(app: App) -> None:
    @aicost.track_step("count")
    def count(n: int) -> int:
        return 0 if n == 0 else 1 + count(n - 1)

    assert count(3) == 3
    ids = {span.context.span_id for span in app.spans}
    parents = [span.parent.span_id for span in app.spans if span.parent]
    assert len(parents) == 3
    assert set(parents) <= ids


def test_an_exception_marks_span_and_step_and_passes_through(app: App) -> None:
    @aicost.track_step("bad")
    def bad() -> None:
        raise ValueError("secret text")

    with aicost.run_scope("w"), pytest.raises(ValueError, match="secret text"):
        bad()
    found = attributes(app, "step bad")
    assert found["error.type"] == "ValueError"
    assert "secret" not in str([span.to_json() for span in app.spans if span.name == "step bad"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_span_and_is_no_failure_of_the_step(app: App, error: type[BaseException]) -> None:
    @aicost.track_step("stopped")
    def stopped() -> None:
        raise error

    with pytest.raises(error):
        stopped()
    assert "error.type" not in attributes(app, "step stopped")
    assert current_scope().step is None


def test_a_cancelled_coroutine_ends_its_span(app: App) -> None:
    @aicost.track_step("cancelled")
    async def wait() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert attributes(app, "step cancelled")["error.type"] == "CancelledError"


def test_a_generator_is_in_scope_only_while_its_body_runs(app: App) -> None:
    with aicost.attribution(tenant_id="t"):
        for i in generator(2):
            assert current_scope().run is None
            tracer.start_span(f"between {i}").end()
    inside = {s.name: s for s in app.spans}
    workflow = inside["invoke_workflow generator"]
    assert inside["inside 0"].parent.span_id == workflow.context.span_id
    assert inside["inside 1"].parent.span_id == workflow.context.span_id
    assert inside["between 0"].parent is None


def test_an_async_generator_is_in_scope_only_while_its_body_runs(app: App) -> None:
    async def main() -> None:
        async for i in async_generator(2):
            assert current_scope().run is None
            tracer.start_span(f"between {i}").end()

    run(main())
    inside = {s.name: s for s in app.spans}
    assert inside["inside 1"].parent.span_id == inside["invoke_workflow async_generator"].context.span_id
    assert inside["between 0"].parent is None


def test_a_generator_left_early_ends_its_span_without_failure(app: App, caplog: pytest.LogCaptureFixture) -> None:
    for _ in generator(5):
        break
    for _ in (g := generator(5)):
        break
    g.close()

    async def main() -> None:
        items = async_generator(5)
        async for _ in items:
            break
        await items.aclose()  # type: ignore[attr-defined]

    run(main())
    assert names(app).count("invoke_workflow generator") == 2
    assert names(app).count("invoke_workflow async_generator") == 1
    assert not any("error.type" in (s.attributes or {}) for s in app.spans)
    assert "Failed to detach" not in caplog.text


def test_send_throw_and_return_value_pass_through_a_generator() -> None:
    @aicost.track_step("echo")
    def echo() -> Any:
        got = yield "ready"
        try:
            yield got
        except KeyError:
            yield "caught"
        return "done"

    body = echo()
    assert next(body) == "ready"
    assert body.send("hello") == "hello"
    assert body.throw(KeyError()) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(body)
    assert stop.value.value == "done"


def in_thread(work: Callable[[], Any]) -> Any:
    box: list[Any] = []
    thread = threading.Thread(target=lambda: box.append(work()))
    thread.start()
    thread.join()
    return box[0]


def test_scopes_follow_threads_and_executors_and_do_not_stay_there() -> None:
    aicost.init(instrument=(), exporter="none")
    with ThreadPoolExecutor(max_workers=1) as pool:
        with aicost.attribution(tenant_id="t-1"):
            assert in_thread(lambda: current_scope().attribution.get("tenant_id")) == "t-1"
            assert pool.submit(lambda: current_scope().attribution.get("tenant_id")).result() == "t-1"
            assert list(pool.map(lambda _: current_scope().attribution.get("tenant_id"), [1])) == ["t-1"]
        reused = pool.submit(lambda: dict(current_scope().attribution)).result()
    assert reused == {}, "the next request on a reused thread must start clean"
    aicost.shutdown()


def test_concurrent_tasks_do_not_see_each_other() -> None:
    async def request(tenant: str) -> str:
        with aicost.attribution(tenant_id=tenant):
            await asyncio.sleep(0.001)
            return current_scope().attribution["tenant_id"]

    async def main() -> list[str]:
        return await asyncio.gather(*(request(f"t-{n}") for n in range(50)))

    assert run(main()) == [f"t-{n}" for n in range(50)]


def test_without_any_set_up_the_decorators_do_no_harm() -> None:
    assert plain(1) == 2
    assert list(generator(2)) == [0, 1]
