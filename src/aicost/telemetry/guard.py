"""The guard: what goes wrong inside aicost is counted, logged once, and never reaches the application."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial

from aicost import _forks
from aicost._later import in_collector, later

_log = logging.getLogger("aicost")
_lock = _forks.lock()
_errors: Counter[tuple[str, str]] = Counter()


def failed(where: str, error: Exception) -> None:
    """Count a failure of our own and log it, with its traceback, the first time it happens at this place."""
    if in_collector():  # logging takes locks
        later(partial(failed, where, error))
        return
    key = (where, type(error).__name__)
    with _lock:
        _errors[key] += 1
        first = _errors[key] == 1
    if first:
        _log.warning(
            "aicost could not %s (%s: %s); the application goes on. Further failures of this kind are only counted.",
            where,
            type(error).__name__,
            error,
            exc_info=error,
        )


def errors() -> dict[tuple[str, str], int]:
    """Failures so far by (what could not be done, error type)."""
    with _lock:
        return dict(_errors)


_forks.in_child(_errors.clear)
