"""Anthropic: the messages API.

Read in anthropic 2.14 (types/usage.py, types/message_delta_usage.py, types/server_tool_usage.py, and of the beta
types/beta/beta_usage.py, beta_iterations_usage.py and its items). `input_tokens` *excludes* cache reads and writes;
`output_tokens` includes thinking. The same object carries the tier that served the request, where it ran and at what
speed, all of which change the price. What `message_start` of a stream says of the output is a placeholder, not a
count, so until a `message_delta` the output is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost.usage.meters import Quantity
from aicost.usage.provider import Provider, UsageReader
from aicost.usage.reading import Counts, Fields, Raw, Reading
from aicost.usage.streams import StreamAccumulator

_TOOLS = {
    "web_search_requests": "tool_web_search",
    "web_fetch_requests": "tool_web_fetch",
    "code_execution_requests": "tool_code_execution",
}
_COUNTS = "input_tokens output_tokens cache_read_input_tokens cache_creation_input_tokens"
_TTL = Fields("ephemeral_5m_input_tokens ephemeral_1h_input_tokens")
_THINKING = Fields("thinking_tokens")
_ITERATION = Fields(f"type model {_COUNTS}", cache_creation=_TTL, output_tokens_details=_THINKING)
MESSAGES = Fields(
    f"{_COUNTS} service_tier inference_geo speed",
    informs="fallback_credit",  # what became of a token that was presented; the price is in the counts
    cache_creation=_TTL,
    output_tokens_details=_THINKING,
    server_tool_use=Fields(" ".join(_TOOLS)),
    iterations=_ITERATION,
)


def read_messages(raw: Raw) -> Reading:
    """Usage of the messages API, or the cumulative usage of its stream events merged into one object.

    With `iterations` (beta) the top-level counts are those of the model's own messages. What a compaction used is not
    among them and comes on top; so does what another model did, under that model's name (`claude-opus-5/input`).
    """
    counts = Counts(raw)
    usage = _tokens(counts)
    if counts.has("iterations"):
        usage = _with_iterations(counts, usage)
    if counts.has("server_tool_use"):
        tools = counts.inside("server_tool_use")
        usage |= counts.usage({meter: tools.take(name) for name, meter in _TOOLS.items()})
        tools.finish(MESSAGES.inside["server_tool_use"])
    flags = counts.finish(MESSAGES)
    return Reading(
        usage,
        _ANTHROPIC.tier(counts.text("service_tier")),
        _ANTHROPIC.region(counts.text("inference_geo")),
        _unless(counts.text("speed"), {"standard"}),
        flags,
        not flags or counts.complete,
    )


def _tokens(counts: Counts) -> dict[str, Quantity]:
    """The token counts of a message, or of one iteration of it."""
    usage: dict[str, Quantity] = {}
    fresh, output = counts.require("input_tokens"), counts.require("output_tokens")
    read, written = counts.take("cache_read_input_tokens"), counts.take("cache_creation_input_tokens")
    # Written out, because this is read for every call; most of it is absent or zero most of the time.
    if fresh:
        usage["input"] = fresh
    if read:
        usage["input_cache_read"] = read
    if counts.has("cache_creation"):
        ttl = counts.inside("cache_creation")
        hour, minutes = ttl.take("ephemeral_1h_input_tokens"), ttl.take("ephemeral_5m_input_tokens")
        ttl.finish(_TTL)
        # With web searches the split leaves out what they wrote; the total is what is billed.
        total = written if counts.has("cache_creation_input_tokens") else None
        if written or minutes or hour:
            usage |= counts.cache_writes(total, {"5m": minutes, "1h": hour}, "5m")
    elif written:
        usage["input_cache_write_5m"] = written  # without the split every write is of the default life, five minutes
    if counts.has("output_tokens_details"):
        out = counts.inside("output_tokens_details")
        thinking = out.take("thinking_tokens")
        out.finish(_THINKING)
        output = counts.remainder(output, thinking, name="output_tokens")
        if thinking:
            usage["output_reasoning"] = thinking
    if output:
        usage["output"] = output
    return usage


def _with_iterations(counts: Counts, top: dict[str, Quantity]) -> dict[str, Quantity]:
    """The top-level counts and what they leave out.

    A request that a fallback model served has messages of two models, so each is taken from its own entry.
    """
    entries = [counts.within("iterations", item) for item in counts.items("iterations")]
    kinds = [entry.text("type") or "" for entry in entries]
    fell_back = "fallback_message" in kinds
    usage: dict[str, Quantity] = {} if fell_back else dict(top)
    own: dict[str, Quantity] = {}
    for kind, entry in zip(kinds, entries, strict=True):
        tokens = _tokens(entry)
        model = entry.text("model")
        if kind in {"message", "fallback_message"}:
            _add(own, tokens)
        if kind == "compaction" or (fell_back and kind == "message" and model is None):
            _add(usage, tokens)
        elif kind == "advisor_message" or (fell_back and kind in {"message", "fallback_message"}):
            _add(usage, tokens, f"{model}/" if model else "")
        elif kind != "message":
            counts.flag(f"unknown_field:iterations.{kind}")
        entry.finish(_ITERATION)
    told, total = sum(own.values()), sum(top.values())
    if own and (told < total if fell_back else told != total):
        counts.flag("iterations_mismatch")
        if fell_back:  # what none of its messages has is the model's that answered
            _add(usage, {meter: rest for meter, n in top.items() if (rest := n - own.get(meter, 0)) > 0})
    return usage


def _add(usage: dict[str, Quantity], more: dict[str, Quantity], prefix: str = "") -> None:
    for meter, quantity in more.items():
        usage[f"{prefix}{meter}"] = usage.get(f"{prefix}{meter}", 0) + quantity


def _unless(value: str | None, defaults: set[str]) -> str | None:
    return None if value is None or value in defaults else value


class MessagesStream(StreamAccumulator):
    """Anthropic messages: input usage first, cumulative output later."""

    markers: tuple[bytes, ...] = (b'"usage"', b'"error"', b"message_stop")
    ends_with_usage = True

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""
        kind = event.get("type")
        if kind == "message_start":
            message = event.get("message") or {}
            self._learn(message, "id", "model")
            usage = message.get("usage") or {}
            self.body["usage"] = {name: value for name, value in usage.items() if name != "output_tokens"}
        elif kind == "message_delta":
            usage = self.body.setdefault("usage", {})
            usage.update({name: value for name, value in (event.get("usage") or {}).items() if value is not None})
            self.complete = "output_tokens" in usage
            # Some readers stop here and never see `message_stop`.
            stopped = (event.get("delta") or {}).get("stop_reason") is not None
            self.finished = self.complete and stopped
        elif kind == "message_stop":
            self.finished = True
        elif kind == "error" or "error" in event:
            self._fail(event.get("error"))


_ANTHROPIC = Provider(
    "anthropic",
    aliases=("anthropic_text", "claude"),
    hosts=("api.anthropic.com",),
    no_regions=("not_available",),
    models=r"claude-",
    request_headers={"anthropic-organization-id": "organization", "x-api-key": "key"},
    response_headers={"anthropic-organization-id": "organization", "request-id": "request_id"},
    cache_lives=True,
    spoken_by_others=True,
    apis={
        "messages": UsageReader(
            read_messages,
            input="exclusive",
            fields=MESSAGES,
            stream=MessagesStream,
            told_by=frozenset(
                {
                    "cache_creation",
                    "cache_creation_input_tokens",
                    "server_tool_use",
                    "cache_read_input_tokens",
                    "iterations",
                }
            ),
            called="message",
        ),
    },
    usual={"responses": "messages"},
)
PROVIDERS = (_ANTHROPIC,)
