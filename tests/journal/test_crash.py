"""Killed at random points, a process has in its journal what it was told was there: once, whole and in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .crash_app import content
from .folders import segments

LIVES = int(os.environ.get("AICOST_TEST_KILLS", "20"))


@pytest.mark.slow
@pytest.mark.timeout(60 + LIVES)
@pytest.mark.parametrize(
    ("settings", "most"),
    [
        pytest.param({}, 400, id="in an append"),
        pytest.param({}, 500_000, id="in a long append"),
        pytest.param({"segment_bytes": 1000}, 400, id="between segments"),
        pytest.param({"durability": "power"}, 400, id="in a flush"),
        pytest.param({"durability": "power", "segment_bytes": 1000}, 400, id="between segments that are flushed"),
    ],
)
def test_what_was_acknowledged_before_a_kill_is_read_once_and_in_order(
    tmp_path: Path, settings: dict[str, Any], most: int
) -> None:
    folder, notes, taken = (tmp_path / name for name in ("journal", "notes", "taken"))
    arguments = [str(folder), str(notes), str(taken), str(LIVES), json.dumps(settings), str(most)]
    subprocess.run([sys.executable, "-m", "tests.journal.crash_app", *arguments], check=True, timeout=50 + LIVES)

    turns: dict[int, int] = {}
    numbers: dict[str, int] = {}
    raw, at = taken.read_bytes(), 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        writer, number, length = raw[at:end].split()
        data = raw[end + 1 : end + 1 + int(length)]
        at = end + 1 + int(length)
        life, turn = map(int, data.split(b" ", 2)[:2])
        assert data == content(life, turn, most)
        assert turn == turns.get(life, -1) + 1, "lost, doubled or out of order"
        assert int(number) == numbers.get(writer.decode(), 0) + 1
        turns[life], numbers[writer.decode()] = turn, int(number)
    acknowledged = [tuple(map(int, line.split())) for line in notes.read_text().splitlines()]
    assert len({life for life, _ in acknowledged}) == len(numbers) == LIVES
    assert [(life, turn) for life, turn in acknowledged if turn > turns.get(life, -1)] == [], "lost"
    assert segments(folder) == [], "what was read and has no writer is gone"
