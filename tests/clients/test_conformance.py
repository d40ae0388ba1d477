"""Conformance: every door of every client gives the same complete event, and the ledger equals the provider's bill."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import importlib
import inspect
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

import aicost
from aicost import integrations
from aicost.integrations._response_body import end_open
from aicost.testing import Drop, Fail, Hang, ProviderEmulator, Reply, Stall
from tests.conftest import App

from .doors import DOORS
from .doors.door import Door, aclose, close

pytestmark = pytest.mark.clients


def rows(doors: list[Door]) -> Any:
    """Parametrize over doors; none for clients that are not installed."""
    return pytest.mark.parametrize("door", doors, ids=[door.id for door in doors])


STREAMS = [door for door in DOORS if door.kind != "plain"]
every_door = rows(DOORS)
every_stream = rows(STREAMS)
every_retrying_door = rows([door for door in DOORS if door.retries])
each_kind = list({(d.client, d.is_async, d.kind): d for d in reversed(DOORS)}.values())
each_client_once = rows(each_kind)


def assert_bill_is_matched(app: App, emulator: ProviderEmulator) -> None:
    bill = emulator.bill
    assert app.ledger_total() + bill.unseen == bill.total


def meters_of(found: dict[str, Any]) -> dict[str, int]:
    """What was used, but for the seconds that a machine took, which are on no bill."""
    meters = {k.rpartition(".")[2]: v for k, v in found.items() if k.startswith("aicost.usage.meter.")}
    meters.pop("compute_seconds", None)
    return meters


@every_door
def test_a_call_is_one_event_with_its_whole_usage(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(door.reply)
    with aicost.run_scope("w", tenant_id="t-1") as current, aicost.track_step("s"):
        door.knock(door.connect(emulator))
    found = app.inference
    (billed,) = emulator.bill.calls
    assert found["gen_ai.request.model"] == found.get("gen_ai.response.model", door.model) == door.model
    assert found["gen_ai.operation.name"] == door.operation
    meters, expected = meters_of(found), dict(billed.usage)
    if (door.silent_reasoning and door.kind == "plain") or "output_reasoning" not in meters:
        expected["output"] = expected.get("output", 0) + expected.pop("output_reasoning", 0)
        meters["output"] = meters.get("output", 0) + meters.pop("output_reasoning", 0)
    if "input_cache_write" in meters:
        expected["input_cache_write"] = expected.pop("input_cache_write_5m", 0)
    assert {m: n for m, n in meters.items() if n} == {m: n for m, n in expected.items() if n}
    if door.response_id:
        assert found["gen_ai.response.id"] == billed.call_id
    assert (found["aicost.request.status"], found["aicost.request.retry_count"]) == ("success", 0)
    assert (found["aicost.tenant.id"], found["aicost.step.name"], found["aicost.run.id"]) == ("t-1", "s", current.id)
    assert current.calls == 1
    if door.priced:
        assert Decimal(found["aicost.cost.amount_exact"]) == billed.amount == current.cost
        assert_bill_is_matched(app, emulator)
    else:
        assert found["aicost.cost.reason"].startswith("unknown_model")


@every_door
@pytest.mark.parametrize("alike", [True, False], ids=["equal counts", "other counts"])
def test_answers_that_share_an_id_are_as_many_calls(
    door: Door, alike: bool, app: App, emulator: ProviderEmulator
) -> None:
    """Some servers draw ids from a few, take the second, or repeat one."""
    for n in range(3):
        emulator.on().then(
            replace(
                door.reply,
                response_id="chatcmpl-1",
                text=f'{{"text": "answer {n}"}}',
                input_tokens=1200 if alike else 1200 + 100 * n,
            )
        )
    with aicost.run_scope("w") as current:
        for n in range(3):
            door.knock(door.connect(emulator), f"ask {n}")
    assert current.calls == len(app.inferences) == len(emulator.bill.calls) == 3
    assert len({charge.event_id for charge in app.charges()}) == 3
    if door.priced:
        assert current.cost == app.ledger_total()
        assert_bill_is_matched(app, emulator)


@every_retrying_door
def test_rate_limits_are_retries_of_one_call(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Fail(status=429), Fail(status=429), door.reply)
    with aicost.run_scope("w") as current:
        door.knock(door.connect(emulator))
    (span,) = (s for s in app.spans if "aicost.cost.status" in (s.attributes or {}))
    attributes = dict(span.attributes or {})
    assert (attributes["aicost.request.retry_count"], attributes["http.request.resend_count"]) == (2, 2)
    attempts = [dict(e.attributes or {}) for e in span.events if e.name == "aicost.attempt"]
    assert [a["aicost.request.status"] for a in attempts] == ["retry", "retry", "success"]
    assert [a.get("http.response.status_code") for a in attempts[:2]] == [429, 429]
    assert all(a["aicost.request.backoff"] > 0 for a in attempts[:2])
    assert (current.calls, current.attempts, current.retries) == (1, 3, 2)
    assert_bill_is_matched(app, emulator)


@every_door
def test_giving_up_costs_nothing_and_is_said(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(*[Fail(status=429)] * 3)
    counts = door.client in {"openai", "anthropic", "groq", "together", "cohere", "boto3"}  # others go by time
    with pytest.raises(Exception):
        door.knock(door.connect(emulator, retries=2 if door.retries and counts else 0))
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("failure", "no")
    assert (found["error.type"], found["aicost.cost.amount_exact"]) == ("429", "0")
    assert app.ledger_total() == emulator.bill.total == 0


@rows([door for door in DOORS if not door.own_timeout])
def test_a_timeout_after_the_work_was_done_is_possibly_billed(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Hang(bill=door.reply))
    with aicost.run_scope("w") as current, pytest.raises(Exception):
        door.knock(door.connect(emulator, timeout=0.3, retries=0))
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("timeout", "possibly")
    assert (found["aicost.cost.status"], found["aicost.cost.reason"]) == ("unpriced", "usage_not_received")
    assert "aicost.cost.amount" not in found
    assert current.possibly_billed == 1
    assert_bill_is_matched(app, emulator)


@each_client_once
def test_a_connection_never_made_is_not_billed(door: Door, app: App) -> None:
    with ProviderEmulator() as gone:
        client = door.connect(gone, retries=0)
    with pytest.raises(Exception):
        door.knock(client)
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("failure", "no")


@rows([door for door in DOORS if door.kind == "plain" and not door.own_timeout])
def test_a_connection_dropped_in_the_answer_is_possibly_billed(
    door: Door, app: App, emulator: ProviderEmulator
) -> None:
    emulator.on().then(Drop(bill=door.reply, after_chunks=2))
    with pytest.raises(Exception):
        door.knock(door.connect(emulator, retries=0))
    found = app.inference
    counted = emulator.bill.calls[0].delivered is not None  # the headers had the counts
    assert found["aicost.request.billed"] == ("yes" if counted else "possibly")
    assert found["aicost.request.status"] == "failure" or door.client == "litellm"  # its transport does not notice
    assert_bill_is_matched(app, emulator)


@every_stream
def test_a_stream_cut_by_the_network_keeps_what_is_known(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Drop(after_chunks=4 if "images" not in door.id else 1, bill=door.reply))
    with contextlib.suppress(Exception):  # most clients raise; some take it for the end
        door.knock(door.connect(emulator, retries=0))
    found = app.inference
    assert found["aicost.request.billed"] == "possibly"
    assert found["aicost.request.status"] == "failure"
    assert ("aicost.cost.amount" in found) == door.partial
    assert_bill_is_matched(app, emulator)


def leave_unread(door: Door, client: Any) -> None:
    stream = door.open(client, "x")
    del stream


def leave_break(door: Door, client: Any) -> None:
    opened = door.open(client, "x")
    with opened if door.kind == "manager" else contextlib.nullcontext(opened) as stream:
        for _ in stream:
            break


def leave_close(door: Door, client: Any) -> None:
    opened = door.open(client, "x")
    with opened if door.kind == "manager" else contextlib.nullcontext(opened) as stream:
        next(iter(stream))
        close(stream)


def leave_raising(door: Door, client: Any) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        opened = door.open(client, "x")
        with opened if door.kind == "manager" else contextlib.nullcontext(opened) as stream:
            for _ in stream:
                raise KeyboardInterrupt


async def aleave_break(door: Door, client: Any) -> None:
    opened = await door.open(client, "x")
    async with opened if door.kind == "manager" else contextlib.nullcontext(opened) as stream:
        async for _ in stream:
            break
        await aclose(stream)


async def aleave_cancelled(door: Door, client: Any) -> None:
    async def read() -> None:
        opened = await door.open(client, "x")
        async with opened if door.kind == "manager" else contextlib.nullcontext(opened) as stream:
            async for _ in stream:
                started.set()

    started = asyncio.Event()
    task = asyncio.create_task(read())
    await asyncio.wait_for(started.wait(), 5)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


LEAVING = [
    pytest.param(door, leave, id=f"{door.id}-{leave.__name__}")
    for door in STREAMS
    for leave in ((aleave_break, aleave_cancelled) if door.is_async else (
        leave_unread, leave_break, leave_close, leave_raising))
    if "images" not in door.id
]  # fmt: skip


@pytest.mark.parametrize(("door", "leave"), LEAVING)
def test_a_stream_left_early_ends_and_keeps_what_is_known(
    door: Door, leave: Any, app: App, emulator: ProviderEmulator
) -> None:
    emulator.on().then(Stall(after_chunks=4, reply=door.reply))
    client = door.connect(emulator, retries=0)
    if door.is_async:
        asyncio.run(leave(door, client))
    else:
        leave(door, client)
    del client
    gc.collect()
    if door.keeps_streams:
        end_open()  # as at the end of the process
    if not emulator.requests:
        assert leave is leave_unread
        assert app.inferences == []
        return
    # What was sent and never read by the application is not known here.
    assert app.ledger_total() <= emulator.bill.delivered
    found = app.inference
    assert found["aicost.request.billed"] == "possibly"
    if leave is aleave_cancelled:
        assert (found["aicost.request.status"], found["error.type"]) == ("failure", "CancelledError")
    else:
        assert found["aicost.request.status"] == "success"
    if leave is not leave_unread:
        assert ("aicost.cost.amount" in found) == door.partial


@rows([door for door in DOORS if door.is_async and door.kind == "plain"])
def test_a_cancelled_request_is_possibly_billed(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Hang(bill=door.reply))

    async def main() -> None:
        client = door.connect(emulator, retries=0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(door.open(client, "x"), 0.4)

    asyncio.run(main())
    found = app.inference
    assert (found["aicost.request.billed"], found["error.type"]) == ("possibly", "CancelledError")
    assert_bill_is_matched(app, emulator)


@rows([door for door in each_kind if door.client != "boto3"])  # Bedrock does not compress
def test_compressed_answers_are_read(door: Door, app: App) -> None:
    with ProviderEmulator(content_coding="gzip") as emulator:
        emulator.on().then(door.reply)
        door.knock(door.connect(emulator))
        assert meters_of(app.inference)
        if door.priced:
            assert_bill_is_matched(app, emulator)


TRICKY = (
    'He said "usage":{"x":1} and data: [DONE] then\n\nevent: message_stop\n\n'
    'data: [DONE]\n\n {"error": {"type": "no"}} {"done":true} stream-end '
)


@rows([door for door in STREAMS if door.operation in {"chat", "text_completion", "generate_content"}])
def test_what_a_model_says_is_not_taken_for_the_protocol(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Reply(text=TRICKY * 3, input_tokens=1200, output_tokens=80, chunks=20))
    door.knock(door.connect(emulator))
    found = app.inference
    assert found["aicost.request.status"] == "success"
    assert meters_of(found)
    if door.priced:
        assert_bill_is_matched(app, emulator)


@rows([door for door in STREAMS if not door.own_timeout])
def test_a_read_timeout_in_mid_stream_is_a_timeout(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Stall(after_chunks=1 if "images" in door.id else 4, reply=door.reply))
    with contextlib.suppress(Exception):  # most clients raise; some take it for the end
        door.knock(door.connect(emulator, timeout=0.4, retries=0))
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("timeout", "possibly")
    assert app.ledger_total() <= emulator.bill.delivered


@each_client_once
def test_nothing_secret_leaves_the_process(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Reply(text="the secret answer", input_tokens=1, output_tokens=1))
    door.knock(door.connect(emulator, api_key="sk-the-secret-key"), "the secret question")
    assert app.spans
    assert "secret" not in "".join(span.to_json() for span in app.spans)
    for request in emulator.requests:
        assert not {"traceparent", "tracestate", "baggage"} & request.headers.keys()


@each_client_once
def test_the_request_is_what_it_would_be_without(door: Door, app: App, emulator: ProviderEmulator) -> None:
    door.knock(door.connect(emulator), "x")
    aicost.uninstrument()
    door.knock(door.connect(emulator), "x")
    with_us, without = emulator.requests
    assert with_us.body == without.body
    changing = {"x-stainless-raw-response", "idempotency-key", "authorization", "x-amz-date", "amz-sdk-invocation-id"}
    # anthropic's own span, when it has one, sends a trace context; ours stands in for it and does not.
    changing.add("traceparent")
    assert with_us.headers.keys() - changing == without.headers.keys() - changing
    assert "traceparent" not in with_us.headers
    # The client's own span, once it is there again, is counted like any other's.
    ours = [s for s in app.spans if s.instrumentation_scope is not None and s.instrumentation_scope.name == "aicost"]
    assert len(ours) == 1


@rows(
    [door for door in each_kind if not (door.client == "litellm" and door.is_async)]
)  # shares one event loop's client
def test_threads_each_have_their_own_call(door: Door, app: App, emulator: ProviderEmulator) -> None:
    def one(tenant: str) -> None:
        with aicost.attribution(tenant_id=tenant):
            door.knock(door.connect(emulator), f"for {tenant}")

    threads = [threading.Thread(target=one, args=(f"t-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found["aicost.tenant.id"] for found in app.inferences) == [f"t-{n}" for n in range(4)]
    if door.priced:
        assert_bill_is_matched(app, emulator)


@rows([door for door in DOORS if door.operation in {"chat", "generate_content"} and door.response_id])
def test_malformed_usage_never_breaks_the_call(door: Door, app: App, emulator: ProviderEmulator) -> None:
    said = copy.deepcopy({"prompt_tokens": 5, "completion_tokens": -1, "input_tokens": "x", "shiny": 3})
    emulator.on().then(Reply(raw_usage=said, text='{"text": "fine"}'))
    with contextlib.suppress(Exception):  # some clients check what they get
        door.knock(door.connect(emulator))
    end_open()
    assert app.inference["aicost.cost.status"] in {"partial", "unpriced"}


SPEAKING = [
    door for door in DOORS if door.operation in {"chat", "text_completion", "generate_content"} and door.says_text
]


@rows(SPEAKING)
def test_content_is_recorded_only_when_asked_for(
    door: Door, make_app: Callable[..., App], emulator: ProviderEmulator
) -> None:
    app = make_app(capture_content=True)
    emulator.on().then(Reply(text='{"text": "a fine answer"}', input_tokens=9, output_tokens=9))
    door.knock(door.connect(emulator), "a good question")
    found = app.inference
    (asked,) = json.loads(found["gen_ai.input.messages"])
    assert (asked["role"], asked["parts"]) == ("user", [{"type": "text", "content": "a good question"}])
    answers = json.loads(found["gen_ai.output.messages"])
    assert "".join(part["content"] for part in answers[0]["parts"]) == '{"text": "a fine answer"}'
    assert answers[0]["role"] == "assistant"


def wrapped_methods() -> list[tuple[Any, str]]:
    """The owner and name of every method of the installed clients that aicost may wrap."""
    found = []
    for name in integrations.INTEGRATIONS:
        for method in integrations.load(name).methods if integrations._is_installed(name) else ():
            try:
                owner: Any = importlib.import_module(method.module)
            except ImportError:  # of another version
                continue
            *path, last = method.path.split(".")
            for part in path:
                owner = getattr(owner, part, None)
            if owner is not None and hasattr(owner, last):
                found.append((owner, last))
    return found


def test_wrapped_methods_look_as_they_did_and_are_given_back(make_app: Callable[..., App]) -> None:
    before = {(owner, name): inspect.getattr_static(owner, name) for owner, name in wrapped_methods()}
    assert before
    looks = {key: (inspect.signature(f), inspect.iscoroutinefunction(f), f.__doc__) for key, f in before.items()}
    make_app()
    for (owner, name), look in looks.items():
        now = getattr(owner, name)
        assert inspect.getattr_static(owner, name) is not before[owner, name], f"{owner}.{name} is not wrapped"
        assert (inspect.signature(now), inspect.iscoroutinefunction(now), now.__doc__)[1:] == look[1:]
        assert list(inspect.signature(now).parameters) == list(look[0].parameters)
    aicost.uninstrument()
    for owner, name in before:
        assert inspect.getattr_static(owner, name) is before[owner, name], f"{owner}.{name} was not given back"
