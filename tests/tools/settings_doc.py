"""Writes the tables of settings into docs/ from the model: `python -m tests.tools.settings_doc`."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aicost._settings import Settings, Surroundings
from aicost._settings.leaves import Leaf, kinds, leaves

DOCS = Path(__file__).parents[2] / "docs"
SEE = {
    "rate_card": "rate-cards.md",
    "request_stream_usage": "clients.md#streams-of-chat-completions",
    "capture_content": "clients.md#prompts-and-answers",
    "baggage_keys": "deployment.md#task-queues",
    "gateway_hosts": "concepts.md#counted-once",
    "id_key": "#digests",
    "attribution": "ownership.md",
    "labels": "ownership.md#labels",
    "owners": "ownership.md#the-owners-table",
}
"""Where the docs say more of a setting."""
_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def table_of_processes() -> str:
    """The settings of all but the collector's section."""
    own = [leaf for leaf in leaves(Settings) if leaf.path[0] != "collector" and leaf.variable is not None]
    rows = ["| variable | `aicost.toml` | default | unit | read by | |", "|---|---|---|---|---|---|"]
    for leaf in own:
        more = f" ([more]({SEE[leaf.key]}))" if leaf.key in SEE else ""
        cells = (f"`{leaf.variable}`", f"`{leaf.key}`", _default(leaf.field, leaf.unit), leaf.unit)
        rows.append(_row(*cells, ", ".join(leaf.read_by), text_of(leaf) + _choices(leaf) + more))
    return "\n".join(rows)


def table_of_the_collector() -> str:
    """The settings of the collector's section, as its own file has them."""
    by_key: dict[str, list[Leaf]] = {}
    for leaf in leaves(Settings):
        if leaf.path[0] == "collector":
            by_key.setdefault(leaf.key.removeprefix("collector."), []).append(leaf)  # kinds of exporters share some
    rows = ["| setting | default | unit | |", "|---|---|---|---|"]
    for key, (leaf, *others) in by_key.items():
        text = text_of(leaf) + _choices(leaf, *(other for other in others if other.field != leaf.field))
        rows.append(_row(f"`{key}`", _default(leaf.field, leaf.unit), leaf.unit, text))
    return "\n".join(rows)


def table_of_surroundings() -> str:
    """The variables of others."""
    rows = ["| variable | default | |", "|---|---|---|"]
    for name, field in Surroundings.model_fields.items():
        rows.append(_row(f"`{name.upper()}`", _default(field, ""), _text(Surroundings, name)))
    return "\n".join(rows)


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "configuration.md": {"settings": table_of_processes, "surroundings": table_of_surroundings},
    "collector.md": {"settings of the collector": table_of_the_collector},
}


def page(name: str) -> str:
    """A page with its tables as they have to be."""
    text = (DOCS / name).read_text()
    for title, table in TABLES[name].items():
        begin, end = f"<!-- {title}, by tests/tools/settings_doc.py -->\n", f"\n<!-- end of {title} -->"
        before, _, rest = text.partition(begin)
        assert rest, f"{name} has no place for {title!r}"
        text = before + begin + table() + end + rest.partition(end)[2]
    return text


def text_of(leaf: Leaf) -> str:
    """What the model says of a setting."""
    return _text(leaf.model, leaf.path[-1])


def _text(model: type[BaseModel], name: str) -> str:
    """The docstring of a field, which is a string below it."""
    for base in model.__mro__[:-1]:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(found, ast.ClassDef)
        for field, text in pairwise(found.body):
            named = field.target.id if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) else None
            if named == name and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                return " ".join(str(text.value.value).split())
    raise AssertionError(f"{model.__name__}.{name} has no docstring")


def _row(*cells: str) -> str:
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in cells) + " |"


def _choices(*of: Leaf) -> str:
    """What a setting may be, where that is a few words."""
    words = dict.fromkeys(word for leaf in of for word in kinds(leaf.field.annotation) if isinstance(word, str))
    of_these = "Any of" if tuple in kinds(of[0].field.annotation) else "One of"
    return f" {of_these} {', '.join(f'`{word}`' for word in words)}." if words else ""


def _default(field: FieldInfo, unit: str) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "-"
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if unit == "bytes":
        return next(f"`{value // size}{name}`" for size, name in _SIZES if value % size == 0)
    if isinstance(value, float):
        return f"`{value:g}s`"
    return f"`{','.join(value)}`" if isinstance(value, tuple) else f"`{value}`"


if __name__ == "__main__":
    for _name in TABLES:
        (DOCS / _name).write_text(page(_name))
