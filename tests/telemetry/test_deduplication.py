"""Several views of one inference, from anywhere: exactly one is counted, and the others say why not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span, Status, StatusCode
from tests.conftest import App
from tests.telemetry.test_sinks import recorded

import aicost
from aicost.cli import cli as main
from aicost.ledger.reader import LedgerReader
from aicost.telemetry import deduplication, guard
from aicost.telemetry.call import Call, CallResult, Target
from aicost.telemetry.evidence import agree
from aicost.telemetry.state import current
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.readers import ResponseView
from aicost.usage.reading import Reading

ONE = Decimal("0.005")  # 1000 in at 2.50 and 250 out at 10.00 per million
USAGE = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 250}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.model_name": "gpt-4o",
    "llm.token_count.prompt": 1000,
    "llm.token_count.completion": 250,
}


@contextmanager
def foreign(name: str = "chat gpt-4o", by: str = "some.vendor", **more: Any) -> Iterator[Span]:
    """A span of somebody else, that is current for a block."""
    with trace.get_tracer(by).start_as_current_span(
        name, attributes={k.replace("__", "."): v for k, v in more.items()}
    ) as span:
        yield span


@contextmanager
def inference(by: str = "some.vendor", response_id: str | None = None, **attributes: Any) -> Iterator[Span]:
    """A chat as somebody else reports it: the counts come at the end."""
    with trace.get_tracer(by).start_as_current_span("chat gpt-4o", attributes=CHAT) as span:
        yield span
        span.set_attributes({**USAGE, **({"gen_ai.response.id": response_id} if response_id else {}), **attributes})


def call(outcome: CallResult = CallResult(), response_id: str | None = None) -> Call:  # noqa: B008 - frozen
    """What a wrapped client records."""
    made = opened()
    reading = Reading({"input": 1000, "output": 250}) if outcome.chargeable is Chargeable.YES else None
    made.finish(ResponseView(reading, response_id, "gpt-4o", None), outcome)
    return made


def opened(observer: str = "aicost") -> Call:
    state = current()
    assert state is not None
    made = Call(state.pipeline, Target("openai", "chat", "chat", "gpt-4o"), observer=observer)
    made.attempt_started()
    return made


def reasons(app: App) -> list[str]:
    """Why the views that are covered are."""
    return [
        str(s.attributes["aicost.covered.reason"]) for s in app.spans if "aicost.covered.reason" in (s.attributes or {})
    ]


def named(app: App, name: str) -> ReadableSpan:
    (found,) = [span for span in app.spans if span.name == name]
    return found


def test_what_only_another_reports_is_priced_on_its_span(app: App) -> None:
    with inference() as span:
        pass
    assert app.ledger_total() == ONE
    said = app.inference
    assert (said["aicost.cost.amount_exact"], said["aicost.cost.status"]) == ("0.005", "priced")
    assert said["aicost.run.id"] == f"{span.get_span_context().trace_id:032x}"
    (charge,) = app.charges()
    assert (charge.provider, charge.model, charge.api) == ("openai", "gpt-4o", "reported")


def test_the_innermost_of_several_views_is_counted(app: App) -> None:
    with inference("framework"), inference("vendor"), inference("native"):
        pass
    assert app.ledger_total() == ONE
    assert reasons(app) == ["below", "below"]
    assert [s.instrumentation_scope.name for s in app.spans if "aicost.cost.status" in s.attributes] == ["native"]


def test_a_clients_own_event_comes_before_every_view(app: App) -> None:
    with inference("framework"), foreign("POST", by="http"):
        call(response_id="chatcmpl-1")
    assert app.ledger_total() == ONE
    assert reasons(app) == ["below"]
    covered = next(s for s in app.spans if s.instrumentation_scope.name == "framework")
    (charge,) = app.charges()
    assert covered.attributes["aicost.covered.by"] == charge.event_id
    assert "aicost.cost.status" not in covered.attributes


def test_a_view_inside_a_call_that_is_recorded_is_covered(app: App) -> None:
    made = opened()
    token = otel_context.attach(made.context)
    with inference("native"):
        pass
    otel_context.detach(token)
    made.finish(ResponseView(Reading({"input": 1000, "output": 250})), CallResult())
    assert app.ledger_total() == ONE
    assert reasons(app) == ["above"]


def test_a_view_that_ends_before_the_stream_it_is_of_is_covered(app: App) -> None:
    with inference("framework"):
        made = opened()
    made.finish(ResponseView(Reading({"input": 1000, "output": 250})), CallResult())
    assert app.ledger_total() == ONE
    assert reasons(app) == ["below"]


def test_the_id_of_the_response_tells_siblings(app: App) -> None:
    call(response_id="chatcmpl-1")
    time.sleep(0.03)  # not the same time
    with inference(response_id="chatcmpl-1"):
        pass
    with inference(response_id="chatcmpl-2"):
        pass
    assert app.ledger_total() == 2 * ONE
    assert reasons(app) == ["same_response"]


def test_two_spans_of_one_observer_are_two_calls_whatever_id_they_share(app: App) -> None:
    for _ in range(3):
        with inference(response_id="chatcmpl-1"):
            pass
    assert app.ledger_total() == 3 * ONE
    assert reasons(app) == []


MORE = {"gen_ai.usage.input_tokens": 9000}
OPUS = {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-opus-4-1", **MORE}


@pytest.mark.parametrize("told", ["around", "inside", "in a task begun inside"])
def test_nesting_hides_no_call_of_another_model(app: App, told: str) -> None:
    """A guardrail inside a call of a client nobody wraps, and the other way round, are two calls."""

    async def tell_later(over: asyncio.Event) -> None:
        await over.wait()
        with inference(**MORE):
            pass

    async def one_after_the_other() -> None:
        over = asyncio.Event()
        made = opened()
        token = otel_context.attach(made.context)
        task = asyncio.create_task(tell_later(over))
        otel_context.detach(token)
        finish(made)
        over.set()
        await task

    def finish(made: Call) -> None:
        made.finish(ResponseView(Reading({"input": 1000, "output": 250}), None, "gpt-4o", None), CallResult())

    if told == "around":
        with inference(**OPUS):
            call()
    elif told == "inside":
        made = opened()
        token = otel_context.attach(made.context)
        with inference(**OPUS):
            pass
        otel_context.detach(token)
        finish(made)
    else:
        asyncio.run(one_after_the_other())
    assert len(app.charges()) == 2
    assert reasons(app) == []


@pytest.mark.parametrize("outcome", [CallResult(), CallResult(RequestStatus.FAILURE, Chargeable.NO, "400")])
def test_a_wire_call_that_knows_no_usage_takes_back_nothing_known(app: App, outcome: CallResult) -> None:
    made = opened()
    with inference():
        pass
    made.finish(ResponseView(None, None, "gpt-4o", None), outcome)
    assert app.ledger_total() == ONE


@pytest.mark.parametrize(
    ("outcome", "charged"), [(CallResult(), ONE), (CallResult(RequestStatus.FAILURE, Chargeable.NO, "400"), 0)]
)
def test_usage_that_only_a_view_inside_of_a_call_has_is_the_calls(
    app: App, outcome: CallResult, charged: Decimal
) -> None:
    """An application that asks for no usage of a stream may have a vendor's instrumentation that counts it."""
    with aicost.run_scope("w") as run:
        made = opened()
        token = otel_context.attach(made.context)
        with inference():
            pass
        otel_context.detach(token)
        made.finish(ResponseView(None, None, "gpt-4o", None), outcome)
    assert (run.cost, run.calls, app.ledger_total()) == (charged, 1, charged)
    assert (len(app.charges()), reasons(app)) == (1, ["above"])


def test_a_span_that_ends_while_another_is_being_decided_ends_too(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A garbage collector may run an abandoned stream's `finally` at any allocation of ours."""
    abandoned = trace.get_tracer("stream.vendor").start_span("chat gpt-4o", attributes=CHAT)

    def collected(*views: Any) -> bool:
        if abandoned.is_recording():
            abandoned.set_attributes({**USAGE, "gen_ai.usage.input_tokens": 9000})
            abandoned.end()
        return agree(*views)

    def siblings() -> None:
        call(response_id="chatcmpl-1")
        with inference(response_id="chatcmpl-1"):
            pass

    monkeypatch.setattr(deduplication, "agree", collected)
    thread = threading.Thread(target=siblings, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "a lock was taken twice"
    assert not abandoned.is_recording()
    assert app.ledger_total() == ONE + ONE + Decimal("0.02")


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini"])
def test_a_view_that_names_another_model_is_another_call(app: App, model: str) -> None:
    tracer = trace.get_tracer("openinference.instrumentation.langchain")
    view = tracer.start_span("ChatOpenAI", attributes={**OPENINFERENCE, "llm.model_name": model})
    call(response_id="chatcmpl-1")
    view.end()
    assert len(app.charges()) == (1 if model == "gpt-4o" else 2)


@pytest.mark.parametrize("own_provider", [False, True])
def test_a_wire_call_that_is_told_of_last_replaces_what_was_counted_for_it(app: App, own_provider: bool) -> None:
    state = current()
    assert state is not None
    pipeline = state.pipeline_for(TracerProvider()) if own_provider else state.pipeline
    made = opened()  # a stream that the application leaves open
    tracer = trace.get_tracer("openinference.instrumentation.langchain")
    with aicost.run_scope("w") as run:
        view = tracer.start_span("ChatOpenAI", attributes=OPENINFERENCE)
        inner = Call(pipeline, Target("openai", "chat", "chat", "gpt-4o"))
        inner.attempt_started()
        view.end()
        assert run.cost == ONE
        inner.finish(ResponseView(Reading({"input": 1000, "output": 250}), "chatcmpl-1", "gpt-4o", None), CallResult())
    made.drop("cache")
    assert (run.cost, run.calls, app.ledger_total()) == (ONE, 1, ONE)
    assert sum(app.metrics()["aicost.cost"].values()) == pytest.approx(0.005)
    with LedgerReader(app.ledger_path) as ledger:
        assert [(seen.kind, seen.count) for seen in ledger.sightings()] == [("replaced", 1)]


def test_what_was_seen_besides_is_in_report_and_doctor(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    with inference("framework"):
        call(response_id="chatcmpl-1")
    aicost.flush()
    runner, path = CliRunner(), str(app.ledger_path)
    text = runner.invoke(main, ["report", "--ledger", path]).output
    assert "Seen besides, and not in the amounts above:" in text
    assert "1 x another view of a call that is counted (below): $0.005" in text
    data = json.loads(runner.invoke(main, ["report", "--ledger", path, "--json"]).output)
    assert data["sightings"] == [
        {"kind": "joined", "reason": "below", "count": 1, "amount": "0.005", "currency": "USD", "unknown": 0}
    ]
    monkeypatch.setenv("AICOST_LEDGER", path)
    assert "seen besides what is counted: 1 joined ($0.005)" in runner.invoke(main, ["doctor"]).output
    nobodys = json.loads(runner.invoke(main, ["report", "--ledger", path, "--json", "--tenant", "t"]).output)
    assert nobodys["sightings"] == []


def test_spans_made_from_callbacks_are_matched_one_for_one(app: App) -> None:
    tracer = trace.get_tracer("openinference.instrumentation.langchain")
    callbacks = [tracer.start_span("ChatOpenAI", attributes=OPENINFERENCE) for _ in range(3)]
    call(response_id="chatcmpl-1")
    call(response_id="chatcmpl-2")
    for span in callbacks:
        span.end()
    # Two of the three were seen nearer to the wire; nobody else saw the third.
    assert app.ledger_total() == 3 * ONE
    assert reasons(app) == ["same_call", "same_call"]


def test_equal_calls_of_one_observer_are_that_many_calls(app: App) -> None:
    tracer = trace.get_tracer("some.vendor")
    spans = [tracer.start_span("chat gpt-4o", attributes={**CHAT, **USAGE}) for _ in range(3)]
    for span in spans:
        span.end()
    assert app.ledger_total() == 3 * ONE
    assert reasons(app) == []


def test_an_equal_call_at_another_time_is_another_call(app: App) -> None:
    call(response_id="chatcmpl-1")
    time.sleep(0.03)
    with inference():
        pass
    assert app.ledger_total() == 2 * ONE


def test_sums_on_agents_and_workflows_are_not_counted(app: App) -> None:
    with foreign(
        "invoke_agent planner", gen_ai__operation__name="invoke_agent", gen_ai__agent__name="planner"
    ) as agent:
        with inference():
            pass
        with inference():
            pass
        agent.set_attributes({"gen_ai.usage.input_tokens": 2000, "gen_ai.usage.output_tokens": 500})
    assert app.ledger_total() == 2 * ONE


def test_what_a_tool_calls_is_not_the_call_around_it(app: App) -> None:
    with inference("framework", **{"gen_ai.usage.output_tokens": 500}), foreign("execute_tool search"):
        call(response_id="chatcmpl-1")
    assert app.ledger_total() == ONE + Decimal("0.0075")
    assert reasons(app) == []


def test_another_kind_of_call_inside_is_not_the_same_inference(app: App) -> None:
    with inference("framework"):
        aicost.record_usage(
            provider="openai", model="text-embedding-3-small", operation="embeddings", usage={"input": 1}
        )
    assert app.ledger_total() == ONE + Decimal("0.00000002")


def test_a_call_that_was_refused_does_not_hide_what_was_answered(app: App) -> None:
    with inference("framework"):  # its client was refused, and it went on with one that nobody wraps
        call(CallResult(RequestStatus.FAILURE, Chargeable.NO, "RateLimitError", 429))
    assert app.ledger_total() == ONE
    assert reasons(app) == []


def test_a_failure_seen_twice_is_one_failure(app: App) -> None:
    with foreign(**CHAT) as span:
        call(CallResult(RequestStatus.FAILURE, Chargeable.NO, "RateLimitError", 429))
        span.set_status(Status(StatusCode.ERROR))
    assert len(app.charges()) == 1
    assert reasons(app) == ["below"]


@pytest.mark.parametrize(("error", "chargeable"), [("429", "no"), ("ReadTimeout", "possibly")])
def test_a_failure_only_others_report_is_no_invented_amount(app: App, error: str, chargeable: str) -> None:
    with foreign(**CHAT) as span:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
    (charge,) = app.charges()
    assert (charge.status, charge.chargeable, charge.error_type) == ("failure", chargeable, error)
    assert app.ledger_total() == 0


def test_an_answer_whose_counts_nobody_reports_is_unpriced_not_free(app: App) -> None:
    with foreign(**CHAT):
        pass
    assert app.inference["aicost.cost.status"] == "unpriced"


@pytest.mark.parametrize("name", ["chat", "chat with the user", "embeddings job", "call_llm"])
def test_a_span_that_only_sounds_like_a_call_is_none(app: App, name: str) -> None:
    with foreign(name, by="the.application"):
        call(response_id="chatcmpl-1")
    assert app.ledger_total() == ONE
    assert len(app.charges()) == 1


def test_a_span_ended_by_two_threads_at_once_ends_once(app: App) -> None:
    tracer = trace.get_tracer("some.vendor")
    for _ in range(50):
        span = tracer.start_span("chat gpt-4o", attributes={**CHAT, **USAGE})
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(span.end) for _ in range(2)]:
                done.result()
    assert len(app.spans) == 50


def test_views_are_matched_while_others_are_counted(app: App) -> None:
    def look(number: int) -> None:
        for _ in range(50):
            with inference(f"vendor{number}"):
                pass

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(look, number) for number in range(4)]:
            done.result()
    assert app.charges()


def test_agents_and_tools_of_others_are_steps_of_a_run(app: App) -> None:
    with foreign("invoke_agent planner"):
        with foreign("execute_tool search"), foreign("GET", by="http"):
            call()
        with aicost.attribution(tenant_id="t-1"):
            call()
    tool, agent = app.charges()
    assert (tool.workflow, tool.step, tool.agent) == ("planner", "search", "planner")
    assert (agent.workflow, agent.step, agent.agent) == ("planner", "planner", "planner")
    assert agent.run_id == tool.run_id
    assert agent.attribution["tenant_id"] == "t-1"


def test_a_scope_of_ours_inside_an_agent_of_others_is_innermost(app: App) -> None:
    with (
        aicost.run_scope("nightly") as run,
        foreign("invoke_agent planner"),
        aicost.track_step("draft"),
        foreign("GET", by="http"),
    ):
        call()
    (charge,) = app.charges()
    assert (charge.run_id, charge.workflow, charge.step, charge.agent) == (
        run.id,
        "nightly",
        "draft",
        "planner",
    )
    assert run.cost == ONE


def test_what_a_failed_tool_of_others_spent_is_waste(app: App) -> None:
    with aicost.run_scope("nightly") as run, foreign("execute_tool search") as span:
        call()
        span.set_status(Status(StatusCode.ERROR))
    assert run.waste == run.cost == ONE


def test_an_openinference_span_reads_like_any_other(app: App) -> None:
    with foreign("ChatCompletion", by="openinference.instrumentation.openai") as span:
        span.set_attributes({**OPENINFERENCE, "llm.token_count.prompt_details.cache_read": 600})
    assert app.ledger_total() == Decimal("0.00425")


def test_a_span_ends_when_and_how_its_owner_says(app: App) -> None:
    tracer = trace.get_tracer("some.vendor")
    span = tracer.start_span("chat gpt-4o", attributes={**CHAT, **USAGE}, start_time=1_000)
    span.end(end_time=5_000)
    span.end()  # a second time is the owner's mistake, and nothing here
    assert [(s.start_time, s.end_time) for s in app.spans] == [(1_000, 5_000)]
    assert "end" not in vars(span)
    (charge,) = app.charges()
    assert (charge.started_ns, charge.ended_ns) == (1_000, 5_000)


@pytest.mark.provokes_own_failure
def test_a_span_ends_though_adopting_it_fails(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aicost.telemetry.adoption.dialect_of", lambda *_: 1 / 0)
    with inference():
        pass
    assert len(app.spans) == 1
    assert guard.errors()


def test_nothing_is_adopted_after_shutdown(app: App) -> None:
    aicost.shutdown()
    with inference():
        pass
    assert app.inferences == []


def test_views_cover_each_other_when_no_span_is_recorded(make_app: Callable[..., App]) -> None:
    provider, exporter = recorded(ALWAYS_OFF)
    app = make_app(provider=provider, exporter=exporter)
    view = opened("some.framework")
    token = otel_context.attach(view.context)
    call(response_id="chatcmpl-1")
    otel_context.detach(token)
    view.finish(ResponseView(Reading({"input": 1000, "output": 250})), CallResult())
    assert app.ledger_total() == ONE
