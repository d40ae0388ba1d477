"""What only the OpenAI client has: hosts, tiers, jobs, helpers, and the laws that hold for whatever is wrapped."""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import pickle
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

openai = pytest.importorskip("openai")

from opentelemetry.instrumentation.utils import suppress_instrumentation

import aicost
from aicost.testing import Fail, ProviderEmulator, Reply, Stall
from tests.conftest import App, run

from .doors import CLIENTS
from .doors import openai_doors as doors
from .doors.openai_doors import MODEL, connect, connect_async, said
from .test_conformance import assert_bill_is_matched

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif("openai" not in CLIENTS, reason="another client's turn"),
]


def test_a_parser_that_raises_does_not_hide_what_was_billed(app: App, emulator: ProviderEmulator) -> None:
    if doors.chat_parse not in [door.open for door in doors.DOORS]:
        pytest.skip("this version has no parsing helper")
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
def test_malformed_usage_is_flagged(
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
    connect(emulator).chat.completions.create(model="gpt-5", extra_body={"service_tier": "auto"}, **said("x"))
    found = app.inference
    assert found["aicost.response.service_tier"] == tier
    standard = Decimal("0.00225")
    assert Decimal(found["aicost.cost.amount_exact"]) == standard * (Decimal("0.5") if tier == "flex" else 2)


def test_an_unknown_model_is_unpriced_not_free(app: App, emulator: ProviderEmulator) -> None:
    connect(emulator).chat.completions.create(model="gpt-99", **said("x"))
    found = app.inference
    assert (found["aicost.cost.status"], found["aicost.cost.reason"]) == ("unpriced", "unknown_model:openai/gpt-99")
    assert app.total().unpriced == 1


def test_a_stream_without_usage_is_not_guessed(app: App, emulator: ProviderEmulator) -> None:
    list(connect(emulator).chat.completions.create(model=MODEL, stream=True, **said("x")))
    found = app.inference
    assert (found["aicost.request.billed"], found["aicost.usage.source"]) == ("yes", "none")
    assert (found["aicost.cost.status"], found["aicost.cost.reason"]) == ("unpriced", "usage_not_reported")


@pytest.mark.skipif(not hasattr(openai.Stream, "close"), reason="streams of this version cannot be closed")
def test_wrapped_clients_stay_what_they_were(app: App, emulator: ProviderEmulator) -> None:
    client = connect(emulator)
    stream = client.chat.completions.create(model=MODEL, stream=True, **said("x"))
    assert type(stream) is openai.Stream
    stream.close()
    assert type(client.chat.completions.create(model=MODEL, **said("x"))).__name__ == "ChatCompletion"
    assert isinstance(client.with_options(max_retries=0), openai.OpenAI)
    assert isinstance(copy.copy(client), openai.OpenAI)
    assert "request" in dir(openai.OpenAI)
    assert list(inspect.signature(openai.OpenAI.request).parameters)[:3] == ["self", "cast_to", "options"]
    assert inspect.iscoroutinefunction(openai.AsyncOpenAI.request)


def test_a_subclass_and_the_module_s_own_client_are_wrapped(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ours(openai.OpenAI):  # type: ignore[misc,name-defined]
        def request(self, *args: Any, **kwargs: Any) -> Any:
            self.asked = True
            return super().request(*args, **kwargs)

    client = Ours(base_url=emulator.openai_base_url, api_key="x")
    doors.chat(client, "x")
    assert client.asked
    monkeypatch.setattr(openai, "api_key", "x")
    monkeypatch.setattr(openai, "base_url", emulator.openai_base_url + "/")
    monkeypatch.setattr(openai, "_client", None, raising=False)
    openai.chat.completions.create(model=MODEL, **said("x"))
    assert len(app.inferences) == 2
    assert_bill_is_matched(app, emulator)


def test_arguments_and_responses_are_not_changed(app: App, emulator: ProviderEmulator) -> None:
    body = said("x")
    made = connect(emulator).chat.completions.create(model=MODEL, **body)
    assert body == said("x")
    assert "aicost" not in made.model_dump_json()
    assert "stream_options" not in emulator.requests[-1].body


def test_uninstrumented_clients_are_as_they_were(app: App, emulator: ProviderEmulator) -> None:
    wrapped = openai.OpenAI.request
    aicost.uninstrument()
    assert openai.OpenAI.request is not wrapped
    assert not hasattr(openai.OpenAI.request, "__wrapped__")
    doors.chat(connect(emulator), "x")
    assert app.inferences == []


def test_instrumenting_twice_changes_nothing(app: App, emulator: ProviderEmulator) -> None:
    assert "openai" in aicost.instrument("openai")
    assert "openai" in aicost.instrument("openai")
    doors.chat(connect(emulator), "x")
    assert len(app.inferences) == 1


def test_other_endpoints_pass_through_untouched(app: App, emulator: ProviderEmulator) -> None:
    with pytest.raises(openai.NotFoundError):
        connect(emulator, retries=0).models.list()
    assert app.inferences == []


def test_suppressed_instrumentation_is_respected(app: App, emulator: ProviderEmulator) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    with suppress_instrumentation():
        doors.chat(connect(emulator), "x")
    assert app.inferences == []


def test_azure_is_not_priced_as_openai(app: App, emulator: ProviderEmulator) -> None:
    doors.connect_azure(emulator).chat.completions.create(model=MODEL, **said("x"))
    found = app.inference
    assert (found["gen_ai.provider.name"], found["aicost.cost.status"]) == ("azure.ai.openai", "priced")
    assert all(rate.startswith("azure.ai.openai/") for rate in found["aicost.cost.rate_ids"])


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.x.ai/v1", "x_ai"),
        ("https://api.together.xyz/v1", "together"),
        ("https://api.fireworks.ai/inference/v1", "fireworks"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.perplexity.ai", "perplexity"),
        ("https://api.mistral.ai/v1", "mistral_ai"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gcp.gemini"),
        ("https://europe-west4-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://ours.openai.azure.com/openai/v1/", "azure.ai.openai"),
        ("https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1", "aws.bedrock"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://127.0.0.1:1234/v1", "lm_studio"),
        ("http://localhost:8000/v1", "vllm"),
        ("https://llm.internal/v1", "openai"),
    ],
)
def test_the_host_says_whose_prices_hold(url: str, provider: str) -> None:
    from aicost.integrations.clients.openai import _provider_of

    assert _provider_of(openai.OpenAI(base_url=url, api_key="x")) == provider


def test_a_host_of_one_s_own_has_the_name_that_is_set(make_app: Any, emulator: ProviderEmulator) -> None:
    app = make_app(provider_hosts={f"127.0.0.1:{emulator.port}": "our_vllm"})
    doors.chat(connect(emulator), "x")
    found = app.inference
    assert (found["gen_ai.provider.name"], found["aicost.cost.status"]) == ("our_vllm", "unpriced")


def test_many_concurrent_calls_are_all_counted_once(app: App, emulator: ProviderEmulator) -> None:
    client = connect_async(emulator, retries=10)  # by chance, one call may draw all ten refusals
    emulator.on("stumble").then(*[Fail(status=429)] * 10)
    usable = [door for door in doors.DOORS if door.is_async and door.kind != "manager"]

    async def one(n: int) -> None:
        with aicost.attribution(tenant_id=f"t-{n % 3}"):
            await usable[n % len(usable)].read_async(client, f"{'stumble' if n % 5 == 0 else 'go'} {n}")

    async def main() -> Any:
        with aicost.run_scope("w") as current:
            await asyncio.gather(*(one(n) for n in range(60)))
        return current

    current = run(main())
    assert current.cost == app.ledger_total() == emulator.bill.total
    assert current.calls == 60
    assert current.retries == 10


@pytest.mark.skipif(not doors._HAS["stream_options"], reason="this version has no stream options")
@pytest.mark.provokes_own_failure
def test_a_failure_inside_aicost_never_reaches_the_application(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from aicost.integrations import _progress, _transports
    from aicost.usage.providers.openai import ChatStream

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken on purpose")

    for owner, name, door in [
        (_progress, "Call", doors.chat),
        (_progress, "read_response", doors.chat),
        (_transports, "watch", doors.chat_stream),
        (ChatStream, "add", doors.chat_stream),
        (_progress.InProgress, "refused", doors.chat),
        (_progress.InProgress, "sending", doors.chat),
    ]:
        emulator.on().then(Fail(status=429))
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            made = door(connect(emulator), "x")
            assert list(made) if door is doors.chat_stream else made
    assert "could not" in caplog.text
    app.exporter.clear()  # a span whose recording failed lacks what could not be recorded


def quickest(client: Any) -> float:
    """Seconds of the quickest of many calls: what the machine does beside them cannot make that one slower."""
    taken = []
    for _ in range(60):
        began = time.perf_counter()
        doors.chat(client, "x")
        taken.append(time.perf_counter() - began)
    return min(taken)


def test_the_application_waits_no_longer_than_the_provider(app: App, emulator: ProviderEmulator) -> None:
    client = connect(emulator)
    with_us, without = quickest(client), 0.0
    for _ in range(5):  # on a busy machine even the quickest of many may have had to wait
        aicost.uninstrument()
        without = quickest(client)
        if with_us - without < 0.002:
            break
        aicost.instrument("openai")
        with_us = min(with_us, quickest(client))
    assert with_us - without < 0.002, "two milliseconds would be a scandal; see benchmarks/ for the truth"


def has(feature: str) -> pytest.MarkDecorator:
    """Only with versions of the client that have it."""
    return pytest.mark.skipif(not doors._HAS[feature], reason=f"this version has no {feature}")


@has("background")
def test_a_response_made_in_the_background_is_counted_when_it_is_there(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Reply(input_tokens=900, output_tokens=70))
    client = connect(emulator)
    with aicost.run_scope("w") as current:
        given = client.responses.create(model=MODEL, input="x", background=True)
        assert given.status == "queued"
        assert (current.calls, current.unpriced, current.cost) == (1, 1, None)
        assert client.responses.retrieve(given.id).status == "queued"
        done = client.responses.retrieve(given.id)
        assert done.status == "completed"
        client.responses.retrieve(given.id)
    assert (current.calls, current.unpriced) == (1, 0)
    assert current.cost == emulator.bill.total
    metrics = app.metrics()
    assert sum(metrics["aicost.request.attempts"].values()) == 1
    assert sum(metrics["aicost.usage"].values()) == 970
    assert sum(metrics["aicost.cost"].values()) == pytest.approx(float(emulator.bill.total))
    assert_bill_is_matched(app, emulator)
    assert app.total().calls == 1


def _stream_of(client: Any, asynchronous: bool, **asked: Any) -> Any:
    """The events of a background response that is streamed again, until its end."""
    if not asynchronous:
        return list(client.responses.retrieve(stream=True, **asked))

    async def read() -> Any:
        return [event async for event in await client.responses.retrieve(stream=True, **asked)]

    return run(read())


@has("background")
@pytest.mark.skipif(not doors._HAS["resumed"], reason="this version resumes no stream")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("left", ["queued", "streaming"])
@pytest.mark.parametrize("again", [1, 2])
def test_a_background_response_that_is_streamed_later_belongs_to_who_asked_for_it(
    app: App, emulator: ProviderEmulator, asynchronous: bool, left: str, again: int
) -> None:
    reply = Reply(input_tokens=900, output_tokens=70)
    emulator.on().then(reply if left == "queued" else Stall(after_chunks=3, reply=reply))
    client = connect(emulator)
    with aicost.run_scope("asks", tenant_id="t-1") as asking:
        if left == "queued":
            work, last = client.responses.create(model=MODEL, input="x", background=True).id, None
        else:
            with client.responses.create(model=MODEL, input="x", background=True, stream=True) as stream:
                first = next(iter(stream))
            work, last = first.response.id, first.sequence_number
    assert (asking.calls, asking.cost) == (1, None)
    resumed = {"response_id": work, **({} if last is None else {"starting_after": last})}
    with aicost.run_scope("fetches") as fetching:
        for _ in range(again):
            events = _stream_of(connect_async(emulator) if asynchronous else client, asynchronous, **resumed)
            assert events[-1].type == "response.completed"
    assert (fetching.calls, fetching.cost) == (0, 0)
    assert (asking.calls, asking.cost) == (1, emulator.bill.total)
    assert asking.unpriced == 0
    (row,) = app.charges()
    assert row.run_id == asking.id
    assert_bill_is_matched(app, emulator)


@has("background")
def test_a_background_response_that_is_polled_elsewhere_belongs_to_who_asked_for_it(
    app: App, emulator: ProviderEmulator
) -> None:
    client = connect(emulator)
    with aicost.run_scope("asks") as asking:
        work = client.responses.create(model=MODEL, input="x", background=True).id
    with aicost.run_scope("fetches") as fetching:
        while client.responses.retrieve(work).status != "completed":
            pass
    assert (fetching.cost, asking.cost) == (0, emulator.bill.total)
    assert len(app.charges()) == 1


@has("background")
def test_a_background_response_of_another_process_belongs_to_who_fetches_it(
    app: App, emulator: ProviderEmulator
) -> None:
    client = connect(emulator)
    with suppress_instrumentation():
        work = client.responses.create(model=MODEL, input="x", background=True).id
    with aicost.run_scope("fetches") as fetching:
        while client.responses.retrieve(work).status != "completed":
            pass
    assert (fetching.calls, fetching.cost) == (1, emulator.bill.total)


@has("background")
def test_a_background_response_that_is_cancelled_stays_one_call_of_unknown_cost(
    app: App, emulator: ProviderEmulator
) -> None:
    client = connect(emulator)
    with aicost.run_scope("asks") as asking:
        work = client.responses.create(model=MODEL, input="x", background=True).id
        assert client.responses.cancel(work).status == "cancelled"
        client.responses.retrieve(work)
    assert (asking.calls, asking.unpriced, asking.cost) == (1, 1, None)
    assert len(app.charges()) == 1


@has("batches")
def test_lines_of_batches_are_told_by_file_and_line_whatever_ids_their_answers_share(
    app: App, emulator: ProviderEmulator
) -> None:
    emulator.on().then(*[Reply(response_id="chatcmpl-1")] * 4)
    client, other = connect(emulator), connect(emulator, api_key="another-key")
    files = []
    for _ in range(2):
        batch = client.batches.create(input_file_id="file-0", endpoint="/v1/chat/completions", completion_window="24h")
        while batch.status != "completed":
            batch = client.batches.retrieve(batch.id)
        files.append(batch.output_file_id)
    for by in (client, client, other):
        for file in files:
            by.files.content(file)
    assert app.total().calls == len(emulator.bill.calls) == 4
    assert_bill_is_matched(app, emulator)


@has("batches")
def test_results_of_a_batch_are_counted_once_at_its_price(app: App, emulator: ProviderEmulator) -> None:
    client = connect(emulator)
    batch = client.batches.create(input_file_id="file-0", endpoint="/v1/chat/completions", completion_window="24h")
    while batch.status != "completed":
        batch = client.batches.retrieve(batch.id)
    lines = client.files.content(batch.output_file_id).text.splitlines()
    assert len(lines) == 3
    client.files.content(batch.output_file_id)
    with client.files.with_streaming_response.content(batch.output_file_id) as response:
        assert len(list(response.iter_lines())) == 3
    assert [found["aicost.response.service_tier"] for found in app.inferences] == ["batch", "batch"]
    assert all(found["gen_ai.response.model"] == "gpt-4o-mini" for found in app.inferences)
    assert app.total().calls == 2
    assert_bill_is_matched(app, emulator)


def test_a_file_that_is_no_result_is_left_alone(app: App, emulator: ProviderEmulator) -> None:
    with pytest.raises(openai.NotFoundError):
        connect(emulator).files.content("file-none")
    assert app.inferences == []


@pytest.mark.skipif(not hasattr(openai.resources, "Videos"), reason="this version makes no videos")
def test_a_video_is_counted_when_it_is_done(app: App, emulator: ProviderEmulator) -> None:
    client = connect(emulator)
    with aicost.run_scope("asks") as asking:
        video = client.videos.create(model="sora-2", prompt="x", seconds="8")
    while video.status != "completed":
        video = client.videos.retrieve(video.id)
    client.videos.retrieve(video.id)
    found = app.inference
    assert found["aicost.usage.meter.output_video_seconds"] == 8
    assert asking.cost == emulator.bill.total
    assert_bill_is_matched(app, emulator)


def test_a_fine_tuning_job_is_counted_when_it_is_done(app: App, emulator: ProviderEmulator) -> None:
    client = connect(emulator)
    with aicost.run_scope("asks") as asking:
        job = client.fine_tuning.jobs.create(model="gpt-4o-2024-08-06", training_file="file-1")
    while job.status != "succeeded":
        job = client.fine_tuning.jobs.retrieve(job.id)
    found = app.inference
    assert found["aicost.usage.meter.training_tokens"] == job.trained_tokens == 9000
    assert found["gen_ai.request.model"] == "gpt-4o-2024-08-06"
    assert found["aicost.run.id"] == asking.id


def test_fees_of_built_in_tools_are_counted(app: App, emulator: ProviderEmulator) -> None:
    if not doors._HAS["responses"]:
        pytest.skip("this version has no responses")
    emulator.on().then(Reply(input_tokens=100, output_tokens=10, web_searches=3))
    doors.responses(connect(emulator), "x")
    assert app.inference["aicost.usage.meter.tool_web_search"] == 3
    assert_bill_is_matched(app, emulator)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_workers_forked_after_the_start_lose_nothing(app: App, emulator: ProviderEmulator) -> None:
    doors.chat(connect(emulator), "in the parent, before")
    children = []
    for n in range(3):
        child = os.fork()
        if child == 0:
            try:
                doors.chat(connect(emulator), f"in child {n}")
                doors.embeddings(connect(emulator), f"in child {n}")
                os._exit(0 if aicost.flush() else 2)
            except BaseException:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    doors.chat(connect(emulator), "in the parent, after")
    assert len(emulator.bill.calls) == 8
    assert_bill_is_matched(app, emulator)


def test_answers_are_as_they_would_be(app: App, emulator: ProviderEmulator) -> None:
    with_us = doors.chat(connect(emulator), "x")
    assert pickle.loads(pickle.dumps(with_us)) == with_us == copy.deepcopy(with_us)
    aicost.uninstrument()
    without = doors.chat(connect(emulator), "x")
    assert type(with_us) is type(without)
    assert with_us.model_dump(exclude={"id"}) == without.model_dump(exclude={"id"})


def test_a_call_makes_no_thread_and_no_event_loop(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(emulator)
    doors.chat(client, "warm up")
    ours = {thread.name for thread in threading.enumerate() if "Thread-" not in thread.name}

    def refused() -> Any:
        raise AssertionError("an event loop was made")

    monkeypatch.setattr(asyncio, "new_event_loop", refused)
    doors.chat(client, "x")
    list(client.chat.completions.create(model=MODEL, stream=True, **said("x")))
    assert {thread.name for thread in threading.enumerate() if "Thread-" not in thread.name} == ours


class ForeignError(Exception):
    """What an HTTP library that nobody knows raises."""


class ReadTimeout(ForeignError):  # noqa: N818 - as the libraries name it
    """It took too long."""


@pytest.mark.parametrize(("raised", "chargeable"), [(ReadTimeout, "possibly"), (ForeignError, "no")])
def test_a_request_that_leaves_by_an_unknown_way_is_judged_by_its_error(
    app: App, emulator: ProviderEmulator, monkeypatch: pytest.MonkeyPatch, raised: type[Exception], chargeable: str
) -> None:
    client = connect(emulator, retries=0)

    def send(*_: Any, **__: Any) -> Any:
        raise raised

    monkeypatch.setattr(client._client, "send", send)
    with pytest.raises(Exception) as failure:
        doors.chat(client, "x")
    # Early versions call any error one of the connection.
    lost = isinstance(failure.value, openai.APIConnectionError)
    assert app.inference["aicost.request.billed"] == ("possibly" if lost else chargeable)


def test_another_vendor_that_was_there_first_does_not_pass_us_by(
    make_app: Callable[..., App], emulator: ProviderEmulator
) -> None:
    # As OpenInference does: its wrapper is on the subclass, and keeps the method of the base as it was then.
    import wrapt

    aicost.uninstrument()
    wrapt.wrap_function_wrapper(openai.OpenAI, "request", lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))
    try:
        app = make_app()
        doors.chat(connect(emulator), "x")
        assert_bill_is_matched(app, emulator)
        assert len(app.charges()) == 1
        aicost.uninstrument()
        doors.chat(connect(emulator), "x")
        assert len(app.spans) == 1
    finally:
        del openai.OpenAI.request


def test_what_a_hook_begins_inside_a_call_is_calls_of_its_own(app: App, emulator: ProviderEmulator) -> None:
    """A judge or logger that is begun by the first call goes on in a context in which that call seems under way."""
    client_of = getattr(openai, "DefaultAsyncHttpxClient", None)
    if client_of is None:
        pytest.skip("this version hands out no HTTP client")

    async def main() -> None:
        async with connect_async(emulator) as plain:
            begun: list[asyncio.Task[Any]] = []
            over = asyncio.Event()

            async def later() -> None:
                await over.wait()
                await plain.chat.completions.create(model=MODEL, messages=said("judge later"))

            async def hook(_: Any) -> None:
                if not begun:
                    begun.append(asyncio.create_task(later()))
                    await plain.chat.completions.create(model=MODEL, messages=said("judge now"))

            async with openai.AsyncOpenAI(
                base_url=emulator.openai_base_url, api_key="k", http_client=client_of(event_hooks={"response": [hook]})
            ) as hooked:
                await hooked.chat.completions.create(model=MODEL, messages=said("x"))
                over.set()
                await begun[0]

    run(main())
    assert len(emulator.bill.calls) == 3
    assert_bill_is_matched(app, emulator)
