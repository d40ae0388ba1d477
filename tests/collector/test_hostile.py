"""Spans that say odd things cost nobody else anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from aicost._settings.collector_section import CollectorSettings
from aicost.collector.exporters import exporters_for
from aicost.collector.pricer import Pricer
from aicost.collector.spool import Spool
from aicost.ledger.query import Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.kernel import kernel_in_force
from aicost.reports.explain import explain
from aicost.semconv import attributes as a

from .running import (
    Backend,
    InProcess,
    a_request,
    a_span,
    attributes_of,
    chat,
    get,
    metric,
    post,
    settings,
    spans_of,
    status,
    until,
)
from .test_lanes import QUICK, body, kept, otlp


def priced(data: bytes) -> list[dict[str, Any]]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    done = Pricer(kernel_in_force()).price(data).data
    return [attributes_of(span) for span in spans_of(ExportTraceServiceRequest.FromString(done))]


@pytest.mark.parametrize("scope", ["pydantic-ai", "logfire", "opentelemetry.instrumentation.openai_v2", "application"])
@pytest.mark.parametrize("order", [(True, False), (False, True), (True, False, True)], ids=str)
def test_how_a_span_came_out_is_its_own(scope: str, order: tuple[bool, ...]) -> None:
    spans = []
    for number, fails in enumerate(order):
        span = a_span({**chat(number), **({"error.type": "overloaded"} if fails else {})})
        if fails:
            span.status.code = Status.STATUS_CODE_ERROR
        spans.append(span)
    found = priced(a_request(spans, scope=scope).SerializeToString())
    assert [one["aicost.request.status"] for one in found] == ["failure" if fails else "success" for fails in order]
    assert [one.get("error.type") for one in found] == ["overloaded" if fails else None for fails in order]


ODD = [5, 2.5, float("nan"), True, ["x"], "", "x" * 100_000, "\x00"]
NAMES = [
    *("gen_ai.request.model", "gen_ai.response.model", "gen_ai.provider.name", "gen_ai.operation.name"),
    *("gen_ai.response.id", "gen_ai.agent.name", "gen_ai.workflow.name", "server.address", "error.type"),
    *(a.AICOST_RUN_ID, a.AICOST_STEP_ID, a.AICOST_STEP_NAME, a.AICOST_TENANT_ID, a.AICOST_COST_STATUS),
    *(a.AICOST_EVENT_ID, a.AICOST_COST_AMOUNT_EXACT, a.AICOST_RESPONSE_SERVICE_TIER, a.AICOST_USAGE_FLAGS),
]


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_attribute_costs_no_other_span_its_price_and_no_report_its_sense(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path, name: str
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    one = collector(ledger=str(ledger))
    for scope in ("aicost", "pydantic-ai"):
        for odd in ODD:
            outer = a_span({**chat(), a.AICOST_COST_STATUS: "unpriced", name: odd})
            inner = a_span(chat())
            inner.trace_id, inner.parent_span_id = outer.trace_id, outer.span_id
            request = a_request([outer], scope=scope)
            request.MergeFrom(a_request([inner, *(a_span() for _ in range(3))]))
            assert post(one.http, request.SerializeToString())[0] == 200
    found = [attributes_of(span) for span in backend.spans]
    assert sum("aicost.cost.amount" in one for one in found) >= 2 * len(ODD) * 3
    with LedgerReader(ledger) as reader:
        assert sum(row.calls for row in reader.answer(Query())) >= 2 * len(ODD) * 3
        assert all(
            len(row.key or "") <= 256
            for by in ("model", "agent", "workflow", "step")
            for row in reader.answer(Query((by,) if by else ()))
        )
        assert reader.sightings(Filter(since_ns=1)) is not None


def test_steps_and_runs_that_are_inside_of_themselves_can_be_explained(
    collector: Callable[..., InProcess], tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    one = collector(ledger=str(ledger))
    spans = []
    for step, parent in (("s1", "s2"), ("s2", "s1"), ("s3", "s3")):
        span = a_span(
            {
                a.AICOST_STEP_ID: step,
                a.AICOST_STEP_NAME: step,
                a.AICOST_STEP_PARENT_ID: parent,
                a.AICOST_RUN_ID: "run-01",
            }
        )
        span.name = f"step {step}"
        spans.append(span)
    for run, parent in (("run-01", "run-02"), ("run-02", "run-01"), ("run-03", "run-03")):
        run_span = a_span({"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": run,
                           a.AICOST_RUN_ID: run, a.AICOST_RUN_PARENT_ID: parent})  # fmt: skip
        spans.append(run_span)
    for run, step in (("run-01", "s1"), ("run-03", "s3")):
        spans.append(a_span({**chat(), a.AICOST_RUN_ID: run, a.AICOST_STEP_ID: step, a.AICOST_STEP_NAME: step,
                             a.AICOST_COST_STATUS: "unpriced"}))  # fmt: skip
    assert post(one.http, a_request(spans, scope="aicost").SerializeToString())[0] == 200
    for run in ("run-01", "run-03"):
        assert explain(ledger, run)["attempts"]
    with LedgerReader(ledger) as reader:
        assert reader.answer(Query(("step",)))


def test_many_damaged_spans_that_a_backend_refuses_are_one_file_for_a_person(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    one = collector(**kept(tmp_path))
    odd = [Span(name="plugh", trace_id=b"t" * 16, span_id=n.to_bytes(8, "big")) for n in range(1, 3000)]
    data = a_request([*odd, a_span({"a": 1})]).SerializeToString().replace(b"plugh", b"\xff\xff\xff\xff\xff")
    backend.answers.append(status(400))
    assert post(one.http, data)[0] == 200
    until(lambda: len(backend.ids()) == 1)
    until(lambda: metric(one.http, "aicost_collector_rejected_requests_total") == 2999)
    assert len(list((tmp_path / "spool" / "0" / "rejected").iterdir())) == 1


def test_a_page_of_metrics_names_each_once(collector: Callable[..., InProcess]) -> None:
    one = collector()
    for resource in ({"service.name": "shop"}, {"other": "x"}, {a.AICOST_TEAM: "core"}):
        assert post(one.http, a_request([a_span()], resource=resource).SerializeToString())[0] == 200
    types = [line for line in get(one.http, "/metrics")[1].splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


# --- the spool


def test_a_signal_that_was_taken_before_a_restart_is_waited_for(backend: Backend, tmp_path: Path) -> None:
    config = settings(backend, **kept(tmp_path), drain_timeout=0.2)
    first = InProcess(config)
    assert post(first.http, body())[0] == 200
    until(lambda: len(backend.ids()) == 1)
    backend.always = status(404)
    assert post(first.http, body(4))[0] == 200
    first.stop()
    second = InProcess(config)
    time.sleep(0.5)
    backend.always = None
    until(lambda: len(backend.ids()) == 5)
    second.stop()


def test_an_exporter_that_takes_nothing_does_not_count_as_one_that_keeps_up(
    collector: Callable[..., InProcess], backend: Backend, tmp_path: Path
) -> None:
    refusing = Backend()
    refusing.always, backend.always = status(404), status(503)
    one = collector(exporters=[otlp(refusing), otlp(backend)], **kept(tmp_path, max_size="60KiB"))
    codes = [post(one.http, body(10))[0] for _ in range(60)]
    assert set(codes) == {200, 503}
    backend.always = None
    until(lambda: len(backend.ids()) == 10 * codes.count(200))
    refusing.close()


def test_refusals_long_apart_or_among_other_failures_are_each_given_their_time(
    collector: Callable[..., InProcess], backend: Backend
) -> None:
    exporter = {"type": "otlp-http", "endpoint": backend.url, "retry": {**QUICK, "give_up_after": "500ms"}}
    one = collector(exporters=[exporter])
    backend.always = status(401)
    assert post(one.http, body())[0] == 503
    time.sleep(0.7)
    assert post(one.http, body())[0] == 503
    backend.answers.append(status(503))
    time.sleep(0.3)
    assert post(one.http, body())[0] == 503
    time.sleep(0.3)
    assert post(one.http, body())[0] == 503


def test_a_spool_that_is_empty_takes_again_whatever_was_in_it(tmp_path: Path) -> None:
    for _ in range(2):
        spool = Spool(tmp_path, ["one"], max_size=100_000)
        for _ in range(3):
            spool.append("traces", b"x" * 90_000)
            record = spool.readers["one"].read()
            assert record is not None
            spool.readers["one"].delivered(record)
        spool.close()
    assert not list(tmp_path.glob("*.segment"))
    late = Spool(tmp_path, ["one", "two"], max_size=100_000)
    assert late.readers["two"].read() is None
    late.close()


def test_large_records_do_not_make_one_exporter_wait_for_another(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ["dead", "well"], max_size=100_000)
    for _ in range(10):
        spool.append("traces", b"x" * 60_000)
        record = spool.readers["well"].read()
        assert record is not None
        spool.readers["well"].delivered(record)
    assert spool.readers["dead"].left_behind > 0
    spool.close()


def test_a_signal_that_no_exporter_takes_any_more_takes_no_room(backend: Backend, tmp_path: Path) -> None:
    config = settings(backend, **kept(tmp_path), drain_timeout=0.2)
    (name,) = [one.name for one in exporters_for(CollectorSettings.model_validate(config).exporters)]
    left = Spool(tmp_path / "spool" / "0" / "logs", [name])
    left.append("logs", b"x" * 1000)
    left.close()
    config["exporters"][0]["signals"] = ["traces"]
    one = InProcess(config)
    assert not list((tmp_path / "spool" / "0" / "logs").glob("*.segment"))
    one.stop()


# --- time


def test_a_span_that_is_its_own_parent_is_gone_over_once() -> None:
    def seconds(count: int) -> float:
        loop = a_span({"a": 1})
        loop.parent_span_id = loop.span_id
        calls = []
        for number in range(count):
            call = a_span(chat(number))
            call.trace_id, call.parent_span_id = loop.trace_id, loop.span_id
            calls.append(call)
        request = a_request([loop, *calls[::2]])
        request.MergeFrom(a_request(calls[1::2], scope="other"))
        data = request.SerializeToString()
        began = time.perf_counter()
        pricer = Pricer(kernel_in_force(), events=True)
        pricer.price(data)
        return time.perf_counter() - began

    assert seconds(4000) < 30 * max(seconds(400), 0.01)


def test_calls_at_the_end_of_a_long_chain_of_spans_find_their_step_in_time_in_proportion() -> None:
    def seconds(count: int) -> float:
        chain = [a_span({"a": 1}) for _ in range(count)]
        calls = [a_span(chat(number)) for number in range(count)]
        for outer, inner in pairwise(chain):
            inner.trace_id, inner.parent_span_id = chain[0].trace_id, outer.span_id
        for call in calls:
            call.trace_id, call.parent_span_id = chain[0].trace_id, chain[-1].span_id
        data = a_request([*chain, *calls], scope="pydantic-ai").SerializeToString()
        began = time.perf_counter()
        Pricer(kernel_in_force(), events=True).price(data)
        return time.perf_counter() - began

    assert seconds(4000) < 30 * max(seconds(400), 0.01)


def test_a_report_over_many_failed_steps_of_a_run_takes_time_in_proportion(tmp_path: Path) -> None:
    from aicost.ledger import Ledger

    def seconds(count: int) -> float:
        path = tmp_path / f"{count}.sqlite"
        with_steps = Ledger.open(path)
        with_steps.start_run("r", workflow="w", started_ns=1)
        for number in range(count):
            with_steps.start_step(f"s{number}", run_id="r", name="s", kind="step", started_ns=1)
            with_steps.end_step(f"s{number}", status="failed", ended_ns=2)
        with_steps.close()
        with LedgerReader(path) as reader:
            began = time.perf_counter()
            reader.answer(Query(("step",)))
            return time.perf_counter() - began

    assert seconds(4000) < 30 * max(seconds(400), 0.01)
