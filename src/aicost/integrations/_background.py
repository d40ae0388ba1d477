"""Work that is asked for in one place and asked after in another: whose it is.

What it cost belongs to the run that asked for it, whoever fetches it. This process remembers that of what it asked for
itself; of what another asked for, the run that fetches it is as near as can be known.
"""

from __future__ import annotations

import threading

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, get_current_span, set_span_in_context

from aicost.scopes.scope import current_scope, with_scope
from aicost.telemetry.call import Target

REMEMBERED = 10_000
"""Pieces of work that are waited for. Beyond that the oldest is forgotten."""

_asked: dict[tuple[str | None, int | None, str], Context] = {}
_lock = threading.Lock()


def remember(target: Target, work: str, asking: Context) -> None:
    """The provider has begun what was asked for in this context, and calls it by that id."""
    # Of the context only what says whose it is: the rest may be large, and its views of the call are closed by then.
    span = NonRecordingSpan(get_current_span(asking).get_span_context())
    context = with_scope(current_scope(asking), set_span_in_context(span, Context()))
    with _lock:
        _asked[target.server_address, target.server_port, work] = context
        if len(_asked) > REMEMBERED:
            del _asked[next(iter(_asked))]


def asked_in(target: Target, work: str | None) -> Context | None:
    """Where a piece of work that is done was asked for, once; None if it was not in this process."""
    if work is None:
        return None
    with _lock:
        return _asked.pop((target.server_address, target.server_port, work), None)
