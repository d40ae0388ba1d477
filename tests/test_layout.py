"""One word, one thing: file names and public names of the whole tree, and imports that go one way."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp

import aicost

ROOT = Path(aicost.__file__).parent

COMMANDS = ("cli",)
"""Named after their command, which is named after what it is about."""
PER_PROVIDER = ("usage", "ledger/engines", "integrations/clients", "pricing/catalogue", "testing/emulator/formats")
"""Have a file of the same name for each provider, or one for each kind of store, with the same constants in it."""


def _is_in(path: Path, folders: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(ROOT / folder) for folder in folders)


def _modules() -> Iterator[tuple[str, Path]]:
    """The base name of each file and folder of the package, without the underscore that only says who may import it."""
    for path in sorted(ROOT.rglob("*.py")):
        if path.stem == "__init__":
            yield path.parent.name.removeprefix("_"), path.parent
        elif path.stem != "__main__":
            yield path.stem.removeprefix("_"), path


def _public_names(path: Path) -> Iterator[str]:
    """What a file defines at its top: classes, aliases and constants. Names of one letter are type variables."""
    for node in ast.parse(path.read_text("utf-8")).body:
        named = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names = (
            [node.name] if isinstance(node, ast.ClassDef) else [one.id for one in named if isinstance(one, ast.Name)]
        )
        yield from (name for name in names if not name.startswith("_") and len(name) > 1)


def _more_than_one(found: dict[str, list[Path]]) -> dict[str, list[str]]:
    return {name: [str(path.relative_to(ROOT)) for path in paths] for name, paths in found.items() if len(paths) > 1}


def test_a_file_name_stands_for_one_thing() -> None:
    found: dict[str, list[Path]] = defaultdict(list)
    for name, path in _modules():
        if not _is_in(path, COMMANDS):
            found[name].append(path)
    others = {name: paths for name, paths in found.items() if not all(_is_in(path, PER_PROVIDER) for path in paths)}
    assert _more_than_one(others) == {}


def test_a_public_name_stands_for_one_thing() -> None:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for name in _public_names(path):
            if not (name.isupper() and _is_in(path, PER_PROVIDER)):
                found[name].append(path)
    assert _more_than_one(found) == {}


def test_no_two_files_import_each_other() -> None:
    """Over no number of others: inside of functions and for types included, which import-linter's layers leave open."""
    graph = grimp.build_graph("aicost", cache_dir=None)
    left = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    assert len(left) > 200, "the graph is of the whole package"
    while done := {module for module, imported in left.items() if not imported & left.keys()}:
        left = {module: imported for module, imported in left.items() if module not in done}
    # Whoever is left is in a circle, or imports somebody who is.
    assert sorted(left) == []
