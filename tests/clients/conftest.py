"""Fixtures of the tests of clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from aicost.integrations._admission import use_gate

from .gates import Policy


@pytest.fixture
def gate() -> Iterator[Callable[..., Policy]]:
    def make(answer: BaseException | None = None) -> Policy:
        policy = Policy(answer)
        use_gate(policy)
        return policy

    yield make
    use_gate(None)
