"""A ledger on a server: no call waits for it, nothing is lost while it is away, and nothing is there twice."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from aicost._errors import LedgerError
from aicost.ledger import Ledger, shipping
from aicost.ledger.check import check
from aicost.ledger.ingest import take_in_all
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.where import beside, journal_of, where_is
from tests.servers.fake import FakeServer
from tests.servers.postgresql import PostgresqlServer

from .charges import event, priced


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits half a minute for the next try."""
    monkeypatch.setattr(shipping, "LAST_RETRY_S", 0.2)
    monkeypatch.setattr(shipping, "FIRST_RETRY_S", 0.05)


def total(where: str) -> tuple[int, int]:
    """How many charges, and what they come to in 1e-18."""
    with LedgerReader(where) as ledger:
        assert ledger.waiting == 0
        sums = ledger.answer(Query())
    return sum(one.calls for one in sums), sum(one.atto for one in sums)


def waits(where: str) -> list[Path]:
    return list(journal_of(where_is(where)).glob("*.segment"))


def test_what_is_recorded_is_on_the_server_soon(fake_server: FakeServer) -> None:
    ledger = Ledger.open(fake_server.url())
    ledger.record([(event("e-1"), priced(3))])
    assert ledger.flush()
    assert total(fake_server.url()) == (1, 3)
    ledger.close()
    assert waits(fake_server.url()) == []


def test_a_server_that_is_away_costs_nothing_but_disk(
    fake_server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    fake_server.away = "connection refused"
    began = time.monotonic()
    ledger = Ledger.open(fake_server.url())
    for n in range(2_000):
        assert ledger.record([(event(f"e-{n}"), priced(1))])
    assert not ledger.flush()
    assert time.monotonic() - began < 5
    assert ledger.lost == 0
    (told,) = [one for one in caplog.messages if "cannot be written" in one]
    assert "connection refused" in told
    fake_server.away = None
    until = time.monotonic() + 10
    while waits(fake_server.url()) and not ledger.flush(timeout_s=5) and time.monotonic() < until:
        pass
    assert total(fake_server.url()) == (2_000, 2_000)
    ledger.close()
    assert waits(fake_server.url()) == []
    assert sum("is writable again" in one for one in caplog.messages) == 1


def test_a_server_that_does_not_answer_holds_up_nobody(fake_server: FakeServer) -> None:
    fake_server.answers.clear()
    began = time.monotonic()
    ledger = Ledger.open(fake_server.url())
    for n in range(100):
        ledger.record([(event(f"e-{n}"), priced(1))])
    assert not ledger.flush(timeout_s=0.2)
    child = os.fork()
    if not child:
        ledger.record([(event("of the child"), priced(1))])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert time.monotonic() - began < 3
    fake_server.answers.set()
    ledger.close()
    assert total(fake_server.url()) == (101, 101)


def test_a_child_ships_with_a_connection_of_its_own(fake_server: FakeServer) -> None:
    ledger = Ledger.open(fake_server.url())
    ledger.record([(event("of the parent"), priced(1))])
    assert ledger.flush()
    child = os.fork()
    if not child:
        ledger.record([(event("of the child"), priced(2))])
        os._exit(0 if ledger.flush(timeout_s=5) else 1)
    assert os.waitpid(child, 0)[1] == 0
    ledger.record([(event("again"), priced(4))])
    ledger.close()
    assert total(fake_server.url()) == (3, 7)


def test_what_a_process_left_is_shipped_by_the_next_one(fake_server: FakeServer) -> None:
    fake_server.away = "no route to host"
    first = Ledger.open(fake_server.url())
    first.record([(event("e-1"), priced(1))])
    first.close()
    fake_server.away = None
    second = Ledger.open(fake_server.url(user="aicost:another-password"))
    second.close()
    assert total(fake_server.url()) == (1, 1)
    assert waits(fake_server.url()) == []


def test_a_servers_journal_is_in_the_state_folder_and_so_is_what_a_collector_keeps(
    fake_server: FakeServer, tmp_path: Path
) -> None:
    folders = {journal_of(where_is(fake_server.url(user))) for user in ("me:one", "me:another", "me")}
    assert len(folders) == 1, "whatever the password"
    assert journal_of(where_is(fake_server.url("you"))) not in folders
    (folder,) = folders
    assert folder.parent == tmp_path / "state" / "aicost" / "journals"
    assert beside(where_is(fake_server.url("me")), "views-0.jsonl") == Path(f"{folder}.views-0.jsonl")
    assert beside(tmp_path / "l.sqlite", "views-0.jsonl") == tmp_path / "l.sqlite.views-0.jsonl"


def test_a_full_journal_is_counted_and_said(fake_server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    fake_server.away = "connection refused"
    ledger = Ledger.open(fake_server.url(), max_bytes=10_000, segment_bytes=2_000)
    kept = sum(ledger.record([(event(f"e-{n}"), priced(1))]) for n in range(100))
    assert 0 < kept < 100
    assert ledger.lost == 100 - kept
    assert sum("is full" in one for one in caplog.messages) == 1
    fake_server.away = None
    ledger.close()
    assert total(fake_server.url()) == (kept, kept)


def test_machines_keep_their_places_apart(
    fake_server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledgers = []
    for machine in ("a", "b"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / machine))
        ledgers.append(Ledger.open(fake_server.url()))
    folders = [ledger._journal.folder for ledger in ledgers]
    assert len({*folders}) == 2
    for turn in range(3):
        for ledger in ledgers:
            ledger.record([(event(f"{turn}-{id(ledger)}"), priced(1))])
            assert ledger.flush(timeout_s=5)
    with LedgerReader(fake_server.url()) as reader:
        places = list(reader._snapshot.rows("SELECT * FROM places"))
    assert len({row["journal"] for row in places}) == len(places) == 2
    for ledger in ledgers:
        ledger.close()
    assert total(fake_server.url()) == (6, 6)


def test_a_wrong_password_is_said_once_and_not_shown(fake_server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    fake_server.away = 'cannot connect to {url}: password "s3cret-word" of user aicost is wrong'
    caplog.set_level(logging.DEBUG)
    ledger = Ledger.open(fake_server.url())
    ledger.record([(event("e-1"), priced(1))])
    ledger.flush()
    ledger.close()
    said = [one for one in caplog.messages if "is wrong" in one]
    assert len(said) == 1
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(ledger.where)
    fake_server.away = None
    assert take_in_all(where_is(fake_server.url())).bytes > 0
    assert total(fake_server.url()) == (1, 1)


AWAY = 4
"""Processes that record while a server comes and goes."""

RECORDS = """
import sys, time
from aicost.ledger import Ledger, shipping
from tests.ledger.charges import event, priced

url, name, notes = sys.argv[1:]
shipping.FIRST_RETRY_S, shipping.LAST_RETRY_S = 0.05, 0.2
ledger = Ledger.open(url)
with open(notes, "a") as kept:
    for n in range(100_000):
        assert ledger.record([(event(f"{name}-{n}"), priced(1))])
        kept.write("1\\n")
        kept.flush()
        time.sleep(0.002)
"""


class Recorders:
    """Processes that record to a server until they are killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self._began = count()
        self._alive: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        name = f"p{next(self._began)}"
        command = [sys.executable, "-c", RECORDS, self._url, name, str(self._folder / f"{name}.kept")]
        self._alive.append(subprocess.Popen(command))

    def kill(self) -> None:
        died = self._alive.pop(0)
        assert died.poll() is None, "it died by itself"
        died.kill()
        died.wait()

    def kill_all(self) -> None:
        while self._alive:
            self.kill()

    @property
    def kept(self) -> int:
        """Charges that were acknowledged; of each process one more may have been recorded and not noted."""
        return sum(file.read_text().count("1") for file in self._folder.glob("*.kept"))

    def wait_for(self, more: int) -> None:
        before, until = self.kept, time.monotonic() + 30
        while self.kept < before + more:
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.fixture
def recorders(postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorders]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Recorders(postgresql_url, tmp_path)
    yield made
    made.kill_all()


def all_there(url: str, recorders: Recorders, processes: int) -> None:
    """See that all that was acknowledged is on the server, once, and nothing waits."""
    recorders.kill_all()
    take_in_all(where_is(url))
    attempts, atto = total(url)
    assert attempts == atto
    assert recorders.kept <= attempts <= recorders.kept + processes
    assert waits(url) == []
    assert list(check(url)) == []
    with LedgerReader(url) as ledger:
        assert list(ledger._snapshot.rows("SELECT segment FROM places")) == []


def test_processes_are_killed_while_a_server_is_away_and_comes_back(
    postgresql_server: PostgresqlServer, postgresql_url: str, recorders: Recorders
) -> None:
    for _ in range(AWAY):
        recorders.begin()
    recorders.wait_for(200)
    postgresql_server.stop()
    recorders.wait_for(1_000)
    recorders.kill()
    recorders.begin()
    recorders.wait_for(200)
    postgresql_server.start()
    recorders.wait_for(200)
    all_there(postgresql_url, recorders, AWAY + 1)


def test_a_server_comes_and_goes(
    postgresql_server: PostgresqlServer, postgresql_url: str, recorders: Recorders
) -> None:
    recorders.begin()
    recorders.begin()
    for _ in range(4):
        recorders.wait_for(150)
        postgresql_server.stop()
        recorders.wait_for(50)
        postgresql_server.start()
    all_there(postgresql_url, recorders, 2)


def test_a_server_stands_still(postgresql_server: PostgresqlServer, postgresql_url: str, recorders: Recorders) -> None:
    recorders.begin()
    recorders.begin()
    recorders.wait_for(100)
    postgresql_server.pause()
    recorders.wait_for(300)
    recorders.kill()
    postgresql_server.resume()
    recorders.wait_for(100)
    all_there(postgresql_url, recorders, 2)


def test_a_server_that_refuses_rows_is_said_and_gets_them_when_it_takes_them(
    postgresql_server: PostgresqlServer,
    postgresql_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    ledger = Ledger.open(postgresql_url)
    ledger.record([(event("before"), priced(1))])
    assert ledger.flush(timeout_s=10)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        database = connection.info.dbname
        # As a server whose disk is full may be: it reads, and writes nothing.
        connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [database],
        )
        for n in range(100):
            assert ledger.record([(event(f"e-{n}"), priced(1))])
        assert not ledger.flush(timeout_s=2)
        assert not ledger.flush(timeout_s=2)
        assert any("read-only" in one for one in caplog.messages)
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [database],
        )
    until = time.monotonic() + 15
    while not ledger.flush(timeout_s=5):
        assert time.monotonic() < until
    ledger.close()
    assert ledger.lost == 0
    assert total(postgresql_url) == (101, 101)
    assert waits(postgresql_url) == []


def test_a_wrong_password_of_a_real_server_is_said_and_never_shown(
    postgresql_server: PostgresqlServer,
    postgresql_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    caplog.set_level(logging.DEBUG)
    wrong = postgresql_url.replace("not-a-secret", "wrong-pa55word")
    assert wrong != postgresql_url
    ledger = Ledger.open(wrong)
    ledger.record([(event("e-1"), priced(1))])
    assert not ledger.flush(timeout_s=10)
    ledger.close()
    assert sum("password authentication failed" in one for one in caplog.messages) == 1
    with pytest.raises(LedgerError, match="password authentication failed") as raised:
        LedgerReader(wrong)
    assert "pa55word" not in caplog.text + str(raised.value)
    assert total(postgresql_url) == (1, 1), "the journal is the same under another password"
