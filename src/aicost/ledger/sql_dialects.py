"""What engines of SQL say differently, and how each holds ids and amounts.

Questions are written once, with `?` for a value, in the SQL that all engines share; a dialect has the words for the
rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal
from functools import cached_property
from typing import Any, Literal

from .columns import AMOUNTS, QUANTITIES, limbs, pack, unpack, whole

QUANTITY_COLUMNS = tuple(f"q{n}" for n in range(QUANTITIES))

Kind = Literal["id", "digest", "bytes", "whole", "number", "count", "text", "identifier", "json", "money"]
"""What a column holds: `id` 16 bytes, `digest` 12; `number` 63 bits that refer to a row; `whole` a number of 64 bits,
`count` one of 32; `identifier` text that may be hex; `money` an amount, in one column or several."""

Condition = tuple[str, list[Any]]
"""SQL, and the values of its `?`."""

SAME_AS_RUN = b""
"""What stands for a trace, or an outermost run, that has the id of the run, where that saves room."""

_EXACT = Context(prec=60)


class SqlDialect:
    """As PostgreSQL has it; others differ from that."""

    at_a_time: int = 500
    """How many ids one question asks for: SQLite of before 3.32 takes 999 parameters."""

    def identifier(self, text: str | None) -> Any:
        """An id as it is stored."""
        return text

    def identifier_text(self, stored: Any) -> str | None:
        """The id that is stored so."""
        text: str | None = stored
        return text

    def beside(self, run_id: str | None, identifier: str | None) -> Any:  # noqa: ARG002 - others save room
        """The id of a trace, or of an outermost run, as it is stored: it may be that of the run."""
        return self.identifier(identifier)

    def columns_of_money(self, name: str) -> tuple[str, ...]:
        """The columns of an amount."""
        return (name,)

    def money(self, atto: int | None) -> tuple[Any, ...]:
        """An amount in 1e-18 as its columns hold it."""
        return (None if atto is None else Decimal(atto).scaleb(-18, _EXACT),)

    def atto(self, row: Mapping[str, Any], name: str) -> int | None:
        """The amount in 1e-18 that a row has, or the sum of such."""
        value = row[name]
        return None if value is None else int(Decimal(value).scaleb(18, _EXACT))

    def is_known(self, name: str) -> str:
        """Whether there is an amount; `name` may begin with a table and a dot."""
        return f"{name} IS NOT NULL"

    is_uneven: str = ""
    """Whether an entry has an amount that its columns cannot have; nothing where one column holds it."""

    def is_same(self, one: str, other: str) -> str:
        """Whether two are the same, be it NULL."""
        return f"{one} IS NOT DISTINCT FROM {other}"

    def sum_of_money(self, name: str, alias: str, *, when: str | None = None) -> str:
        """The sum of an amount, under another name, of the rows of which something holds."""
        return ", ".join(
            f"SUM({column if when is None else f'CASE WHEN {when} THEN {column} END'}) AS {under}"
            for column, under in zip(self.columns_of_money(name), self.columns_of_money(alias), strict=True)
        )

    def rounded_down(self, column: str, by: int) -> str:
        """A whole number divided by another, rounded down: `/` rounds towards 0."""
        return f"({column} / {by} - CASE WHEN {column} % {by} < 0 THEN 1 ELSE 0 END)"

    def among(self, column: str, ids: Sequence[Any]) -> Condition:
        """Whether a column is one of these; there is at least one."""
        return f"{column} IN ({', '.join('?' * len(ids))})", list(ids)

    def label(self, column: str) -> str:
        """What labels, a JSON object, say of a key, the `?`."""
        return f"(CAST({column} AS jsonb) ->> ?)"

    def beginning(self, column: str, start: str, kind: Kind) -> list[tuple[str, tuple[Any, ...]]]:
        """How ids that begin with this are looked for; an index can serve each."""
        if kind == "id":
            return _bytes_between(column, start)
        return [(f"({column} >= ? AND {column} < ?)", (start, start + "\U0010ffff"))]

    @cached_property
    def amount_columns(self) -> tuple[str, ...]:
        """The columns of the amounts of an entry."""
        return tuple(column for name in AMOUNTS for column in self.columns_of_money(name))


class SqliteDialect(SqlDialect):
    """SQLite: no decimals, but whole numbers; ids half as long."""

    def identifier(self, text: str | None) -> bytes | str | None:
        return pack(text)

    def identifier_text(self, stored: Any) -> str | None:
        return unpack(stored)

    def beside(self, run_id: str | None, identifier: str | None) -> Any:
        return SAME_AS_RUN if identifier is not None and identifier == run_id else pack(identifier)

    def columns_of_money(self, name: str) -> tuple[str, ...]:
        return (f"{name}_units", f"{name}_nano", f"{name}_atto")

    def money(self, atto: int | None) -> tuple[Any, ...]:
        return limbs(atto)

    def atto(self, row: Mapping[str, Any], name: str) -> int | None:
        return whole(row[f"{name}_units"], row[f"{name}_nano"], row[f"{name}_atto"])

    def is_known(self, name: str) -> str:
        return f"{name}_units IS NOT NULL"

    is_uneven = " OR ".join(
        f"abs({name}_nano) >= 1000000000 OR abs({name}_atto) >= 1000000000 "
        f"OR (({name}_units > 0 OR {name}_nano > 0 OR {name}_atto > 0) "
        f"AND ({name}_units < 0 OR {name}_nano < 0 OR {name}_atto < 0)) "
        f"OR (({name}_units IS NULL) + ({name}_nano IS NULL) + ({name}_atto IS NULL) NOT IN (0, 3))"
        for name in AMOUNTS
    )

    def is_same(self, one: str, other: str) -> str:
        return f"{one} IS {other}"  # the other words are known since SQLite 3.39

    def label(self, column: str) -> str:
        # No path of JSON: one cannot name a key with a quote in it (SQLite 3.40).
        return f"(SELECT l.value FROM json_each({column}) l WHERE l.key = ?)"

    def beginning(self, column: str, start: str, kind: Kind) -> list[tuple[str, tuple[Any, ...]]]:
        as_text = super().beginning(column, start, "text")
        return as_text if kind == "text" else [*as_text, *_bytes_between(column, start)]


SQLITE = SqliteDialect()


def _bytes_between(column: str, start: str) -> list[tuple[str, tuple[Any, ...]]]:
    if start.strip("0123456789abcdef") or len(start) > 32:
        return []
    low = bytes.fromhex(start + "0" * (len(start) % 2))
    high = bytes.fromhex(start + "f" * (len(start) % 2)) + b"\xff" * 16
    return [(f"({column} >= ? AND {column} <= ?)", (low, high))]


def parts_of(values: Iterable[Any], size: int) -> Iterable[tuple[Any, ...]]:
    """Values in parts of so many at most: what one question can ask for."""
    every = list(dict.fromkeys(values))
    for start in range(0, len(every), size):
        yield tuple(every[start : start + size])
