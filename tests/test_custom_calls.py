"""An integration that somebody else writes: its calls are recorded like any other, once, whatever it does."""

from __future__ import annotations

import gc
import threading
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

import aicost
from aicost import _later
from aicost.integrations.custom import OpenCall
from tests.conftest import App

USAGE = {"input": 1000, "output": 100}
COST = Decimal("0.0035")
"""Of `USAGE` at the prices of gpt-4o."""


def start(**more: Any) -> OpenCall:
    return aicost.start_call("acme-sdk", **{"provider": "openai", "model": "gpt-4o", **more})


RESPONSE = {
    "id": "chatcmpl-7f3KQz",
    "model": "gpt-4o-2024-08-06",
    "service_tier": "default",
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}


@pytest.mark.parametrize(
    "said",
    [{"usage": USAGE}, {"response": RESPONSE}, {"response": RESPONSE["usage"]}],
    ids=["counts by meter", "a response", "a usage object"],
)
def test_a_call_that_was_answered_is_recorded_and_priced(app: App, said: dict[str, Any]) -> None:
    with aicost.run_scope("r", tenant_id="t-1") as run:
        call = start()
        identity = call.event_id
        call.stop(**said)
    assert app.total().atto == COST * 10**18
    assert run.cost == COST
    assert app.inference["aicost.event.id"] == identity
    assert app.inference["aicost.tenant.id"] == "t-1"
    assert app.inference["gen_ai.request.model"] == "gpt-4o"
    assert (run.calls, run.attempts) == (1, 1)


def test_in_a_block_it_is_the_current_span_and_ends_with_it(app: App) -> None:
    with aicost.run_scope("r") as run:
        with start(operation="chat") as call:
            aicost.record_outcome("inside")
            call.stop(usage=USAGE)
        with pytest.raises(ZeroDivisionError), start() as call:
            raise ZeroDivisionError
        with start():
            pass
    assert run.cost == COST
    first, failed, silent = app.inferences
    assert failed["error.type"] == "ZeroDivisionError"
    assert silent["aicost.cost.reason"] == "usage_not_reported"
    assert next(span.events[0].name for span in app.spans if span.events) == "aicost.outcome"
    assert first["aicost.request.status"] == "success"


FAILURES: list[tuple[str, BaseException | str, bool | None, str, str]] = [
    ("a time-out", TimeoutError("slow"), None, "possibly", "timeout"),
    ("no connection", type("ConnectError", (Exception,), {})(), None, "no", "failure"),
    ("refused", type("Refused", (Exception,), {"status_code": 429})(), None, "no", "failure"),
    ("a cut connection", ConnectionResetError(), None, "possibly", "failure"),
    ("nobody knows what", ZeroDivisionError(), None, "possibly", "failure"),
    ("left half-way", GeneratorExit(), None, "possibly", "failure"),
    ("a gateway's time-out", type("Late", (Exception,), {"status_code": 504})(), None, "possibly", "failure"),
    ("in words", "content_filter", None, "possibly", "failure"),
    ("in words, and billed", "content_filter", True, "yes", "failure"),
    ("in words, and not", "quota", False, "no", "failure"),
]


@pytest.mark.parametrize(
    ("error", "chargeable", "found", "status"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
def test_a_failure_says_whether_it_may_be_billed(
    app: App, error: BaseException | str, chargeable: bool | None, found: str, status: str
) -> None:
    start().fail(error, chargeable=chargeable)
    said = app.inference
    assert (said["aicost.request.billed"], said["aicost.request.status"]) == (found, status)
    assert len(app.charges()) == 1


def test_each_attempt_is_an_event_and_the_most_of_a_lost_one_is_known(app: App) -> None:
    with aicost.run_scope("r") as run:
        call = start(max_output_tokens=200)
        first = call.event_id
        call.retry(TimeoutError())
        assert call.event_id != first
        call.stop(usage=USAGE)
    assert (run.calls, run.attempts, run.retries, run.possibly_billed, run.cost) == (1, 2, 1, 1, COST)
    assert len(app.charges()) == 2


def test_only_the_first_outcome_counts_from_whichever_thread(app: App) -> None:
    call = start()
    threads = [threading.Thread(target=call.stop, kwargs={"usage": USAGE}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    call.fail("too late")
    call.retry("too late")
    assert app.total().atto == COST * 10**18
    assert len(app.inferences) == 1


def test_one_that_is_dropped_may_have_been_billed(app: App) -> None:
    call = start()
    del call
    gc.collect()
    _later.drain()
    assert app.inference["aicost.request.billed"] == "possibly"
    assert len(app.charges()) == 1


def test_a_stream_that_was_cut_is_the_least_that_was_used(app: App) -> None:
    start(streaming=True).stop(usage=USAGE, complete=False)
    assert app.inference["aicost.cost.status"] == "partial"


@pytest.mark.clients
def test_what_aicost_sees_nearer_to_the_wire_is_counted_instead(app: App, emulator: Any) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=emulator.openai_base_url, api_key="k")
    with start() as call:
        made = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
        call.stop(made)
    assert app.ledger_total() == emulator.bill.total
    assert len(app.inferences) == 1


@pytest.mark.parametrize(
    "said", [{"response": object()}, {"response": {"x": 1}}, {"usage": {"input": -1}}, {"usage": 5}]
)
def test_nonsense_costs_the_application_nothing_and_is_not_lost(app: App, said: dict[str, Any]) -> None:
    start().stop(**said)
    assert app.inference["aicost.cost.status"] == "unpriced"
    assert len(app.charges()) == 1


def test_what_is_asked_wrongly_is_no_error_of_the_application(app: App, caplog: pytest.LogCaptureFixture) -> None:
    call = aicost.start_call("acme", provider=None, model=7, api="unheard-of", max_output_tokens="x")  # type: ignore[arg-type]
    call.stop(usage=USAGE)
    assert "unheard-of" in caplog.text
    assert len(app.charges()) == 1


def test_nothing_is_recorded_where_telemetry_is_suppressed(app: App) -> None:
    with suppress_instrumentation(), start() as call:
        assert call.event_id is None
        call.retry("x")
        call.stop(usage=USAGE)
    assert app.inferences == []
