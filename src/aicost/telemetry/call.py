"""Call: the life of one call to a provider, from its first attempt to its outcome.

An integration opens a call, tells it of attempts as they start and fail, and finishes it once with what the
response says. Sync and async clients, streams and plain responses all come down to this.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from aicost import _forks
from aicost._later import in_collector, later
from aicost._wellformed import wellformed, wellformed_values
from aicost.scopes.ids import new_event_id, new_id
from aicost.scopes.leaving import reset
from aicost.scopes.scope import Scope, current_scope
from aicost.semconv import attributes as a
from aicost.usage.event import NOWHERE, Chargeable, Origin, RequestStatus, UsageEvent
from aicost.usage.readers import ResponseView
from aicost.usage.reading import Reading

from . import guard
from .deduplication import WIRE, Covered, Observer, Reason, Verdict
from .evidence import span_event_id
from .open_view import CallNames, OpenView, open_view_around, with_open_view
from .pipeline import Pipeline

_NOTHING = ResponseView(reading=None)
_INVALID_TRACE = "0" * 32


class Target(NamedTuple):
    """What is called: of whom, which operation of which API, with which model, and where."""

    provider: str
    operation: str
    api: str
    model: str
    server_address: str | None = None
    server_port: int | None = None
    streaming: bool = False
    region: str | None = None
    """Where it is served, if the request decides that."""
    described: Mapping[str, AttributeValue] | None = None
    """What its span says of it in place of `gen_ai.*`, when it is no operation of a model."""


@dataclass(slots=True)
class _Attempt:
    event_id: str
    started_ns: int
    ended_ns: int = 0
    backoff_ns: int = 0
    http_status: int | None = None
    error_type: str | None = None
    chargeable: Chargeable = Chargeable.NO
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class CallResult:
    """How the last attempt of a call ended."""

    status: RequestStatus = RequestStatus.SUCCESS
    chargeable: Chargeable = Chargeable.YES
    error_type: str | None = None
    http_status: int | None = None
    complete: bool = True
    """False when the stream was cut before its final usage."""
    estimated: bool = False
    """The usage was counted here, because the provider reported none."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that failed for good, in the run and step it was made in."""

    run_id: str
    step: str | None
    operation: str
    provider: str
    model: str
    event_id: str
    linked: bool = False
    """A framework says what is tried after it, in whichever step that is."""


# What failed last in this thread or task: the next call of its run and step is the application's answer to it.
_failed: ContextVar[Failed | None] = ContextVar("aicost_failed_call", default=None)


@contextmanager
def answers(failed: Failed | None) -> Iterator[None]:
    """The first call made in the block, if any, answers that failed one."""
    token = _failed.set(failed)
    try:
        yield
    finally:
        reset(_failed, token)


def answer_next(failed: Failed | None) -> None:
    """The next call made in this thread or task answers that failed one."""
    _failed.set(failed)


class Call:
    """One call in progress. `finish` may come from any thread and more than once; the first one counts."""

    __slots__ = (
        "_after",
        "_attempts",
        "_content",
        "_done",
        "_generation",
        "_is_of_another",
        "_lock",
        "_not_chargeable",
        "_observer",
        "_open_view",
        "_origin",
        "_pipeline",
        "_run_id",
        "_scope",
        "context",
        "span",
        "target",
    )

    def __init__(
        self, pipeline: Pipeline, target: Target, *, observer: str = WIRE, parent: Context | None = None
    ) -> None:
        """`observer` is who sees the call: a framework sees it from outside, and counts what nobody else does."""
        self._pipeline = pipeline
        self.target = target = _sound(target)
        self._observer = observer
        self._scope = scope = current_scope(parent)
        attributes: dict[str, Any]
        if target.described is None:
            attributes = {
                a.GEN_AI_OPERATION_NAME: target.operation,
                a.GEN_AI_PROVIDER_NAME: target.provider,
                a.GEN_AI_REQUEST_MODEL: target.model,
            }
        else:
            attributes = dict(target.described)
        if target.server_address is not None:
            attributes[a.SERVER_ADDRESS] = target.server_address
            if target.server_port is not None:
                attributes[a.SERVER_PORT] = target.server_port
        if target.streaming:
            attributes[a.GEN_AI_REQUEST_STREAM] = True
        attributes.update(scope.stamp)
        if scope.step is None:
            attributes[a.AICOST_STEP_NAME] = target.operation
        self.span: Span = pipeline.tracer.start_span(
            f"{target.operation} {target.model}",
            parent,
            kind=SpanKind.CLIENT if observer is WIRE else SpanKind.INTERNAL,
            attributes=attributes,
        )
        self._open_view = OpenView(target.operation, scope, open_view_around(parent), wire=observer is WIRE)
        self.context: Context = with_open_view(self._open_view, self.span, set_span_in_context(self.span, parent))
        self._begin()
        self._is_of_another = False
        self._after = None if (before := _failed.get()) is None else self._answers(before)

    @classmethod
    def of_span(
        cls, pipeline: Pipeline, target: Target, span: Span, *, scope: Scope, open_view: OpenView, observer: str
    ) -> Call:
        """A call that somebody else's span reports; it is settled on that span, and ends with it."""
        call = cls.__new__(cls)
        call._pipeline, call.target, call._observer = pipeline, _sound(target), observer
        call._scope, call._open_view, call.span, call.context = scope, open_view, span, Context()
        call._begin()
        call._is_of_another = True
        call._after = None
        return call

    def _begin(self) -> None:
        run = self._scope.run
        self._run_id = run.id if run is not None else self._implicit_run()
        self._attempts: list[_Attempt] = []
        self._content: Mapping[str, AttributeValue] = {}
        self._not_chargeable: Covered | None = None
        self._origin = Origin(host=self.target.server_address, upstream_id=self._scope.upstream_id)
        target = self.target
        self._open_view.names = CallNames(target.provider, target.model, target.model, self._origin)
        self._done = False
        self._lock = _forks.lock()
        self._generation = _forks.generation

    def attempt_started(self, at_ns: int | None = None) -> None:
        """A request is about to go out. If one went out before, its client has waited since that one failed.

        Each attempt is an event of its own, and has an id of its own from here on.
        """
        now = time.time_ns() if at_ns is None else at_ns
        if self._attempts:
            before = self._attempts[-1]
            if not before.ended_ns:  # answered, and tried again all the same
                before.ended_ns, before.error_type, before.chargeable = now, "retried", Chargeable.POSSIBLY
            before.backoff_ns = now - before.ended_ns
        self._attempts.append(_Attempt(self._new_id(now, len(self._attempts) + 1), now, origin=self._origin))

    def identify(self, event_id: str) -> None:
        """The attempt under way is an event that has an identity already: a line of a batch, a background response."""
        self._current().event_id = event_id

    def traced(self, said: Mapping[str, str | bool]) -> None:
        """What is known of where the attempt under way went, and under which ids: fields of its `Origin`."""
        attempt = self._current()
        attempt.origin = attempt.origin._replace(**said)  # type: ignore[arg-type]

    def is_work_of(self, upstream_id: str) -> None:
        """The attempt under way is the work of another process's, unless that has said so itself."""
        if self._current().origin.upstream_id is None:
            self.traced({"upstream_id": upstream_id})

    def not_chargeable(self, reason: Reason) -> None:
        """No model was asked for the answer: what it says was used is not charged."""
        self._not_chargeable = Covered(reason, None)

    @property
    def event_id(self) -> str:
        """The event of the attempt under way."""
        return self._current().event_id

    def attempt_failed(self, *, chargeable: Chargeable, error_type: str, http_status: int | None = None) -> None:
        """The request under way failed; the client may try again."""
        attempt = self._current()
        attempt.ended_ns = time.time_ns()
        attempt.error_type, attempt.http_status = wellformed(error_type), http_status
        attempt.chargeable = chargeable

    def add_attributes(self, content: Mapping[str, AttributeValue]) -> None:
        """What was asked and answered, for the span, where the application wants that recorded."""
        self._content = content

    @property
    def sent(self) -> bool:
        """Whether any request went out."""
        return bool(self._attempts)

    @property
    def finished(self) -> bool:
        """Whether the outcome is known already."""
        return self._done

    def finish(self, view: ResponseView | None, outcome: CallResult) -> None:
        """End the call with what the response says (None: nothing came back). Later calls do nothing."""
        if self._generation != _forks.generation:
            return  # it is the process's that began it, which ends it once
        if in_collector():
            later(partial(self.finish, view, outcome))
            return
        with self._lock:
            if self._done:
                return
            self._done = True
        try:
            self.settle(view or _NOTHING, outcome)
        except Exception as error:  # noqa: BLE001 - the application's call comes first
            guard.failed("record a call", error)
        finally:
            self._open_view.ended = True
            self.span.end()

    def drop(self, reason: Reason) -> None:
        """End the call uncounted: nobody was asked."""
        if in_collector():
            later(partial(self.drop, reason))
            return
        with self._lock:
            done, self._done = self._done, True
        self._open_view.ended = True
        if not done:
            self.span.set_attributes(covered_attributes(Covered(reason, None)))
            self.span.end()

    def settle(self, view: ResponseView, outcome: CallResult, ended_ns: int | None = None) -> None:
        """Count the call with what the response says, unless somebody nearer to the wire does."""
        view, outcome = _sound_view(view), _sound_outcome(outcome)
        last = self._current()
        last.ended_ns = ended_ns or last.ended_ns or time.time_ns()
        last.error_type, last.http_status = outcome.error_type, outcome.http_status
        scope = self._scope
        events = [
            self._event(n, attempt, _NOTHING, _failed_outcome(attempt))
            for n, attempt in enumerate(self._attempts[:-1], 1)
        ]
        events.append(self._heard(self._event(len(self._attempts), last, view, outcome, self._after)))
        verdict = self._decide(events[-1])
        if verdict.covered is not None:
            self._cover(events, verdict)
            return
        if verdict.completes is not None:
            events[-1] = replace(events[-1], event_id=verdict.completes)
        attributes = self._describe(view, outcome, events)
        self._open_view.tell(events[-1])
        if self._observer is not WIRE:
            self._open_view.claim()
        elif all(event.chargeable is Chargeable.NO for event in events):
            self._open_view.chargeable = False
        if outcome.status is not RequestStatus.SUCCESS and scope.run is not None:
            _failed.set(self._as_failed(scope.run.id, events[-1].event_id))
        self._pipeline.settle(
            events,
            run=scope.run,
            step=scope.step,
            span=self.span,
            attributes=attributes,
            replaces=verdict.replaces,
            is_nearest=self._observer is WIRE,
        )

    def _heard(self, event: UsageEvent) -> UsageEvent:
        """The event with the usage that a view inside of the call has, where its own response told of none."""
        heard = self._open_view.heard
        if heard is None or event.usage is not None or event.chargeable is not Chargeable.YES:
            return event
        return replace(
            event,
            usage=heard.usage,
            service_tier=event.service_tier or heard.service_tier,
            complete=heard.complete,
            estimated=heard.estimated,
            flags=heard.flags,
        )

    def failure(self) -> Failed | None:
        """This call as what the next one answers, once it has failed; in no run, nothing is linked."""
        run, by = self._scope.run, self._open_view.by or self._current().event_id
        return None if run is None else self._as_failed(run.id, by, linked=True)

    def _as_failed(self, run_id: str, event_id: str, *, linked: bool = False) -> Failed:
        step, target = self._scope.step, self.target
        return Failed(
            run_id,
            None if step is None else step.name,
            target.operation,
            target.provider,
            target.model,
            event_id,
            linked,
        )

    def _decide(self, event: UsageEvent) -> Verdict:
        """Whether this view of the call is counted, or somebody else's is."""
        if self._not_chargeable is not None:
            return Verdict(self._not_chargeable)
        wire, open_view = self._observer is WIRE, self._open_view
        nested = None if wire else open_view.covered(event)
        return self._pipeline.counted.decide(
            event, Observer(self._observer), wire=wire, nested=nested, now=0 if wire else time.time_ns()
        )

    def _cover(self, events: list[UsageEvent], verdict: Verdict) -> None:
        """Say on the span why it has no amount, and keep what it would have been for whoever compares.

        What attempts before the last one may have cost is counted all the same.
        """
        *before, event = events
        covered = verdict.covered
        if covered is None:
            return
        if before:
            self._pipeline.settle(before, run=self._scope.run, step=self._scope.step)
        self.span.set_attributes(covered_attributes(covered))
        if event.error_type is not None:
            self.span.set_attribute(a.ERROR_TYPE, event.error_type)
            self.span.set_status(Status(StatusCode.ERROR, event.error_type))
        self._pipeline.join(event, covered, self._observer, differs=verdict.differs)

    def _describe(self, view: ResponseView, outcome: CallResult, events: list[UsageEvent]) -> dict[str, AttributeValue]:
        """Status and attempts on the span; what is known only now comes back as attributes."""
        span, attributes = self.span, dict[str, AttributeValue](self._content)
        if not span.is_recording():
            return attributes
        if events[-1].retry_of is not None:
            attributes[a.AICOST_RETRY_OF] = events[-1].retry_of
        if events[-1].fallback_of is not None:
            attributes[a.AICOST_FALLBACK_OF] = events[-1].fallback_of
        if self._scope.run is None:
            attributes[a.AICOST_RUN_ID] = attributes[a.AICOST_RUN_ROOT_ID] = self._run_id
            attributes[a.AICOST_RUN_IMPLICIT] = True
        if view.model is not None and self.target.described is None:
            attributes[a.GEN_AI_RESPONSE_MODEL] = view.model
        if outcome.error_type is not None and outcome.status is not RequestStatus.SUCCESS:
            span.set_status(Status(StatusCode.ERROR, outcome.error_type))
        if len(events) > 1 or outcome.error_type is not None:
            for event, attempt in zip(events, self._attempts, strict=True):
                span.add_event("aicost.attempt", _attempt_attributes(event, attempt), timestamp=event.ended_ns)
        return attributes

    def _event(
        self, number: int, attempt: _Attempt, view: ResponseView, outcome: CallResult, after: Failed | None = None
    ) -> UsageEvent:
        """The event of an attempt that came out so; `after` is the failed call that the application answers with it."""
        scope, target, reading, run_id = self._scope, self.target, view.reading, self._run_id
        run, step, context = scope.run, scope.step, self.span.get_span_context()
        same = after is not None and (after.provider, after.model) == (target.provider, target.model)
        # By position, in the order of the fields: with names it takes twice as long.
        return UsageEvent(
            attempt.event_id,
            target.provider,
            target.operation,
            view.model or target.model,
            None if reading is None else reading.usage,
            attempt.started_ns,
            attempt.ended_ns,
            target.model,
            view.response_id,
            target.api,
            view.service_tier,
            target.region if reading is None else reading.region or target.region,
            None if reading is None else reading.speed,
            outcome.status,
            outcome.chargeable,
            outcome.error_type,
            number,
            number - 1,
            attempt.backoff_ns,
            outcome.complete and (reading is None or reading.complete),
            outcome.estimated,
            () if reading is None else reading.flags,
            None if reading is None else reading.provider_cost,
            "USD",
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            run_id,
            run_id if run is None else run.root_id,
            None if run is None else run.workflow,
            None if step is None else step.name,
            None if step is None else step.id,
            scope.agent,
            after.event_id if after is not None and same else None,
            after.event_id if after is not None and not same else None,
            scope.attribution,
            attempt.origin,
        )

    def _new_id(self, started_ns: int, number: int) -> str:
        """Minted, unless it is somebody else's span that tells: that is the same event wherever it is read."""
        if not self._is_of_another:
            return new_event_id()
        context = self.span.get_span_context()
        return span_event_id(f"{context.trace_id:032x}", f"{context.span_id:016x}", started_ns, number)

    def _answers(self, before: Failed) -> Failed | None:
        """The failed call this one is made instead of, if it is of the same step of the same run."""
        _failed.set(None)
        scope, target = self._scope, self.target
        if before.linked:
            return before
        here = (scope.run.id if scope.run else None, scope.step.name if scope.step else None, target.operation)
        return before if (before.run_id, before.step, before.operation) == here else None

    def _implicit_run(self) -> str:
        trace_id = f"{self.span.get_span_context().trace_id:032x}"
        return new_id() if trace_id == _INVALID_TRACE else trace_id

    def _current(self) -> _Attempt:
        if not self._attempts:
            self.attempt_started()
        return self._attempts[-1]


def _failed_outcome(attempt: _Attempt) -> CallResult:
    """How an attempt came out that the client followed with another."""
    return CallResult(
        RequestStatus.RETRY,
        attempt.chargeable,
        attempt.error_type,
        complete=attempt.chargeable is not Chargeable.POSSIBLY,
    )


def _sound(target: Target) -> Target:
    """What is called, as every sink can hold it: names come from applications and over the wire."""
    said = "".join([target.provider, target.operation, target.api, target.model, target.region or ""])
    if wellformed(said) is not said:
        target = Target(*wellformed_values(target._asdict()).values())
    if target.described is not None:
        target = target._replace(described=wellformed_values(target.described))
    return target


def _sound_view(view: ResponseView) -> ResponseView:
    reading = view.reading
    said = [view.response_id or "", view.model or "", view.service_tier or ""]
    if reading is not None:
        said += [reading.region or "", reading.speed or "", *reading.flags, *reading.usage]
    whole = "".join(said)
    if wellformed(whole) is whole:
        return view
    if reading is not None:
        usage = {wellformed(meter): quantity for meter, quantity in reading.usage.items()}
        told = {**wellformed_values(reading._asdict()), "usage": usage}
        reading = Reading(**{**told, "flags": tuple(told["flags"])})
    return ResponseView(**{**wellformed_values(view._asdict()), "reading": reading})


def _sound_outcome(outcome: CallResult) -> CallResult:
    said = outcome.error_type
    return outcome if said is None or wellformed(said) is said else replace(outcome, error_type=wellformed(said))


def covered_attributes(covered: Covered) -> dict[str, AttributeValue]:
    """What the span of a covered view says."""
    said: dict[str, AttributeValue] = {a.AICOST_COVERED_REASON: covered.reason}
    if covered.by is not None:
        said[a.AICOST_COVERED_BY] = covered.by
    return said


def _attempt_attributes(event: UsageEvent, attempt: _Attempt) -> Mapping[str, Any]:
    attributes: dict[str, Any] = {
        a.AICOST_EVENT_ID: event.event_id,
        a.AICOST_REQUEST_ATTEMPT: event.attempt,
        a.AICOST_REQUEST_STATUS: event.status.value,
        a.AICOST_REQUEST_BILLED: event.chargeable.value,
    }
    if attempt.http_status is not None:
        attributes[a.HTTP_RESPONSE_STATUS_CODE] = attempt.http_status
    if event.error_type is not None:
        attributes[a.ERROR_TYPE] = event.error_type
    if event.backoff_ns:
        attributes[a.AICOST_REQUEST_BACKOFF] = event.backoff_ns / 1e9
    return attributes
