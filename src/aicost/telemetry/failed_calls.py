"""Failed calls, and the calls that an application answers them with: its own retries and fallbacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from aicost.scopes.leaving import reset


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


def answered_by(run_id: str | None, step: str | None, operation: str) -> Failed | None:
    """The failed call that one made now is the answer to, if it is of the same step of the same run; it is taken."""
    before = _failed.get()
    if before is None:
        return None
    _failed.set(None)
    here = (run_id, step, operation)
    return before if before.linked or (before.run_id, before.step, before.operation) == here else None
