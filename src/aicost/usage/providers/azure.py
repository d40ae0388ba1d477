"""Azure: OpenAI's models in OpenAI's shape, and those of everybody else at the inference endpoint."""

from __future__ import annotations

from aicost.usage.provider import Provider

PROVIDERS = (
    Provider(
        "azure.ai.openai",
        aliases=("azure_openai", "azureopenai", "azure_text", "az_ai_openai", "azure_ai_foundry_openai"),
        loosely=("azure",),
        hosts=("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com"),
        no_regions=("global_standard",),
        priced_with=("azure.ai.inference",),
        model_spellings=(("gpt-35-", "gpt-3.5-"),),
        request_headers={"api-key": "key"},
        response_headers={"apim-request-id": "request_id"},
        strict=True,
    ),
    Provider(
        "azure.ai.inference",
        aliases=("azure_ai", "az_ai_inference", "azure_ai_inference", "azureaiinference", "azure_ai_foundry",
                 "foundry", "azure_foundry"),
        loosely=("azure",),
        hosts=("*.models.ai.azure.com",),
        no_regions=("global_standard",),
        priced_with=("azure.ai.openai",),
    ),
)  # fmt: skip
