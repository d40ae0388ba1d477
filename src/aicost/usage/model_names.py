"""Whether two names can be one model's: `gpt-4o` and `openai/gpt-4o-2024-08-06` can, `gpt-4o` and `gpt-4o-mini` not."""

from __future__ import annotations

import re
from typing import NamedTuple

from aicost._bounded import remembered

from .providers import LONGEST, PROVIDERS, REMEMBERED, find_provider, served_by

_UNKNOWN = frozenset({"", "unknown", "none"})
_ROUTERS = tuple(row.name for row in PROVIDERS if row.routes)
_ORIGINS = tuple(re.compile(row.model_origins) for row in PROVIDERS if row.model_origins is not None)
_SPELLINGS = tuple(pair for row in PROVIDERS for pair in row.model_spellings)
_REVISION = re.compile(r"-v?(\d+(?:\.\d+)?):\d+$|-v(\d+(?:\.\d+)?)$|:\d+$")
_DATE = re.compile(
    r"[-@](\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{8}|\d{6}|\d{4}|\d{3})$|(?<=-preview)-(\d{2}-\d{2})$|(?<=-exp)-(\d{2}-\d{2})$"
)
_ANY = re.compile(r"[-@:](?:latest|default)$")
"""What says no more than that it is whichever snapshot there is."""


class _Identity(NamedTuple):
    """A model's name in its parts: what it is, and which snapshot and revision of that, where it says so."""

    stem: str
    date: str | None
    revision: str | None


def same_model(one: str | None, other: str | None) -> bool:
    """Whether two observers of a call may mean one model; a name that is not known fits all.

    They may where the names are equal but for prefixes and case, or one is a dated, numbered or latest snapshot of the
    other. Two different snapshots are two models.

    >>> same_model("claude-haiku-4-5", "us.anthropic.claude-haiku-4-5-20251001-v1:0"), same_model("o3", "o3-pro")
    (True, False)
    """
    if one is None or other is None or one == other:
        return True
    return len(one) <= LONGEST and len(other) <= LONGEST and _same(one, other)


@remembered(REMEMBERED)
def _same(one: str, other: str) -> bool:
    mine, others = _identity(one), _identity(other)
    if mine is None or others is None:
        return True
    return mine.stem == others.stem and all(
        a is None or b is None or a == b for a, b in zip(mine[1:], others[1:], strict=True)
    )


def _identity(name: str) -> _Identity | None:
    model = _bare(name.lower())
    if model in _UNKNOWN:
        return None
    parts: dict[str, str | None] = {"date": None, "revision": None}
    while True:
        if (found := _ANY.search(model)) is not None:
            pass
        elif (found := _DATE.search(model)) is not None and parts["date"] is None:
            parts["date"] = next(filter(None, found.groups())).replace("-", "")
        elif (found := _REVISION.search(model)) is not None and parts["revision"] is None:
            parts["revision"] = found.group(1) or found.group(2)
        if found is None or found.start() == 0:
            return _Identity(model, parts["date"], parts["revision"])
        model = model[: found.start()]


def _bare(model: str) -> str:
    """A model's name without whose it is, where it is and who serves it."""
    model = model.partition("#")[0].rstrip("/")
    for router in _ROUTERS:
        _, model = served_by(router, model)
    model = model.rpartition("/")[2]
    head, colon, rest = model.partition(":")
    if colon and find_provider(head) is not None and not rest.isdigit():
        model = rest
    for origin in _ORIGINS:
        if (found := origin.match(model)) is not None:
            model = model[found.end() :]
            break
    for theirs, ours in _SPELLINGS:
        if model.startswith(theirs):
            model = ours + model[len(theirs) :]
    return model
