"""A provider is one file and its rates: with those two added, and nothing else, every door knows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aicost
from aicost.usage.providers import find_provider, provider_at, provider_of_model

SOURCE = Path(aicost.__file__).parent
ACME = Path(__file__).parent / "acme"
COST = "0.00342"


def the_doors(package: Path) -> dict[str, Any]:
    """What `acme/doors.py` finds, run with this copy of aicost."""
    done = subprocess.run(
        [sys.executable, str(ACME / "doors.py")],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert Path(found.pop("package")).is_relative_to(package)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a copy of aicost that has the two files more."""
    package = tmp_path_factory.mktemp("one-file") / "aicost"
    shutil.copytree(SOURCE, package, copy_function=os.symlink)
    shutil.copy(ACME / "acme.py", package / "usage" / "providers")
    shutil.copy(ACME / "acme_cloud.json", package / "pricing" / "data" / "overlay")
    return the_doors(package)


@pytest.mark.parametrize(
    ("door", "expected"),
    [
        ("price", [COST, "priced", "acme_cloud"]),
        ("price, API not told", [COST, "priced", "acme_cloud"]),
        ("price, a whole response", [COST, "priced", "acme_cloud"]),
        ("price, nobody's default tier", ["None", "unpriced", "None"]),
        ("wrapped", COST),
        ("streamed", COST),
        ("gen_ai.provider.name", ["acme_cloud", "acme_cloud"]),
        ("aicost.provider.request_id", ["t-1", "t-1"]),
        ("recorded", COST),
        ("collector, by alias", [COST, "priced"]),
        ("collector, by model", [COST, "estimated"]),
        ("collector, its own usage object", [COST, "priced"]),
        ("ids", [True, False]),
        ("rates list", ["acme-large"]),
        ("rates show", ["input", "input_cache_read", "output"]),
        ("command", [COST, "priced"]),
    ],
)
def test_a_door_knows_a_provider_by_its_file_and_its_rates(found: dict[str, Any], door: str, expected: Any) -> None:
    assert found[door] == expected


def test_without_its_file_nobody_knows_it() -> None:
    assert find_provider("acme") is provider_at("api.acme.example") is provider_of_model("acme-large") is None
