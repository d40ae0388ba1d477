"""The dialects: by instrumentation scope, where usage lives and what it means.

A new dialect is a row of `DIALECTS`, and a recording of what it really sends in `tests/collector/recordings/`, made by
`tests/tools/record.py`; recordings name the versions that were read, and docs/dialects.md what is known from each. A
scope nobody here knows is read by upstream's conventions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aicost._bounded import remembered

from .dialects import CALL_LLM, MARKS, UNKNOWN, AttributeNames, Dialect

_COUNTS: dict[str, AttributeNames] = {
    "input_tokens": ("gen_ai.usage.input_tokens",),
    "output_tokens": ("gen_ai.usage.output_tokens",),
    "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens",),
    "input_audio_tokens": ("gen_ai.usage.audio.input_tokens",),
    "output_audio_tokens": ("gen_ai.usage.audio.output_tokens",),
}
"""Upstream's own names, those of its span attributes and of its newer metrics."""


def _with(counts: Mapping[str, AttributeNames], **more: AttributeNames) -> dict[str, AttributeNames]:
    return {ours: (*counts.get(ours, ()), *more.get(ours, ())) for ours in {**counts, **more}}


_ANTHROPIC_COUNTS = _with(
    _COUNTS,
    cache_write_5m_tokens=("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",),
    cache_write_1h_tokens=("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
)
_OLDER_COUNTS = _with(
    _COUNTS,
    input_tokens=("gen_ai.usage.prompt_tokens",),
    output_tokens=("gen_ai.usage.completion_tokens",),
    cache_read_tokens=("gen_ai.usage.cache_read_input_tokens",),
    cache_write_tokens=("gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens"),
    reasoning_tokens=("gen_ai.usage.reasoning_tokens",),
    total_tokens=("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
)
_DETAILS_COUNTS = _with(
    _COUNTS,
    cache_read_tokens=("gen_ai.usage.details.cache_read_tokens",),
    cache_write_tokens=("gen_ai.usage.details.cache_write_tokens",),
    cache_write_5m_tokens=("gen_ai.usage.details.ephemeral_5m_input_tokens",),
    cache_write_1h_tokens=("gen_ai.usage.details.ephemeral_1h_input_tokens",),
    reasoning_tokens=("gen_ai.usage.details.reasoning_tokens",),
    input_audio_tokens=("gen_ai.usage.details.input_audio_tokens",),
    output_audio_tokens=("gen_ai.usage.details.output_audio_tokens",),
)
_OPENINFERENCE_COUNTS: dict[str, AttributeNames] = {
    "input_tokens": ("llm.token_count.prompt",),
    "output_tokens": ("llm.token_count.completion",),
    "cache_read_tokens": ("llm.token_count.prompt_details.cache_read",),
    "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
    "cache_write_1h_tokens": ("output.value/usage/cache_creation/ephemeral_1h_input_tokens",),
    "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
    "input_audio_tokens": ("llm.token_count.prompt_details.audio",),
    "output_audio_tokens": ("llm.token_count.completion_details.audio",),
    "total_tokens": ("llm.token_count.total",),
}
_VERCEL = "ai.response.providerMetadata"
_VERCEL_COUNTS: dict[str, AttributeNames] = {
    "input_tokens": ("gen_ai.usage.input_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens"),
    "cache_read_tokens": (
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        f"{_VERCEL}/openai/cachedPromptTokens",
        f"{_VERCEL}/anthropic/cacheReadInputTokens",
        f"{_VERCEL}/anthropic/usage/cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        f"{_VERCEL}/anthropic/cacheCreationInputTokens",
    ),
    "cache_write_1h_tokens": (f"{_VERCEL}/anthropic/usage/cache_creation/ephemeral_1h_input_tokens",),
    "reasoning_tokens": ("ai.usage.reasoningTokens", f"{_VERCEL}/openai/reasoningTokens"),
}
_LITELLM = "metadata.usage_object"
_LITELLM_COUNTS: dict[str, AttributeNames] = {
    "input_tokens": ("gen_ai.usage.input_tokens",),
    "output_tokens": ("gen_ai.usage.output_tokens",),
    "cache_read_tokens": (f"{_LITELLM}/prompt_tokens_details/cached_tokens",),
    "cache_write_tokens": (f"{_LITELLM}/prompt_tokens_details/cache_creation_tokens",),
    "cache_write_1h_tokens": (
        f"{_LITELLM}/prompt_tokens_details/cache_creation_token_details/ephemeral_1h_input_tokens",
    ),
    "reasoning_tokens": (f"{_LITELLM}/completion_tokens_details/reasoning_tokens",),
    "input_audio_tokens": (f"{_LITELLM}/prompt_tokens_details/audio_tokens",),
    "output_audio_tokens": (f"{_LITELLM}/completion_tokens_details/audio_tokens",),
    "total_tokens": ("gen_ai.usage.total_tokens",),
}
_LANGSMITH = "langsmith.metadata.usage_metadata"
_LANGSMITH_COUNTS: dict[str, AttributeNames] = {
    "input_tokens": (f"{_LANGSMITH}/input_tokens", "gen_ai.usage.input_tokens"),
    "output_tokens": (f"{_LANGSMITH}/output_tokens", "gen_ai.usage.output_tokens"),
    "cache_read_tokens": (f"{_LANGSMITH}/input_token_details/cache_read",),
    "cache_write_tokens": (f"{_LANGSMITH}/input_token_details/cache_creation",),
    "cache_write_5m_tokens": (f"{_LANGSMITH}/input_token_details/ephemeral_5m_input_tokens",),
    "cache_write_1h_tokens": (f"{_LANGSMITH}/input_token_details/ephemeral_1h_input_tokens",),
    "reasoning_tokens": (f"{_LANGSMITH}/output_token_details/reasoning",),
    "input_audio_tokens": (f"{_LANGSMITH}/input_token_details/audio",),
    "output_audio_tokens": (f"{_LANGSMITH}/output_token_details/audio",),
    "total_tokens": (f"{_LANGSMITH}/total_tokens", "gen_ai.usage.total_tokens"),
}
_MLFLOW = "mlflow.chat.tokenUsage"
_MLFLOW_COUNTS: dict[str, AttributeNames] = {
    "input_tokens": (f"{_MLFLOW}/input_tokens", "mlflow.spanOutputs/usage/prompt_tokens"),
    "output_tokens": (f"{_MLFLOW}/output_tokens",),
    "cache_read_tokens": (f"{_MLFLOW}/cache_read_input_tokens",),
    "cache_write_tokens": (f"{_MLFLOW}/cache_creation_input_tokens",),
    "cache_write_1h_tokens": (f"{_MLFLOW}/cache_creation_input_tokens_above_1hr",),
    "reasoning_tokens": (
        "mlflow.spanOutputs/usage/completion_tokens_details/reasoning_tokens",
        "mlflow.spanOutputs/usage/output_tokens_details/reasoning_tokens",
    ),
    "total_tokens": (f"{_MLFLOW}/total_tokens",),
}

_UPSTREAM = Dialect("upstream", counts=_COUNTS, scopes=("aicost", "gen_ai", "opentelemetry.instrumentation.google"))
_OPENINFERENCE = Dialect(
    "openinference",
    ("openinference.", "@arizeai/openinference"),
    marks=("openinference.span.kind",),
    ignored=("._prepare_",),  # a model's helper that makes the body of a request (llama-index)
    provider=("llm.provider", "llm.system"),
    asked=("llm.request.model_name", "llm.model_name", "embedding.model_name"),
    answered=("llm.response.model_name", "llm.model_name", "embedding.model_name"),
    response_id=("output.value/id",),
    tier=("output.value/service_tier", "output.value/usage/service_tier"),
    counts=_OPENINFERENCE_COUNTS,
)
_OPENLLMETRY = ("gen_ai.operation.name", "llm.request.type")
DIALECTS: tuple[Dialect, ...] = (
    _UPSTREAM,
    replace(
        _UPSTREAM,
        id="upstream-totals",
        blind=True,
        scopes=(
            "opentelemetry.util.genai",
            "opentelemetry.instrumentation.openai_v2",
            "opentelemetry.instrumentation.openai_agents",
            "@opentelemetry/instrumentation-openai",
        ),
    ),
    replace(
        _UPSTREAM,
        id="upstream-bedrock",
        scopes=("opentelemetry.instrumentation.botocore",),
        exclusive_of=("aws.bedrock",),
        blind_if=("rpc.method", "InvokeModel"),
    ),
    replace(
        _UPSTREAM,
        id="anthropic",
        scopes=("com.anthropic",),
        tier=("anthropic.response.service_tier",),
        counts=_ANTHROPIC_COUNTS,
    ),
    replace(
        _UPSTREAM,
        id="openllmetry",
        scopes=("opentelemetry.instrumentation.",),
        marks=_OPENLLMETRY,
        counts=_OLDER_COUNTS,
        blind_if=("llm.request.type", ""),  # versions that say it count no cached tokens
    ),
    replace(_UPSTREAM, id="openllmetry-js", scopes=("@traceloop/",), blind=True),
    _OPENINFERENCE,
    replace(
        _OPENINFERENCE, id="openinference-agents", scopes=("openinference.instrumentation.openai_agents",), blind=True
    ),
    replace(_UPSTREAM, id="openlit", scopes=("openlit.",), exclusive_of=("anthropic",), blind=True),
    replace(
        _UPSTREAM,
        id="litellm",
        scopes=("litellm",),
        provider=("gen_ai.system", "litellm.provider.model"),
        tier=("gen_ai.openai.response.service_tier",),
        counts=_LITELLM_COUNTS,
    ),
    Dialect(
        "mlflow",
        ("mlflow.",),
        marks=("mlflow.spanType",),
        provider=("mlflow.llm.provider", "mlflow.message.format"),
        asked=("mlflow.llm.model",),
        answered=(),
        response_id=("mlflow.spanOutputs/id",),
        tier=("mlflow.spanOutputs/service_tier", "mlflow.spanOutputs/usage/service_tier"),
        counts=_MLFLOW_COUNTS,
    ),
    replace(
        _UPSTREAM,
        id="langsmith",
        scopes=("langsmith",),
        marks=("langsmith.span.kind",),
        provider=("langsmith.metadata.ls_provider", "gen_ai.system"),
        response_id=("gen_ai.response.id", "gen_ai.completion/id"),
        tier=("gen_ai.response.service_tier",),
        counts=_LANGSMITH_COUNTS,
    ),
    replace(
        _UPSTREAM,
        id="logfire-agents",
        scopes=("logfire.openai_agents",),
        names={"Responses API": "chat", "Chat completion": "chat"},
        response_id=("response_id",),
        raw=("gen_ai.usage.raw/", "usage/"),
        partial_views=True,
    ),
    replace(_UPSTREAM, id="logfire", scopes=("logfire.",), raw=("gen_ai.usage.raw/",), partial_views=True),
    replace(
        _UPSTREAM,
        id="vercel-ai",
        scopes=("ai",),
        marks=("ai.operationId",),
        provider=("gen_ai.system", "ai.model.provider"),
        asked=("gen_ai.request.model", "ai.model.id"),
        response_id=("gen_ai.response.id", "ai.response.id"),
        tier=(f"{_VERCEL}/openai/serviceTier", f"{_VERCEL}/anthropic/usage/service_tier"),
        counts=_VERCEL_COUNTS,
        exclusive_of=("anthropic",),
        inclusive_with="ai.usage.inputTokenDetails.cacheReadTokens",
        blind=True,
    ),
    replace(_UPSTREAM, id="pydantic-ai", scopes=("pydantic-ai",), counts=_DETAILS_COUNTS),
    replace(
        _UPSTREAM,
        id="google-adk-v1",
        scopes=("gcp.vertex.agent",),
        versions=("1.", "none"),
        marks=(),
        names={CALL_LLM: "generate_content"},
        raw=("gcp.vertex.agent.llm_response/usage_metadata",),
        partial_views=True,
    ),
    replace(_UPSTREAM, id="google-adk", scopes=("gcp.vertex.agent",)),
    replace(
        _UPSTREAM,
        id="strands",
        scopes=("strands",),
        # Before 1.18 the names with underscores were always zero; since then they count (1.62 has both names).
        counts=_with(
            _COUNTS,
            cache_read_tokens=("gen_ai.usage.cache_read_input_tokens",),
            cache_write_tokens=("gen_ai.usage.cache_write_input_tokens",),
        ),
        zero_is_silence=("gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.cache_write_input_tokens"),
        blind=True,
        exclusive_of=("anthropic", "aws.bedrock"),
        inclusive_with="gen_ai.usage.cache_read.input_tokens",
    ),
    replace(_UPSTREAM, id="semantic-kernel", scopes=("semantic_kernel",), blind=True),
    replace(_UPSTREAM, id="agent-framework", scopes=("agent_framework",)),
    replace(_UPSTREAM, id="autogen", scopes=("autogen",)),
    replace(_UPSTREAM, id="spring-ai", scopes=("org.springframework",), exclusive_of=("anthropic",), blind=True),
)
"""The dialects, each found by how the name and version of a scope begin: the longest name, then the first."""

_UNKNOWN = replace(
    _UPSTREAM,
    id=UNKNOWN,
    scopes=(),
    marks=MARKS,
    provider=(*_UPSTREAM.provider, "llm.provider", "llm.system"),
    asked=(*_UPSTREAM.asked, "llm.model_name", "embedding.model_name"),
    answered=(*_UPSTREAM.answered, "llm.model_name", "embedding.model_name"),
    tier=(*_UPSTREAM.tier, "gen_ai.response.service_tier", "anthropic.response.service_tier"),
    counts=_with(
        _with(_with(_OLDER_COUNTS, **_DETAILS_COUNTS), **_ANTHROPIC_COUNTS),
        **{ours: names for ours, names in _OPENINFERENCE_COUNTS.items() if "/" not in names[0]},
    ),
    input="unknown",
)


@remembered(4096)
def dialect_of(scope: str, version: str = "") -> Dialect:
    """The dialect that an instrumentation scope speaks."""
    fits = [
        (max(len(start) for start in dialect.scopes if scope.startswith(start)), dialect)
        for dialect in DIALECTS
        if scope.startswith(dialect.scopes) and (version or "none").startswith(dialect.versions)
    ]
    return max(fits, key=lambda found: found[0])[1] if fits else _UNKNOWN
