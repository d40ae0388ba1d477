"""What tells whether two views are of one inference: names, times, and ids as far as their server is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Protocol

from aicost._bounded import remembered
from aicost.usage.event import Chargeable, Origin
from aicost.usage.meters import Quantity
from aicost.usage.model_names import same_model
from aicost.usage.providers import has_weak_ids, provider_at, same_provider

SLACK_NS = 20_000_000
"""How much later than what it is of a view may end, or begin."""


class Named(Protocol):
    """Whom a view asks for what."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def request_model(self) -> str | None: ...
    @property
    def origin(self) -> Origin: ...


class View(Named, Protocol):
    """What is looked at in a view; a `UsageEvent` has it all."""

    @property
    def event_id(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def response_id(self) -> str | None: ...
    @property
    def usage(self) -> Mapping[str, Quantity] | None: ...
    @property
    def chargeable(self) -> Chargeable: ...
    @property
    def started_ns(self) -> int: ...
    @property
    def ended_ns(self) -> int: ...


_TEXT = {"chat", "text_completion", "generate_content"}


def family(operation: str) -> str:
    """Operations that different observers call differently are one family."""
    return "text" if operation in _TEXT else operation


def agree(one: Named, other: Named) -> bool:
    """Whether provider, host and model are the same wherever both views name them."""
    hosts = one.origin.host, other.origin.host
    if None not in hosts and hosts[0] != hosts[1]:
        return False
    if same_provider(one.provider, other.provider):
        return _models_agree(one, other)
    # Frameworks say `openai` of whomever they ask by OpenAI's client, wherever that points.
    loose = any(view.provider == "openai" and view.origin.host is None for view in (one, other))
    return loose and names_same_model(one, other)


def _models_agree(one: Named, other: Named) -> bool:
    named = [{view.model, view.request_model} - _UNNAMED for view in (one, other)]
    if not all(named):
        return True
    return not named[0].isdisjoint(named[1]) or any(
        same_model(mine, theirs) for mine in named[0] for theirs in named[1]
    )


_UNNAMED = {None, "", "unknown"}


def names_same_model(one: Named, other: Named) -> bool:
    """Whether both views name a model, and it is one."""
    both = [{view.model, view.request_model} - _UNNAMED for view in (one, other)]
    return all(both) and _models_agree(one, other)


def one_within_the_other(one: View, started_ns: int, ended_ns: int, gap: int = 0) -> bool:
    """Whether a time is within that of a view, or the other way round; or begins at most `gap` after it.

    Two that merely overlap are two calls; what is observed from outside contains what is seen inside.
    """
    first, last = (one.started_ns, one.ended_ns), (started_ns, ended_ns)
    if first[0] > last[0]:
        first, last = last, first
    if last[0] > first[1] + gap:
        return False
    return last[1] <= first[1] + SLACK_NS or (last[0] <= first[0] + SLACK_NS and first[1] <= last[1] + SLACK_NS)


_NOT_DRAWN = re.compile(r"^[a-z]+[-_]|[^0-9A-Za-z]+")
"""What says which kind of id it is, and signs between."""


@remembered(4096)
def is_unique(response_id: str, provider: str, host: str | None = None) -> bool:
    """Whether a response's id names one response: of a provider and host known to give each once, long, no number.

    Ollama draws its own from a thousand, gateways take the second, mocks repeat one. A server that nobody here knows
    may be any of those, so its ids are no evidence by themselves, however they look.

    >>> is_unique("chatcmpl-CX5kFkl2Jq0Yt1AaQJ4Yy2m8", "openai"), is_unique("chatcmpl-512", "openai")
    (True, False)
    """
    if has_weak_ids(provider) or (host is not None and provider_at(host) is None):
        return False
    return looks_drawn(response_id)


def looks_drawn(response_id: str) -> bool:
    """Whether an id is long enough to be drawn once, and no number.

    >>> looks_drawn("msg_01XFDUDYJgAACzvnptvVoYEL"), looks_drawn("chatcmpl-1763990000")
    (True, False)
    """
    drawn = _NOT_DRAWN.sub("", response_id)
    return len(drawn) >= 16 and len(set(drawn)) >= 8 and not drawn.isdigit()


def span_event_id(trace_id: str, span_id: str, started_ns: int, attempt: int = 1) -> str:
    """The event that a span of somebody else tells of: the same in its process and in a collector.

    With the time, because applications seed `random`, and OpenTelemetry draws its ids from it: two processes with one
    seed make the same ones.
    """
    # What `derived_id` does, written out, because a collector asks it of every span.
    start = str(started_ns)
    parts = f"4:span{len(trace_id)}:{trace_id}{len(span_id)}:{span_id}{len(start)}:{start}{len(str(attempt))}:{attempt}"
    return blake2b(parts.encode(), digest_size=16).hexdigest()
