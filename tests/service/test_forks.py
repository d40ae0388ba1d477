"""A forked child neither hangs nor tells again what its parent has told."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import aicost
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.testing import OtlpReceiver, ProviderEmulator

from .running import environment, free_port, get, last_words, metered, priced_spans, running

CHILDREN = 200

BUSY = """
import os, sys, threading, time
import aicost

aicost.init(instrument=())
stop = threading.Event()
counts = [0] * 4

def use():
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1000, "output": 100})

def work(number):
    while not stop.is_set():
        with aicost.run_scope("busy"):
            with aicost.track_step("step"):
                use()
        counts[number] += 1

def child(run):
    use()
    aicost.record_outcome("done")
    assert run.attempts >= 1 and run.cost > 0
    aicost.flush(10)
    os._exit(0)

threads = [threading.Thread(target=work, args=(number,)) for number in range(len(counts))]
for thread in threads:
    thread.start()
hung = []
with aicost.run_scope("parent") as run:
    use()
    for _ in range(int(sys.argv[1])):
        pid = os.fork()
        if pid == 0:
            child(run)
        deadline = time.monotonic() + 30
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                hung.append(pid)
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                break
            time.sleep(0.001)
stop.set()
for thread in threads:
    thread.join()
assert aicost.flush(30)
print(len(hung), sum(counts) + 1)
"""


@pytest.mark.timeout(400)
def test_children_forked_from_busy_threads_neither_hang_nor_count_for_their_parent(
    emulator: ProviderEmulator, tmp_path: Path
) -> None:
    program, ledger = tmp_path / "program.py", tmp_path / "ledger.sqlite"
    program.write_text(BUSY)
    with OtlpReceiver() as receiver:
        # Collecting all the time, so that the SDK's locks are held as often as can be.
        often = {"OTEL_METRIC_EXPORT_INTERVAL": "20", "OTEL_BSP_SCHEDULE_DELAY": "20"}
        env = environment(emulator, receiver, AICOST_LEDGER=str(ledger), **often)
        command = [sys.executable, str(program), str(CHILDREN)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=390)
        assert done.returncode == 0, done.stderr
        hung, of_parent = map(int, done.stdout.split())
        assert hung == 0, done.stderr
        calls = of_parent + CHILDREN
        each = Decimal("0.0035")
        attempts = last_words(receiver, "aicost.request.attempts")
        assert len({instance for instance, _ in attempts}) == CHILDREN + 1
        assert sum(attempts.values()) == calls
        assert round(metered(receiver), 9) == calls * each
        assert sum(last_words(receiver, "gen_ai.client.token.usage").values()) == calls * 1100
        with LedgerReader(ledger) as reader:
            assert reader.answer(Query())[0].calls == calls
            assert reader.answer(Query())[0].atto == calls * each * 10**18


@pytest.mark.parametrize("workers", ["sync", "gthread", "asgi"])
def test_workers_forked_from_a_preloaded_application_leave_its_cost_to_it(
    workers: str, emulator: ProviderEmulator, tmp_path: Path
) -> None:
    port = free_port()
    command = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--no-control-socket", "--preload", "--workers", "2",
               "--worker-class", workers, "app:asgi" if workers == "asgi" else "app:wsgi"]  # fmt: skip
    with OtlpReceiver() as receiver:
        env = environment(emulator, receiver, APP_CALLS_INIT="1", APP_ASKS_AT_IMPORT="3")
        with running(command, env, tmp_path / "log") as process:
            served_by = {get(port) for _ in range(6)}
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        log = (tmp_path / "log").read_text()
        assert process.pid not in served_by
        assert len(emulator.bill.calls) == 9
        assert len(set(priced_spans(receiver))) == len(priced_spans(receiver)) == 9, log
        assert round(metered(receiver), 12) == emulator.bill.total, log


OWN_PROVIDER = """
import json, os, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import aicost

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
counter = metrics.get_meter("application").create_counter("served")
aicost.init(instrument=())

def use(times):
    for _ in range(times):
        aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1000, "output": 100})
        counter.add(1)

def told():
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        found["instance"] = resource.resource.attributes["service.instance.id"]
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                values = [p.value if hasattr(p, "value") else p.sum for p in metric.data.data_points]
                found[metric.name] = sum(values)
    return found

use(4)
before = told()
child = os.fork()
if child == 0:
    at_once = told()
    use(1)
    print(json.dumps([before, at_once, told()]), flush=True)
    os._exit(0)
os.waitpid(child, 0)
use(1)
print(json.dumps(told()))
"""


def test_a_child_counts_from_zero_with_the_providers_of_the_application_too(
    emulator: ProviderEmulator, tmp_path: Path
) -> None:
    with OtlpReceiver() as receiver:
        command = [sys.executable, "-c", OWN_PROVIDER]
        done = subprocess.run(command, env=environment(emulator, receiver), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    of_child, after = map(json.loads, done.stdout.splitlines())
    before, at_once, child = of_child
    ours = ("aicost.cost", "aicost.request.attempts", "gen_ai.client.token.usage", "gen_ai.client.operation.duration")
    assert not set(ours) & set(at_once)
    assert [round(float(told["aicost.cost"]), 9) for told in (before, child, after)] == [0.014, 0.0035, 0.0175]
    assert [told["aicost.request.attempts"] for told in (before, child, after)] == [4, 1, 5]
    assert [told["gen_ai.client.token.usage"] for told in (before, child, after)] == [4400, 1100, 5500]
    assert child["served"] == 5, "what is the application's is left as the SDK has it"
    assert before["instance"] == after["instance"] != child["instance"]


LEAVES = """
import os, sys
import aicost
from app import ask

aicost.init()
with aicost.run_scope("parent"):
    with aicost.track_step("step"):
        ask()
        child = os.fork()
        if child == 0:
            with aicost.run_scope("child"):
                ask()
            {leaves}
        os.waitpid(child, 0)
        ask()
"""


@pytest.mark.parametrize(
    "leaves", ["sys.exit(0)", "raise ValueError('mine')", "os._exit(0) if aicost.flush() else None"]
)
def test_a_child_that_leaves_its_parents_scopes_does_not_end_them(
    leaves: str, emulator: ProviderEmulator, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite"
    with OtlpReceiver() as receiver:
        env = environment(emulator, receiver, AICOST_LEDGER=str(ledger))
        command = [sys.executable, "-c", LEAVES.format(leaves=leaves)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        names = sorted(span.name for span in receiver.spans)
        assert names == ["chat gpt-4o"] * 3 + ["invoke_workflow child", "invoke_workflow parent", "step step"]
        assert round(metered(receiver), 12) == emulator.bill.total
    with LedgerReader(ledger) as reader:
        (total,) = reader.answer(Query())
        assert (total.calls, total.wasted_atto) == (3, 0)


SOURCES = Path(aicost.__file__).parent
LOCKS = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier", "allocate_lock"}
OF_ITS_OWN = {
    "_forks.py": "makes them",
    "_in_time.py": "made for one wait, by the thread that waits",
    "testing": "runs in tests only",
}


def test_every_lock_and_every_fork_handler_is_in_one_place() -> None:
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        if path.relative_to(SOURCES).parts[0] in OF_ITS_OWN:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
                if (owner in {"threading", "_thread"} and node.func.attr in LOCKS) or (
                    node.func.attr == "register_at_fork"
                ):
                    found.append(f"{path.relative_to(SOURCES)}:{node.lineno} {owner}.{node.func.attr}")
    assert found == [], "make locks by aicost._forks.lock(), and ask aicost._forks.in_child() for the rest"
