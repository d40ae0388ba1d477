"""The demo and its bill, on a server by its URL alone: every command has the same accounts of it."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest

from .test_cli import aicost, amounts

SERVERS = ("postgresql", "clickhouse")


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    given: str = request.getfixturevalue(f"{request.param}_url")
    return given.replace("http://", f"{request.param}://", 1)


def answered(*arguments: str) -> Any:
    done = aicost(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_the_demo_and_its_bill_are_the_same_on_a_server(url: str) -> None:
    demo = answered("demo", "--json", "--ledger", url)
    total = Decimal(demo["ledger_total"])
    assert demo["balanced"]
    assert total + Decimal(demo["unseen"]) == Decimal(demo["provider_bill"])

    for by in (("tenant", "feature"), ("step",), ("meter",), ("run",)):
        asked = [argument for name in by for argument in ("--by", name)]
        rows = answered("report", *asked, "--json", "--ledger", url)["rows"]
        assert amounts([row for row in rows if row["amount"] is not None]) == total

    run = answered("explain", demo["runs"][3], "--json", "--ledger", url)
    assert run["totals"].keys() == {"USD"}

    exported = aicost("export", "focus", "--period", "this-year", "--ledger", url)
    assert exported.returncode == 0, exported.stderr
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    assert sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0)) == total

    assert answered("ledger", "check", "--json", "--ledger", url)["broken"] == []
    again = aicost("demo", "--ledger", url)
    assert again.returncode != 0
    assert "has a ledger already" in again.stderr
