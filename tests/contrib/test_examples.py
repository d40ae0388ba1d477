"""The examples run as they are said to, under the servers and workers they are said to."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from aicost.testing import ProviderEmulator

from .serving import wait_until
from .test_queues import ROOT, Place, redis_port

__all__ = ["redis_port"]  # a fixture
EXAMPLES = ROOT / "examples" / "contrib"


@pytest.fixture
def place(tmp_path: Path, emulator: ProviderEmulator) -> Place:
    place = Place(tmp_path, emulator)
    place.env["PYTHONPATH"] += f":{EXAMPLES}"
    del place.env["AICOST_LEDGER"]  # the examples say where it is
    return place


@contextmanager
def running(place: Place, *command: str) -> Iterator[None]:
    started = place.worker(*command)
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        print(started.communicate(timeout=60)[0])


def rows(place: Place, sql: str) -> list[Any]:
    try:
        return place.ask(sql)
    except sqlite3.Error:  # nothing is there yet
        return []


@pytest.mark.parametrize(
    "server",
    [
        ("uvicorn", "fastapi_app:app", "--port"),
        ("gunicorn", "flask_app:app", "--workers", "2", "--bind", "127.0.0.1:{}"),
        ("gunicorn", "fastapi_app:app", "--worker-class", "asgi", "--bind", "127.0.0.1:{}"),
    ],
    ids=["uvicorn", "gunicorn", "gunicorn of ASGI"],
)
def test_a_web_application(place: Place, server: tuple[str, ...]) -> None:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        port = str(probing.getsockname()[1])
    command = (*server, port) if server[-1] == "--port" else (*server[:-1], server[-1].format(port))
    with running(place, *command):

        def get() -> bool:
            try:
                url = f"http://127.0.0.1:{port}/answers/x"
                return httpx.get(url, headers={"x-tenant": "t-1"}, timeout=60).status_code == 200
            except httpx.ConnectError:
                return False

        wait_until(get, 60)
        wait_until(lambda: rows(place, "SELECT 1 FROM runs WHERE status = 'ok'"), 60)
    (run,) = rows(place, "SELECT workflow, status, attribution FROM runs")
    assert run[0].startswith("GET /answers/")
    service = server[1].partition("_")[0] + "-app"  # as its resource says
    assert (run[1], json.loads(run[2])) == ("ok", {"service": service, "tenant_id": "t-1"})
    feature = None if server[1].startswith("flask") else "smart_search"
    assert rows(place, "SELECT tenant_id, feature_id FROM charges") == [("t-1", feature)]
    assert place.costs_what_was_billed()


@pytest.mark.parametrize(
    ("name", "worker"),
    [
        ("celery_app", ("celery", "-A", "celery_app", "worker", "-c", "1")),
        ("rq_jobs", ("rq.cli", "worker", "--worker-class", "rq_jobs.Worker")),
    ],
)
def test_a_task_queue(place: Place, redis_port: int, name: str, worker: tuple[str, ...]) -> None:
    url = f"redis://127.0.0.1:{redis_port}/{len(name)}"
    place.env |= {"CELERY_BROKER_URL": url, "REDIS_URL": url, "RQ_REDIS_URL": url}
    subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], env=place.env, cwd=place.folder, check=True, timeout=60)
    with running(place, *worker):
        wait_until(lambda: len(rows(place, "SELECT 1 FROM steps WHERE status = 'ok'")) == 2, 60)
    assert rows(place, "SELECT workflow FROM runs") == [("report",)]
    steps = rows(place, "SELECT tenant_id, step FROM charges")
    assert [(tenant, step.removeprefix("rq_jobs.")) for tenant, step in steps] == [("t-42", "summarize")] * 2
    assert place.costs_what_was_billed()


def test_what_the_page_shows_runs(place: Place) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "deployment.md").read_text(), re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        place.python(block.replace("run.cost", "print(run.cost)"))
    assert place.python(blocks[-1] + "\nhandler({'tenant': 't-1'}, None); print('done')").endswith("done\n")
