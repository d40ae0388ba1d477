"""The command line: what it prints is right, and what goes wrong is one line and a non-zero exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.pricing.cards import document, rate

from aicost.testing import ProviderEmulator


def aicost(*arguments: str, stdin: str = "", cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AICOST_", "OTEL_", "COLUMNS"))}
    command = [sys.executable, "-c", "from aicost.cli import main; main()", *arguments]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=cwd,
        env={**clean, **env},
    )


def amounts(rows: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(row["amount"]) for row in rows), Decimal(0))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of the demo, for everything that reads its ledger."""
    path = tmp_path_factory.mktemp("demo") / "demo.sqlite"
    done = aicost("demo", "--json", "--ledger", str(path))
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.clients
def test_the_demo_s_ledger_and_the_unseen_make_up_the_provider_s_bill(demo: dict[str, Any]) -> None:
    assert Decimal(demo["ledger_total"]) + Decimal(demo["unseen"]) == Decimal(demo["provider_bill"])
    assert Decimal(demo["unseen"]) > 0
    assert demo["possibly_billed"] == 2
    assert (demo["calls"], demo["attempts"], demo["retries"], demo["unpriced"]) == (44, 46, 2, 0)
    assert 0 < Decimal(demo["wasted"]) < Decimal(demo["ledger_total"])
    assert demo["spans_received"] >= demo["calls"]
    assert len({row["by"]["tenant"] for row in demo["rows"]}) == 3
    assert len({row["by"]["feature"] for row in demo["rows"]}) == 2
    assert amounts(demo["rows"]) == Decimal(demo["ledger_total"])


@pytest.mark.clients
def test_the_demo_prints_what_a_newcomer_needs(tmp_path: Path) -> None:
    done = aicost("demo", "--ledger", str(tmp_path / "d.sqlite"))
    assert done.returncode == 0, done.stderr
    for text in (
        "by tenant",
        "by step",
        "by model",
        "by feature",
        "wasted",
        "possibly billed",
        "exact",
        "aicost explain",
    ):
        assert text in done.stdout
    assert "answered in" in done.stderr


def test_live_without_keys_says_what_is_missing() -> None:
    done = aicost("demo", "--live", OPENAI_API_KEY="", ANTHROPIC_API_KEY="")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("aicost: --live needs OPENAI_API_KEY and ANTHROPIC_API_KEY")


@pytest.mark.clients
@pytest.mark.parametrize(
    "by", ["tenant", "customer", "feature", "workflow", "step", "agent", "model", "provider", "team"]
)
def test_report_by_every_dimension_adds_up(demo: dict[str, Any], by: str) -> None:
    done = aicost("report", "--by", by, "--json", "--ledger", demo["ledger"])
    data = json.loads(done.stdout)
    assert amounts(data["rows"]) == Decimal(data["totals"][0]["amount"]) == Decimal(demo["ledger_total"])


@pytest.mark.clients
@pytest.mark.parametrize("by", ["tenant", "customer", "feature", "team"])
def test_report_of_one_owner_is_its_part_of_the_whole(demo: dict[str, Any], by: str) -> None:
    whole = json.loads(aicost("report", "--by", by, "--json", "--ledger", demo["ledger"]).stdout)
    for row in whole["rows"]:
        if row["by"][by] is not None:
            done = aicost("report", f"--{by}", row["by"][by], "--json", "--ledger", demo["ledger"])
            assert json.loads(done.stdout)["totals"][0]["amount"] == row["amount"]
    assert (
        json.loads(aicost("report", f"--{by}", "nobody", "--json", "--ledger", demo["ledger"]).stdout)["totals"] == []
    )


@pytest.mark.clients
def test_report_as_a_table_and_over_a_time_range(demo: dict[str, Any]) -> None:
    done = aicost("report", "--ledger", demo["ledger"])
    assert "by workflow" in done.stdout
    assert "Not known, and therefore not in the amounts above" in done.stdout
    assert "Nothing recorded" in aicost("report", "--until", "2020-01-01", "--ledger", demo["ledger"]).stdout
    assert "by workflow" in aicost("report", "--since", "1d", "--ledger", demo["ledger"]).stdout
    assert "'soon' is no period or time" in aicost("report", "--since", "soon", "--ledger", demo["ledger"]).stderr
    shown = aicost("report", "--period", "2020-11", "--ledger", demo["ledger"]).stdout
    assert shown == (
        "Nothing recorded in this ledger for this selection in 2020-11.\n2020-11-01 00:00 UTC to 2020-12-01 00:00 UTC\n"
    )
    data = json.loads(aicost("report", "--since", "yesterday", "--json", "--ledger", demo["ledger"]).stdout)
    assert data["period"]["since"].endswith("T00:00:00+00:00")
    assert (data["period"]["until"], data["period"]["time_zone"]) == (None, "UTC")


@pytest.mark.clients
def test_explain_adds_up_to_the_run_and_names_rates_and_sources(demo: dict[str, Any]) -> None:
    done = aicost("explain", demo["runs"][0][:12], "--json", "--ledger", demo["ledger"])
    data = json.loads(done.stdout)
    lines = [line for attempt in data["attempts"] for line in attempt["lines"]]
    assert amounts(lines) == Decimal(data["totals"]["USD"])
    for line in lines:
        assert Decimal(line["quantity"]) * Decimal(line["unit_price"]) / line["per"] == Decimal(line["amount"])
        assert line["rate_id"].split("/")[0] in {"openai", "anthropic"}
        assert line["source"].startswith("https://")
        assert line["checked"] == "2026-11-25"
    shown = aicost("explain", demo["runs"][0], "--ledger", demo["ledger"]).stdout
    assert "bundled@2026-11-25" in shown
    for line in lines:
        assert f"{line['quantity']} x {line['unit_price']} / {line['per']:,} = {line['amount']}" in shown
        assert (
            f"{line['rate_id']}  bundled@2026-11-25  {line['source']} (checked {line['checked']}) attested from "
            in shown
        )
    assert "429" in shown
    span_id = data["attempts"][0]["span_id"]
    assert json.loads(aicost("explain", span_id, "--json", "--ledger", demo["ledger"]).stdout)["kind"] == "span"


@pytest.mark.clients
def test_explain_says_in_words_what_is_not_known(demo: dict[str, Any]) -> None:
    shown = "".join(aicost("explain", run, "--ledger", demo["ledger"]).stdout for run in demo["runs"])
    assert "its usage never came back" in shown
    assert "a part of what was used is not known" in shown
    assert "failed: what it spent is waste" in shown


def test_price_reads_lines_and_goes_on_after_a_bad_one() -> None:
    lines = [
        {"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 500}},
        {"provider": "openai", "model": "gpt-99", "usage": {"prompt_tokens": 1}},
        {
            "provider": "openai",
            "model": "gpt-5",
            "usage": {"prompt_tokens": 1000},
            "api": "chat",
            "service_tier": "flex",
            "at": "2026-06-01",
        },
        {
            "provider": "anthropic",
            "model": "claude-sonnet-5",
            "usage": {"input_tokens": 10, "output_tokens": 1},
            "region": "us",
        },
        "nonsense",
        {"provider": "openai"},
        {"provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": 2}, "at": "soon"},
    ]
    done = aicost("price", stdin="\n".join(json.dumps(line) if isinstance(line, dict) else line for line in lines))
    out = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["status"], row["amount"]) for row in out] == [
        ("priced", "0.0075"),
        ("unpriced", None),
        ("priced", "0.000625"),
        ("priced", "0.000033"),
        ("unpriced", None),
        ("unpriced", None),
        ("unpriced", None),
    ]
    assert out[0]["currency"] == "USD"
    assert out[0]["rate_card"] == "bundled@2026-11-25"
    assert out[0]["lines"][0] == {
        "meter": "input",
        "quantity": 1000,
        "unit_price": "2.5",
        "per": 1_000_000,
        "amount": "0.0025",
        "rate_id": "openai/gpt-4o/input@always",
    }
    assert out[1]["reason"] == "unknown_model:openai/gpt-99"
    assert done.returncode == 1
    assert "aicost: line 5: not JSON" in done.stderr
    assert "aicost: line 6: missing model, usage" in done.stderr
    assert "line 7: \"at\" is 'soon'" in done.stderr


def test_rates_list_show_and_validate(tmp_path: Path) -> None:
    assert "gpt-4o-mini" in aicost("rates", "list", "--provider", "openai").stdout
    assert len(json.loads(aicost("rates", "list", "--json").stdout)["models"]) > 100
    shown = json.loads(aicost("rates", "show", "anthropic", "claude-sonnet-5", "--json").stdout)
    assert {rate["meter"] for rate in shown["rates"]} >= {"input", "output", "input_cache_write_1h"}
    assert "x 1/2 when" in aicost("rates", "show", "openai", "gpt-5").stdout
    luna = json.loads(aicost("rates", "show", "github_copilot", "gpt-5.6-luna", "--json").stdout)["rates"][0]
    assert (luna["attested_from"], luna["estimated_before"]) == ("2026-07-30", "2026-07-30")
    o3 = json.loads(aicost("rates", "show", "openai", "o3", "--json").stdout)["rates"]
    said = {rate["id"]: (rate["attested_from"], rate["estimated_before"]) for rate in o3 if rate["meter"] == "output"}
    assert said["openai/o3/output@2025-06-10"] == ("2025-06-10", None)
    missing = aicost("rates", "show", "openai", "gpt-99")
    assert (missing.returncode, "has no model 'gpt-99'" in missing.stderr) == (1, True)
    path = tmp_path / "card.json"
    path.write_text(json.dumps(document(rate("input", "1"))))
    assert "t@1 can be used: 1 models, 1 rates" in aicost("rates", "validate", str(path)).stdout
    path.write_text("{")
    bad = aicost("rates", "validate", str(path))
    assert (bad.returncode, "is not valid JSON" in bad.stderr) == (1, True)


def test_doctor_says_what_is_on_off_and_wrong(tmp_path: Path) -> None:
    fine = aicost("doctor", "--json", cwd=tmp_path)
    checks = {check["name"]: check for check in json.loads(fine.stdout)}
    assert fine.returncode == 0
    assert checks["openai"]["state"] == "ok"
    assert checks["ledger"]["state"] == "off"
    assert "AICOST_LEDGER" in checks["ledger"]["about"]
    bad = aicost("doctor", AICOST_RATE_CARD=str(tmp_path / "nowhere.json"), AICOST_LEDGER="/proc/x/l.sqlite")
    assert bad.returncode == 1
    assert "error rate card: cannot read rate card" in bad.stdout
    assert "error ledger: /proc/x/l.sqlite cannot be written" in bad.stdout


PROGRAM = """
import openai, sys
client = openai.OpenAI(base_url=sys.argv[1], api_key="test")
print(client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}]).id)
"""


@pytest.mark.clients
def test_run_needs_no_change_to_the_program(tmp_path: Path, emulator: ProviderEmulator) -> None:
    program, ledger = tmp_path / "program.py", tmp_path / "l.sqlite"
    program.write_text(PROGRAM)
    (tmp_path / "sitecustomize.py").write_text("print('the other sitecustomize still runs')")
    done = aicost(
        "run",
        "--ledger",
        str(ledger),
        "--",
        sys.executable,
        str(program),
        emulator.openai_base_url,
        PYTHONPATH=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["the other sitecustomize still runs", emulator.bill.calls[0].call_id]
    report = json.loads(aicost("report", "--json", "--ledger", str(ledger)).stdout)
    assert Decimal(report["totals"][0]["amount"]) == emulator.bill.total


def test_run_passes_on_the_exit_status_and_says_what_it_cannot_run(tmp_path: Path) -> None:
    ledger = str(tmp_path / "l.sqlite")
    assert aicost("run", "--ledger", ledger, "--", sys.executable, "-c", "raise SystemExit(7)").returncode == 7
    missing = aicost("run", "--ledger", ledger, "--", "no-such-program")
    assert (missing.returncode, missing.stderr.strip()) == (
        1,
        "aicost: cannot run 'no-such-program': No such file or directory",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "--ledger", "/nowhere/l.sqlite"), "no ledger at /nowhere/l.sqlite"),
        (("explain", "abcdef", "--ledger", "/nowhere/l.sqlite"), "no ledger at /nowhere/l.sqlite"),
        (("report", "--by", "colour"), "no dimension is called 'colour'; choose one of tenant, "),
        (("nothing",), "No such command 'nothing'"),
    ],
    ids=["report", "explain", "dimension", "command"],
)
def test_errors_are_clear_and_exit_non_zero(arguments: tuple[str, ...], message: str) -> None:
    done = aicost(*arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_version() -> None:
    assert aicost("--version").stdout.startswith("aicost, version ")
    shown = aicost("--help").stdout
    for command in ("demo", "run", "report", "explain", "price", "rates", "doctor"):
        assert command in shown
