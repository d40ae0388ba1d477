"""Whatever is odd about a ledger's place, its clock or what it is told: a defined answer, and nothing lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import aicost
from aicost import LedgerError
from aicost.journal.segments import found_in
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.columns import LONGEST_TEXT
from aicost.ledger.ingest import Ingester, take_in_all
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.schema import SCHEMA_VERSION
from aicost.ledger.told import Told, ToldOutcome, ToldRun, ToldStep
from aicost.ledger.where import journal_of
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from tests.conftest import App

from .charges import event, priced

MOST = 2**63 - 1


def idle(path: Path, **settings: Any) -> Ledger:
    """A ledger of which no thread takes anything in: what is recorded waits in the journal."""
    ledger = Ledger.open(path, **settings)
    ledger._is_due = True
    return ledger


def totals(path: Path | str) -> tuple[int, int]:
    """How many attempts, and what they come to, where no more waits."""
    with LedgerReader(path) as reader:
        assert reader.waiting == 0
        rows = reader.answer(Query())
        return sum(row.attempts for row in rows), sum(row.atto for row in rows)


def unread(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT COUNT(*) FROM unread").fetchone()[0])


def is_sound(path: Path) -> bool:
    return list(check(path)) == [] and unread(path) == 0


NAMES = [
    "a b", "株式会社é", "a?b", "a?mode=ro", "a#b", "a%20b", "a%", "a&b=c", "file:a", ":memory:", "-a", "a'b", 'a"b',
    "a\nb", os.fsdecode(b"a\xff"),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_relative", [False, True], ids=["whole", "relative"])
def test_a_ledger_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, is_relative: bool
) -> None:
    folder = tmp_path / name
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    monkeypatch.chdir(folder)
    given = Path(name) if is_relative else folder / name
    for n in range(2):
        ledger = idle(given)
        ledger.record([(event(f"e-{n}"), priced(5))])
        ledger.close()
    waiting = idle(given)
    waiting.record([(event("e-2"), priced(5))])
    assert totals(given) == (3, 15)
    waiting.close()
    assert is_sound(folder / name)
    assert {one.name for one in folder.iterdir() if not one.name.endswith(("-wal", "-shm"))} == {
        name,
        f"{name}.journal",
    }
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_relative_path_means_the_folder_it_was_opened_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    ledger = idle(Path("l.sqlite"))
    ledger.record([(event("before"), priced(5))])
    monkeypatch.chdir("elsewhere")
    assert ledger.flush()
    ledger.record([(event("after"), priced(5))])
    ledger.close()
    assert totals(tmp_path / "l.sqlite") == (2, 10)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("kind", ["to a file", "to nothing yet", "of a folder"])
def test_a_link_is_the_ledger_it_leads_to(tmp_path: Path, kind: str) -> None:
    real = tmp_path / "real" / "l.sqlite"
    real.parent.mkdir()
    link = tmp_path / "link.sqlite"
    if kind == "of a folder":
        (tmp_path / "linked").symlink_to(real.parent, target_is_directory=True)
        link = tmp_path / "linked" / "l.sqlite"
    else:
        link.symlink_to(real)
    if kind != "to nothing yet":
        Ledger.open(real).close()
    ledgers = [idle(link), idle(real)]
    for n, ledger in enumerate(ledgers):
        ledger.record([(event(f"e-{n}"), priced(5))])
    assert totals(real) == totals(link) == (2, 10), "what waits is found, whoever looks"
    for ledger in ledgers:
        ledger.close()
    assert sorted(one.name for one in tmp_path.iterdir() if not one.is_symlink()) == ["real"]


def test_links_that_lead_to_themselves_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for opening in (Ledger.open, LedgerReader):
        with pytest.raises(LedgerError) as caught:
            opening(tmp_path / "a")
        assert "\n" not in str(caught.value)


def test_two_ledgers_of_one_process_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    one, other = Ledger.open(path), Ledger.open(path)
    for n in range(50):
        for name, ledger in (("one", one), ("other", other)):
            ledger.record([(event(f"{name}-{n}"), priced(1)), (event(f"both-{n}"), priced(1))])
    assert one.flush(5)
    assert other.flush(5)
    one.close()
    other.record([(event("last"), priced(1))])
    other.close()
    assert totals(path) == (151, 151)
    assert is_sound(path)


@pytest.mark.parametrize("then", ["flush", "close", "record"])
def test_a_journal_that_somebody_deletes_is_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, then: str
) -> None:
    path = tmp_path / "l.sqlite"
    ledger = idle(path)
    ledger.record([(event("kept"), priced(5))])
    assert ledger.flush()
    ledger.record([(event("deleted"), priced(5))])
    shutil.rmtree(journal_of(path))
    began = time.monotonic()
    if then == "flush":
        assert ledger.flush(5), "nothing is left"
    if then != "close":
        ledger.record([(event("after"), priced(5))])
        assert "its files were deleted or moved away; it is begun anew" in caplog.text
    ledger.close()
    assert time.monotonic() - began < 3
    assert "charges wait in" not in caplog.text, "none do"
    assert totals(path) == ((1, 5) if then == "close" else (2, 10))
    assert is_sound(path)


def test_a_disk_that_is_full_for_the_store_alone_keeps_charges_in_the_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "l.sqlite"
    ledger = idle(path)
    assert ledger.record([(event("first"), priced(1))])
    assert ledger.flush()
    store = ledger._ingester._writer.store
    assert store is not None
    pages = store.db.execute("PRAGMA page_count").fetchone()[0]
    store.db.execute(f"PRAGMA max_page_count = {pages + 20}")
    for n in range(1000):
        assert ledger.record([(event(f"e-{n}"), priced(1))])
    for _ in range(3):
        assert not ledger.flush()
    assert caplog.text.count("is full") == 1
    assert (ledger.lost, unread(path)) == (0, 0)
    assert list(check(path)) == [], "what is in it is in it whole"
    store.db.execute("PRAGMA max_page_count = 1000000")
    assert ledger.flush(5)
    ledger.close()
    assert totals(path) == (1001, 1001)
    assert is_sound(path)


def test_a_newer_version_that_makes_a_ledger_its_own_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = idle(path)
    ledger.record([(event("e-1"), priced(1))])
    assert ledger.flush()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    ledger.record([(event("e-2"), priced(1))])
    assert not ledger.flush()
    ledger.close()
    assert ledger.lost == 0
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT COUNT(*) FROM entries").fetchone() == (1,)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    assert totals(path) == (2, 2), "it waits for that version"


@pytest.mark.parametrize("what", ["cut", "flipped", "lengthened", "emptied"])
def test_a_damaged_segment_costs_what_is_damaged_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    path = tmp_path / "l.sqlite"
    ledger = idle(path)
    ledger.record([(event("in the store"), priced(1))])
    assert ledger.flush()
    ledger._journal.end_segment()
    for n in range(20):
        ledger.record([(event(f"e-{n}"), priced(1))])
    ledger._journal.close()
    *_, (segment, size) = found_in(journal_of(path))
    file = journal_of(path) / segment.name
    content = bytearray(file.read_bytes())
    if what == "flipped":
        content[size // 2] ^= 0xFF
    file.write_bytes(
        {"cut": content[: size // 2], "lengthened": content + b"x" * 99, "emptied": b""}.get(what, content)
    )
    take_in_all(path)
    ledger.close()
    kept = {"cut": (10, 11), "flipped": (20, 20), "lengthened": (21, 21), "emptied": (1, 1)}[what]
    assert kept[0] <= totals(path)[0] <= kept[1]
    assert is_sound(path)
    assert found_in(journal_of(path)) == []
    said = {"cut": "was cut short", "emptied": ""}.get(what, "are damaged and left out; the segment is kept as")
    assert said in caplog.text


def test_a_clock_that_jumps_back_loses_and_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "l.sqlite"
    clock = [10**18]
    monkeypatch.setattr(time, "time_ns", lambda: clock[0])
    ledger = idle(path, segment_bytes=1500)
    for n in range(40):
        clock[0] -= 10**15
        usage = {"input": 10} if n % 2 == 0 else {"input": 10, "output": 1}
        told = event(f"e-{n // 2}", usage=usage, complete=n % 2 == 1, started_ns=clock[0], ended_ns=clock[0] - 5)
        ledger.record([(told, priced(1) if n % 2 == 0 else priced(1, 1))])
    begun = [segment.begun for segment, _ in found_in(journal_of(path))]
    assert begun == sorted(set(begun))
    assert len(begun) > 5
    ledger.close()
    assert totals(path) == (20, 40)
    assert is_sound(path)


@pytest.mark.parametrize("name", ["f" * 16, "7" + "f" * 15])
def test_a_segment_of_the_end_of_time_stops_nobody(tmp_path: Path, name: str) -> None:
    path = tmp_path / "l.sqlite"
    journal_of(path).mkdir()
    (journal_of(path) / f"{name}-{'0' * 32}.segment").touch()
    ledger = idle(path, segment_bytes=1000)
    for n in range(10):
        assert ledger.record([(event(f"e-{n}"), priced(1))])
    ledger.close()
    assert (ledger.lost, totals(path)) == (0, (10, 10))


@pytest.mark.parametrize("ns", [MOST, MOST + 1, 2**64 - 1, 10**30, -1, -MOST, -(2**64)])
def test_a_time_that_nobody_can_mean_costs_no_money(tmp_path: Path, ns: int) -> None:
    path = tmp_path / "l.sqlite"
    ledger = idle(path)
    run = ToldRun("run-told", "run-told", None, None, "w", None, True, ns, ns + 1, {})
    told = Told(
        [run], [ToldStep("s-1", "run-told", None, "s", "step", False, ns, ns)], [ToldOutcome("o", "o", 1, None, ns, {})]
    )
    for _ in range(2):
        ledger.record([(event("e-1", run_id="run-told", started_ns=ns, ended_ns=ns + 9), priced(5))], told=told)
        ledger.record([(event("e-2", started_ns=min(ns, 0), ended_ns=max(ns, 0)), priced(7))])
        ledger.start_run("run-2", workflow="w", started_ns=ns)
        ledger.start_step("s-2", run_id="run-2", name="s", kind="step", started_ns=ns)
        ledger.end_step("s-2", status="ok", ended_ns=ns)
        ledger.end_run("run-2", status="failed", ended_ns=ns)
        ledger.record_outcome("x", count=1, run_id="run-2", attribution={}, at_ns=ns, outcome_id="o-2")
    ledger.close()
    assert (ledger.lost, totals(path)) == (0, (2, 12))
    assert is_sound(path)
    with LedgerReader(path) as reader:
        assert reader.answer(Query(("workflow",), bucket="month"))
        assert [run.status for run in reader.runs("run-2")] == ["failed"]
        assert [run.status for run in reader.runs("run-told")] == ["failed"]
        assert all(-MOST <= one.started_ns <= MOST for one in reader.charges())


def one_line(quantity: Any) -> Charge:
    return Charge.of_lines(ChargeStatus.PRICED, "USD", 5, (ChargeLine("input", quantity, None, 1, None, None),))


@pytest.mark.parametrize(
    "quantity",
    [
        0, -1, 2**31 - 1, 2**31, -(2**31), MOST + 1, 10**40, Decimal("1.5"), Decimal("-0.000000000000000001"),
        Decimal("1E+30"), Decimal("1E-30"), Decimal(10**40),
    ],
    ids=str,
)  # fmt: skip
def test_a_quantity_is_kept_as_it_is(tmp_path: Path, quantity: Any) -> None:
    path = tmp_path / "l.sqlite"
    ledger = idle(path)
    for n in range(3):
        ledger.record([(event(f"e-{n}", usage={"input": quantity}), one_line(quantity))])
    ledger.record([(event("e-0", usage={"input": quantity}), one_line(quantity))])
    ledger.close()
    assert (ledger.lost, totals(path)) == (0, (3, 15))
    assert is_sound(path)
    with LedgerReader(path) as reader:
        assert [one.usage for one in reader.charges()] == [{"input": quantity}] * 3


HUGE = "x" * 1_000_000
TEXTS = (
    "provider", "model", "operation", "request_model", "api", "service_tier", "region", "speed", "error_type", "run_id",
    "root_run_id", "workflow", "step", "step_id", "agent", "trace_id", "span_id", "response_id", "retry_of", "event_id",
)  # fmt: skip


@pytest.mark.parametrize("field", [*TEXTS, "tenant_id", "user_id", "label:k"])
def test_a_huge_text_is_cut_and_two_stay_two(tmp_path: Path, field: str) -> None:
    path = tmp_path / "l.sqlite"
    ledger = idle(path)
    for n, end in enumerate("aab"):
        known: dict[str, Any] = {"event_id": f"e-{n}"}
        known |= {field: HUGE + end} if field in TEXTS else {"attribution": {field: HUGE + end}}
        assert ledger.record([(event(**known), priced(1))])
    ledger.close()
    assert ledger.lost == 0
    assert totals(path) == ((2, 2) if field == "event_id" else (3, 3))
    assert is_sound(path)
    assert path.stat().st_size < 300_000
    with LedgerReader(path) as reader:
        charges = reader.charges()
    said = {getattr(one, field) if field in TEXTS else one.attribution[field] for one in charges}
    assert len(said) == 2
    assert {len(text) for text in said} == {LONGEST_TEXT}


def test_a_huge_text_of_an_application_is_cut_too(app: App) -> None:
    with aicost.run_scope(HUGE, tenant_id=HUGE, user_id=HUGE, labels={"k": HUGE}):
        aicost.record_usage(provider=HUGE, model=HUGE, operation=HUGE, usage={"input": 1})
        aicost.record_outcome("document", count=1)
    aicost.flush()
    assert (
        sum(file.stat().st_size for file in app.ledger_path.parent.glob(f"{app.ledger_path.name}*") if file.is_file())
        < 3e6
    )
    with LedgerReader(app.ledger_path) as reader:
        (one,) = reader.charges()
    assert max(len(text) for text in one if isinstance(text, str) and text is not one.layout) <= LONGEST_TEXT


MANY = """
import resource, sys
from pathlib import Path
from aicost.ledger import Ledger
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from tests.ledger.charges import event, priced

path, key, number = sys.argv[1], sys.argv[2], int(sys.argv[3])

def used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before, ledger, one = used(), Ledger.open(path), priced(1)
for start in range(0, number, 100):
    entries = [(event(f"{n:032x}", attribution={key: f"v-{n}"}), one) for n in range(start, start + 100)]
    assert ledger.record(entries)
assert ledger.flush(200)
ledger.close()
written = used() - before
with LedgerReader(path) as reader:
    (row,) = reader.answer(Query())
    assert (row.attempts, row.atto) == (number, number)
    read = used() - before
    rows = reader.answer(Query((key.removesuffix("_id"),)))
    assert len(rows) == number
    assert {row.atto for row in rows} == {1}
print(written, read, used() - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("key", ["label:k", "tenant_id"])
def test_as_many_owners_as_charges_take_no_more_memory_than_so_much(tmp_path: Path, key: str) -> None:
    number = int(os.environ.get("AICOST_TEST_OWNERS", "50000"))
    command = [sys.executable, "-c", MANY, str(tmp_path / "l.sqlite"), key, str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    written, read, _ = map(int, done.stdout.split())
    assert written < 100, "MiB"
    assert read < 150, "MiB, for a sum over all of them"


DAMAGED: dict[str, Callable[[sqlite3.Connection], Any]] = {
    "a layout": lambda db: db.execute("UPDATE layouts SET meters = '[['"),
    "no layout": lambda db: db.execute("DELETE FROM layouts"),
    "a context": lambda db: db.execute("DELETE FROM contexts"),
    "flags": lambda db: db.execute("UPDATE contexts SET flags = '{'"),
    "text that is none": lambda db: db.execute("UPDATE contexts SET model = CAST(x'ff' AS TEXT)"),
    "details": lambda db: db.execute("UPDATE entries SET details = '[1]'"),
    "quantities": lambda db: db.execute("UPDATE entries SET quantities = '[null]'"),
    "labels": lambda db: db.execute("UPDATE subjects SET labels = 'x'"),
    "no quantity": lambda db: db.execute("UPDATE entries SET q0 = NULL"),
}


def refusal(question: Callable[[], Any]) -> str | None:
    try:
        question()
    except LedgerError as error:
        return str(error)
    return None


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_that_sqlite_does_not_notice_is_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "l.sqlite"
    ledger = idle(path)
    ledger.record([(event("e-1", attribution={"tenant_id": "t", "label:k": "v"}), priced(20, 30))])
    ledger.close()
    with closing(sqlite3.connect(path)) as db:
        DAMAGED[what](db)
        db.commit()
    with LedgerReader(path) as reader:
        questions: list[Callable[[], Any]] = [
            reader.charges,
            lambda: list(reader.recorded()),
            lambda: reader.answer(Query(("model",))),
            lambda: reader.answer(Query(("label:k",))),
            lambda: reader.answer(Query(("meter",))),
            reader.gaps,
            lambda: reader.history("e-1"),
        ]
        said = [text for question in questions if (text := refusal(question))]
    assert list(check(path)), "it is found"
    assert what in ("no layout", "labels") or said
    assert all("cannot read ledger" in text and "\n" not in text for text in said)
    # What is recorded on top of it is not lost, and nothing is raised into the application.
    ledger = Ledger.open(path)
    assert ledger.record([(event("e-1", usage={"input": 99}), priced(1)), (event("e-2"), priced(1))])
    ledger.flush()
    ledger.close()
    assert ledger.lost == 0
    with closing(Ingester(path)) as ingester, suppress(sqlite3.OperationalError):
        ingester.ingest()
