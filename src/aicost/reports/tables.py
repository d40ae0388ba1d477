"""Tables that fit the terminal: keys can be read, amounts are never cut, and what has no room is said to be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from aicost._wellformed import printable

UNLIMITED = 10_000
"""The width, in columns, of what is no terminal: nothing is folded or left out there."""

KEY_WIDTH = 16
"""Columns a key has at least, if it needs them; a longer one goes on in the next line."""

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    heading: str
    rank: int = 0
    """0 is never left out; of the others the highest goes first."""
    folds_at: int | None = None
    """The width at which text goes on in the next line, at least; None for numbers, which are never cut."""


def print_table(console: Console, title: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """Print rows of plain text as a table no wider than the console, if its least columns fit."""
    cells = [[_text(cell) for cell in row] for row in rows]
    natural = [
        max(map(cell_len, (column.heading, *(row[n].plain for row in cells)))) for n, column in enumerate(columns)
    ]
    kept, widths = _fitted(columns, natural, console.width)
    console.print(Text(printable(title), "italic"))
    table = Table(header_style="bold", pad_edge=False)
    for n in kept:
        folds = columns[n].folds_at is not None
        table.add_column(
            columns[n].heading,
            justify="left" if folds else "right",
            overflow="fold",
            no_wrap=not folds,
            width=widths[n],
        )
    for row in cells:
        table.add_row(*(row[n] for n in kept))
    before = console.width
    # One that cannot be made any narrower: a terminal goes on in the next line, and an amount is whole all the same.
    console.width = max(before, _total([widths[n] for n in kept]))
    console.print(table)
    console.width = before
    if len(kept) < len(columns):
        missing = ", ".join(column.heading for n, column in enumerate(columns) if n not in kept)
        console.print(f"[dim]no room for: {missing} (--wide shows all)[/dim]")


def plain(text: str) -> str:
    """`text` as it is shown between markup of ours."""
    return escape(printable(text))


def _text(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return Text(printable(cell.plain), cell.style)
    return Text(printable(cell))


def _fitted(columns: Sequence[Column], natural: Sequence[int], room: int) -> tuple[list[int], list[int]]:
    """Which columns stay, and how wide each is."""
    widths = [
        wide if column.folds_at is None else min(wide, max(column.folds_at, cell_len(column.heading)))
        for column, wide in zip(columns, natural, strict=True)
    ]
    kept = list(range(len(columns)))
    while _total([widths[n] for n in kept]) > room and any(columns[n].rank for n in kept):
        kept.remove(max(kept, key=lambda n: (columns[n].rank, n)))
    left = room - _total([widths[n] for n in kept])
    while left > 0 and (narrow := [n for n in kept if widths[n] < natural[n]]):
        for n in narrow[:left]:
            widths[n] += 1
        left -= len(narrow[:left])
    return kept, widths


def _total(widths: Sequence[int]) -> int:
    """Of a table with a line around it and between its columns, and a space on both sides of those between."""
    return sum(widths) + 3 * (len(widths) - 1) + 2
