"""Every command that touches a ledger says what is wrong with one in one line, without a traceback."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.ledger.charges import event, priced
from tests.ledger.test_connection import unprivileged

from aicost.cli import main
from aicost.journal.segments import found_in
from aicost.ledger import Ledger, ingest
from aicost.ledger.where import journal_of

COMMANDS = {
    "check": ["ledger", "check"],
    "ingest": ["ledger", "ingest"],
    "migrate": ["ledger", "migrate"],
    "forget": ["ledger", "forget", "--user", "u"],
    "report": ["report", "--by", "model", "--by", "user"],
    "explain": ["explain", "run-000001"],
}
ALL = frozenset(COMMANDS)


def run(capsys: pytest.CaptureFixture[str], command: str, path: Path) -> tuple[int, str, str]:
    """Run it as a terminal does; its status, and what it said on either side."""
    sys.argv = ["aicost", *COMMANDS[command], "--ledger", str(path)]
    status = 0
    try:
        main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound ledger, and a charge more that waits in its journal; all may go where it is."""
    monkeypatch.setattr(sys, "argv", ["aicost"])
    folder = tmp_path_factory.mktemp("trouble")
    for above in (folder.parent, folder.parent.parent, folder):
        above.chmod(0o755)
    file = folder / "l.sqlite"
    ledger = Ledger.open(file)
    ledger._is_due = True
    ledger.start_run("run-000001", workflow="w", started_ns=0, attribution={"user_id": "u"})
    for n in range(300):
        ledger.record([(event(f"e-{n}", attribution={"user_id": "u", "label:k": str(n)}), priced(20, 30))])
    assert ledger.flush()
    ledger._journal.end_segment()
    ledger.record([(event("e-last", model="other"), priced(20, 30))])
    ledger._journal.close()
    ledger._ingester.close()
    return file


def damage(path: Path, start: int, end: int) -> None:
    content = bytearray(path.read_bytes())
    content[start:end] = b"\xff" * (end - start)
    path.write_bytes(content)


def changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.executescript(statement)

    return change


def former(path: Path) -> None:
    """One that cannot become one of today: what its lines say is no number."""
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parents[1] / "ledger" / "schemas" / "schema_4.sql").read_text())
        db.execute("UPDATE charge_lines SET quantity = 'many'")
        db.commit()


def large(path: Path) -> int:
    return path.stat().st_size


TROUBLE: dict[str, tuple[Callable[[Path], object], frozenset[str]]] = {
    "a newer schema": (changed("PRAGMA user_version = 99"), ALL),
    "somebody else's": (lambda path: (path.unlink(), changed("CREATE TABLE customers (id)")(path)), ALL),
    "no database": (lambda path: path.write_bytes(b"not a database at all " * 500), ALL),
    "its first page": (lambda path: damage(path, 100, 300), ALL),
    "its second half": (lambda path: damage(path, large(path) // 8192 * 4096, large(path)), ALL - {"migrate"}),
    "cut in half": (lambda path: path.write_bytes(path.read_bytes()[: large(path) // 2]), ALL),
    "a former one that cannot be migrated": (former, ALL),
    "a layout that is none": (changed("UPDATE layouts SET meters = '[['"), frozenset({"check", "report", "explain"})),
    "text that is none": (
        changed("UPDATE contexts SET model = CAST(x'ff' AS TEXT)"), frozenset({"check", "report", "explain"}),
    ),
    "a context that is gone": (changed("DELETE FROM contexts"), frozenset({"check", "explain", "report"})),
    "gone": (lambda path: (path.unlink(), shutil.rmtree(journal_of(path))), ALL),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), ALL),
}  # fmt: skip
"""What is done to a ledger, and which commands cannot do their work then."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("trouble", TROUBLE)
def test_what_is_wrong_with_a_ledger_is_one_line(
    path: Path, capsys: pytest.CaptureFixture[str], trouble: str, command: str
) -> None:
    make, refused = TROUBLE[trouble]
    make(path)
    status, out, err = run(capsys, command, path)
    if command in refused:
        assert status == 1
        # What `check` finds is its answer.
        assert bool(out) == (command == "check" and not err)
        assert out or err.count("\n") == 1
        assert not err or err.startswith("aicost: ")
        assert path.name in err or out.count(": ") >= 2
    assert "Traceback" not in err


ACCESS: dict[str, tuple[Callable[[Path], object], frozenset[str]]] = {
    "a file that cannot be read": (lambda path: path.chmod(0o000), ALL),
    "a folder that cannot be entered": (lambda path: path.parent.chmod(0o700), ALL),
    "a file that cannot be written": (lambda path: opened(path, file=0o444, folder=0o777), {"ingest", "forget"}),
    "a folder that cannot be written": (lambda path: opened(path, file=0o666, folder=0o555), {"ingest", "forget"}),
}  # type: ignore[dict-item] - sets of names


def opened(path: Path, *, file: int, folder: int) -> None:
    """Let everybody look at a ledger and its journal."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for each in path.parent.rglob("*"):
        each.chmod(folder if each.is_dir() else file)
    path.parent.chmod(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such rights here")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("trouble", ACCESS)
def test_what_one_may_not_do_is_one_line(
    path: Path, capsys: pytest.CaptureFixture[str], trouble: str, command: str
) -> None:
    make, refused = ACCESS[trouble]
    run(capsys, command, path.with_name("nowhere"))  # imports what it needs while it may
    Ledger.open(path.with_name("other.sqlite")).close()
    run(capsys, command, path.with_name("other.sqlite"))
    make(path)
    with unprivileged():
        status, out, err = run(capsys, command, path)
    path.parent.chmod(0o755)
    assert "Traceback" not in err
    if command in refused:
        assert (status, out) == (1, "")
        assert err.startswith("aicost: cannot")
        assert err.count("\n") == 1
    elif command in ("report", "check"):
        assert (status, err) == (0, "")
        assert "wait" in out, "what could not be taken in is said"


def test_a_ledger_that_another_process_holds_can_be_read(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "READ_TIMEOUT_S", 0.1)
    with held(path):
        for command in COMMANDS:
            status, out, err = run(capsys, command, path)
            if command in ("ingest", "forget"):
                assert (status, out, err.count("\n")) == (1, "", 1)
                assert "database is locked" in err
            else:
                assert (status, err) == (0, "")


@contextmanager
def held(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("what", ["cut", "flipped"])
def test_a_damaged_segment_is_said_and_the_rest_is_taken_in(
    path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, what: str
) -> None:
    (segment, size) = found_in(journal_of(path))[-1]
    file = journal_of(path) / segment.name
    content = bytearray(file.read_bytes())
    content[size // 2] ^= 0xFF
    file.write_bytes(content if what == "flipped" else content[: size // 2])
    status, out, _ = run(capsys, "ingest", path)
    assert status == 0
    assert "took in" in out
    assert segment.name in caplog.text, "on stderr, where nobody has set up logging"
    assert run(capsys, "check", path)[0] == 0


@pytest.mark.parametrize("seed", range(12))
def test_bytes_that_are_wrong_anywhere_are_no_traceback(
    path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    chance, content = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 3, 30, 300])):
        content[chance.randrange(100, len(content))] = chance.randrange(256)
    path.write_bytes(content)
    for command in ("report", "explain", "check", "ingest", "migrate", "forget"):
        status, _, err = run(capsys, command, path)
        assert status in (0, 1)
        assert err.count("\n") <= 1
