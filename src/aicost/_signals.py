"""Signals that end a process at once: what was recorded is sent first.

The default action of SIGTERM runs no `atexit`, and servers return to it when they have stopped: uvicorn (0.54,
`Server.capture_signals`) handles the signal while it serves, puts back what was there before, and raises it again. So
while aicost is set up, the *default action* of these signals is to finish first, and to die of it then. A handler of
the application's own is left in its place, and whoever asks for the handler is told of the default.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import wrapt

from ._in_time import in_time, original

GRACE_S = 5.0
"""How long a process lives on at most, to send what it has."""

_ENDING = tuple(
    number for name in ("SIGTERM", "SIGHUP", "SIGINT") if (number := getattr(signal, name, None)) is not None
)

_DYING_S = 0.2
"""How long it takes a signal that was sent to oneself to arrive, at most."""

_is_ending = False
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
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL and not _is_handled_in_c(number):
            # Only in the main thread; which one that is gevent's `threading` does not say in a handler.
            with suppress(ValueError):
                signal.signal(number, signal.SIG_DFL)


def _is_handled_in_c(number: int) -> bool:
    """Whether there is a handler that Python does not know of: `faulthandler.register` sets one."""
    if signal.getsignal(number) is signal.SIG_DFL and _real(number) is _on_signal:
        return False
    try:
        with open("/proc/self/status") as status:  # noqa: PTH123 - a hundred times as fast as the rest of this
            caught = next((line for line in status if line.startswith("SigCgt:")), "SigCgt: 0")
    except OSError:  # no Linux
        return False
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def _real(number: int) -> Any:
    return getattr(signal.getsignal, "__wrapped__", signal.getsignal)(number)


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
    global _is_ending
    if _is_ending:
        return  # it is on its way, and takes seconds at most
    finish, _is_ending = _finish, True
    try:
        # The main thread may hold any lock here, also one that starting a thread by `threading` takes.
        in_time([finish] if finish is not None else [], GRACE_S, in_handler=True)
    finally:
        # Also where another handler of the application's has raised meanwhile: it was told to end.
        leave()
        # To the process, not to this thread, which may have the signal blocked.
        os.kill(os.getpid(), number)
        original("time", "sleep")(_DYING_S)
        # Whoever is still there is the first process of a container, which no signal's default action ends.
        _is_ending = False
        if finish is not None:
            finish_first(finish)
