"""Amounts for people: true to the last digit that matters, and never zero for something."""

from __future__ import annotations

from decimal import Decimal

from aicost._money import to_decimal, to_text

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}


def exact(atto: int | None) -> str | None:
    """The exact amount as a plain decimal string; None stays None."""
    return None if atto is None else to_text(atto)


def readable(atto: int | None, currency: str) -> str:
    """An amount for a table: at least cents, more digits for small amounts, `?` when unknown.

    >>> readable(4_720_000_000_000_000, "USD")
    '$0.00472'
    """
    if atto is None:
        return "?"
    amount = to_decimal(atto)
    digits = 2
    if amount and abs(amount) < 1000:
        digits = max(2, min(12, 3 - amount.adjusted() if abs(amount) < 1 else 4))
    text = f"{amount:,.{digits}f}"
    if digits > 2:
        whole, _, rest = text.partition(".")
        text = f"{whole}.{rest.rstrip('0').ljust(2, '0')}"
    if amount and not Decimal(text.replace(",", "")):
        text = format(amount, "f")
    sign = _SIGNS.get(currency)
    return f"{sign}{text}" if sign else f"{text} {currency}"
