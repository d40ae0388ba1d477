"""Ownership, run scopes and the tracking decorators: the scope of a block or function, with its span."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import Token
from functools import partial
from types import FrameType, TracebackType
from typing import Any, TypeVar, overload

from opentelemetry.context import Context, attach

from aicost._wellformed import as_text
from aicost.semconv import attributes as a

from .frames import Frame, name_of, wrap
from .leaving import leave
from .runs import Run, Step, StepKind
from .scope import Scope, check_keys, current_scope, with_scope

F = TypeVar("F", bound=Callable[..., Any])
_NOBODY: Mapping[str, object | None] = {}
_NOTHING: Mapping[str, Any] = {}


def attribution(
    *,
    tenant_id: object | None = None,
    customer_id: object | None = None,
    feature_id: object | None = None,
    product: object | None = None,
    team: object | None = None,
    cost_center: object | None = None,
    plan_tier: object | None = None,
    project_id: object | None = None,
    environment: object | None = None,
    user_id: object | None = None,
    session_id: object | None = None,
) -> _Tracker:
    """Own everything that happens inside: each key becomes an attribute of every span started in the block.

    Values are opaque ids; what looks like an e-mail address, a phone number or a key is hashed. Keys left out keep
    the value of the enclosing scope. Also a decorator, of whatever `track_step` decorates.

    >>> with attribution(tenant_id="t-42", feature_id="smart_search"):
    ...     ...
    """
    added = {
        "tenant_id": tenant_id,
        "customer_id": customer_id,
        "feature_id": feature_id,
        "product": product,
        "team": team,
        "cost_center": cost_center,
        "plan_tier": plan_tier,
        "project_id": project_id,
        "environment": environment,
        "user_id": user_id,
        "session_id": session_id,
    }
    return _Tracker(partial(_owned, added))


def run_scope(
    workflow: str, *, run_id: str | None = None, version: str | None = None, **attribution: object | None
) -> _RunScope:
    """One run of `workflow`: everything inside belongs to it, whatever thread or task it happens in.

    Yields the `Run`, whose `cost`, `usage`, `calls`, `retries` and `waste` are live and exact; where nothing was set up
    to record calls, `cost` is None. A scope inside a scope is a child run: its amounts count in both, once. `run_id`
    continues a run known elsewhere; `attribution` takes the keys of `aicost.attribution`. Raises TypeError for any
    other key.

    >>> with run_scope("renewal_risk_scoring", tenant_id="t-42") as run:
    ...     run.cost
    Decimal('0')
    """
    check_keys(attribution)
    return _RunScope(partial(open_run, workflow, run_id=run_id, version=version, owner=attribution))


@overload
def track_workflow(name: F) -> F: ...
@overload
def track_workflow(
    name: str | None = None, *, version: str | None = None, **attribution: object | None
) -> _Tracker: ...
def track_workflow(name: Any = None, *, version: str | None = None, **attribution: object | None) -> Any:
    """Each call of the decorated function is one run of the workflow `name` (default: the function's name).

    Takes plain, async, generator and async-generator functions, methods of every kind, partials and instances, and
    keeps their kind and signature; follows a coroutine, generator or future that a function returns. Also a context
    manager: `with track_workflow("nightly"): ...`. Raises TypeError for a class, or what cannot be called.

    >>> @track_workflow("renewal_risk_scoring", version="2")
    ... async def score(account): ...
    """
    check_keys(attribution)
    return _tracker(name, lambda chosen: open_run(chosen, version=version, owner=attribution))


@overload
def track_step(name: F) -> F: ...
@overload
def track_step(name: str | None = None, **attribution: object | None) -> _Tracker: ...
def track_step(name: Any = None, **attribution: object | None) -> Any:
    """Each call is one step `name` of the current run. When it raises, what was spent in the step is waste."""
    check_keys(attribution)
    return _tracker(name, lambda chosen: open_step(chosen, owner=attribution))


@overload
def track_agent(name: F) -> F: ...
@overload
def track_agent(name: str | None = None, *, version: str | None = None, **attribution: object | None) -> _Tracker: ...
def track_agent(name: Any = None, *, version: str | None = None, **attribution: object | None) -> Any:
    """Each call is one turn of the agent `name`; calls inside carry `gen_ai.agent.name`."""
    check_keys(attribution)
    return _tracker(name, lambda chosen: open_step(chosen, StepKind.AGENT, version=version, owner=attribution))


@overload
def track_tool(name: F) -> F: ...
@overload
def track_tool(name: str | None = None, **attribution: object | None) -> _Tracker: ...
def track_tool(name: Any = None, **attribution: object | None) -> Any:
    """Each call is one execution of the tool `name`."""
    check_keys(attribution)
    return _tracker(name, lambda chosen: open_step(chosen, StepKind.TOOL, owner=attribution))


class _Scoped:
    """A decorator, and a context manager for a block of code.

    One of them may be used for any number of blocks at once, in threads, tasks and generators.
    """

    def __init__(self, open_frame: Callable[[], Frame]) -> None:
        self._open = open_frame
        self._blocks: dict[int, list[tuple[FrameType, Frame, Token[Context]]]] = {}
        """Blocks that are open, by the caller's frame, which is kept: in one, they end in the opposite order."""

    def __call__(self, function: F) -> F:
        return wrap(function, self._open)

    def _enter(self, caller: FrameType) -> Frame:
        frame = self._open()
        self._blocks.setdefault(id(caller), []).append((caller, frame, attach(frame.context)))
        return frame

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        key = id(sys._getframe(1))
        if key not in self._blocks:
            key = self._entered_elsewhere()
        blocks = self._blocks[key]
        _, frame, token = blocks.pop()
        if not blocks:
            del self._blocks[key]
        leave(token, frame.context)
        frame.end(error)

    def _entered_elsewhere(self) -> int:
        """The key of the block that is in force, entered in another function than it is left in: by an `ExitStack`."""
        here, keys = current_scope(), list(self._blocks)
        return next((key for key in reversed(keys) if self._blocks[key][-1][1].scope is here), keys[-1])


class _Tracker(_Scoped, AbstractContextManager[None]):
    """What `attribution` and the `track_*` functions return."""

    def __enter__(self) -> None:
        self._enter(sys._getframe(1))


class _RunScope(_Scoped, AbstractContextManager[Run]):
    """What `run_scope` returns."""

    def __enter__(self) -> Run:
        run = self._enter(sys._getframe(1)).run
        assert run is not None  # noqa: S101 - narrowing
        return run


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
    span_attributes: dict[str, Any] = {a.GEN_AI_OPERATION_NAME: "invoke_workflow", **attributes}
    if run.version is not None:
        span_attributes[a.AICOST_WORKFLOW_VERSION] = run.version
    return Frame(
        f"invoke_workflow {run.workflow}", outer.owned_by(owner).in_run(run), span_attributes, run, None, parent
    )


class _Owned(Frame):
    """A scope that is neither a run nor a step: it has no span, and its end is nothing to tell."""

    __slots__ = ()

    def __init__(self, scope: Scope) -> None:
        self.scope, self.run, self.step = scope, None, None
        self.context = with_scope(scope)

    def end(self, error: BaseException | None = None) -> None:
        """Nothing."""


def _owned(owner: Mapping[str, object | None]) -> Frame:
    return _Owned(current_scope().owned_by(owner))


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
    span_attributes: Mapping[str, Any] = {**fixed, **attributes} if attributes else fixed
    if name_key is not None:
        span_attributes = {**span_attributes, name_key: step.name}
    if version is not None:
        span_attributes = {**span_attributes, a.GEN_AI_AGENT_VERSION: as_text(version)}
    if outer.step is not None:
        span_attributes = {**span_attributes, a.AICOST_STEP_PARENT_ID: outer.step.id}
    scope = outer.owned_by(owner).in_step(step, agent=step.name if kind is StepKind.AGENT else None)
    return Frame(f"{verb} {step.name}", scope, span_attributes, None, step, parent)
