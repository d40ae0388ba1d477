"""Every file and folder that aicost makes is its owner's alone, whatever the umask; what was there stays as it is."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector.running import Backend, InProcess, a_request, a_span, metric, post, settings, status, until

APPLICATION = """
import os, sys, aicost
os.umask(int(sys.argv[1], 8))
changed = []
sys.addaudithook(lambda event, args: changed.append(args) if event == "os.chmod" else None)
aicost.init(ledger="made/by/us/ledger.sqlite", instrument=(), exporter="none")
with aicost.run_scope("w", tenant_id="+14155550123"):
    aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1000})
aicost.flush()
beside = sorted(os.listdir("made/by/us"))
assert beside == ["ledger.sqlite", "ledger.sqlite-shm", "ledger.sqlite-wal", "ledger.sqlite.journal"], beside
os.remove("made/by/us/ledger.sqlite")  # and it is begun anew
aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 1000})
aicost.flush()
from aicost.cli import main
try:
    sys.argv = ["aicost", "rates", "import", "--genai-prices", "genai.json", "--litellm", "litellm.json",
                "--output", "cards/of/ours", "--conflicts", "conflicts.json"]
    main()
finally:
    assert not changed, "a mode that is changed was another before"
    for folder, folders, files in os.walk("."):
        for name in folders + files:
            print(oct(os.stat(os.path.join(folder, name)).st_mode & 0o777), os.path.join(folder, name))
    os._exit(0)
"""
GENAI = [
    {
        "id": "openai",
        "pricing_urls": ["https://example.com/openai"],
        "models": [{"id": "gpt-x", "match": {"equals": "gpt-x"}, "prices": {"input_mtok": 1, "output_mtok": 4}}],
    }
]
LITELLM = {"gpt-x": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2e-06}}
GIVEN = {"genai.json", "litellm.json"}


def open_to_others(folder: Path) -> list[str]:
    """What in the folder, at any depth, anybody but its owner may look at."""
    found = [path for path in folder.rglob("*") if path.name not in GIVEN]
    assert found
    return [f"{stat.S_IMODE(path.stat().st_mode):o} {path}" for path in found if path.stat().st_mode & 0o077]


@pytest.mark.parametrize("umask", ["022", "000"])
def test_what_an_application_and_the_command_line_make(tmp_path: Path, umask: str) -> None:
    (tmp_path / "genai.json").write_text(json.dumps(GENAI))
    (tmp_path / "litellm.json").write_text(json.dumps(LITELLM))
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "AICOST_ID_KEY": ""}
    program = subprocess.run(
        [sys.executable, "-c", APPLICATION, umask], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100
    )
    made = [line.split() for line in program.stdout.splitlines() if line.startswith("0o")]
    names = {Path(name).name for _, name in made}
    expected = {"id.key", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "openai.json", "conflicts.json"}
    assert expected <= names, (program.stdout, program.stderr)
    assert [line for line in made if line[0] not in {"0o600", "0o700"} and Path(line[1]).name not in GIVEN] == []


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_what_a_collector_makes(tmp_path: Path, umask: int) -> None:
    backend, before = Backend(), os.umask(umask)
    try:
        own = tmp_path / "own"
        config = settings(backend, spool={"path": own / "spool"}, ledger=own / "books" / "ledger.sqlite")
        config["exporters"].append({"type": "file", "path": str(tmp_path / "out.jsonl")})
        backend.answers.append(status(400))
        one = InProcess(config)
        try:
            for _ in range(2):
                assert post(one.http, a_request([a_span()]).SerializeToString())[0] == 200
            until(lambda: metric(one.http, "aicost_collector_rejected_requests_total") == 1)
            until(lambda: (tmp_path / "out.jsonl").stat().st_size > 0)
            until(lambda: any(path.name == "ingest.lock" for path in tmp_path.rglob("*")))
            names = {path.name for path in tmp_path.rglob("*")}
            assert {"lock", "rejected", "ledger.sqlite", "ingest.lock", "out.jsonl"} <= names
            assert open_to_others(tmp_path) == []
        finally:
            one.stop()
        assert open_to_others(tmp_path) == [], "nor what is written at the end"
    finally:
        os.umask(before)
        backend.close()


def test_a_mode_that_was_chosen_stays(tmp_path: Path) -> None:
    from aicost.ledger import Ledger

    path = tmp_path / "shared" / "ledger.sqlite"
    Ledger.open(path).close()
    path.chmod(0o640)
    path.parent.chmod(0o750)
    ledger = Ledger.open(path)
    ledger.start_run("r", workflow="w", started_ns=1)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert ledger.flush()
    assert modes.pop("ledger.sqlite.journal") == 0o700, "what waits is its writers' alone"
    assert set(modes.values()) == {0o640}, modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    ledger.close()
