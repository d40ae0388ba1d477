"""What is ClickHouse's own: transactions made of a lock, numbers and one last insert; merges; servers that fail."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from hypothesis import strategies as st

from aicost._errors import LedgerError
from aicost.ledger.check import check
from aicost.ledger.engines import clickhouse, clickhouse_client
from aicost.ledger.engines.clickhouse import ClickhouseStore, open_snapshot, open_store
from aicost.ledger.engines.clickhouse_tables import INSERTS_BITS, LOCK, physical
from aicost.ledger.engines.sqlite import SqliteStore
from aicost.ledger.forget import forget_user
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.records import read_record
from aicost.ledger.schema import CONTEXTS, ENTRIES, PLACES, RUNS, TABLES, WRITERS
from aicost.ledger.store import Store
from aicost.ledger.writing import Writer
from tests.servers.clickhouse import FULL, OUT_OF_MEMORY, OVERLOADED, READ_ONLY, TOO_MANY_PARTS, ClickhouseServer

from .charges import event, priced
from .stores import ClickhouseDatabase, Straight, Where
from .test_laws import tellings


@pytest.fixture
def where(request: pytest.FixtureRequest) -> Where:
    return ClickhouseDatabase(request)


@pytest.fixture
def sql(where: Where) -> Iterator[Any]:
    """A client of the same database."""
    with clickhouse_connect.get_client(dsn=where.location.replace("clickhouse://", "http://")) as client:
        yield client


def now() -> float:
    return time.monotonic()


def total(where: Where) -> tuple[int, int]:
    with where.reader() as reader:
        rows = reader.answer(Query())
    return sum(row.atto for row in rows), sum(row.attempts for row in rows)


def charge(ledger: Straight, *ids: str, atto: int = 5) -> None:
    for one in ids:
        ledger.record([(event(one), priced(atto))])


class KilledError(BaseException):
    """The process is no more."""


def killed_after(store: Store, statements: int) -> None:
    """From so many statements that change something on, nothing of this store's reaches the server."""
    assert isinstance(store, ClickhouseStore)
    left = [statements]
    for name in ("insert", "tell", "ask"):
        setattr(store._db, name, partial(_unless_killed, left, getattr(store._db, name), name != "ask"))


def _unless_killed(left: list[int], act: Callable[..., Any], counts: bool, *said: Any) -> Any:
    if left[0] <= 0:
        raise KilledError
    left[0] -= counts
    return act(*said)


class Told(Straight):
    """What a ledger writes down, as the journal would have it."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]

    def taken(self) -> list[Any]:
        return [("w", n, record) for n, data in enumerate(self._waiting) if (record := read_record(data)) is not None]


def answers(location: str) -> dict[str, Any]:
    with LedgerReader(location) as reader:
        return {
            by: sorted(
                (str(row.keys), row.atto, row.attempts, row.input_tokens, row.unpriced, row.wasted_atto)
                for row in reader.answer(Query((by,) if by else ()))
            )
            for by in ("", "tenant", "workflow", "meter", "label:x")
        } | {"seen": sorted(map(repr, reader.sightings()))}


@pytest.mark.timeout(300)  # a hundred conversations
def test_a_writer_killed_between_any_two_statements_leaves_nothing_half_done(
    where: Where, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clickhouse, "LEASE_S", 0.0)
    numbers = iter(range(10_000))

    def law(data: st.DataObject) -> None:
        told = Told()
        for telling in data.draw(st.lists(tellings(), min_size=1, max_size=8)):
            telling(told)
        records = told.taken()
        ends: set[int] = set()
        for death in [*data.draw(st.lists(st.integers(1, 14), min_size=1, max_size=3)), 10**6]:
            store = where.store()
            writer = Writer(store)
            killed_after(store, death)
            with suppress(KilledError):
                reached = writer.places("j").get("segment", 0)
                ends.add(reached)
                while reached < len(records):
                    end = min(reached + data.draw(st.integers(1, 5)), len(records))
                    with store.transaction(now() + 20):
                        writer.take_in(records[reached:end])
                        writer.put_places("j", {"segment": end})
                    reached = end
                    ends.add(reached)
            total(where)  # whoever reads now is no worse for it
        plain = tmp_path / f"{next(numbers)}.sqlite"
        file = SqliteStore(plain, synchronous="NORMAL", timeout_s=5)
        for since, end in pairwise(sorted(ends)):
            with file.transaction(now() + 5):
                Writer(file).take_in(records[since:end])
        file.close()
        assert answers(where.location) == answers(str(plain))

    where.law(law, st.data(), examples=where.examples // 3)


def test_what_a_transaction_wrote_that_failed_is_seen_by_nobody_and_removed(where: Where, sql: Any) -> None:
    ledger = Straight(where.store())
    charge(ledger, "e-1")
    ledger.flush()
    with suppress(ZeroDivisionError), ledger.store.transaction(now() + 5):
        ledger.store.put(WRITERS, [("half", 1)])
        assert list(ledger.store.rows("SELECT number FROM writers WHERE writer = 'half'")), "one sees what one writes"
        assert where.ask("SELECT COUNT(*) AS n FROM writers WHERE writer = 'half'") == [(0,)]
        raise ZeroDivisionError
    assert where.ask("SELECT COUNT(*) AS n FROM writers WHERE writer = 'half'") == [(0,)]
    assert sql.command("SELECT count() FROM writers WHERE writer = 'half'") == 1
    charge(ledger, "e-2")
    ledger.close()
    assert sql.command("SELECT count() FROM writers WHERE writer = 'half'") == 0
    assert total(where) == (10, 2)
    assert sql.command("SELECT count() FROM charges") == 2
    assert [name for (name,) in sql.query("SHOW TABLES").result_rows if name.startswith(LOCK)] == []


def test_an_insert_that_arrives_when_nobody_waits_for_it_any_more_is_refused(
    where: Where, sql: Any, clickhouse_server: ClickhouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    where.store().close()
    monkeypatch.setattr(clickhouse_client, "_PATIENCE", 1)
    hasty, other = (Straight(open_store(where.location, timeout_s=1)) for _ in range(2))
    charge(hasty, "e-1", "e-2")
    with (
        clickhouse_server.misbehaving(delay=4, only="INSERT INTO entries"),
        pytest.raises(LedgerError) as raised,
    ):
        hasty.flush()
    assert hasty.store.may_pass(raised.value)
    charge(other, "e-1", atto=7)
    other.close()
    time.sleep(4)
    assert total(where) == (7, 1)
    assert sql.command("SELECT count() FROM entries") == 1
    charge(hasty, "e-1", "e-2", atto=7)
    hasty.close()
    assert total(where) == (14, 2)


def write(store: Store, *rows: tuple[Any, ...], places: Sequence[tuple[str, int, str]] = ()) -> None:
    with store.transaction(now() + 5):
        store.put(WRITERS, rows)
        store.replace(PLACES, places)


def test_a_transaction_whose_end_was_not_answered_has_ended(where: Where, clickhouse_server: ClickhouseServer) -> None:
    ledger = Straight(where.store())
    with (
        clickhouse_server.misbehaving(lose_answer=True, only="INSERT INTO places_told"),
        pytest.raises(LedgerError),
    ):
        write(ledger.store, ("w", 1), places=[("segment", 7, "j")])
    assert ledger.writer.places("j") == {"segment": 7}
    charge(ledger, "e-1")
    ledger.close()
    assert total(where) == (5, 1)
    assert where.ask("SELECT number FROM writers WHERE writer = 'w'") == [(1,)]


def merged(sql: Any) -> None:
    for table in TABLES:
        sql.command(f"OPTIMIZE TABLE {physical(table)} FINAL")


def test_a_row_that_was_sent_again_is_nothing_new_whether_merged_or_not(where: Where, sql: Any) -> None:
    store = where.store()
    for table in TABLES:
        sql.command(f"SYSTEM STOP MERGES {physical(table)}")
    ledger = Straight(store)
    charge(ledger, "e-1", "e-2")
    ledger.flush()
    for row in (ENTRIES, CONTEXTS):
        names = ", ".join(f"`{name}`" for name in row.names(store.dialect))
        for later in range(1, 30):  # as a client does, or another process
            block = f"block + {later << INSERTS_BITS}" if later % 2 else "block"
            sql.command(f"INSERT INTO {row.name} ({names}, block) SELECT {names}, {block} FROM {row.name} FINAL")
    assert sql.command("SELECT count() FROM entries") == 60
    for merge in (False, True):
        if merge:
            for table in TABLES:
                sql.command(f"SYSTEM START MERGES {physical(table)}")
            merged(sql)
        assert total(where) == (10, 2)
        assert sql.command("SELECT sum(amount) * 1000000000000000000 FROM charges") == 10
    assert sql.command("SELECT count() FROM entries") == 2
    ledger.close()


def test_a_reader_sees_one_moment_whatever_is_written_and_merged_meanwhile(where: Where, sql: Any) -> None:
    ledger = Straight(where.store())
    ledger.start_run("run-000001", workflow="w", started_ns=1)
    ledger.record([(event("e-1", complete=False), priced(5))])
    ledger.flush()
    with where.reader() as reader:
        runs, rows = reader.runs("run-000001"), reader.answer(Query(("workflow",)))
        assert [run.status for run in runs] == ["running"]
        ledger.end_run("run-000001", status="failed", ended_ns=9)
        ledger.record([(event("e-1"), priced(50))])
        charge(ledger, "e-2")
        ledger.close()
        merged(sql)
        assert reader.runs("run-000001") == runs
        assert reader.answer(Query(("workflow",))) == rows
    with where.reader() as later:
        assert [run.status for run in later.runs("run-000001")] == ["failed"]
        assert total(where) == (55, 2)


def test_one_writes_at_a_time_and_who_is_silent_too_long_not_at_all(
    where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = where.store(), where.store()
    with first.transaction(now() + 5):
        first.put(WRITERS, [("first", 1)])
        with pytest.raises(LedgerError, match="locked"), second.transaction(now() + 0.2):
            raise AssertionError
    write(second, ("second", 2))

    def silent() -> None:
        with first.transaction(now() + 5):
            first.put(WRITERS, [("silent", 3)])
            with monkeypatch.context() as patched:
                patched.setattr(clickhouse, "LEASE_S", 0.0)
                write(second, ("next", 4))
            first.put(WRITERS, [("silent", 5)])

    with pytest.raises(LedgerError, match="locked"):
        silent()
    write(first, ("first", 6))
    found = where.ask("SELECT writer, number FROM writers ORDER BY writer")
    assert found == [("first", 1), ("next", 4), ("second", 2)]


def test_a_long_transaction_gives_signs_of_life(where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse, "LEASE_S", 2.0)
    first, second = where.store(), where.store()
    with first.transaction(now() + 5):
        until = now() + 4
        while now() < until:
            first.put(WRITERS, [("first", 1)])
            with pytest.raises(LedgerError, match="locked"), second.transaction(now()):
                raise AssertionError
            time.sleep(0.3)
    assert where.ask("SELECT COUNT(*) AS n FROM writers") == [(1,)]


@pytest.mark.parametrize(
    ("error", "passes"),
    [(FULL, True), (TOO_MANY_PARTS, True), (OUT_OF_MEMORY, True), (OVERLOADED, True), (READ_ONLY, True)],
    ids=lambda one: one[1] if isinstance(one, tuple) else "",
)
def test_a_server_at_fault_may_be_well_again(
    where: Where, clickhouse_server: ClickhouseServer, error: tuple[int, str, str], passes: bool
) -> None:
    store = where.store()
    with (
        clickhouse_server.misbehaving(error=error, only="INSERT INTO writers"),
        pytest.raises(LedgerError) as raised,
    ):
        write(store, ("w", 1))
    assert store.may_pass(raised.value) is passes
    write(store, ("w", 1))
    assert where.ask("SELECT COUNT(*) AS n FROM writers") == [(1,)]


@pytest.mark.parametrize("row", [("w", 2**80), ("w", "text"), (3, 1)], ids=str)
def test_what_no_column_can_hold_will_never_pass(where: Where, row: tuple[Any, ...]) -> None:
    store = where.store()
    with pytest.raises(LedgerError) as raised:
        write(store, row)
    assert not store.may_pass(raised.value)
    write(store, ("w", 1))
    assert where.ask("SELECT COUNT(*) AS n FROM writers") == [(1,)]


def test_a_server_that_is_away_may_come_back(where: Where, clickhouse_server: ClickhouseServer) -> None:
    ledger = Straight(where.store())
    charge(ledger, "e-1")
    ledger.flush()
    clickhouse_server.stop()
    with pytest.raises(LedgerError) as raised:
        ledger.flush()
    assert ledger.store.may_pass(raised.value)
    assert ledger.store.is_usable
    clickhouse_server.start()
    charge(ledger, "e-2")
    ledger.close()
    assert total(where) == (10, 2)


@pytest.mark.parametrize("opened", [open_store, open_snapshot])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("not-a-secret", "my-secret"), "AUTHENTICATION_FAILED"),
        (("/test_", "/nowhere_"), "UNKNOWN_DATABASE"),
        (("@127.0.0.1:", "@127.0.0.1:1"), "[Pp]ort"),
        (("@127.0.0.1:", "@127.0.0.1:9/"), "refused"),
        (("@127.0.0.1", "@nowhere.invalid"), "nowhere.invalid"),
    ],
    ids=["password", "database", "port", "nobody", "host"],
)
def test_what_cannot_be_reached_is_said_without_the_password(
    where: Where, change: tuple[str, str], why: str, opened: Callable[..., Any]
) -> None:
    url = where.location.replace(*change)
    with pytest.raises(LedgerError, match=why) as raised:
        opened(url, timeout_s=1)
    shown = repr(raised.value) + repr(raised.value.__cause__)
    assert "secret" not in shown


@pytest.mark.parametrize("opened", [open_store, open_snapshot])
@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("CREATE TABLE bills (n Int8) ENGINE = Memory", "not an aicost ledger .*'bills'"),
        ("CREATE TABLE entries (n Int8) ENGINE = Memory", "not an aicost ledger"),
        ("CREATE TABLE entries (n Int8) ENGINE = Memory COMMENT 'aicost ledger, schema 99'", "newer aicost .*99"),
    ],
)
def test_a_database_of_others_is_left_alone(
    where: Where, sql: Any, made: str, why: str, opened: Callable[..., Any]
) -> None:
    sql.command(made)
    with pytest.raises(LedgerError, match=why):
        opened(where.location, timeout_s=5)
    assert len(sql.query("SHOW TABLES").result_rows) == 1


def test_a_server_that_is_too_old_is_refused(where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_client, "_OLDEST", (99, 1))
    with pytest.raises(LedgerError, match=r"is ClickHouse \d+\..*needs 99\.1"):
        where.store()


def test_there_is_nothing_to_read_before_something_was_written(where: Where) -> None:
    with pytest.raises(LedgerError, match="no ledger at"):
        open_snapshot(where.location, timeout_s=5)


def test_a_dimension_that_was_none_when_the_ledger_was_made_is_added(where: Where, sql: Any) -> None:
    where.store().close()
    sql.command("DROP VIEW charges")
    sql.command("ALTER TABLE contexts DROP COLUMN tenant_id")
    ledger = Straight(where.store())
    ledger.record([(event("e-1", attribution={"tenant_id": "acme"}), priced(5))])
    ledger.close()
    with where.reader() as reader:
        assert [row.keys for row in reader.answer(Query(("tenant",)))] == [("acme",)]


def _in_child(snapshot: Any, store: Any, told: Any) -> None:
    found = [dict(row) for row in snapshot.rows("SELECT COUNT(*) AS n FROM entries")]
    told.put((found, store.is_usable))
    store.close()


def test_a_child_asks_over_a_connection_of_its_own(where: Where) -> None:
    where.recorded((event("e-1"), priced(5)))
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    store, snapshot = where.store(), where.snapshot()
    child = context.Process(target=_in_child, args=(snapshot, store, told))
    child.start()
    assert told.get(timeout=60) == ([{"n": 1}], False)
    child.join()
    assert [dict(row) for row in snapshot.rows("SELECT COUNT(*) AS n FROM entries")] == [{"n": 1}]
    write(store, ("w", 1))


def test_states_of_one_key_are_replaced_and_deleted(where: Where) -> None:
    store = where.store()
    row = ("r", "r", None, None, "w", None, "running", 1, None, "{}")
    for status in ("running", "ok"):
        with store.transaction(now() + 5):
            store.replace(RUNS, [(*row[:6], "failed", *row[7:])])
            store.replace(RUNS, [(*row[:6], status, *row[7:])])
    assert where.ask("SELECT run_id, status FROM runs") == [("r", "ok")]
    with store.transaction(now() + 5):
        store.delete(RUNS, [("r",)])
    assert where.ask("SELECT run_id, status FROM runs") == []


def test_who_is_forgotten_is_in_no_version_of_any_row(where: Where, sql: Any) -> None:
    whose = {"user_id": "ann", "label:x": "ann's"}
    ledger = Straight(where.store())
    for name in ("w", "v"):
        ledger.start_run("run-000001", workflow=name, attribution=whose, started_ns=1)
        ledger.record([(event("e-1", attribution=whose, complete=name == "v"), priced(5))])
        ledger.flush()
    ledger.close()
    assert forget_user(where.location, "ann").subjects == 1
    assert total(where) == (5, 1)
    for table in TABLES:
        for row in sql.query(f"SELECT * FROM {physical(table)}").result_rows:
            assert "ann" not in repr(row), table.name
    assert list(check(where.location)) == []
