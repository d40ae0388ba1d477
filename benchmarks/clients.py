"""What aicost adds to a call through each client that is installed here.

    python benchmarks/clients.py

The provider is the emulator, in a process of its own. What is measured is the processor time of the thread that makes
the call, with and without aicost, in turns; the yardstick is a span with the same number of attributes written by hand.
Run it in one client's environment: `nox -s "bench(client='cohere')"`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from tests.clients.doors import DOORS
from tests.clients.doors.door import Door

import aicost
from aicost.testing import ProviderEmulator

ROUNDS, CALLS, ATTRIBUTES = 9, 30, 30


class Null(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002 - the signature is the SDK's
        return SpanExportResult.SUCCESS


class Elsewhere:
    """The emulator of another process, as far as a door connects to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def base_url(self, name: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{name}".rstrip("/")

    @property
    def openai_base_url(self) -> str:
        return self.base_url("v1")

    @property
    def anthropic_base_url(self) -> str:
        return self.base_url()


def serve() -> None:
    with ProviderEmulator() as emulator:
        print(emulator.port, flush=True)
        sys.stdin.read()


def processor_time(work: Any) -> float:
    """Microseconds of this thread for one call, the median of many."""
    taken = []
    for _ in range(CALLS):
        began = time.thread_time_ns()
        work()
        taken.append(time.thread_time_ns() - began)
    return statistics.median(taken) / 1000


def by_hand(tracer: Any) -> None:
    with tracer.start_as_current_span("chat m", attributes={f"key.{n}": n for n in range(ATTRIBUTES)}):
        pass


def added(door: Door, emulator: Elsewhere) -> float:
    client = door.connect(emulator)

    def work() -> None:
        door.read(client, "hello")

    work()
    differences = []
    for _ in range(ROUNDS):
        bare = processor_time(work)
        aicost.instrument()
        differences.append(processor_time(work) - bare)
        aicost.uninstrument()
    return statistics.median(differences)


def main() -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Null()))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("by hand")
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    emulator = Elsewhere(int(server.stdout.readline()))
    yardstick = statistics.median(processor_time(lambda: by_hand(tracer)) for _ in range(ROUNDS))
    print(f"a span by hand, {ATTRIBUTES} attributes: {yardstick:.0f} µs\n")
    print("| door | added, µs | of the span |\n|---|---|---|")
    seen = set()
    for door in DOORS:
        if door.is_async or (door.client, door.kind) in seen or door.kind == "manager":
            continue
        seen.add((door.client, door.kind))
        extra = added(door, emulator)
        print(f"| {door.id} | {extra:.0f} | {extra / yardstick:.1f} x |", flush=True)
    server.terminate()


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
