"""What an agent loop is: one thing agents do, which every framework does in its own way. A row of the shared table."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aicost.testing import ProviderEmulator, Reply, ToolCall

ASK = ToolCall("search", {"query": "the price of tea"})
DELEGATE = ToolCall("researcher", {"query": "the price of tea"})
CALL = Reply(tool_calls=(ASK,), input_tokens=900, cached_tokens=512, output_tokens=30)
TWO_CALLS = Reply(tool_calls=(ASK, ASK), input_tokens=900, output_tokens=60)
HAND_OVER = Reply(tool_calls=(DELEGATE,), input_tokens=700, output_tokens=20)
ANSWER = Reply(text="Tea is dear.", input_tokens=1200, output_tokens=80, reasoning_tokens=32)

OK, FAILED = "ok", "failed"


@dataclass(frozen=True)
class Expected:
    """What the loop of a name does, in whichever framework."""

    replies: tuple[Reply, ...]
    tools: tuple[str, ...] = ()
    """How each execution of the tool `search` ended."""
    agents: frozenset[str] = frozenset()
    """The agents whose calls are billed."""
    again: bool = False
    """Whether the model goes on asking for the tool for as long as it is let."""


LOOPS = {
    "answer": Expected((ANSWER,), agents=frozenset({"helper"})),
    "tool": Expected((CALL, ANSWER), (OK,), frozenset({"helper"})),
    "failing_tool": Expected((CALL, CALL, ANSWER), (FAILED, OK), frozenset({"helper"})),
    "two_tools": Expected((TWO_CALLS, ANSWER), (OK, OK), frozenset({"helper"})),
    "sub_agent": Expected((HAND_OVER, ANSWER, ANSWER), agents=frozenset({"helper", "researcher"})),
    "parallel": Expected((ANSWER, ANSWER, ANSWER)),
    "limit": Expected((CALL,) * 12, again=True),
}
"""By the first word of a loop's function; what follows says how it is run: `tool_async`, `tool_stream`."""


@dataclass(frozen=True)
class Loop:
    """One loop of one framework: `run(emulator)` runs it to its end; async ones are coroutine functions."""

    framework: str
    name: str
    run: Callable[[ProviderEmulator], Any]
    workflow: str
    tool: str = "search"
    """What the framework calls the tool."""
    asks_with: str = "query"
    """What the framework calls the argument of an agent that is a tool."""
    agent: str | None = "helper"
    """What it calls an agent that has no name."""
    names_agents: bool = True
    """Whether it says which agent it is."""
    says: str | None = None
    """The text of an answer, where it must have a form."""
    final: str | None = None
    """The tool that an answer is, where it must be one."""
    per_call: bool = True
    """Whether each of its calls is an event of its own."""
    reports: str = "priced"
    """What it says of usage itself: `priced`, `totals` without parts, `estimated` or `nothing`."""

    def __str__(self) -> str:
        return f"{self.framework}-{self.name}"

    @property
    def expected(self) -> Expected:
        """What it does."""
        return next(what for name, what in sorted(LOOPS.items(), reverse=True) if self.name.startswith(name))

    def __call__(self, emulator: ProviderEmulator) -> Any:
        emulator.on().then(*map(self._worded, self.expected.replies))
        done = self.run(emulator)
        return asyncio.run(done) if inspect.iscoroutine(done) else done

    def _worded(self, reply: Reply) -> Reply:
        calls = [
            ToolCall(self.tool, call.arguments)
            if call is ASK
            else ToolCall(call.name, {self.asks_with: call.arguments["query"]})
            for call in reply.tool_calls
        ]
        if self.final is not None and not calls:
            calls = [ToolCall(self.final, {"answer": reply.text})]
        return replace(reply, tool_calls=tuple(calls), text=self.says or reply.text)


def searcher(*, failing: bool = False) -> Callable[[str], str]:
    """The tool of all loops. `failing` makes its first execution fail."""
    still = [failing]

    def search(query: str) -> str:
        """Search for what is known.

        Args:
            query: what to look for
        """
        if still.pop() if still else False:
            raise LookupError("the index is being built")
        return f"What is known of {query}."

    return search
