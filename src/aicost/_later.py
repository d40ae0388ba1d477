"""What ends inside the garbage collector, and is finished outside of it.

A collection may begin at any allocation, and so under any lock that its thread holds: OpenTelemetry's, logging's, ours.
What is found then is ended there: its `__del__` runs, and so do the `finally` and the `with` blocks of generators and
coroutines that were left half-way. Whatever of ours takes a lock, writes, logs or calls the application back is handed
to a thread of its own instead. Handing over takes no lock either.
"""

from __future__ import annotations

import _thread
import gc
import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from . import _forks

_log = logging.getLogger("aicost")

_LINGERS_S = 1.0
"""How long the thread waits for more before it ends: an application that drops nothing has no thread of ours."""

_WAITS_S = 5.0
"""How long `drain` waits for what the thread is at."""

_collecting: int | None = None
"""The thread in which the collector runs."""


def _phase(phase: str, _: dict[str, Any]) -> None:
    global _collecting
    _collecting = _thread.get_ident() if phase == "start" else None


gc.callbacks.append(_phase)


def in_collector() -> bool:
    """Whether the garbage collector has called what runs here."""
    return _collecting is not None and _collecting == _thread.get_ident()


def later(finish: Callable[[], object]) -> None:
    """Have this done soon, in a thread of its own. Safe to call where a collector runs, and from `__del__`."""
    _finisher.take(finish)


def drain() -> None:
    """Do what is waiting now, and wait for what the thread is at."""
    _finisher.drain()


class Worker:
    """A thread that does what it is given, one after the other. There is one only while there is something to do."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[Callable[[], object]] = deque()
        self._news: SimpleQueue[None] = SimpleQueue()
        self._runs = False
        self._at_it = _forks.lock()

    def take(self, finish: Callable[[], object]) -> None:
        """Have this done soon. Takes no lock."""
        # SimpleQueue.put is documented as safe to call from a destructor. threading.Thread is not: `start` takes the
        # lock of the list of threads, and waits until the new one runs.
        self._waiting.append(finish)
        self._news.put(None)
        if not self._runs:
            self._runs = True
            try:
                _thread.start_new_thread(self._run, ())
            except RuntimeError:  # there can be no more threads, or the interpreter is going down: `drain` does it
                self._runs = False

    def drain(self) -> None:
        """Do what is waiting now, and wait for what the thread is at."""
        # The thread may be held up by what this one holds: then what is left is its to do.
        if not self._at_it.acquire(timeout=_WAITS_S):
            return
        try:
            while self._waiting:
                _do(self._waiting.popleft())
        finally:
            self._at_it.release()

    def _run(self) -> None:
        threading.current_thread().name = self._name
        while True:
            try:
                self._news.get(timeout=_LINGERS_S)
            except Empty:
                self._runs = False
                # What came in between found a thread still running, and began none.
                if self._news.empty() or self._runs:
                    return
                self._runs = True
                continue
            with self._at_it:
                while self._waiting:
                    _do(self._waiting.popleft())


def _do(finish: Callable[[], object]) -> None:
    try:
        finish()
    except Exception:  # noqa: BLE001 - what waits behind it is finished all the same
        _log.exception("aicost could not finish what was left half-way; the application goes on.")


_finisher = Worker("aicost-reaper")


def _in_child() -> None:
    """What was waiting when the process forked is its parent's to finish."""
    global _finisher, _collecting
    _finisher, _collecting = Worker("aicost-reaper"), None


_forks.in_child(_in_child)
