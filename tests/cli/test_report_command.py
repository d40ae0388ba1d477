"""What `aicost report` takes: each option does what it says, and what nobody knows is one clear line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.ledger.charges import event, ns, priced, recorded

from aicost._errors import AicostError
from aicost.cli import cli
from aicost.semconv.dimensions import DIMENSIONS

DOLLAR = 10**18


@pytest.fixture
def path(tmp_path: Path) -> Path:
    calls = [
        ("a", "search", "x", 4), ("a", "chat", "x", 3), ("b", "search", "y", 2), ("b", "chat", "x", 1),
        ("c", "chat", "y", 1),
    ]  # fmt: skip
    made = [
        (
            event(
                f"e-{n}",
                attribution={"tenant_id": tenant, "feature_id": feature, "label:k": "1"},
                model=model,
                run_id=f"run-{n // 2}",
                started_ns=ns(f"2026-11-0{n + 1}"),
            ),
            priced(amount * DOLLAR),
        )
        for n, (tenant, feature, model, amount) in enumerate(calls)
    ]
    return recorded(tmp_path / "l.sqlite", *made)


def report(path: Path, *arguments: str) -> Any:
    done = CliRunner().invoke(cli, ["report", "--ledger", str(path), *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def rows(data: Any) -> list[tuple[Any, ...]]:
    return [(*row["by"].values(), row["amount"]) for row in data["rows"]]


def test_several_dimensions_are_one_table(path: Path) -> None:
    data = report(path, "--by", "tenant", "--by", "feature")
    assert data["by"] == ["tenant", "feature"]
    assert rows(data) == [
        ("a", "search", "4"),
        ("a", "chat", "3"),
        ("b", "search", "2"),
        ("b", "chat", "1"),
        ("c", "chat", "1"),
    ]
    assert rows(report(path, "--by", "tenant", "--by", "tenant")) == [("a", "7"), ("b", "3"), ("c", "1")]


def test_the_pinned_form(path: Path) -> None:
    data = report(path, "--by", "tenant")
    assert {"period", "currency", "totals", "rows", "unknown"} <= set(data)
    assert data["currency"] == "USD"
    (total,) = data["totals"]
    assert {"currency", "amount", "at_most", "certain", "wasted", "calls", "attempts"} <= set(total)
    assert (total["amount"], total["at_most"], total["calls"]) == ("11", "11", 5)
    assert data["rows"][0]["by"] == {"tenant": "a"}
    assert data["rows"][0]["bucket"] is None
    assert data["rows"][0]["count"] == 2


def test_every_week_is_a_row(path: Path) -> None:
    data = report(path, "--every", "week")
    assert [(row["bucket"], row["by"], row["amount"]) for row in data["rows"]] == [
        ("2026-10-26T00:00:00+00:00", {}, "4"),
        ("2026-11-02T00:00:00+00:00", {}, "7"),
    ]


@pytest.mark.parametrize(
    ("arguments", "amount"),
    [
        (("--where", "tenant=a"), "7"),
        (("--where", "tenant=a", "--where", "model=x", "--where", "feature=chat"), "3"),
        (("--where", "run=run-0"), "7"),
        (("--run", "run-0", "--where", "feature=chat"), "3"),
        (("--where", "tenant=a", "--tenant", "a"), "7"),
        (("--where", "label:k=1"), "11"),
        (("--where", "operation=chat", "--workflow", "w"), ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_conditions_narrow_it(path: Path, arguments: tuple[str, ...], amount: str) -> None:
    assert [total["amount"] for total in report(path, *arguments)["totals"]] == ([amount] if amount else [])


@pytest.mark.parametrize("name", [one.name for one in DIMENSIONS])
def test_every_owner_is_a_condition(path: Path, name: str) -> None:
    assert report(path, "--where", f"{name}=nobody")["totals"] == []


def test_the_dearest_and_all_others(path: Path) -> None:
    data = report(path, "--by", "tenant", "--top", "1")
    assert [(row["by"]["tenant"], row["amount"], row["others"]) for row in data["rows"]] == [
        ("a", "7", 0),
        ("Other", "4", 2),
    ]


def test_csv_goes_to_standard_output_or_a_file(path: Path, tmp_path: Path) -> None:
    base = ["report", "--ledger", str(path), "--by", "tenant"]
    printed = CliRunner().invoke(cli, [*base, "--csv"])
    assert CliRunner().invoke(cli, [*base, "--csv", str(tmp_path / "t.csv")]).output == ""
    for text in (printed.stdout, (tmp_path / "t.csv").read_text()):
        assert [(row["tenant"], row["amount"]) for row in csv.DictReader(io.StringIO(text))] == [
            ("a", "7"),
            ("b", "3"),
            ("c", "1"),
        ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "tennant"), "no dimension is called 'tennant'; did you mean 'tenant'?"),
        (("--where", "modle=x"), "no dimension is called 'modle'; did you mean 'model'?"),
        (("--where", "tenant"), "'tenant' is no condition; give DIMENSION=VALUE, as in tenant=t-42"),
        (("--where", "meter=input"), "a question cannot be narrowed to a meter; give --by meter"),
        (("--where", "tenant=a", "--tenant", "b"), "tenant_id cannot be 'a' and 'b'; give one of them"),
        (("--per", "tennant"), "did you mean 'tenant'?"),
        (("--per", "outcome:x", "--by", "model"), "an outcome has no model"),
        (("--compare", "previous"), "a comparison needs a period that has begun"),
        (("--compare", "previous", "--period", "2999"), "a comparison needs a period that has begun"),
        (("--json", "--csv"), "give --json or --csv"),
        (("--currency", "EUR", "--per", "run"), "what is converted has no count of runs"),
        (("--currency", "EUR", "--measure", "latency"), "what is converted has no count of runs"),
        (("--top", "0"), "0 is not in the range x>=1"),
        (("--by", "meter", "--measure", "runs"), "by meter there is no runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_nobody_can_answer_is_one_clear_line(path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(cli, ["report", "--ledger", str(path), *arguments])
    if isinstance(done.exception, AicostError):
        assert said in str(done.exception)
    else:
        assert done.exit_code == 2
        assert said in done.output
