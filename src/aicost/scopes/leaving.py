"""Out of a context that was made current, however its block is left."""

from __future__ import annotations

import sys
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from aicost._later import in_collector

T = TypeVar("T")
_NONE = Context()


def leave(token: Token[Context], entered: Context) -> None:
    """Be where one was before `entered` was attached.

    A generator or a coroutine that is dropped is left wherever it is dropped: by the garbage collector, in another
    task or thread, inside of somebody else's scope. A web framework leaves the `with` block of a dependency in a copy
    of the context it was entered in. Then `entered` is taken away only where it is current. OpenTelemetry's `detach`,
    which logs what it cannot do, is not asked.
    """
    if not in_collector() and sys.exc_info()[0] is not GeneratorExit:
        try:
            token.var.reset(token)
        except ValueError:
            pass
        else:
            return
    if otel_context.get_current() is entered:
        before: Any = token.old_value
        otel_context.attach(_NONE if before is Token.MISSING else before)


def reset(variable: ContextVar[T], token: Token[T]) -> None:
    """What a variable was before it was set; nothing in a context that it was not set in."""
    try:
        variable.reset(token)
    except ValueError:  # the block is left in another task or thread, or by the garbage collector
        return
