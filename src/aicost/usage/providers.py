"""Names of providers."""

from __future__ import annotations

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
