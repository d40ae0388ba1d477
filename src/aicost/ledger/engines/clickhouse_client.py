"""A client of ClickHouse's HTTP interface (clickhouse-connect; read: 1.12), and how values and rows are sent by it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from clickhouse_connect import get_client
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import get_pool_manager
from clickhouse_connect.driver.insert import InsertBlock, InsertContext

from aicost import _forks
from aicost._errors import LedgerError
from aicost._wellformed import wellformed
from aicost.ledger.schema import UNREAD

from .clickhouse_tables import Door

_OLDEST = (25, 8)
"""The oldest server whose SQL has what ours needs: correlated subqueries, and common tables that are recursive."""

_PATIENCE = 12
"""How many times as long as for a connection one waits for an answer."""

_PART = 1 << 14
"""Rows that are made bytes at a time."""

_INSERTS = {"max_partitions_per_insert_block": 0, "async_insert": 0}


class Connection:
    """A client of a database. Its errors are `LedgerError`s that name the ledger, and no password."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        options: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
        self._secure = options.pop("secure", "").lower() in ("1", "true", "yes")
        self._options = options
        try:
            port = parts.port
        except ValueError as error:
            raise LedgerError(f"the URL of a ledger has no such port: {error}") from None
        self._host, self._port = parts.hostname or "localhost", port or (8443 if self._secure else 8123)
        self._user, self._password = unquote(parts.username or "default"), unquote(parts.password or "")
        self.database = unquote(parts.path.strip("/")) or "default"
        self.name = f"clickhouse://{self._host}:{self._port}/{self.database}"
        self._timeout_s = timeout_s
        self._client: Any = None
        self._pool: Any = None
        self._generation = _forks.generation

    def ask(self, statement: str, settings: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows that a statement gives."""
        found = self._do(lambda client: client.query(statement, settings=dict(settings or {}), **_formats(statement)))
        names = _names(found.column_names)
        return [dict(zip(names, row, strict=True)) for row in found.result_rows]

    def stream(self, statement: str, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The same, as they come."""
        stream = self._do(
            lambda client: client.query_row_block_stream(statement, settings=dict(settings), **_formats(statement))
        )
        names = _names(stream.source.column_names)
        with self._reading(), stream:
            for block in stream:
                for row in block:
                    yield dict(zip(names, row, strict=True))

    def tell(self, statement: str, settings: Mapping[str, Any] | None = None) -> None:
        """Have a statement done."""
        self._do(lambda client: client.command(statement, settings=dict(settings or {})))

    def insert(self, context: InsertContext) -> None:
        """Send rows. What the client cannot make bytes of is the cause of the error, whatever the server made of it."""
        try:
            self._do(lambda client: client.data_insert(context))
        except LedgerError:
            if context.insert_exception is not None:
                raise LedgerError(f"ledger {self.name}: {context.insert_exception}") from context.insert_exception
            raise

    def close(self) -> None:
        """Let go of the sockets; in a child they are the parent's."""
        if self._pool is not None and self._generation == _forks.generation:
            self._pool.clear()
        self._client = self._pool = None

    def _do(self, act: Callable[[Any], Any]) -> Any:
        with self._reading():
            return act(self._connected())

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except ClickHouseError as error:
            raise LedgerError(f"ledger {self.name}: {_why(error)}") from error

    def _connected(self) -> Any:
        if self._client is None or self._generation != _forks.generation:
            self._generation = _forks.generation
            self._pool = get_pool_manager(maxsize=4, num_pools=2)
            self._client = get_client(
                host=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                database=self.database,
                interface="https" if self._secure else "http",
                pool_mgr=None if self._secure else self._pool,
                connect_timeout=max(self._timeout_s, 1),
                send_receive_timeout=max(self._timeout_s, 1) * _PATIENCE,
                autogenerate_session_id=False,  # in a session, a request nobody waits for locks out the next
                show_clickhouse_errors=True,
                **self._options,
            )
            version = str(self._client.server_version)
            if tuple(map(int, version.split(".")[:2])) < _OLDEST:
                self._client = None
                raise LedgerError(
                    f"{self.name} is ClickHouse {version}; a ledger needs {_OLDEST[0]}.{_OLDEST[1]} or newer"
                )
        return self._client


def _formats(statement: str) -> dict[str, Any]:
    """How the client gives what is no text: ids, and records that could not be read."""
    return {
        "query_formats": {"FixedString": "bytes"},
        "column_formats": {"record": "bytes"} if f" FROM {UNREAD.name}" in statement else None,
    }


def _names(columns: Sequence[str]) -> list[str]:
    """Of columns that several tables have, ClickHouse says of which each is."""
    return [name.rpartition(".")[2] for name in columns]


def _why(error: BaseException) -> str:
    """What the server said; of one that did not answer, what happened to the connection."""
    if getattr(error, "code", None) is None:
        while (cause := error.__cause__ or error.__context__) is not None and str(cause):
            error = cause
    return str(error).partition("\n")[0][:500]


class Guarded(InsertContext):
    """Rows that are sent with a statement of ours, by columns."""

    def __init__(self, statement: str, door: Door, data: Sequence[Sequence[Any]]) -> None:
        types = [get_from_name(name) for name in door.types]
        self._statement = statement.encode()
        super().__init__("", door.names, types, data, column_oriented=True, settings=dict(_INSERTS))

    @property
    def data(self) -> Sequence[Sequence[Any]] | None:
        """The columns; None once they were sent."""
        return self._columns

    @data.setter
    def data(self, columns: Sequence[Sequence[Any]] | None) -> None:
        # That of the client imports pandas, to see whether it is given something of its.
        self._columns = self._data = columns
        self.current_block = self.current_row = 0
        self.column_count, self.row_count = (len(columns), len(columns[0])) if columns else (0, 0)

    def next_block(self) -> Generator[InsertBlock, None, None]:
        """The rows in parts; before the first goes the statement."""
        while self.current_row < self.row_count:
            end = min(self.current_row + _PART, self.row_count)
            columns = [column[self.current_row : end] for column in self._columns or ()]
            prefix = b"" if self.current_block else self._statement
            yield InsertBlock(
                prefix, self.column_count, end - self.current_row, self.column_names, self.column_types, columns
            )
            self.current_block += 1
            self.current_row = end


def literal(value: Any) -> str:
    """A value in SQL.

    >>> literal("it's"), literal(b"\\x00a"), literal(None), literal(-1)
    ("'it\\\\'s'", "'\\\\x00\\\\x61'", 'NULL', '-1')
    """
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, bytes):
        return "'" + "".join(f"\\x{byte:02x}" for byte in value) + "'"
    text: str = wellformed(str(value))  # as such text is stored
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"


def bound(select: str, values: Sequence[Any]) -> str:
    """SQL with its values in the place of each `?`. Statements of ours have no `?` in a text."""
    parts = select.split("?")
    if len(parts) != len(values) + 1:
        raise ValueError(f"{len(parts) - 1} places for {len(values)} values")
    return parts[0] + "".join(literal(value) + part for value, part in zip(values, parts[1:], strict=True))
