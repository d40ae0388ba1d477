"""Counts and amounts that nothing can have are not known; whatever a file holds, its sums are exact."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import aicost
from aicost._money import to_decimal
from aicost.collector.pricer import Pricer
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.kernel import kernel_in_force
from aicost.reports.report_data import to_json
from aicost.reports.summary import ReportRequest, build_report
from aicost.usage.readers import READERS, read_usage
from aicost.usage.reading import PLAUSIBLE, PLAUSIBLE_COST
from tests.conftest import App

SCHEMA_4 = Path(__file__).parent / "schemas" / "schema_4.sql"
MOST = 2**63 - 1
EXTREMES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([PLAUSIBLE, PLAUSIBLE + 1, MOST, MOST + 1, 10**400, -1]),
    st.decimals(allow_nan=True, allow_infinity=True),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("extremes")


def written_by_a_former_version(path: Path, rows: list[tuple[int, int]]) -> None:
    """Rows with a count of tokens and an amount that nobody looked at."""
    for old in path.parent.glob(f"{path.name}*"):
        if old.is_file():
            old.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA_4.read_text())
        for table in ("charges", "charge_lines", "runs", "steps", "sightings", "aliases"):
            db.execute(f"DELETE FROM {table}")
        for n, (count, atto) in enumerate(rows):
            amount = divmod(atto, 10**9)
            db.execute(
                "INSERT INTO charges (event_id, payload_hash, provider, model, operation, status, billed, attempt, "
                "retry_count, backoff_ns, complete, estimated, flags, started_ns, ended_ns, run_id, charge_status, "
                "currency, nano, atto_rest, rate_card) VALUES (?, '', 'p', 'm', 'chat', 'failure', 'yes', 1, 0, 0, 1, "
                "0, '[]', 1, 2, 'run-000001', 'priced', 'USD', ?, ?, 't@1')",
                (f"e-{n}", *amount),
            )
            db.execute(
                "INSERT INTO charge_lines VALUES (?, 0, 'input', ?, '1', 1, 'r', ?, ?)", (f"e-{n}", str(count), *amount)
            )
        db.commit()


AMOUNTS = st.integers(-MOST * 10**9, MOST * 10**9)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.tuples(st.one_of(st.integers(1, MOST), st.just(MOST)), AMOUNTS), min_size=2, max_size=5))
def test_sums_are_exact_whatever_the_file_holds(folder: Path, rows: list[tuple[int, int]]) -> None:
    path = folder / "l.sqlite"
    written_by_a_former_version(path, rows)
    counts, amounts = sum(count for count, _ in rows), sum(atto for _, atto in rows)
    with LedgerReader(path) as reader:
        for by in (None, "model", "meter", "tenant"):
            (found,) = reader.answer(Query((by,) if by else ()))
            assert (found.atto, found.wasted_atto, found.input_tokens) == (amounts, amounts, counts)
    report = to_json(build_report(path, ReportRequest(("model", "meter"))))
    assert Decimal(report["totals"][0]["amount"]) == to_decimal(amounts)


def test_the_command_line_reports_what_a_former_version_wrote(folder: Path) -> None:
    path = folder / "cli.sqlite"
    written_by_a_former_version(path, [(MOST, 7_500_000_000 * 10**18)] * 2)
    for command in (["report", "--by", "model", "--json"], ["report", "--by", "meter"], ["explain", "run-000001"]):
        done = subprocess.run(
            [sys.executable, "-m", "aicost", *command, "--ledger", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        if "--json" in command:
            assert json.loads(done.stdout)["totals"][0]["amount"] == "15000000000"


@pytest.mark.parametrize("count", [PLAUSIBLE + 1, MOST, MOST + 1, 10**400])
@pytest.mark.parametrize("api", sorted(READERS))
def test_no_reader_takes_a_count_that_nothing_can_have(api: str, count: int) -> None:
    names = ("prompt_tokens", "input_tokens", "inputTokens", "prompt_token_count", "total_tokens", "prompt_eval_count")
    reading = read_usage(dict.fromkeys(names, count), api=api)
    assert all(quantity <= PLAUSIBLE for quantity in reading.usage.values())


def test_a_cost_that_nothing_can_have_is_not_believed() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    for cost in (PLAUSIBLE_COST + 1, 7.5e9, 1e300):
        charge = aicost.price(provider="openrouter", model="openai/gpt-4o", usage={**usage, "cost": cost})
        assert charge.status.value != "provider_reported"
        assert charge.amount is None or charge.amount < 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=st.lists(EXTREMES, min_size=1, max_size=3))
def test_what_cannot_be_is_flagged_and_every_face_stays_whole(app: App, counts: list[Any]) -> None:
    before = len(app.spans)
    with aicost.run_scope("w") as run:
        for count in counts:
            aicost.record_usage(
                provider="openai", model="gpt-4o", operation="chat", usage={"input": count, "requests": 1, "output": 5}
            )
    odd = [count for count in counts if not _is_plausible(count)]
    spans = app.spans[before:]
    encoded = encode_spans(spans)
    assert sum(len(s.spans) for r in encoded.resource_spans for s in r.scope_spans) == len(counts) + 1
    said = [dict(span.attributes or {}) for span in spans]
    assert sum("aicost.usage.flags" in attributes for attributes in said) == len(odd)
    assert all(quantity <= PLAUSIBLE * len(counts) for quantity in run.usage.values())
    assert run.cost < 10**9 * len(counts)
    assert run.calls == len(counts)


def _is_plausible(count: Any) -> bool:
    if isinstance(count, Decimal):
        exponent = count.as_tuple().exponent
        return count.is_finite() and 0 <= count <= PLAUSIBLE and isinstance(exponent, int) and exponent >= -60
    return bool(0 <= count <= PLAUSIBLE)


@pytest.mark.parametrize("scope", ["opentelemetry.instrumentation.openai_v2", "aicost"])
@pytest.mark.parametrize("count", [PLAUSIBLE + 1, MOST])
def test_a_collector_prices_no_count_that_nothing_can_have(scope: str, count: int) -> None:
    said: dict[str, Any] = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o",
        "gen_ai.usage.input_tokens": count, "gen_ai.usage.output_tokens": 3,
    }  # fmt: skip
    if scope == "aicost":
        said |= {"aicost.event.id": "e-000001", "aicost.usage.source": "provider", "aicost.usage.meter.input": count}
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer(scope).start_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=said).end()
    (priced_span,) = (
        Pricer(kernel_in_force(), events=True)
        .price(encode_spans(exporter.get_finished_spans()).SerializeToString())
        .counted
    )
    (_, charge), *_ = priced_span.entries
    assert charge.status.value in {"partial", "unpriced"}
    assert charge.amount is None or charge.amount < 1
