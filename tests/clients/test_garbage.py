"""Nothing of ours waits for a lock in the garbage collector, and what is found there is finished and counted."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import aicost
from aicost.ledger.reader import LedgerReader
from aicost.testing import Hang, ProviderEmulator, Reply, Stall

from . import garbage_app
from .doors import CLIENTS

pytestmark = [pytest.mark.clients, pytest.mark.skipif("openai" not in CLIENTS, reason="another client's turn")]

openai = pytest.importorskip("openai")
LATER = {"stream_held_by_a_generator", "raw_response"}
NEEDS = {
    "async_stream_awaited": "aiohttp",
    "async_call": "aiohttp",
    "message_stream": "anthropic",
    "session": "openai.resources.realtime",
    "session_awaited": "openai.resources.realtime",
}


@pytest.mark.parametrize("kind", garbage_app.kinds)
def test_whatever_is_dropped_half_way_is_finished_outside_of_the_collector(
    kind: str, emulator: ProviderEmulator, tmp_path: Path
) -> None:
    if kind in LATER and not hasattr(openai.Stream, "__enter__"):
        pytest.skip("this version of openai has no such thing")
    try:
        if kind in NEEDS and find_spec(NEEDS[kind]) is None:
            pytest.skip(f"no {NEEDS[kind]} here")
    except ModuleNotFoundError:
        pytest.skip(f"no {NEEDS[kind]} here")
    reply = Reply(input_tokens=100, output_tokens=9)
    stalls = Hang(seconds=60, bill=reply) if kind == "async_call" else Stall(after_chunks=2, seconds=60, reply=reply)
    emulator.on().then(stalls)
    ledger_path = tmp_path / "ledger.sqlite"
    done = subprocess.run(
        [sys.executable, "-m", "tests.clients.garbage_app", kind, emulator.openai_base_url, emulator.socket_url,
         str(ledger_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["open"] == [], done.stderr
    with LedgerReader(ledger_path) as ledger:
        assert len(ledger.charges()) == (2 if kind == "session_awaited" else 1), done.stderr


FINALIZERS = {
    "integrations/_sessions.py:Session.__del__": "session",
    "integrations/custom.py:OpenCall.__del__": "open_call",
    "integrations/_observed_streams.py:_ObservedStream.__del__": "stream",
    "scopes/frames.py:_Kept.__del__": "generator_that_was_not_begun",
}
"""All code of ours that Python calls when an object is destroyed, and the kind of garbage that covers it."""


HARMLESS = {
    "_forks.py:lock:ref": "set.discard, which takes no lock and runs none of our code",
    "journal/writer.py:Journal.__del__": "closes files: no lock, no log, no code of the application",
}


def test_every_finalizer_is_known() -> None:
    assert set(finalizers()) == {*FINALIZERS, *HARMLESS}
    assert set(FINALIZERS.values()) <= set(garbage_app.kinds)


def finalizers() -> list[str]:
    """`__del__`, `weakref.finalize` and weak references that call back, by file and function."""
    found = []
    root = Path(aicost.__file__).parent
    for file in root.rglob("*.py"):
        for where, node in walk(ast.parse(file.read_text())):
            name = f"{file.relative_to(root).as_posix()}:{where}"
            if isinstance(node, ast.FunctionDef) and node.name == "__del__":
                found.append(name)
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                if called in {"finalize", "WeakMethod"} or (called in {"ref", "proxy"} and len(node.args) > 1):
                    found.append(f"{name}:{called}")
    return found


def walk(node: ast.AST, where: tuple[str, ...] = ()) -> list[tuple[str, ast.AST]]:
    found = []
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        inner = (*where, child.name) if named else where  # type: ignore[attr-defined]
        found.append((".".join(inner), child))
        found.extend(walk(child, inner))
    return found
