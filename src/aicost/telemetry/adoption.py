"""Spans of others, adopted: their agents, tools and workflows are steps and runs, and their inferences are counted.

Frameworks and clients that emit OpenTelemetry spans by themselves are not traced a second time. What happens under
their spans belongs to them, and an inference that only they report is priced on their span, before it ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import StatusCode

from aicost._later import in_collector, later
from aicost.scopes.frames import began, ended
from aicost.scopes.runs import Run, Step, StepKind
from aicost.scopes.scope import Scope, adopt, current_scope, scope_in
from aicost.semconv import attributes as a
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.readers import ResponseView

from . import guard
from .call import Call, CallResult, Target
from .dialect_table import dialect_of
from .dialects import Dialect, Inference, SpanRole, failure_of, may_be_inference, role_of
from .open_view import OpenView, mark_span, open_view_around

if TYPE_CHECKING:
    from .pipeline import Pipeline

_STEPS = {"agent": StepKind.AGENT, "tool": StepKind.TOOL, "step": StepKind.STEP}


def started(span: Span, context: Context | None, pipeline: Pipeline) -> Scope:
    """Take a span of somebody else into the run and step it is in, or begins. Returns the scope it is in."""
    base, scope = scope_in(context), current_scope(context)
    around = open_view_around(context)
    known = span.attributes or {}
    role = role_of(span.name, known)
    inner, run, step = scope, None, None
    if role is not None and role.kind != "inference":
        inner, run, step = _opened(role, scope, span)
        _say_what_begins(span, run, step)
    if inner is not base:
        adopt(span, base, inner)
    origin = span.instrumentation_scope
    observer = origin.name if origin is not None else ""
    dialect = dialect_of(observer, (origin.version if origin is not None else None) or "")
    asked = role.name if role is not None and role.kind == "inference" else None
    if run is not None or step is not None or asked is not None or may_be_inference(known, dialect):
        # Rebinding `end` is how the last word on a span is had while it still takes attributes.
        open_view = OpenView(asked, scope, around, wire=False)
        mark_span(span, open_view)
        span.end = _Ending(span, pipeline, scope, open_view, (observer, dialect), run, step)  # type: ignore[method-assign]
    elif around is not None:
        mark_span(span, around)
    return inner


def _opened(role: SpanRole, scope: Scope, span: Span) -> tuple[Scope, Run | None, Step | None]:
    """The scope under a workflow, agent, tool or step: a run, where there is none, and a step."""
    run: Run | None = None
    if scope.run is None and role.kind in {"workflow", "agent"}:
        run = Run(role.name, parent_step=scope.step)
        scope = scope.in_run(run)
        began(scope, run, None, span)
    if role.kind == "workflow":
        return scope, run, None
    kind = _STEPS[role.kind]
    if scope.step is not None and (scope.step.kind, scope.step.name) == (kind, role.name):
        return scope, run, None  # another's view of a step that is open already
    step = Step(role.name, kind=kind, run=scope.run, parent=scope.step)
    scope = scope.in_step(step, agent=role.name if role.kind == "agent" else None)
    began(scope, None, step, span)
    return scope, run, step


def _say_what_begins(span: Span, run: Run | None, step: Step | None) -> None:
    """For a collector's ledger: many spans say a run's and a step's id, and one of them is it."""
    if run is None and step is None:
        return
    span.set_attribute(a.AICOST_BEGINS, "run" if step is None else "step" if run is None else "run_and_step")
    if step is not None and step.parent is not None:
        span.set_attribute(a.AICOST_STEP_PARENT_ID, step.parent.id)


class _Ending:
    """What `span.end` is for a span that was adopted: it settles what the span was, and ends it."""

    __slots__ = ("_dialect", "_observer", "_open_view", "_pipeline", "_run", "_scope", "_span", "_step")

    def __init__(
        self,
        span: Span,
        pipeline: Pipeline,
        scope: Scope,
        open_view: OpenView,
        observer: tuple[str, Dialect],
        run: Run | None,
        step: Step | None,
    ) -> None:
        self._span, self._pipeline, self._scope = span, pipeline, scope
        self._open_view, self._run, self._step = open_view, run, step
        self._observer, self._dialect = observer

    def __call__(self, end_time: int | None = None) -> None:
        if in_collector():
            later(partial(self, end_time or time.time_ns()))
            return
        span = self._span
        try:
            if span.is_recording():
                self._settle(end_time)
        except Exception as error:  # noqa: BLE001 - the application's span comes first
            guard.failed("adopt a span", error)
        finally:
            self._open_view.ended = True
            vars(span).pop("end", None)
            span.end(end_time)

    def _settle(self, end_time: int | None) -> None:
        span, failed = self._span, self._span.status.status_code is StatusCode.ERROR
        if self._step is not None:
            ended(None, self._step, failed=failed)
        if self._run is not None:
            ended(self._run, None, failed=failed)
        found = self._dialect.read(span.name, span.attributes or {})
        if found is None:
            return
        labels = found.labels
        self._open_view.of(labels.operation)
        target = Target(labels.provider, labels.operation, "reported", labels.request_model)
        call = Call.of_span(
            self._pipeline, target, span, scope=self._scope, open_view=self._open_view, observer=self._observer
        )
        call.attempt_started(span.start_time)
        tier = labels.service_tier or (None if found.reading is None else found.reading.service_tier)
        view = ResponseView(found.reading, found.response_id, labels.model, tier)
        call.settle(
            view, _outcome(span.attributes or {}, found) if failed else CallResult(estimated=found.estimated), end_time
        )


def _outcome(attributes: Mapping[str, Any], found: Inference) -> CallResult:
    chargeable, kind = failure_of(attributes, found)
    return CallResult(RequestStatus.FAILURE, chargeable, kind, complete=chargeable is not Chargeable.POSSIBLY)
