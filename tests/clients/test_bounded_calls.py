"""The most that a lost attempt can have cost, held against what the emulated provider billed for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

import aicost
from aicost._money import to_decimal
from aicost.telemetry import state
from aicost.testing import Drop, Hang, ProviderEmulator
from aicost.usage.event import Limits
from tests.conftest import App

from .doors import CLIENTS, DOORS
from .doors.door import NO_REASONING
from .test_limits import completion, message

WIRED = [(client, name) for client, name in (("openai", "chat"), ("anthropic", "messages")) if client in CLIENTS]

pytestmark = [pytest.mark.clients, pytest.mark.skipif(not WIRED, reason="another client's turn")]


class _Kept:
    """A store that keeps what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[aicost.UsageEvent, aicost.Charge]] = []

    def record(self, entries: Any, *, sightings: Any = (), replaces: Any = ()) -> None:
        self.entries += entries


@pytest.fixture
def kept(app: App) -> _Kept:
    """What the pipeline tells its store."""
    current = state.current()
    assert current is not None
    current.pipeline.store = store = _Kept()
    return store


def _door(client: str, name: str) -> Any:
    return next(door for door in DOORS if door.id == f"{client}-{name}")


def _ask(client: str, limit: int, **more: Any) -> Callable[[Any], Any]:
    return completion("gpt-4o", max_tokens=limit, **more) if client == "openai" else message(limit, **more)


@pytest.mark.parametrize(("client", "name"), WIRED)
def test_what_was_sent_with_a_lost_attempt_is_known_from_the_one_that_came_through(
    emulator: ProviderEmulator, kept: _Kept, client: str, name: str
) -> None:
    door = _door(client, name)
    emulator.on().then(Hang(bill=NO_REASONING), NO_REASONING)
    _ask(client, 100, timeout=0.5)(door.connect(emulator, retries=1))
    [(lost, lost_charge), (answered, charge)] = kept.entries
    assert lost.limits == Limits(100, 1200)
    assert answered.limits is None
    chargeable = emulator.bill.calls[0].amount
    assert lost_charge.atto is None
    assert lost_charge.at_most_atto is not None
    assert to_decimal(lost_charge.at_most_atto) >= chargeable
    assert charge.at_most_atto is None


@pytest.mark.parametrize(("client", "name"), WIRED)
@pytest.mark.parametrize("last", ["lost", "served otherwise"])
def test_without_an_answer_to_the_same_request_nobody_knows_what_was_sent(
    emulator: ProviderEmulator, kept: _Kept, client: str, name: str, last: str
) -> None:
    door = _door(client, name)
    reply = Hang() if last == "lost" else replace(NO_REASONING, service_tier="priority")
    emulator.on().then(Hang(), reply)
    with suppress(Exception):
        _ask(client, 100, timeout=0.5)(door.connect(emulator, retries=1))
    lost, charge = kept.entries[0]
    assert lost.limits == Limits(100)
    assert charge.at_most_atto is None


@pytest.mark.skipif("anthropic" not in CLIENTS, reason="its streams say first what was sent")
def test_a_stream_that_was_cut_costs_what_came_at_least_and_the_limit_at_most(
    emulator: ProviderEmulator, kept: _Kept
) -> None:
    emulator.on().then(Drop(after_chunks=3, bill=NO_REASONING))
    with suppress(Exception):
        list(_ask("anthropic", 100, stream=True)(_door("anthropic", "messages").connect(emulator, retries=0)))
    [(event, charge)] = kept.entries
    assert not event.complete
    assert event.limits == Limits(100)
    assert charge.atto is not None
    assert charge.at_most_atto is not None
    assert to_decimal(charge.atto) <= emulator.bill.calls[0].amount <= to_decimal(charge.at_most_atto)
