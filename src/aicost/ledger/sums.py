"""Sums over entries: what a question is answered with, and how it is added up from what a store found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from aicost.usage.meters import METERS, Direction, Group, Quantity, declared

from .quantiles import Listed, quantiles
from .query import METER, Query

Keys = tuple[str | None, ...]

WasteCause = Literal["retry", "failed_call", "failed_step", "failed_run"]
WASTE_CAUSES: tuple[WasteCause, ...] = ("retry", "failed_call", "failed_step", "failed_run")
"""Why something bought nothing. Of several causes the first one here counts, so that they add up to what is wasted."""

TOKEN_KINDS: Mapping[Group, Direction] = {one.group: one.direction for one in METERS.values() if one.direction}
"""The kinds of tokens, and which way each goes. A token is of one kind: they add up to all tokens."""

CERTAIN_STATUSES, CERTAIN_DEGREES = ("priced", "provider_reported"), ("exact", "matched")
"""What status, and what degree of confidence, an amount has that is certain."""

OTHER = "Other"


class Part(NamedTuple):
    """A line of many entries of one kind: a meter, how much of it, what it came to."""

    meter: str
    quantity: Quantity
    atto: int | None


class AlikeEntries(NamedTuple):
    """Entries that are alike in all that a question asks: what a store answers with."""

    keys: Keys
    start: datetime | None
    currency: str
    status: str
    chargeable: str
    charge_status: str
    confidence: str | None
    failed_inside: Literal["step", "run"] | None
    """What failed around them: a step or one around it; or else the run, or something that it was opened in."""
    is_fallback: bool
    """Whether they went to another model or provider after one had failed."""
    is_known: bool
    n: int
    app_retries: int
    atto: int
    at_most_atto: int | None
    bounded: int
    """How many of those that are not fully known have a most."""
    parts: Sequence[Part]

    @property
    def waste_cause(self) -> WasteCause | None:
        """Why what they cost bought nothing; None if it did."""
        if self.status != "success":
            return "retry" if self.status == "retry" else "failed_call"
        if self.failed_inside is None:
            return None
        return "failed_step" if self.failed_inside == "step" else "failed_run"

    @property
    def is_certain(self) -> bool:
        """Whether it is sure that they were billed, and how much."""
        is_priced = self.charge_status in CERTAIN_STATUSES and self.confidence in CERTAIN_DEGREES
        return is_priced and self.chargeable == "yes"


RowKey = tuple[Keys, datetime | None, str]
"""What tells a row apart: the values of the dimensions asked for, when its stretch of time begins, its currency."""

Weights = Mapping[int | None, int]
"""Values that entries of a row have, and how often each is there: of what is no sum. None is not known."""


@dataclass(slots=True)
class Sums:
    """Sums over some entries of one currency, in 1e-18 of it. Made once, and not changed after that.

    All but what was asked for by name adds up: of two selections that share nothing, the sums are those of both.
    """

    keys: Keys
    """The values of the dimensions asked for, in their order. None is what has no value."""
    start: datetime | None
    """When its stretch of time begins, if one was asked for."""
    currency: str
    calls: int = 0
    attempts: int = 0
    retries: int = 0
    app_retries: int = 0
    """Calls that the application made again after the same call had failed."""
    fallbacks: int = 0
    """Calls that went to another model or provider after one had failed."""
    unpriced: int = 0
    partial: int = 0
    possibly_billed: int = 0
    atto: int = 0
    """What is known; `is_known` says whether anything is."""
    certain_atto: int = 0
    """The part of it that was billed for sure, at a price that is sure."""
    fallback_atto: int = 0
    """The part of it that was spent on fallbacks."""
    more_atto: int = 0
    """What is not known comes to at most so much more, if `unbounded` is 0."""
    chargeable: int = 0
    """Attempts that were, or may have been, billed."""
    known: int = 0
    """Those of which an amount is known."""
    wasted_chargeable: int = 0
    wasted_known: int = 0
    unbounded: int = 0
    """Attempts that are not, or not fully, known, and have no most."""
    waste: dict[WasteCause, int] = field(default_factory=lambda: dict.fromkeys(WASTE_CAUSES, 0))
    """What is wasted, by cause."""
    tokens: dict[Group, Quantity] = field(default_factory=lambda: dict.fromkeys(TOKEN_KINDS, 0))
    """Tokens by kind; they do not overlap."""
    others: int = 0
    """How many rows were put together here, of those beyond the first ones."""
    runs: int | None = None
    """How many different runs; None if nobody asked."""
    completed_runs: int | None = None
    latency_ns: tuple[int, ...] | None = None
    """The median and the 95th percentile."""
    units: int | None = None
    """How many units `cost_each` is of."""
    cost_each: tuple[int, ...] | None = None
    """The median and the 95th percentile of what one costs, of those of which it is known."""

    @property
    def key(self) -> str | None:
        """The value of the one dimension that was asked for."""
        return self.keys[0] if self.keys else None

    @property
    def wasted_atto(self) -> int:
        """What bought nothing."""
        return sum(self.waste.values())

    @property
    def is_known(self) -> bool:
        """False when something was, or may have been, billed and no amount of it is known: `atto` is then no answer."""
        return self.known != 0 or self.chargeable == 0

    @property
    def is_waste_known(self) -> bool:
        """The same of what was wasted, and `wasted_atto`."""
        return self.wasted_known != 0 or self.wasted_chargeable == 0

    @property
    def at_most_atto(self) -> int | None:
        """What it can come to at most, with all that is not known; None where nobody can say."""
        return None if self.unbounded else self.atto + self.more_atto

    @property
    def input_tokens(self) -> Quantity:
        """All tokens sent, with those that a cache had."""
        return self._tokens("input")

    @property
    def output_tokens(self) -> Quantity:
        """All tokens received, with those of reasoning."""
        return self._tokens("output")

    @property
    def cached_tokens(self) -> Quantity:
        """Tokens that a cache had."""
        return self.tokens["cache_read"]

    @property
    def all_tokens(self) -> Quantity:
        """Tokens of every kind."""
        return added(self.tokens.values())

    def _tokens(self, direction: Direction) -> Quantity:
        return added(self.tokens[kind] for kind, way in TOKEN_KINDS.items() if way == direction)

    def count(self, group: AlikeEntries) -> None:
        """Count attempts that are alike."""
        n = group.n
        self.attempts += n
        if group.status == "retry":
            self.retries += n
        else:
            self.calls += n
        self.app_retries += group.app_retries
        self.fallbacks += n if group.is_fallback else 0
        if group.chargeable == "possibly":
            self.possibly_billed += n

    def add(self, group: AlikeEntries, atto: int | None) -> None:
        """Add an amount of theirs, or that there is none."""
        chargeable = group.n if group.chargeable != "no" else 0
        known = chargeable if atto is not None else 0
        amount = atto or 0
        self.atto += amount
        self.chargeable += chargeable
        self.known += known
        if group.is_certain:
            self.certain_atto += amount
        if group.is_fallback:
            self.fallback_atto += amount
        cause = group.waste_cause
        if cause is not None:
            self.waste[cause] += amount
            self.wasted_chargeable += chargeable
            self.wasted_known += known

    def add_tokens(self, parts: Iterable[Part]) -> None:
        """Add those of their quantities that are tokens."""
        for part in parts:
            meter = declared(part.meter)
            if meter is not None and meter.direction is not None:
                self.tokens[meter.group] = added((self.tokens[meter.group], part.quantity))

    def bound(self, group: AlikeEntries, *, by_meter: bool = False) -> None:
        """Note what is not known, and what it comes to at most: which of its meters may come to more, nobody knows."""
        if group.chargeable == "no" or (
            group.is_known and group.charge_status != "partial" and group.chargeable == "yes"
        ):
            return
        if by_meter:
            self.unbounded += group.n
            return
        self.unbounded += group.n - group.bounded
        if group.at_most_atto is not None:
            self.more_atto += group.at_most_atto - group.atto


ADDITIVE: tuple[str, ...] = tuple(one.name for one in fields(Sums) if one.type == "int" and one.name != "others")
"""The sums that are one number."""


def added(quantities: Iterable[Quantity]) -> Quantity:
    """Their sum, exactly: parts of a token, too, which an application may record."""
    total: int | Fraction = 0
    for one in quantities:
        total += one if type(one) is int else Fraction(one)
    if type(total) is int or total.denominator == 1:
        return int(total)
    # Of finite decimals: the denominator is a product of twos and fives, so there is a power of ten to shift by.
    digits = 0
    while total.denominator != 1:
        total *= 10
        digits += 1
    return Decimal((int(total < 0), tuple(map(int, str(abs(total.numerator)))), -digits))


def combined(rows: Iterable[Sums], keys: Keys, start: datetime | None, currency: str) -> Sums:
    """The sums of all these rows, which share nothing; what was asked for by name is no sum, and is left out."""
    made = Sums(keys, start, currency)
    for row in rows:
        for name in ADDITIVE:
            setattr(made, name, getattr(made, name) + getattr(row, name))
        for cause, atto in row.waste.items():
            made.waste[cause] += atto
        for kind, tokens in row.tokens.items():
            made.tokens[kind] = added((made.tokens[kind], tokens))
    return made


def without(whole: Sums, rows: Iterable[Sums], keys: Keys) -> Sums:
    """What is left of sums without those of rows that are a part of it."""
    part = combined(rows, whole.keys, whole.start, whole.currency)
    left = combined((whole,), keys, whole.start, whole.currency)
    for name in ADDITIVE:
        setattr(left, name, getattr(left, name) - getattr(part, name))
    left.waste = {cause: atto - part.waste[cause] for cause, atto in whole.waste.items()}
    left.tokens = {kind: added((tokens, -part.tokens[kind])) for kind, tokens in whole.tokens.items()}
    return left


def first_keys(rows: Iterable[Sums], n: int) -> dict[str, list[Keys]]:
    """The keys of the `n` dearest rows of each currency, over all stretches of time."""
    whole: dict[str, dict[Keys, int]] = {}
    for row in rows:
        mine = whole.setdefault(row.currency, {})
        mine[row.keys] = mine.get(row.keys, 0) + row.atto
    return {
        currency: sorted(mine, key=lambda keys: (-mine[keys], _in_order(keys)))[:n] for currency, mine in whole.items()
    }


def with_other(rows: Sequence[Sums], kept: Mapping[str, Collection[Keys]]) -> list[Sums]:
    """The rows of these keys, and for each currency and stretch of time one more, `Other`, for all the others.

    It closes the sums: in each measure that adds up the rows have the same total as before. `others` says how many it
    is of. What is no sum, it has not.
    """
    apart = {currency: frozenset(keys) for currency, keys in kept.items()}
    stay: list[Sums] = []
    rest: dict[tuple[datetime | None, str], list[Sums]] = {}
    for row in rows:
        if row.keys in apart.get(row.currency, ()):
            stay.append(row)
        else:
            rest.setdefault((row.start, row.currency), []).append(row)
    for key, some in rest.items():
        closing = combined(some, (OTHER,) * len(some[0].keys), *key)
        closing.others = sum(row.others or 1 for row in some)
        stay.append(closing)
    return in_order(stay)


def summed(
    query: Query, groups: Iterable[AlikeEntries], values: Mapping[str, Mapping[RowKey, Weights | Listed]] | None = None
) -> list[Sums]:
    """The answer to a question from what a store found, the dearest first, with the values of each measure asked for.

    By `meter` the amounts add up to the total, and a call counts with each of its meters; None is what no meter
    explains, such as a cost that the provider reported.
    """
    at = query.group_by.index(METER) if METER in query.group_by else None
    made: dict[RowKey, Sums] = {}

    def of(keys: Keys, group: AlikeEntries) -> Sums:
        key = (keys, group.start, group.currency)
        found = made.get(key)
        if found is None:
            found = made[key] = Sums(*key)
        return found

    for group in groups:
        if at is None:
            sums = of(group.keys, group)
            sums.count(group)
            sums.add(group, group.atto if group.is_known else None)
            sums.add_tokens(group.parts)
            sums.bound(group)
            if group.chargeable == "yes":
                sums.unpriced += group.n if group.charge_status == "unpriced" else 0
                sums.partial += group.n if group.charge_status == "partial" else 0
            continue
        for meter, parts in _by_meter(group).items():
            sums = of((*group.keys[:at], meter, *group.keys[at + 1 :]), group)
            sums.count(group)
            sums.bound(group, by_meter=True)
            sums.add_tokens(part for part in parts if meter is not None)
            for part in parts:
                sums.add(group, part.atto)
            if group.chargeable == "yes":
                sums.unpriced += group.n if any(part.atto is None for part in parts) else 0
                is_partial = group.charge_status == "partial" and any(part.atto is not None for part in parts)
                sums.partial += group.n if is_partial else 0
    rows = [sums for sums in made.values() if sums.attempts or sums.atto]
    for measure, some in (values or {}).items():
        _put_values(measure, some, rows)
    return in_order(rows)


def _put_values(measure: str, values: Mapping[RowKey, Weights | Listed], rows: Sequence[Sums]) -> None:
    """Fill in what is no sum."""
    for row in rows:
        weights = values.get((row.keys, row.start, row.currency), {})
        if isinstance(weights, Listed):
            row.latency_ns = weights.quantiles()
            continue
        if measure == "runs":  # the value of each is whether it has ended well
            row.runs, row.completed_runs = sum(weights.values()), weights.get(1, 0)
            continue
        if measure == "latency":
            row.latency_ns = quantiles(weights)
        else:
            row.units, row.cost_each = sum(weights.values()), quantiles(weights)


def in_order(rows: Iterable[Sums]) -> list[Sums]:
    """Rows by time, the dearest first, and those of all others last."""
    return sorted(rows, key=_order)


def _order(row: Sums) -> tuple[Any, ...]:
    start = row.start.timestamp() if row.start is not None else 0
    return (start, bool(row.others), -row.atto, _in_order(row.keys), row.currency)


def _in_order(keys: Keys) -> list[tuple[bool, str]]:
    return [(key is None, key or "") for key in keys]


def _by_meter(group: AlikeEntries) -> dict[str | None, list[Part]]:
    """Its lines by meter, as far as they explain its amount.

    A provider's own cost replaces what its lines come to, so it is not theirs to divide; nor is an amount that a
    process has told a collector without a card the collector has.
    """
    explained = [part for part in group.parts if part.atto is not None]
    if group.charge_status == "provider_reported":
        found: Sequence[Part] = ()
    elif not group.is_known or (group.charge_status == "partial" and explained):
        found = group.parts
    else:
        found = explained
    if not found:
        return {None: [Part("", 0, group.atto if group.is_known else None)]}
    by_meter: dict[str | None, list[Part]] = {}
    for part in found:
        by_meter.setdefault(part.meter, []).append(part)
    return by_meter
