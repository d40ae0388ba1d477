"""How fast the collector is, on one core, beside pricing with protobuf's own messages.

    python benchmarks/collector.py            # all of it, two minutes
    python benchmarks/collector.py --quick    # only what needs no service; fails if it got much slower

Spans of models have 25 attributes, as the instrumentations' have. The service is pinned to one core; its clients and
the backend are on the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.collector.reference import price_slowly
from tests.collector.running import a_request, a_span, chat

from aicost.collector.pricer import Pricer
from aicost.collector.service import collect_garbage_rarely
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel

BATCH = 512
SCOPE = {"scope": "opentelemetry.instrumentation.google_genai", "version": "1.3"}
LIMITS = {"llm": 150_000, "other": 1_000_000, "http": 100_000, "p99": 10.0, "rss": 300.0}
FASTER = 1.5
"""How much faster than the yardstick it has to be for `--quick` to pass."""


def batch(llm: float = 1.0, number: int = BATCH) -> bytes:
    spans = []
    for position in range(number):
        if position < number * llm:
            counts = {
                "gen_ai.usage.input_tokens": random.randint(1100, 9000),
                "gen_ai.usage.output_tokens": random.randint(1, 900),
                "gen_ai.usage.cache_read.input_tokens": 1024,
                "gen_ai.usage.reasoning.output_tokens": 0,
                "gen_ai.response.model": "gpt-4o-2024-08-06",
            }
            attributes = {**chat(random.getrandbits(60)), **counts}
        else:
            attributes = {"http.request.method": "POST", "url.full": "https://example.com/", "http.status": 200}
        more = {f"app.attribute.number{n}": "a value of some length" for n in range(25 - len(attributes))}
        spans.append(a_span({**attributes, **more}))
    return a_request(spans, **SCOPE).SerializeToString()


def per_second(price: Any, llm: float, rounds: int) -> float:
    """Spans a second of processor time: the best of three."""
    best = 0.0
    for _ in range(3):
        bodies = [batch(llm) for _ in range(rounds)]
        price(bodies[0])
        began = time.process_time()
        for body in bodies:
            price(body)
        best = max(best, rounds * BATCH / (time.process_time() - began))
    return best


def in_memory(rounds: int) -> dict[str, float]:
    collect_garbage_rarely()  # as the service does
    kernel = Kernel(RateCard.bundled())
    pricer = Pricer(kernel)
    return {
        "llm": per_second(pricer.price, 1.0, rounds),
        "stock": per_second(lambda body: price_slowly(body, kernel), 1.0, max(2, rounds // 4)),
        "mixed": per_second(pricer.price, 0.1, rounds),
        "other": per_second(pricer.price, 0.0, rounds),
    }


class Sink(asyncio.Protocol):
    """The least an OTLP backend can be: it reads a request and says yes, or, while it is told to hang, nothing."""

    hanging = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._left = 0
        self._head = b""

    def data_received(self, data: bytes) -> None:
        while data:
            if self._left == 0:
                self._head += data
                end = self._head.find(b"\r\n\r\n")
                if end < 0:
                    return
                head, data = self._head[:end].lower(), self._head[end + 4 :]
                self._head = b""
                self._left = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            taken = min(self._left, len(data))
            self._left -= taken
            data = data[taken:]
            if self._left == 0 and not Sink.hanging:
                self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


_HEAD = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"


async def client(port: int, bodies: list[bytes], until: float, pause: float = 0.0) -> tuple[int, list[float]]:
    """Post bodies until a time, each `pause` seconds after the last; how many, and how long each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took: list[float] = []
    position = 0
    due = time.perf_counter() + random.random() * pause
    while time.perf_counter() < until:
        if pause:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += pause
        body = bodies[position % len(bodies)]
        position += 1
        began = time.perf_counter()
        writer.write(_HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            break
        took.append(time.perf_counter() - began)
    writer.close()
    return len(took), took


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


async def service(seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    sink = await loop.create_server(Sink, "127.0.0.1", 0)
    target = f"http://127.0.0.1:{sink.sockets[0].getsockname()[1]}"
    config = {
        "receivers": {"http": {"listen": "127.0.0.1:0"}},
        "exporters": [{"type": "otlp-http", "endpoint": target, "compression": "none", "timeout": 60}],
    }
    file = Path(tempfile.mkdtemp()) / "collector.yaml"
    file.write_text(json.dumps(config))
    command = "from aicost.cli import main; main()"
    running = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", command, "collector", "--config", str(file)], stderr=subprocess.PIPE, text=True
    )
    port = json.loads(running.stderr.readline())["ports"]["http"]  # type: ignore[union-attr]
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(running.pid, {0})
        os.sched_setaffinity(0, {1})
    bodies = [batch() for _ in range(64)]
    await client(port, bodies, time.perf_counter() + 1)
    before, began = cpu_seconds(running.pid), time.perf_counter()
    done = await asyncio.gather(*(client(port, bodies, began + seconds) for _ in range(4)))
    requests, elapsed = sum(count for count, _ in done), time.perf_counter() - began
    used = cpu_seconds(running.pid) - before
    rate = requests / elapsed
    half = await asyncio.gather(
        *(client(port, bodies, time.perf_counter() + seconds, pause=8 / rate) for _ in range(4))
    )
    latencies = sorted(one for _, took in half for one in took)
    direct = await client(sink.sockets[0].getsockname()[1], bodies, time.perf_counter() + 1)
    Sink.hanging = True
    flood = [asyncio.create_task(client(port, bodies, time.perf_counter() + 4)) for _ in range(400)]
    await asyncio.wait(flood, timeout=6)
    memory = rss_mib(running.pid)
    running.kill()
    running.wait()
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    sink.close()
    return {
        "http": requests * BATCH / elapsed,
        "core": requests * BATCH / used,
        "p99": (latencies[int(len(latencies) * 0.99)] - statistics.median(direct[1])) * 1000,
        "p50": (statistics.median(latencies) - statistics.median(direct[1])) * 1000,
        "rss": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only in memory, and only against the yardstick")
    arguments = parser.parse_args()
    found = in_memory(8 if arguments.quick else 40)
    ratio = found["llm"] / found["stock"]
    print(f"spans of models, priced in memory   {found['llm']:>12,.0f} /s   limit {LIMITS['llm']:,}")
    print(f"  protobuf's own messages           {found['stock']:>12,.0f} /s   {ratio:.1f} times slower")
    print(f"one in ten a model's                {found['mixed']:>12,.0f} /s")
    print(f"other spans                         {found['other']:>12,.0f} /s   limit {LIMITS['other']:,}")
    if arguments.quick:
        sys.exit(0 if ratio >= FASTER else f"only {ratio:.1f} times as fast as the yardstick; {FASTER} is the limit")
    served = asyncio.run(service(6))
    print(f"over HTTP, one process              {served['http']:>12,.0f} /s   limit {LIMITS['http']:,}")
    print(f"  a second of its processor         {served['core']:>12,.0f} /s")
    print(
        f"added at half load, p50 and p99     {served['p50']:>6.1f} {served['p99']:.1f} ms   limit {LIMITS['p99']} ms"
    )
    print(f"memory with everything full         {served['rss']:>12,.0f} MiB  limit {LIMITS['rss']:.0f}")


if __name__ == "__main__":
    main()
