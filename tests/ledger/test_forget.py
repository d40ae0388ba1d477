"""A person is forgotten everywhere but in the sums."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from aicost.cli import cli
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.told import Told, ToldOutcome

from .charges import event, priced

USER = "user-4711-forgettable"


def files(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with the person in entries, a run, an outcome, further views and the journal."""
    file = tmp_path / "l.sqlite"
    ledger = Ledger.open(file)
    own = {"user_id": USER, "tenant_id": "t"}
    ledger.start_run("run-000001", workflow="w", started_ns=1, attribution=own)
    ledger.record([(event("e-1", attribution=own), priced(2))])
    ledger.record([(event("e-2", usage={"input": 3}, complete=False, attribution=own), priced(2))])
    ledger.record([(event("e-2", usage={"input": 10}, attribution={**own, "label:x": USER}), priced(7))])
    ledger.record([(event("e-3", attribution={"user_id": "other"}), priced(11))])
    ledger.record_outcome("document", count=1, run_id=None, attribution=own, at_ns=1)
    ledger.record([], told=Told([], [], [ToldOutcome("o-2", "document", 1, None, 2, own)]))
    ledger._journal.append(b'["of tomorrow",9,"' + USER.encode() + b'"]')
    assert ledger.flush()
    ledger.record([(event("e-4", attribution=own), priced(13))])  # waits in the journal
    ledger._journal.close()
    (file.with_name("l.sqlite.journal") / "0-0.segment.damaged").write_text(USER)
    return file


def test_a_person_is_gone_and_every_sum_is_as_it_was(path: Path) -> None:
    with LedgerReader(path) as reader:
        before = {by: reader.answer(Query((by,))) for by in ("tenant", "model", "meter", "workflow")}
        assert USER in {row.key for row in reader.answer(Query(("user",)))}
    assert USER.encode() in files(path)
    done = CliRunner().invoke(cli, ["ledger", "forget", "--user", USER, "--ledger", str(path)])
    assert (done.exit_code, done.output.startswith(f"{USER} is forgotten: 2 subjects")) == (0, True), done.output
    with LedgerReader(path) as reader:
        assert {by: reader.answer(Query((by,))) for by in before} == before
        assert {row.key: row.atto for row in reader.answer(Query(("user",)))} == {None: 2 + 7 + 13, "other": 11}
    assert list(check(path)) == []
    assert USER.encode() not in files(path)


def test_what_is_told_of_a_person_later_does_not_bring_back_what_was(path: Path) -> None:
    assert CliRunner().invoke(cli, ["ledger", "forget", "--user", USER, "--ledger", str(path)]).exit_code == 0
    ledger = Ledger.open(path)
    ledger.record([(event("e-1", attribution={"user_id": USER, "tenant_id": "t"}), priced(2))])
    ledger.close()
    with LedgerReader(path) as reader:
        assert USER not in {row.key for row in reader.answer(Query(("user",)))}


def test_an_id_that_was_kept_as_its_hash_is_found_by_what_it_was(tmp_path: Path) -> None:
    from aicost.scopes.ids import opaque

    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    ledger.record([(event(attribution={"user_id": opaque("user_id", "ann@example.com")}), priced(2))])
    ledger.close()
    assert (
        CliRunner().invoke(cli, ["ledger", "forget", "--user", "ann@example.com", "--ledger", str(path)]).exit_code == 0
    )
    with LedgerReader(path) as reader:
        assert [row.key for row in reader.answer(Query(("user",)))] == [None]
