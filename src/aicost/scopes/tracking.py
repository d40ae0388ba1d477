"""Run scopes and the tracking decorators: spans for workflows, steps, agents and tools, and the scope inside them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import FrameType, TracebackType
from typing import Any, NamedTuple, TypeVar, overload

from opentelemetry.context import Context

from aicost.semconv import attributes as a

from .frames import Frame, inside, name_of, wrap
from .runs import Run, Step, StepKind
from .scope import check_keys, current_scope

F = TypeVar("F", bound=Callable[..., Any])
_NOBODY: Mapping[str, object | None] = {}
_NOTHING: Mapping[str, Any] = {}


@contextmanager
def run_scope(
    workflow: str, *, run_id: str | None = None, version: str | None = None, **attribution: object | None
) -> Iterator[Run]:
    """One run of `workflow`: everything inside belongs to it, whatever thread or task it happens in.

    Yields the `Run`, whose `cost`, `usage`, `calls`, `retries` and `waste` are live and exact. A scope inside a scope
    is a child run: its amounts count in both, once. `run_id` continues a run known elsewhere; `attribution` takes the
    keys of `aicost.attribution`. Raises TypeError for any other key.

    >>> with run_scope("renewal_risk_scoring", tenant_id="t-42") as run:
    ...     run.cost
    Decimal('0')
    """
    check_keys(attribution)
    frame = open_run(workflow, run_id=run_id, version=version, owner=attribution)
    assert frame.run is not None  # noqa: S101 - narrowing
    with inside(frame):
        yield frame.run


@overload
def track_workflow(name: F) -> F: ...
@overload
def track_workflow(
    name: str | None = None, *, version: str | None = None, **attribution: object | None
) -> _Tracker: ...
def track_workflow(name: Any = None, *, version: str | None = None, **attribution: object | None) -> Any:
    """Each call of the decorated function is one run of the workflow `name` (default: the function's name).

    Takes plain, async, generator and async-generator functions and keeps their kind and signature. Also a context
    manager: `with track_workflow("nightly"): ...`.

    >>> @track_workflow("renewal_risk_scoring", version="2")
    ... async def score(account): ...
    """
    check_keys(attribution)
    return _tracker(name, lambda said: open_run(said, version=version, owner=attribution))


@overload
def track_step(name: F) -> F: ...
@overload
def track_step(name: str | None = None, **attribution: object | None) -> _Tracker: ...
def track_step(name: Any = None, **attribution: object | None) -> Any:
    """Each call is one step `name` of the current run. When it raises, what the step spent counts as waste."""
    check_keys(attribution)
    return _tracker(name, lambda said: open_step(said, owner=attribution))


@overload
def track_agent(name: F) -> F: ...
@overload
def track_agent(name: str | None = None, *, version: str | None = None, **attribution: object | None) -> _Tracker: ...
def track_agent(name: Any = None, *, version: str | None = None, **attribution: object | None) -> Any:
    """Each call is one turn of the agent `name`; calls inside carry `gen_ai.agent.name`."""
    check_keys(attribution)
    return _tracker(name, lambda said: open_step(said, StepKind.AGENT, version=version, owner=attribution))


@overload
def track_tool(name: F) -> F: ...
@overload
def track_tool(name: str | None = None, **attribution: object | None) -> _Tracker: ...
def track_tool(name: Any = None, **attribution: object | None) -> Any:
    """Each call is one execution of the tool `name`."""
    check_keys(attribution)
    return _tracker(name, lambda said: open_step(said, StepKind.TOOL, owner=attribution))


class _Block(NamedTuple):
    """A `with` block that is open: the code it is in, and what ends with it."""

    caller: FrameType
    frame: Frame
    inside: AbstractContextManager[None]


class _Tracker(AbstractContextManager[None]):
    """What the `track_*` functions return: a decorator, and a context manager for a block of code.

    One of them may be used for any number of blocks at once, in threads, tasks and generators.
    """

    def __init__(self, open_frame: Callable[[], Frame]) -> None:
        self._open = open_frame
        self._blocks: dict[int, list[_Block]] = {}
        """By the caller's frame: in one, blocks end in the opposite order."""

    def __call__(self, function: F) -> F:
        return wrap(function, self._open)

    def __enter__(self) -> None:
        frame, caller = self._open(), sys._getframe(1)
        block = inside(frame)
        block.__enter__()
        self._blocks.setdefault(id(caller), []).append(_Block(caller, frame, block))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        key = id(sys._getframe(1))
        if key not in self._blocks:
            key = self._entered_elsewhere()
        blocks = self._blocks[key]
        block = blocks.pop()
        if not blocks:
            del self._blocks[key]
        block.inside.__exit__(kind, error, traceback)

    def _entered_elsewhere(self) -> int:
        """The key of the block that is in force, entered in another function than it is left in: by an `ExitStack`."""
        here, keys = current_scope(), list(self._blocks)
        return next((key for key in reversed(keys) if self._blocks[key][-1].frame.scope is here), keys[-1])


def _tracker(name: Any, opening: Callable[[str], Frame]) -> Any:
    if isinstance(name, str):
        return _Tracker(partial(opening, name))

    def decorate(function: F) -> F:
        return wrap(function, partial(opening, name_of(function)))

    return decorate if name is None else decorate(name)


def open_run(
    workflow: str,
    *,
    run_id: str | None = None,
    version: str | None = None,
    owner: Mapping[str, object | None] = _NOBODY,
    parent: Context | None = None,
    attributes: Mapping[str, Any] = _NOTHING,
) -> Frame:
    """A run that begins now, inside the run of `parent` or of the current context. Whoever opens it ends it."""
    outer = current_scope(parent)
    run = Run(workflow, run_id=run_id, version=version, parent=outer.run, parent_step=outer.step)
    said: dict[str, Any] = {a.GEN_AI_OPERATION_NAME: "invoke_workflow", **attributes}
    if version is not None:
        said[a.AICOST_WORKFLOW_VERSION] = version
    return Frame(f"invoke_workflow {workflow}", outer.owned_by(owner).in_run(run), said, run, None, parent)


_STEP_SPANS: dict[StepKind, tuple[str, dict[str, str], str | None]] = {
    StepKind.STEP: ("step", {}, None),
    StepKind.AGENT: ("invoke_agent", {a.GEN_AI_OPERATION_NAME: "invoke_agent"}, None),
    StepKind.TOOL: ("execute_tool", {a.GEN_AI_OPERATION_NAME: "execute_tool"}, a.GEN_AI_TOOL_NAME),
}


def open_step(
    name: str,
    kind: StepKind = StepKind.STEP,
    *,
    version: str | None = None,
    owner: Mapping[str, object | None] = _NOBODY,
    parent: Context | None = None,
    attributes: Mapping[str, Any] = _NOTHING,
) -> Frame:
    """A step that begins now, in the scope of `parent` or of the current context. Whoever opens it ends it."""
    outer = current_scope(parent)
    step = Step(name, kind=kind, run=outer.run, parent=outer.step)
    verb, fixed, name_key = _STEP_SPANS[kind]
    said: Mapping[str, Any] = {**fixed, **attributes} if attributes else fixed
    if name_key is not None:
        said = {**said, name_key: name}
    if version is not None:
        said = {**said, a.GEN_AI_AGENT_VERSION: version}
    if outer.step is not None:
        said = {**said, a.AICOST_STEP_PARENT_ID: outer.step.id}
    scope = outer.owned_by(owner).in_step(step, agent=name if kind is StepKind.AGENT else None)
    return Frame(f"{verb} {name}", scope, said, None, step, parent)
