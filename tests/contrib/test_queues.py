"""Who a task is for, and the run it belongs to, travel with it: real workers, in processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

import aicost
from aicost._money import to_decimal
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.scopes.scope import current_scope
from aicost.testing import OtlpReceiver, ProviderEmulator
from tests.conftest import App

from .serving import owners, runs, wait_until

ROOT = Path(__file__).parents[2]
KEYS = "run_id,workflow,tenant_id"


class Place:
    """Where the processes of a test meet: a folder with the messages, the ledger, and what was done."""

    def __init__(self, folder: Path, emulator: ProviderEmulator, **variables: str) -> None:
        self.folder, self.emulator = folder, emulator
        for name in ("messages", "control", "results"):
            (folder / name).mkdir()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AICOST_", "OTEL_"))}
        self.env = {
            **clean,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "QUEUE_FOLDER": str(folder),
            "AICOST_LEDGER": str(folder / "costs.sqlite"),
            "AICOST_BAGGAGE_KEYS": KEYS,
            "AICOST_INSTRUMENT": "openai",
            "OPENAI_BASE_URL": emulator.openai_base_url,
            "OPENAI_API_KEY": "test",
            **variables,
        }

    def python(self, code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def worker(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            env=self.env, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def done(self) -> list[str]:
        path = self.folder / "done"
        return sorted(path.read_text().split()) if path.exists() else []

    def ask(self, sql: str) -> list[Any]:
        with sqlite3.connect(self.folder / "costs.sqlite") as ledger:
            return sorted(ledger.execute(sql).fetchall(), key=str)

    def costs_what_was_billed(self) -> bool:
        with LedgerReader(self.folder / "costs.sqlite") as ledger:
            return to_decimal(sum(row.atto for row in ledger.answer(Query()))) == self.emulator.bill.total > 0


def stop(worker: subprocess.Popen[str]) -> str:
    worker.send_signal(signal.SIGTERM)
    return worker.communicate(timeout=60)[0]


SEND = """
import aicost
from celery import chord
from tests.contrib.queued import queue, plain, fails, again, sends
with aicost.run_scope("caller", run_id="run-1", tenant_id="t-1"):
    chord([plain.si("seven"), plain.si("eight") | plain.si("nine")])(plain.si("ten"))
    plain.delay("one"); fails.delay("two"); again.delay("three"); sends.delay("four")
with aicost.attribution(tenant_id="t-2"):
    plain.delay("five"); fails.delay("six")
"""
DONE = sorted(["one", "two", "three", "three", "four", "four", "five", "six", "seven", "eight", "nine", "ten"])


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_task_of_celery_is_a_step_of_its_caller_s_run(tmp_path: Path, emulator: ProviderEmulator, pool: str) -> None:
    place = Place(tmp_path, emulator)
    worker = place.worker(
        "celery", "-A", "tests.contrib.queued:queue", "worker", "-P", pool, "-c", "2", "--without-gossip",
        "--without-mingle", "--without-heartbeat",
    )  # fmt: skip
    try:
        place.python(SEND)
        wait_until(lambda: place.done() == DONE, 60)
    finally:
        said = stop(worker)
    charged = place.ask("SELECT tenant_id, step FROM charges WHERE run_id = 'run-1'")
    assert charged == sorted(("t-1", step) for step in ("plain", "fails", "again", "again", "sends", *["plain"] * 5)), (
        said
    )
    assert place.ask("SELECT name, status FROM steps WHERE run_id = 'run-1'") == [
        ("again", "failed"), ("again", "ok"), ("fails", "failed"), *[("plain", "ok")] * 6, ("sends", "ok"),
    ], said  # fmt: skip
    own = place.ask("SELECT workflow, status, attribution FROM runs WHERE workflow NOT IN ('caller')")
    assert own == [("fails", "failed", '{"tenant_id": "t-2"}'), ("plain", "ok", '{"tenant_id": "t-2"}')], said
    assert place.costs_what_was_billed()
    assert "detach" not in said


def test_what_a_child_of_a_worker_recorded_is_exported_before_it_ends(
    tmp_path: Path, emulator: ProviderEmulator
) -> None:
    with OtlpReceiver() as receiver:
        place = Place(
            tmp_path,
            emulator,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_BSP_SCHEDULE_DELAY="600000",
        )
        worker = place.worker(
            "celery", "-A", "tests.contrib.queued:queue", "worker", "-P", "prefork", "-c", "1", "--without-gossip",
            "--without-mingle", "--without-heartbeat",
        )  # fmt: skip
        try:
            place.python("from tests.contrib.queued import plain; plain.delay('one')")
            wait_until(lambda: place.done() == ["one"], 60)
        finally:
            said = stop(worker)
        assert "invoke_workflow plain" in {span.name for span in receiver.spans}, said


def test_a_task_that_is_executed_eagerly_is_a_step(app: App, emulator: ProviderEmulator, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "results").mkdir()
    monkeypatch.setenv("QUEUE_FOLDER", str(tmp_path))
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.openai_base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    from .queued import fails, plain, queue

    monkeypatch.setitem(queue.conf, "task_always_eager", True)
    with aicost.run_scope("caller", tenant_id="t-1") as run:
        plain.delay("one")
        fails.delay("two")
        assert aicost.current_run() is run
    plain.delay("three")
    assert [call["aicost.step.name"] for call in app.inferences][:2] == ["plain", "fails"]
    assert owners(app) == [("caller", "t-1")] * 2 + [("plain", None)]
    assert run.waste == run.steps["fails"] > 0
    assert sorted(runs(app, 2), key=str) == [("caller", False, "t-1"), ("plain", False, None)]


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        pytest.skip("no redis-server on this machine")
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        port = probing.getsockname()[1]
    running = subprocess.Popen(
        [server, "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _answers(port))
        yield port
    finally:
        running.terminate()
        running.wait(20)


def _answers(port: int) -> bool:
    with socket.socket() as probing:
        return probing.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("command_line", [True, False])
def test_a_job_of_rq_is_a_step_of_its_caller_s_run(
    tmp_path: Path, emulator: ProviderEmulator, redis_port: int, command_line: bool
) -> None:
    url = f"redis://127.0.0.1:{redis_port}/{int(command_line)}"
    with OtlpReceiver() as receiver:
        place = Place(
            tmp_path,
            emulator,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_BSP_SCHEDULE_DELAY="600000",
        )
        place.python(
            f"""
import aicost
from redis import Redis
from aicost.contrib.rq import TrackedQueue
from tests.contrib import queued
queue = TrackedQueue(connection=Redis.from_url({url!r}))
with aicost.run_scope("caller", run_id="run-1", tenant_id="t-1"):
    queue.enqueue(queued.ask, "one")
    queue.enqueue(queued.ask_and_fail, "two")
queue.enqueue(queued.ask, "three")
"""
        )
        if command_line:
            worker = [
                sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", url, "--worker-class",
                "tests.contrib.rq_worker.Worker",
            ]  # fmt: skip
            done = subprocess.run(
                worker, env=place.env, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
            )
            said = done.stdout + done.stderr
        else:
            said = place.python(
                f"""
import aicost
from redis import Redis
aicost.init()
from aicost.contrib.rq import TrackedQueue, TrackedWorker
connection = Redis.from_url({url!r})
TrackedWorker([TrackedQueue(connection=connection)], connection=connection).work(burst=True)
"""
            )
        assert place.done() == ["one", "three", "two"], said
        assert place.ask("SELECT name, status FROM steps WHERE run_id = 'run-1'") == [
            ("tests.contrib.queued.ask", "ok"),
            ("tests.contrib.queued.ask_and_fail", "failed"),
        ], said
        own = place.ask("SELECT workflow, status FROM runs WHERE run_id != 'run-1'")
        assert own == [("tests.contrib.queued.ask", "ok")]
        assert place.costs_what_was_billed()
        names = [span.name for span in receiver.spans]
        assert names.count("step tests.contrib.queued.ask") == 1
        assert names.count("chat gpt-4.1-mini") == 3


Carrier = Any


@pytest.mark.parametrize(
    "empty", [dict, list, lambda: [("other", b"1")], lambda: [(b"other", b"1")], lambda: {"baggage": "theirs=1"}]
)
def test_a_message_of_any_queue_takes_the_scope_along(
    make_app: Callable[..., App], empty: Callable[[], Carrier]
) -> None:
    make_app(baggage_keys=("run_id", "workflow", "tenant_id"))
    carrier = empty()
    for run in ("run-0", "run-1"):  # sent on, as by a relay that keeps the headers
        with aicost.run_scope("caller", run_id=run, tenant_id="t-1", customer_id="c-1"):
            aicost.inject(carrier)
    assert "customer" not in str(carrier)
    assert "run-0" not in str(carrier)
    assert ("theirs=1" in str(carrier)) == ("theirs=1" in str(empty()))
    with aicost.extract(carrier):
        run_now = aicost.current_run()
        assert run_now is not None
        assert (run_now.id, run_now.workflow) == ("run-1", "caller")
    message = Message()  # what http.server has for headers
    message["Baggage"] = "aicost.tenant.id=t-2"
    with aicost.extract(message):
        assert dict(current_scope().attribution) == {"tenant_id": "t-2"}
    with aicost.extract(None):  # as Kafka's clients say that there are none
        assert aicost.current_run() is None


def test_nothing_leaves_without_an_allow_list_and_the_log_says_how(
    app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicost.scopes import propagation

    monkeypatch.setattr(propagation, "_said", False)
    carrier: dict[str, str] = {}
    with aicost.run_scope("caller", tenant_id="t-1"):
        aicost.inject(carrier)
        aicost.inject(carrier)
    assert carrier == {}
    (said,) = [record.message for record in caplog.records]
    assert "AICOST_BAGGAGE_KEYS=run_id,workflow,tenant_id" in said
