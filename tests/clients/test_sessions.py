"""Sessions over websockets: OpenAI's realtime API and Gemini's live API."""

from __future__ import annotations

import asyncio
import contextlib
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

connect = pytest.importorskip("websockets.asyncio.client").connect

import aicost
from aicost.testing import Drop, ProviderEmulator, Reply
from tests.conftest import App

from .doors import CLIENTS
from .test_conformance import assert_bill_is_matched, meters_of

pytestmark = pytest.mark.clients


def responses_module() -> Any:
    """The client's module of responses, or None where there is none."""
    if "openai" not in CLIENTS or find_spec("openai.resources.responses") is None:
        return None
    return import_module("openai.resources.responses.responses")


realtime = pytest.mark.skipif(
    "openai" not in CLIENTS or find_spec("openai.resources.realtime") is None, reason="no realtime client here"
)
live = pytest.mark.skipif("google-genai" not in CLIENTS, reason="no google-genai here")


def talk(emulator: ProviderEmulator, turns: int) -> None:
    import openai

    client = openai.OpenAI(api_key="x", websocket_base_url=f"{emulator.socket_url}/v1")
    with client.realtime.connect(model="gpt-realtime") as connection:
        for _ in range(turns):
            connection.response.create()
            for event in connection:
                if event.type == "response.done":
                    break


async def async_talk(emulator: ProviderEmulator) -> None:
    import openai

    client = openai.AsyncOpenAI(api_key="x", websocket_base_url=f"{emulator.socket_url}/v1")
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.response.create()
        async for event in connection:
            if event.type == "response.done":
                break


@realtime
def test_each_turn_of_a_realtime_session_is_a_call(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Reply(input_tokens=300, output_tokens=40), Reply(input_tokens=500, output_tokens=60))
    with aicost.run_scope("call") as current:
        talk(emulator, turns=2)
    assert [meters_of(found) for found in app.inferences] == [
        {"input_audio": 300, "output_audio": 40},
        {"input_audio": 500, "output_audio": 60},
    ]
    assert {found["gen_ai.request.model"] for found in app.inferences} == {"gpt-realtime"}
    assert current.cost == emulator.bill.total
    assert_bill_is_matched(app, emulator)


@realtime
def test_an_async_realtime_session_is_recorded_too(app: App, emulator: ProviderEmulator) -> None:
    asyncio.run(async_talk(emulator))
    assert app.inference["aicost.request.status"] == "success"
    assert_bill_is_matched(app, emulator)


@realtime
def test_a_realtime_turn_that_is_cut_is_possibly_billed(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Drop(bill=Reply(input_tokens=300, output_tokens=40)))
    talk(emulator, turns=1)
    found = app.inference
    assert (found["aicost.request.billed"], found["aicost.cost.status"]) == ("possibly", "unpriced")
    assert_bill_is_matched(app, emulator)


over_sockets = pytest.mark.skipif(
    "openai" not in CLIENTS or not hasattr(responses_module(), "ResponsesConnection"),
    reason="no responses over sockets here",
)


@over_sockets
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_responses_over_a_socket_are_calls(app: App, emulator: ProviderEmulator, cut: bool) -> None:
    import openai

    reply = Reply(input_tokens=300, cached_tokens=100, output_tokens=40)
    emulator.on().then(Drop(bill=reply) if cut else reply)
    client = openai.OpenAI(api_key="x", websocket_base_url=f"{emulator.socket_url}/v1")
    with contextlib.suppress(Exception), client.responses.connect(max_retries=0) as connection:
        connection.response.create(model="gpt-4o", input="x")
        for event in connection:
            if event.type == "response.completed":
                break
    found = app.inference
    assert found["gen_ai.request.model"] == "gpt-4o"
    assert found["aicost.request.billed"] == ("possibly" if cut else "yes")
    assert_bill_is_matched(app, emulator)


async def converse(emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
    from google import genai
    from google.genai import live, types

    client = genai.Client(api_key="x", http_options=types.HttpOptions(base_url="http://127.0.0.1"))
    # The client speaks TLS whatever it is told; the emulator does not.
    client._api_client._websocket_base_url = lambda *_: emulator.socket_url
    name = "ws_connect" if hasattr(live, "ws_connect") else "connect"
    monkeypatch.setattr(live, name, lambda url, **options: connect(url, **{**options, "ssl": None}))
    async with client.aio.live.connect(model="gemini-2.5-flash", config={"response_modalities": ["TEXT"]}) as session:
        for _ in range(turns):
            await session.send_client_content(
                turns=types.Content(role="user", parts=[types.Part(text="hi")]), turn_complete=True
            )
            async for _message in session.receive():
                pass


@live
def test_each_turn_of_a_live_session_is_a_call(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.on().then(Reply(input_tokens=300, output_tokens=40), Reply(input_tokens=500, output_tokens=60))
    with aicost.run_scope("call") as current:
        asyncio.run(converse(emulator, monkeypatch, turns=2))
    assert [meters_of(found) for found in app.inferences] == [
        {"input": 300, "output": 40},
        {"input": 500, "output": 60},
    ]
    assert {found["gen_ai.request.model"] for found in app.inferences} == {"gemini-2.5-flash"}
    assert current.cost == emulator.bill.total
    assert_bill_is_matched(app, emulator)


@live
def test_a_live_turn_that_is_cut_is_possibly_billed(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.on().then(Drop(bill=Reply(input_tokens=300, output_tokens=40)))
    with pytest.raises(Exception):
        asyncio.run(converse(emulator, monkeypatch, turns=1))
    found: dict[str, Any] = app.inference
    assert found["aicost.request.billed"] == "possibly"
    assert_bill_is_matched(app, emulator)
