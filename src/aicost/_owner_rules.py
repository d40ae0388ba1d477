"""Owner rules: a dated table that says whose work is, where the work itself does not.

A row of `[[owners]]` in `aicost.toml` names what it is about (a feature, a credential, an account, a namespace, a
label) and whose that is, from one date to another. What the application said always stays. Pure: no clock, no files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from itertools import combinations
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from .semconv.dimensions import DIMENSIONS, LABEL

MAPPED = "mapped"
"""The evidence of an owner that a rule filled in."""


def _keys(source: str) -> tuple[str, ...]:
    return tuple(dimension.key for dimension in DIMENSIONS if dimension.source == source)


_OWNERS = _keys("owner")
_BILLED_TO = ("credential", "provider_project", "provider_organization")
"""What a provider bills by: the digest of a key, and a project and an organisation of the provider."""
_NEAREST = (*_OWNERS, *_keys("subject"), LABEL, *_BILLED_TO, *_keys("resource"))
"""What a rule may be about, the nearest to the work first: what the application says, before where it runs."""
_RANKS = {key: rank for rank, key in enumerate(_NEAREST)}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=timezone.utc), datetime(9999, 12, 31, tzinfo=timezone.utc)


def _as_date(said: Any) -> Any:
    """What is written like a date: a number would be one to pydantic (2.14), in seconds after 1970."""
    if isinstance(said, date) or (isinstance(said, str) and re.match(r"\d{4}-\d\d-\d\d", said)):
        return said
    raise ValueError("write it as a date, such as 2026-01-31, or as a time, in UTC unless it has an offset")


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]
_Moment = Annotated[datetime, BeforeValidator(_as_date), AfterValidator(_utc)]


class OwnerRule(BaseModel):
    """One row: what it is about, whose that is, from when to when. Its other fields are the owners that it fills in.

    >>> OwnerRule(match={"feature_id": "smart_search"}, team="search", since="2026-01-01").owners
    {'team': 'search'}
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, _Text]

    match: dict[str, _Text] = Field(min_length=1)
    """What it is about, all of it to be so: dimensions and labels by their keys, and what a provider bills by."""
    contact: _Text | None = None
    """Whom to ask about it."""
    since: _Moment | None = None
    """From then on; None for always. Days begin in UTC."""
    until: _Moment | None = None
    """Up to then, which is not in it; None for as long as there is no other."""

    @property
    def owners(self) -> Mapping[str, str]:
        """The owners that it fills in, by their keys."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _can_work(self) -> OwnerRule:
        for key in self.owners:
            if key not in _OWNERS:
                raise ValueError(f"{key!r} is no owner that a rule can fill in; known: {', '.join(_OWNERS)}, contact")
            if key in self.match:
                raise ValueError(f"{key!r} is what the rule is about: it cannot be filled in as well")
        for key in self.match:
            if (key not in _RANKS and not key.startswith(LABEL)) or key == LABEL:
                known = ", ".join(name for name in _NEAREST if name != LABEL)
                raise ValueError(f"match: {key!r} is unknown; known: {known}, {LABEL}KEY")
        if not self.owners and self.contact is None:
            raise ValueError("it says nothing: set a team or another owner, or a contact")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(f"until: {self.until:%Y-%m-%d %H:%M} is not after since, {self.since:%Y-%m-%d %H:%M}")
        return self


class MappedOwners(NamedTuple):
    """What a table says of a piece of work that it does not say itself, with the evidence `MAPPED`."""

    owners: Mapping[str, str]
    """Owners by their keys: none that the work has already."""
    contact: str | None
    rules: tuple[int, ...]
    """The rows that say so, by their place in the table."""


class OwnerTable:
    """Rules, found by what they are about. What is nearest to the work wins, owner by owner; see docs/ownership.md.

    Which of two rows is written first makes no difference. Raises ValueError for two that contradict each other.
    """

    def __init__(self, rules: Sequence[OwnerRule]) -> None:
        unambiguous(rules)
        self._rules = tuple(rules)
        found: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
        for place, rule in enumerate(rules):
            keys = tuple(sorted(rule.match, key=_rank))
            found[keys][tuple(rule.match[key] for key in keys)].append(place)
        self._found = [(keys, dict(found[keys])) for keys in sorted(found, key=_nearness)]
        self._times = [(_ns(rule.since or _EARLIEST), _ns(rule.until or _LATEST)) for rule in rules]

    def mapped(self, known: Mapping[str, str | None], at_ns: int) -> MappedOwners:
        """What the rules in force at that time, in nanoseconds since 1970, say of work with these fields.

        `known` are the keys of an attribution, and `credential`, `provider_project` and `provider_organization`.

        >>> OwnerTable([OwnerRule(match={"label:app": "faq"}, team="search")]).mapped({"label:app": "faq"}, 0).owners
        {'team': 'search'}
        """
        owners: dict[str, str] = {}
        contact = None
        used = set()
        for keys, by_values in self._found:
            for place in by_values.get(tuple([known.get(key) or "" for key in keys]), ()):
                since, until = self._times[place]
                if not since <= at_ns < until:
                    continue
                rule = self._rules[place]
                new = {key: value for key, value in rule.owners.items() if not known.get(key) and key not in owners}
                owners |= new
                if new or (contact is None and rule.contact is not None):
                    used.add(place)
                contact = contact or rule.contact
        return MappedOwners(owners, contact, tuple(sorted(used)))


def unambiguous(rules: Sequence[OwnerRule]) -> Sequence[OwnerRule]:
    """The rules themselves. Raises ValueError if two of them say different things of the same at one time."""
    same: dict[frozenset[tuple[str, str]], list[int]] = defaultdict(list)
    for place, rule in enumerate(rules):
        same[frozenset(rule.match.items())].append(place)
    for places in same.values():
        for one, two in combinations(places, 2):
            _compare(one, rules[one], two, rules[two])
    return rules


def _compare(one: int, first: OwnerRule, two: int, second: OwnerRule) -> None:
    since = max(first.since or _EARLIEST, second.since or _EARLIEST)
    until = min(first.until or _LATEST, second.until or _LATEST)
    if since >= until:
        return
    for name, value in _said(first).items():
        other = _said(second).get(name, value)
        if other != value:
            about = ", ".join(f"{key}={said}" for key, said in sorted(first.match.items()))
            when = "always" if since == _EARLIEST else f"from {since:%Y-%m-%d}"
            raise ValueError(
                f"owners.{one} and owners.{two}: {name} of {about} is {value!r} and {other!r} {when}; "
                "end one of them with until"
            )


def _said(rule: OwnerRule) -> Mapping[str, str]:
    return rule.owners if rule.contact is None else {**rule.owners, "contact": rule.contact}


def _rank(key: str) -> tuple[int, str]:
    return _RANKS.get(key, _RANKS[LABEL]), key


def _nearness(keys: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """What rules about these keys are sorted by: by the nearest of them, and then those that name more."""
    return (*map(_rank, keys), (len(_RANKS), ""))


def _ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


OwnerRules = Annotated[tuple[OwnerRule, ...], AfterValidator(unambiguous)]
"""The setting `owners`: rules of which no two contradict each other."""
