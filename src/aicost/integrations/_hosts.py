"""Who answers at a host: the provider names of hosts that speak OpenAI's API under prices of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HOSTS = {
    "ai-gateway.vercel.sh": "vercel_ai_gateway",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.anthropic.com": "anthropic",
    "api.cerebras.ai": "cerebras",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepinfra.com": "deepinfra",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks",
    "api.friendli.ai": "friendliai",
    "api.groq.com": "groq",
    "api.hyperbolic.xyz": "hyperbolic",
    "api.inceptionlabs.ai": "inception",
    "api.lambda.ai": "lambda_ai",
    "api.minimax.io": "minimax",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot",
    "api.moonshot.cn": "moonshot",
    "api.novita.ai": "novita",
    "api.perplexity.ai": "perplexity",
    "api.sambanova.ai": "sambanova",
    "api.studio.nebius.com": "nebius",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.x.ai": "x_ai",
    "api.z.ai": "zai",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "dashscope.aliyuncs.com": "dashscope",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "inference.baseten.co": "baseten",
    "openrouter.ai": "openrouter",
    "router.huggingface.co": "huggingface",
}
_SUFFIXES = {
    ".openai.com": "openai",
    ".openai.azure.com": "azure.ai.openai",
    ".cognitiveservices.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.openai",
    ".models.ai.azure.com": "azure.ai.inference",
    "-aiplatform.googleapis.com": "gcp.vertex_ai",
    ".amazonaws.com": "aws.bedrock",
    ".api.aws": "aws.bedrock",
    ".databricks.com": "databricks",
    ".azuredatabricks.net": "databricks",
    ".snowflakecomputing.com": "snowflake",
}
_LOCAL_PORTS = {11434: "ollama", 1234: "lm_studio", 8000: "vllm"}
"""Where servers on one's own machine listen, unless they are told otherwise."""

_named: Mapping[str, str] = {}


def name_hosts(hosts: Mapping[str, str]) -> None:
    """Set the provider names of the application's own hosts (`provider_hosts`); they come before those known here."""
    global _named
    _named = {host.lower(): provider for host, provider in hosts.items()}


def names_in_force() -> object:
    """What `name_hosts` has set last, to tell whether it has changed."""
    return _named


def provider_at(host: str, port: int | None = None, default: str = "openai") -> str:
    """The provider name of a host."""
    host = host.lower()
    found = _named.get(f"{host}:{port}") or _named.get(host) or _HOSTS.get(host)
    if found is not None:
        return found
    for suffix, provider in _SUFFIXES.items():
        if host.endswith(suffix):
            return provider
    if host in {"localhost", "127.0.0.1", "::1"} and port in _LOCAL_PORTS:
        return _LOCAL_PORTS[port]
    return default


def served_at(url: Any) -> dict[str, Any]:
    """The server of a URL, whichever library it is of, as a `Target` takes it."""
    host = getattr(url, "hostname", None) or getattr(url, "host", None)
    return {"server_address": host, "server_port": url.port or (443 if url.scheme == "https" else 80)}
