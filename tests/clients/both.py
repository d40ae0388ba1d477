"""An OpenAI and an Anthropic client side by side, for the tests of everything that is not about a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anthropic
import openai

from aicost.testing import ProviderEmulator

from .doors import anthropic_doors, openai_doors
from .doors.openai_doors import said

__all__ = ["Clients", "chat", "chat_stream", "connect", "embeddings", "messages", "said"]


@dataclass(frozen=True)
class Clients:
    """The two clients, pointed at an emulator."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic


def connect(emulator: ProviderEmulator) -> Clients:
    return Clients(openai_doors.connect(emulator), anthropic_doors.connect(emulator))


def chat(c: Clients, ask: str) -> Any:
    return openai_doors.chat(c.openai, ask)


def chat_stream(c: Clients, ask: str) -> Any:
    return list(openai_doors.chat_stream(c.openai, ask))


def embeddings(c: Clients, ask: str) -> Any:
    return openai_doors.embeddings(c.openai, ask)


def messages(c: Clients, ask: str) -> Any:
    return anthropic_doors.messages(c.anthropic, ask)
