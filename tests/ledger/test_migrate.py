"""Ledgers of former schemas become one of today: every number proven equal, whoever is killed or writes meanwhile."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aicost import LedgerError
from aicost.ledger import Ledger, migrate
from aicost.ledger.check import check
from aicost.ledger.connection import connect
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.schema import SCHEMA_VERSION

from .charges import event, priced

SCHEMAS = Path(__file__).parent / "schemas"
VERSIONS = (1, 2, 3, 4)
KILLS = int(os.environ.get("AICOST_TEST_KILLS", "8"))


def old_ledger(path: Path, version: int) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.executescript((SCHEMAS / f"schema_{version}.sql").read_text())
        db.commit()
    return path


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return old_ledger(tmp_path / "l.sqlite", request.param)


def found(path: Path, select: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(select).fetchall()


def version_of(path: Path) -> int:
    return int(found(path, "PRAGMA user_version")[0][0])


def atto(nano: int | None, rest: int | None) -> int:
    return (nano or 0) * 10**9 + (rest or 0)


def told_before(path: Path) -> dict[str, Any]:
    """What a ledger of schema 1 to 4 says, worked out here from its own tables."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        charges = [dict(row) for row in db.execute("SELECT * FROM charges")]
        runs = {row["run_id"]: dict(row) for row in db.execute("SELECT * FROM runs")}
        steps = {row["step_id"]: dict(row) for row in db.execute("SELECT * FROM steps")}
        lines = db.execute("SELECT * FROM charge_lines ORDER BY event_id, position").fetchall()
        outcomes = [tuple(row) for row in db.execute("SELECT name, count, run_id, at_ns, attribution FROM outcomes")]
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        seen = "sightings" if "sightings" in tables else "quarantine"
        sightings = db.execute(f"SELECT COUNT(*) FROM {seen}").fetchone()[0]
        aliases = db.execute("SELECT COUNT(*) FROM aliases").fetchone()[0] if "aliases" in tables else 0
    by_currency: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    by_tenant: dict[Any, int] = defaultdict(int)
    wasted: dict[str, int] = defaultdict(int)
    for one in charges:
        amount = atto(one["nano"], one["atto_rest"])
        sums = by_currency[one["currency"]]
        sums[0] += amount
        sums[1] += 1
        sums[2] += one["nano"] is not None
        by_tenant[one["tenant_id"], one["currency"]] += amount
        step = steps.get(one["step_id"])
        failed = one["status"] != "success" or (step and step["status"] == "failed")
        failed = failed or (one["run_id"] in runs and runs[one["run_id"]]["status"] == "failed")
        parent = runs.get(one["run_id"], {}).get("parent_step_id")
        failed = failed or (parent in steps and steps[parent]["status"] == "failed")
        wasted[one["currency"]] += amount if failed else 0
    charge_of = {one["event_id"]: one for one in charges}
    meters: dict[Any, int] = defaultdict(int)
    for line in lines:
        charge = charge_of[line["event_id"]]
        if charge["charge_status"] != "provider_reported":  # no meter explains what a provider says it costs
            meters[line["meter"], charge["currency"]] += atto(line["nano"], line["atto_rest"])
    return {
        "by currency": {name: tuple(sums) for name, sums in by_currency.items()},
        "by tenant": dict(by_tenant),
        "by meter": dict(meters),
        "wasted": dict(wasted),
        "lines": len(lines),
        "runs": sorted((one["run_id"], one["workflow"], one["status"], one["ended_ns"]) for one in runs.values()),
        "steps": sorted((one["step_id"], one["run_id"], one["name"], one["status"]) for one in steps.values()),
        "outcomes": sorted(outcomes),
        "sightings": sightings,
        "aliases": aliases,
        "gateways": sum(one.get("gateway_declared") == "1" for one in charges),
    }


def told_after(path: Path) -> dict[str, Any]:
    """The same of a ledger as it is read today, whatever its schema."""
    with LedgerReader(path) as reader:
        rows = reader.answer(Query())
        charges = reader.charges()
        runs = [run for one in {c.run_id for c in charges if c.run_id} for run in reader.runs(one)]
        steps = reader.steps([run.run_id for run in runs])
        return {
            "by currency": {
                row.currency: (
                    row.atto,
                    row.attempts,
                    sum(c.atto is not None for c in charges if c.currency == row.currency),
                )
                for row in rows
            },
            "by tenant": {(row.key, row.currency): row.atto for row in reader.answer(Query(("tenant",)))},
            "by meter": {
                (row.key, row.currency): row.atto for row in reader.answer(Query(("meter",))) if row.key is not None
            },
            "wasted": {row.currency: row.wasted_atto for row in rows},
            "lines": sum(len(one.lines) for one in charges),
            "runs": sorted({(run.run_id, run.workflow, run.status, run.ended_ns) for run in runs}),
            "steps": sorted({(step.step_id, step.run_id, step.name, step.status) for step in steps}),
            "sightings": sum(one.count for one in reader.sightings()),
            "gateways": sum(one.origin is not None and one.origin.gateway for one in charges),
        }


def is_same(before: dict[str, Any], path: Path) -> None:
    after = told_after(path)
    assert after == {name: before[name] for name in after}


def test_every_number_is_the_same_before_and_after(old: Path) -> None:
    before = told_before(old)
    assert before["by currency"].keys() == {"USD", "EUR"}
    assert sum(before["wasted"].values()) > 0
    connect(old, synchronous="NORMAL", timeout_s=5).close()
    assert version_of(old) == SCHEMA_VERSION
    is_same(before, old)
    assert list(check(old)) == []
    kept = found(old, "SELECT name, count, lower(hex(run_id)), at_ns, attribution FROM outcomes")
    assert sorted(kept) == before["outcomes"]
    assert found(old, "SELECT COUNT(*) FROM aliases") == [(before["aliases"],)]
    assert not {name for (name,) in found(old, "SELECT name FROM sqlite_master") if name.startswith("old_")}


def test_what_is_recorded_again_after_it_changes_nothing(old: Path) -> None:
    before = told_before(old)
    connect(old, synchronous="NORMAL", timeout_s=5).close()
    # As somebody would tell of it who had been away: the same usage of the same event.
    ledger = Ledger.open(old)
    again = event(
        "9fea74759541ad6b41bc084a25986d40", usage={"input": 10}, run_id="run-joined",
        started_ns=1760000000000000110, ended_ns=1760000000000000150,
    )  # fmt: skip
    ledger.record([(again, priced(13))])
    ledger.close()
    is_same(before, old)


def test_reading_an_old_ledger_leaves_it_as_it_was(old: Path) -> None:
    before, content = told_before(old), old.read_bytes()
    is_same(before, old)
    assert list(check(old)) == []
    assert old.read_bytes() == content
    assert [file.name for file in old.parent.iterdir()] == [old.name]


def large(path: Path, charges: int, version: int = 4) -> Path:
    """An old ledger with so many charges more."""
    old_ledger(path, version)
    with closing(sqlite3.connect(path)) as db:
        columns = [
            row[1] for row in db.execute("PRAGMA table_info(charges)") if row[1] not in ("event_id", "tenant_id")
        ]
        names = ", ".join(columns)
        db.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {charges}) "
            f"INSERT INTO charges (event_id, tenant_id, {names}) SELECT printf('%032x', i), 't-' || (i % 50), {names} "
            "FROM n, charges c WHERE c.event_id = '90c0ce4a5f94bd0a80999ce5c87f01e6'"
        )
        db.execute(
            "INSERT INTO charge_lines SELECT c.event_id, l.position, l.meter, l.quantity, l.unit_price, l.per, "
            "l.rate_id, l.nano, l.atto_rest FROM charges c, charge_lines l "
            "WHERE l.event_id = '90c0ce4a5f94bd0a80999ce5c87f01e6' "
            f"AND c.event_id <= printf('%032x', {charges})"
        )
        db.commit()
    return path


MIGRATE = """
import sys
from pathlib import Path
from aicost.ledger import migrate
from aicost.ledger.connection import connect
print("ready", flush=True)
sys.stdin.readline()
connect(Path(sys.argv[1]), synchronous="FULL", timeout_s=30).close()
"""


@pytest.mark.slow
@pytest.mark.timeout(120 + 3 * KILLS)
def test_a_migration_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    path = large(tmp_path / "l.sqlite", 20_000)
    before = told_before(path)
    chance, killed = random.Random(3), 0
    content = path.read_bytes()
    took = 1.5
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", MIGRATE, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(b"go\n")
        process.stdin.flush()
        time.sleep(chance.uniform(0, took))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # Old or new, and nothing between.
        is_new = version_of(path) == SCHEMA_VERSION
        tables = {name for (name,) in found(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert ("entries" in tables, "charge_lines" in tables) == (is_new, not is_new)
        assert not any(name.startswith("old_") for name in tables)
        if is_new:
            is_same(before, path)
            for file in tmp_path.glob("l.sqlite*"):
                file.unlink()
            path.write_bytes(content)
            took *= 0.8
        else:
            killed += 1
            assert told_before(path) == before
    assert killed > KILLS // 3
    connect(path, synchronous="NORMAL", timeout_s=30).close()
    is_same(before, path)
    assert list(check(path)) == []


WRITER = """
import sys
from aicost.ledger import Ledger
from tests.ledger.charges import event, priced
path, n = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
ledger = Ledger.open(path)
for i in range(100):
    assert ledger.record([(event(f"w-{n}-{i}", run_id=None), priced(1))])
assert ledger.flush(60)
ledger.close()
"""


def test_processes_that_migrate_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = large(tmp_path / "l.sqlite", 3_000)
    usd = told_before(path)["by currency"]["USD"]
    commands = [[sys.executable, "-c", WRITER, str(path), str(n)] for n in range(3)]
    commands += [[sys.executable, "-c", MIGRATE, str(path)]] * 2
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=90)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 5, said
    after = told_after(path)["by currency"]["USD"]
    assert after == (usd[0] + 300, usd[1] + 300, usd[2] + 300)
    assert list(check(path)) == []


def test_totals_that_would_not_be_the_same_leave_it_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, totals = told_before(old), migrate.totals

    def wrong(db: sqlite3.Connection) -> dict[str, tuple[int, int, int]]:
        return {name: (n, known, amount + 1) for name, (n, known, amount) in totals(db).items()}

    monkeypatch.setattr(migrate, "totals", wrong)
    version = version_of(old)
    with pytest.raises(LedgerError, match="cannot be migrated: its totals are"):
        connect(old, synchronous="NORMAL", timeout_s=5)
    with pytest.raises(LedgerError, match="cannot be migrated: its totals are"):
        LedgerReader(old)
    # Whoever writes goes on: charges wait in the journal.
    ledger = Ledger.open(old)
    ledger.record([(event("new", run_id=None), priced(1))])
    assert not ledger.flush()
    ledger.close()
    assert (version_of(old), ledger.lost) == (version, 0)
    assert told_before(old) == before
    monkeypatch.undo()
    after = told_after(old)
    assert after["by currency"]["USD"][0] == before["by currency"]["USD"][0] + 1


def test_a_ledger_of_schema_5_keeps_every_entry_and_goes_on(tmp_path: Path) -> None:
    path = old_ledger(tmp_path / "l.sqlite", 5)
    before = found(path, "SELECT * FROM entries"), found(path, "SELECT * FROM sightings")
    with LedgerReader(path) as reader:
        assert [(one.attempts, one.atto) for one in reader.answer(Query())] == [(2, 1_000_000_009)]
        assert [(one.kind, one.count, one.atto) for one in reader.sightings()] == [("joined", 1, 9)]
    assert version_of(path) == 5, "reading changes nothing"
    with closing(Ledger.open(path)) as ledger:
        ledger.record([(event("e-1", usage={"input": 10, "output": 3}), priced(1_000_000_007))])  # nothing new
        ledger.record([(event("e-4"), priced(1))])
    assert version_of(path) == SCHEMA_VERSION
    assert found(path, "SELECT * FROM entries")[: len(before[0])] == before[0]
    assert found(path, "SELECT * FROM sightings") == before[1]
    assert list(check(path)) == []
    with LedgerReader(path) as reader:
        assert [(one.attempts, one.atto) for one in reader.answer(Query())] == [(3, 1_000_000_010)]
