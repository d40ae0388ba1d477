"""Checking a rate-card file: its shape, and that no two rates claim the same request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from aicost._errors import RateCardError

from .card import SCHEMA, rate_id
from .rates import parse_instant


def _price(text: str) -> str:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a decimal number") from None
    if not value.is_finite() or value < 0:
        raise ValueError(f"{text!r} is not a price; write a number of at least 0")
    return text


def _factor(text: str) -> str:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is not a factor; write 1/2, 11/10 or 0.5") from None
    if value < 0:
        raise ValueError(f"{text!r} is negative")
    return text


def _instant(text: str) -> str:
    parse_instant(text)
    return text


Price = Annotated[str, AfterValidator(_price)]
Factor = Annotated[str, AfterValidator(_factor)]
Instant = Annotated[str, AfterValidator(_instant)]
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
    timezone: Name = "UTC"


class _Axes(_Strict):
    service_tier: Values | None = None
    region: Values | None = None
    speed: Values | None = None


class _When(_Axes):
    context: _Context | None = None
    window: _Window | None = None


class _RateEntry(_Strict):
    meter: Name
    price: Price
    per: int = Field(gt=0)
    currency: Currency | None = None
    when: _When | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    source: Name | None = None
    checked: Instant | None = None
    note: Name | None = None


class _ModifierEntry(_Strict):
    id: Name
    multiply: Factor
    meters: Values
    when: _Axes
    note: Name | None = None
    source: Name | None = None
    checked: Instant | None = None


class _ModelEntry(_Strict):
    model: Name
    aliases: list[Name] = []
    patterns: list[Name] = []
    source: Name | None = None
    checked: Instant | None = None
    note: Name | None = None
    modifiers: list[_ModifierEntry] = []
    rates: list[_RateEntry]


class _ProviderEntry(_Strict):
    provider: Name
    source: Name
    checked: Instant
    note: Name | None = None
    modifiers: list[_ModifierEntry] = []
    rates: list[_RateEntry] = []
    models: list[_ModelEntry]


class RateCardFile(_Strict):
    """The file form of a rate card; the published JSON Schema is made from it."""

    schema_: Literal["aicost.rate-card/1"] = Field(alias="schema")
    id: Name
    version: Name
    currency: Currency
    extends: Literal["bundled"] | None = None
    note: Name | None = None
    providers: list[_ProviderEntry]


def check_document(document: object, text: str, file: str) -> None:
    """Raise `RateCardError` naming the file, the line and the field of the first things wrong in a card."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise RateCardError(f'{file}: not a rate card: "schema" must be "{SCHEMA}", found {found!r}')
    try:
        RateCardFile.model_validate(document)
    except ValidationError as error:
        raise RateCardError("\n".join(_shape_problems(error, document, text, file))) from None
    problems = [f"{file}:{_line(text, path)}: {problem}" for path, problem in _conflicts(document)]
    if problems:
        raise RateCardError("\n".join(problems))


def _shape_problems(error: ValidationError, document: Mapping[str, Any], text: str, file: str) -> Iterator[str]:
    for problem in error.errors()[:10]:
        path = problem["loc"]
        field = ".".join(str(part) for part in path)
        message = problem["msg"].removeprefix("Value error, ")
        about = _owner(document, path)
        yield f"{file}:{_line(text, path)}: {field}{about}: {message}"


def _conflicts(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    seen_providers: set[str] = set()
    for p, provider in enumerate(document["providers"]):
        name = provider["provider"]
        if name in seen_providers:
            yield ("providers", p), f"provider {name!r} stands twice; put its models together"
        seen_providers.add(name)
        owners: dict[str, str] = {}
        for m, model in enumerate(provider["models"]):
            path = ("providers", p, "models", m)
            for alias in (model["model"], *model.get("aliases", ())):
                if alias.lower() in owners:
                    yield path, f"{name}: {alias!r} names both {owners[alias.lower()]!r} and {model['model']!r}"
                owners[alias.lower()] = model["model"]
            yield from _rate_conflicts(path, name, model, document["currency"])
        yield from _rate_conflicts(("providers", p), name, {"model": "*", **provider}, document["currency"])


def _rate_conflicts(
    path: tuple[str | int, ...], provider: str, model: Mapping[str, Any], currency: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    rates = list(enumerate(model.get("rates", ())))
    currencies = {rate.get("currency", currency) for _, rate in rates}
    if len(currencies) > 1:
        yield path, f"{provider}/{model['model']}: rates in {' and '.join(sorted(currencies))}; use one currency"
    for index, rate in rates:
        context = rate.get("when", {}).get("context")
        if context and context["scope"] == "marginal" and context["basis"] != [rate["meter"]]:
            yield (*path, "rates", index), f"{rate['meter']}: a marginal threshold must count that meter alone"
        start, end = _validity(rate)
        if start >= end:
            yield (*path, "rates", index), f"{rate['meter']}: valid_from is not before valid_to"
    for (_, one), (index, other) in combinations(rates, 2):
        if one["meter"] == other["meter"] and _same_request(one, other) and _overlap(one, other):
            names = f"{rate_id(provider, model['model'], one)} and {rate_id(provider, model['model'], other)}"
            yield (
                (*path, "rates", index),
                f"overlapping rates: {names} hold for the same request; end one with valid_to",
            )


def _same_request(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    a, b = one.get("when", {}), other.get("when", {})
    for axis in ("service_tier", "region", "speed"):
        if (axis in a) != (axis in b):
            return False
        if axis in a and not set(a[axis]) & set(b[axis]):
            return False
    threshold = [when.get("context") and (when["context"]["value"], when["context"]["op"]) for when in (a, b)]
    return threshold[0] == threshold[1] and a.get("window") == b.get("window")


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    (start_a, end_a), (start_b, end_b) = _validity(one), _validity(other)
    return start_a < end_b and start_b < end_a


def _validity(rate: Mapping[str, Any]) -> tuple[float, float]:
    start, end = rate.get("valid_from"), rate.get("valid_to")
    return (parse_instant(start) if start else float("-inf")), (parse_instant(end) if end else float("inf"))


def _owner(document: Mapping[str, Any], path: tuple[str | int, ...]) -> str:
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


def _line(text: str, path: tuple[str | int, ...]) -> int:
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
