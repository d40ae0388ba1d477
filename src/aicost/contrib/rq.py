"""RQ: who a job is for, and the run it belongs to, travel with it in `job.meta`. Read in RQ 3.0.

Sent are only the keys in `AICOST_BAGGAGE_KEYS`. Jobs that were queued before are executed as they always were, and a
worker without this executes what is queued with it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from rq import Queue, Worker
from rq.job import Job
from rq.worker import SimpleWorker

import aicost
from aicost.scopes import propagation
from aicost.scopes.frames import Frame, inside
from aicost.scopes.scope import with_scope
from aicost.scopes.tracking import open_run, open_step
from aicost.telemetry import guard

_META = "aicost"
_PATIENCE = 5.0


class TrackedJob(Job):  # type: ignore[misc, unused-ignore]  # rq need not be installed where this is checked
    """A job that takes the scope in force along when it is made, and is executed in it.

    It is a step of the run it was queued from, if `run_id` is among the keys that go along, and a run of its own
    otherwise: both are named after its function. One that raises has failed; so each retry is a step, or a run, of its
    own.
    """

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Any:
        """A new job, as `Job.create` makes it."""
        job = super().create(*args, **kwargs)
        try:
            carrier: MutableMapping[str, Any] = {}
            propagation.inject(carrier)
            if carrier:
                job.meta = {**(job.meta or {}), _META: carrier}
        except Exception as error:  # noqa: BLE001 - the job is queued all the same
            guard.failed("send the scope along with a job", error)
        return job

    def perform(self) -> Any:
        """Execute the job, as a worker does."""
        frame = self._begin()
        if frame is None:
            return super().perform()
        with inside(frame):
            return super().perform()

    def _begin(self) -> Frame | None:
        try:
            carrier = (self.meta or {}).get(_META)
            scope = propagation.received(carrier if isinstance(carrier, dict) else None)
            opening = open_run if scope.run is None else open_step
            return opening(self.func_name or "job", parent=with_scope(scope))
        except Exception as error:  # noqa: BLE001 - the job comes first
            guard.failed("begin a job", error)
            return None


class TrackedQueue(Queue):  # type: ignore[misc, unused-ignore]
    """A queue whose jobs take the scope in force along.

    >>> TrackedQueue(connection=Redis()).enqueue(summarize, document)
    """

    job_class = TrackedJob


class _Tracking:
    """What the workers have in common: jobs that are not of a class of the user's own are tracked ones."""

    job_class: Any = TrackedJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.job_class is Job:  # which is what RQ's command line asks for by default
            self.job_class = TrackedJob


class TrackedWorker(_Tracking, Worker):  # type: ignore[misc, unused-ignore]
    """A worker that forks for each job: `rq worker --worker-class aicost.contrib.rq.TrackedWorker`."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        """Execute a job in the forked child, which leaves by os._exit: what it recorded is written before that."""
        try:
            return bool(super().perform_job(*args, **kwargs))
        finally:
            aicost.flush(timeout=_PATIENCE)


class TrackedSimpleWorker(_Tracking, SimpleWorker):  # type: ignore[misc, unused-ignore]
    """A worker that executes jobs in its own process."""
