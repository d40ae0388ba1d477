"""The real ClickHouse engine behind its HTTP interface on loopback; `clickhouse_http.py` says what is whose."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from . import free_port

USER = "aicost"
PASSWORD = "not-a-secret"
FULL = (243, "NOT_ENOUGH_SPACE", "Cannot reserve 1.00 MiB, not enough space")
TOO_MANY_PARTS = (
    252,
    "TOO_MANY_PARTS",
    "Too many parts (3000). Merges are processing significantly slower than inserts",
)
OUT_OF_MEMORY = (241, "MEMORY_LIMIT_EXCEEDED", "(total) memory limit exceeded")
OVERLOADED = (202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries. Maximum: 100")
READ_ONLY = (242, "TABLE_IS_READ_ONLY", "Table is in readonly mode")


class ClickhouseServer:
    """One server with its data in `folder`, which outlives `stop()` and `start()`, as its address does."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def url(self, database: str = "default", password: str = PASSWORD) -> str:
        """The address of a database, with its user and password, as `clickhouse_connect.get_client(dsn=)` takes it."""
        return f"http://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def client(self, database: str = "default", **options: Any) -> Any:
        """A client of clickhouse-connect."""
        import clickhouse_connect

        return clickhouse_connect.get_client(dsn=self.url(database), **options)

    @property
    def running(self) -> bool:
        """Whether the server's process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the server, lets it go on if it is paused, and waits till it answers. Does nothing where it does."""
        import urllib.request

        self.resume()
        if self.running:
            return
        program = Path(__file__).with_name("clickhouse_http.py")
        self._process = subprocess.Popen(
            [sys.executable, program, str(self.port), self._folder, USER, PASSWORD],
            stdin=subprocess.PIPE,  # ends when this process does
            env={**os.environ, "TZ": "UTC"},
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=5).close()
                return
            except OSError as error:  # noqa: PERF203 - not there yet
                if not self.running or time.monotonic() > deadline:
                    pytest.fail(f"ClickHouse did not start: {error}", pytrace=False)
                time.sleep(0.02)

    def stop(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None

    def pause(self) -> None:
        """Stops its clock: connections stay open, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause()`; does nothing where it is not paused."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def misbehaving(
        self,
        *,
        delay: float = 0,
        error: tuple[int, str, str] | None = None,
        lose_answer: bool = False,
        only: str = "",
    ) -> Iterator[None]:
        """Within it, statements that the expression `only` finds come `delay` seconds late, get an error (`FULL`) and
        do nothing, or are done and get no answer: the connection closes.

            with clickhouse_server.misbehaving(error=FULL, only="INSERT INTO"):
        """
        told = self._folder / "behaviour.json"
        told.with_suffix(".new").write_text(
            json.dumps({"delay": delay, "error": error, "lose_answer": lose_answer, "only": only})
        )
        told.with_suffix(".new").replace(told)
        try:
            yield
        finally:
            told.unlink()

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new empty database; gives its address. It is dropped afterwards, whatever state the server was left in."""
        name = f"test_{next(self._numbers)}"
        with self.client() as client:
            client.command(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.start()
            with self.client() as client:
                client.command(f"DROP DATABASE {name}")


@contextmanager
def running_clickhouse() -> Iterator[ClickhouseServer]:
    """A started server with nothing in it; its folder is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aicost-clickhouse-"))
    server = ClickhouseServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[ClickhouseServer]:
    """One ClickHouse for all tests that ask for it."""
    with running_clickhouse() as server:
        yield server


@pytest.fixture
def clickhouse_url(clickhouse_server: ClickhouseServer) -> Iterator[str]:
    """The address of an empty database of the test's own."""
    clickhouse_server.start()
    with clickhouse_server.database() as url:
        yield url
