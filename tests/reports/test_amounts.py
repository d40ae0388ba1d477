"""Amounts for people are true and never zero for something."""

from __future__ import annotations

import pytest

from aicost.reports.amounts import exact, readable


@pytest.mark.parametrize(
    ("atto", "currency", "text"),
    [
        (0, "USD", "$0.00"),
        (None, "USD", "?"),
        (4_720_000_000_000_000, "USD", "$0.00472"),
        (6_600_000_000_000, "USD", "$0.0000066"),
        (1, "USD", "$0.000000000000000001"),
        (12 * 10**18 + 345 * 10**15, "USD", "$12.345"),
        (1234 * 10**18, "EUR", "€1,234.00"),
        (10**18, "CHF", "1.00 CHF"),
        (-(10**18), "USD", "$-1.00"),
    ],
)
def test_amounts_are_readable(atto: int | None, currency: str, text: str) -> None:
    assert readable(atto, currency) == text


def test_exact_amounts_are_plain_decimals() -> None:
    assert (exact(1), exact(10**18), exact(None)) == ("0.000000000000000001", "1", None)
