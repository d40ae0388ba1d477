"""Whoever writes to a server may be killed at any moment, and so may the server: nothing is lost, and nothing twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.where import journal_of
from aicost.scopes.ids import new_event_id
from tests.servers.postgresql import PostgresqlServer

from .charges import event, priced

EVENTS = 1_500
KILLS = 12
SERVER_KILLS = 3


def journal_with_corrections(path: Path) -> dict[str, int]:
    """What waits in the journal beside a ledger's path; returns what each event comes to in the end."""
    ledger = Ledger.open(path, segment_bytes=60_000)
    ledger._is_due = True  # no thread takes anything in
    amounts = {}
    for n in range(EVENTS):
        name = new_event_id() if n % 2 else f"e-{n}"
        if n % 5 == 0:
            ledger.record([(event(name, usage={"input": 10}, complete=False), priced(1))])
        ledger.record([(event(name, usage={"input": 10, "output": 10}), priced(1, n))])
        amounts[name] = n + 1
    ledger.record_outcome("o", count=1, run_id=None, attribution={}, at_ns=1, outcome_id="o")
    ledger._journal.close()
    return amounts


def test_writers_and_the_server_may_be_killed_at_any_moment(
    tmp_path: Path, postgresql_url: str, postgresql_server: PostgresqlServer
) -> None:
    path = tmp_path / "l.sqlite"
    amounts = journal_with_corrections(path)
    command = [sys.executable, "-m", "tests.ledger.server_kill_app", str(journal_of(path)), postgresql_url]
    chance = random.Random(7)
    killed = 0
    for turn in range(KILLS):
        writers = [subprocess.Popen(command) for _ in range(2)]
        time.sleep(chance.uniform(0.3, 0.9))
        if turn % (KILLS // SERVER_KILLS) == 1:
            postgresql_server.stop()
            time.sleep(chance.uniform(0, 0.2))
            postgresql_server.start()
        for writer in writers:
            killed += writer.poll() is None
            writer.kill()
            writer.wait()
    assert killed > KILLS // 2, "there must be something to kill"
    subprocess.run(command, check=True, timeout=60)
    with LedgerReader(postgresql_url) as reader:
        found = {one.event_id: one.atto for one in reader.charges()}
        (sums,) = reader.answer(Query())
        outcomes = [row["n"] for row in reader._snapshot.rows("SELECT COUNT(*) AS n FROM outcomes")]
    assert found == amounts
    assert (sums.atto, sums.attempts, outcomes) == (sum(amounts.values()), EVENTS, [1])
    assert list(check(postgresql_url)) == []
