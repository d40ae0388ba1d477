"""Conformance: every door of every client gives the same complete event, and the ledger equals the provider's bill."""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest

import aicost
from aicost.testing import Drop, Fail, Hang, ProviderEmulator, Reply, Stall
from tests.conftest import App, run

from . import doors
from .doors import ALL, PLAIN, STREAMS, Clients, Door, connect

pytestmark = pytest.mark.clients

FULL = Reply(
    text='{"text": "A helpful answer."}', input_tokens=1200, cached_tokens=1024, output_tokens=80, reasoning_tokens=64
)
every_door = pytest.mark.parametrize("door", ALL, ids=lambda door: door.__name__)
every_plain_door = pytest.mark.parametrize("door", PLAIN, ids=lambda door: door.__name__)
every_stream = pytest.mark.parametrize("door", STREAMS, ids=lambda door: door.__name__)


def full(door: Door) -> Reply:
    """A reply with everything the door's API reports."""
    return Reply(input_tokens=1200) if "embeddings" in door.__name__ else FULL


def knock(door: Door, clients: Clients, ask: str = "hello") -> Any:
    """Call through a door, whatever its kind."""
    made = door(clients, ask)
    if not inspect.isawaitable(made):
        return made

    async def main() -> Any:
        return await made

    return run(main())


def assert_bill_is_matched(app: App, emulator: ProviderEmulator) -> None:
    bill = emulator.bill
    assert app.ledger_total() + bill.unseen == bill.total


@every_door
def test_a_call_is_one_event_with_its_whole_usage(door: Door, app: App, emulator: ProviderEmulator) -> None:
    embedding = "embeddings" in door.__name__
    emulator.on().then(full(door))
    with aicost.run_scope("w", tenant_id="t-1") as current, aicost.track_step("s"):
        knock(door, connect(emulator))
    found = app.inference
    (billed,) = emulator.bill.calls
    assert found["gen_ai.provider.name"] == billed.provider
    assert found["gen_ai.request.model"] == found["gen_ai.response.model"] == billed.model
    assert found["gen_ai.operation.name"] == ("embeddings" if embedding else "chat")
    assert found["gen_ai.usage.input_tokens"] == 1200
    if not embedding:
        assert found["gen_ai.usage.output_tokens"] == 80
        assert found["gen_ai.usage.cache_read.input_tokens"] == 1024
        assert found["gen_ai.response.id"] == billed.call_id
    meters = {k.rpartition(".")[2]: v for k, v in found.items() if k.startswith("aicost.usage.meter.")}
    expected = dict(billed.usage)
    if "messages" in door.__name__ and not embedding:
        assert meters.pop("output") + meters.pop("output_reasoning", 0) == 80
        expected = {meter: n for meter, n in expected.items() if meter.startswith("input")}
    assert meters == expected
    assert (found["aicost.request.status"], found["aicost.request.retry_count"]) == ("success", 0)
    assert (found["aicost.tenant.id"], found["aicost.step.name"], found["aicost.run.id"]) == ("t-1", "s", current.id)
    assert Decimal(found["aicost.cost.amount_exact"]) == billed.amount == current.cost
    assert_bill_is_matched(app, emulator)


@every_door
def test_rate_limits_are_retries_of_one_call(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Fail(status=429), Fail(status=500), full(door))
    with aicost.run_scope("w") as current:
        knock(door, connect(emulator))
    (span,) = (s for s in app.spans if "aicost.cost.status" in (s.attributes or {}))
    attributes = dict(span.attributes or {})
    assert (attributes["aicost.request.retry_count"], attributes["http.request.resend_count"]) == (2, 2)
    attempts = [dict(e.attributes or {}) for e in span.events if e.name == "aicost.attempt"]
    assert [a["aicost.request.status"] for a in attempts] == ["retry", "retry", "success"]
    assert [a.get("http.response.status_code") for a in attempts[:2]] == [429, 500]
    assert all(a["aicost.request.backoff"] == pytest.approx(0.01) for a in attempts[:2])
    assert (current.calls, current.attempts, current.retries) == (1, 3, 2)
    assert_bill_is_matched(app, emulator)


@every_plain_door
def test_giving_up_after_retries_costs_nothing_and_is_said(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(*[Fail(status=429)] * 3)
    with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)):
        knock(door, connect(emulator))
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("failure", "no")
    assert (found["error.type"], found["aicost.cost.amount_exact"]) == ("429", "0")
    assert app.ledger_total() == emulator.bill.total == 0


@pytest.mark.parametrize(
    "door",
    [doors.chat, doors.responses, doors.messages, doors.async_chat, doors.async_messages],
    ids=lambda d: d.__name__,
)
def test_a_timeout_after_the_work_was_done_is_possibly_billed(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Hang(bill=FULL), FULL)
    with aicost.run_scope("w") as current:
        knock(door, connect(emulator, timeout=0.25))
    found = app.inference
    assert found["aicost.request.possibly_billed_attempts"] == 1
    assert current.possibly_billed == 1
    total = app.total()
    assert (total.calls, total.attempts, total.possibly_billed, total.unpriced) == (1, 2, 1, 0)
    assert emulator.bill.unseen == emulator.bill.calls[0].amount > 0
    assert_bill_is_matched(app, emulator)


@pytest.mark.parametrize("door", [doors.chat, doors.messages, doors.async_chat], ids=lambda d: d.__name__)
def test_a_timeout_until_failure_is_a_timeout(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Hang(bill=FULL))
    with pytest.raises((openai.APITimeoutError, anthropic.APITimeoutError)):
        knock(door, connect(emulator, timeout=0.2, max_retries=0))
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("timeout", "possibly")
    assert (found["aicost.cost.status"], found["aicost.cost.reason"]) == ("unpriced", "usage_not_received")
    assert "aicost.cost.amount" not in found
    assert_bill_is_matched(app, emulator)


@pytest.mark.parametrize("door", [doors.chat, doors.messages, doors.async_messages], ids=lambda d: d.__name__)
def test_a_connection_never_made_is_not_billed(door: Door, app: App) -> None:
    with ProviderEmulator() as gone:
        clients = connect(gone, max_retries=1)
    with pytest.raises((openai.APIConnectionError, anthropic.APIConnectionError)):
        knock(door, clients)
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("failure", "no")
    assert found["error.type"] == "ConnectError"
    assert found["aicost.request.retry_count"] == 1


@pytest.mark.parametrize(
    "door", [doors.chat, doors.responses, doors.messages, doors.async_chat], ids=lambda d: d.__name__
)
def test_a_connection_dropped_in_the_answer_is_possibly_billed(
    door: Door, app: App, emulator: ProviderEmulator
) -> None:
    emulator.on().then(Drop(bill=FULL))
    with pytest.raises((openai.APIConnectionError, anthropic.APIConnectionError)):
        knock(door, connect(emulator, max_retries=0))
    assert app.inference["aicost.request.billed"] == "possibly"
    assert_bill_is_matched(app, emulator)


@every_stream
def test_a_stream_cut_by_the_network_keeps_what_is_known(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Drop(after_chunks=4, bill=FULL))
    with pytest.raises(Exception):  # noqa: B017, PT011 - each client raises its own
        knock(door, connect(emulator, max_retries=0))
    found = app.inference
    assert found["aicost.request.status"] == "failure"
    assert found["aicost.request.billed"] == "possibly"
    assert_bill_is_matched(app, emulator)


def stalled(emulator: ProviderEmulator) -> None:
    emulator.on().then(Stall(after_chunks=4, reply=FULL))


def leave_break(c: Clients) -> None:
    for _ in c.openai.chat.completions.create(model=doors.CHAT, stream=True, **doors.USAGE, **doors.said("x")):
        break


def leave_close(c: Clients) -> None:
    stream = c.openai.chat.completions.create(model=doors.CHAT, stream=True, **doors.USAGE, **doors.said("x"))
    next(stream)
    stream.close()


def leave_with(c: Clients) -> None:
    with c.openai.responses.create(model=doors.CHAT, input="x", stream=True) as stream:
        next(iter(stream))


def leave_garbage(c: Clients) -> None:
    stream = c.anthropic.messages.create(model=doors.CLAUDE, max_tokens=9, stream=True, **doors.said("x"))
    next(stream)
    del stream


def leave_unread(c: Clients) -> None:
    c.openai.chat.completions.create(model=doors.CHAT, stream=True, **doors.USAGE, **doors.said("x"))


def leave_helper(c: Clients) -> None:
    with c.anthropic.messages.stream(model=doors.CLAUDE, max_tokens=9, **doors.said("x")) as stream:
        next(iter(stream.text_stream))


def leave_async(c: Clients) -> None:
    async def main() -> None:
        stream = await c.async_openai.chat.completions.create(
            model=doors.CHAT, stream=True, **doors.USAGE, **doors.said("x")
        )
        async for _ in stream:
            break
        await stream.close()

    run(main())


def leave_async_helper(c: Clients) -> None:
    async def main() -> None:
        async with c.async_anthropic.messages.stream(model=doors.CLAUDE, max_tokens=9, **doors.said("x")) as stream:
            async for _ in stream.text_stream:
                break

    run(main())


LEAVING = [
    leave_break,
    leave_close,
    leave_with,
    leave_garbage,
    leave_unread,
    leave_helper,
    leave_async,
    leave_async_helper,
]


@pytest.mark.parametrize("leave", LEAVING, ids=lambda leave: leave.__name__)
def test_a_stream_left_early_ends_and_keeps_what_is_known(leave: Any, app: App, emulator: ProviderEmulator) -> None:
    stalled(emulator)
    leave(connect(emulator))
    gc.collect()
    assert_bill_is_matched(app, emulator)
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("success", "possibly")
    if found["gen_ai.provider.name"] == "anthropic":
        assert found["aicost.cost.status"] == "partial", "the input is known from the first event"
        assert found["gen_ai.usage.input_tokens"] == 1200
        assert "gen_ai.usage.output_tokens" not in found
    else:
        assert found["aicost.cost.status"] == "unpriced"


def test_a_cancelled_stream_ends_and_the_cancellation_passes(app: App, emulator: ProviderEmulator) -> None:
    stalled(emulator)
    clients = connect(emulator)

    async def read() -> None:
        stream = await clients.async_anthropic.messages.create(
            model=doors.CLAUDE, max_tokens=9, stream=True, **doors.said("x")
        )
        async for _ in stream:
            started.set()

    async def main() -> None:
        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    started = asyncio.Event()
    run(main())
    found = app.inference
    assert (found["aicost.request.status"], found["error.type"]) == ("failure", "CancelledError")
    assert_bill_is_matched(app, emulator)


def test_a_cancelled_request_is_possibly_billed(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Hang(bill=FULL))
    clients = connect(emulator)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(
                clients.async_openai.chat.completions.create(model=doors.CHAT, **doors.said("x")), 0.2
            )

    run(main())
    assert app.inference["aicost.request.billed"] == "possibly"
    assert_bill_is_matched(app, emulator)


def test_a_read_timeout_in_mid_stream_is_a_timeout(app: App, emulator: ProviderEmulator) -> None:
    stalled(emulator)
    with pytest.raises(Exception, match=r"(?i)timed? ?out"):
        doors.messages_create_stream(connect(emulator, timeout=0.25), "x")
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.cost.status"]) == ("timeout", "partial")
    assert_bill_is_matched(app, emulator)


def test_a_stream_without_usage_is_not_guessed(app: App, emulator: ProviderEmulator) -> None:
    list(connect(emulator).openai.chat.completions.create(model=doors.CHAT, stream=True, **doors.said("x")))
    found = app.inference
    assert (found["aicost.request.billed"], found["aicost.usage.source"]) == ("yes", "none")
    assert (found["aicost.cost.status"], found["aicost.cost.reason"]) == ("unpriced", "usage_not_reported")


@every_door
def test_compressed_responses_are_read_too(door: Door, app: App) -> None:
    with ProviderEmulator(content_coding="gzip") as zipped:
        zipped.on().then(full(door))
        knock(door, connect(zipped))
        assert app.inference["aicost.cost.status"] == "priced"
        assert_bill_is_matched(app, zipped)


TRICKY = (
    'He said "usage":{"x":1} and data: [DONE] then\n\nevent: message_stop\n\n'
    'data: [DONE]\n\n {"error": {"type": "no"}} '
)


@every_stream
def test_what_a_model_says_is_not_taken_for_the_protocol(door: Door, app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Reply(text=TRICKY * 3, input_tokens=1200, output_tokens=80, chunks=20))
    knock(door, connect(emulator))
    assert (app.inference["aicost.request.status"], app.inference["aicost.cost.status"]) == ("success", "priced")
    assert_bill_is_matched(app, emulator)


def test_a_parser_that_raises_does_not_hide_what_was_billed(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Reply(text="not json", input_tokens=100, output_tokens=10))
    with pytest.raises(ValueError, match=r"(?i)json"):
        doors.chat_parse(connect(emulator), "x")
    found = app.inference
    assert (found["aicost.request.status"], found["aicost.request.billed"]) == ("failure", "yes")
    assert_bill_is_matched(app, emulator)


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        ({"prompt_tokens": 5, "completion_tokens": -1, "total_tokens": 4}, "partial", "usage_suspect:"),
        (
            {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 999},
            "partial",
            "usage_suspect:total_tokens_mismatch",
        ),
        ({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "shiny": 3}, "priced", None),
        ({}, "unpriced", "usage_incomplete"),
    ],
    ids=["negative", "contradictory", "new field", "empty"],
)
def test_malformed_usage_never_breaks_the_call(
    app: App, emulator: ProviderEmulator, raw: dict[str, Any], status: str, reason: str | None
) -> None:
    emulator.on().then(Reply(raw_usage=raw))
    assert doors.chat(connect(emulator), "x")
    found = app.inference
    assert found["aicost.cost.status"] == status
    assert (found.get("aicost.cost.reason") or "").startswith(reason or "")


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_the_tier_that_served_sets_the_price(app: App, emulator: ProviderEmulator, tier: str) -> None:
    emulator.on().then(Reply(input_tokens=1000, output_tokens=100, service_tier=tier))
    connect(emulator).openai.chat.completions.create(model="gpt-5", service_tier="auto", **doors.said("x"))
    found = app.inference
    assert found["aicost.response.service_tier"] == tier
    standard = Decimal("0.00225")
    assert Decimal(found["aicost.cost.amount_exact"]) == standard * (Decimal("0.5") if tier == "flex" else 2)


def test_cache_writes_are_priced_by_how_long_they_live(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(
        Reply(
            input_tokens=2000,
            cached_tokens=500,
            cache_write_5m=400,
            cache_write_1h=300,
            output_tokens=10,
            web_searches=2,
        )
    )
    doors.messages(connect(emulator), "x")
    assert app.inference["gen_ai.usage.cache_creation.input_tokens"] == 700
    assert app.inference["aicost.cost.tool"] == pytest.approx(0.02)
    assert_bill_is_matched(app, emulator)


def test_an_unknown_model_is_unpriced_not_free(app: App, emulator: ProviderEmulator) -> None:
    connect(emulator).openai.chat.completions.create(model="gpt-99", **doors.said("x"))
    found = app.inference
    assert (found["aicost.cost.status"], found["aicost.cost.reason"]) == ("unpriced", "unknown_model:openai/gpt-99")
    assert app.total().unpriced == 1


def test_wrapped_clients_stay_what_they_were(app: App, emulator: ProviderEmulator) -> None:
    clients = connect(emulator)
    stream = clients.openai.chat.completions.create(model=doors.CHAT, stream=True, **doors.said("x"))
    assert type(stream) is openai.Stream
    stream.close()
    assert (
        type(clients.openai.chat.completions.create(model=doors.CHAT, **doors.said("x"))).__name__ == "ChatCompletion"
    )
    assert isinstance(clients.openai.with_options(max_retries=0), openai.OpenAI)
    assert "request" in dir(openai.OpenAI)
    assert list(inspect.signature(openai.OpenAI.request).parameters)[:3] == ["self", "cast_to", "options"]


def test_arguments_and_responses_are_not_changed(app: App, emulator: ProviderEmulator) -> None:
    body = doors.said("x")
    doors_chat = connect(emulator).openai.chat.completions.create(model=doors.CHAT, **body)
    assert body == doors.said("x")
    assert "aicost" not in doors_chat.model_dump_json()
    assert "stream_options" not in emulator.requests[-1].body


def test_no_content_no_keys_no_trace_context_leave_the_process(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(*[Reply(text="the secret answer")] * 2)
    clients = connect(emulator, api_key="sk-the-secret-key")
    doors.chat(clients, "the secret question")
    doors.messages(clients, "the secret question")
    assert "secret" not in "".join(span.to_json() for span in app.spans)
    for request in emulator.requests:
        assert not {"traceparent", "tracestate", "baggage"} & request.headers.keys()


def test_the_client_s_own_spans_are_not_doubled(app: App, emulator: ProviderEmulator) -> None:
    doors.messages(connect(emulator), "x")
    doors.messages_stream_helper(connect(emulator), "x")
    with_usage = [s for s in app.spans if "gen_ai.usage.input_tokens" in (s.attributes or {})]
    assert [s.instrumentation_scope.name for s in with_usage if s.instrumentation_scope] == ["aicost", "aicost"]


def test_uninstrumented_clients_are_as_they_were(app: App, emulator: ProviderEmulator) -> None:
    aicost.uninstrument()
    assert "aicost" not in repr(openai.OpenAI.request)
    doors.chat(connect(emulator), "x")
    assert app.inferences == []


def test_other_endpoints_pass_through_untouched(app: App, emulator: ProviderEmulator) -> None:
    with pytest.raises(anthropic.NotFoundError):
        connect(emulator, max_retries=0).anthropic.messages.count_tokens(model=doors.CLAUDE, **doors.said("x"))
    assert app.inferences == []


def test_suppressed_instrumentation_is_respected(app: App, emulator: ProviderEmulator) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    with suppress_instrumentation():
        doors.chat(connect(emulator), "x")
    assert app.inferences == []


def test_azure_and_compatible_hosts_are_not_priced_as_openai(app: App, emulator: ProviderEmulator) -> None:
    azure = openai.AzureOpenAI(base_url=emulator.openai_base_url, api_key="x", api_version="2025-01-01")
    azure.chat.completions.create(model=doors.CHAT, **doors.said("x"))
    found = app.inference
    assert (found["gen_ai.provider.name"], found["aicost.cost.status"]) == ("azure.ai.openai", "priced")
    assert all(rate.startswith("azure.ai.openai/") for rate in found["aicost.cost.rate_ids"])


def test_many_concurrent_calls_are_all_counted_once(app: App, emulator: ProviderEmulator) -> None:
    clients = connect(emulator, max_retries=10)  # by chance, one call may draw all ten refusals
    emulator.on("stumble").then(*[Fail(status=429)] * 10)

    async def one(n: int) -> None:
        with aicost.attribution(tenant_id=f"t-{n % 3}"):
            ask = "stumble" if n % 5 == 0 else "go"
            door = [
                doors.async_chat,
                doors.async_chat_stream,
                doors.async_messages,
                doors.async_messages_stream_helper,
            ][n % 4]
            await door(clients, f"{ask} {n}")

    async def main() -> Any:
        with aicost.run_scope("w") as current:
            await asyncio.gather(*(one(n) for n in range(60)))
        return current

    current = run(main())
    assert current.cost == app.ledger_total() == emulator.bill.total
    assert current.calls == 60
    assert current.retries == 10


@pytest.mark.provokes_own_failure
def test_a_failure_inside_aicost_never_reaches_the_application(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from aicost.integrations import _stainless, _wire

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken on purpose")

    clients = connect(emulator)
    for module, name, door in [
        (_stainless, "Call", doors.chat),
        (_stainless, "read_response", doors.chat),
        (_stainless, "watch", doors.chat_stream),
        (_wire, "_add", doors.messages_stream_helper),
        (_stainless, "_attempt_failed", doors.chat),
    ]:
        emulator.on().then(Fail(status=429))
        with monkeypatch.context() as patch:
            patch.setattr(module, name, broken)
            assert door(clients, "x")
    assert "could not" in caplog.text
    app.exporter.clear()  # a span whose recording failed lacks what could not be recorded


def quickest(clients: Clients) -> float:
    """Seconds of the quickest of many calls: what the machine does beside them cannot make that one slower."""
    taken = []
    for _ in range(60):
        began = time.perf_counter()
        doors.chat(clients, "x")
        taken.append(time.perf_counter() - began)
    return min(taken)


def test_the_application_waits_no_longer_than_the_provider(app: App, emulator: ProviderEmulator) -> None:
    clients = connect(emulator)
    with_us = quickest(clients)
    aicost.uninstrument()
    assert with_us - quickest(clients) < 0.002, "two milliseconds would be a scandal; see benchmarks/ for the truth"
