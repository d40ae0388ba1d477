"""Signals that end a process at once: what was recorded is sent first.

The default action of SIGTERM runs no `atexit`, and servers return to it when they have stopped: uvicorn (0.54,
`Server.capture_signals`) handles the signal while it serves, puts back what was there before, and raises it again. So
while aicost is set up, the *default action* of these signals is to finish first, and to die of it then. A handler of
the application's own is left in its place, and whoever asks for the handler is told of the default.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import wrapt

from ._in_time import in_time

GRACE_S = 5.0
"""How long a process lives on at most, to send what it has."""

_ENDING = tuple(
    number for name in ("SIGTERM", "SIGHUP", "SIGINT") if (number := getattr(signal, name, None)) is not None
)

_finish: Callable[[], bool] | None = None
_is_wrapped = False


def finish_first(finish: Callable[[], bool]) -> None:
    """Before a signal's default action ends the process, do this in another thread, for `GRACE_S` seconds at most.

    Called outside of the main thread, where Python sets no handlers, it takes effect when that one sets one.
    """
    global _finish, _is_wrapped
    _finish = finish
    if not _is_wrapped:
        _is_wrapped = True
        wrapt.wrap_function_wrapper("signal", "signal", _set)
        wrapt.wrap_function_wrapper("signal", "getsignal", _get)
    _set_defaults()


def leave() -> None:
    """Let the default action be what it was."""
    global _finish
    _finish = None
    _set_defaults()


def _set_defaults() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                with suppress(ValueError):  # the main thread of an interpreter inside another
                    signal.signal(number, signal.SIG_DFL)


def _set(wrapped: Callable[[int, Any], Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    def asked(signalnum: int, handler: Any) -> tuple[int, Any]:
        return signalnum, handler

    number, handler = asked(*args, **kwargs)
    if handler == signal.SIG_DFL and number in _ENDING and _finish is not None:
        handler = _on_signal
    return _as_seen(wrapped(number, handler))


def _get(wrapped: Callable[[int], Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _as_seen(wrapped(*args, **kwargs))


def _as_seen(handler: Any) -> Any:
    return signal.SIG_DFL if handler is _on_signal else handler


def _on_signal(number: int, _: FrameType | None) -> None:
    finish, pid = _finish, os.getpid()
    leave()  # the next one ends the process at once
    if finish is not None:
        # The main thread may hold any lock here, also one that starting a thread by `threading` takes.
        in_time([finish], GRACE_S)
    signal.raise_signal(number)
    # Whoever is still there is the first process of a container, which no signal's default action ends.
    if finish is not None and os.getpid() == pid:
        finish_first(finish)
