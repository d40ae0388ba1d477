"""What a period cost more or less than the one before it, and why: parts that add up to the change exactly."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import permutations
from math import floor
from typing import Literal, NamedTuple

from aicost.ledger.sums import added
from aicost.usage.meters import Quantity

Driver = Literal["calls", "tokens_per_call", "model_mix", "price", "retries", "other"]
DRIVERS: tuple[Driver, ...] = ("calls", "tokens_per_call", "model_mix", "price", "retries", "other")
"""Why an amount changes. `retries`: attempts that failed, were billed, and were made again. `other`: what was spent
where no call is counted."""

_FACTORS: tuple[Driver, ...] = ("calls", "tokens_per_call", "model_mix", "price")


class Volume(NamedTuple):
    """What one model did in a period: calls with their tokens and amount, and what attempts before them cost."""

    model: Hashable
    calls: int
    tokens: Quantity
    atto: int
    retries_atto: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """From one amount of a currency to another, in 1e-18, and by what. `drivers` add up to `after - before`."""

    currency: str
    before: int
    after: int
    drivers: Mapping[Driver, int]


def change(currency: str, before: Iterable[Volume], after: Iterable[Volume]) -> Change:
    """What led from the one to the other. What a model did may be told in several parts.

    Without retries an amount is calls x the share of each model in them x its tokens per call x its price of a token.
    How much each of these factors did depends on which is changed first, so each gets what it does on the average over
    all orders (its Shapley value): no order is preferred, what did not change did nothing, and the parts add up. All of
    it is done in rational numbers, and rounded once, to 1e-18, so that the parts still add up.
    """
    then, now = list(before), list(after)
    exact = shares_of_change(then, now)
    names = tuple(exact)
    whole = dict(zip(names, apportioned([exact[name] for name in names]), strict=True))
    return Change(currency, _amount(then), _amount(now), whole)


def shares_of_change(before: Sequence[Volume], after: Sequence[Volume]) -> dict[Driver, Fraction]:
    """The part of each driver in the change, exactly."""
    found: dict[Driver, Fraction] = dict.fromkeys(DRIVERS, Fraction(0))
    then, now = _by_model(before), _by_model(after)
    sides = [_Side(Fraction(sum(one.calls for one in mine.values() if _is_counted(one)))) for mine in (then, now)]
    for model in {**then, **now}:
        both = [mine.get(model, Volume(model, 0, 0, 0)) for mine in (then, now)]
        found["retries"] += both[1].retries_atto - both[0].retries_atto
        for sign, one in zip((-1, 1), both, strict=True):
            if not _is_counted(one):
                found["other"] += sign * one.atto
        counted = [one if _is_counted(one) else None for one in both]
        if counted != [None, None]:
            factors = _factors(counted)
            for n, side in enumerate(sides):
                # Of a period without calls there is no mix: it is the other's, and all that changed is the calls.
                at = n if side.calls else 1 - n
                side.models.append((factors[at][0] / sides[at].calls, *factors[n][1:]))
    values: dict[frozenset[Driver], Fraction] = {}

    def amount(changed: frozenset[Driver]) -> Fraction:
        if changed not in values:
            of: Callable[[Driver], _Side] = lambda factor: sides[factor in changed]  # noqa: E731
            mixed = zip(of("model_mix").models, of("tokens_per_call").models, of("price").models, strict=True)
            total = sum((mix[0] * tokens[1] * price[2] for mix, tokens, price in mixed), Fraction(0))
            values[changed] = of("calls").calls * total
        return values[changed]

    orders = list(permutations(_FACTORS))
    for order in orders:
        for n, factor in enumerate(order):
            found[factor] += (amount(frozenset(order[: n + 1])) - amount(frozenset(order[:n]))) / len(orders)
    return found


@dataclass(slots=True)
class _Side:
    """The factors of one period: calls, and for each model its share, tokens per call, and price of a token."""

    calls: Fraction
    models: list[tuple[Fraction, Fraction, Fraction]] = field(default_factory=list)


def _factors(both: Sequence[Volume | None]) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Calls, tokens per call, and price of a token, in both periods. What did nothing in one has the other's there.

    Where a model has no tokens in one of them (images, pages), a call stands for one in both.
    """
    has_tokens = all(one is None or one.tokens for one in both)
    made: list[tuple[Fraction, Fraction, Fraction] | None] = []
    for one in both:
        if one is None:
            made.append(None)
            continue
        tokens = Fraction(one.tokens) if has_tokens else Fraction(one.calls)
        made.append((Fraction(one.calls), tokens / one.calls, one.atto / tokens))
    known = next(one for one in made if one is not None)
    return [one if one is not None else (Fraction(0), *known[1:]) for one in made]


def _is_counted(one: Volume) -> bool:
    return one.calls > 0


def _by_model(volumes: Sequence[Volume]) -> dict[Hashable, Volume]:
    found: dict[Hashable, Volume] = {}
    for one in volumes:
        seen = found.get(one.model)
        if seen is not None:
            tokens, retries = added((seen.tokens, one.tokens)), seen.retries_atto + one.retries_atto
            found[one.model] = Volume(one.model, seen.calls + one.calls, tokens, seen.atto + one.atto, retries)
        else:
            found[one.model] = one
    return found


def _amount(volumes: Sequence[Volume]) -> int:
    return sum(one.atto + one.retries_atto for one in volumes)


def apportioned(shares: Sequence[Fraction]) -> list[int]:
    """Whole numbers that add up to what these do, rounded, each as near as can be: by largest remainder.

    What is whole already stays as it is. Of equal remainders the first is rounded up.

    >>> apportioned([Fraction(1, 3), Fraction(1, 3), Fraction(1, 3)])
    [1, 0, 0]
    """
    floors = [floor(share) for share in shares]
    left = round(sum(shares, Fraction(0))) - sum(floors)
    by_rest = sorted(range(len(shares)), key=lambda n: floors[n] - shares[n])
    for n in by_rest[:left]:
        floors[n] += 1
    return floors
