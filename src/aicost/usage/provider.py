"""What there is to say of a provider: its names and places, and how each of its APIs reports usage.

Each provider says it in a file of `providers/`, and nothing else knows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .reading import Fields, Raw, Reading
from .streams import StreamAccumulator

Counting = Literal["inclusive", "exclusive"]
HeaderMeaning = Literal["organization", "project", "request_id", "gateway_call_id", "key", "cache", "cache_key"]
"""What a header tells: a field of an `Origin`, an API key, or whether a cache answered (`HIT`), or under which key."""

_DEFAULT_TIERS = frozenset({"default", "standard", "auto"})
"""Everybody's words for the default service tier."""
_TIERS = {"fast": "priority"}
"""OpenAI serves the one as the other, and says the other."""
_NO_REGIONS = frozenset({"global"})
"""Everybody's words for no place in particular."""

_SIGNS = re.compile(r"[^a-z0-9]+")


def as_word(name: str) -> str:
    """A name in the form that names are compared in.

    >>> as_word("Azure-OpenAI"), as_word("azure.openai")
    ('azure_openai', 'azure_openai')
    """
    return _SIGNS.sub("_", name.lower()).strip("_")


def common_tier(word: str) -> str | None:
    """A word for a service tier as all have it; None for everybody's default one."""
    lower = word.lower()
    return None if lower in _DEFAULT_TIERS else _TIERS.get(lower, word)


def common_region(place: str) -> str | None:
    """A place as all have it; None for no place in particular."""
    return None if as_word(place) in _NO_REGIONS else place


@dataclass(frozen=True, slots=True)
class UsageReader:
    """How one API reports usage, and how it is read."""

    read: Callable[[Raw], Reading]
    """From the usage object to a reading; with what the call cost, where the provider says that in a way of its own."""
    input: Counting = "inclusive"
    """Whether the API's input count has cached tokens in it."""
    output: Counting = "inclusive"
    """Whether the API's output count has reasoning tokens in it."""
    found_at: tuple[str, ...] = ("usage",)
    """The names under which a response may hold the usage; none when the reader takes the response itself."""
    fees: Callable[[Raw], Reading] | None = None
    """What a response bills beside its usage: tool calls, searches."""
    inner: Callable[[Raw], Raw | None] | None = None
    """The response inside a line of results, which has the id and the model."""
    by_model: bool = False
    """Whether what is billed depends on the model, which the response does not name."""
    fields: Fields | None = None
    """What it knows of the usage object; None where that is another reader's, or depends on the model."""
    stream: type[StreamAccumulator] | None = None
    """What collects its stream; None for one that is not streamed."""
    told_by: frozenset[str] = frozenset()
    """Fields of the usage object that tell which API it is of, where nobody says."""
    called: str | None = None
    """What a whole response says it is, as its `type` or `object`."""


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """One who sends a bill of its own.

    Names are compared as words: in lower case, with every other sign taken for `_`. So `aliases` need only one
    spelling of `azure-openai`, `azure.openai` and `Azure OpenAI`.

    >>> acme = Provider("acme_cloud", aliases=("acme",), hosts=("api.acme.example",), default_tiers=("ordinary",))
    >>> acme.tier("ordinary"), acme.tier("flex")
    (None, 'flex')
    """

    name: str
    """As events and rate cards have it: OpenTelemetry's `gen_ai.provider.name` where there is one."""
    aliases: tuple[str, ...] = ()
    """What clients, frameworks, spans, gateways and price lists call it, and nobody else."""
    loosely: tuple[str, ...] = ()
    """What some call it and others beside it, of one file all. The first in it is the one that is priced."""
    begin: tuple[str, ...] = ()
    """How names begin that all mean it: litellm has one for each of Vertex AI's families of models."""
    hosts: tuple[str, ...] = ()
    """Where it answers; one `*` is any part of a name."""
    ports: tuple[int, ...] = ()
    """Where its server listens on one's own machine, unless it is told otherwise."""
    default_tiers: tuple[str, ...] = ()
    """Its own words for its default service tier, beside those that everybody uses."""
    no_regions: tuple[str, ...] = ()
    """Places that cost what no place in particular costs, beside those of everybody."""
    models: str | None = None
    """A pattern of how its own models' names begin, by which they are known where nobody says who serves them."""
    model_prefixes: tuple[str, ...] = ()
    """What the names of its models begin with in full, and often without."""
    model_origins: str | None = None
    """A pattern of what it writes before the names of others' models: where one is served, and whose it is."""
    model_spellings: tuple[tuple[str, str], ...] = ()
    """How it spells the beginnings of names, and how their makers do."""
    profiles: tuple[str, ...] = ()
    """How a model's name begins that says where it is served, so that the region called changes nothing."""
    routes: tuple[str, ...] = ()
    """Those it passes calls on to, each at a price of its own: the provider `{name}_{route}`."""
    priced_with: tuple[str, ...] = ()
    """Whose price lists hold as well for what it serves and its own list lacks: the same seller's."""
    request_headers: Mapping[str, HeaderMeaning] = field(default_factory=dict)
    """Headers of its own in requests, in lower case, and what they tell."""
    response_headers: Mapping[str, HeaderMeaning] = field(default_factory=dict)
    """Headers of its own in responses, in lower case, and what they tell."""
    weak_ids: bool = False
    """Whether the ids of its responses come again, so that they are evidence of nothing."""
    cache_lives: bool = False
    """Whether writing to its cache costs by how long it is kept there."""
    spoken_by_others: bool = False
    """Whether servers of others answer its API, so that its client says little of who that is."""
    apis: Mapping[str, UsageReader] = field(default_factory=dict)
    """The APIs that are its own, by name; others that answer them are read the same."""
    forms: Mapping[str, UsageReader] = field(default_factory=dict)
    """How it answers APIs of others, by name, where that is neither as they do nor as compatible hosts do."""
    strict: bool = False
    """Whether it answers OpenAI's APIs as OpenAI does, without any field of the compatible hosts."""
    usual: Mapping[str, str] = field(default_factory=dict)
    """By the API that fields look like which fit several, the one that they are of when it answers."""

    def tier(self, word: str | None) -> str | None:
        """Its word for a service tier; None for its default one, whatever it calls that."""
        if word is None or word.lower() in self.default_tiers:
            return None
        return common_tier(word)

    def region(self, place: str | None, model: str = "") -> str | None:
        """A region where it decides the price of a model; None where it does not."""
        if not place or as_word(place) in self.no_regions:
            return None
        return None if model.lower().rpartition("/")[2].startswith(self.profiles) else common_region(place)
