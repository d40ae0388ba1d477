"""What of a framework is under way: its workflows, agents, steps and tools, by the ids that it gives them itself.

A framework tells of a start and an end, not always in the same thread, and says which is whose part. So the parent of
everything is explicit here, and what is asked of a model is a view of a call, counted only if nobody nearer does.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Literal

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from aicost.scopes.frames import Frame
from aicost.scopes.runs import StepKind
from aicost.scopes.scope import current_scope
from aicost.scopes.tracking import open_run, open_step
from aicost.telemetry import guard
from aicost.telemetry.call import Call, CallResult, Failed, Target, answer_next, answers
from aicost.telemetry.state import Source
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.readers import ResponseView

from ._failures import chargeable_unseen, status_of, was_timeout

ActivityKind = Literal["workflow", "agent", "step", "tool", "part"]
"""A `part` is one of the framework's own joints: it has no span, and what is in it belongs to what is around it."""

_KINDS = {"agent": StepKind.AGENT, "step": StepKind.STEP, "tool": StepKind.TOOL}
_NOTHING: Mapping[str, Any] = {}

_TRYING = otel_context.create_key("aicost-trying")

MAX_OPEN = 10_000
"""Activities kept open. Beyond that the oldest is ended: a framework that loses its ends must not fill the memory."""


def open_frames(
    kind: ActivityKind,
    name: str,
    context: Context | None = None,
    *,
    run_id: str | None = None,
    attributes: Mapping[str, Any] = _NOTHING,
) -> list[Frame]:
    """What begins, from the outside in: a run for a workflow or agent that is in none, and a step."""
    frames = []
    if kind in ("workflow", "agent") and current_scope(context).run is None:
        own_attributes = attributes if kind == "workflow" else _NOTHING
        frames.append(open_run(name, run_id=run_id, parent=context, attributes=own_attributes))
        context = frames[-1].context
    if kind != "workflow" or not frames:
        frames.append(open_step(name, _KINDS.get(kind, StepKind.STEP), parent=context, attributes=attributes))
    return frames


class Activity:
    """One activity, while it is open."""

    __slots__ = ("after", "call", "context", "ended", "failed", "frames", "parent", "previous", "tried_in")

    def __init__(self, parent: Activity | None, context: Context, frames: list[Frame]) -> None:
        self.parent = parent
        self.context = context
        """What is current while its body runs."""
        self.frames = frames
        self.tried_in: Activity | None = parent
        """What tries another way when it fails."""
        self.failed: Failed | None = None
        """The call that failed in it last."""
        self.after: Failed | None = None
        """The failed call that the first call in it answers."""
        self.call: Call | None = None
        self.ended = False
        self.previous: tuple[Context, Activity | None] | None = None
        """Where one was before `enter`."""


class Activities:
    """The open activities of one framework. Its methods never raise."""

    def __init__(self, source: Source, observer: str) -> None:
        self._source = source
        self._observer = observer
        self._open: dict[Hashable, Activity] = {}

    def get(self, key: Hashable) -> Activity | None:
        """The open activity of that id."""
        return self._open.get(key)

    def begin(
        self,
        key: Hashable,
        kind: ActivityKind,
        name: str,
        *,
        parent: Hashable = None,
        run_id: str | None = None,
        tries: bool = False,
        again: bool = False,
        attributes: Mapping[str, Any] = _NOTHING,
    ) -> Activity | None:
        """An activity begins. A workflow or agent outside of any run is a run of its own.

        One that `tries` has parts that are tried one after the other, each because the one before failed. One that
        is done `again` answers the failure of what its parent did before.
        """
        try:
            outer = self._open.get(parent)
            context = outer.context if outer is not None else otel_context.get_current()
            frames = [] if kind == "part" else open_frames(kind, name, context, run_id=run_id, attributes=attributes)
            activity = Activity(outer, frames[-1].context if frames else context, frames)
            if tries:
                activity.context = otel_context.set_value(_TRYING, activity, activity.context)
            _link(activity, again=again)
            self._keep(key, activity)
            return activity
        except Exception as error:  # noqa: BLE001 - the framework's work comes first
            guard.failed("begin an activity", error)
            return None

    def end(self, key: Hashable, error: BaseException | None = None) -> None:
        """An activity ended, with an error if it failed."""
        activity = self._open.pop(key, None)
        if activity is None:
            return
        try:
            leave(activity)
            if activity.call is not None:  # it was given up before its answer was told
                activity.call.finish(None, CallResult(chargeable=Chargeable.POSSIBLY, complete=False))
            if error is not None and activity.tried_in is not None and activity.failed is not None:
                activity.tried_in.failed = activity.failed
            for frame in reversed(activity.frames):
                frame.end(error)
        except Exception as failure:  # noqa: BLE001 - the framework's work comes first
            guard.failed("end an activity", failure)

    def ask(
        self,
        key: Hashable,
        target: Target,
        *,
        parent: Hashable = None,
        again: bool = False,
        started_ns: int | None = None,
    ) -> Activity | None:
        """A model is asked. The view is not current until `enter`."""
        try:
            outer = self._open.get(parent)
            context = outer.context if outer is not None else otel_context.get_current()
            activity = Activity(outer, context, [])
            _link(activity, again=again)
            with answers(activity.after):
                call = Call(self._source(), target, observer=self._observer, parent=context)
            call.attempt_started(started_ns)
            activity.call, activity.context = call, call.context
            self._keep(key, activity)
            return activity
        except Exception as error:  # noqa: BLE001 - the framework's work comes first
            guard.failed("open a view of a call", error)
            return None

    def answered(self, key: Hashable, view: ResponseView | None, *, asked_nobody: bool = False) -> None:
        """The model answered, as the framework tells it; or nobody was asked, because a cache had the answer."""
        activity = self._open.pop(key, None)
        if activity is None or activity.call is None:
            return
        leave(activity)
        if asked_nobody:
            activity.call.drop("cache")
        else:
            activity.call.finish(view, CallResult(complete=view is not None and view.reading is not None))

    def refused(self, key: Hashable, error: BaseException, view: ResponseView | None = None) -> None:
        """The call failed, or was stopped."""
        activity = self._open.pop(key, None)
        if activity is None or activity.call is None:
            return
        leave(activity)
        if isinstance(error, GeneratorExit):  # the application has had enough of a stream
            activity.call.finish(view, CallResult(chargeable=_chargeable(view, Chargeable.POSSIBLY), complete=False))
            return
        try:
            error_type, unseen = chargeable_unseen(error)
            chargeable = _chargeable(view, unseen)
            status = RequestStatus.TIMEOUT if was_timeout(error) else RequestStatus.FAILURE
            complete = chargeable is Chargeable.NO
            activity.call.finish(view, CallResult(status, chargeable, error_type, status_of(error), complete=complete))
            if activity.tried_in is not None:
                activity.tried_in.failed = activity.call.failure()
        except Exception as failure:  # noqa: BLE001 - the framework's work comes first
            guard.failed("close a view of a call", failure)

    def _keep(self, key: Hashable, activity: Activity) -> None:
        self._open[key] = activity
        if len(self._open) > MAX_OPEN:
            # Without a lock: a collector may run in the midst of this, and begin something itself.
            with suppress(RuntimeError):  # another thread began or ended one just now
                self.end(next(iter(self._open)))


_here: ContextVar[Activity | None] = ContextVar("aicost_activity", default=None)


def enter(activity: Activity | None) -> None:
    """Be in the activity's context, until `leave`; for callbacks that run where the body will."""
    if activity is None:
        return
    _step_out()
    activity.previous = (otel_context.get_current(), _here.get())
    otel_context.attach(activity.context)
    _here.set(activity)
    if activity.after is not None:
        answer_next(activity.after)


def leave(activity: Activity) -> None:
    """Be where one was before `enter`.

    In another thread or task there is nothing to leave. Where somebody else has made a context of theirs current on
    top, ours goes when theirs has gone.
    """
    activity.ended = True
    _step_out()


def _step_out() -> None:
    """Out of all activities that have ended and whose context is the current one."""
    here = _here.get()
    while here is not None and here.ended and here.previous is not None:
        context, outer = here.previous
        if otel_context.get_current() is not here.context:
            return
        otel_context.attach(context)
        _here.set(outer)
        here = outer


def _link(activity: Activity, *, again: bool) -> None:
    """Find the failed call that the first call in an activity answers; each is answered once."""
    outer, trying = activity.parent, otel_context.get_value(_TRYING)
    if isinstance(trying, Activity) and outer in (trying, trying.parent):
        activity.tried_in, again = trying, True
    tried_in = activity.tried_in
    if again and tried_in is not None and tried_in.failed is not None:
        activity.after, tried_in.failed = tried_in.failed, None
    elif outer is not None and outer.after is not None:
        activity.after, outer.after = outer.after, None


def _chargeable(view: ResponseView | None, otherwise: Chargeable) -> Chargeable:
    return Chargeable.YES if view is not None and view.reading is not None else otherwise
