"""The performance budget, measured: `python3 tasks.py bench`.

Each row is a ratio, or a difference, between two things timed in turn in this one run. `--quick` takes fewer rounds
and fails only when something takes four times its limit, which on a shared machine is a defect and not noise.
`--write` puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aicost
from aicost import integrations
from aicost._settings import load
from aicost.journal import Journal, read
from aicost.ledger import Ledger, recording
from aicost.ledger.records import charges_record
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel
from aicost.scopes.ids import new_event_id, new_id
from aicost.telemetry import state
from aicost.usage.event import Origin, UsageEvent
from aicost.usage.readers import read_usage

sys.path.insert(0, str(Path(__file__).resolve().parent))
from stores import into_postgresql
from stub import CHUNKS, USAGE, abandon, call, client, read_bytes
from timing import microseconds


class _Null(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002 - the signature is the SDK's
        return SpanExportResult.SUCCESS


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: float
    limit: float
    unit: str
    how: str

    @property
    def kept(self) -> bool:
        return self.measured <= self.limit


def set_up(*, metrics: bool = False, **settings: Any) -> None:
    """aicost on the global provider, as an application has it."""
    aicost.shutdown()
    provider = MeterProvider(metric_readers=[InMemoryMetricReader()]) if metrics else None
    configured = state.configure(load(**settings), meter_provider=provider)
    integrations.instrument(("openai",), pipeline=configured.pipeline)


def call_rows(rounds: int, ledger: Path) -> list[Row]:
    """What a wrapped call costs on top of the bare one, beside a hand-written span."""
    made = client()
    tracer = trace.get_tracer("by.hand")
    count = _attributes_of_a_call(made)
    attributes = {f"some.attribute.{n}": n if n % 3 else f"value {n}" for n in range(count)}
    aicost.shutdown()

    def by_hand() -> None:
        with tracer.start_as_current_span("chat gpt-4o", kind=trace.SpanKind.CLIENT) as span:
            call(made)
            for name, value in attributes.items():
                span.set_attribute(name, value)

    variants: dict[str, dict[str, Any]] = {
        "spans": {},
        "metrics": {"metrics": True},
        "ledger": {"metrics": True, "ledger": ledger},
    }
    times: dict[str, list[float]] = {name: [] for name in ("bare", "hand", *variants)}
    for _ in range(rounds):
        aicost.shutdown()
        both = microseconds({"bare": lambda: call(made), "hand": by_hand}, rounds=1, calls=200)
        for name, settings in variants.items():
            set_up(**settings)
            both |= microseconds({name: lambda: call(made)}, rounds=1, calls=200)
        for name, taken in both.items():
            times[name].append(taken)
    aicost.shutdown()
    bare = _median(times["bare"])
    hand, spans, metrics, kept = (_median(times[name]) - bare for name in ("hand", *variants))
    note = f"{spans:.0f} µs against {hand:.0f} µs for {count} attributes by hand; the bare call takes {bare:.0f} µs"
    return [
        Row("wrapped call, extra CPU, to a hand-written span", spans / hand, 1.5, "x", note),
        Row("the same with metrics on", metrics / hand, 3, "x", f"{metrics:.0f} µs: three histogram points per call"),
        Row("the same with metrics and a ledger on", kept / hand, 5, "x", f"{kept:.0f} µs: one write to its journal"),
    ]


def stream_row(rounds: int) -> Row:
    """What watching a stream costs per chunk."""
    made = client()
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        aicost.shutdown()
        times["bare"].append(microseconds({"x": lambda: read_bytes(made)}, rounds=1, calls=20)["x"])
        set_up()
        times["ours"].append(microseconds({"x": lambda: read_bytes(made)}, rounds=1, calls=20)["x"])
    aicost.shutdown()
    extra = (_median(times["ours"]) - _median(times["bare"])) / CHUNKS
    return Row(
        "watched stream, extra per chunk",
        extra,
        2.0,
        "µs",
        f"{CHUNKS} chunks with usage asked for, the call's own share included",
    )


def price_rows(rounds: int) -> list[Row]:
    """Pricing, from an event and from a provider's raw usage."""
    kernel = Kernel(RateCard.bundled())
    now = time.time_ns()
    usage = read_usage(USAGE, api="chat").usage
    event = UsageEvent("e", "openai", "chat", "gpt-4o", usage, now, now)
    sonnet_usage = {
        "input": 100,
        "input_cache_read": 1000,
        "input_cache_write_5m": 50,
        "input_cache_write_1h": 150,
        "output": 80,
    }
    sonnet = UsageEvent("e", "anthropic", "chat", "claude-sonnet-4-5", sonnet_usage, now, now, service_tier="batch")
    timed = microseconds(
        {
            "event": lambda: kernel.price(event),
            "conditions": lambda: kernel.price(sonnet),
            "raw": lambda: aicost.price(provider="openai", model="gpt-4o", usage=USAGE, api="chat"),
        },
        rounds=rounds,
        calls=5000,
    )
    return [
        Row("pricing an event, warm", timed["event"], 2.0, "µs", "gpt-4o, four meters"),
        Row(
            "the same with every condition",
            timed["conditions"],
            2.0,
            "µs",
            "five meters, batch, a context threshold on each",
        ),
        Row("aicost.price() from a raw usage object", timed["raw"], 5.0, "µs", "reading, checking, pricing"),
    ]


def decorator_row(rounds: int) -> Row:
    """A tracked empty function beside a span by hand."""
    tracer = trace.get_tracer("by.hand")

    @aicost.track_step("s")
    def tracked() -> None: ...

    def by_hand() -> None:
        with tracer.start_as_current_span("s"):
            pass

    timed = microseconds({"tracked": tracked, "hand": by_hand}, rounds=rounds, calls=5000)
    note = f"{timed['tracked']:.1f} µs against {timed['hand']:.1f} µs"
    return Row(
        "track_step on an empty function, to start_as_current_span", timed["tracked"] / timed["hand"], 1.3, "x", note
    )


_IMPORT = """
import pathlib, resource, time
import opentelemetry.sdk.trace
statm = pathlib.Path("/proc/self/statm")
def rss():
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
began, before = time.perf_counter(), rss()
import aicost
imported, grown = (time.perf_counter() - began) * 1e3, rss() - before
began, before = time.perf_counter(), rss()
charge = aicost.price(provider="openai", model="gpt-4o", usage={"prompt_tokens": 9, "completion_tokens": 9})
assert charge.amount
print(imported, grown, (time.perf_counter() - began) * 1e3, rss() - before)
"""


def journal_rows(rounds: int) -> list[Row]:
    """What a call pays to have a charge kept, beside writing as many bytes and doing nothing else."""
    size, calls = 500, 4000
    with tempfile.TemporaryDirectory(prefix="aicost-bench-") as folder:
        journal, record = Journal(Path(folder) / "journal"), os.urandom(size)
        bare, raw = os.open(Path(folder) / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND), record + bytes(20)
        variants = {"append": lambda: journal.append(record), "bare": lambda: os.write(bare, raw)}
        timed = microseconds(variants, rounds=rounds, calls=calls)
        os.close(bare)
        journal.close()
        count = rounds * calls

        def read_all() -> None:
            for _ in read(journal.folder, {}, limit_bytes=2**40):
                pass

        reading = microseconds({"read": read_all}, rounds=rounds, calls=1)["read"] / count
    ratio = timed["append"] / timed["bare"]
    return [
        Row("keeping 500 bytes in the journal", timed["append"], 10, "µs", "a call waits for nothing else"),
        Row("the same, to the bare write", ratio, 5, "x", f"{timed['bare']:.1f} µs: `os.write` of as many bytes"),
        Row("reading a record of a journal", reading, 5, "µs", "checksum and all"),
    ]


def ledger_rows(charges: int) -> list[Row]:
    """Keeping a charge with three lines, taking it in, what it takes up; and a bare INSERT of as many bytes."""
    price = Kernel(RateCard.bundled()).price
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "l.sqlite"
        ledger = Ledger.open(path)
        made = [(event, price(event)) for event in _agent_calls(charges)]
        recording.SOON_S, soon = 3600.0, recording.SOON_S  # the thread would take in what is to be measured
        began = time.process_time()
        for entry in made:
            ledger.record([entry])
        kept = (time.process_time() - began) / charges * 1e6
        del made
        began = time.process_time()
        ledger.flush(600)
        taken_in = (time.process_time() - began) / charges * 1e6
        recording.SOON_S = soon
        ledger.close()
        size = path.stat().st_size / charges
        bare = sqlite3.connect(Path(folder) / "bare.sqlite", isolation_level=None)
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("CREATE TABLE rows (id BLOB PRIMARY KEY, content BLOB)")
        began = time.process_time()
        for start in range(0, charges, 130):
            bare.execute("BEGIN")
            rows = [(os.urandom(16), bytes(230)) for _ in range(min(130, charges - start))]
            bare.executemany("INSERT INTO rows VALUES (?, ?)", rows)
            bare.execute("COMMIT")
        beside = (time.process_time() - began) / charges * 1e6
        bare.close()
    rate = f"{1e6 / taken_in:,.0f} a second; {taken_in / beside:.1f} x a bare INSERT of as many bytes"
    return [
        Row("keeping a charge", kept, 10, "µs", "written down, and one write to the journal"),
        Row("taking a charge into SQLite", taken_in, 50, "µs", rate),
        Row("a charge with three lines in SQLite", size, 400, "bytes", "with its indexes"),
    ]


def postgresql_rows(charges: int) -> list[Row]:
    """Taking charges with three lines into a real PostgreSQL."""
    price = Kernel(RateCard.bundled()).price
    taken, copied, size = into_postgresql([charges_record([(one, price(one))]) for one in _agent_calls(charges)])
    rate = f"{1e6 / taken:,.0f} a second, client and server; {taken / copied:.1f} x a plain COPY of the same rows"
    return [
        Row("taking a charge into PostgreSQL", taken, 50, "µs", rate),
        Row("a charge with three lines in PostgreSQL", size, 800, "bytes", "with its indexes"),
    ]


def _agent_calls(count: int) -> Iterator[UsageEvent]:
    """Calls of an agent: four to a run, three steps, 50 tenants, 500 users."""
    run = step = new_id()
    where = Origin("api.openai.com", "org-1", None, "c:a2f60c7c5bd6f05e", "req_0a1b2c3d4e5f6071")
    for n in range(count):
        if n % 4 == 0:
            run, step = new_id(), new_id()
        began = 1_790_000_000_000_000_000 + n * 10**6
        owner = {"tenant_id": f"t-{n % 50}", "feature_id": "search", "team": "support", "user_id": f"u-{n % 500}"}
        yield UsageEvent(
            new_event_id(),
            "openai",
            "chat",
            "gpt-4o-2024-08-06",
            {"input": 812 + n % 700, "input_cache_read": 64 + n % 9, "output": 96 + n % 50},
            began,
            began + 900_000_000 + n,
            request_model="gpt-4o",
            response_id=f"chatcmpl-A7f89sd7f98s7df{n:06d}",
            api="chat.completions",
            trace_id=run,
            span_id=new_id()[:16],
            run_id=run,
            root_run_id=run,
            workflow="score",
            step=f"step-{n % 3}",
            step_id=step,
            attribution=owner,
            origin=where,
        )


def import_rows(rounds: int) -> list[Row]:
    """What importing aicost adds to importing the OpenTelemetry SDK."""
    found = [
        [
            float(part)
            for part in subprocess.run(
                [sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True
            ).stdout.split()
        ]
        for _ in range(rounds)
    ]
    return [
        Row("import aicost, over the OpenTelemetry SDK", _median([f[0] for f in found]), 30, "ms", ""),
        Row("memory of the import", _median([f[1] for f in found]), 10, "MiB", ""),
        Row("the first price", _median([f[2] for f in found]), 50, "ms", "reads one provider of the catalogue"),
        Row("memory of the first price", _median([f[3] for f in found]), 10, "MiB", ""),
    ]


def memory_rows(calls: int, streams: int) -> list[Row]:
    """Growth of the process over many calls and many abandoned streams, after a warm-up of the same length."""
    made = client()
    set_up()
    rows = []
    for what, work, count in (("calls", call, calls), ("abandoned streams", abandon, streams)):
        for _ in range(count):
            work(made)
        aicost.flush()
        before = _rss()
        for _ in range(count):
            work(made)
        aicost.flush()
        rows.append(Row(f"memory growth over {count:,} {what}", max(0.0, _rss() - before), 4.0, "MiB", ""))
    aicost.shutdown()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--soak", action="store_true", help="only memory, over 100,000 abandoned streams")
    chosen = parser.parse_args()
    rounds = 3 if chosen.quick else 9
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Null()))
    trace.set_tracer_provider(provider)
    ledger = Path(os.environ.get("TMPDIR", "/tmp")) / f"aicost-bench-{os.getpid()}.sqlite"

    def measured() -> list[Row]:
        if chosen.soak:
            return memory_rows(1_000, 100_000)
        return [
            *call_rows(rounds, ledger),
            stream_row(rounds),
            *price_rows(rounds),
            decorator_row(rounds),
            *journal_rows(rounds),
            *ledger_rows(4_000 if chosen.quick else 40_000),
            *postgresql_rows(4_000 if chosen.quick else 40_000),
            *import_rows(rounds),
            *memory_rows(*((2_000, 500) if chosen.quick else (40_000, 10_000))),
        ]

    tolerance = 4 if chosen.quick else 1
    rows = measured()
    if chosen.quick and any(row.measured > row.limit * tolerance for row in rows):
        # A busy machine looks like a slow program, once; a slow program does every time.
        rows = [min(pair, key=lambda row: row.measured) for pair in zip(rows, measured(), strict=True)]
    for path in ledger.parent.glob(ledger.name + "*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    table = ["| what | measured | limit | kept | |", "|---|---|---|---|---|"]
    for row in rows:
        kept = "yes" if row.kept else "no"
        table.append(f"| {row.what} | {row.measured:.2f} {row.unit} | {row.limit:g} {row.unit} | {kept} | {row.how} |")
    print("\n".join(table))
    if chosen.write:
        _write(table)
    missed = [row for row in rows if row.measured > row.limit * tolerance]
    for row in missed:
        print(f"over its limit: {row.what}: {row.measured:.2f} {row.unit}, limit {row.limit:g}", file=sys.stderr)
    return 1 if missed else 0


def _attributes_of_a_call(made: Any) -> int:
    """How many attributes aicost puts on the span of one call."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    configured = state.configure(load(), tracer_provider=provider)
    integrations.instrument(("openai",), pipeline=configured.pipeline)
    call(made)
    aicost.shutdown()
    return len(exporter.get_finished_spans()[0].attributes or {})


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _rss() -> float:
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _write(table: list[str]) -> None:
    path = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
    where = (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}, {time.strftime('%Y-%m-%d')}"
    )
    block = "\n".join(["<!-- table -->", "", f"Measured on {where}.", "", *table, "", "<!-- /table -->"])
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub(r"<!-- table -->.*<!-- /table -->", lambda _: block, text, flags=re.DOTALL), encoding="utf-8"
    )


if __name__ == "__main__":
    raise SystemExit(main())
