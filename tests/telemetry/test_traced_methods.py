"""Methods wrapped as steps and tools: of every kind of function, and only while they really run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import wrapt
from tests.conftest import App

import aicost
from aicost.integrations._traced_methods import traced_method
from aicost.telemetry.state import current


class Kit:
    """What a framework might have."""

    name = "search"

    def plain(self, fails: bool = False) -> str:
        if fails:
            raise LookupError("no such page")
        return spend()

    async def coroutine(self) -> str:
        return spend()

    def generator(self) -> Iterator[str]:
        yield spend()
        yield spend()

    async def async_generator(self) -> AsyncIterator[str]:
        yield spend()

    def hands_out_a_generator(self) -> Iterator[str]:
        return self._parts()

    def _parts(self) -> Iterator[str]:
        yield spend()

    def second_way_in(self) -> str:
        return self.plain()


def spend() -> str:
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1})
    return "found"


@pytest.fixture
def kit(app: App) -> Any:
    state = current()
    assert state is not None
    made = type("Wrapped", (Kit,), {})
    holder = ModuleType("holder")
    holder.Kit = made  # type: ignore[attr-defined]
    for name in [name for name in vars(Kit) if not name.startswith("_") and callable(getattr(Kit, name))]:
        setattr(made, name, vars(Kit)[name])
        wrapper = traced_method("tool", lambda instance, *_: instance.name)(lambda: state.pipeline)
        wrapt.wrap_function_wrapper(holder, f"Kit.{name}", wrapper)
    return SimpleNamespace(kit=made(), app=app)


def tools(app: App) -> list[str]:
    """How each execution of the tool ended."""
    found = [span for span in app.spans if span.name == "execute_tool search"]
    return ["failed" if "error.type" in (span.attributes or {}) else "ok" for span in found]


async def drained(kit: Any) -> list[str]:
    return [item async for item in kit.async_generator()]


@pytest.mark.parametrize(
    ("use", "calls"),
    [
        (lambda kit: kit.plain(), 1),
        (lambda kit: asyncio.run(kit.coroutine()), 1),
        (lambda kit: list(kit.generator()), 2),
        (lambda kit: asyncio.run(drained(kit)), 1),
        (lambda kit: list(kit.hands_out_a_generator()), 1),
        (lambda kit: kit.second_way_in(), 1),
    ],
    ids=["plain", "coroutine", "generator", "async generator", "hands out a generator", "second way in"],
)
def test_what_a_part_calls_is_in_its_step_however_it_runs(kit: Any, use: Any, calls: int) -> None:
    with aicost.run_scope("nightly"):
        assert use(kit.kit)
        spend()
    assert tools(kit.app) == ["ok"]
    assert [row.step for row in kit.app.charges()] == ["search"] * calls + [None]


def test_a_part_that_raises_is_a_step_that_failed(kit: Any) -> None:
    with aicost.run_scope("nightly"), pytest.raises(LookupError):
        kit.kit.plain(fails=True)
    assert tools(kit.app) == ["failed"]


def test_a_coroutine_nobody_awaits_is_no_step(kit: Any) -> None:
    with aicost.run_scope("nightly"):
        kit.kit.coroutine().close()
    assert tools(kit.app) == []


def test_a_generator_left_early_ends_its_step(kit: Any) -> None:
    with aicost.run_scope("nightly"):
        left = kit.kit.generator()
        next(left)
        left.close()
        spend()
    assert tools(kit.app) == ["ok"]
    assert [row.step for row in kit.app.charges()] == ["search", None]
