"""Work that may hang, because a backend or a disk does, and must not hold up whoever asks for it."""

from __future__ import annotations

import _thread
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any


def in_time(tasks: Sequence[Callable[[], bool]], timeout_s: float, *, in_handler: bool = False) -> bool:
    """Do these beside each other. Returns whether all of them came back with True within the time.

    One that does not goes on in a thread of its own, which does not keep the process alive. They must not raise.
    Only when the interpreter ends, and starts no threads any more (CPython 3.12), are they done here and now. Say so
    where a signal is being handled: what gevent has put in the place of threads and locks cannot be used there.
    """
    start, allocate = _thread.start_new_thread, _thread.allocate_lock
    if in_handler:
        start, allocate = original("_thread", "start_new_thread"), original("_thread", "allocate_lock")
    deadline = time.monotonic() + timeout_s
    waiting = []
    results = []

    def run(task: Callable[[], bool], done: _thread.LockType) -> None:
        try:
            results.append(task())
        finally:
            done.release()

    for task in tasks:
        done = allocate()
        done.acquire()
        waiting.append(done)
        try:
            # By `threading` it would take a lock that a signal handler's own thread may hold already.
            start(run, (task, done))
        except RuntimeError:
            run(task, done)
    in_time = [done.acquire(timeout=max(0.0, deadline - time.monotonic())) for done in waiting]
    return all(in_time) and len(results) == len(tasks) and all(results)


def original(module: str, name: str) -> Any:
    """What Python itself has under that name, where gevent has put its own."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is None:
        return getattr(sys.modules[module], name)
    return gevent.get_original(module, name)
