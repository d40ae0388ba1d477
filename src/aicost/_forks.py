"""What a forked child begins anew: every lock of ours, and whatever else is its parent's.

Only the thread that forks is in the child, so a lock that another one held is held there for ever. Each lock of ours
comes from `lock()`, and all of them are free again before anything else of ours runs in the child.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

_locks: set[weakref.ref[Any]] = set()
_before: list[Callable[[], None]] = []
_in_parent: list[Callable[[], None]] = []
_begin_anew: list[Callable[[], None]] = []

_is_awaited = False

generation = 0
"""How many forks this process is away from the one that was started. What is of another is its parent's to end."""


def lock() -> threading.RLock:
    """A lock that is free in a forked child, unless the thread that forks holds it: it goes on there, and lets go.

    It can be taken again by who has it: a signal handler of the application's may call us in the midst of a call.
    """
    made = threading.RLock()
    _locks.add(weakref.ref(made, _locks.discard))
    return made


def free(held: Any) -> None:
    """Free a lock that a thread which is not in this child may have held."""
    # What the standard library does with its own (`threading._after_fork`, CPython 3.10 to 3.14): in place, so that
    # whoever has a reference to it has the new one.
    if not getattr(held, "_is_owned", bool)():
        held._at_fork_reinit()


def in_child(begin_anew: Callable[[], None]) -> None:
    """Do this in every forked child, once the locks are free; in the order asked for. It must not raise."""
    _begin_anew.append(begin_anew)


def around(before: Callable[[], None], in_parent: Callable[[], None]) -> None:
    """Do this before every fork, and that after it in the parent. They must not raise."""
    _before.append(before)
    _in_parent.append(in_parent)


def is_awaited() -> bool:
    """Whether a thread is about to fork, and waits for others to let go."""
    return _is_awaited


def await_others(waits: bool) -> None:
    """Note whether a thread is about to fork."""
    global _is_awaited
    _is_awaited = waits


def _do_before() -> None:
    for do in reversed(_before):
        do()


def _do_in_parent() -> None:
    for do in _in_parent:
        do()


def _do_in_child() -> None:
    global generation
    generation += 1
    for reference in list(_locks):
        held = reference()
        if held is not None:
            free(held)
    for begin_anew in _begin_anew:
        begin_anew()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_do_before, after_in_parent=_do_in_parent, after_in_child=_do_in_child)
