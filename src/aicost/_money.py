"""Money without floats: whole numbers of 1e-18 of a currency unit."""

from __future__ import annotations

from decimal import Decimal, localcontext

ATTO = 10**18
"""How many of our whole numbers make one currency unit. Adding them can never drift."""


def to_text(atto: int) -> str:
    """The exact value of `atto` as a plain decimal string, without trailing zeros or an exponent.

    >>> to_text(1_500_000_000_000_000)
    '0.0015'
    """
    sign = "-" if atto < 0 else ""
    whole, rest = divmod(abs(atto), ATTO)
    return f"{sign}{whole}.{rest:018d}".rstrip("0").rstrip(".")


def to_decimal(atto: int) -> Decimal:
    """The exact decimal value of `atto`, without trailing zeros or an exponent.

    >>> to_decimal(1_500_000_000_000_000)
    Decimal('0.0015')
    """
    return Decimal(to_text(atto))


def to_atto(value: Decimal | str) -> int:
    """`value` as a whole number of 1e-18, rounded half-even beyond that: the one rounding there is.

    Raises `decimal.InvalidOperation` for what is not a finite number.
    """
    with localcontext() as ctx:
        ctx.prec = 60
        return int(Decimal(value).scaleb(18).to_integral_value())
