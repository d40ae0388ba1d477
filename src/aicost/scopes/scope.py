"""Scope: who owns the work going on right now, and in which run and step it happens.

A scope is one immutable value under one key of the OpenTelemetry context. So it follows the context wherever that
goes: asyncio tasks by themselves, threads and executors through the standard threading instrumentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, get_current_span

from aicost._wellformed import as_text
from aicost.semconv import attributes as a

from .leaving import leave
from .owners import OwnerValues, attribute_of, opaque_owners, resource_dimensions
from .runs import Run, Step

_KEY = otel_context.create_key("aicost-scope")
_ON_SPAN = "_aicost_scope"
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Scope:
    """Ownership, run, step and agent in force. `stamp` is all of it as span attributes."""

    attribution: Mapping[str, str] = field(default_factory=dict)
    """Owners and labels, and beneath them what the process's resource says."""
    run: Run | None = None
    step: Step | None = None
    agent: str | None = None
    owners: Mapping[str, str] = field(default_factory=dict)
    """Owners and labels as span attributes: without what the resource says, which every span of the process has."""
    stamp: Mapping[str, str] = field(default_factory=dict)
    upstream_id: str | None = None
    """The attempt of a caller in another process that this work is done for."""

    def owned_by(self, attribution: OwnerValues) -> Scope:
        """This scope with more ownership. Keys at None are left as they are."""
        added = opaque_owners(attribution, self.attribution) if attribution else None
        if not added:
            return self
        said = {attribute_of(key): value for key, value in added.items()}
        return Scope(
            {**self.attribution, **added},
            self.run,
            self.step,
            self.agent,
            {**self.owners, **said},
            {**self.stamp, **said},
            self.upstream_id,
        )

    def in_run(self, run: Run) -> Scope:
        """This scope inside `run`; the step and agent around it stay outside."""
        stamp = {**self.owners, a.AICOST_RUN_ID: run.id, a.AICOST_RUN_ROOT_ID: run.root_id}
        if run.workflow is not None:
            stamp[a.GEN_AI_WORKFLOW_NAME] = run.workflow
        if run.parent is not None:
            stamp[a.AICOST_RUN_PARENT_ID] = run.parent.id
        if run.parent_step is not None:
            stamp[a.AICOST_RUN_PARENT_STEP_ID] = run.parent_step.id
        return Scope(self.attribution, run, None, None, self.owners, stamp, self.upstream_id)

    def in_step(self, step: Step, agent: str | None = None) -> Scope:
        """This scope inside `step`, which may be an agent's turn."""
        stamp = {**self.stamp, a.AICOST_STEP_NAME: step.name, a.AICOST_STEP_ID: step.id}
        if agent is not None:
            stamp[a.GEN_AI_AGENT_NAME] = agent = as_text(agent)
        return Scope(self.attribution, self.run, step, agent or self.agent, self.owners, stamp, self.upstream_id)


_defaults = Scope()
_request: ContextVar[tuple[Scope, ...]] = ContextVar("aicost-request", default=())
"""The scopes that hold for all of the request or task under way, the innermost last.

For where somebody else's context is put in force, or an earlier one is put back: frameworks with an instrumentation of
their own, as FastAPI (0.165), put the context that they extract from the headers in the place of the one in force, and
leave the one that a dependency entered when their span of all dependencies ends.
"""


def set_defaults(attribution: OwnerValues, resource: Mapping[str, Any] = _NOTHING) -> None:
    """The ownership of everything this process does, where no scope says otherwise; `resource` is its attributes."""
    global _defaults
    _defaults = Scope(resource_dimensions(resource)).owned_by(attribution)


def current_scope(context: Context | None = None) -> Scope:
    """The scope in `context`, or in the current context; the process's defaults outside any scope."""
    scope = scope_in(context)
    adopted = getattr(get_current_span(context), _ON_SPAN, None)
    return adopted.scope if adopted is not None and adopted.base is scope else scope


def scope_in(context: Context | None = None) -> Scope:
    """The scope that `context` itself carries, whatever span is current in it."""
    scope = otel_context.get_value(_KEY, context)
    if context is None and (lasting := _request.get()) and (scope is None or any(scope is each for each in lasting)):
        return lasting[-1]
    return scope if isinstance(scope, Scope) else _defaults


class _Adopted(NamedTuple):
    """The scope under a span of somebody else, for as long as the context still carries `base`."""

    base: Scope
    scope: Scope


def adopt(span: Span, base: Scope, scope: Scope) -> None:
    """What is started under `span`, which is not ours, is in `scope`, unless a scope of ours was opened since."""
    setattr(span, _ON_SPAN, _Adopted(base, scope))


def hand_down(outer: Span, inner: Span) -> None:
    """What is started under `inner`, a span of ours that opens no scope, is in the scope under `outer`."""
    adopted = getattr(outer, _ON_SPAN, None)
    if adopted is not None:
        setattr(inner, _ON_SPAN, adopted)


def with_scope(scope: Scope, context: Context | None = None) -> Context:
    """A context that carries `scope`."""
    return otel_context.set_value(_KEY, scope, context)


class Entered(NamedTuple):
    """A context that was entered, for all of a request or task."""

    context: Context
    token: Token[Context]
    held: Token[tuple[Scope, ...]] | None

    def leave(self) -> None:
        """Be where one was before."""
        leave(self.token, self.context)
        if self.held is not None:
            let_go(self.held)


def enter(context: Context, request: Scope | None = None) -> Entered:
    """Be in `context` until it is left; for all of a request or task, if `context` is the one that it begins with."""
    held = None if request is None else hold(request)
    return Entered(context, otel_context.attach(context), held)


def hold(scope: Scope) -> Token[tuple[Scope, ...]]:
    """From now on everything of this request or task is in `scope`, until it is let go."""
    return _request.set((*_request.get(), scope))


def let_go(token: Token[tuple[Scope, ...]]) -> None:
    """The request's scope is what it was before `hold`."""
    try:
        _request.reset(token)
    except ValueError:  # in a copy of the context
        _request.set(_request.get()[:-1])
