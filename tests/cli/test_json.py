"""`--json`, on every command that prints data: it is JSON, its amounts are decimal strings, and unknown is null."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from tests.cli.test_cli import aicost
from tests.ledger.charges import event, priced, unpriced
from tests.pricing.cards import document, rate

from aicost.cli import cli
from aicost.ledger import Ledger

NO_DATA = {
    "run": "runs a program",
    "collector": "is a service; --print-config prints the YAML that it reads",
    "rates export": "writes a file in the format of another tool",
    "export focus": "writes FOCUS",
    "export csv": "writes CSV",
    "export parquet": "writes Parquet",
}


def walked(command: click.Command, *names: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from walked(inner, *names, name)
    else:
        yield " ".join(names), command


COMMANDS = dict(walked(cli))


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """What each command is given here."""
    ledger = str(tmp_path / "l.sqlite")
    made = Ledger.open(ledger)
    made.record([(event("event-1", run_id="run-1-long"), priced(123456789))])
    made.record([(event("event-2"), unpriced("unknown_model:p/m"))])
    made.close()
    cards = [tmp_path / "a.json", tmp_path / "b.json"]
    for card, price in zip(cards, ("1", "0.3"), strict=True):
        card.write_text(json.dumps(document(rate("input", price))))
    prices = {"openai": [{"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 0.1, "output_mtok": 4}}]}
    (tmp_path / "g.json").write_text(
        json.dumps([{"id": k, "pricing_urls": [], "models": v} for k, v in prices.items()])
    )
    (tmp_path / "t.json").write_text(
        json.dumps({"m": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 3e-07}})
    )
    lists = ("--genai-prices", str(tmp_path / "g.json"), "--litellm", str(tmp_path / "t.json"))
    return {
        "demo": ("--ledger", str(tmp_path / "demo.sqlite")),
        "report": ("--ledger", ledger, "--by", "model", "--by", "meter"),
        "explain": ("event-1", "--ledger", ledger),
        "price": (),
        "doctor": (),
        "ledger check": ("--ledger", ledger),
        "ledger ingest": ("--ledger", ledger),
        "ledger ship": (ledger, "--to", str(tmp_path / "shipped.sqlite")),
        "ledger migrate": ("--ledger", ledger),
        "ledger rebuild": ("--ledger", ledger),
        "ledger close": ("2020-01", "--ledger", ledger),
        "ledger forget": ("--user", "u-1", "--ledger", ledger),
        "rates list": ("--provider", "openai"),
        "rates show": ("openai", "gpt-5"),
        "rates validate": (str(cards[0]),),
        "rates diff": (str(cards[0]), str(cards[1])),
        "rates import": (*lists, "--output", str(tmp_path / "card")),
        "rates refresh": ("--genai-prices-url", "http://127.0.0.1:9/x", "--output", str(tmp_path / "r")),
    }


def test_every_command_that_prints_data_takes_json() -> None:
    without = {
        name
        for name, command in COMMANDS.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == set(NO_DATA)


@pytest.mark.clients
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in NO_DATA])
def test_what_is_printed_is_json_without_floats(asked: dict[str, tuple[str, ...]], name: str) -> None:
    line = {"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": 7, "completion_tokens": 1, "odd": 3}}
    done = aicost(*name.split(), *asked[name], "--json", stdin=json.dumps(line) + "\n")
    if name == "rates refresh":  # nobody answers: the rest is what `rates import` prints
        assert (done.returncode, done.stdout) == (1, "")
        return
    found: list[Any] = []

    def a_float(text: str) -> None:
        found.append(text)

    documents = done.stdout.splitlines() if name == "price" else [done.stdout]
    data = [json.loads(text, parse_float=a_float) for text in documents]
    assert data
    assert found == [], "an amount is a decimal string"
    for key, value in leaves(data):
        if key == "amount":
            assert value is None or isinstance(value, str), key


def leaves(data: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield from leaves(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from leaves(value, key)
    else:
        yield key, data


def test_price_prints_the_same_with_and_without_it_and_says_what_was_odd() -> None:
    odd = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 9, "new_tokens": 3}
    line = json.dumps({"provider": "openai", "model": "gpt-4o", "usage": odd, "at": "2026-11-01"})
    plain, asked = aicost("price", stdin=line), aicost("price", "--json", stdin=line)
    assert plain.stdout == asked.stdout
    assert json.loads(plain.stdout)["flags"]


def test_price_goes_on_after_bytes_that_are_no_text(tmp_path: Path) -> None:

    good = json.dumps({"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": 7}}).encode()
    done = subprocess.run(
        [sys.executable, "-m", "aicost", "price"], input=b"\xff\n" + good + b"\n", capture_output=True, timeout=60
    )
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["unpriced", "priced"]
    assert b"line 1: not UTF-8" in done.stderr
    assert done.returncode == 1
