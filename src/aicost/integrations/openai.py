"""The `openai` client: chat completions, responses, embeddings. Read in openai 1.66 and 3.52."""

from __future__ import annotations

from typing import Any

from ._instrumentor import ClientInstrumentor
from ._stainless import Endpoint, StainlessClient, host_of

_HOSTS = {
    "api.openai.com": "openai",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.x.ai": "x_ai",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "openrouter.ai": "openrouter",
}
"""Hosts that speak OpenAI's API under a price list of their own."""


def _provider_of(instance: Any) -> str:
    if "Azure" in type(instance).__name__:
        return "azure.ai.openai"
    return _HOSTS.get(host_of(instance), "openai")


class OpenAIInstrumentor(ClientInstrumentor):
    """Instruments every `OpenAI` and `AsyncOpenAI` client, those that exist already included."""

    requires = "openai >= 1.66, < 4"
    client = StainlessClient(
        module="openai",
        endpoints={
            "/chat/completions": Endpoint("chat", "chat"),
            "/responses": Endpoint("chat", "responses"),
            "/embeddings": Endpoint("embeddings", "embeddings"),
        },
        provider_of=_provider_of,
    )
