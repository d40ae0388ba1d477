"""A ledger as FOCUS: what each column says, and that a mistake in one would be found."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aicost._money import ATTO
from aicost.ledger.columns import SUBJECT_KEYS
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.reports.focus import FOCUS_COLUMNS, FOCUS_VERSIONS, FocusVersion, focus_columns
from aicost.reports.focus_charges import UNITS, Every
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.event import STORAGE_API, Chargeable, Origin, RequestStatus, UsageEvent
from aicost.usage.meters import METERS
from tests.ledger.charges import FREE, UNSEEN, event, ns, priced, recorded, unpriced
from tests.tools.focus_validator import failed

from .exported import MODEL, NOT_OURS, assert_sound, charge, line, rows_of, violations


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.sqlite"


def test_every_column_is_of_the_model_and_every_one_of_the_model_is_there_or_does_not_apply() -> None:
    ours = {column.name for column in focus_columns("1.4") if not column.name.startswith("x_")}
    assert ours | NOT_OURS == set(MODEL)
    assert not ours & NOT_OURS
    mandatory = {name for name, said in MODEL.items() if said["feature_level"] == "Mandatory"}
    assert len(mandatory) == 21
    assert mandatory <= ours
    others = {column.name for column in focus_columns("1.2")} ^ {column.name for column in focus_columns("1.4")}
    assert others == {"ProviderName", "PublisherName", "ServiceProviderName", "HostProviderName"}
    names = [column.name for column in FOCUS_COLUMNS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("version", FOCUS_VERSIONS)
def test_every_column_is_one_of_its_version(version: FocusVersion) -> None:
    from focus_data_toolkit.schema.registry import version_columns

    ours = {column.name for column in focus_columns(version) if not column.name.startswith("x_")}
    assert ours <= version_columns("Cost and Usage", version)


def test_every_owner_has_a_column_and_those_that_name_somebody_only_where_charges_are_single() -> None:
    def owners(every: Every | None) -> set[str]:
        return {column.name for column in focus_columns("1.4", every)}

    for one in DIMENSIONS:
        name = "x_" + "".join(word.capitalize() for word in one.key.split("_"))
        assert name in owners(None)
        assert (name in owners("day")) == (one.key not in SUBJECT_KEYS)


def test_every_unit_of_a_meter_has_its_word() -> None:
    assert {meter.unit for meter in METERS.values()} == UNITS.keys()


@pytest.mark.parametrize(
    ("of", "price", "quantity", "unit", "cost"),
    [
        (line("input", 620, "0.4", 10**6), "0.4", "0.00062", "1000000 Tokens", "0.000248"),
        (line("output", 3, "0.4", 1), "0.4", "3.0", "Tokens", "1.2"),
        (line("tool_web_search", 2, "10", 1000), "10.0", "0.002", "1000 Calls", "0.02"),
        (line("compute_seconds", Decimal("1.5"), "3", 1), "3.0", "1.5", "Seconds", "4.5"),
        (line("nobody_knows", 5, "1", 1), "1.0", "5.0", "Units", "5.0"),
        (line("input", 3, None, 1, 0), "0.0", "3.0", "Tokens", "0.0"),
        # No decimal says what a third is, nor how many times 7 goes into 3.
        (line("input", 1, "1/3", 1), "0.333333333333333333", "1.0", "Charges", "0.333333333333333333"),
        (line("pages", 3, "0.01", 7), "0.004285714285714286", "1.0", "Charges", "0.004285714285714286"),
        (line("input", 1, "0.0000000000000000001", 1), "0.0", "1.0", "Charges", "0.0"),
        # Whoever priced it came to another amount: that is the one in the ledger.
        (line("input", 2, "1", 1, 2 * ATTO + 1), "2.000000000000000001", "1.0", "Charges", "2.000000000000000001"),
    ],
    ids=lambda of: of.meter if isinstance(of, ChargeLine) else str(of),
)  # fmt: skip
def test_price_times_quantity_is_the_cost(
    path: Path, of: ChargeLine, price: str, quantity: str, unit: str, cost: str
) -> None:
    recorded(path, (event(usage={of.meter: of.quantity}), charge(of)))
    (row,) = rows_of(path)
    found = [row[name] for name in ("ListUnitPrice", "PricingQuantity", "PricingUnit", "ListCost")]
    assert found == [price, quantity, unit, cost]
    assert Decimal(row["ConsumedQuantity"]) == of.quantity
    details = json.loads(row["SkuPriceDetails"])
    assert details.get("x_UnitPrice") == (of.unit_price if unit == "Charges" else None)
    assert_sound(path, [row])


def test_a_meter_is_a_sku_of_the_model_that_it_names(path: Path) -> None:
    lines = (
        line("input_cache_read", 10, "1", 1),
        line("haiku/output_reasoning", 1, "1", 1),
        line("input_audio_seconds", 1, "2", 60),
    )
    recorded(path, (event(provider="anthropic", model="opus", service_tier="batch"), charge(*lines)))
    read, other, audio = rows_of(path)
    assert (read["SkuId"], read["SkuMeter"]) == ("anthropic/opus/input_cache_read", "Input Cache Read Tokens")
    assert (other["SkuId"], other["SkuMeter"]) == ("anthropic/haiku/output_reasoning", "Output Reasoning Tokens")
    assert (audio["SkuMeter"], audio["ConsumedUnit"]) == ("Input Audio Seconds", "Seconds")
    assert json.loads(read["SkuPriceDetails"]) == {
        "x_ModelId": "opus", "x_ServiceTier": "batch", "x_TokenCacheAction": "Read", "x_TokenDirection": "Input",
    }  # fmt: skip
    assert json.loads(other["SkuPriceDetails"])["x_ModelId"] == "haiku"
    assert read["x_RateId"] == "p/m/input_cache_read@always"
    assert len({row["SkuPriceId"] for row in (read, other, audio)}) == 3


def test_a_cost_that_no_line_explains_is_one_row(path: Path) -> None:
    said = charge(
        line("input", 10, "1", 1), status=ChargeStatus.PROVIDER_REPORTED, atto=7 * ATTO, computed_atto=10 * ATTO
    )
    told = charge(line("input", 10, None, 1), atto=3)
    recorded(path, (event("a"), said), (event("b"), told))
    rows = rows_of(path)
    assert [(row["BilledCost"], row["SkuMeter"], row["SkuId"]) for row in rows] == [
        ("7.0", "", "p/m"),
        ("0.000000000000000003", "", "p/m"),
    ]
    assert {row["PricingUnit"] for row in rows} == {"Charges"}
    assert {(row["ConsumedQuantity"], row["ConsumedUnit"]) for row in rows} == {("1.0", "Requests")}
    assert_sound(path, rows)


def test_what_is_not_known_and_what_cost_nothing_has_no_row(path: Path) -> None:
    refused = event("a", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None)
    cut = event("b", chargeable=Chargeable.POSSIBLY, usage=None)
    half = charge(
        line("input", 10, "1", 1), line("pages", 1, None, 1), line("output", 0, "1", 1), status=ChargeStatus.PARTIAL
    )
    recorded(path, (refused, FREE), (cut, UNSEEN), (event("c"), unpriced()), (event("d"), half))
    (row,) = rows_of(path)
    assert (row["x_EntryId"], row["SkuMeter"], row["x_ChargeStatus"]) == ("d", "Input Tokens", "partial")


def test_who_it_was_for_is_in_tags_and_in_columns(path: Path) -> None:
    whose = {"tenant_id": "t-1", "user_id": "h:1234", f"{LABEL}cohort": "=beta\n"}
    at = Origin(host="api.openai.com", organization="org-1", project="proj-2", credential="c:9", request_id="req_1")
    seen = event(provider="openai", attribution=whose, origin=at, workflow="w", step="s", agent="a", api="chat")
    recorded(path, (seen, priced(1)))
    (row,) = rows_of(path)
    assert json.loads(row["Tags"]) == whose
    assert [row[f"x_{name}"] for name in ("TenantId", "UserId", "ConsumerId", "RunId", "WorkflowName", "StepName")] == [
        "t-1", "h:1234", "t-1", "run-000001", "w", "s",
    ]  # fmt: skip
    names = ("BillingAccountId", "SubAccountId", "x_CredentialId", "x_RequestId", "x_AgentName")
    assert [row[name] for name in names] == [
        "org-1", "proj-2", "c:9", "req_1", "a",
    ]  # fmt: skip
    assert (row["HostProviderName"], row["InvoiceIssuerName"]) == ("openai", "openai")
    (added,) = rows_of(path, every="day")
    assert json.loads(added["Tags"]) == {key: value for key, value in whose.items() if key != "user_id"}


def test_periods_are_whole_seconds_and_months_of_utc(path: Path) -> None:
    recorded(
        path,
        (event("a", started_ns=ns("2026-10-31T23:59:59.5"), ended_ns=ns("2026-11-01T00:00:00.5")), priced(1)),
        (event("b", started_ns=ns("2026-12-31"), ended_ns=ns("2026-12-31")), priced(1)),
    )
    names = ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd")
    assert [[row[name] for name in names] for row in rows_of(path)] == [
        ["2026-10-31T23:59:59Z", "2026-11-01T00:00:01Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"],
        ["2026-12-31T00:00:00Z", "2026-12-31T00:00:01Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"],
    ]
    assert [[row[name] for name in names[:2]] for row in rows_of(path, every="month")] == [
        ["2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"],
        ["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"],
    ]


def test_a_database_s_operation_is_of_its_collection(path: Path) -> None:
    recorded(path, (event(provider="pinecone", model="docs", api=STORAGE_API), priced(1, meters=("read_units",))))
    (row,) = rows_of(path)
    assert [row[name] for name in ("ServiceCategory", "ServiceSubcategory", "ResourceId", "ResourceType")] == [
        "Databases", "Other (Databases)", "pinecone/docs", "Collection",
    ]  # fmt: skip
    assert violations([row]) == []


def test_what_is_alike_within_a_day_is_one_row(path: Path) -> None:
    def at(n: int, day: str, **known: Any) -> tuple[UsageEvent, Charge]:
        start = ns(f"{day}T{n:02}")
        seen = event(f"{day}-{n}", started_ns=start, ended_ns=start, run_id=f"run-{n}", **known)
        return seen, charge(line("input", 10, "1", 1), line("output", n, "1/3", 1))

    told = [at(n, day, attribution={"user_id": f"u-{n}"}) for n in range(1, 5) for day in ("2026-11-01", "2026-11-02")]
    recorded(path, *told, at(9, "2026-11-02", attribution={"tenant_id": "t"}))
    rows = rows_of(path, every="day")
    found = [
        (row["ChargePeriodStart"][:10], row["x_TenantId"], row["SkuMeter"], row["ConsumedQuantity"]) for row in rows
    ]
    assert found == [
        ("2026-11-01", "", "Input Tokens", "40.0"),
        ("2026-11-01", "", "Output Tokens", "10.0"),
        ("2026-11-02", "", "Input Tokens", "40.0"),
        ("2026-11-02", "", "Output Tokens", "10.0"),
        ("2026-11-02", "t", "Input Tokens", "10.0"),
        ("2026-11-02", "t", "Output Tokens", "9.0"),
    ]
    assert_sound(path, rows)


def test_one_that_was_rounded_otherwise_does_not_take_its_price_from_the_others(path: Path) -> None:
    told = [
        (event(str(n), started_ns=n, ended_ns=n), charge(line("input", 2, "1", 1, 2 * ATTO + (n == 1))))
        for n in range(3)
    ]
    recorded(path, *told)
    rows = rows_of(path, every="day")
    assert [(row["PricingUnit"], row["PricingQuantity"], row["ListUnitPrice"]) for row in rows] == [
        ("Tokens", "4.0", "1.0"),
        ("Charges", "1.0", "2.000000000000000001"),
    ]
    assert_sound(path, rows)


FAULTS = {
    "ListCost": "1.5",
    "BillingCurrency": "CREDITS",
    "SkuPriceDetails": '{"ModelId": "m"}',
    "BilledCost": "4.2e-3",
    "ServiceCategory": "AI",
    "ServiceSubcategory": "Containers",
    "ChargePeriodStart": "2026-11-01 00:00:00",
    "InvoiceIssuerName": "",
    "BilledCostt": "1",
    "PricingUnit": "",
    "ConsumedUnit": "",
    "SkuPriceId": "",
    "PricingCategory": "",
    "Tags": "{",
    "ListUnitPrice": "-1",
}
"""What a mistake of ours would look like, by column."""


@pytest.mark.parametrize("column", FAULTS)
def test_a_planted_fault_is_found(path: Path, column: str) -> None:
    recorded(path, (event(), priced(5 * ATTO)))
    (row,) = rows_of(path)
    assert violations([row]) == []
    assert violations([{**row, column: FAULTS[column]}]) != []


@pytest.mark.parametrize("column", sorted(name for name, said in MODEL.items() if said["feature_level"] == "Mandatory"))
def test_a_mandatory_column_that_is_gone_is_found(path: Path, column: str) -> None:
    recorded(path, (event(), priced(5)))
    (row,) = rows_of(path)
    assert violations([{name: value for name, value in row.items() if name != column}]) != []


@pytest.mark.parametrize(
    ("cases", "broken"),
    [
        ('<testcase name="A-1"/>', []),
        ('<testcase name="A-1"/><testcase name="B-2 :: x"><failure message="why"/></testcase>', [("B-2", "why")]),
        ('<testcase name="A-1"/><testcase name="B-2 :: x"><error>how</error></testcase>', [("B-2", "how")]),
        ('<testcase name="A-1"/><testcase name="B-2"><skipped/></testcase>', []),
        ('<testcase name="A-1"/><testcase name="InvoiceId-C-005-C :: n"><failure message="why"/></testcase>', []),
        ('<testcase name="B-2"><skipped/></testcase>', None),
        ("", None),
    ],
)
def test_what_the_foundation_s_validator_says_is_read(
    tmp_path: Path, cases: str, broken: list[tuple[str, str]] | None
) -> None:
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    if broken is None:
        with pytest.raises(ValueError, match="no rule"):
            list(failed(report))
    else:
        assert list(failed(report)) == broken
