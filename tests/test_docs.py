"""What the docs show works, and the links in them lead somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aicost._settings import load
from aicost.pricing.card import RateCard
from aicost.testing import ProviderEmulator
from aicost.usage.readers import READERS
from tests.tools.export_doc import EXPORTED, exported_page
from tests.tools.settings_doc import TABLES as SETTINGS_PAGES
from tests.tools.settings_doc import page as settings_page

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def python(code: str, emulator: ProviderEmulator, cwd: Path) -> str:
    keys = {"OPENAI_BASE_URL": emulator.openai_base_url, "OPENAI_API_KEY": "test", "PYTHONPATH": str(ROOT / "src")}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AICOST_", "OTEL_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env={**clean, **keys})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.clients
def test_the_readme_s_program_runs(emulator: ProviderEmulator, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    out = python(program, emulator, tmp_path)
    assert out.startswith(f"{emulator.bill.total} ")
    assert (tmp_path / "costs.sqlite").exists()


@pytest.mark.clients
def test_the_example_runs(emulator: ProviderEmulator, tmp_path: Path) -> None:
    out = python((ROOT / "examples/support_agent.py").read_text(), emulator, tmp_path)
    assert f"2 calls, 0 retries, {emulator.bill.total} USD" in out


def test_the_integration_in_the_docs_runs(emulator: ProviderEmulator, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/integrations.md").read_text(), re.DOTALL)
    assert python(program, emulator, tmp_path).strip() == "0.0035"


def test_the_rate_card_in_the_docs_is_valid(tmp_path: Path) -> None:
    (card,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/rate-cards.md").read_text(), re.DOTALL)
    path = tmp_path / "card.json"
    path.write_text(json.dumps(json.loads(card)))
    assert RateCard.load(path).find("openai", "gpt-4.1-acme-x") is not None


@pytest.mark.parametrize("name", SETTINGS_PAGES)
def test_the_tables_of_settings_are_what_the_model_says(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == settings_page(name)


@pytest.mark.parametrize("name", EXPORTED)
def test_the_tables_of_columns_are_what_is_exported(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == exported_page(name)


def test_the_settings_in_the_docs_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/configuration.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aicost.toml").write_text(example)
    assert len(load().owners) == 1


def test_every_reader_is_documented() -> None:
    text = (ROOT / "docs/usage.md").read_text()
    assert [api for api in READERS if f"`{api}`" not in text] == []


def test_the_catalogue_is_as_large_as_the_docs_say() -> None:
    folder = ROOT / "src/aicost/pricing/data/catalogue"
    files = [json.loads(path.read_text()) for path in folder.glob("*.json") if path.name != "card.json"]
    said = f"{sum(len(entry['models']) for entry in files):,} models of {len(files)}"
    for page in ("docs/rate-cards.md", "CHANGELOG.md"):
        assert said in (ROOT / page).read_text().replace("\n", " "), said


def test_the_table_of_dialects_is_what_the_recordings_say() -> None:
    from tests.tools.dialects_doc import page

    assert (ROOT / "docs" / "dialects.md").read_text() == page()


def test_the_collector_s_example_can_be_run() -> None:
    from aicost.collector.config import read_config

    assert read_config(ROOT / "examples" / "deploy" / "collector.yaml", {}).collector.spool is not None
