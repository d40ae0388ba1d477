"""Rows as CSV or Parquet: exact, in a table of columns, and of any number without holding them.

A row is text, column by column, or None where there is no value; what a column is decides only how Parquet has it.
"""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from aicost._errors import UsageError
from aicost._money import ATTO, to_text

FileRow = Sequence[str | None]
ColumnKind = Literal["text", "time", "decimal", "whole", "flag"]

IN_PARQUET: dict[ColumnKind, str] = {
    "text": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "decimal": "DECIMAL(38,18)",
    "whole": "BIGINT",
    "flag": "BOOLEAN",
}
_MOST_ATTO = 10**38 - 1
"""What 38 digits hold, of which 18 are decimal places."""

# What a spreadsheet takes for a formula, full-width signs included, and what has been quoted against that already.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


class FileColumn(NamedTuple):
    """A column of a file that is exported: its name, what it is, and what it says."""

    name: str
    kind: ColumnKind
    about: str


@lru_cache(maxsize=4096)  # of one row several are the same
def decimal_text(atto: int) -> str | None:
    """A number in 1e-18 as a plain decimal with a fraction, so that whoever guesses types takes it for no whole number.

    None for one that 38 digits cannot hold.

    >>> decimal_text(8_400 * 10**18), decimal_text(-15 * 10**17)
    ('8400.0', '-1.5')
    """
    if abs(atto) > _MOST_ATTO:
        return None
    return f"{to_text(atto)}.0" if atto % ATTO == 0 else to_text(atto)


def for_a_spreadsheet(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula: with a `'` before it, if it begins like one.

    Who reads it takes one `'` off what begins with quotes and such a sign, and has the text again.

    >>> for_a_spreadsheet("=1+1"), for_a_spreadsheet("'=1"), for_a_spreadsheet("it's")
    ("'=1+1", "''=1", "it's")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def write_csv(columns: Sequence[FileColumn], rows: Iterable[FileRow], to: BinaryIO) -> int:
    """Write a header and rows, in UTF-8 (RFC 4180); returns how many rows. Nothing in it is a formula."""
    texts = [n for n, column in enumerate(columns) if column.kind == "text"]

    def guarded() -> Iterator[list[str | None]]:
        for row in rows:
            cells = list(row)
            for n in texts:
                text = cells[n]
                # Most begin with a letter or a digit, which is quicker to see than that a pattern does not fit.
                if text and not text[0].isalnum() and text[0] != "{":
                    cells[n] = for_a_spreadsheet(text)
            yield cells

    return _written(columns, guarded(), to)


def write_parquet(columns: Sequence[FileColumn], rows: Iterable[FileRow], path: Path) -> int:
    """Write rows to a Parquet file; returns how many. Decimals are DECIMAL(38,18), text is as it is.

    Raises `UsageError` where DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise UsageError("Parquet is written by DuckDB: pip install 'aicost[parquet]', or export CSV") from error
    # DuckDB (read in 2.0.1) takes rows from Python one by one and slowly, or out of data frames; CSV it reads in a
    # stream, and casts text to decimals exactly.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        between = Path(folder) / "rows.csv"
        with between.open("wb") as to:
            count = _written(columns, rows, to)
        asked = ", ".join(f'CAST("{one.name}" AS {IN_PARQUET[one.kind]}) AS "{one.name}"' for one in columns)
        types = ", ".join(f"'{one.name}': 'VARCHAR'" for one in columns)
        read = (
            f"read_csv('{_quoted(between)}', header = true, columns = {{{types}}}, delim = ',', quote = '\"', "
            "escape = '\"', new_line = '\\r\\n', parallel = false, max_line_size = 16777216, buffer_size = 33554432)"
        )
        with duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": "1"}) as db:
            db.execute("SET memory_limit = '1GB'")
            db.execute(f"SET temp_directory = '{_quoted(Path(folder))}'")
            # Names of columns are those of tables in this package.
            made = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 30720"
            db.execute(f"COPY (SELECT {asked} FROM {read}) TO '{_quoted(path)}' ({made})")  # noqa: S608
    return count


@contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """A path beside `path`, which takes its place once all is written; if that fails, what was there stays."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _written(columns: Sequence[FileColumn], rows: Iterable[FileRow], to: BinaryIO) -> int:
    text = io.TextIOWrapper(to, encoding="utf-8", newline="")
    count = 0
    try:
        writer = csv.writer(text)
        writer.writerow([column.name for column in columns])
        for count, row in enumerate(rows, 1):  # noqa: B007 - counted
            writer.writerow(row)
        text.flush()
    finally:
        text.detach()
    return count


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
