"""The key of digests: one for all processes of a user, none to be guessed, and made only when it is needed."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SAY = "from aicost.scopes.ids import opaque, credential_digest as c; print(opaque('user_id', '+14155550123'), c('k'))"


def start(code: str, **env: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AICOST_", "XDG_", "OTEL_"))}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=env.get("XDG_STATE_HOME") or None,
        env={**clean, **env},
    )


def said(code: str, **env: str) -> tuple[str, str]:
    process = start(code, **env)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out.strip(), errors


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    processes = [start(SAY, XDG_STATE_HOME=str(tmp_path)) for _ in range(6)]
    assert len({process.communicate(timeout=60)[0] for process in processes}) == 1
    assert [path.name for path in (tmp_path / "aicost").iterdir()] == ["id.key"], "nothing is left lying about"
    assert stat.S_IMODE((tmp_path / "aicost" / "id.key").stat().st_mode) == 0o600
    assert said(SAY, XDG_STATE_HOME=str(tmp_path))[0] == said(SAY, XDG_STATE_HOME=str(tmp_path))[0]


def test_a_digest_cannot_be_found_by_trying_without_the_key(tmp_path: Path) -> None:
    digest = said(SAY, XDG_STATE_HOME=str(tmp_path))[0].split()[0]
    for key in (b"", b"aicost"):
        tried = hmac.new(key, b"+14155550123", hashlib.sha256).hexdigest()
        assert digest != f"h:{tried[:16]}"
    (tmp_path / "other").mkdir()
    assert digest != said(SAY, XDG_STATE_HOME=str(tmp_path / "other"))[0].split()[0], "every user has a key of its own"


def test_the_key_in_the_file_is_what_other_machines_are_given(tmp_path: Path) -> None:
    here = said(SAY, XDG_STATE_HOME=str(tmp_path))[0]
    key = (tmp_path / "aicost" / "id.key").read_text().strip()
    (tmp_path / "there").mkdir()
    assert said(SAY, XDG_STATE_HOME=str(tmp_path / "there"), AICOST_ID_KEY=key)[0] == here
    assert list((tmp_path / "there").iterdir()) == [], "a key that is set needs no file"
    (tmp_path / "toml").mkdir()
    (tmp_path / "toml" / "aicost.toml").write_text(f'id_key = "{key}"\n')
    later = f"import aicost, os; aicost.init(instrument=()); os.chdir('/'); {SAY}"
    assert said(later, XDG_STATE_HOME=str(tmp_path / "toml"))[0] == here


def test_nothing_is_made_before_something_is_to_be_hashed(tmp_path: Path) -> None:
    code = "import aicost; aicost.init(instrument=()); aicost.attribution(tenant_id='1234567890').__enter__()"
    said(code, XDG_STATE_HOME=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("obstacle", ["a file in its place", "a key that was cut", "no home"])
def test_where_no_key_can_be_kept_one_line_says_so(tmp_path: Path, obstacle: str) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    code = SAY + "; c('l'); opaque('team', 'a@b.example')"
    if obstacle == "a file in its place":
        (tmp_path / "aicost").write_text("")
    elif obstacle == "a key that was cut":
        (tmp_path / "aicost").mkdir()
        (tmp_path / "aicost" / "id.key").write_text("")
    else:
        env = {"XDG_STATE_HOME": "", "HOME": ""}
        code = (
            "import pathlib; pathlib.Path.home = classmethod(lambda c: (_ for _ in ()).throw(RuntimeError())); " + code
        )
    first, errors = said(code, **env)
    assert errors.count("AICOST_ID_KEY") == 1
    assert first != said(code, **env)[0], "each process has its own"


def test_a_wrong_setting_elsewhere_does_not_change_what_ids_are(tmp_path: Path) -> None:
    fine = said(SAY, XDG_STATE_HOME=str(tmp_path), AICOST_ID_KEY="k" * 20)[0]
    assert said(SAY, XDG_STATE_HOME=str(tmp_path), AICOST_ID_KEY="k" * 20, AICOST_EXPORTER="pigeon")[0] == fine
