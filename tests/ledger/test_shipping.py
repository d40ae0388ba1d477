"""A ledger on a server: no call waits for it, nothing is lost while it is away, and nothing is there twice."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from aicost.ledger import Ledger, shipping
from aicost.ledger.ingest import take_in_all
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.where import journal_of, where_is

from ..servers.fake import FakeServer
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
