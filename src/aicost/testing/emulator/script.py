"""What the emulator does with a request: answer, refuse, hang, drop the connection, or stall."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that an answer asks for, in place of text."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `input_tokens` is the whole prompt, cached part included, whatever the API reports.

    Token counts that are not given follow from the length of the request and of `text`.
    """

    text: str = "A short and helpful answer."
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools to ask for in place of `text`: in OpenAI's chat and responses, Anthropic's messages and Gemini."""
    input_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output_tokens: int | None = None
    reasoning_tokens: int = 0
    web_searches: int = 0
    service_tier: str | None = None
    model: str | None = None
    """The model that answers, if not the one asked for."""
    chunks: int = 8
    """Pieces of text in a stream."""
    omit_usage: bool = False
    """Bill it, but leave the usage out of the response."""
    raw_usage: Mapping[str, Any] | None = None
    """A usage object to send as it is, in place of the true one."""
    response_id: str | None = None
    """The id that the answer carries, in place of one of its own: some servers give one id to several."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers of the answer."""
    billed: bool = True
    """False for what a cache answers: it is on no bill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """A refusal with an HTTP error status; nothing is billed."""

    status: int
    retry_after: float | None = 0.01
    """Seconds, sent as `retry-after-ms`."""
    message: str = "scripted failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """No answer until the client gives up or `seconds` have passed. With `bill`, the work was done and is billed."""

    seconds: float = 30.0
    bill: Reply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The connection breaks: after `after_chunks` events of a stream, or in the middle of a body. It is billed."""

    after_chunks: int = 0
    bill: Reply = field(default_factory=Reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A stream that stops after `after_chunks` events until the client hangs up. All of the reply is billed."""

    after_chunks: int = 2
    seconds: float = 30.0
    reply: Reply = field(default_factory=Reply)


Action = Reply | Fail | Hang | Drop | Stall


class Rule:
    """Actions for the requests that match, one per attempt, in order."""

    def __init__(self, contains: str | None, model: str | None, api: str | None) -> None:
        self._contains, self._model, self._api = contains, model, api
        self._actions: deque[Action] = deque()

    def then(self, *actions: Action) -> Rule:
        """Queue actions; each is used for one attempt."""
        self._actions.extend(actions)
        return self

    def take(self, body: bytes, model: str, api: str) -> Action | None:
        """The next action, if this rule is about the request and has one left."""
        wanted = (
            (self._contains is None or self._contains.encode() in body)
            and (self._model is None or self._model == model)
            and (self._api is None or self._api == api)
        )
        return self._actions.popleft() if wanted and self._actions else None


class Script:
    """The rules in force; the first one that fits and has an action left decides."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def on(self, contains: str | None = None, *, model: str | None = None, api: str | None = None) -> Rule:
        """A new rule for requests whose body contains a text, for a model, or for an API."""
        rule = Rule(contains, model, api)
        with self._lock:
            self._rules.append(rule)
        return rule

    def next(self, body: bytes, model: str, api: str) -> Action:
        """What to do with a request; a plain `Reply` when no rule has anything to say."""
        with self._lock:
            for rule in self._rules:
                action = rule.take(body, model, api)
                if action is not None:
                    return action
        return Reply()
