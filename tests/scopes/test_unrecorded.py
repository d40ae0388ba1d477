"""A run of which nothing is recorded says so, and does not say that it cost nothing; one that is recorded does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SAID = "nothing is set up to record calls in this process: what run 'w' cost is unknown, not 0."
USE = 'aicost.record_usage(provider="p", model="m", operation="chat", usage={"input": 1})'
OF_OPENAI = """
from importlib.metadata import entry_points
(found,) = entry_points(group="opentelemetry_instrumentor", name="aicost-openai")
found.load()().instrument()
"""


def said_by(program: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", "import logging; logging.basicConfig(); import aicost\n" + program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip(), done.stderr


def test_without_any_set_up_the_cost_is_unknown_and_that_is_said_once() -> None:
    out, log = said_by(
        "for _ in range(3):\n"
        "    with aicost.run_scope('w') as run: pass\n"
        "    print(run.cost, run.waste, run.costs, run.calls)"
    )
    assert out.splitlines() == ["None None {} 0"] * 3
    assert log.count(SAID) == 1


def test_nor_is_it_zero_in_a_decorated_workflow_or_after_a_shutdown() -> None:
    out, log = said_by(
        "aicost.init(exporter='none', instrument=())\n"
        "with aicost.run_scope('before') as run: pass\n"
        "aicost.shutdown()\n"
        "@aicost.track_workflow('w')\ndef work(): return aicost.current_run()\n"
        "print(run.cost, work().cost)"
    )
    assert (out, log.count(SAID)) == ("0 None", 1)


@pytest.mark.parametrize(
    "set_up",
    [
        "aicost.init(exporter='none', instrument=())",
        "aicost.instrument('openai')",
        OF_OPENAI,
        "from aicost.telemetry import state; state.with_providers(None, None)",
        USE,
    ],
    ids=["init", "instrument", "entry point", "from the environment", "a recorded call"],
)
def test_where_calls_are_recorded_a_run_without_any_cost_nothing(set_up: str) -> None:
    out, log = said_by(f"{set_up}\nwith aicost.run_scope('w') as run: pass\nprint(run.cost, run.waste)")
    assert (out, SAID in log) == ("0 0", False)


def test_a_call_that_is_recorded_in_the_run_is_known_though_nothing_was_set_up_before() -> None:
    free = "provider='ollama', model='llama3', operation='chat', usage={}"
    out, log = said_by(f"with aicost.run_scope('w') as run: aicost.record_usage({free})\nprint(run.calls, run.cost)")
    assert (out, SAID in log) == ("1 0", False)
