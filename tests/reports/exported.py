"""A ledger as FOCUS, read back as whoever loads it has it, and what must hold of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pytest

from aicost._money import ATTO, to_text
from aicost.ledger.query import EVERYTHING, Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.reports.focus import FocusVersion, focus_columns, focus_rows
from aicost.reports.focus_charges import Every

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


def rounded(quantity: Any, price: str, per: int) -> int:
    from fractions import Fraction

    return round(Fraction(quantity) * Fraction(price) * ATTO / per)


def line(meter: str, quantity: Any, price: str | None, per: int, atto: int | None = None) -> ChargeLine:
    known = rounded(quantity, price, per) if price is not None and atto is None else atto
    return ChargeLine(meter, quantity, price, per, known, price and f"p/m/{meter}@always")


def charge(*lines: ChargeLine, **known: Any) -> Charge:
    atto = sum(one.atto or 0 for one in lines)
    return Charge.of_lines(**{"status": ChargeStatus.PRICED, "currency": "USD", "atto": atto, "lines": lines, **known})
