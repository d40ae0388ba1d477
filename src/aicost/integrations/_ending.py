"""The end of a process, or a pause that may be one: what is open is finished, and all that is recorded is sent.

A process ends in three ways. By itself, and runs `atexit`. As a child of `multiprocessing`, without: it runs the
finalizers of `multiprocessing.util`, having thrown away those of its parent first, and leaves by `os._exit` (CPython
3.10 to 3.14, `process.py` and `popen_fork.py`). Or by a signal, and runs nothing (`_signals.py`).
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import partial
from typing import Any

import wrapt

from aicost import _signals
from aicost._in_time import in_time
from aicost.telemetry import guard, sdk_setup, state

from ._response_body import drain_abandoned, end_open
from ._sessions import end_sessions

_AFTER_JOINING_ITS_CHILDREN = -100

_is_asked_for = False


def end_calls() -> bool:
    """Finish every stream and every turn that is still open, with what is known of it."""
    try:
        end_open()
        end_sessions()
        drain_abandoned()
    except Exception as error:  # noqa: BLE001 - the process ends, whatever happens
        guard.failed("finish what was open at the end", error)
    return True


def flush(timeout_s: float) -> bool:
    """Write and export what is recorded. Returns whether all of it was done in time; the rest goes on."""
    drain_abandoned()
    return _with_everything(sdk_setup.export, timeout_s)


def shut_down(timeout_s: float) -> bool:
    """Finish what is open, send everything, and close what was set up. Returns whether that was done in time."""
    end_calls()
    done = _with_everything(sdk_setup.close, timeout_s)
    state.reset()
    return done


def finish_at_end() -> None:
    """Finish and send what there is when the process ends, and when a child of it does; once, however often asked."""
    global _is_asked_for
    _signals.finish_first(_at_signal)
    if _is_asked_for:
        return
    _is_asked_for = True
    atexit.register(_at_exit)

    def imported(util: Any) -> None:
        def again(_: object = None) -> None:
            util.Finalize(None, _at_exit, exitpriority=_AFTER_JOINING_ITS_CHILDREN)

        again()
        util.register_after_fork(finish_at_end, again)

    # Only where it is used: it takes its time to import.
    wrapt.register_post_import_hook(imported, "multiprocessing.util")


def _at_exit() -> None:
    shut_down(_signals.GRACE_S)


def _at_signal() -> bool:
    # The thread that the signal interrupted may be in the midst of a call, and hold a lock of it.
    in_time([end_calls], _signals.GRACE_S / 5, in_handler=True)
    return _with_everything(sdk_setup.export, _signals.GRACE_S / 2, in_handler=True)


def _with_everything(do: Callable[[object, float], bool], timeout_s: float, *, in_handler: bool = False) -> bool:
    current = state.current()
    if current is None:
        return True
    tasks: list[Callable[[], bool]] = [partial(do, each, timeout_s) for each in current.providers()]
    if current.ledger is not None:
        tasks.append(current.ledger.flush)
    return in_time(tasks, timeout_s, in_handler=in_handler)
