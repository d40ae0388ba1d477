"""Work that is asked for in one place and asked after in another: whose it is.

What it cost belongs to the run that asked for it, whoever fetches it. This process remembers that of what it asked for
itself; of what another asked for, the run that fetches it is as near as can be known.
"""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, get_current_span, set_span_in_context

from aicost import _forks
from aicost.scopes.scope import current_scope, with_scope
from aicost.telemetry.call import Target

REMEMBERED_JOBS = 10_000
"""Pieces of work that are waited for. Beyond that the oldest is forgotten."""


class Asked(NamedTuple):
    """Where a piece of work was asked for, and the event it is, where that is known here alone."""

    context: Context
    event_id: str | None


_asked: dict[tuple[str | None, int | None, str], Asked] = {}
_lock = _forks.lock()


def remember(target: Target, work: str, asking: Context, event_id: str | None = None) -> None:
    """The provider has begun what was asked for in this context, and calls it by that id."""
    # Of the context only what says whose it is: the rest may be large, and its views of the call are closed by then.
    span = NonRecordingSpan(get_current_span(asking).get_span_context())
    context = with_scope(current_scope(asking), set_span_in_context(span, Context()))
    with _lock:
        _asked[target.server_address, target.server_port, work] = Asked(context, event_id)
        if len(_asked) > REMEMBERED_JOBS:
            del _asked[next(iter(_asked))]


def asked(target: Target, work: str | None) -> Asked | None:
    """Where a piece of work was asked for; None if it was not in this process."""
    return None if work is None else _asked.get((target.server_address, target.server_port, work))
