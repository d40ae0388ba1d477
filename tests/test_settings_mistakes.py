"""A setting that cannot be used is told with its name, its value and the place that says it; a secret is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicost import _settings
from aicost._errors import ConfigError
from aicost._settings import Settings, load
from aicost._settings.leaves import leaves
from aicost.collector.config import read_config

MISTAKES: dict[str, tuple[str, dict[str, str], str]] = {
    "a key of the file": ('serivce_name = "x"', {}, "setting serivce_name: Extra inputs .* in aicost.toml"),
    "a value of the file": ('exporter = "oltp"', {}, "setting exporter: .*'otlp'.* 'oltp' in aicost.toml"),
    "the syntax of the file": ("exporter = \n", {}, r"aicost.toml: .*line 1, column 12"),
    "no UTF-8": ("\udcff", {}, "aicost.toml: .*utf-8"),
    "a variable": ("", {"AICOST_EXPORTER": "oltp"}, "setting exporter: .* 'oltp' in AICOST_EXPORTER"),
    "a word of a variable": (
        'metric_attributes = ["team"]',
        {"AICOST_METRIC_ATTRIBUTES": "team,tenat"},
        r"setting metric_attributes.1: .* 'tenat' in AICOST_METRIC_ATTRIBUTES",
    ),
    "a variable of upstream": (
        "",
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "perhaps"},
        "setting capture_content: .* in OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
    ),
    "no JSON": ("", {"AICOST_ATTRIBUTION": "team=x"}, "attribution: .*; write it as JSON .*in AICOST_ATTRIBUTION"),
    "a variable of a section": (
        "",
        {"AICOST_COLLECTOR__RECEIVERS__MAX_REQUEST": "4 parsecs"},
        "setting collector.receivers.max_request: unknown unit 'parsecs'.* in AICOST_COLLECTOR__RECEIVERS__MAX_REQUEST",
    ),
    "no such key in a section": ("", {"AICOST_COLLECTOR__ADMIM": ":1"}, "setting collector.admim: Extra .*__ADMIM"),
    "a section of the file": ("[collector]\nprocesses = 0", {}, "setting collector.processes: .*greater than 0"),
    "a size": (
        "",
        {"AICOST_JOURNAL_MAX_BYTES": "-1"},
        "setting journal_max_bytes: .* '-1' in AICOST_JOURNAL_MAX_BYTES",
    ),
    "a ledger whose URL is none": (
        "",
        {"AICOST_LEDGER": "postgresql://u:a/b@h/db"},
        r"setting ledger: the ledger's URL \(postgresql://...\) cannot be read.*'postgresql://...' in AICOST_LEDGER",
    ),
    "a home of nobody": (
        'rate_card = "~nobody-of-that-name/x"',
        {},
        "setting rate_card: there is no such home .* in aicost.toml",
    ),
    "no table of owners": ('owners = "core"', {}, "setting owners: .*'core' in aicost.toml"),
}


@pytest.mark.parametrize(("file", "variables", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_setting_value_and_place(
    file: str, variables: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aicost.toml").write_bytes(file.encode("utf-8", "surrogateescape"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=says):
        load()


def test_a_mistake_in_an_argument_is_told_as_one() -> None:
    with pytest.raises(ConfigError, match=r"setting ledger_durability: .* \(got 'never'\)"):
        load(ledger_durability="never")


def test_a_mistake_in_a_collectors_file_is_told_by_its_own_names(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("receivers: {http: {listen: ':0', port: 3}}")
    with pytest.raises(ConfigError, match=r"setting receivers.http.port: Extra inputs .* \(got 3 in .*/c.yaml\)"):
        read_config(tmp_path / "c.yaml", {})


SECRETS: list[tuple[dict[str, str], str]] = [
    ({}, "id_key = 31337"),
    ({}, "[[collector.exporters]]\ntype = 'otlp-http'\nendpoint = 'h'\nheaders = {key = 31337}"),
    ({"AICOST_COLLECTOR__EXPORTERS": '[{"headers": {"key": "31337"'}, ""),
]


@pytest.mark.parametrize(("variables", "file"), SECRETS)
def test_a_mistake_shows_no_secret(
    variables: dict[str, str], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {leaf.key for leaf in leaves(Settings) if leaf.secret} == {"id_key", "collector.exporters[].headers"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aicost.toml").write_text(file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as told:
        load()
    assert "31337" not in str(told.value)


def test_a_secret_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICOST_ID_KEY", "a-secret-key")
    assert "a-secret-key" not in repr(load())
    assert _settings.id_key() == load().secret_id_key == "a-secret-key"
    monkeypatch.setenv("AICOST_ANTHROPIC_NATIVE_SPANS", "perhaps")
    with pytest.raises(ConfigError, match="anthropic_native_spans"):
        load()
    assert _settings.id_key() == "a-secret-key"  # what ids are does not hang on another setting
