"""Celery: who a task is for, and the run it belongs to, travel with its message. Read in Celery 5.7.

Sent are only the keys in `AICOST_BAGGAGE_KEYS`, in the message's headers; a broker keeps them as long as the message.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import aicost
from aicost.scopes import propagation
from aicost.scopes.frames import Frame
from aicost.scopes.scope import Entered, enter, with_scope
from aicost.scopes.tracking import open_run, open_step
from aicost.telemetry import guard

_UNDER_WAY = "_aicost_under_way"
_FAILED = frozenset(("FAILURE", "RETRY", "REJECTED", None))  # None: it was torn down by no Exception
_PATIENCE = 5.0
_UID = "aicost"


class TaskFailed(Exception):  # noqa: N818 - it is an error type in spans
    """A task failed, and Celery did not say how."""


class _UnderWay(NamedTuple):
    frame: Frame | None
    entered: Entered


def track_tasks() -> None:
    """Follow every task of this process, sent or executed; to be called where the Celery application is made.

    A task is a step of the run it was sent from, if `run_id` is among the keys that go along, and a run of its own
    otherwise: both are named after the task. One that raises, is rejected or asks to be retried has failed; so each
    retry is a step, or a run, of its own. Tasks executed eagerly are followed, too. What a child of a worker has
    recorded is written and exported before it ends.

    >>> app = Celery("app", broker="redis://")
    >>> aicost.init()
    >>> track_tasks()
    """
    from celery import signals

    signals.before_task_publish.connect(_sent, weak=False, dispatch_uid=_UID)
    signals.task_prerun.connect(_began, weak=False, dispatch_uid=_UID)
    signals.task_postrun.connect(_ended, weak=False, dispatch_uid=_UID)
    # A child of billiard's leaves by os._exit and runs nothing that was registered for the end of a process.
    signals.worker_process_shutdown.connect(_child_ends, weak=False, dispatch_uid=_UID)


def _sent(headers: Any = None, **_: Any) -> None:
    try:
        from celery import current_task

        # A retry has the headers that its task came with, and is as much or as little of a caller's run.
        request = getattr(current_task, "request", None)
        is_retry = bool(headers.get("retries")) and request is not None and headers.get("id") == request.id
        if not is_retry:
            propagation.inject(headers)
    except Exception as error:  # noqa: BLE001 - the task is sent all the same
        guard.failed("send the scope along with a task", error)


def _began(task: Any = None, **_: Any) -> None:
    try:
        scope, frame = propagation.received(task.request.headers), None
        context = with_scope(scope)
        if not task.name.startswith("celery."):  # its own chores, such as sending what waits for a chord
            frame = (open_run if scope.run is None else open_step)(task.name, parent=context)
            scope, context = frame.scope, frame.context
        setattr(task.request, _UNDER_WAY, _UnderWay(frame, enter(context, scope)))
    except Exception as error:  # noqa: BLE001 - the task comes first
        guard.failed("begin a task", error)


def _ended(task: Any = None, state: str | None = None, retval: Any = None, **_: Any) -> None:
    try:
        under_way = task.request.__dict__.pop(_UNDER_WAY, None)
        if under_way is None:
            return
        error = None
        if state in _FAILED:
            error = retval if isinstance(retval, BaseException) else sys.exc_info()[1] or TaskFailed()
        under_way.entered.leave()
        if under_way.frame is not None:
            under_way.frame.end(error)
    except Exception as own:  # noqa: BLE001 - the task comes first
        guard.failed("end a task", own)


def _child_ends(**_: Any) -> None:
    aicost.flush(timeout=_PATIENCE)
