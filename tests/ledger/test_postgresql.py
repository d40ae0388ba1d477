"""A ledger in PostgreSQL: what only a server does, or may do to it."""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aicost import LedgerError
from aicost.ledger.check import check
from aicost.ledger.engines import postgresql
from aicost.ledger.engines.postgresql import PostgresqlStore, open_snapshot, open_store
from aicost.ledger.engines.postgresql_tables import months_of
from aicost.ledger.query import BREAKDOWNS, Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.schema import ENTRIES, PLACES, RUNS, UNREAD
from aicost.scopes.ids import derived_id
from tests.servers.postgresql import PASSWORD, PostgresqlServer

from .charges import event, ns, priced
from .stores import PostgresqlDatabase, Straight


def at(day: str, n: int = 0) -> str:
    """An id that was minted on a day."""
    return f"{ns(day) // 1_000_000:012x}{n:020x}"


def say(url: str, *statements: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def wrote(url: str, *ids: str) -> None:
    ledger = Straight(open_store(url, timeout_s=5))
    for one in ids:
        ledger.record([(event(one), priced(1))])
    ledger.close()


def total(url: str) -> tuple[int, int]:
    with LedgerReader(url) as reader:
        (row,) = reader.answer(Query())
    return row.atto, row.attempts


def partitions(url: str) -> dict[str, int]:
    """How many rows each partition that has any holds."""
    rows = say(url, "SELECT tableoid::regclass::text, COUNT(*) FROM entries GROUP BY 1 ORDER BY 1")
    return {str(name): int(n) for name, n in rows}


# What cannot be opened, and what is said.

SECRET = "s3cr3t-%-w0rd"


def with_password(url: str, password: str) -> str:
    return url.replace(PASSWORD, password)


BAD_URLS: dict[str, tuple[Callable[[str], str], str]] = {
    "wrong password": (lambda url: with_password(url, SECRET.replace("%", "%25")), "password authentication failed"),
    "wrong password as an option": (
        lambda url: (
            with_password(url, "").replace("postgres:@", "postgres@") + f"?password={SECRET.replace('%', '%25')}"
        ),
        "password authentication failed",
    ),
    "password that is not escaped": (lambda url: with_password(url, f"{SECRET}/a"), "cannot be read"),
    "password with a colon and a slash": (lambda url: with_password(url, f":/{SECRET}"), "cannot be read"),
    "unknown option": (lambda url: f"{url}?passwrd={SECRET.replace('%', '%25')}", "cannot be read"),
    "no such database": (lambda url: f"{url}_not", "does not exist"),
    "nobody there": (lambda _: f"postgresql://me:{SECRET.replace('%', '%25')}@127.0.0.1:9/costs", "refused"),
    "no such schema": (lambda url: f"{url}?options=-csearch_path%3Dnowhere", "no schema has been selected"),
}


@pytest.mark.parametrize("what", BAD_URLS)
@pytest.mark.parametrize(
    "opened", [open_store, open_snapshot, lambda url, **_: LedgerReader(url)], ids=["store", "snapshot", "reader"]
)
def test_what_cannot_be_opened_is_said_without_the_password(postgresql_url: str, what: str, opened: Any) -> None:
    make, said = BAD_URLS[what]
    if what == "no such schema" and opened is not open_store:
        said = "no ledger at"
    with pytest.raises(LedgerError) as caught:
        opened(make(postgresql_url), timeout_s=2)
    assert said in str(caught.value)
    if "cannot be read" not in said:
        assert "127.0.0.1" in str(caught.value)
    text = "".join(traceback.format_exception(caught.value))
    for secret in (SECRET, SECRET.replace("%", "%25"), "s3cr3t", PASSWORD):
        assert secret not in text
    assert "\n" not in str(caught.value)


def test_a_newer_ledger_is_refused_by_whoever_opens_it_and_whoever_has_it_open(postgresql_url: str) -> None:
    store = open_store(postgresql_url, timeout_s=5)
    say(postgresql_url, "UPDATE aicost_schema SET version = 99")
    said = (
        r"ledger postgresql://127\.0\.0\.1.* was written by a newer aicost \(schema 99, this one knows \d+\); upgrade"
    )
    for attempt in (
        lambda: open_store(postgresql_url, timeout_s=5),
        lambda: open_snapshot(postgresql_url, timeout_s=5),
    ):
        with pytest.raises(LedgerError, match=said):
            attempt()
    with pytest.raises(LedgerError, match=said), store.transaction(time.monotonic() + 5):
        pytest.fail("it must not come here")
    store.close()


def test_a_database_of_something_else_is_left_as_it_is(postgresql_url: str) -> None:
    say(postgresql_url, "CREATE TABLE runs (marathon text)", "INSERT INTO runs VALUES ('Boston')")
    with pytest.raises(LedgerError, match=r"not an aicost ledger \(it has table 'runs'\).*search_path"):
        open_store(postgresql_url, timeout_s=5)
    assert say(postgresql_url, "SELECT COUNT(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(1,)]
    say(postgresql_url, "CREATE SCHEMA costs")
    beside = f"{postgresql_url}?options=-csearch_path%3Dcosts"
    wrote(beside, "e-1")
    assert total(beside) == (1, 1)
    assert say(postgresql_url, "SELECT * FROM runs") == [("Boston",)]


def test_two_ledgers_in_one_database_do_not_wait_for_each_other(postgresql_url: str) -> None:
    say(postgresql_url, "CREATE SCHEMA costs")
    beside = f"{postgresql_url}?options=-csearch_path%3Dcosts"
    with closing(open_store(beside, timeout_s=5)) as store, store.transaction(time.monotonic() + 5):
        wrote(postgresql_url, "e-1")
    assert total(postgresql_url) == (1, 1)


def test_a_server_that_is_too_old_or_a_database_that_cannot_hold_every_text_is_named(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(postgresql_url, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        latin = postgresql_url.rpartition("/")[0] + "/latin"
        with pytest.raises(LedgerError, match=r"/latin is in LATIN1, .*ENCODING 'UTF8'"):
            open_store(latin, timeout_s=5)
    finally:
        say(postgresql_url, "DROP DATABASE latin WITH (FORCE)")
    monkeypatch.setattr(postgresql, "OLDEST_SERVER", 99)
    with pytest.raises(LedgerError, match=r"is PostgreSQL \d+; a ledger needs 99 or newer"):
        open_snapshot(postgresql_url, timeout_s=5)


def test_many_that_begin_at_once_make_it_once(postgresql_url: str) -> None:
    failed: list[BaseException] = []

    def begin(n: int) -> None:
        try:
            wrote(postgresql_url, f"e-{n}", "shared")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert total(postgresql_url) == (9, 9)
    assert say(postgresql_url, "SELECT COUNT(*) FROM aicost_schema") == [(1,)]


def test_a_ledger_from_before_a_dimension_was_one_gets_its_column(postgresql_url: str) -> None:
    wrote(postgresql_url, "e-1")
    say(
        postgresql_url,
        "DROP VIEW charges",
        "ALTER TABLE contexts DROP COLUMN team",
        "ALTER TABLE subjects DROP COLUMN session_id",
        "CREATE VIEW charges AS SELECT e.amount, e.charge_start AS started_ns FROM entries e",
    )
    with pytest.raises(LedgerError, match=r"of an older aicost \(it has no team, session_id\); write to it once"):
        open_snapshot(postgresql_url, timeout_s=5)
    wrote(postgresql_url, "e-2")
    assert total(postgresql_url) == (2, 2)
    assert list(check(postgresql_url)) == []
    columns = say(
        postgresql_url,
        "SELECT * FROM charges LIMIT 0",
        "SELECT attname FROM pg_attribute WHERE attrelid = 'charges'::regclass ORDER BY attnum",
    )
    assert [name for (name,) in columns][:2] == ["amount", "started_ns"]
    assert ("team",) in columns


# Where a row is.


@pytest.mark.parametrize(
    ("identity", "now", "month"),
    [
        (at("2026-11-25"), "2026-11-25", "entries_2026_11"),
        (at("2026-11-01"), "2026-11-25", "entries_2026_11"),
        (f"{ns('2026-12-01') // 1_000_000 - 1:012x}{'f' * 20}", "2026-11-25", "entries_2026_11"),
        (at("2026-12-01"), "2026-11-25", "entries_2026_12"),
        (at("2026-12-31T23:59:59"), "2026-11-25", "entries_2026_12"),
        (at("2027-01-01"), "2026-11-25", None),
        (at("2027-01-01"), "2026-12-01", "entries_2027_01"),
        (at("2024-01-01"), "2026-11-25", "entries_2024_01"),
        (at("2023-12-31T23:59:59"), "2026-11-25", None),
        (at("2024-02-29"), "2023-05-05", None),
        ("00" * 16, "2026-11-25", None),
        ("ff" * 16, "2026-11-25", None),
    ],
)
def test_a_row_is_in_the_month_that_its_id_begins_with(identity: str, now: str, month: str | None) -> None:
    today = datetime.fromisoformat(now).replace(tzinfo=timezone.utc)
    assert [one.name for one in months_of([bytes.fromhex(identity)], today)] == ([month] if month else [])


def test_months_are_made_as_they_come_and_other_ids_are_in_the_default(postgresql_url: str) -> None:
    wrote(
        postgresql_url, at("2026-10-31", 1), at("2026-11-01", 1), at("2026-11-01", 2), derived_id("x"), at("2030-01-01")
    )
    assert partitions(postgresql_url) == {"entries_2026_10": 1, "entries_2026_11": 2, "entries_default": 2}
    wrote(postgresql_url, at("2026-11-01", 1), derived_id("x"))
    assert total(postgresql_url) == (5, 5), "told again, each is found where it is"


def test_rows_that_came_before_their_month_had_a_place_are_moved_there(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = at("2026-11-01", 1), at("2026-11-01", 2)
    monkeypatch.setattr(postgresql, "months_of", lambda *_: set())
    wrote(postgresql_url, first, derived_id("x"))
    assert partitions(postgresql_url) == {"entries_default": 2}
    monkeypatch.undo()
    wrote(postgresql_url, second, first)
    assert partitions(postgresql_url) == {"entries_2026_11": 2, "entries_default": 1}
    assert total(postgresql_url) == (3, 3)
    assert list(check(postgresql_url)) == []


def test_who_reads_does_not_hold_up_a_new_month_and_sees_its_moment(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "months_of", lambda *_: set())
    wrote(postgresql_url, at("2026-11-01", 1))
    monkeypatch.undo()
    store = open_store(postgresql_url, timeout_s=5)
    ledger = Straight(store)
    with LedgerReader(postgresql_url) as reader:  # asks nothing before the month is to be made
        ledger.record([(event(at("2026-11-01", 2)), priced(1))])
        began = time.monotonic()
        assert ledger.flush()
        assert time.monotonic() - began < 5
        assert partitions(postgresql_url) == {"entries_default": 2}, "it is made when nobody reads"
        assert [one.event_id for one in reader.charges(Filter(event_id=at("2026-11-01", 1)))] == [at("2026-11-01", 1)]
        assert [row.attempts for row in reader.answer(Query())] == [1]
    store._no_room_until = 0.0
    ledger.record([(event(at("2026-11-01", 3)), priced(1))])
    ledger.close()
    assert partitions(postgresql_url) == {"entries_2026_11": 3}
    assert total(postgresql_url) == (3, 3)


def test_a_month_that_was_rolled_back_is_made_again(postgresql_url: str) -> None:
    ledger = Straight(open_store(postgresql_url, timeout_s=5))
    ledger.record([(event(at("2026-11-01")), priced(1))])
    waiting = list(ledger._waiting)

    def interrupted() -> None:
        raise RuntimeError

    put = ledger.store.put
    ledger.store.put = lambda table, rows: (put(table, rows), table is ENTRIES and interrupted())  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        ledger.flush()
    ledger.store.put = put  # type: ignore[method-assign]
    ledger.writer.rolled_back()
    ledger._waiting = waiting
    ledger.close()
    assert partitions(postgresql_url) == {"entries_2026_11": 1}


def test_ids_are_found_by_index(postgresql_url: str) -> None:
    wrote(postgresql_url, *(at(f"2026-{month:02}-01", n) for month in range(1, 12) for n in range(5)), "text-id")
    with LedgerReader(postgresql_url) as reader:
        snapshot: Any = reader._snapshot
        asked: list[tuple[str, Any]] = []
        plain = snapshot.rows
        snapshot.rows = lambda select, values=(): asked.append((select, values)) or plain(select, values)
        reader.resolve("run-00")
        snapshot.rows = plain
        snapshot._say("SET LOCAL enable_seqscan = off")
        plans = [
            "\n".join(row["QUERY PLAN"] for row in snapshot.rows(f"EXPLAIN {select}", values))
            for select, values in asked
        ]
    assert len(plans) >= 8
    assert [plan for plan in plans if "Seq Scan" in plan] == []


# Who may do what.


@pytest.fixture
def reading_role(postgresql_url: str) -> Iterator[str]:
    """The URL of a role that may read alone, by the grants of docs/ledger.md."""
    wrote(postgresql_url, at("2026-10-01"), derived_id("x"))
    database = postgresql_url.rpartition("/")[2]
    documented = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text().split("```sql")
    (grants,) = (block.split("```")[0] for block in documented if "CREATE ROLE" in block)
    statements = [
        line for line in grants.replace("DATABASE costs", f"DATABASE {database}").splitlines() if line.strip()
    ]
    say(postgresql_url, *statements)
    try:
        yield with_password(postgresql_url, "look").replace("postgres:", "reports:")
    finally:
        say(postgresql_url, "DROP OWNED BY reports", "DROP ROLE reports")


def test_a_role_that_may_read_alone_answers_every_question(postgresql_url: str, reading_role: str) -> None:
    wrote(postgresql_url, at("2026-11-01"))  # a partition that came after the grants
    with LedgerReader(reading_role) as reader:
        for name in BREAKDOWNS:
            assert sum(row.atto for row in reader.answer(Query((name,)))) == 3
        assert len(reader.charges()) == len(list(reader.recorded())) == 3
        assert reader.resolve("run-00") == ("run", "run-000001")
        assert reader.runs("run-000001") == reader.sightings() == reader.gaps() == []
        assert len(reader.history(at("2026-10-01"))) == 1
    assert list(check(reading_role)) == []
    assert say(reading_role, "SELECT SUM(amount) * 1000000000000000000, COUNT(*) FROM charges") == [(3, 3)]
    for statement in ("DELETE FROM entries", "UPDATE subjects SET labels = ''", "CREATE TABLE mine (x int)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            say(reading_role, statement)
    store = open_store(reading_role, timeout_s=5)
    with pytest.raises(LedgerError, match="permission denied") as caught, store.transaction(time.monotonic() + 5):
        store.put(UNREAD, [("w", 1, b"", "")])
    store.close()
    assert PostgresqlStore.may_pass(caught.value), "the right may be given later"


def test_the_view_for_tools_has_exact_amounts_and_times(postgresql_url: str) -> None:
    ledger = Straight(open_store(postgresql_url, timeout_s=5))
    when = ns("2026-11-25T10:00:00")
    ledger.record(
        [
            (
                event(at("2026-11-25"), started_ns=when, ended_ns=when + 5, attribution={"tenant_id": "t"}),
                priced(1, 10**20),
            )
        ]
    )
    ledger.close()
    ((name, tenant, amount, started),) = say(
        postgresql_url, "SELECT event_id, tenant_id, amount::text, started_at AT TIME ZONE 'UTC' FROM charges"
    )
    assert (name, tenant, amount) == (at("2026-11-25"), "t", "100.000000000000000001")
    assert started == datetime(2026, 11, 25, 10)  # noqa: DTZ001 - as the server gives it


# What a server does.


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (psycopg.OperationalError("connection lost"), True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.DiskFull(), True),
        (psycopg.errors.ReadOnlySqlTransaction(), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.UndefinedTable(), True),
        (psycopg.errors.InsufficientPrivilege(), True),
        (psycopg.errors.OutOfMemory(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.DataCorrupted(), True),
        (LedgerError("of a newer aicost"), True),
        (psycopg.errors.NumericValueOutOfRange(), False),
        (psycopg.errors.CharacterNotInRepertoire(), False),
        (psycopg.errors.NotNullViolation(), False),
        (psycopg.errors.ProgramLimitExceeded(), False),
        (psycopg.DataError("text cannot contain NUL"), False),
        (psycopg.ProgrammingError("cannot adapt type 'object'"), False),
        (TypeError(), False),
        (ValueError(), False),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_the_server_is_at_fault_for_may_pass_and_what_is_written_does_not(error: Exception, passes: bool) -> None:
    assert PostgresqlStore.may_pass(error) is passes
    said = LedgerError("cannot write")
    said.__cause__ = error
    assert PostgresqlStore.may_pass(said) is passes


UNFIT: list[tuple[Any, tuple[Any, ...]]] = [
    (UNREAD, ("w\0", 1, b"", "")),
    (UNREAD, ("w", 2**63, b"", "")),
    (UNREAD, ("w", None, b"", "")),
    (UNREAD, ("w", "text", b"", "")),
    (UNREAD, ("w", object(), b"", "")),
    (UNREAD, ("w\ud800", 1, b"", "")),
    (RUNS, ("r" * 100_000 + "".join(map(chr, range(0x4E00, 0x9000))), "r", None, None, "", None, "", 1, None, "")),
]


@pytest.mark.parametrize("count", [1, 50], ids=["one", "many"])
@pytest.mark.parametrize(
    ("table", "row"), UNFIT, ids=["nul", "too great", "null", "text", "object", "half", "too long"]
)
def test_a_row_that_fits_nowhere_is_no_fault_of_the_server(
    postgresql_url: str, table: Any, row: Any, count: int
) -> None:
    with closing(open_store(postgresql_url, timeout_s=5)) as store:
        rows = [row, *((f"{n}", n, *row[2:]) if table is UNREAD else (f"{n}", *row[1:]) for n in range(count - 1))]
        with pytest.raises(Exception) as caught, store.transaction(time.monotonic() + 5):  # noqa: PT011
            store.put(table, rows)
        assert not store.may_pass(caught.value), repr(caught.value)
        with store.transaction(time.monotonic() + 5):
            store.put(PLACES, [("s", 1, "j")])
        assert store.is_usable


def test_another_writer_is_waited_for_as_long_as_there_is_time(postgresql_url: str) -> None:
    one, other = open_store(postgresql_url, timeout_s=5), open_store(postgresql_url, timeout_s=5)
    with one.transaction(time.monotonic() + 5):
        began = time.monotonic()
        with pytest.raises(LedgerError, match="is locked by another writer") as caught, other.transaction(began + 0.6):
            pytest.fail("there is only one at a time")
        assert 0.5 < time.monotonic() - began < 5
        assert other.may_pass(caught.value)
    with other.transaction(time.monotonic() + 5):
        other.put(PLACES, [("s", 1, "j")])
    one.close()
    other.close()


def test_a_server_that_was_away_is_connected_to_again(postgresql_url: str, postgresql_server: PostgresqlServer) -> None:
    ledger = Straight(open_store(postgresql_url, timeout_s=5))
    ledger.record([(event("e-1"), priced(1))])
    ledger.flush()
    postgresql_server.stop()
    with pytest.raises(LedgerError) as caught, ledger.store.transaction(time.monotonic() + 5):
        pytest.fail("there is no server")
    assert ledger.store.may_pass(caught.value)
    assert not ledger.store.is_usable
    ledger.store.close()
    with pytest.raises(LedgerError, match=r"cannot reach ledger postgresql://127\.0\.0\.1"):
        open_store(postgresql_url, timeout_s=2)
    postgresql_server.start()
    wrote(postgresql_url, "e-1", "e-2")
    assert total(postgresql_url) == (2, 2)


def test_a_server_that_says_nothing_is_given_up(
    postgresql_url: str, postgresql_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "SILENCE_S", 0.5)
    store = open_store(postgresql_url, timeout_s=0.5)
    with store.transaction(time.monotonic() + 5):
        store.put(PLACES, [("s", 1, "j")])
    postgresql_server.pause()
    try:
        began = time.monotonic()
        said = r"has not answered for 0\.5 s"
        with (
            pytest.raises(LedgerError, match=said) as caught,
            store.transaction(time.monotonic() + 5),
        ):
            store.put(PLACES, [("s", 2, "j")])
        assert time.monotonic() - began < 5
        assert store.may_pass(caught.value)
        assert not store.is_usable
        store.close()
    finally:
        postgresql_server.resume()
    with closing(open_store(postgresql_url, timeout_s=5)) as again, again.transaction(time.monotonic() + 5):
        assert [row["reached"] for row in again.rows("SELECT reached FROM places")] == [1]


def test_a_forked_child_leaves_the_connection_to_its_parent(postgresql_url: str) -> None:
    ledger = Straight(open_store(postgresql_url, timeout_s=5))
    ledger.record([(event("parent"), priced(1))])
    ledger.flush()

    def child() -> None:
        assert not ledger.store.is_usable
        ledger.store.close()
        wrote(postgresql_url, "child")

    forked = multiprocessing.get_context("fork").Process(target=child)
    forked.start()
    forked.join(60)
    assert forked.exitcode == 0
    assert ledger.store.is_usable
    ledger.record([(event("again"), priced(1))])
    ledger.close()
    assert total(postgresql_url) == (3, 3)


def test_a_long_answer_is_read_in_parts(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrote(postgresql_url, *(f"e-{n}" for n in range(300)))
    monkeypatch.setattr(postgresql, "_AT_A_TIME", 100)
    with closing(open_snapshot(postgresql_url, timeout_s=5)) as snapshot:
        rows = snapshot.stream("SELECT id FROM entries WHERE n = ? ORDER BY id", (1,))
        next(rows)
        held = say(postgresql_url, "SELECT query FROM pg_stat_activity WHERE application_name = 'aicost'")
        assert held == [('FETCH FORWARD 100 FROM "aicost_0"',)]
        assert sum(1 for _ in rows) == 299


def test_a_reader_whose_server_goes_says_so(postgresql_url: str, postgresql_server: PostgresqlServer) -> None:
    wrote(postgresql_url, "e-1")
    with LedgerReader(postgresql_url) as reader:
        postgresql_server.stop()
        with pytest.raises(LedgerError, match=r"cannot read ledger postgresql://127\.0\.0\.1"):
            reader.answer(Query())
        with pytest.raises(LedgerError, match="cannot read ledger"):
            reader.charges()


def test_text_in_a_question_is_taken_as_it_is_stored(postgresql_url: str) -> None:
    database = PostgresqlDatabase.__new__(PostgresqlDatabase)
    database.location = postgresql_url
    database.recorded((event(attribution={"tenant_id": "a\0b"}), priced(1)))
    with database.reader() as reader:
        assert [row.atto for row in reader.answer(Query((), Filter(tenant_id="a\0b")))] == [1]
        with suppress(LedgerError):
            reader.resolve("a\0b\ud800cdefgh")
