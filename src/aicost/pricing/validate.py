"""Checking a rate-card file: its shape, and that no two rates claim the same request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from aicost._errors import RateCardError
from aicost.usage.reading import is_sane

from .card_format import SCHEMA, specificity
from .models import rate_id
from .rates import expand, parse_instant

_Raw = Mapping[str, Any]
_Path = tuple[str | int, ...]
_MOST_PROBLEMS = 10


_FACTOR = re.compile(r"\d{1,30}(\.\d{1,30}|/\d{1,30})?")


def _price(text: str) -> str:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a decimal number") from None
    if not is_sane(value):
        raise ValueError(f"{text!r} is not a price; write a number from 0, with at most 60 places")
    return text


def _factor(text: str) -> str:
    if not _FACTOR.fullmatch(text) or (text.rpartition("/")[2].strip("0") == "" and "/" in text):
        raise ValueError(f"{text!r} is not a factor; write 1/2, 11/10 or 0.5")
    return text


def _instant(text: str) -> str:
    parse_instant(text)
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if text != "UTC":  # a system without time zones still knows that one
            raise ValueError(f"{text!r} is no time zone that this system knows; write one like Europe/Berlin") from None
    return text


def _positive(text: str) -> str:
    if Fraction(_factor(text)) == 0:
        raise ValueError(f"{text!r} is zero")
    return text


PriceText = Annotated[str, AfterValidator(_price)]
Factor = Annotated[str, AfterValidator(_factor)]
Instant = Annotated[str, AfterValidator(_instant)]
Amount = Annotated[str, AfterValidator(_factor)]
Positive = Annotated[str, AfterValidator(_positive)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Name = Annotated[str, Field(min_length=1)]
Values = Annotated[list[Name], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Context(_Strict):
    basis: Values
    op: Literal["gt", "ge"]
    value: int = Field(gt=0)
    scope: Literal["cliff", "marginal"]


class _Window(_Strict):
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = None
    start: Clock
    end: Clock
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"


class _Axes(_Strict):
    service_tier: Values | None = None
    region: Values | None = None
    speed: Values | None = None


class _When(_Axes):
    context: _Context | None = None
    window: _Window | None = None


class _Dated(_Strict):
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    source: Name | None = None
    checked: Instant | None = None
    note: Name | None = None


class _Rented(_Strict):
    """What one unit costs on a rented machine."""

    hourly: Amount
    utilisation: Positive = "1"
    units_per_hour: Positive


class _Owned(_Strict):
    """What one unit costs on a machine of one's own."""

    capex: Amount
    salvage: Amount = "0"
    lifetime_hours: Positive
    utilisation: Positive = "1"
    power_kw: Amount = "0"
    pue: Positive = "1"
    energy_price: Amount = "0"
    opex_per_hour: Amount = "0"
    units_per_hour: Positive


class _RateEntry(_Dated):
    meter: Name
    price: PriceText | None = None
    built: _Rented | _Owned | None = None
    per: int = Field(gt=0)
    currency: Currency | None = None
    when: _When | None = None
    attested_from: Instant | None = Field(
        default=None,
        description="The price was another one before, and nobody knows which: earlier calls are estimated.",
    )

    @model_validator(mode="after")
    def _has_one_price(self) -> _RateEntry:
        if (self.price is None) == (self.built is None):
            raise ValueError("a rate has either a price or is built from what a machine costs")
        return self


class _ModifierEntry(_Dated):
    id: Annotated[str, Field(pattern=r"^[^*+]+$")]
    multiply: Factor
    meters: Values
    when: _Axes = _Axes()


class _Tier(_Strict):
    start: int = Field(ge=0)
    price: PriceText


class _TermEntry(_Dated):
    id: Name
    kind: Literal["allowance", "graduated", "volume", "minimum", "seat"]
    period: Literal["day", "month", "year"] = "month"
    currency: Currency | None = None
    meters: Values | None = None
    models: Values | None = None
    quantity: int = Field(default=0, ge=0)
    price: PriceText | None = None
    per: int = Field(default=1, gt=0)
    tiers: list[_Tier] | None = None

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> _TermEntry:
        needed = {"allowance": ("meters", "quantity"), "minimum": ("price",), "seat": ("price",)}
        for field in needed.get(self.kind, ("meters", "tiers")):
            if not getattr(self, field):
                raise ValueError(f"a term of kind {self.kind!r} needs {field}")
        starts = [tier.start for tier in self.tiers or ()]
        if starts and (starts[0] != 0 or starts != sorted(set(starts))):
            raise ValueError(f"tiers must start at 0 and rise, not {starts}")
        return self


class _ExchangeEntry(_Strict):
    base: Currency
    quote: Currency
    price: Positive
    source: Name
    checked: Instant
    valid_from: Instant | None = None
    valid_to: Instant | None = None


class _ModelEntry(_Strict):
    model: Annotated[str, Field(pattern=r"^[^@*+]+$")]
    aliases: list[Name] = []
    patterns: list[Name] = []
    source: Name | None = None
    checked: Instant | None = None
    note: Name | None = None
    modifiers: list[_ModifierEntry] = []
    rates: list[_RateEntry] = []


class ProviderFile(_Strict):
    """One provider of a card, which in a card's folder has a file of its own."""

    provider: Name
    source: Name
    checked: Instant
    note: Name | None = None
    modifiers: list[_ModifierEntry] = []
    rates: list[_RateEntry] = []
    terms: list[_TermEntry] = []
    models: list[_ModelEntry] = []


class RateCardFile(_Strict):
    """The file form of a rate card; the published JSON Schema is made from it."""

    schema_: Literal["aicost.rate-card/1"] = Field(alias="schema")
    id: Name
    version: Name
    currency: Currency
    extends: Name | None = Field(default=None, description='"bundled", or the path of a card this one lies over.')
    note: Name | None = None
    fx: list[_ExchangeEntry] = []
    providers: list[ProviderFile] = []


def check_document(document: object, text: str, file: str) -> None:
    """Raise `RateCardError` naming the file, the line and the field of the first things wrong in a card."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise RateCardError(f'{file}: not a rate card: "schema" must be "{SCHEMA}", found {found!r}')
    _check(RateCardFile, document, text, file, lambda: _conflicts(document))


def check_provider(entry: object, text: str, file: str, currency: str) -> None:
    """The same for the file of one provider in a card's folder."""
    _check(ProviderFile, entry, text, file, lambda: _provider_conflicts((), cast("_Raw", entry), currency))


def _check(
    model: type[BaseModel],
    data: object,
    text: str,
    file: str,
    conflicts: Callable[[], Iterable[tuple[_Path, str]]],
) -> None:
    try:
        model.model_validate(data)
    except ValidationError as error:
        raise RateCardError("\n".join(_shape_problems(error, data, text, file))) from None
    problems = [f"{file}:{_line(text, path)}: {problem}" for path, problem in conflicts()]
    if problems:
        raise RateCardError("\n".join(problems[:_MOST_PROBLEMS]))


def _shape_problems(error: ValidationError, document: object, text: str, file: str) -> Iterator[str]:
    for problem in error.errors()[:_MOST_PROBLEMS]:
        path = problem["loc"]
        field = ".".join(str(part) for part in path)
        message = problem["msg"].removeprefix("Value error, ")
        about = _owner(document, path)
        yield f"{file}:{_line(text, path)}: {field}{about}: {message}"


def _conflicts(document: _Raw) -> Iterator[tuple[_Path, str]]:
    seen: set[str] = set()
    for p, provider in enumerate(document.get("providers", ())):
        name = provider["provider"]
        if name in seen:
            yield ("providers", p), f"provider {name!r} stands twice; put its models together"
        seen.add(name)
        yield from _provider_conflicts(("providers", p), provider, document["currency"], fx=bool(document.get("fx")))


def _provider_conflicts(path: _Path, provider: _Raw, currency: str, *, fx: bool = False) -> Iterator[tuple[_Path, str]]:
    name = provider["provider"]
    owners: dict[str, str] = {}
    for m, model in enumerate(provider.get("models", ())):
        here = (*path, "models", m)
        for alias in (model["model"], *model.get("aliases", ())):
            if alias.lower() in owners:
                yield here, f"{name}: {alias!r} names both {owners[alias.lower()]!r} and {model['model']!r}"
            owners[alias.lower()] = model["model"]
        yield from _rate_conflicts(here, name, model, currency, fx=fx)
    yield from _rate_conflicts(path, name, {"model": "*", **provider}, currency, fx=fx)
    yield from _pattern_conflicts(path, provider)
    yield from _term_conflicts(path, provider)


def _pattern_conflicts(path: _Path, provider: _Raw) -> Iterator[tuple[_Path, str]]:
    """Patterns of two models that pin down equally much and can both match one name."""
    groups: dict[int, list[tuple[int, str, str]]] = {}
    for m, model in enumerate(provider.get("models", ())):
        for pattern in model.get("patterns", ()):
            groups.setdefault(specificity(pattern), []).append((m, model["model"], pattern.lower()))
    for group in groups.values():
        for (_, one, a), (m, other, b) in combinations(group, 2):
            if one != other and meet(a, b):
                yield (*path, "models", m), f"{a!r} of {one!r} and {b!r} of {other!r} match the same names equally well"


def meet(one: str, other: str) -> bool:
    """Whether some name matches both patterns.

    With one that begins with a `*` almost any other has a name in common, made of both; they count as meeting only if
    what they name meets. A name that two such patterns match after all is not found, rather than priced as either.
    """
    if "*" in {one[:1], other[:1]}:
        one, other = one.strip("*"), other.strip("*")
    return _meet(one, other)


@lru_cache(maxsize=65536)
def _meet(one: str, other: str) -> bool:
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return _meet(one[1:], other) or _meet(one, other[1:])
    if other[0] == "*":
        return _meet(other, one)
    return one[0] == other[0] and _meet(one[1:], other[1:])


def _term_conflicts(path: _Path, provider: _Raw) -> Iterator[tuple[_Path, str]]:
    terms = list(enumerate(provider.get("terms", ())))
    ids = [term["id"] for _, term in terms]
    for index, term in terms:
        if ids.index(term["id"]) != index:
            yield (*path, "terms", index), f"term {term['id']!r} stands twice"
    by_quantity = [(i, t) for i, t in terms if t["kind"] in {"allowance", "graduated", "volume"}]
    for (_, one), (index, other) in combinations(by_quantity, 2):
        shared = set(expand(one["meters"])) & set(expand(other["meters"]))
        models = (set(one.get("models", ())), set(other.get("models", ())))
        same_models = not (models[0] and models[1]) or bool(models[0] & models[1])
        if shared and same_models and _overlap(one, other):
            message = (
                f"{one['id']!r} and {other['id']!r} both price {', '.join(sorted(shared))}; a free first tier does it"
            )
            yield (*path, "terms", index), message


def _rate_conflicts(path: _Path, provider: str, model: _Raw, currency: str, *, fx: bool) -> Iterator[tuple[_Path, str]]:
    rates = list(enumerate(model.get("rates", ())))
    currencies = {rate.get("currency", currency) for _, rate in rates}
    if len(currencies) > 1 and not fx:
        yield path, f"{provider}/{model['model']}: rates in {' and '.join(sorted(currencies))}; use one, or give fx"
    by_meter: dict[str, list[tuple[int, _Raw]]] = {}
    for index, rate in rates:
        context = rate.get("when", {}).get("context")
        if context and context["scope"] == "marginal" and context["basis"] != [rate["meter"]]:
            yield (*path, "rates", index), f"{rate['meter']}: a marginal threshold must count that meter alone"
        start, end = _validity(rate)
        if start >= end:
            yield (*path, "rates", index), f"{rate['meter']}: valid_from is not before valid_to"
        if "attested_from" in rate and not start < parse_instant(rate["attested_from"]) < end:
            problem = f"{rate['meter']}: attested_from is not between valid_from and valid_to"
            yield (*path, "rates", index), problem
        by_meter.setdefault(rate["meter"], []).append((index, rate))
    for same in by_meter.values():
        for (_, one), (index, other) in combinations(same, 2):
            if _same_request(one, other) and _overlap(one, other):
                names = f"{rate_id(provider, model['model'], one)} and {rate_id(provider, model['model'], other)}"
                message = f"overlapping rates: {names} hold for the same request; end one with valid_to"
                yield (*path, "rates", index), message


def _same_request(one: _Raw, other: _Raw) -> bool:
    a, b = one.get("when", {}), other.get("when", {})
    for axis in ("service_tier", "region", "speed"):
        if (axis in a) != (axis in b):
            return False
        if axis in a and not set(a[axis]) & set(b[axis]):
            return False
    threshold = [when.get("context") and (when["context"]["value"], when["context"]["op"]) for when in (a, b)]
    return threshold[0] == threshold[1] and a.get("window") == b.get("window")


def _overlap(one: _Raw, other: _Raw) -> bool:
    (start_a, end_a), (start_b, end_b) = _validity(one), _validity(other)
    return start_a < end_b and start_b < end_a


def _validity(rate: _Raw) -> tuple[float, float]:
    start, end = rate.get("valid_from"), rate.get("valid_to")
    return (parse_instant(start) if start else float("-inf")), (parse_instant(end) if end else float("inf"))


def _owner(document: object, path: _Path) -> str:
    """The provider and model a path lies in, because indexes alone tell a reader nothing."""
    names: list[str] = []
    node: Any = document
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(node, dict):
            names += [str(node[key]) for key in ("provider", "model", "meter", "id") if key in node][:1]
    return f" ({'/'.join(names)})" if names else ""


def _line(text: str, path: _Path) -> int:
    """The line of the file on which the value at `path` starts, found by walking the JSON text."""
    position = _skip(text, 0)
    for part in path:
        inner = _find(text, position, part)
        if inner is None:
            break
        position = inner
    return text.count("\n", 0, position) + 1


_LEXEME = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')


def _skip(text: str, position: int) -> int:
    match = _LEXEME.search(text, position)
    return match.start() if match else len(text)


def _find(text: str, position: int, part: str | int) -> int | None:
    """Where the member or item `part` of the container at `position` starts."""
    depth, index, key = 0, 0, None
    for match in _LEXEME.finditer(text, position):
        lexeme = match.group()
        if depth == 1 and lexeme not in ",]}":
            if isinstance(part, int) and index == part and lexeme != ":":
                return match.start()
            if isinstance(part, str) and key == part and lexeme != ":":
                return match.start()
            if isinstance(part, str) and key is None and lexeme.startswith('"'):
                key = lexeme[1:-1]
        if lexeme in "[{":
            depth += 1
        elif lexeme in "]}":
            depth -= 1
            if depth == 0:
                return None
        elif lexeme == "," and depth == 1:
            index, key = index + 1, None
    return None
