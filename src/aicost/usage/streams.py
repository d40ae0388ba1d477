"""Stream events -> the response they add up to, as far as its cost is concerned.

Usage in a stream is *cumulative*: a later object overwrites an earlier one and nothing is ever added. Here is what all
accumulators share; each is in the file of the provider whose stream it collects.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

USAGE = re.compile(rb'"usage"\s*:\s*\{')
"""A usage object in the JSON text of events; `"usage":null` is in every chunk of a stream that was asked for it."""


class StreamAccumulator(ABC):
    """Collects what a stream says about its cost. `body` reads like a whole response's body."""

    markers: tuple[bytes, ...] = (b'"usage"', b'"error"')
    """What the JSON text of an event has in it that holds usage, an error or the end."""
    latest_only = False
    """Whether every event says all there is to know so far, so that only the last one need be read."""
    ends_with_usage = False
    """Whether a stream without final usage has not come to its end."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.complete = False
        """Whether the final usage has arrived."""
        self.finished = False
        """Whether the provider has said that the stream is over."""
        self.error_type: str | None = None
        """The provider's own word for what went wrong in the stream."""

    def matters(self, data: bytes) -> bool:
        """Whether the JSON text of one or more events holds usage, an error or the end. It must be cheap."""
        return any(marker in data for marker in self.markers)

    def hidden(self, data: bytes) -> bool:  # noqa: ARG002 - for those that hide something
        """Whether an event carries usage and nothing else."""
        return False

    @abstractmethod
    def add(self, event: Mapping[str, Any]) -> None:
        """Take one decoded event."""

    def _fail(self, error: object) -> None:
        kind = error
        if isinstance(error, Mapping):
            kind = error.get("type") or error.get("code") or error.get("status")
        self.error_type = str(kind or "stream_error")[:60]

    def _learn(self, source: Mapping[str, Any], *names: str) -> None:
        for name in names:
            if source.get(name) is not None:
                self.body[name] = source[name]
