"""Admission: a policy may refuse a call before anything of it leaves, and nothing else of it may stop one."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

import pytest

openai = pytest.importorskip("openai")

from opentelemetry.instrumentation.utils import suppress_instrumentation

import aicost
from aicost.integrations._call_request import CallRequest
from aicost.testing import Fail, ProviderEmulator
from tests.conftest import App, run

from .doors import CLIENTS
from .doors import openai_doors as doors
from .doors.openai_doors import MODEL, connect, connect_async, said
from .test_sessions import over_sockets, realtime

pytestmark = [pytest.mark.clients, pytest.mark.skipif("openai" not in CLIENTS, reason="another client's turn")]


def _chat(emulator: ProviderEmulator) -> Any:
    return doors.chat(connect(emulator), "x")


def _stream(emulator: ProviderEmulator) -> Any:
    return list(doors.chat_stream(connect(emulator), "x"))


def _async_chat(emulator: ProviderEmulator) -> Any:
    return run(connect_async(emulator).chat.completions.create(model=MODEL, **said("x")))


def _suppressed(emulator: ProviderEmulator) -> Any:
    with suppress_instrumentation():
        return doors.chat(connect(emulator), "x")


def _batch(emulator: ProviderEmulator) -> Any:
    batches = connect(emulator).batches
    return batches.create(input_file_id="file-0", endpoint="/v1/chat/completions", completion_window="24h")


def _fine_tuning(emulator: ProviderEmulator) -> Any:
    return connect(emulator).fine_tuning.jobs.create(model="gpt-4o-2024-08-06", training_file="file-1")


def _video(emulator: ProviderEmulator) -> Any:
    return connect(emulator).videos.create(model="sora-2", prompt="x", seconds="8")


def _background(emulator: ProviderEmulator) -> Any:
    return connect(emulator).responses.create(model=MODEL, input="x", background=True)


def _realtime(emulator: ProviderEmulator) -> Any:
    client = openai.OpenAI(api_key="x", websocket_base_url=f"{emulator.socket_url}/v1")
    with client.realtime.connect(model=MODEL) as connection:
        connection.response.create()
        return next(event for event in connection if event.type == "response.done")


def _async_realtime(emulator: ProviderEmulator) -> Any:
    async def talk() -> Any:
        client = openai.AsyncOpenAI(api_key="x", websocket_base_url=f"{emulator.socket_url}/v1")
        async with client.realtime.connect(model=MODEL) as connection:
            await connection.response.create()
            return [
                event async for event in connection if event.type == "response.done" and not await connection.close()
            ]

    return run(talk())


def _raw_realtime(emulator: ProviderEmulator) -> Any:
    client = openai.OpenAI(api_key="x", websocket_base_url=f"{emulator.socket_url}/v1")
    with client.realtime.connect(model=MODEL) as connection:
        connection.send_raw('{"type": "response.create"}')
        return next(event for event in connection if event.type == "response.done")


def _response_socket(emulator: ProviderEmulator) -> Any:
    client = openai.OpenAI(api_key="x", websocket_base_url=f"{emulator.socket_url}/v1")
    with client.responses.connect(max_retries=0) as connection:
        connection.response.create(model=MODEL, input="x")
        return next(event for event in connection if event.type == "response.completed")


_HAS = doors._HAS
DOORS = [
    _chat,
    _async_chat,
    _suppressed,
    pytest.param(_stream, marks=pytest.mark.skipif(not _HAS["stream_options"], reason="not in this version")),
    _fine_tuning,
    pytest.param(_batch, marks=pytest.mark.skipif(not _HAS["batches"], reason="not in this version")),
    pytest.param(_background, marks=pytest.mark.skipif(not _HAS["background"], reason="not in this version")),
    pytest.param(
        _video, marks=pytest.mark.skipif(not hasattr(openai.resources, "Videos"), reason="not in this version")
    ),
    pytest.param(_realtime, marks=realtime),
    pytest.param(_async_realtime, marks=realtime),
    pytest.param(
        _raw_realtime,
        marks=[
            realtime,
            pytest.mark.skipif(find_spec("openai._websocket_connection") is None, reason="not in this version"),
        ],
    ),
    pytest.param(_response_socket, marks=over_sockets),
]


@pytest.mark.parametrize("door", DOORS)
def test_a_refused_call_never_leaves(app: App, emulator: ProviderEmulator, gate: Any, door: Any) -> None:
    policy = gate(aicost.CallRefused("not today"))
    with pytest.raises(aicost.CallRefused, match="not today"):
        door(emulator)
    assert emulator.requests == []
    assert emulator.bill.calls == ()
    assert app.spans == []
    assert len(policy.asked) == 1


@pytest.mark.parametrize("door", DOORS)
def test_an_admitted_call_is_asked_about_once_and_goes_on(
    app: App, emulator: ProviderEmulator, gate: Any, door: Any
) -> None:
    policy = gate()
    assert door(emulator)
    assert [call_request.target.provider for call_request in policy.asked] == ["openai"]
    assert policy.told == [["sent"]]
    assert emulator.bill.calls


@pytest.mark.provokes_own_failure
@pytest.mark.parametrize("door", DOORS)
def test_only_a_refusal_passes(app: App, emulator: ProviderEmulator, gate: Any, door: Any) -> None:
    gate(RuntimeError("the policy itself is broken"))
    assert door(emulator)
    assert emulator.bill.calls


@pytest.mark.parametrize("door", DOORS)
def test_nobody_is_asked_without_a_gate(app: App, emulator: ProviderEmulator, door: Any) -> None:
    assert door(emulator)
    jobs = door in (_suppressed, _batch, _fine_tuning, _video)
    assert len(app.inferences) == (0 if jobs else 1)


def test_what_fetches_what_was_paid_for_is_not_asked_about(app: App, emulator: ProviderEmulator, gate: Any) -> None:
    client = connect(emulator)
    job = client.fine_tuning.jobs.create(model="gpt-4o-2024-08-06", training_file="file-1")
    policy = gate(aicost.CallRefused("not today"))
    client.fine_tuning.jobs.retrieve(job.id)
    assert policy.asked == []


def test_all_attempts_of_a_call_are_one_admission(app: App, emulator: ProviderEmulator, gate: Any) -> None:
    policy = gate()
    emulator.on().then(Fail(status=429), Fail(status=500))
    doors.chat(connect(emulator, retries=3), "x")
    assert (len(emulator.requests), len(policy.asked), policy.told) == (3, 1, [["sent"]])


def test_a_call_inside_an_admitted_one_is_part_of_it(app: App, emulator: ProviderEmulator, gate: Any) -> None:
    class Nested(openai.OpenAI):  # type: ignore[misc,name-defined]
        def _prepare_options(self, options: Any) -> Any:
            if options.url == "/chat/completions" and not emulator.requests:
                doors.chat(connect(emulator), "a guard model asks first")
            return super()._prepare_options(options)

    policy = gate()
    for silent in (False, True):
        client = Nested(base_url=emulator.openai_base_url, api_key="x")
        with suppress_instrumentation() if silent else nullcontext():
            doors.chat(client, "x")
    assert len(policy.asked) == 2


@pytest.mark.parametrize("silent", [False, True])
def test_what_was_held_for_a_call_that_never_left_is_given_back(
    app: App, emulator: ProviderEmulator, gate: Any, silent: bool
) -> None:
    class Careful(openai.OpenAI):  # type: ignore[misc,name-defined]
        def _prepare_options(self, options: Any) -> Any:
            raise ValueError("not like this")

    policy = gate()
    client = Careful(base_url=emulator.openai_base_url, api_key="x", max_retries=0)
    with suppress_instrumentation() if silent else nullcontext(), pytest.raises(ValueError, match="not like this"):
        doors.chat(client, "x")
    assert policy.told == [["void"]]


@pytest.mark.parametrize("where", ["waiting", "before it leaves"])
def test_a_call_that_is_cancelled_gives_back(app: App, emulator: ProviderEmulator, gate: Any, where: str) -> None:
    class Slow(openai.AsyncOpenAI):  # type: ignore[misc,name-defined]
        async def _prepare_options(self, options: Any) -> Any:
            await asyncio.sleep(30)

    policy = gate()

    async def main() -> None:
        policy.waits = asyncio.Event()
        if where != "waiting":
            policy.waits.set()
        client = Slow(base_url=emulator.openai_base_url, api_key="x")
        call = asyncio.ensure_future(client.chat.completions.create(model=MODEL, **said("x")))
        await asyncio.sleep(0.2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    run(main())
    assert policy.told == [["void"]]
    assert emulator.requests == []


@realtime
def test_a_turn_that_begins_of_itself_is_asked_about_at_its_first_sound(
    app: App, emulator: ProviderEmulator, gate: Any
) -> None:
    policy = gate()
    client = openai.OpenAI(api_key="x", websocket_base_url=f"{emulator.socket_url}/v1")
    with client.realtime.connect(model="gpt-realtime") as connection:
        policy.answer = aicost.CallRefused("not today")
        with pytest.raises(aicost.CallRefused):
            connection.input_audio_buffer.append(audio="AAAA")
        policy.answer = None
        for _ in range(3):
            connection.input_audio_buffer.append(audio="AAAA")
        connection.response.create()
        assert next(event for event in connection if event.type == "response.done")
        connection.input_audio_buffer.append(audio="AAAA")
    assert len(policy.asked) == 3
    assert policy.told == [["sent"], ["sent"]]


def test_no_gate_costs_next_to_nothing() -> None:
    from aicost.integrations._admission import admit
    from aicost.telemetry.call import Target

    call_request = CallRequest(Target("openai", "chat", "chat", MODEL))
    began = time.perf_counter()
    for _ in range(10_000):
        admit(call_request)
    assert time.perf_counter() - began < 0.05
