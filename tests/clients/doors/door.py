"""What a door is: one way an application reaches a model, a row of the table that the conformance suite runs over."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from aicost.testing import ProviderEmulator, Reply

FULL = Reply(
    text='{"text": "A helpful answer."}', input_tokens=1200, cached_tokens=1024, output_tokens=80, reasoning_tokens=64
)
NO_REASONING = Reply(text="A helpful answer.", input_tokens=1200, cached_tokens=1024, output_tokens=80)
NO_CACHE = Reply(text="A helpful answer.", input_tokens=1200, output_tokens=80)
PROMPT_ONLY = Reply(input_tokens=1200)

Kind = Literal["plain", "stream", "manager"]
"""Returns the answer; returns something to iterate over; returns a context manager that gives it."""


@dataclass(frozen=True)
class Door:
    """One way through a client. `open(client, ask)` asks the text `ask`; for async doors it is a coroutine function."""

    client: str
    open: Callable[[Any, str], Any]
    connect: Callable[..., Any]
    """`connect(emulator, timeout=seconds, retries=n)` gives the client."""
    model: str
    kind: Kind = "plain"
    reply: Reply = FULL
    operation: str = "chat"
    retries: bool = True
    """Whether the client tries again by itself."""
    response_id: bool = True
    """Whether the API gives its responses an id that the client sees."""
    partial: bool = False
    """Whether a stream says what was used so far before it ends."""
    priced: bool = True
    """Whether the bundled rate card has the price of the model."""
    silent_reasoning: bool = False
    """Whether the API counts reasoning as output and does not say how much it was."""
    says_text: bool = True
    """Whether what is asked and answered is text."""
    lazy: bool = False
    """Whether a stream asks for nothing until it is read."""
    name: str = ""
    keeps_streams: bool = False
    """Whether the client holds on to a stream that the application has let go of."""
    own_timeout: bool = False
    """Whether the client goes by a timeout, or by retries, of its own."""

    @property
    def id(self) -> str:
        """The name of the row."""
        return f"{self.client}-{self.name or self.open.__name__}"

    @property
    def is_async(self) -> bool:
        """Whether it is opened in an event loop."""
        return inspect.iscoroutinefunction(self.open)

    def knock(self, client: Any, ask: str = "hello") -> Any:
        """Go through the door and read the answer to its end."""
        if self.is_async:
            return asyncio.run(self.read_async(client, ask))
        return self.read(client, ask)

    def read(self, client: Any, ask: str) -> Any:
        """Ask and read, in this thread."""
        opened = self.open(client, ask)
        if self.kind == "plain":
            return opened
        if self.kind == "manager":
            with opened as stream:
                return list(stream)
        return list(opened)

    async def read_async(self, client: Any, ask: str) -> Any:
        """Ask and read, in this event loop."""
        opened = await self.open(client, ask)
        if self.kind == "plain":
            return opened
        if self.kind == "manager":
            async with opened as stream:
                return [item async for item in stream]
        return [item async for item in opened]


def close(stream: Any) -> None:
    """Close a stream by whatever it has for that."""
    for name in ("close", "__exit__"):
        ending = getattr(stream, name, None)
        if ending is not None:
            ending() if name == "close" else ending(None, None, None)
            return


async def aclose(stream: Any) -> None:
    """Close an async stream by whatever it has for that."""
    for name in ("aclose", "close", "__aexit__"):
        ending = getattr(stream, name, None)
        if ending is not None:
            with suppress(StopAsyncIteration):
                await (ending() if name != "__aexit__" else ending(None, None, None))
            return


def emulated(emulator: ProviderEmulator, name: str) -> str:
    """Where an emulated provider is."""
    return emulator.base_url(name)


def only(doors: Sequence[Door], **wanted: Any) -> list[Door]:
    """The doors that are so."""
    return [door for door in doors if all(getattr(door, name) == value for name, value in wanted.items())]
