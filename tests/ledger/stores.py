"""The places a ledger can be kept in, each the same to a test: what holds of one holds of all.

A test that takes the fixture `where` runs once for each. To add a store: a class here, and a line in `STORES`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aicost.ledger import Ledger, RateSource
from aicost.ledger.engines import engine_of
from aicost.ledger.engines.clickhouse_tables import physical
from aicost.ledger.engines.sqlite import SqliteSnapshot, SqliteStore
from aicost.ledger.reader import LedgerReader
from aicost.ledger.records import read_record
from aicost.ledger.schema import DERIVED, TABLES
from aicost.ledger.store import Snapshot, Store
from aicost.ledger.writing import Writer


class Straight(Ledger):
    """A ledger whose records go into a store without a journal: by `flush` and `close`, in one transaction each."""

    def __init__(self, store: Store, rates: RateSource | None = None) -> None:
        self.where = Path("straight")
        self.lost = 0
        self.store = store
        self.writer = Writer(store)
        self._rates, self._owners, self._shipper = rates, None, None
        self._known_rates, self._warned = {}, set()
        self._waiting: list[bytes] = []
        self._numbers = count()

    def _append(self, data: bytes, charges: int) -> bool:
        self._waiting.append(data)
        return True

    def flush(self, timeout_s: float = 5.0) -> bool:
        told, self._waiting = self._waiting, []
        read = [("w", next(self._numbers), read_record(data)) for data in told]
        with self.store.transaction(time.monotonic() + timeout_s):
            self.writer.take_in([(writer, number, record) for writer, number, record in read if record is not None])
        return True

    def close(self) -> None:
        self.flush()
        self.store.close()


class Where:
    """A place with nothing in it."""

    name: ClassVar[str]
    examples: ClassVar[int]
    """How many examples of a law are tried; more take too long where each is a conversation with a server."""
    location: str
    """What `LedgerReader` and the commands are given."""

    def clear(self) -> None:
        """Make it a place with nothing in it again."""
        raise NotImplementedError

    def store(self) -> Store:
        """The store, open for writing."""
        return engine_of(self.location).open_store(self.location, timeout_s=5.0)

    def snapshot(self) -> Snapshot:
        """The store, open for questions."""
        return engine_of(self.location).open_snapshot(self.location, timeout_s=5.0)

    def ledger(self, rates: RateSource | None = None) -> Ledger:
        """A ledger that writes to it."""
        return Straight(self.store(), rates)

    def reader(self) -> LedgerReader:
        """A ledger open for questions."""
        return LedgerReader(self.location)

    def recorded(self, *entries: Any) -> None:
        """Put charges there, each told by itself."""
        ledger = self.ledger()
        for entry in entries:
            assert ledger.record([entry])
        ledger.close()

    def ask(self, select: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What SQL that all stores share finds."""
        snapshot = self.snapshot()
        try:
            return [tuple(dict(row).values()) for row in snapshot.rows(select, values)]
        finally:
            snapshot.close()

    def law(self, body: Callable[[Any], None], strategy: st.SearchStrategy[Any], examples: int | None = None) -> None:
        """Try a law with examples, each with the place cleared before."""

        def tried(value: Any) -> None:
            self.clear()
            body(value)

        chosen = settings(
            max_examples=examples or self.examples,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )
        chosen(given(strategy)(tried))()


class SqliteFile(Where):
    """A file, with the journal beside it."""

    name = "sqlite"
    examples = 100

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._folder = Path(request.getfixturevalue("tmp_path"))
        self._numbers = count()
        self.clear()

    def clear(self) -> None:
        self.path = self._folder / f"l{next(self._numbers)}.sqlite"
        self.location = str(self.path)

    def store(self) -> Store:
        return SqliteStore(self.path, synchronous="NORMAL", timeout_s=5.0)

    def snapshot(self) -> Snapshot:
        return SqliteSnapshot.open(self.path, timeout_s=5.0)

    def ledger(self, rates: RateSource | None = None) -> Ledger:
        return Ledger.open(self.path, rates=rates)


class PostgresqlDatabase(Where):
    """A database of a server."""

    name = "postgresql"
    examples = 40

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.location = request.getfixturevalue("postgresql_url")

    def clear(self) -> None:
        import psycopg

        self.store().close()
        with psycopg.connect(self.location, autocommit=True) as connection:
            connection.execute("; ".join(f"DELETE FROM {table.name}" for table in (*TABLES, *DERIVED)).encode())


class ClickhouseDatabase(Where):
    """A database of a server of the real engine."""

    name = "clickhouse"
    examples = 9

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.location = request.getfixturevalue("clickhouse_url").replace("http://", "clickhouse://", 1)

    def clear(self) -> None:
        import clickhouse_connect

        self.store().close()
        with clickhouse_connect.get_client(dsn=self.location.replace("clickhouse://", "http://", 1)) as client:
            for table in TABLES:
                client.command(f"TRUNCATE TABLE {physical(table)}")


STORES: dict[str, Callable[[pytest.FixtureRequest], Where]] = {
    one.name: one for one in (SqliteFile, PostgresqlDatabase, ClickhouseDatabase)
}


@pytest.fixture(params=STORES)
def where(request: pytest.FixtureRequest) -> Where:
    """A place for a ledger, of each kind."""
    return STORES[request.param](request)


def told_to(ledger: Ledger, tellings: Iterable[Callable[[Ledger], object]], breaks: Sequence[int] = ()) -> None:
    """Tell a ledger, which takes in what it was told after those with these numbers; and close it."""
    for n, telling in enumerate(tellings):
        telling(ledger)
        if n in breaks:
            assert ledger.flush()
    ledger.close()
    assert ledger.lost == 0
