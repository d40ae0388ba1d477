"""Commands take the URL of a server wherever they take a ledger's path, and nothing shows its password."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from tests.ledger.charges import event, priced
from tests.servers.fake import FakeServer

import aicost
from aicost import LedgerError
from aicost._ledger_url import LedgerUrl
from aicost._settings import load
from aicost.cli import cli
from aicost.cli._ledger_place import LedgerParam
from aicost.collector.config import read_config, show_config
from aicost.ledger import Ledger
from aicost.telemetry import state

from .test_json import COMMANDS

SECRETS = ("s3cret-word", "s3cret%2Dword", "0ther-secret")

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "report": (),
    "explain": ("event-1",),
    "ledger check": (),
    "ledger ingest": (),
    "ledger migrate": (),
    "ledger rebuild": (),
    "ledger close": ("2026-01",),
    "export focus": (),
    "export csv": (),
    "export parquet": ("--output", "charges.parquet"),
    "ledger forget": ("--user", "u-1"),
    "doctor": (),
    "demo": (),
    "run": ("--", "/no/such/program"),
    "collector": ("--listen-http", "127.0.0.1:0", "--print-config"),
}
"""Commands that take a ledger, and what else they are given."""


@pytest.fixture(params=["in user info", "in the query", "of nobody", "away"])
def url(request: pytest.FixtureRequest, fake_server: FakeServer) -> str:
    """A server with a charge, or one that refuses and says all it was told."""
    url = fake_server.url("aicost:s3cret-word")
    ledger = Ledger.open(url)
    ledger.record([(event("event-1"), priced(5))])
    ledger.close()
    if request.param == "in the query":
        url = fake_server.url("aicost") + "?password=s3cret-word&sslpassword=0ther-secret"
    elif request.param == "of nobody":
        return "mysql://aicost:s3cret%2Dword@h/db"
    elif request.param == "away":
        fake_server.away = "cannot connect to {url}: password 's3cret-word' is wrong"
    return url


def ran(*words: str) -> tuple[int, str]:
    """A command's status, and all it says; as `aicost.cli.main` says what goes wrong."""
    done = CliRunner().invoke(cli, words)
    said = done.output
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        assert isinstance(done.exception, aicost.AicostError | click.ClickException), repr(done.exception)
        said += str(done.exception)
    return done.exit_code, said


def test_every_command_that_takes_a_ledger_is_here() -> None:
    taking = {
        name
        for name, command in COMMANDS.items()
        if any(isinstance(parameter.type, LedgerParam) for parameter in command.params)
    }
    assert taking | {"doctor"} == {*ARGUMENTS, "ledger ship"}
    named = {name for name, command in COMMANDS.items() if any("--ledger" in one.opts for one in command.params)}
    assert named <= taking


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("how", ["as an option", "by variable", "by file"])
def test_no_command_shows_the_password(
    name: str, how: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    words = [*name.split(), *ARGUMENTS[name]]
    takes_it = any("--ledger" in one.opts for one in COMMANDS[name].params)
    if how == "as an option" and takes_it:
        words[len(name.split()) : len(name.split())] = ["--ledger", url]
    elif name == "demo":  # which goes by the option alone
        return
    elif how == "by file":
        (tmp_path / "aicost.toml").write_text(f"ledger = {json.dumps(url)}")
    else:
        monkeypatch.setenv("AICOST_LEDGER", url)
    _, said = ran(*words)
    assert said
    for secret in SECRETS:
        assert secret not in said + caplog.text, said


def test_commands_answer_by_url_alone(fake_server: FakeServer) -> None:
    url = fake_server.url()
    ledger = Ledger.open(url)
    ledger.record([(event("event-1", run_id="run-000001"), priced(5))])
    ledger.close()
    status, said = ran("report", "--ledger", url, "--json")
    assert (status, json.loads(said)["totals"][0]["attempts"]) == (0, 1)
    assert ran("explain", "event-1", "--ledger", url)[0] == 0
    status, said = ran("ledger", "check", "--ledger", url)
    assert (status, "every invariant holds" in said) == (0, True)
    assert ran("doctor")[0] in (0, 1)
    assert aicost.reprice(url).calls == 1


def test_the_journal_is_shipped_by_command(fake_server: FakeServer) -> None:
    fake_server.away = "no route to host"
    ledger = Ledger.open(fake_server.url())
    ledger.record([(event("event-1"), priced(5))])
    ledger.close()
    assert "no route to host" in ran("ledger", "ingest", "--ledger", fake_server.url())[1]
    fake_server.away = None
    status, said = ran("ledger", "ingest", "--ledger", fake_server.url(), "--json")
    assert status == 0
    assert json.loads(said)["bytes"] > 0
    assert ran("report", "--ledger", fake_server.url())[0] == 0


def test_a_file_is_shipped_to_a_server_and_back(fake_server: FakeServer, tmp_path: Path) -> None:
    source, back = tmp_path / "l.sqlite", tmp_path / "back.sqlite"
    ledger = Ledger.open(source)
    ledger.record([(event("event-1"), priced(5))])
    ledger.close()
    status, said = ran("ledger", "ship", str(source), "--to", fake_server.url())
    assert (status, "has all of it" in said, "s3cret" in said) == (0, True, False)
    status, said = ran("ledger", "ship", fake_server.url(), "--to", str(back), "--json")
    shipped = json.loads(said)
    assert status == 0
    assert shipped["source"] == shipped["target"] == {"USD": {"attempts": 1, "amount": "0.000000000000000005"}}
    assert not any(shipped["missing"].values())


def test_the_demo_refuses_a_server_that_has_a_ledger(fake_server: FakeServer) -> None:
    ledger = Ledger.open(fake_server.url())
    ledger.record([(event("event-1"), priced(5))])
    ledger.close()
    assert "has a ledger already" in ran("demo", "--ledger", fake_server.url())[1]


def test_settings_show_no_password(fake_server: FakeServer, tmp_path: Path) -> None:
    url = fake_server.url()
    settings = load(ledger=url)
    assert settings.ledger == LedgerUrl(url)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"receivers": {"http": {"listen": ":0"}}, "ledger": url}))
    collector = read_config(tmp_path / "c.yaml", {})
    assert collector.collector.ledger == LedgerUrl(url)
    shown: list[Any] = [repr(settings), str(settings), settings.model_dump_json(), settings.model_dump(mode="json")]
    shown += [settings.model_dump(), repr(collector), show_config(collector)]
    for one in shown:
        assert "db.internal" in str(one)
        assert "s3cret" not in str(one)


@pytest.fixture
def tracked() -> Iterator[None]:
    yield
    state.reset()


@pytest.mark.usefixtures("tracked")
def test_a_process_tracks_to_a_server_by_its_url(fake_server: FakeServer) -> None:
    handle = aicost.init(ledger=fake_server.url(), exporter="none", instrument=())
    assert "s3cret" not in repr(handle)
    aicost.shutdown()
    assert fake_server.file.exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me:s3cret-word@h/db", "a ledger cannot be on mysql://"),
        ("postgresql://me:s3cret/word@h/db", "cannot be read"),
    ],
)
def test_a_url_of_no_ledger_is_refused_at_once(url: str, said: str) -> None:
    with pytest.raises((aicost.ConfigError, LedgerError), match=said) as raised:
        aicost.init(ledger=url, exporter="none", instrument=())
    assert "s3cret" not in str(raised.value)


def test_a_client_that_is_missing_is_named(fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aicost.ledger.engines.fake", None)
    with pytest.raises(aicost.ConfigError, match=r"needs its client: pip install 'aicost\[fake\]'"):
        Ledger.open(fake_server.url())
