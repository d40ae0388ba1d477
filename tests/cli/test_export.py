"""`aicost export`: files that others load, exact, streamed, whole or not there, and no formula in them."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result
from tests.cli.test_cli import aicost
from tests.ledger.charges import FREE, UNSEEN, event, multiplied, ns, priced, recorded, unpriced

from aicost._money import ATTO
from aicost.cli import cli
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.reports.charge_table import CHARGE_COLUMNS
from aicost.reports.flat_files import for_a_spreadsheet
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.event import Chargeable, Origin, RequestStatus

ODD = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "'=1", "''=1", "'", "it's", '"',
    '=cmd|" /C calc"!A0', "a,b", "a;b", "a\r\nb", "日本", "\U0001f600", " =1", "x" * 3_000,
]  # fmt: skip
"""Names that a spreadsheet, or a reader of CSV, may take for something else."""


def asked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)


def read(done: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done.stdout_bytes.decode(), newline="")))


def plain(cell: str) -> str:
    """A cell as whoever reads the file has its text again."""
    return cell[1:] if re.match("'+[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", cell) else cell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.sqlite"


@pytest.fixture
def told(path: Path) -> Path:
    """What is known, in part, not at all, refused, and possibly billed."""
    half = (ChargeLine("input", 10, "1", 10, ATTO, "r"), ChargeLine("pages", 1, None, 1, None, None))
    partial = Charge.of_lines(ChargeStatus.PARTIAL, "USD", ATTO, half, "no_rate:pages", "t@1", at_most_atto=3 * ATTO)
    at = {"started_ns": ns("2026-11-05T12:00:00.000001"), "ended_ns": ns("2026-11-05T12:00:02")}
    whose = {"tenant_id": "t-1", f"{LABEL}cohort": "beta"}
    origin = Origin(host="api.openai.com", organization="org", project="proj", credential="c:1", request_id="req")
    return recorded(
        path,
        (event("known", attribution=whose, origin=origin, **at), priced(5 * ATTO, 1)),
        (event("half", **at), partial),
        (event("unknown", **at), unpriced()),
        (event("refused", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None, **at), FREE),
        (event("cut", chargeable=Chargeable.POSSIBLY, usage=None, **at), UNSEEN),
        (event("october", started_ns=ns("2026-10-31"), ended_ns=ns("2026-10-31")), priced(7 * ATTO)),
    )


def test_charges_are_a_row_each_with_all_that_is_known(told: Path) -> None:
    rows = {row["event_id"]: row for row in read(asked("csv", "--ledger", told))}
    assert set(rows) == {"known", "half", "unknown", "refused", "cut", "october"}
    assert next(iter(rows)) == "october", "in the order they began"
    known = rows["known"]
    assert {
        name: known[name] for name in ("amount", "currency", "billed", "charge_status", "started", "tenant_id")
    } == {
        "amount": "5.000000000000000001",
        "currency": "USD",
        "billed": "yes",
        "charge_status": "priced",
        "started": "2026-11-05T12:00:00.000001000Z",
        "tenant_id": "t-1",
    }
    assert json.loads(known["labels"]) == {"cohort": "beta"}
    assert json.loads(known["usage"]) == {"input": "10", "output": "10"}
    assert [known[name] for name in ("host", "provider_organization", "provider_project", "credential")] == [
        "api.openai.com", "org", "proj", "c:1",
    ]  # fmt: skip
    assert [rows[name]["amount"] for name in ("unknown", "cut", "refused", "half")] == ["", "", "0.0", "1.0"]
    assert rows["half"]["at_most"] == "3.0"
    assert rows["cut"]["input_tokens"] == "", "what was used is not known either"


def test_a_column_for_every_owner_and_none_twice() -> None:
    names = [column.name for column in CHARGE_COLUMNS]
    assert len(set(names)) == len(names)
    assert {one.key for one in DIMENSIONS} <= set(names)


@pytest.mark.parametrize("command", ["csv", "focus"])
def test_the_period_and_dimensions_narrow_it(told: Path, command: str) -> None:
    def ids(*more: str) -> set[str]:
        name = "event_id" if command == "csv" else "x_EntryId"
        return {row[name] for row in read(asked(command, "--ledger", told, *more))}

    assert ids("--period", "2026-10") == {"october"}
    assert ids("--where", "tenant=t-1", "--where", "label:cohort=beta") == {"known"}
    assert ids("--where", "tenant=t-1", "--where", "model=other") == set()
    assert "october" not in ids("--since", "2026-11")


def test_what_is_in_no_row_is_said_with_its_bound(told: Path) -> None:
    done = asked("focus", "--ledger", told)
    assert done.stderr == (
        "Not known, and in no row: 1 unpriced, 1 possibly billed, the rest of 1 priced in part (USD); "
        "nobody can say at most how much more. `aicost report` lists them.\n"
    )
    assert asked("focus", "--ledger", told, "--period", "2026-10").stderr == ""
    assert {row["x_EntryId"] for row in read(done)} == {"known", "half", "october"}


def test_the_bound_is_said_where_there_is_one(path: Path) -> None:
    bounded = UNSEEN._replace(at_most_atto=2 * ATTO)
    recorded(path, (event("cut", chargeable=Chargeable.POSSIBLY, usage=None), bounded), (event("b"), priced(ATTO)))
    assert "1 possibly billed (USD); at most $2.00 more." in asked("focus", "--ledger", path).stderr


@pytest.mark.parametrize("command", ["csv", "focus"])
def test_no_name_is_a_formula_and_each_can_be_had_again(path: Path, command: str) -> None:
    recorded(
        path,
        *(
            (event(f"e-{n}", workflow=odd, attribution={"tenant_id": odd[:200], LABEL + odd: odd}), priced(-1 + 2))
            for n, odd in enumerate(ODD)
        ),
    )
    for row in read(asked(command, "--ledger", path)):
        for name, cell in row.items():
            if not re.fullmatch(r"-?[\d.]*", cell):
                assert cell[:1] not in tuple("=+-@\t\r\n\uff1d"), name
    names = ("workflow", "tenant_id") if command == "csv" else ("x_WorkflowName", "x_TenantId")
    rows = read(asked(command, "--ledger", path))
    with LedgerReader(path) as reader:
        kept = [(one.workflow or "", one.attribution["tenant_id"]) for one in reader.records()]
    assert [tuple(plain(row[name]) for name in names) for row in rows] == kept
    assert {tenant for _, tenant in kept} == {odd[:200] for odd in ODD}


@pytest.mark.parametrize("text", ODD)
def test_quoting_can_be_undone(text: str) -> None:
    assert plain(for_a_spreadsheet(text)) == text


@pytest.mark.parametrize("command", ["parquet", "focus"])
def test_parquet_has_the_same_as_csv_exactly_and_text_as_it_is(path: Path, tmp_path: Path, command: str) -> None:
    recorded(
        path,
        *(
            (
                event(f"e-{n}", workflow=odd, attribution={"tenant_id": odd[:200]}, started_ns=n * 10**9),
                priced(n * ATTO + n),
            )
            for n, odd in enumerate(ODD)
        ),
    )
    to = tmp_path / "it's.parquet"
    done = asked(command, "--ledger", path, "--output", to)
    assert f"{to}: " in done.stderr
    with duckdb.connect() as db:
        found = db.execute("SELECT * FROM read_parquet(?)", [str(to)])
        names = [one[0] for one in found.description or ()]
        kinds = {one[0]: str(one[1]) for one in found.description or ()}
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    same = read(asked("csv" if command == "parquet" else command, "--ledger", path))
    assert names == list(same[0])
    for row, text in zip(rows, same, strict=True):
        for name, value in row.items():
            assert said(value) == plain(text[name]), (name, kinds[name])
    amount = "amount" if command == "parquet" else "BilledCost"
    assert kinds[amount] == "DECIMAL(38,18)"
    assert sum(row[amount] for row in rows) == sum((n * ATTO + n) for n in range(len(ODD))) / Decimal(ATTO)


def said(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        text = format(value, "f").rstrip("0")
        return f"{text}0" if text.endswith(".") else text
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(value, "strftime") else str(value)


def test_the_sum_is_the_report_s(told: Path) -> None:
    with LedgerReader(told) as reader:
        (total,) = reader.answer(Query())
    rows = read(asked("csv", "--ledger", told))
    assert sum(Decimal(row["amount"] or 0) for row in rows) * ATTO == total.atto


@pytest.mark.parametrize("command", ["csv", "focus"])
def test_it_is_written_as_it_is_read(path: Path, tmp_path: Path, command: str) -> None:
    recorded(path, (event(), priced(5, 7)))
    multiplied(path, 100)
    asked(command, "--ledger", path, "--output", tmp_path / "warm.csv")
    multiplied(path, 50)
    tracemalloc.start()
    done = asked(command, "--ledger", path, "--output", tmp_path / "o.csv")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"{5_000 if command == 'csv' else 10_000:,} rows" in done.stderr
    assert most < 4 * 2**20, "rows are held"


def test_a_file_is_whole_or_as_it_was(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = tmp_path / "o.csv"
    to.write_text("before")

    def broken(*_: Any) -> Any:
        raise RuntimeError("half-way")

    monkeypatch.setattr("aicost.reports.charge_table._time", broken)
    with pytest.raises(RuntimeError):
        asked("csv", "--ledger", told, "--output", to)
    assert to.read_text() == "before"
    assert sorted(one.name for one in tmp_path.iterdir() if "o.csv" in one.name) == ["o.csv"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("csv", "--where", "tenant"), "'tenant' is no condition; give DIMENSION=VALUE, as in tenant=t-42"),
        (("csv", "--where", "nope=1"), "no dimension is called 'nope'"),
        (("focus", "--period", "never"), "'never' is no period or time"),
        (("focus", "--focus-version", "1.5"), "'1.5' is not one of '1.2', '1.4'"),
        (("csv", "--output", "no/such/folder/o.csv"), "cannot write no/such/folder/o.csv: No such file or directory"),
        (("parquet", "--output", "no/such/folder/o"), "cannot write no/such/folder/o: No such file or directory"),
        (("parquet",), "Missing option '--output'"),
    ],
    ids=lambda said: " ".join(said) if isinstance(said, tuple) else "",
)
def test_what_cannot_be_is_one_clear_error(told: Path, tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    done = aicost("export", *arguments, "--ledger", str(told), cwd=tmp_path)
    assert done.returncode != 0
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_standard_output_is_utf_8_whatever_the_terminal_is(path: Path) -> None:
    recorded(path, (event(attribution={"tenant_id": "日本"}), priced(1)))
    done = aicost("export", "csv", "--ledger", str(path), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "日本" in done.stdout


def test_parquet_without_its_library_says_what_to_install(told: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import sys

    from aicost._errors import UsageError

    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UsageError, match=r"aicost\[parquet\]"):
        asked("parquet", "--ledger", told, "--output", tmp_path / "o.parquet")
