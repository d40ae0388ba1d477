"""What a reader gets out of a provider's usage object, and how it gets it.

A reader never drops what it does not understand and never repairs a contradiction in silence: both end up in
`flags`, which travel with the event to the span, the ledger and every report.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from itertools import islice
from typing import Any, NamedTuple

from aicost._bounded import short
from aicost._errors import UsageError

from .meters import Quantity

Raw = Mapping[str, Any]
"""A JSON object as a provider sent it. Its values are checked when they are read, not trusted."""

_LOST = ("missing_count:", "invalid_count:")
_MOST_UNKNOWN = 32
"""Unknown fields of one object that are named."""

_NOT_CONTRADICTIONS = ("unknown_field:", "assumed_", "invalid_cost:", *_LOST)
STATED = frozenset({"cost", "cost_details", "is_byok", "cost_in_usd_ticks"})
"""What a provider says of the money, beside what it counts; see `stated.py`."""
MAX_COUNT = 2**63 - 1
"""More than this of anything no store could keep."""
PLAUSIBLE = 10**12
"""More than this of anything, tokens, bytes or pixels, no single event uses: such a count is a mistake."""
PLAUSIBLE_COST = 10**9
"""More than this many units of a currency no single event costs."""


class Reading(NamedTuple):
    """Disjoint quantities by meter, the pricing conditions a usage object carries, and what it says it cost."""

    usage: Mapping[str, Quantity]
    service_tier: str | None = None
    region: str | None = None
    speed: str | None = None
    flags: tuple[str, ...] = ()
    complete: bool = True
    """False when a count that should be there could not be read."""
    provider_cost: str | None = None
    """The cost the provider states, as a decimal string in USD."""


class Fields(frozenset[str]):
    """The fields a reader knows of one object of a provider.

    It is the set of all their names: of those that are counted or set the price, of those that only `inform`, because
    what they say is in another field or is not billed, and of the objects `inside`.
    """

    informs: frozenset[str]
    inside: Mapping[str, Fields]

    def __new__(cls, counted: str = "", *, informs: str = "", **inside: Fields) -> Fields:  # noqa: PYI034 - of 3.11
        """Names are separated by blanks.

        >>> sorted(Fields("input_tokens", informs="total_time", details=Fields("cached_tokens")))
        ['details', 'input_tokens', 'total_time']
        """
        told = frozenset(informs.split())
        self = super().__new__(cls, told.union(counted.split(), inside))
        self.informs, self.inside = told, inside
        return self

    @property
    def counted(self) -> frozenset[str]:
        """Those that change what is read."""
        return frozenset(self - self.informs - self.inside.keys())


def is_sane(number: Decimal, most: int = MAX_COUNT) -> bool:
    """Whether a decimal is a quantity or an amount: finite, from 0 to `most`, with at most 60 places.

    An exponent costs a sender twelve characters and whoever computes with it exactly all the memory there is.
    """
    if not (number.is_finite() and 0 <= number <= most):
        return False
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -60


def is_suspect(flags: Collection[str]) -> bool:
    """Whether flags say the counts contradict each other, rather than that one is new or missing."""
    return any(not flag.startswith(_NOT_CONTRADICTIONS) for flag in flags)


class Counts:
    """Reads whole, non-negative numbers out of a raw object and remembers everything that was odd.

    >>> counts = Counts({"prompt_tokens": 12, "shiny_tokens": 3})
    >>> counts.take("prompt_tokens"), counts.finish({"prompt_tokens"})
    (12, ('unknown_field:shiny_tokens',))
    """

    __slots__ = ("_flags", "_path", "_raw")

    def __init__(self, raw: object, path: str = "", flags: list[str] | None = None) -> None:
        self._path = path
        self._flags: list[str] = [] if flags is None else flags
        if type(raw) is not dict and raw is not None:
            raw = fields_of(raw)
            if raw is None:
                self._flags.append(f"invalid_field:{path.rstrip('.')}")
        self._raw: Raw = raw or _EMPTY

    @property
    def complete(self) -> bool:
        """Whether every count that should be there could be read, here and in the nested objects."""
        return not any(flag.startswith(_LOST) for flag in self._flags)

    def take(self, name: str) -> int:
        """The count called `name`; 0 when it is absent or null, 0 and a flag when it is not a count."""
        value = self._raw.get(name)
        if value is None:
            return 0
        if type(value) is int and 0 <= value <= PLAUSIBLE:
            return value
        if type(value) is float and 0 <= value <= PLAUSIBLE and value.is_integer():
            return int(value)
        if type(value) is str and (number := whole_number(value)) is not None:
            return number
        if type(value).__name__ != "Unset":  # how some generated clients say that a field was not sent
            self._flags.append(f"invalid_count:{self._path}{name}")
        return 0

    def take_any(self, *names: str) -> int:
        """The first of these counts that is there: what one API calls by several names."""
        return next((self.take(name) for name in names if self.has(name)), 0)

    def decimal(self, name: str, kind: str = "invalid_count", most: int = PLAUSIBLE) -> Decimal | None:
        """The number called `name`, exactly as it is written; None, and a flag, when it is none from 0 to `most`."""
        value = self._raw.get(name)
        if value is None:
            return None
        try:
            number = Decimal(float.__repr__(value) if isinstance(value, float) else str(value))
        except (InvalidOperation, ValueError):  # an int of more digits than may become text
            number = Decimal("NaN")
        if is_sane(number, most) and not isinstance(value, bool):
            return number
        self._flags.append(f"{kind}:{self._path}{name}")
        return None

    def items(self, name: str) -> list[Raw]:
        """The objects in the list called `name`; what is no list of objects is flagged."""
        value = self._raw.get(name)
        found = [fields_of(item) for item in value] if isinstance(value, (list, tuple)) else []
        if value is not None and (None in found or not isinstance(value, (list, tuple))):
            self._flags.append(f"invalid_field:{self._path}{name}")
        return [item for item in found if item is not None]

    def require(self, name: str) -> int:
        """Like `take`, and a flag when it is absent."""
        if self._raw.get(name) is None:
            self._flags.append(f"missing_count:{self._path}{name}")
        return self.take(name)

    def has(self, name: str) -> bool:
        """Whether the object carries a value under `name`."""
        return self._raw.get(name) is not None

    def sequence(self, name: str) -> list[object]:
        """What is in the list called `name`."""
        value = self._raw.get(name)
        return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)) else []

    def true(self, name: str) -> bool:
        """Whether the field called `name` is true."""
        return self._raw.get(name) is True

    def text(self, name: str) -> str | None:
        """The string called `name`, or the value of an enumeration that is one, as long as names are; else None."""
        value = self._raw.get(name)
        value = value.value if isinstance(value, Enum) else value
        return short(value) if isinstance(value, str) else None

    def object(self, name: str) -> Raw | None:
        """The nested object called `name` itself, or None."""
        return fields_of(self._raw.get(name))

    def inside(self, name: str) -> Counts:
        """The nested object called `name`, sharing this one's flags."""
        raw = self._raw.get(name)
        return _NOTHING if raw is None else Counts(raw, self._path + name + ".", self._flags)

    def within(self, name: str, item: Raw) -> Counts:
        """One object of the list called `name`, sharing this one's flags."""
        return Counts(item, f"{self._path}{name}.", self._flags)

    def flag(self, what: str) -> None:
        """Remember a contradiction."""
        self._flags.append(what)

    def remainder(self, total: int, *parts: int, name: str) -> int:
        """`total` less its parts. A negative one is flagged as `<name>_exceeded` and counts as 0."""
        rest = total
        for part in parts:
            rest -= part
        if rest < 0:
            self._flags.append(f"{name}_exceeded")
            return 0
        return rest

    def cache_writes(self, total: int | None, by_life: Mapping[str, int], default: str = "") -> dict[str, int]:
        """Tokens written to a cache, by the meter of how long it keeps them; without any total, those of the split.

        What a split leaves of the total is written all the same: for as long as is the `default`, and flagged.
        """
        found = {f"input_cache_write_{life}": count for life, count in by_life.items() if count}
        if total is None:
            return found
        rest = self.remainder(total, *by_life.values(), name="cache_write_tokens")
        if rest:
            if by_life:
                self._flags.append(f"assumed_cache_ttl:{default or 'default'}")
            meter = f"input_cache_write_{default}" if default else "input_cache_write"
            found[meter] = found.get(meter, 0) + rest
        return found

    def usage(self, counted: Mapping[str, Quantity]) -> dict[str, Quantity]:
        """What was counted, without the meters that stayed at zero."""
        return {meter: quantity for meter, quantity in counted.items() if quantity}

    def finish(self, known: AbstractSet[str]) -> tuple[str, ...]:
        """All flags, after noting fields outside `known` that carry a value."""
        if not self._raw.keys() <= known:
            unknown = (name for name, value in self._raw.items() if name not in known and name not in STATED and value)
            self._flags += [short(f"unknown_field:{self._path}{name}") for name in islice(unknown, _MOST_UNKNOWN)]
        return tuple(dict.fromkeys(self._flags)) if self._flags else ()


def fields_of(value: object) -> Raw | None:
    """A JSON object, or the fields of a client's typed object; None for what is neither.

    Takes mappings, pydantic models, dataclasses, protobuf messages and plain objects. Pydantic models are read by
    their `__dict__` and extra fields, because `model_dump` costs ten times as much and warns about values newer than
    the model.
    """
    if type(value) is dict or isinstance(value, Mapping):
        return value
    kind = type(value)
    if hasattr(kind, "model_fields"):
        extra: Raw | None = getattr(value, "__pydantic_extra__", None)
        return {**vars(value), **extra} if extra else vars(value)
    if hasattr(kind, "DESCRIPTOR"):
        return {field.name: found for field, found in value.ListFields()}  # type: ignore[attr-defined]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if kind.__module__ == "builtins" or isinstance(value, (type, Enum)):
        return None
    return {name: held for name, held in getattr(value, "__dict__", {}).items() if name[0] != "_"} or None


def whole_number(text: str) -> int | None:
    """A count that is written as text, as JSON made of protobuf writes 64-bit numbers; None for what is none."""
    if text.isascii() and text.isdigit() and len(text) <= 19 and (number := int(text)) <= PLAUSIBLE:
        return number
    return None


_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def snake_case(raw: Raw) -> dict[str, Any]:
    """The object with its names as the Python client has them; over the wire they are camelCase.

    >>> snake_case({"promptTokenCount": 3})
    {'prompt_token_count': 3}
    """
    return {_HUMP.sub(lambda m: f"_{m[1].lower()}", str(name)): value for name, value in raw.items()}


def as_object(value: object) -> Raw:
    """`value` as a JSON object. Raises `UsageError` when it is none."""
    data = fields_of(value)
    if data is None:
        raise UsageError(
            f"usage must be a JSON object or a client's usage object, not {type(value).__name__}: {value!r:.80}"
        )
    return data


_EMPTY: Raw = {}
_NOTHING = Counts(None)
"""What an absent nested object reads as; it is never written to, having nothing odd to remember."""
