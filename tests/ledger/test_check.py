"""`aicost ledger check` proves the invariants of a real file, and names the row that breaks one."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from aicost.cli import cli
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.engines.postgresql import open_store
from aicost.ledger.sql_dialects import SQLITE
from aicost.scopes.ids import derived_id

from .charges import FREE, UNSEEN, event, priced, unpriced
from .stores import Straight

IDS = {name: derived_id("checked", name) for name in ("plain", "corrected", "free", "unpriced", "unseen")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger in a file."""
    file = tmp_path / "l.sqlite"
    fill(Ledger.open(file))
    return file


def fill(ledger: Ledger) -> None:
    """A correction, what is unpriced, and what nobody knows."""
    ledger.record([(event(IDS["plain"], attribution={"tenant_id": "t", "user_id": "u"}), priced(20, 30))])
    ledger.record([(event(IDS["corrected"], usage={"input": 10}, complete=False), priced(20))])
    ledger.record([(event(IDS["corrected"], usage={"input": 10, "output": 10}), priced(20, 30))])
    ledger.record([(event(IDS["free"], usage=None), FREE), (event(IDS["unpriced"]), unpriced())])
    ledger.record([(event(IDS["unseen"], usage=None, complete=False), UNSEEN)])
    ledger.close()


PLAIN, CORRECTED = f"x'{IDS['plain']}'", f"x'{IDS['corrected']}'"
ELSEWHERE = (
    "INSERT INTO sightings SELECT id, id, 'joined', '', NULL, '', 0, context, NULL, 0, NULL, NULL, 0, 0, 0 "
    f"FROM entries WHERE id = {PLAIN}"
)
BREAKS = {
    "the lines of an entry sum to its amount": (
        f"UPDATE entries SET amount_atto = amount_atto + 1 WHERE id = {PLAIN}",
        IDS["plain"],
    ),
    "an entry has a quantity for each meter of its layout": (
        f"UPDATE entries SET q1 = NULL WHERE id = {PLAIN}",
        IDS["plain"],
    ),
    "a reversal is the negative of what it corrects": (
        f"UPDATE entries SET run_id = 'other' WHERE id = {CORRECTED}",
        "it is not that of " + IDS["corrected"],
    ),
    "an entry counts 1, and a reversal -1": (f"UPDATE entries SET n = 2 WHERE id = {PLAIN}", IDS["plain"]),
    "an entry is corrected by its reversal once, and by a replacement once at most": (
        f"DELETE FROM entries WHERE n = -1 AND corrects = {CORRECTED}",
        IDS["corrected"],
    ),
    "what is corrected is there": (f"DELETE FROM entries WHERE id = {CORRECTED}", "it corrects " + IDS["corrected"]),
    "an entry names its context, subject and layout": ("DELETE FROM layouts", IDS["plain"]),
    "an entry can be read": (f"UPDATE entries SET details = '[1]' WHERE id = {PLAIN}", IDS["plain"]),
    "an amount is of one sign, its parts below one": (
        f"UPDATE entries SET amount_nano = -1 WHERE id = {PLAIN}",
        IDS["plain"],
    ),
    "an unpriced entry has no amount, and a priced one has": (
        f"UPDATE entries SET amount_units = 0, amount_nano = 0, amount_atto = 5 WHERE id = x'{IDS['unpriced']}'",
        IDS["unpriced"],
    ),
    "what counts elsewhere does not count here": (
        ELSEWHERE,
        IDS["plain"],
    ),
    "what is billed in a later month is of one that was closed": (
        f"UPDATE entries SET posted_period = '2026-11' WHERE id = {PLAIN}",
        IDS["plain"],
    ),
    "the transfers of an allocation sum to zero": (f"UPDATE entries SET book = 2 WHERE id = {PLAIN}", IDS["plain"]),
    "an id of what is interned is a digest of it": ("UPDATE contexts SET tenant_id = 'x'", "contexts"),
    "an id is 16 bytes": (f"UPDATE entries SET id = x'00' WHERE id = {PLAIN}", "00"),
}


def test_a_sound_ledger_breaks_nothing(path: Path) -> None:
    assert list(check(path)) == []
    done = CliRunner().invoke(cli, ["ledger", "check", "--ledger", str(path), "--json"])
    assert (done.exit_code, json.loads(done.output)["broken"]) == (0, [])


@pytest.mark.parametrize("invariant", BREAKS)
def test_a_row_that_breaks_an_invariant_is_named(path: Path, invariant: str) -> None:
    statement, named = BREAKS[invariant]
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()
    found = [one for one in check(path) if one.invariant == invariant]
    assert found
    assert any(named in (one.row, one.why) or one.row.startswith(named) for one in found), found
    done = CliRunner().invoke(cli, ["ledger", "check", "--ledger", str(path)])
    assert done.exit_code == 1
    assert invariant in done.output


IN_POSTGRESQL = (
    (r"x'(\w+)'", r"'\\x\1'"),
    (r"amount_atto = amount_atto \+ 1\b", "amount = amount + 1e-18"),
    (r"amount_units = 0, amount_nano = 0, amount_atto = 5", "amount = 5e-18"),
    (r"NULL, 0, 0, 0 FROM", "NULL, 0 FROM"),
)
"""What its statements say otherwise."""


@pytest.mark.parametrize("invariant", [one for one in BREAKS if one != "an amount is of one sign, its parts below one"])
def test_a_row_that_breaks_an_invariant_is_named_on_a_server(postgresql_url: str, invariant: str) -> None:
    fill(Straight(open_store(postgresql_url, timeout_s=5)))
    assert list(check(postgresql_url)) == []
    statement, named = BREAKS[invariant]
    for sqlite, ours in IN_POSTGRESQL:
        statement = re.sub(sqlite, ours, statement)
    with psycopg.connect(postgresql_url) as db:
        db.execute(statement.encode())
    found = [one for one in check(postgresql_url) if one.invariant == invariant]
    assert any(named in (one.row, one.why) or one.row.startswith(named) for one in found), found


def test_a_damaged_page_is_said_and_is_no_traceback(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192 : len(content) // 2] = b"\xff" * (len(content) // 2 - 8192)
    path.write_bytes(content)
    done = CliRunner().invoke(cli, ["ledger", "check", "--ledger", str(path)])
    assert done.exit_code == 1
    assert "the file is whole" in done.output


def test_every_question_has_a_case() -> None:
    from aicost.ledger import check as checks

    assert checks._questions(SQLITE).keys() <= BREAKS.keys()
