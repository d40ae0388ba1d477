"""claude-agent-sdk: turns, tools and what they used, by the messages of its command-line program. Read in 0.2.187.

The program makes the requests itself, so nobody else sees them. What a message of the assistant says of its output is
a placeholder; only the result at the end of a turn is true, and it counts from the beginning of the session.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from aicost.integrations._activities import Activities
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.semconv import attributes as a
from aicost.telemetry import guard
from aicost.telemetry.call import Target
from aicost.telemetry.state import Source
from aicost.usage.readers import ResponseView
from aicost.usage.reported import read_reported

AGENT = "claude"
"""What the agent is called, which has no name of its own."""

TokenCounts = dict[str, int]

_HOUR = "cacheCreationEphemeral1hInputTokens"


class ToolFailed(Exception):  # noqa: N818 - it is what `error.type` says
    """A tool's result says that it failed."""


class _Session:
    """One session with the program: its turns, and what it has used by model."""

    def __init__(self, activities: Activities) -> None:
        self._activities = activities
        self._turn: object | None = None
        self._began_ns = 0
        self._used: dict[str, TokenCounts] = {}
        self._tools: set[str] = set()

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take one message."""
        kind = message.get("type")
        if kind in ("assistant", "user"):
            self._begin()
            content = (message.get("message") or {}).get("content")
            for block in content if isinstance(content, list) else ():
                self._block(block, message.get("parent_tool_use_id"))
        elif kind == "result":
            self._begin()
            self._count(message.get("modelUsage") or {}, message.get("usage") or {})
            self.end(None if not message.get("is_error") else ToolFailed(str(message.get("subtype"))))

    def end(self, error: BaseException | None = None) -> None:
        """The turn is over, whatever of it is still open."""
        for tool in self._tools:
            self._activities.end(tool, error)
        self._tools.clear()
        turn, self._turn = self._turn, None
        if turn is not None:
            self._activities.end(turn, error)

    def _begin(self) -> None:
        if self._turn is None:
            self._turn, self._began_ns = object(), time.time_ns()
            self._activities.begin(self._turn, "agent", AGENT)

    def _block(self, block: Mapping[str, Any], inside: str | None) -> None:
        if block.get("type") == "tool_use":
            key = block["id"]
            self._tools.add(key)
            parent = inside if inside in self._tools else self._turn
            attributes = {a.GEN_AI_TOOL_CALL_ID: key}
            self._activities.begin(key, "tool", block["name"], parent=parent, attributes=attributes)
        elif block.get("type") == "tool_result" and block.get("tool_use_id") in self._tools:
            self._tools.discard(block["tool_use_id"])
            self._activities.end(block["tool_use_id"], ToolFailed() if block.get("is_error") else None)

    def _count(self, by_model: Mapping[str, Mapping[str, Any]], turn: Mapping[str, Any]) -> None:
        # Earlier programs tell how long a cache lives only of the turn as a whole, which asks one model for it.
        hour = int((turn.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0)
        for name, reported in by_model.items():
            now, before = _counts(reported), self._used.get(name, {})
            self._used[name] = now
            used = {what: count - before.get(what, 0) for what, count in now.items()}
            if not any(used.values()):
                continue
            if _HOUR not in reported:
                used["cache_write_1h_tokens"] = min(hour, used["cache_write_tokens"])
                hour -= used["cache_write_1h_tokens"]
            searches = used.pop("web_searches")
            reading = read_reported({what: count for what, count in used.items() if count})
            if searches:
                reading = reading._replace(usage={**reading.usage, "tool_web_search": searches})
            model = str(reported.get("canonicalModel") or name).partition("[")[0]
            key, target = object(), Target("anthropic", "chat", "reported", model)
            self._activities.ask(key, target, parent=self._turn, started_ns=self._began_ns)
            self._activities.answered(key, ResponseView(reading, None, model, None))


def _counts(reported: Mapping[str, Any]) -> TokenCounts:
    """A model's usage, inclusive: the program counts what is cached beside the input."""
    read, written = int(reported.get("cacheReadInputTokens") or 0), int(reported.get("cacheCreationInputTokens") or 0)
    return {
        "input_tokens": int(reported.get("inputTokens") or 0) + read + written,
        "output_tokens": int(reported.get("outputTokens") or 0),
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": int(reported.get(_HOUR) or 0),
        "reasoning_tokens": int(reported.get("thinkingTokens") or 0),
        "web_searches": int(reported.get("webSearchRequests") or 0),
    }


def _receive(source: Source) -> Callable[..., Any]:
    activities = Activities(source, "claude-agent-sdk")

    async def receive(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> AsyncIterator[Any]:
        session: _Session = instance.__dict__.setdefault("_aicost_session", _Session(activities))
        messages = wrapped(*args, **kwargs)
        try:
            async for message in messages:
                try:
                    session.hear(message)
                except Exception as error:  # noqa: BLE001 - the application's message comes first
                    guard.failed("read a message of claude", error)
                yield message
        finally:
            await messages.aclose()

    return receive


async def _end(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    session = instance.__dict__.pop("_aicost_session", None)
    if session is not None:
        session.end()
    return await wrapped(*args, **kwargs)


class ClaudeAgentInstrumentor(PackageInstrumentor):
    """Instruments `query()` and `ClaudeSDKClient` of claude-agent-sdk."""

    name = "claude-agent-sdk"
    requires = "claude-agent-sdk >= 0.2.100, < 1"
    methods = (
        Method("claude_agent_sdk._internal.query", "Query.receive_messages", wrapper=_receive),
        Method("claude_agent_sdk._internal.query", "Query.close", wrapper=lambda _: _end),
    )
