"""A ledger as FOCUS: valid, exact to the last digit, of the report's totals, and silent about nothing."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicost._money import ATTO, to_text
from aicost.demo.runner import run_emulated
from aicost.ledger.check import check
from aicost.ledger.closing import close_month
from aicost.ledger.columns import SUBJECT_KEYS
from aicost.ledger.engines.sqlite import SqliteStore
from aicost.ledger.query import EVERYTHING, Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.reports.focus import FOCUS_COLUMNS, FOCUS_VERSIONS, FocusVersion, focus_columns, focus_rows
from aicost.reports.focus_charges import UNITS, Every
from aicost.reports.periods import parse_period
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.event import STORAGE_API, Chargeable, Origin, RequestStatus, UsageEvent
from aicost.usage.meters import METERS
from tests.ledger.charges import EPOCH, FREE, UNSEEN, event, multiplied, ns, priced, recorded, unpriced
from tests.tools.focus_validator import failed

validator = pytest.importorskip("focus_data_toolkit.model.validator", reason="needs Python 3.11")

CONDITIONS = (validator.COND_UNIT_PRICING, validator.COND_MULTIPLE_PRICING_CATEGORIES)
"""What we claim, so that the lint asks for it in every row."""
MODEL: Mapping[str, Any] = validator.load_model()["datasets"]["Cost and Usage"]["columns"]
EXACT = Context(prec=200)
NOT_OURS = {
    "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName", "AllocatedTags",
    "AvailabilityZone", "BillingAccountType", "CapacityReservationId", "CapacityReservationStatus",
    "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit",
    "CommitmentProgramEligibilityDetails", "ContractApplied", "InvoiceDetailId", "PricingCurrency",
    "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice",
    "SubAccountType",
}  # fmt: skip
"""Columns whose condition is nothing that a ledger of calls has: docs/focus.md says so of each."""

Row = dict[str, str]


def rows_of(
    path: Path, where: Filter = EVERYTHING, version: FocusVersion = "1.4", every: Every | None = None
) -> list[Row]:
    """What is exported, as a reader of the CSV has it: without a value a cell is empty."""
    columns = focus_columns(version, every)
    with LedgerReader(path) as reader:
        rows = list(focus_rows(reader.booked(where), columns, every))
    return [{column.name: cell or "" for column, cell in zip(columns, row, strict=True)} for row in rows]


def violations(rows: Sequence[Row]) -> list[str]:
    report = validator.lint_focus_1_4_structure("Cost and Usage", rows, supported_conditions=CONDITIONS)
    found: list[str] = report.messages()
    return found


def sums(rows: Sequence[Row], column: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for row in rows:
        found[row["BillingCurrency"]] = EXACT.add(found.get(row["BillingCurrency"], Decimal(0)), Decimal(row[column]))
    return found


def assert_sound(path: Path, rows: Sequence[Row]) -> None:
    """Valid, exact in each row, and of the same sums as the report."""
    assert violations(rows) == [] or not rows
    with LedgerReader(path) as reader:
        totals = {one.currency: Decimal(to_text(one.atto)) for one in reader.answer(Query())}
    for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
        found = sums(rows, column)
        assert {key: found.get(key, Decimal(0)) for key in totals} == totals, column
    for row in rows:
        for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
            assert EXACT.multiply(Decimal(row[price]), Decimal(row["PricingQuantity"])) == Decimal(row[cost])
        for column in row:
            if MODEL.get(column, {}).get("data_type") == "Decimal" and row[column]:
                assert set(row[column]) <= set("-0123456789."), "plain digits, no exponent"
                assert "." in row[column], "a column of whole numbers would be taken for one of integers"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.sqlite"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ledger = tmp_path_factory.mktemp("focus") / "demo.sqlite"
    run_emulated(ledger, lambda _: None)
    return ledger


@pytest.mark.clients
@pytest.mark.parametrize("every", [None, "hour", "day", "month"])
def test_the_demo_is_valid_and_of_the_report_s_total(demo: Path, every: Every | None) -> None:
    rows = rows_of(demo, every=every)
    assert len(rows) > 10
    assert_sound(demo, rows)
    assert {row["x_TenantId"] for row in rows} == {"acme", "globex", "initech"}
    assert {"Input Tokens", "Output Tokens", "Input Cache Read Tokens"} <= {row["SkuMeter"] for row in rows}


# What a rate can be, exact or not: prices of many digits, of a third, per anything.
PRICES = st.one_of(
    st.decimals(0, 10**4, places=2).map(str),
    st.decimals(0, 10, places=12).map(lambda price: format(price, "f")),
    st.sampled_from(["1/3", "0.1234567890123456789", "0", "2/7"]),
)
QUANTITIES = st.one_of(
    st.integers(0, 10**7), st.decimals(0, 10**4, places=3), st.sampled_from([Decimal("1e-19"), 10**21])
)
TEXTS = st.one_of(st.sampled_from(["acme", "=1+1", "a\nb", '"', "日本", "\U0001f600", " ", ""]), st.text(max_size=20))
OWNERS = st.dictionaries(
    st.sampled_from([*(one.key for one in DIMENSIONS), f"{LABEL}cohort", f"{LABEL}=x"]), TEXTS, max_size=4
)


def rounded(quantity: Any, price: str, per: int) -> int:
    from fractions import Fraction

    return round(Fraction(quantity) * Fraction(price) * ATTO / per)


@st.composite
def charges(draw: st.DrawFn) -> tuple[UsageEvent, Charge]:
    usage: dict[str, Any] = {}
    lines = []
    meters = [
        "input",
        "output",
        "input_cache_read",
        "other_model/input",
        "pages",
        "nobody_knows",
        "input_audio_seconds",
    ]
    for meter in draw(st.lists(st.sampled_from(meters), unique=True, max_size=3)):
        quantity, per = draw(QUANTITIES), draw(st.sampled_from([1, 7, 60, 1_000, 1_000_000]))
        price = draw(st.one_of(st.none(), PRICES))
        usage[meter] = quantity
        atto = None if price is None else rounded(quantity, price, per)
        if atto and quantity and price is not None and draw(st.booleans()):
            atto += draw(st.integers(0, 2))  # whoever priced it rounded otherwise
        lines.append(
            ChargeLine(meter, quantity, price, per if price is not None else 1, atto, price and f"p/m/{meter}@always")
        )
    known = [line.atto for line in lines if line.atto is not None]
    currency = draw(st.sampled_from(["USD", "USD", "EUR"]))
    kind = draw(st.sampled_from(["priced"] * 4 + ["reported", "told", "unseen"]))
    at_most: int | None = None
    if kind == "unseen":
        status, atto, lines, usage_told = ChargeStatus.UNPRICED, None, [], None
        at_most = draw(st.one_of(st.none(), st.integers(0, ATTO)))
    elif kind == "reported":
        status, atto, usage_told = ChargeStatus.PROVIDER_REPORTED, draw(st.integers(0, 10**20)), usage
    elif kind == "told":  # by a process whose card nobody has: an amount, and no prices
        status, atto, usage_told = ChargeStatus.PRICED, draw(st.integers(0, 10**20)), usage
        lines = [line._replace(unit_price=None, per=1, atto=None, rate_id=None) for line in lines]
    elif len(known) == len(lines):
        status, atto, usage_told = ChargeStatus.PRICED, sum(known), usage
    else:
        atto = sum(known) if known else None
        status = ChargeStatus.PARTIAL if known else ChargeStatus.UNPRICED
        usage_told = usage
    made = Charge.of_lines(status, currency, atto, lines, rate_card="t@1", at_most_atto=at_most)
    started = draw(
        st.sampled_from([ns("2026-10-31T23:59:59.999999"), ns("2026-11-01"), ns("2026-11-25T12"), -1, 2**62])
    )
    seen = UsageEvent(
        draw(st.uuids()).hex,
        draw(st.sampled_from(["openai", "p", " ", "=cmd"])),
        "chat",
        draw(TEXTS),
        usage_told,
        started,
        started + draw(st.sampled_from([0, 1, 10**9, 10**12])),
        api=draw(st.sampled_from([None, "chat", STORAGE_API])),
        chargeable=Chargeable.POSSIBLY if kind == "unseen" else Chargeable.YES,
        workflow=draw(st.one_of(st.none(), TEXTS)),
        region=draw(st.sampled_from([None, "eu-west-1"])),
        attribution=draw(OWNERS),
        origin=Origin(host="api.openai.com", organization=draw(st.sampled_from([None, "org-1", ""]))),
    )
    return seen, made


@settings(deadline=None, max_examples=60)
@given(st.lists(charges(), max_size=8), st.sampled_from([None, "hour", "day", "month"]))
def test_any_ledger_is_valid_and_of_the_report_s_total(
    told: list[tuple[UsageEvent, Charge]], every: Every | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = recorded(Path(folder) / "l.sqlite", *told)
        rows = rows_of(ledger, every=every)
        assert_sound(ledger, rows)
        assert all(set(row) == {column.name for column in focus_columns("1.4", every)} for row in rows)
        if every is None:
            known = {seen.event_id for seen, charge in told if charge.atto is not None}
            assert {row["x_EntryId"] for row in rows} <= known, "what is not known has no row, and is no zero"


@pytest.mark.timeout(300)
def test_a_hundred_thousand_rows_are_valid_and_of_the_report_s_total(path: Path) -> None:
    owners = ({"tenant_id": f"t-{n}", "team": "search", f"{LABEL}cohort": "beta"} for n in range(5))
    lines = line("input", 620, "0.4", 10**6), line("input_cache_read", 7, "0.04", 10**6), line("output", 24, "1/3", 1)
    told = [(event(str(n), started_ns=ns("2026-11-01"), attribution=of), charge(*lines)) for n, of in enumerate(owners)]
    recorded(path, *told)
    multiplied(path, 6_700)
    rows = rows_of(path)
    assert len(rows) == 5 * 3 * 6_700
    assert_sound(path, rows)
    added = rows_of(path, every="day")
    assert len(added) == 5 * 3
    assert_sound(path, added)


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


def line(meter: str, quantity: Any, price: str | None, per: int, atto: int | None = None) -> ChargeLine:
    known = rounded(quantity, price, per) if price is not None and atto is None else atto
    return ChargeLine(meter, quantity, price, per, known, price and f"p/m/{meter}@always")


def charge(*lines: ChargeLine, **known: Any) -> Charge:
    atto = sum(one.atto or 0 for one in lines)
    return Charge.of_lines(**{"status": ChargeStatus.PRICED, "currency": "USD", "atto": atto, "lines": lines, **known})


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


OCTOBER, NOVEMBER = "2026-10", "2026-11"


def closed(path: Path, month: str) -> None:
    with closing(SqliteStore(path, synchronous="FULL", timeout_s=5)) as store:
        close_month(store, month, until=time.monotonic() + 5)


def billed_in(path: Path, month: str) -> list[Row]:
    period = parse_period(month, EPOCH)
    rows = rows_of(path, Filter(since_ns=period.since_ns, until_ns=period.until_ns))
    assert violations(rows) == [] or not rows
    return rows


def told_again(path: Path, event_id: str, quantity: int, when: str = "2026-10-05") -> None:
    """A view of an event: of two the one that counts more counts."""
    seen = event(event_id, usage={"input": quantity}, started_ns=ns(when), ended_ns=ns(when))
    recorded(path, (seen, charge(line("input", quantity, "1", 1))))


NAMES = ("ChargeClass", "BilledCost", "PricingQuantity", "BillingPeriodStart", "ChargePeriodStart")


def test_a_correction_of_a_closed_month_is_billed_later_for_the_time_it_was_in(path: Path) -> None:
    told_again(path, "a", 10)
    told_again(path, "b", 3)
    told_again(path, "b", 4)  # while the month was open: a correction that nobody sees
    before = billed_in(path, OCTOBER)
    assert [row["BilledCost"] for row in before] == ["10.0", "4.0"]
    closed(path, OCTOBER)
    told_again(path, "a", 12)
    told_again(path, "late", 1, "2026-10-31T23:59:59")
    told_again(path, "november", 5, "2026-11-02")
    assert billed_in(path, OCTOBER) == before, "what was handed over stays"
    november = billed_in(path, NOVEMBER)
    assert [tuple(row[name].removesuffix("T00:00:00Z") for name in NAMES) for row in november] == [
        ("Correction", "-10.0", "-10.0", "2026-11-01", "2026-10-05"),
        ("Correction", "12.0", "12.0", "2026-11-01", "2026-10-05"),
        ("Correction", "1.0", "1.0", "2026-11-01", "2026-10-31T23:59:59Z"),
        ("", "5.0", "5.0", "2026-11-01", "2026-11-02"),
    ]
    back, anew, late, _ = november
    assert (back["ConsumedQuantity"], back["ListUnitPrice"]) == ("-10.0", "1.0")
    assert back["x_CorrectsEntryId"] == anew["x_CorrectsEntryId"] != ""
    assert late["x_CorrectsEntryId"] == ""
    assert_sound(path, rows_of(path))
    assert list(check(path)) == []


def test_what_is_corrected_again_in_an_open_month_leaves_its_last_word(path: Path) -> None:
    told_again(path, "a", 10)
    closed(path, OCTOBER)
    told_again(path, "a", 12)
    told_again(path, "a", 13)
    assert [row["BilledCost"] for row in billed_in(path, NOVEMBER)] == ["-10.0", "13.0"]
    closed(path, NOVEMBER)
    told_again(path, "a", 20)
    assert [row["BilledCost"] for row in billed_in(path, NOVEMBER)] == ["-10.0", "13.0"]
    assert [row["BilledCost"] for row in billed_in(path, "2026-12")] == ["-13.0", "20.0"]
    assert [row["BilledCost"] for row in rows_of(path)] == ["20.0"], "over all months it is what counts"
    assert_sound(path, rows_of(path))


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from("abc"), st.integers(1, 20), st.sampled_from(["2026-09-30", "2026-10-05", "2026-11-05"])
        ),
        st.sampled_from(["2026-09", OCTOBER, NOVEMBER]),
    ),
    max_size=9,
)


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_a_closed_month_never_changes_and_all_months_are_what_counts(steps: list[Any]) -> None:
    months = ("2026-09", OCTOBER, NOVEMBER, "2026-12", "2027-01")
    with tempfile.TemporaryDirectory() as folder:
        path = recorded(Path(folder) / "l.sqlite", (event("first", usage={}), FREE))
        handed: dict[str, list[Row]] = {}
        for step in steps:
            if isinstance(step, str):
                closed(path, step)
                handed.setdefault(step, billed_in(path, step))
            else:
                told_again(path, *step)
            for month, rows in handed.items():
                assert billed_in(path, month) == rows
        every = [row for month in months for row in billed_in(path, month)]
        assert_sound(path, every)
        assert list(check(path)) == []


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
