"""The servers of the other tests are what they are taken for."""

from __future__ import annotations

import time

import psycopg
import pytest

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
