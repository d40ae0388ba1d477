"""The providers, a file each, and who is meant by a name, a host or a model.

A file says in `PROVIDERS` what there is to know of one provider, or of a few that share their names or readers; it is
found by being here. Everything else asks here. What is asked is a pure look-up, quick enough for each call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from aicost._bounded import remembered
from aicost.usage.provider import Provider, as_word, common_region, common_tier

REMEMBERED = 4096
LONGEST = 256
"""No name is longer. What spans say may be, and is not kept."""
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "host.docker.internal"})  # noqa: S104 - names to compare
NOBODY = frozenset({
    "", "none", "unknown", "other", "custom", "ai", "langchain", "langgraph", "llamaindex", "llama_index", "strands",
    "strands_agents", "crewai", "haystack", "dspy", "autogen", "ag2", "agno", "smolagents", "pydantic_ai",
    "openai_agents", "google_adk", "claude_agent_sdk", "agent_framework", "microsoft_agent_framework",
    "semantic_kernel", "spring_ai", "litellm", "browser_use", "mem0", "letta", "mcp", "openai_like", "openailike",
    "custom_openai", "aiohttp_openai",
})  # fmt: skip
"""What frameworks write where a provider's name belongs: their own, that they know none, or whose API it speaks."""

APIS = frozenset({
    "chat", "responses", "completion", "completions", "embedding", "embeddings", "messages", "image", "speech",
    "transcription", "textembedding", "text_embedding", "rerank", "reranking",
})  # fmt: skip
"""What the Vercel AI SDK appends to a provider's name: `openai.chat`."""


def _found() -> Iterator[Provider]:
    for module in sorted(module.name for module in iter_modules(__path__)):
        if not module.startswith("_"):
            yield from import_module(f"{__name__}.{module}").PROVIDERS


PROVIDERS: tuple[Provider, ...] = tuple(_found())


def _with_routes(rows: tuple[Provider, ...]) -> Iterator[Provider]:
    for row in rows:
        yield row
        for route in row.routes:
            # `huggingface` says that it is one of these, and not which.
            yield Provider(f"{row.name}_{route}", loosely=(row.name,))


_ROWS = tuple(_with_routes(PROVIDERS))
_BY_CANONICAL = {row.name: row for row in _ROWS}
_BY_WORD = {as_word(name): row for row in _ROWS for name in (row.name, *row.aliases)}
_LOOSE: dict[str, list[Provider]] = {}
for _row in _ROWS:
    for _name in _row.loosely:
        _LOOSE.setdefault(as_word(_name), []).append(_row)
_BEGINNINGS = tuple((start, row) for row in _ROWS for start in row.begin)
_HOSTS = {host: row.name for row in _ROWS for host in row.hosts if "*" not in host}
_HOST_PATTERNS = sorted(
    ((*host.split("*"), row.name) for row in _ROWS for host in row.hosts if "*" in host),
    key=lambda found: -len(found[0] + found[1]),
)
_PORTS = {port: row.name for row in _ROWS for port in row.ports}
_PATTERNS = tuple((re.compile(row.models), row.name) for row in _ROWS if row.models is not None)
_EVERY_DEFAULT = frozenset(tier for row in _ROWS for tier in row.default_tiers)


def find_provider(name: str | None) -> Provider | None:
    """The row of a provider, by any name of it; None for one that is not in the table.

    >>> find_provider("Azure-OpenAI").name, find_provider("vertex_ai-llama_models").name
    ('azure.ai.openai', 'gcp.vertex_ai')
    """
    if not name:
        return None
    found = _BY_CANONICAL.get(name)
    if found is not None:
        return found
    word = as_word(name)
    found = _BY_WORD.get(word)
    if found is None and word in _LOOSE:
        found = _LOOSE[word][0]
    if found is None:
        found = next((row for start, row in _BEGINNINGS if word.startswith(start)), None)
    return found


def canonical_provider(name: str) -> str:
    """A provider by the name that events and rate cards use; one that is not in the table as it is written."""
    found = find_provider(name)
    return name if found is None else found.name


def provider_named(name: str | None) -> str | None:
    """The provider a span means by a name: `OpenAI`, `gemini`, `openai.chat` (Vercel AI SDK: provider and API).

    None where that is nobody's name, such as a framework's.

    >>> provider_named("anthropic.messages"), provider_named("langchain")
    ('anthropic', None)
    """
    head = _head(name or "")
    return None if as_word(head) in NOBODY else canonical_provider(head)


def _head(name: str) -> str:
    """A name in lower case, without the API or the model that some write after it."""
    lower = name.lower()
    if find_provider(lower) is None:
        head, _, api = lower.rpartition(".")
        if head and api in APIS:
            return _head(head)
        head, slash, _ = lower.partition("/")
        if slash:
            return _head(head)
    return lower


def provider_in(words: str) -> str | None:
    """The provider named somewhere in the name of a class or module; the longest name that fits.

    >>> provider_in("azure_openai_llm"), provider_in("AnthropicVertex"), provider_in("MockLLM")
    ('azure.ai.openai', 'gcp.vertex_ai', None)
    """
    parts = as_word(re.sub(r"(?<=[a-z])(?=[A-Z][a-z])|(?i:llm)$", "_", words)).split("_")
    for length in range(len(parts), 0, -1):
        for start in reversed(range(len(parts) - length + 1)):
            for sign in "_", "":
                word = sign.join(parts[start : start + length])
                if length > 1 and word in NOBODY:
                    return None
                if word in _BY_WORD or word in _LOOSE:
                    return canonical_provider(word)
    return None


def provider_of_model(model: str) -> str | None:
    """Whose model it is, where its name says so and nobody says who serves it."""
    return next((provider for pattern, provider in _PATTERNS if pattern.match(model)), None)


@remembered(REMEMBERED)
def provider_at(host: str, port: int | None = None, path: str = "") -> str | None:
    """Who answers at a host; None where that is nobody in the table.

    >>> provider_at("api.groq.com"), provider_at("router.huggingface.co", path="/groq/openai/v1")
    ('groq', 'huggingface_groq')
    """
    host = host.lower()
    found = _HOSTS.get(host) or next(
        (name for start, end, name in _HOST_PATTERNS if host.startswith(start) and host.endswith(end)), None
    )
    if found is None:
        return _PORTS.get(port or 0) if host in _LOCAL else None
    return _route(_BY_CANONICAL[found], path.strip("/").partition("/")[0]) or found


def served_by(provider: str, model: str) -> tuple[str, str]:
    """The provider and the model, where the model's name says to whom a router passes the call on.

    >>> served_by("huggingface", "openai/gpt-oss-120b:groq")
    ('huggingface_groq', 'openai/gpt-oss-120b')
    """
    row = _BY_CANONICAL.get(provider)
    if row is not None and row.routes and ":" in model:
        bare, _, route = model.rpartition(":")
        found = _route(row, route)
        if found is not None:
            return found, bare
    return provider, model


def _route(row: Provider, route: str) -> str | None:
    word = as_word(route)
    return f"{row.name}_{word}" if word in row.routes else None


def split_model(model: str) -> tuple[str | None, str]:
    """The provider that a model's name begins with, and the rest; else whose model it is by its name alone.

    >>> split_model("gemini/gemini-2.5-pro"), split_model("gpt-4o"), split_model("meta-llama/Llama-3-8b")
    (('gcp.gemini', 'gemini-2.5-pro'), ('openai', 'gpt-4o'), (None, 'meta-llama/Llama-3-8b'))
    """
    head, slash, rest = model.partition("/")
    found = find_provider(head) if slash else None
    return (found.name, rest) if found is not None else (provider_of_model(model), model)


def model_names(provider: str, model: str) -> tuple[str, ...]:
    """What a provider's price list may call a model, the name as it is first: without the provider's name before it,
    out of a cloud's full name for it, and with what the provider's models begin with.

    >>> model_names("openai", "openai/gpt-4o")
    ('openai/gpt-4o', 'gpt-4o')
    """
    row = find_provider(provider)
    names = dict.fromkeys([model])
    name = model
    while (shorter := _shorter(name, row)) != name:
        name = shorter
        names[name] = None
    for start in row.model_prefixes if row is not None else ():
        if not name.lower().startswith(start):
            names[start + name] = None
    return tuple(names)


_RESOURCE = ("arn:", "models/", "publishers/", "projects/", "accounts/", "tunedmodels/", "converse/", "invoke/")
"""How full names of a model begin, those of the clouds and litellm's; the last part is what price lists call it."""


def _shorter(model: str, row: Provider | None) -> str:
    """The name of a model without its outermost wrapping."""
    lower = model.lower()
    if lower.startswith(_RESOURCE) and "/" in model:
        return model.partition("#")[0].rpartition("/")[2] or model
    for start in row.model_prefixes if row is not None else ():
        if lower.startswith(start):
            return model[len(start) :]
    for sign in "/:":
        head, found, rest = model.partition(sign)
        if found and rest and row is not None and row in _meant_by(head):
            return rest
    return model


def normal_tier(tier: str | None, provider: str | None = None) -> str | None:
    """A provider's word for a service tier; None for its default one, whatever it calls that.

    >>> normal_tier("on_demand", "groq"), normal_tier("fast", "openai")
    (None, 'priority')
    """
    if tier is None:
        return None
    row = find_provider(provider)
    if row is not None:
        return row.tier(tier)
    # Of a provider nobody here knows a word that is somebody's default is the likeliest to be that.
    return None if tier.lower() in _EVERY_DEFAULT else common_tier(tier)


def normal_region(region: str | None, provider: str | None = None, model: str = "") -> str | None:
    """A region where it decides the price; None where a call costs what it costs in no place in particular.

    A model's name may say where it is served: an inference profile of Bedrock has its price whichever region it is
    called from.

    >>> normal_region("global", "gcp.vertex_ai"), normal_region("europe-west1", "gcp.vertex_ai")
    (None, 'europe-west1')
    """
    if not region:
        return None
    row = find_provider(provider)
    return common_region(region) if row is None else row.region(region, model)


def has_weak_ids(provider: str | None) -> bool:
    """Whether the ids of a provider's responses may come again. They may of one that nobody here knows."""
    row = find_provider(provider)
    return row is None or row.weak_ids


def same_provider(one: str | None, other: str | None) -> bool:
    """Whether two observers of a call may mean one provider; a name that is nobody's fits all.

    >>> same_provider("gcp.gen_ai", "gcp.vertex_ai"), same_provider("gcp.gemini", "gcp.vertex_ai")
    (True, False)
    """
    if one is None or other is None or one == other:
        return True
    return len(one) <= LONGEST and len(other) <= LONGEST and _same(one, other)


@remembered(REMEMBERED)
def _same(one: str, other: str) -> bool:
    mine, others = provider_named(one), provider_named(other)
    if mine is None or others is None or mine == others:
        return True
    return not {row.name for row in _meant_by(one)}.isdisjoint(row.name for row in _meant_by(other))


def _meant_by(name: str) -> tuple[Provider, ...]:
    """Every provider that a name may mean."""
    head = _head(name)
    found, loose = find_provider(head), _LOOSE.get(as_word(head), ())
    return tuple(dict.fromkeys((found, *loose) if found is not None else loose))
