"""Fixtures: backends and collectors that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .running import AsProcess, Backend, InProcess, settings


@pytest.fixture
def backend() -> Iterator[Backend]:
    """Where the collector sends to."""
    made = Backend()
    yield made
    made.close()


@pytest.fixture
def collector(backend: Backend) -> Iterator[Callable[..., InProcess]]:
    """Starts collectors in this process; what is given comes over the usual settings."""
    made: list[InProcess] = []

    def start(**more: Any) -> InProcess:
        made.append(InProcess(settings(backend, **more)))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def process(backend: Backend, tmp_path: Path) -> Iterator[Callable[..., AsProcess]]:
    """Starts collectors as processes of their own."""
    made: list[AsProcess] = []

    def start(**more: Any) -> AsProcess:
        made.append(AsProcess(settings(backend, **more), tmp_path))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)
