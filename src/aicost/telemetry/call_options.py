"""What an application may choose about how its calls are watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from aicost._errors import ConfigError

Tokenizer = Callable[[str, str], int]
"""`tokenizer(model, text)`: how many tokens a model takes the text for."""

Message = Mapping[str, Any]
"""A message as upstream's conventions have it: `{"role": "user", "parts": [{"type": "text", "content": "..."}]}`."""

Redact = Callable[[Sequence[Message]], Sequence[Message]]
"""Takes the messages that are about to be recorded, and gives those that may be."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How calls are watched."""

    provider_hosts: Mapping[str, str] = field(default_factory=dict)
    """Provider names of the application's own hosts."""
    gateway_hosts: tuple[str, ...] = ()
    """Gateways of the application's own, whose call ids prove that two attempts are one."""
    request_stream_usage: bool = False
    """Ask for usage where a stream's request did not, and hide the chunk that has it."""
    tokenizer: Tokenizer | None = None
    """Counts tokens where a stream reported none."""
    capture_content: bool = False
    """Record prompts and answers."""
    redact: Redact | None = None
    """What may be recorded of them."""


def tokenizer_named(name: str | None) -> Tokenizer | None:
    """The tokenizer of a setting: `tiktoken`, or a function as `module:name`.

    Raises `ConfigError` for one that cannot be found. tiktoken fetches a model's vocabulary when it first counts.
    """
    if name is None:
        return None
    if name == "tiktoken":
        try:
            return _with_tiktoken(import_module("tiktoken"))
        except ImportError:
            raise ConfigError("tokenizer 'tiktoken' is not installed; pip install tiktoken") from None
    module, _, attribute = name.partition(":")
    try:
        found: Tokenizer = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"tokenizer {name!r} cannot be used: {error}; say 'tiktoken' or 'module:function'") from None
    return found


def _with_tiktoken(tiktoken: Any) -> Tokenizer:
    def count(model: str, text: str) -> int:
        try:
            encoding = tiktoken.encoding_for_model(model)
        except KeyError:
            encoding = tiktoken.get_encoding("o200k_base")
        return len(encoding.encode(text, disallowed_special=()))

    return count
