"""Writes the tables of columns into docs/ from what is exported: `python -m tests.tools.export_doc`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aicost.reports.charge_table import CHARGE_COLUMNS
from aicost.reports.flat_files import IN_PARQUET
from aicost.reports.focus import FOCUS_COLUMNS, FOCUS_VERSIONS, FocusColumn

DOCS = Path(__file__).parents[2] / "docs"


def table_of_focus() -> str:
    """The columns of FOCUS, those of both versions first."""
    rows = ["| column | is |", "|---|---|"]
    rows += [f"| `{column.name}`{_only(column)} | {column.about} |" for column in FOCUS_COLUMNS]
    return "\n".join(rows)


def table_of_charges() -> str:
    """The columns of the table of charges."""
    rows = ["| column | in Parquet | |", "|---|---|---|"]
    rows += [f"| `{column.name}` | {IN_PARQUET[column.kind]} | {column.about} |" for column in CHARGE_COLUMNS]
    return "\n".join(rows)


EXPORTED: dict[str, tuple[str, Callable[[], str]]] = {
    "focus.md": ("columns of FOCUS", table_of_focus),
    "export.md": ("columns of charges", table_of_charges),
}


def exported_page(name: str) -> str:
    """A page with its table as it has to be."""
    title, table = EXPORTED[name]
    begin, end = f"<!-- {title}, by tests/tools/export_doc.py -->\n", f"\n<!-- end of {title} -->"
    before, _, rest = (DOCS / name).read_text().partition(begin)
    assert rest, f"{name} has no place for {title!r}"
    return before + begin + table() + end + rest.partition(end)[2]


def _only(column: FocusColumn) -> str:
    notes = [] if column.versions == frozenset(FOCUS_VERSIONS) else [", ".join(sorted(column.versions))]
    notes += ["single"] if column.is_single else []
    return f" ({'; '.join(notes)})" if notes else ""


if __name__ == "__main__":
    for _name in EXPORTED:
        (DOCS / _name).write_text(exported_page(_name))
