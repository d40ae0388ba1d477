"""What an application may choose: usage asked for in streams, tokens estimated, content recorded, retries linked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

openai = pytest.importorskip("openai")

import aicost
from aicost._errors import ConfigError
from aicost.testing import Fail, ProviderEmulator, Reply
from tests.conftest import App

from .doors import CLIENTS, openai_doors
from .doors.openai_doors import MODEL, connect, connect_async, said
from .test_conformance import assert_bill_is_matched

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif("openai" not in CLIENTS, reason="another client's turn"),
]

FULL = Reply(text="one two three four five", input_tokens=1200, cached_tokens=1024, output_tokens=80, chunks=5)


def texts(stream: Any) -> list[str]:
    return [chunk.choices[0].delta.content or "" for chunk in stream]


def test_usage_is_asked_for_and_the_chunk_that_has_it_is_hidden(
    make_app: Callable[..., App], emulator: ProviderEmulator
) -> None:
    app = make_app(request_stream_usage=True)
    emulator.on().then(FULL)
    body = said("x")
    # An application that takes the first choice of every chunk would break on the one that has none.
    assert "".join(texts(connect(emulator).chat.completions.create(model=MODEL, stream=True, **body))) == FULL.text
    assert emulator.requests[-1].body["stream_options"] == {"include_usage": True}
    assert body == said("x")
    assert_bill_is_matched(app, emulator)
    assert app.inference["aicost.cost.status"] == "priced"


def test_a_hidden_chunk_is_hidden_however_the_bytes_are_cut(
    make_app: Callable[..., App], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(request_stream_usage=True)
    with ProviderEmulator(content_coding="gzip") as emulator:
        emulator.on().then(FULL)

        async def main() -> list[str]:
            stream = await connect_async(emulator).chat.completions.create(model=MODEL, stream=True, **said("x"))
            return [chunk.choices[0].delta.content or "" async for chunk in stream]

        assert "".join(asyncio.run(main())) == FULL.text
        assert_bill_is_matched(app, emulator)


asking = pytest.mark.skipif(not openai_doors._HAS["stream_options"], reason="this version has no stream options")


@asking
def test_an_application_that_asks_itself_gets_its_chunk(
    make_app: Callable[..., App], emulator: ProviderEmulator
) -> None:
    app = make_app(request_stream_usage=True)
    for wanted in (True, False):
        options = {"stream_options": {"include_usage": wanted}}
        chunks = list(connect(emulator).chat.completions.create(model=MODEL, stream=True, **options, **said("x")))
        assert (chunks[-1].usage is not None) == wanted
    assert [found["aicost.cost.status"] for found in app.inferences] == ["priced", "unpriced"]


def words(model: str, text: str) -> int:
    assert model == MODEL
    return len(text.split())


def test_tokens_nobody_reported_can_be_estimated_and_are_marked(
    make_app: Callable[..., App], emulator: ProviderEmulator
) -> None:
    app = make_app(tokenizer=f"{__name__}:words")
    emulator.on().then(FULL)
    with aicost.run_scope("w") as current:
        list(connect(emulator).chat.completions.create(model=MODEL, stream=True, **said("please do count")))
    found = app.inference
    assert (found["aicost.usage.source"], found["aicost.cost.status"]) == ("estimated", "estimated")
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (3 + 4, 5)
    assert current.cost > 0


@asking
def test_what_was_reported_is_never_estimated(make_app: Callable[..., App], emulator: ProviderEmulator) -> None:
    app = make_app(tokenizer=f"{__name__}:words")
    emulator.on().then(FULL)
    list(openai_doors.chat_stream(connect(emulator), "x"))
    assert app.inference["aicost.usage.source"] == "provider"
    assert_bill_is_matched(app, emulator)


@pytest.mark.parametrize("name", ["nosuchmodule:count", "json:nosuchfunction"])
def test_a_tokenizer_that_is_not_there_is_refused(make_app: Callable[..., App], name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        make_app(tokenizer=name)


def test_an_application_redacts_what_is_recorded(emulator: ProviderEmulator, make_app: Callable[..., App]) -> None:
    def redact(messages: Any) -> Any:
        return [{**m, "parts": [{"type": "text", "content": "***"} for _ in m["parts"]]} for m in messages]

    app = make_app(capture_content=True, redact=redact)
    openai_doors.chat(connect(emulator), "my secret")
    assert "secret" not in "".join(span.to_json() for span in app.spans)
    assert json.loads(app.inference["gen_ai.input.messages"])[0]["parts"] == [{"type": "text", "content": "***"}]


@pytest.mark.provokes_own_failure
def test_a_redaction_that_fails_records_nothing(emulator: ProviderEmulator, make_app: Callable[..., App]) -> None:
    def redact(_: Any) -> Any:
        raise ValueError("cannot")

    app = make_app(capture_content=True, redact=redact)
    openai_doors.chat(connect(emulator), "my secret")
    assert "gen_ai.input.messages" not in app.inference
    assert app.inference["aicost.cost.status"] == "priced"


@pytest.mark.parametrize(
    ("value", "recorded"),
    [("true", True), ("SPAN_ONLY", True), ("span_and_event", True), ("event_only", False), ("no_content", False)],
)
def test_the_upstream_variable_turns_content_on(
    emulator: ProviderEmulator,
    make_app: Callable[..., App],
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    recorded: bool,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", value)
    app = make_app()
    openai_doors.chat(connect(emulator), "a question")
    assert ("gen_ai.input.messages" in app.inference) == recorded


def test_a_call_made_again_is_a_retry_of_the_one_that_failed(app: App, emulator: ProviderEmulator) -> None:
    tenacity = pytest.importorskip("tenacity")
    emulator.on().then(Fail(status=400), Fail(status=400))
    client = connect(emulator, retries=0)

    @tenacity.retry(stop=tenacity.stop_after_attempt(3))
    def ask() -> None:
        openai_doors.chat(client, "x")

    with aicost.run_scope("w") as current, aicost.track_step("s"):
        ask()
    first, second, third = app.inferences
    assert "aicost.retry_of" not in first
    assert second["aicost.retry_of"] == first["aicost.event.id"]
    assert third["aicost.retry_of"] == second["aicost.event.id"]
    assert (current.calls, current.retries, current.app_retries, current.fallbacks) == (3, 0, 2, 0)
    assert app.total().app_retries == 2


def test_a_step_done_again_after_failing_links_its_calls(app: App, emulator: ProviderEmulator) -> None:
    emulator.on().then(Fail(status=400))
    client = connect(emulator, retries=0)

    @aicost.track_step("extract")
    def extract() -> None:
        openai_doors.chat(client, "x")

    with aicost.run_scope("w") as current:
        with pytest.raises(openai.BadRequestError):
            extract()
        extract()
    assert current.app_retries == 1


def test_another_model_after_a_failure_is_a_fallback(app: App, emulator: ProviderEmulator) -> None:
    emulator.on(model=MODEL).then(Fail(status=400))
    client = connect(emulator, retries=0)
    with aicost.run_scope("w") as current:
        with pytest.raises(openai.BadRequestError):
            openai_doors.chat(client, "x")
        client.chat.completions.create(model="gpt-4o-mini", **said("x"))
        client.chat.completions.create(model="gpt-4o-mini", **said("and now something else"))
    failed, fallback, after = app.inferences
    assert fallback["aicost.fallback_of"] == failed["aicost.event.id"]
    assert "aicost.fallback_of" not in after
    assert (current.app_retries, current.fallbacks) == (0, 1)
    assert app.total().fallbacks == 1


def test_a_failure_in_another_run_or_task_is_no_reason(app: App, emulator: ProviderEmulator) -> None:
    emulator.on("bad").then(Fail(status=400), Fail(status=400))
    client = connect_async(emulator, retries=0)

    async def one(ask: str) -> None:
        await client.chat.completions.create(model=MODEL, **said(ask))

    async def main() -> Any:
        with aicost.run_scope("w") as current:
            await asyncio.gather(one("bad"), one("good"), return_exceptions=True)
            with pytest.raises(openai.BadRequestError):
                await one("bad")
        with aicost.run_scope("w2") as other:
            await one("good")
        return current, other

    current, other = asyncio.run(main())
    assert (current.app_retries, other.app_retries, other.fallbacks) == (0, 0, 0)
