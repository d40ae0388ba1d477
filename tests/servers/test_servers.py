"""The servers of the other tests are what they are taken for."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal
from typing import Any

import clickhouse_connect
import psycopg
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from .clickhouse import FULL, ClickhouseServer
from .postgresql import PostgresqlServer


def test_postgresql_gives_each_test_an_empty_database(postgresql_server: PostgresqlServer, postgresql_url: str) -> None:
    with postgresql_server.database() as other, psycopg.connect(other) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(other)


def test_postgresql_refuses_a_wrong_password(postgresql_server: PostgresqlServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgresql_server.url(password="wrong"))


def test_postgresql_keeps_what_was_committed_over_a_hard_stop(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("INSERT INTO kept VALUES (1001)")
        postgresql_server.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(postgresql_url)
    postgresql_server.start()
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_postgresql_does_not_answer_while_it_is_paused(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        postgresql_server.pause()
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(postgresql_url, connect_timeout=2)
        began = time.monotonic()
        postgresql_server.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert time.monotonic() - began < 30


TABLE = """
CREATE TABLE kept (
    id FixedString(16), at DateTime64(6, 'UTC'), day Date, tenant LowCardinality(String), note Nullable(String),
    cost Decimal(38, 18), tokens Int64, version UInt64
) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(day) ORDER BY id
"""
COLUMNS = ["id", "at", "day", "tenant", "note", "cost", "tokens", "version"]
START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)


def rows(count: int, version: int = 1) -> list[tuple[Any, ...]]:
    """Rows of the table above, the same each time; every fourth day's in a month of its own."""
    return [
        (
            n.to_bytes(16, "big"),
            START + dt.timedelta(days=n % 4 * 31, microseconds=n),
            dt.date(2026, 1, 1) + dt.timedelta(days=n % 4 * 31),
            f"tenant-{n % 7}",
            None if n % 3 else f"note {n}",
            Decimal(n) + Decimal("0.000000000000000001"),
            2**62 + n,
            version,
        )
        for n in range(count)
    ]


@pytest.fixture
def client(clickhouse_url: str) -> Any:
    with clickhouse_connect.get_client(dsn=clickhouse_url, tz_mode="aware") as made:
        yield made


@pytest.mark.parametrize("compress", [True, False, "lz4", "zstd", "gzip"])
def test_clickhouse_gives_back_what_was_inserted(clickhouse_url: str, compress: bool | str) -> None:
    with clickhouse_connect.get_client(dsn=clickhouse_url, tz_mode="aware", compress=compress) as client:
        client.command(TABLE)
        written = client.insert("kept", rows(100_000), COLUMNS)
        assert written.written_rows == 100_000
        found = client.query("SELECT * FROM kept ORDER BY id", query_formats={"FixedString": "bytes"})
        assert found.column_names == tuple(COLUMNS)
        assert list(found.result_rows) == rows(100_000)


def test_clickhouse_drops_what_was_inserted_twice_and_sums_exactly(client: Any) -> None:
    client.command(TABLE)
    for version in (1, 2):
        client.insert("kept", rows(1000, version), COLUMNS)
    count = "SELECT count(), sum(cost), min(version) FROM kept"
    exact = sum(Decimal(n) + Decimal("0.000000000000000001") for n in range(1000))
    assert client.query(count).result_rows == [(2000, 2 * exact, 1)]
    assert client.query(count, settings={"final": 1}).result_rows == [(1000, exact, 2)]
    assert client.query(count).result_rows[0][0] == 2000, "a setting is its request's"


def test_clickhouse_takes_settings_parameters_and_a_session(clickhouse_url: str) -> None:
    joined = "SELECT b.n FROM (SELECT 1 AS n) AS a LEFT JOIN (SELECT 2 AS n) AS b ON a.n = b.n"
    with clickhouse_connect.get_client(dsn=clickhouse_url, settings={"join_use_nulls": 1}, session_id="one") as client:
        assert client.query(joined).result_rows == [(None,)]
        odd = "a'b\\c\td\né"
        assert client.query("SELECT {x:String}, {n:Int64}", parameters={"x": odd, "n": -1}).result_rows == [(odd, -1)]
        long = "x" * 100_000
        assert client.query("SELECT {x:String}", parameters={"x": long}).result_rows == [(long,)], "in a form"
        client.command("CREATE TEMPORARY TABLE mine (n Int64) ENGINE = Memory")
        client.command("INSERT INTO mine VALUES", data="(1),(2)")
        assert client.command("SELECT sum(n) FROM mine") == 3
    with clickhouse_connect.get_client(dsn=clickhouse_url) as other:
        assert other.query(joined).result_rows == [(0,)]
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            other.command("SELECT sum(n) FROM mine")
        assert other.raw_query("SELECT 1 AS n", fmt="JSONEachRow") == b'{"n":1}\n'
        assert other.command("SELECT 'a'") == "a"


def test_clickhouse_changes_tables(client: Any) -> None:
    for name in ("kept", "next"):
        client.command(TABLE.replace("kept", name))
    client.insert("kept", rows(8), COLUMNS)
    client.insert("next", rows(4, version=9), COLUMNS)
    client.command("ALTER TABLE kept REPLACE PARTITION 202601 FROM next")
    found = client.query("SELECT toYYYYMM(day), count(), max(version) FROM kept GROUP BY 1 ORDER BY 1").result_rows
    assert found == [(202601, 1, 9), (202602, 2, 1), (202603, 2, 1), (202604, 2, 1)]
    client.command("RENAME TABLE next TO last")
    assert client.query("SHOW TABLES").result_rows == [("kept",), ("last",)]
    parts = "SELECT partition, sum(rows) FROM system.parts WHERE active AND table = 'last' AND database = {d:String}"
    found = client.query(f"{parts} GROUP BY 1 ORDER BY 1", parameters={"d": client.database}).result_rows
    assert found == [("202601", 1), ("202602", 1), ("202603", 1), ("202604", 1)]
    client.command("ALTER TABLE kept DROP PARTITION 202604")
    client.command("ALTER TABLE kept DELETE WHERE tenant = 'tenant-1'", settings={"mutations_sync": 2})
    assert client.command("SELECT count() FROM kept") == 4
    tree = "WITH RECURSIVE up AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM up WHERE n < 5) SELECT sum(n) FROM up"
    assert client.command(tree) == 15


@pytest.mark.parametrize(
    ("statement", "code", "name"),
    [
        ("CREATE TABLE kept (n Int8) ENGINE = Memory", 57, "TABLE_ALREADY_EXISTS"),
        ("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE"),
        ("SELECT nothing FROM kept", 47, "UNKNOWN_IDENTIFIER"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR"),
        ("1 + 1", 62, "SYNTAX_ERROR"),
        ("SELECT 1 SETTINGS nothing = 1", 115, "UNKNOWN_SETTING"),
        ('INSERT INTO kept FORMAT JSONEachRow {"tokens": "x"}', 27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
        ("INSERT INTO kept SELECT 1", 20, "NUMBER_OF_COLUMNS_DOESNT_MATCH"),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_clickhouse_tells_its_errors(client: Any, statement: str, code: int, name: str) -> None:
    client.command(TABLE)
    with pytest.raises(DatabaseError) as raised:
        client.command(statement)
    assert (raised.value.code, raised.value.name) == (code, name)
    assert client.command("SELECT count() FROM kept") == 0


def test_clickhouse_knows_its_user(clickhouse_server: ClickhouseServer) -> None:
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED") as raised:
        clickhouse_connect.get_client(dsn=clickhouse_server.url(password="wrong"))
    assert raised.value.code == 516
    with pytest.raises(DatabaseError, match="UNKNOWN_DATABASE"):
        clickhouse_server.client("nowhere")


def test_clickhouse_only_reads_by_get(clickhouse_server: ClickhouseServer) -> None:
    at = f"http://127.0.0.1:{clickhouse_server.port}/?user=aicost&password=not-a-secret&query="
    with urllib.request.urlopen(at + "SELECT+1+AS+n+FORMAT+JSON") as answer:
        assert json.load(answer)["data"] == [{"n": 1}]
        assert answer.headers["X-ClickHouse-Format"] == "JSON"
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(at + "CREATE+DATABASE+never")
    assert raised.value.headers["X-ClickHouse-Exception-Code"] == "164"


def test_clickhouse_lets_one_request_into_a_session_at_a_time(clickhouse_url: str) -> None:
    with (
        clickhouse_connect.get_client(dsn=clickhouse_url, session_id="two") as one,
        clickhouse_connect.get_client(dsn=clickhouse_url, session_id="two") as other,
    ):
        slow = threading.Thread(target=one.command, args=("SELECT sleep(3)",))
        slow.start()
        time.sleep(1)
        with pytest.raises(DatabaseError, match="SESSION_IS_LOCKED"):
            other.command("SELECT 1")
        slow.join()
        assert other.command("SELECT 1") == 1


def test_clickhouse_serves_many_at_once(clickhouse_url: str) -> None:
    with clickhouse_connect.get_client(dsn=clickhouse_url) as client:
        client.command(TABLE)
    failed: list[Exception] = []

    def insert(number: int) -> None:
        try:
            with clickhouse_connect.get_client(dsn=clickhouse_url) as client:
                for _ in range(5):
                    client.insert("kept", rows(100, version=number), COLUMNS)
                    client.command("SELECT sum(cost) FROM kept", settings={"final": 1})
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=insert, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with clickhouse_connect.get_client(dsn=clickhouse_url) as client:
        found = client.query("SELECT count(), min(version) FROM kept FINAL").result_rows
        assert found == [(100, 7)]


def test_clickhouse_keeps_its_data_when_it_is_killed(clickhouse_server: ClickhouseServer, client: Any) -> None:
    client.command(TABLE)
    client.insert("kept", rows(1000), COLUMNS)
    clickhouse_server.stop()
    with pytest.raises(OperationalError, match="refused"):
        client.command("SELECT count() FROM kept")
    clickhouse_server.start()
    assert client.command("SELECT count() FROM kept") == 1000
    client.insert("kept", rows(1000, version=2), COLUMNS)
    assert client.command("SELECT min(version) FROM kept FINAL") == 2


def test_clickhouse_is_slow_full_silent_or_paused_when_told(
    clickhouse_server: ClickhouseServer, clickhouse_url: str
) -> None:
    # In a session, a request that the client no longer waits for would lock out the next.
    hasty = clickhouse_connect.get_client(dsn=clickhouse_url, send_receive_timeout=1, autogenerate_session_id=False)
    with hasty, clickhouse_connect.get_client(dsn=clickhouse_url) as client:
        client.command(TABLE)
        with clickhouse_server.misbehaving(error=FULL, only="INSERT INTO"):
            with pytest.raises(DatabaseError, match="NOT_ENOUGH_SPACE") as raised:
                client.insert("kept", rows(10), COLUMNS)
            assert raised.value.code == 243
            assert client.command("SELECT count() FROM kept") == 0
        with clickhouse_server.misbehaving(lose_answer=True, only="INSERT INTO"), pytest.raises(OperationalError):
            client.insert("kept", rows(10), COLUMNS)
        assert client.command("SELECT count() FROM kept FINAL") == 10, "it was done, and maybe again"
        with clickhouse_server.misbehaving(delay=2, only="INSERT INTO"), pytest.raises(OperationalError):
            hasty.insert("kept", rows(10), COLUMNS)
        clickhouse_server.pause()
        with pytest.raises(OperationalError):
            hasty.command("SELECT 1")
        clickhouse_server.resume()
        assert client.command("SELECT 1") == 1


def test_clickhouse_takes_a_block_once_that_has_a_token(clickhouse_server: ClickhouseServer, client: Any) -> None:
    """The client sends an insert again by itself if no answer came."""
    for table, more in (("plain", ""), ("known", "SETTINGS non_replicated_deduplication_window = 100")):
        client.command(f"CREATE TABLE {table} (n Int64) ENGINE = MergeTree ORDER BY n {more}")
        with clickhouse_server.misbehaving(lose_answer=True, only="INSERT INTO"), pytest.raises(OperationalError):
            client.insert(table, [[1]], ["n"], settings={"insert_deduplication_token": "one"})
    assert client.command("SELECT count() FROM plain") == 2
    assert client.command("SELECT count() FROM known") == 1


@pytest.mark.parametrize(
    ("statement", "data"),
    [
        ("INSERT INTO kept FORMAT CSV", '1,"a"'),
        ("INSERT INTO kept (n, s) SETTINGS async_insert = 0 FORMAT JSONEachRow", '{"n": 1, "s": "a"}'),
        ("-- FORMAT\n/* VALUES */ INSERT INTO kept FORMAT TabSeparated", "1\ta"),
        ("INSERT INTO kept VALUES", "(1, 'FORMAT CSV')"),
        ("INSERT INTO kept SELECT 1, 'VALUES'", None),
    ],
)
def test_clickhouse_takes_data_behind_its_statement(client: Any, statement: str, data: str | None) -> None:
    client.command("CREATE TABLE kept (n Int64, s String) ENGINE = MergeTree ORDER BY n")
    client.command(statement, data=data)
    client.command(statement if data is None else f"{statement}\n{data}")
    assert client.query("SELECT n, count() FROM kept GROUP BY n").result_rows == [(1, 2)]
