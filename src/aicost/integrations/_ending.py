"""The end of a process: what is still open then is finished, with what is known of it.

A child of `multiprocessing` ends without `atexit`: it runs the finalizers of `multiprocessing.util`, having thrown away
those of its parent first, and leaves by `os._exit` (CPython 3.10 to 3.14, `process.py` and `popen_fork.py`).
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any

import wrapt

from ._sessions import end_sessions
from ._wire import drain_abandoned, end_open

_AFTER_JOINING_ITS_CHILDREN = -100


def end_calls() -> None:
    """Finish every stream and every turn that is still open."""
    end_open()
    end_sessions()
    drain_abandoned()


def at_end(finish: Callable[[], None]) -> None:
    """Do this when the process ends, and when a child of it does; however often it is asked for, once."""
    if finish in _asked_for:
        return
    _asked_for.append(finish)
    atexit.register(finish)

    def imported(util: Any) -> None:
        def again(_: object = None) -> None:
            util.Finalize(None, finish, exitpriority=_AFTER_JOINING_ITS_CHILDREN)

        again()
        util.register_after_fork(finish, again)

    # Only where it is used: it takes its time to import.
    wrapt.register_post_import_hook(imported, "multiprocessing.util")


_asked_for: list[Callable[[], None]] = []
