"""Names of providers."""

from __future__ import annotations

import re

PROVIDER_ALIASES = {
    "xai": "x_ai",
    "mistral": "mistral_ai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
}
"""Everyday names for the provider names of the OpenTelemetry conventions, which events and rate cards use."""

_SPAN_NAMES = {
    **PROVIDER_ALIASES,
    "gcp.vertex.agent": "gcp.gemini",
    "gcp.gen_ai": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "google.generative-ai": "gcp.gemini",
    "google.vertex": "gcp.vertex_ai",
    "google_vertexai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "amazon-bedrock": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "azure-openai": "azure.ai.openai",
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "mistralai": "mistral_ai",
    "togetherai": "together",
    "together_ai": "together",
}
"""What spans call providers."""

_FIRST_PARTIES = (
    (re.compile(r"(?:[a-z-]+\.)?(?:anthropic|amazon|meta|mistral|cohere|deepseek|openai|qwen)\."), "aws.bedrock"),
    (re.compile(r"gpt-|chatgpt-|o[1-9](?:-|$)|text-embedding-(?:3|ada)|codex-"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "gcp.gemini"),
    (re.compile(r"command-|rerank-v|embed-v"), "cohere"),
    (re.compile(r"(?:mistral|ministral|codestral|magistral|pixtral|devstral)-"), "mistral_ai"),
    (re.compile(r"deepseek-(?:chat|reasoner)"), "deepseek"),
    (re.compile(r"grok-"), "x_ai"),
)


def provider_named(name: str | None) -> str | None:
    """The provider a span means by a name: `OpenAI`, `gemini`, `openai.chat` (Vercel AI SDK: provider and API).

    >>> provider_named("anthropic.messages")
    'anthropic'
    """
    if not name:
        return None
    lower = name.lower()
    found = _SPAN_NAMES.get(lower)
    if found is not None or lower.startswith(("gcp.", "aws.", "azure.ai", "ibm.")):
        return found or lower
    head, _, api = lower.rpartition(".")
    if head and api in _APIS:
        return _SPAN_NAMES.get(head, head)
    head = lower.partition("/")[0]
    return _SPAN_NAMES.get(head, head)


_APIS = {
    "chat",
    "responses",
    "completion",
    "embedding",
    "messages",
    "image",
    "speech",
    "transcription",
    "textembedding",
}


def provider_of_model(model: str) -> str | None:
    """Whose model it is, where its name says so and nobody says who serves it."""
    return next((provider for pattern, provider in _FIRST_PARTIES if pattern.match(model)), None)
