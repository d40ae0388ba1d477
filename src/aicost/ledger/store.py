"""What a ledger needs of a store: rows in, rows out, and one writer at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from .schema import LedgerTable
from .sql_dialects import SqlDialect

Row = tuple[Any, ...]
"""The values of a table's columns, in their order."""


class Snapshot(Protocol):
    """A store as it is asked."""

    dialect: SqlDialect
    has_sums: bool
    """Whether it keeps the tables of `DERIVED`, for questions that those can answer; else entries are asked."""

    def rows(self, select: str, values: Sequence[Any] = ()) -> Iterable[Mapping[str, Any]]:
        """What SQL finds, by name; `?` stands for each of the values. All of one source see the same moment."""

    def stream(self, select: str, values: Sequence[Any] = ()) -> Iterable[Mapping[str, Any]]:
        """The same of an answer that may be longer than memory has room for."""

    def failed(self) -> tuple[str, str, str]:
        """What steps and runs failed, or are inside of one that did: the SQL that goes before a question, and what then
        names a relation with the column `step_id`, and one with `run_id`."""

    def close(self) -> None:
        """Let go of it."""


class Store(Snapshot, Protocol):
    """A store as it is written. Not for two threads at a time."""

    batch_bytes: int
    """How much of a journal one transaction best takes in."""

    @property
    def is_usable(self) -> bool:
        """Whether this process may go on with it; else it is closed, and opened anew."""

    def may_pass(self, error: Exception) -> bool:
        """Whether the same may succeed later: the store is at fault, not what is written."""

    def sync(self) -> None:
        """See that what was written stays, whatever happens: then it goes from the journal."""

    def transaction(self, until: float) -> AbstractContextManager[None]:
        """All of what is written in this block or nothing, by nobody else meanwhile; waits for others until then, a
        time of `time.monotonic()`. Sees that the store is still there, and of this schema."""

    def erasing(self, until: float) -> AbstractContextManager[None]:
        """A transaction in which rows of any table may be replaced or deleted, and nothing that they said is kept."""

    def put(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add rows; those whose key is there already are nothing new."""

    def replace(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add rows of states; they take the place of those with the same keys."""

    def add(self, table: LedgerTable, rows: Sequence[Row]) -> None:
        """Add sums to a table of them: to those of the same key, or as new rows (`rollups.added_sql`)."""

    def clear(self, table: LedgerTable) -> None:
        """Remove all rows of a table that is derived from others."""

    def delete(self, table: LedgerTable, keys: Sequence[Row]) -> None:
        """Remove the rows with these keys."""
