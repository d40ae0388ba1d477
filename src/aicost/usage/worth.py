"""What units of value are worth, as whoever records or reads them says."""

from __future__ import annotations

from aicost._bounded import short
from aicost._money import to_atto, to_text
from aicost._wellformed import as_text

from .reading import Counts


def worth_of(value: object, unit: object) -> tuple[str | None, str | None]:
    """A value as a plain decimal string, and its unit; twice None where nothing is said, or not both.

    A float is taken at the decimal it is written as. Beyond 1e-18 is rounded, as amounts are. Raises `ValueError` for
    what is no number between 0 and a trillion, and for a value without a unit or a unit without a value.

    >>> worth_of(Decimal("49.90"), "USD")
    ('49.9', 'USD')
    """
    if value is None and unit is None:
        return None, None
    if value is None or unit is None or unit == "":
        raise ValueError(f"value {value!r:.80} and unit {unit!r:.80}: one says nothing without the other")
    number = Counts({"value": value}).decimal("value")
    if number is None:
        raise ValueError(f"value {value!r:.80} is no number between 0 and a trillion")
    return to_text(to_atto(number)), short(as_text(unit))
