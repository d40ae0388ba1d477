"""Exact prices as text."""

from __future__ import annotations

from fractions import Fraction


def price_text(price: Fraction) -> str:
    """A price as an exact decimal string, or as `a/b` when no decimal is exact.

    >>> price_text(Fraction(1, 8)), price_text(Fraction(1, 3))
    ('0.125', '1/3')
    """
    rest, digits = price.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest //= prime
            count += 1
        digits = max(digits, count)
    if rest != 1:
        return f"{price.numerator}/{price.denominator}"
    whole = str(price.numerator * 10**digits // price.denominator).rjust(digits + 1, "0")
    return whole if digits == 0 else f"{whole[:-digits]}.{whole[-digits:]}"
