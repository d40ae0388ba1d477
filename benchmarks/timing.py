"""Timing: medians of interleaved rounds, so that a noisy machine disturbs every variant alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

Work = Callable[[], object]


def microseconds(variants: dict[str, Work], *, rounds: int, calls: int) -> dict[str, float]:
    """CPU microseconds per call of each variant, by name."""
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for work in variants.values():
        work()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, work in variants.items():
                began = time.process_time_ns()
                for _ in range(calls):
                    work()
                taken[name].append((time.process_time_ns() - began) / calls / 1000)
            gc.collect()
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}
