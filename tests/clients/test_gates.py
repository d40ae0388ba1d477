"""A gate before every door of every client: calls, contexts, generators and sessions, sync and async."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import aicost
from aicost.testing import ProviderEmulator
from tests.conftest import App

from .doors import DOORS
from .test_sessions import converse, live

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.id)
def test_a_refusal_passes_every_door_and_nothing_leaves(
    app: App, emulator: ProviderEmulator, gate: Any, door: Any
) -> None:
    gate(aicost.CallRefused("not today"))
    client = door.connect(emulator)
    with pytest.raises(Exception, match="not today") as refused:
        door.knock(client)
    # litellm makes an error of its own of whatever is raised below it.
    assert isinstance(refused.value, aicost.CallRefused) or door.client == "litellm"
    assert emulator.requests == []
    assert app.inferences == []


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.id)
def test_every_door_is_asked_about_once(app: App, emulator: ProviderEmulator, gate: Any, door: Any) -> None:
    policy = gate()
    emulator.on().then(door.reply)
    door.knock(door.connect(emulator))
    assert [call_request.target.model for call_request in policy.asked] == [app.inference["gen_ai.request.model"]]
    assert policy.told == [["sent"]]


@live
@pytest.mark.parametrize("refuses", [False, True])
def test_a_turn_of_a_live_session_is_asked_about(
    app: App, emulator: ProviderEmulator, gate: Any, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    policy = gate(aicost.CallRefused("not today") if refuses else None)
    if refuses:
        with pytest.raises(aicost.CallRefused):
            asyncio.run(converse(emulator, monkeypatch, turns=2))
        assert emulator.bill.calls == ()
        return
    asyncio.run(converse(emulator, monkeypatch, turns=2))
    assert [call_request.target.model for call_request in policy.asked] == ["gemini-2.5-flash"] * 2
    assert policy.told == [["sent"]] * 2
