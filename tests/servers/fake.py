"""A server that is a SQLite file behind a URL, `fake://user:password@host/path/of/file`: it can be away, slow or full.

For tests of what writes to servers where the engine does not matter; others run with the real ones.
"""

from __future__ import annotations

import sys
import threading
import types
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aicost._errors import LedgerError
from aicost.ledger import engines
from aicost.ledger.engines.sqlite import SqliteSnapshot, SqliteStore


class FakeServer:
    """What the engine of `fake://` is told."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "server.sqlite"
        self.away: str | None = None
        """Why it cannot be reached."""
        self.answers = threading.Event()
        self.answers.set()
        self.opened = 0

    def url(self, user: str = "aicost:s3cret-word") -> str:
        return f"fake://{user}@db.internal:5432{self.file}"

    def _reached(self, url: str) -> Path:
        self.opened += 1
        self.answers.wait(60)
        if self.away is not None:
            raise LedgerError(self.away.format(url=url))
        return Path(urlsplit(url).path)

    def open_store(self, url: str, *, timeout_s: float) -> SqliteStore:
        return SqliteStore(self._reached(url), synchronous="NORMAL", timeout_s=timeout_s)

    def open_snapshot(self, url: str, *, timeout_s: float) -> SqliteSnapshot:
        file = self._reached(url)
        if not file.exists():
            raise LedgerError("there is no ledger yet")
        return SqliteSnapshot.open(file, timeout_s=timeout_s)


@pytest.fixture
def fake_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """A server of the test's own, and a state folder for the journals."""
    server = FakeServer(tmp_path)
    module = types.ModuleType("aicost.ledger.engines.fake")
    module.open_store, module.open_snapshot = server.open_store, server.open_snapshot  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(engines._SERVERS, "fake", "fake")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return server
