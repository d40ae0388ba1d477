"""A ledger file is opened, shared, moved and inherited without anything being lost or damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from aicost import LedgerError
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.schema import SCHEMA_VERSION

from .charges import event, priced

NOBODY = 65534


def calls(path: Path) -> int:
    with LedgerReader(path) as reader:
        return sum(row.calls for row in reader.answer(Query()))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without the rights of root, for which no folder is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION, 99])
def test_somebody_elses_database_is_left_as_it_was(tmp_path: Path, version: int) -> None:
    path = tmp_path / "x.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE customers (id)")
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"not an aicost ledger \(it has table 'customers'\)"):
        Ledger.open(path)
    with pytest.raises(LedgerError, match="not an aicost ledger"):
        LedgerReader(path)
    assert path.read_bytes() == before


def test_an_empty_file_is_no_ledger_to_read_but_one_to_begin(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.touch()
    with pytest.raises(LedgerError, match="it is empty"):
        LedgerReader(path)
    Ledger.open(path).close()
    assert calls(path) == 0


def test_a_newer_ledger_is_not_read_as_if_it_were_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    Ledger.open(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match=rf"newer aicost \(schema 99, this one knows {SCHEMA_VERSION}\); upgrade"):
        LedgerReader(path)


OPENER = """
import sys, time
from aicost.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
Ledger.open(sys.argv[1]).close()
"""


def test_processes_that_start_together_all_get_the_new_ledger(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    arguments = [sys.executable, "-c", OPENER, str(path)]
    starting = [
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in starting:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in starting:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=30)[1] for process in starting] == [""] * 6


def test_a_folder_without_write_permission_is_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("read-only")
    for above in (folder.parent, folder.parent.parent):
        above.chmod(0o755)
    folder.chmod(0o555)
    with unprivileged(), pytest.raises(LedgerError, match=r"cannot open ledger .*l\.sqlite: Permission denied"):
        Ledger.open(folder / "l.sqlite")


def test_a_copy_on_read_only_media_can_be_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("archive")
    path = folder / "l.sqlite"
    ledger = Ledger.open(path)
    ledger.record([(event(), priced(5))])
    ledger.close()
    for above in (folder.parent, folder.parent.parent):
        above.chmod(0o755)
    path.chmod(0o444)
    folder.chmod(0o555)
    with unprivileged():
        assert calls(path) == 1
    folder.chmod(0o755)


@pytest.mark.parametrize("what", ["the ledger", "the ledger and its journal", "the ledger, and there is another"])
def test_a_ledger_removed_under_a_running_process_is_begun_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    ledger.record([(event("before"), priced(5))])
    assert ledger.flush()
    for file in tmp_path.glob("l.sqlite*"):
        if file.is_file():
            file.unlink()
        elif what == "the ledger and its journal":
            shutil.rmtree(file)
    if what == "the ledger, and there is another":
        Ledger.open(path).close()
    time.sleep(0.11)  # a folder that was moved away is looked for now and then
    ledger.record([(event("after"), priced(5))])
    ledger.record([(event("and-on"), priced(5))])
    ledger.close()
    with LedgerReader(path) as reader:
        kept = {row.event_id for row in reader.charges()}
    # What the journal still had of before is no loss either.
    assert {"after", "and-on"} <= kept <= {"before", "after", "and-on"}
    assert ledger.lost == 0


FORKING = """
import os, signal, sys, threading
from aicost.ledger import Ledger
from tests.ledger.charges import event, priced

ledger, stop, written = Ledger.open(sys.argv[1]), threading.Event(), 0

def keep_writing():
    global written
    while not stop.is_set():
        ledger.record([(event(f"parent-{written}"), priced(1))])
        written += 1

writer = threading.Thread(target=keep_writing)
writer.start()
for child in range(20):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # a child that hangs dies by itself
        os._exit(0 if ledger.record([(event(f"child-{child}"), priced(1))]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stop.set()
writer.join()
ledger.close()
print(written)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_while_another_thread_writes_can_write_too(tmp_path: Path) -> None:
    # In a program of its own, and not measured: what else runs here, and coverage's own lock, is not made for forks.
    path = tmp_path / "l.sqlite"
    command = [sys.executable, "-c", FORKING, str(path)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=Path(__file__).parents[2], env=env)
    assert done.returncode == 0, done.stderr
    assert calls(path) == int(done.stdout) + 20


def test_what_the_parent_has_waiting_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    ledger.record_outcome("document", count=1, run_id=None, attribution={}, at_ns=1)
    ledger.record([(event("parent"), priced(1))])
    pid = os.fork()
    if pid == 0:
        ledger.record([(event("child"), priced(1))])
        os._exit(0 if ledger.flush(20) and not ledger.lost else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ledger.flush()
    ledger.close()
    assert calls(path) == 2
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM outcomes").fetchone() == (1,)


FULL = """
import resource, signal, sys
from aicost.ledger import Ledger
sys.path.insert(0, sys.argv[2])
from tests.ledger.charges import event, priced
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Ledger.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
kept = sum(ledger.record([(event(f"e-{n}"), priced(1))]) for n in range(400))
ledger.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.close()
assert kept + ledger.lost == 400, (kept, ledger.lost)
print(kept)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits here")
@pytest.mark.parametrize(("limit", "is_lost"), [(50_000, True), (230_000, False)], ids=["the journal", "the store"])
def test_what_was_acknowledged_is_kept_when_files_cannot_grow(tmp_path: Path, limit: int, *, is_lost: bool) -> None:
    path = tmp_path / "l.sqlite"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(root), str(limit)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert calls(path) == int(done.stdout)
    assert (int(done.stdout) < 400) == is_lost


LIVES = """
import os, sys
sys.path.insert(0, sys.argv[2])
from aicost.ledger import Ledger
from tests.ledger.charges import event, priced
ledger = Ledger.open(sys.argv[1])
n = 0
while True:
    ledger.record([(event(f"e-{os.getpid()}-{n}"), priced(1))])
    os.write(1, f"e-{os.getpid()}-{n}\\n".encode())
    n += 1
"""


def test_every_charge_that_was_recorded_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    root = Path(__file__).parents[2]
    returned: list[str] = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", LIVES, str(path), str(root)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        returned += [process.stdout.readline().strip() for _ in range(50)]
        process.kill()
        returned += process.stdout.read().split()
        process.wait()
    with LedgerReader(path) as reader:
        kept = [row.event_id for row in reader.charges()]
    assert set(returned) <= set(kept)
    assert len(kept) == len(set(kept)) <= len(returned) + 2, "at most the one being written when each died"
    assert list((tmp_path / "l.sqlite.journal").glob("*.segment")) == [], "what is in the ledger waits no more"


def test_a_report_sees_one_moment_while_charges_come_in(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    ledger.record([(event("e-1"), priced(1))])
    with LedgerReader(path) as reader:
        (whole,) = reader.answer(Query())
        ledger.record([(event("e-2"), priced(1))])
        assert sum(part.atto for part in reader.answer(Query(("model",)))) == whole.atto
    ledger.close()
    assert calls(path) == 2


def test_a_long_reader_does_not_hold_up_writers(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    with LedgerReader(path) as reader:
        reader.answer(Query())
        began = time.monotonic()
        ledger.record([(event(), priced(1))])
        assert ledger.flush()
        assert time.monotonic() - began < 2
    ledger.close()


def test_a_damaged_ledger_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    for n in range(200):
        ledger.record([(event(f"e-{n}"), priced(1))])
    ledger.close()
    content = bytearray(path.read_bytes())
    sound = len(content) * 3 // 4 // 4096 * 4096  # the schema is in the first pages
    content[sound:] = b"\xff" * (len(content) - sound)
    path.write_bytes(content)
    with LedgerReader(path) as reader, pytest.raises(LedgerError, match=r"cannot read ledger .*l\.sqlite: .*malformed"):
        reader.answer(Query(("user",)))  # of which no sums are kept: the pages of entries are read


def test_a_ledger_from_before_some_dimension_gets_its_column(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = Ledger.open(path)
    ledger.record([(event("before"), priced(5))])
    ledger.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP VIEW charges")
        db.execute("ALTER TABLE contexts DROP COLUMN phase")
        db.execute("ALTER TABLE subjects DROP COLUMN conversation_id")
        db.commit()
    before = path.read_bytes()
    with LedgerReader(path) as reader:
        assert [(row.key, row.atto) for row in reader.answer(Query(("phase",)))] == [(None, 5)]
    assert path.read_bytes() == before, "reading changes nothing"
    ledger = Ledger.open(path)
    ledger.record([(event("before"), priced(5)), (event("after", attribution={"phase": "research"}), priced(7))])
    ledger.close()
    with LedgerReader(path) as reader:
        assert {row.key: row.atto for row in reader.answer(Query(("phase",)))} == {None: 5, "research": 7}
    assert list(check(path)) == []
