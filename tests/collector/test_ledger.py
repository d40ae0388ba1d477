"""A collector's ledger says what that of the process says, however its spans come and however often."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from difflib import unified_diff
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from rich.console import Console

import aicost
from aicost.collector.intake import _record
from aicost.collector.pricer import Pricer
from aicost.collector.wire import MalformedRequestError
from aicost.ledger import Ledger
from aicost.ledger.query import BREAKDOWNS
from aicost.ledger.reader import LedgerReader
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel
from aicost.reports.explain import explain, render
from aicost.reports.report_data import to_json
from aicost.reports.summary import ReportRequest, build_report
from aicost.testing import ProviderEmulator
from tests.conftest import App

from . import scenario
from .running import AsProcess, InProcess, a_request, a_span, chat, post, put

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def sent(spans: Any) -> list[ExportTraceServiceRequest]:
    """The spans as an exporter sends them."""
    return [ExportTraceServiceRequest.FromString(encode_spans(spans).SerializeToString())]


def in_pieces(spans: Any) -> list[ExportTraceServiceRequest]:
    """The spans a few at a time, in no order."""
    spans = list(spans)
    random.Random(7).shuffle(spans)
    return [piece for start in range(0, len(spans), 3) for piece in sent(spans[start : start + 3])]


def by_http(collector: InProcess, request: ExportTraceServiceRequest) -> None:
    assert post(collector.http, request.SerializeToString())[0] == 200


def by_grpc(collector: InProcess, request: ExportTraceServiceRequest) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{collector.grpc}") as channel:
        channel.unary_unary(METHOD)(request.SerializeToString(), timeout=20)


WAYS = {
    "once, over HTTP": lambda spans: (by_http, sent(spans)),
    "once, over gRPC": lambda spans: (by_grpc, sent(spans)),
    "twice, over HTTP": lambda spans: (by_http, sent(spans) * 2),
    "in pieces, over gRPC": lambda spans: (by_grpc, in_pieces(spans)),
    "in pieces and whole": lambda spans: (by_http, [*in_pieces(spans), *sent(spans), *in_pieces(spans)]),
}


def by_each(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of a report by each dimension there is."""
    return {by: to_json(build_report(path, ReportRequest((by,))))["rows"] for by in BREAKDOWNS}


def said(path: Path) -> dict[str, Any]:
    """Everything a ledger says to anybody who asks, but for what only the process can know."""
    with LedgerReader(path) as ledger:
        rows = {
            "runs": _rows(ledger, "SELECT * FROM runs ORDER BY run_id"),
            "steps": _rows(ledger, "SELECT * FROM steps ORDER BY step_id"),
            "outcomes": _rows(ledger, "SELECT * FROM outcomes ORDER BY id"),
            "charges": _rows(ledger, "SELECT * FROM charges ORDER BY event_id"),
            "rates": _rows(ledger, "SELECT * FROM rates ORDER BY rate_card, rate_id"),
            "aliases": _rows(ledger, "SELECT * FROM aliases ORDER BY alias"),
        }
    for row in (row for table in rows.values() for row in table):
        if "attribution" in row:
            row["attribution"] = json.loads(row["attribution"])
        # A span begins a little before the run, step or attempt that it is of, and ends a little after it.
        for name in ("started_ns", "ended_ns"):
            row.pop(name, None)
        # The API an event was read by, and how often it was entered anew, are the door's own.
        for name in ("api", "request_id"):
            row.pop(name, None)
    # Views that their process has found to be of another's call are not told of with what they would have cost.
    report = {"totals": to_json(build_report(path, ReportRequest()))["totals"], "by": by_each(path)}
    explained = {row["run_id"]: explain(path, row["run_id"]) for row in rows["charges"] if row["run_id"]}
    for one in explained.values():
        one["attempts"].sort(key=lambda attempt: attempt["event_id"])
    return {**rows, "report": report, "explained": explained}


def _rows(ledger: LedgerReader, select: str) -> list[dict[str, Any]]:
    rows = [dict(row) for row in ledger._rows(select, ())]
    return [{name: one.hex() if isinstance(one, bytes) else one for name, one in row.items()} for row in rows]


def same(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """That they are the same; else what is not, line by line."""
    one, other = ([*_lines(what)] for what in (ours, theirs))
    differences = "\n".join(unified_diff(one, other, "process", "collector", lineterm="", n=1))
    assert not differences, differences


def _lines(what: Any, where: str = "") -> Iterator[str]:
    if isinstance(what, dict):
        for key, value in sorted(what.items(), key=lambda item: str(item[0])):
            yield from _lines(value, f"{where}.{key}")
    elif isinstance(what, list):
        for number, value in enumerate(what):
            yield from _lines(value, f"{where}[{number}]")
    else:
        yield f"{where} = {what!r}"


@pytest.mark.parametrize("way", WAYS)
def test_a_collector_s_ledger_says_what_the_process_s_does(
    app: App, emulator: ProviderEmulator, collector: Callable[..., InProcess], tmp_path: Path, way: str
) -> None:
    scenario.use(emulator)
    aicost.flush()
    ours = said(app.ledger_path)
    path = tmp_path / "collector.sqlite"
    running = collector(ledger=str(path))
    send, requests = WAYS[way](app.spans)
    for request in requests:
        send(running, request)
    running.stop()
    same(said(path), ours)


def test_the_scenario_has_one_of_everything(app: App, emulator: ProviderEmulator) -> None:
    scenario.use(emulator)
    aicost.flush()
    ours = said(app.ledger_path)
    assert {run["status"] for run in ours["runs"]} == {"ok", "failed"}
    assert {run["parent_step_id"] is None for run in ours["runs"]} == {True, False}
    assert {(step["kind"], step["status"]) for step in ours["steps"]} == {
        *((kind, "ok") for kind in ("step", "agent", "tool")),
        *(("step", "failed"), ("tool", "failed")),
    }
    assert sorted(
        (one["name"][:8], one["count"], one["value"], one["unit"] and one["unit"][:7]) for one in ours["outcomes"]
    ) == [
        ("document", 3, "74.7", "USD"),
        ("nnnnnnnn", 1, "7", "minutes"),
        ("ticket", 1, None, None),
    ]
    statuses = {"priced", "partial", "estimated", "provider_reported", "unpriced"}
    assert {charge["charge_status"] for charge in ours["charges"]} == statuses
    assert {charge["chargeable"] for charge in ours["charges"]} == {"yes", "no", "possibly"}
    assert {charge["status"] for charge in ours["charges"]} == {"success", "retry", "timeout", "failure"}
    assert Decimal(ours["report"]["totals"][0]["wasted"]) > 0


@pytest.mark.parametrize("collectors", [1, 2])
def test_a_process_and_collectors_may_write_one_ledger(
    app: App, emulator: ProviderEmulator, collector: Callable[..., InProcess], collectors: int
) -> None:
    running = [collector(ledger=str(app.ledger_path)) for _ in range(collectors)]
    scenario.use(emulator)
    aicost.flush()
    ours = said(app.ledger_path)
    spans = list(app.spans)
    for number, request in enumerate([*in_pieces(spans), *sent(spans), *in_pieces(spans)]):
        by_http(running[number % collectors], request)
    same(said(app.ledger_path), ours)


def test_collectors_may_share_a_ledger_that_no_process_writes(
    app: App, emulator: ProviderEmulator, collector: Callable[..., InProcess], tmp_path: Path
) -> None:
    scenario.use(emulator)
    aicost.flush()
    path = tmp_path / "collector.sqlite"
    running = [collector(ledger=str(path)) for _ in range(2)]
    for number, request in enumerate(in_pieces(app.spans)):
        by_http(running[number % 2], request)
    same(said(path), said(app.ledger_path))


def test_what_is_going_on_in_a_process_does_not_end_for_a_collector(
    app: App, collector: Callable[..., InProcess]
) -> None:
    running = collector(ledger=str(app.ledger_path))
    with aicost.run_scope("nightly") as run:
        with aicost.track_step("draft"):
            aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 7})
        for request in in_pieces(app.spans):
            by_http(running, request)
        assert [(row["run_id"], row["status"]) for row in said(app.ledger_path)["runs"]] == [(run.id, "running")]
    by_http(running, sent(app.spans)[0])
    assert [row["status"] for row in said(app.ledger_path)["runs"]] == ["ok"]


def test_a_run_whose_span_never_came_is_unknown_and_neither_ok_nor_failed(
    app: App, collector: Callable[..., InProcess], tmp_path: Path
) -> None:
    with aicost.run_scope("outer") as outer, aicost.run_scope("inner"):
        aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 7})
    path = tmp_path / "collector.sqlite"
    running = collector(ledger=str(path))
    for request in sent([span for span in app.spans if span.name != "invoke_workflow outer"]):
        by_http(running, request)
    found = said(path)
    assert [(row["workflow"], row["status"]) for row in found["runs"]] == [("inner", "ok")]
    assert found["report"]["totals"][0]["wasted"] == "0"
    (attempt,) = explain(path, outer.id)["attempts"]
    assert [(scope["name"], scope["status"]) for scope in attempt["path"]] == [("inner", "ok")]


CARD = {
    "schema": "aicost.rate-card/1",
    "id": "house",
    "version": "1",
    "currency": "USD",
    "providers": [
        {
            "provider": "openai",
            "source": "a contract",
            "checked": "2026-11-01",
            "models": [{"model": "gpt-4o", "rates": [{"meter": "input", "price": "3", "per": 1000000}]}],
        }
    ],
}


def test_lines_priced_with_a_card_the_collector_has_not_are_unknown_and_say_why(
    app: App, collector: Callable[..., InProcess], tmp_path: Path
) -> None:
    with aicost.run_scope("nightly") as run:
        aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 100, "output": 10})
    card, path = tmp_path / "card.json", tmp_path / "collector.sqlite"
    card.write_text(json.dumps(CARD))
    running = collector(ledger=str(path), rate_card={"path": str(card)})
    by_http(running, sent(app.spans)[0])
    (attempt,) = explain(path, run.id)["attempts"]
    assert [(line["quantity"], line["amount"]) for line in attempt["lines"]] == [("100", None), ("10", None)]
    assert (attempt["amount"], attempt["lines_reason"]) == ("0.00035", "other_rate_card")
    console = Console(file=io.StringIO(), width=200)
    render(explain(path, run.id), console)
    assert "priced it with bundled@" in console.file.getvalue()  # type: ignore[attr-defined]
    for by, rows in by_each(path).items():
        assert sum(Decimal(row["amount"]) for row in rows) == Decimal("0.00035"), by
        assert not any(row["unpriced"] for row in rows), by


def a_part(name: str, number: int, parent: int, start: int, end: int, *, failed: bool = False, **more: Any) -> Span:
    """A span of an application that aicost is not in, at seconds of one trace."""
    span = a_span(
        more, name=name, number=number, trace_id=(7).to_bytes(16, "big"), parent_span_id=parent.to_bytes(8, "big")
    )
    if not parent:
        span.parent_span_id = b""
    span.start_time_unix_nano, span.end_time_unix_nano = (
        1_790_000_000_000_000_000 + second * 10**9 for second in (start, end)
    )
    if failed:
        span.status.code = 2
    return span


def foreign_spans() -> list[Span]:
    """An agent with a tool that fails and a chain that is no step, and a call in each."""
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner", "aicost.tenant.id": "t-1"}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    return [
        a_part("chat gpt-4o", 5, 3, 2, 3, **chat(5)),
        a_part("execute_tool search", 3, 2, 1, 4, failed=True, **tool),
        a_part("chat gpt-4o", 6, 4, 5, 6, **chat(6)),
        a_part("chain", 4, 2, 5, 7, **{"gen_ai.operation.name": "chain"}),
        a_part("invoke_agent planner", 2, 0, 0, 8, **agent),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_steps_of_an_application_without_aicost_are_told_by_its_spans_in_any_order(
    collector: Callable[..., InProcess], tmp_path: Path, seed: int
) -> None:
    spans = foreign_spans()
    random.Random(seed).shuffle(spans)
    # Of what is no step the collector remembers nothing: that has to come with the call that it is around.
    chained = [span for span in spans if span.span_id in {(4).to_bytes(8, "big"), (6).to_bytes(8, "big")}]
    pieces = [chained, *([span] for span in spans if span not in chained)]
    random.Random(seed).shuffle(pieces)
    path = tmp_path / "collector.sqlite"
    running = collector(ledger=str(path))
    for piece in [*pieces, *pieces]:
        by_http(running, a_request(piece))
    found = said(path)
    trace = (7).to_bytes(16, "big").hex()
    (run,) = found["runs"]
    assert (run["run_id"], run["workflow"], run["status"], run["attribution"]) == (
        *(trace, "planner", "ok"),
        {"service": "shop", "tenant_id": "t-1"},
    )
    steps = {step["name"]: step for step in found["steps"]}
    assert {name: (step["kind"], step["status"]) for name, step in steps.items()} == {
        "planner": ("agent", "ok"),
        "search": ("tool", "failed"),
    }
    assert steps["search"]["parent_step_id"] == steps["planner"]["step_id"]
    assert [(row["by"]["step"], row["amount"], row["wasted"]) for row in found["report"]["by"]["step"]] == [
        ("planner", "0.0075", "0"),
        ("search", "0.0075", "0.0075"),
    ]
    assert {row["by"]["workflow"] for row in found["report"]["by"]["workflow"]} == {"planner"}


def test_a_collector_without_a_ledger_does_with_all_of_it_what_it_did(app: App, emulator: ProviderEmulator) -> None:
    scenario.use(emulator)
    (request,) = sent(app.spans)
    data = request.SerializeToString()
    kernel = Kernel(RateCard.bundled())
    assert Pricer(kernel).price(data).data == Pricer(kernel, events=True).price(data).data


SCRIPT = """
import sys, openai, aicost
aicost.init("app", ledger=sys.argv[2], exporter="otlp")
client = openai.OpenAI(base_url=sys.argv[1], api_key="test")
try:
    with aicost.run_scope("nightly", tenant_id="t-1"):
        with aicost.track_step("draft"):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
        aicost.record_outcome("document", idempotency_key="d-1")
        raise LookupError
except LookupError:
    pass
aicost.shutdown()
"""


def test_two_real_processes_end_up_with_ledgers_that_say_the_same(
    process: Callable[..., AsProcess], emulator: ProviderEmulator, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "process.sqlite", tmp_path / "collector.sqlite"
    running = process(ledger=str(theirs))
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{running.http}", "OTEL_METRICS_EXPORTER": "none"}
    where["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
    command = [sys.executable, "-c", SCRIPT, emulator.openai_base_url, str(ours)]
    subprocess.run(command, check=True, env={**os.environ, **where}, timeout=60)
    same(said(theirs), said(ours))
    assert said(theirs)["report"]["totals"][0]["wasted"] == said(theirs)["report"]["totals"][0]["amount"]


def spans_of_aicost(number: int = 2) -> list[Span]:
    """A run, a step and an outcome, as aicost's own spans tell them."""
    known = {"aicost.run.id": "run-1", "aicost.run.root_id": "run-1", "gen_ai.workflow.name": "nightly"}
    said = {"aicost.step.id": "step-1", "aicost.step.name": "draft"}
    run = a_span({"gen_ai.operation.name": "invoke_workflow", **known}, name="invoke_workflow nightly", number=1)
    step = a_span({**said, **known}, name="step draft", number=number)
    event = step.events.add(name="aicost.outcome", time_unix_nano=step.start_time_unix_nano)
    put(event, "aicost.outcome.name", "document")
    put(event, "aicost.outcome.count", 3)
    return [run, step]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_spans_of_runs_harm_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    kernel = Kernel(RateCard.bundled())
    ledger = Ledger.open(tmp_path_factory.getbasetemp() / "damaged.sqlite")
    pricer = Pricer(kernel, events=True)
    request = a_request([*spans_of_aicost(), a_span(number=3)], scope=data.draw(st.sampled_from(("aicost", "app"))))
    whole = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        priced = pricer.price(bytes(whole))
    except MalformedRequestError:
        return
    assert _record(ledger, priced)
    ledger.close()


def test_an_outcome_without_an_id_counts_once_by_its_span(collector: Callable[..., InProcess], tmp_path: Path) -> None:
    path = tmp_path / "collector.sqlite"
    running = collector(ledger=str(path))
    for number in (2, 2, 4, 4):
        by_http(running, a_request(spans_of_aicost(number), scope="aicost"))
    found = said(path)
    assert [(one["name"], one["count"], one["run_id"]) for one in found["outcomes"]] == [("document", 3, "run-1")] * 2
    assert [row["status"] for row in found["runs"]] == ["ok"]


def test_times_that_no_ledger_holds_cost_nobody_their_charges(
    collector: Callable[..., InProcess], tmp_path: Path
) -> None:
    run, step = spans_of_aicost()
    run.end_time_unix_nano = step.events[0].time_unix_nano = 2**64 - 1
    path = tmp_path / "collector.sqlite"
    running = collector(ledger=str(path))
    by_http(running, a_request([run, step, a_span()], scope="aicost"))
    found = said(path)
    assert [len(found[what]) for what in ("charges", "runs", "steps", "outcomes")] == [1, 1, 1, 1]


@pytest.mark.parametrize("scope", ["aicost", "app"])
def test_a_name_that_is_no_text_costs_a_span_nothing(scope: str, tmp_path: Path) -> None:
    said = {**chat(), "aicost.label.cohort": "beta"}
    request = a_request([a_span({**said, "odd.name": 1, "odd.too": 2})], scope=scope).SerializeToString()
    odd = request.replace(b"odd.name", b"odd\xff\xfeame").replace(b"odd.too", b"\xc3\x28d.too")
    assert len(odd) == len(request)
    ledger = Ledger.open(tmp_path / "l.sqlite")
    (counted,) = Pricer(Kernel(RateCard.bundled()), events=True).price(odd).counted
    ((event, charge),) = counted.entries
    assert (event.attribution["label:cohort"], charge.status.value) == ("beta", "priced")
    ledger.close()
