"""The same call and the same stream through other instrumentations: `python3 tasks.py peers`.

Each runs alone in a process of its own, content capture off, spans to a batch processor with an exporter that drops
them, no metrics. The time is extra CPU over the same client without instrumentation, measured in turn.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

NAMES = {
    "aicost": "aicost",
    "OpenLLMetry": "opentelemetry-instrumentation-openai",
    "OpenInference": "openinference-instrumentation-openai",
}


def measure(name: str) -> None:
    """Print the extra microseconds of a call and of a streamed chunk, and the spans' token attributes."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    from stub import CHUNKS, call, client, stream
    from timing import microseconds

    class Null(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - the signature is the SDK's
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Null()))
    trace.set_tracer_provider(provider)
    made = client()
    switch_on, switch_off = _switches(name)
    extra: dict[str, list[float]] = {"call": [], "stream": []}
    for _ in range(7):
        bare = microseconds({"call": lambda: call(made)}, rounds=1, calls=200)
        bare |= microseconds({"stream": lambda: stream(made)}, rounds=1, calls=10)
        switch_on()
        with_it = microseconds({"call": lambda: call(made)}, rounds=1, calls=200)
        with_it |= microseconds({"stream": lambda: stream(made)}, rounds=1, calls=10)
        switch_off()
        for what, times in extra.items():
            times.append(with_it[what] - bare[what])
    middle = {what: sorted(times)[len(times) // 2] for what, times in extra.items()}
    print(f"{middle['call']:.0f} {middle['stream'] / CHUNKS:.2f}")


def _switches(name: str):  # type: ignore[no-untyped-def]  # three packages, three types
    if name == "aicost":
        import aicost

        return lambda: aicost.instrument("openai"), aicost.shutdown
    if name == "OpenLLMetry":
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    else:
        from openinference.instrumentation.openai import OpenAIInstrumentor
    instrumentor = OpenAIInstrumentor()
    return instrumentor.instrument, instrumentor.uninstrument


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--measure":
        measure(sys.argv[2])
        return
    environment = {**os.environ, "TRACELOOP_TRACE_CONTENT": "false"}
    environment |= {"OPENINFERENCE_HIDE_INPUTS": "true", "OPENINFERENCE_HIDE_OUTPUTS": "true"}
    print(f"openai {version('openai')}\n\n| | version | call, extra µs | per chunk, extra µs |\n|---|---|---|---|")
    for name, package in NAMES.items():
        done = subprocess.run(
            [sys.executable, __file__, "--measure", name], capture_output=True, text=True, env=environment, check=False
        )
        told = done.stdout.split()
        if done.returncode or len(told) < 2:
            print(f"| {name} | {version(package)} | failed: {done.stderr.strip().splitlines()[-1:]} | |")
        else:
            print(f"| {name} | {version(package)} | {told[-2]} | {told[-1]} |", flush=True)


if __name__ == "__main__":
    main()
