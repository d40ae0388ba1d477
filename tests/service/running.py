"""Programs and servers as users run them, and what reaches a backend of theirs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from aicost.testing import ProviderEmulator
from aicost.testing.receiver import OtlpReceiver, attributes_of

HERE = Path(__file__).parent
NEVER_BY_TIME = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}


def environment(emulator: ProviderEmulator, receiver: OtlpReceiver, **more: str) -> dict[str, str]:
    """Exports to the receiver, over HTTP, and only when something makes it."""
    # Nor is it measured: a lock of coverage's (7.17, `Collector.lock_data`) that another thread holds when a program
    # forks is held in its child for ever.
    left_out = ("OTEL_", "AICOST_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {
        **kept,
        **NEVER_BY_TIME,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(HERE),
        "APP_PROVIDER": emulator.openai_base_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        **more,
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own; whatever is left of it at the end is killed."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, cwd=HERE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def get(port: int, within_s: float = 30.0) -> int:
    """Ask the service once, as soon as it answers. Returns the process that did."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as response:
                return int(response.read())
        except (urllib.error.URLError, ConnectionError) as error:  # noqa: PERF203 - it is asked again
            if isinstance(error, urllib.error.HTTPError) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def priced_spans(receiver: OtlpReceiver) -> list[str]:
    """The ids of the priced spans that arrived, each as often as it did."""
    return [span.span_id.hex() for span in receiver.spans if "aicost.cost.status" in attributes_of(span)]


def metered(receiver: OtlpReceiver) -> Decimal:
    """The cost that the metrics tell of: the last word of each process, all of them together."""
    return sum((Decimal(repr(value)) for value in last_words(receiver, "aicost.cost").values()), Decimal(0))


def last_words(receiver: OtlpReceiver, name: str) -> dict[tuple[str, str], float]:
    """The last value of each series of a counter, by process and attributes; a histogram's sum."""
    found: dict[tuple[str, str], float] = {}
    for instance, metric in receiver.metrics_by_instance:
        if metric.name == name:
            for point in (metric.sum or metric.histogram).data_points or metric.histogram.data_points:
                value = point.sum if hasattr(point, "bucket_counts") else (point.as_double or point.as_int)
                found[instance, str(sorted(attributes_of(point).items()))] = value
    return found
