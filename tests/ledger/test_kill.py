"""Whoever is killed, and whenever, what was acknowledged is in the ledger once, and nothing else is."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from aicost.journal.segments import found_in
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.ingest import take_in_all
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.where import journal_of

from .charges import event, priced
from .kill_app import PLACES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

KILLS = int(os.environ.get("AICOST_TEST_KILLS", "40"))


def found(path: Path, select: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(select).fetchall()


def is_whole(path: Path) -> None:
    """Whether nothing is broken, and nothing is left of the journal."""
    assert list(check(path)) == []
    assert found_in(journal_of(path)) == []
    assert found(path, "SELECT * FROM places") == []
    assert found(path, "SELECT * FROM unread") == []


@pytest.mark.slow
@pytest.mark.timeout(120 + KILLS)
def test_processes_ingesters_and_store_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    path, notes = tmp_path / "l.sqlite", tmp_path / "notes"
    arguments = [str(path), str(notes), str(KILLS), "11"]
    subprocess.run([sys.executable, "-m", "tests.ledger.kill_app", *arguments], check=True, timeout=100 + KILLS)
    take_in_all(path)

    began: dict[str, set[int]] = {}
    kept: dict[str, int] = {}
    outcomes: set[str] = set()
    for line in notes.read_text().splitlines():
        what, name, amount = line.split(" ")
        if what == "began":
            began.setdefault(name, set()).update((int(amount), int(amount) + 1))
        elif what == "kept":
            kept[name] = int(amount)
        else:
            outcomes.add(name)
    with LedgerReader(path) as reader:
        charges = reader.charges()
        (sums,) = reader.answer(Query())
    amounts = {one.event_id: one.atto for one in charges}
    assert len(kept) > 5 * KILLS, "there must be something to lose"
    assert len(charges) == len(amounts) == sums.attempts, "each event once"
    assert {name: amount for name, amount in kept.items() if amounts.get(name) != amount} == {}, "lost"
    in_flight = {name: atto for name, atto in amounts.items() if name not in kept}
    assert len(in_flight) <= KILLS + len(PLACES), "at most the one that each was at"
    assert {name: atto for name, atto in in_flight.items() if atto not in began[name]} == {}
    assert sums.atto == sum(kept.values()) + sum(atto or 0 for atto in in_flight.values())
    told = {str(name) for (name,) in found(path, "SELECT id FROM outcomes")}
    assert outcomes <= told
    assert len(told) <= len(outcomes) + KILLS + len(PLACES)
    is_whole(path)
    assert list(journal_of(path).glob("*.damaged")) == [], "what a kill cuts was never acknowledged, and is no damage"


DIES = """
import os, sys
from pathlib import Path
from aicost import journal
from aicost.ledger import ingest, writing
from aicost.ledger.engines.sqlite import SqliteStore

where, which, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
owner, name, when = {
    "before BEGIN": (SqliteStore, "_begin", "before"),
    "after BEGIN": (SqliteStore, "_begin", "after"),
    "after contexts": (writing, "put_interned", "after"),
    "after rows": (writing.Writer, "take_in", "after"),
    "before COMMIT": (writing.Writer, "put_places", "after"),
    "after COMMIT": (ingest.Ingester, "_transact", "after"),
    "before the log is on the disk": (SqliteStore, "sync", "before"),
    "before release": (journal, "release", "before"),
    "in release": (Path, "unlink", "before"),
    "in release, after the first": (Path, "unlink", "after"),
    "after release": (journal, "release", "after"),
    "before places are forgotten": (writing.Writer, "forget_places", "before"),
    "after places are forgotten": (writing.Writer, "forget_places", "after"),
}[where]
step, calls = getattr(owner, name), []

def dying(*args, **kwargs):
    calls.append(1)
    if when == "before" and len(calls) == which:
        os._exit(9)
    done = step(*args, **kwargs)
    if when == "after" and len(calls) == which:
        os._exit(9)
    return done

setattr(owner, name, dying)
ingest.BATCH_BYTES = 2000
ingest.Ingester(path).ingest(wait_s=5)
"""
STEPS = {
    "before BEGIN": (1, 3),
    "after BEGIN": (1, 3),
    "after contexts": (1, 3),
    "after rows": (1, 3),
    "before COMMIT": (1, 3),
    "after COMMIT": (1, 3),
    "before the log is on the disk": (1,),
    "before release": (1,),
    "in release": (1, 2),
    "in release, after the first": (1,),
    "after release": (1,),
    "before places are forgotten": (1,),
    "after places are forgotten": (1,),
}


@pytest.mark.parametrize(("where", "which"), [(where, which) for where, turns in STEPS.items() for which in turns])
def test_an_ingester_may_die_at_each_step(tmp_path: Path, where: str, which: int) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path, segment_bytes=4000)
    ledger._is_due = True  # no thread takes anything in
    for n in range(40):
        ledger.record([(event(f"e-{n}", usage={"input": 10}, complete=False), priced(1))])
        ledger.record([(event(f"e-{n}", usage={"input": 10, "output": 10}), priced(1, n))])
    ledger.record_outcome("o", count=1, run_id=None, attribution={}, at_ns=1)
    ledger._journal.close()
    assert len(found_in(journal_of(path))) > 3
    died = subprocess.run([sys.executable, "-c", DIES, where, str(which), str(path)], check=False, timeout=60)
    assert died.returncode == 9, "it must have come there"
    # What it took in before it died it took in whole.
    assert list(check(path)) == []
    take_in_all(path)
    with LedgerReader(path) as reader:
        assert {one.event_id: one.atto for one in reader.charges()} == {f"e-{n}": n + 1 for n in range(40)}
        assert sum(row.atto for row in reader.answer(Query())) == sum(range(41))
    assert found(path, "SELECT COUNT(*) FROM outcomes") == [(1,)]
    is_whole(path)
