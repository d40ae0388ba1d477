"""What is configured comes from one model, and nothing reads the environment beside it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from aicost import _settings
from aicost._errors import ConfigError

SOURCE = Path(_settings.__file__).parent

TOUCHES = {
    "cli/run.py": "hands the environment on to the program",
    "cli/autoload/sitecustomize.py": "runs before anything is imported, in every Python of the program",
    "demo/runner.py": "sets the demo's own endpoint, and looks for the keys that its clients read",
    "telemetry/sdk_setup.py": "which of OpenTelemetry's exporters the user chose",
}


def test_nothing_reads_the_environment_beside_the_settings() -> None:
    touching = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            # `os.environ`, or what was imported from `os`: WSGI calls what it hands over an environ, too.
            of_os = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
            imported = isinstance(node, ast.ImportFrom) and node.module in ("os", "os.path")
            names = {node.attr} if of_os else {one.name for one in node.names} if imported else set()
            if names & {"environ", "getenv", "environb", "getenvb", "expandvars"}:
                touching.add(path.relative_to(SOURCE).as_posix())
    assert touching <= set(TOUCHES)


def test_folders_are_where_the_user_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, says its specification
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert _settings.default_ledger() == tmp_path / "state" / "aicost" / "ledger.sqlite"
    assert _settings.data_folder() == tmp_path / "home" / ".local" / "share" / "aicost"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(ConfigError, match="set HOME or XDG_STATE_HOME"):
        _settings.default_ledger()


def test_a_secret_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICOST_ID_KEY", "a-secret-key")
    assert "a-secret-key" not in repr(_settings.load())
    assert _settings.id_key() == "a-secret-key"
    monkeypatch.setenv("AICOST_ANTHROPIC_NATIVE_SPANS", "perhaps")
    with pytest.raises(ConfigError, match="anthropic_native_spans"):
        _settings.load()
    monkeypatch.undo()
    _settings.load()
