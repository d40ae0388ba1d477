"""Integrations: one small file per client, framework or database, and the table that names them."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aicost._errors import ConfigError

if TYPE_CHECKING:
    from ._instrumentor import PackageInstrumentor

_log = logging.getLogger("aicost")

INTEGRATIONS: dict[str, tuple[str, str]] = {
    "openai": ("openai", "clients.openai:OpenAIInstrumentor"),
    "anthropic": ("anthropic", "clients.anthropic:AnthropicInstrumentor"),
    "google-genai": ("google.genai", "clients.google:GoogleInstrumentor"),
    "botocore": ("botocore", "clients.bedrock:BedrockInstrumentor"),
    "mistralai": ("mistralai", "clients.mistral:MistralInstrumentor"),
    "cohere": ("cohere", "clients.cohere:CohereInstrumentor"),
    "groq": ("groq", "clients.groq:GroqInstrumentor"),
    "together": ("together", "clients.together:TogetherInstrumentor"),
    "ollama": ("ollama", "clients.ollama:OllamaInstrumentor"),
    "voyageai": ("voyageai", "clients.voyage:VoyageInstrumentor"),
    "huggingface_hub": ("huggingface_hub", "clients.huggingface:HuggingFaceInstrumentor"),
    "litellm": ("litellm", "clients.litellm:LiteLLMInstrumentor"),
    "langchain-core": ("langchain_core", "frameworks.langchain:LangChainInstrumentor"),
    "pydantic-ai-slim": ("pydantic_ai", "frameworks.native:PydanticAIInstrumentor"),
    "google-adk": ("google.adk", "frameworks.native:GoogleADKInstrumentor"),
    "strands-agents": ("strands", "frameworks.native:StrandsInstrumentor"),
    "semantic-kernel": ("semantic_kernel", "frameworks.native:SemanticKernelInstrumentor"),
    "agent-framework-core": ("agent_framework", "frameworks.native:AgentFrameworkInstrumentor"),
    "autogen-core": ("autogen_core", "frameworks.native:AutoGenInstrumentor"),
    "smolagents": ("smolagents", "frameworks.smolagents:SmolagentsInstrumentor"),
    "crewai": ("crewai", "frameworks.crewai:CrewAIInstrumentor"),
    "haystack-ai": ("haystack", "frameworks.haystack:HaystackInstrumentor"),
    "dspy": ("dspy", "frameworks.dspy:DSPyInstrumentor"),
    "llama-index-core": ("llama_index.core", "frameworks.llamaindex:LlamaIndexInstrumentor"),
    "claude-agent-sdk": ("claude_agent_sdk", "frameworks.claude_agent:ClaudeAgentInstrumentor"),
    "mcp": ("mcp", "frameworks.mcp:MCPInstrumentor"),
    "openai-agents": ("agents", "frameworks.openai_agents:OpenAIAgentsInstrumentor"),
    "langgraph": ("langgraph", "frameworks.langgraph:LangGraphInstrumentor"),
    "chromadb": ("chromadb", "stores.chroma:ChromaInstrumentor"),
    "qdrant-client": ("qdrant_client", "stores.qdrant:QdrantInstrumentor"),
    "pinecone": ("pinecone", "stores.pinecone:PineconeInstrumentor"),
    "weaviate-client": ("weaviate", "stores.weaviate:WeaviateInstrumentor"),
    "pymilvus": ("pymilvus", "stores.milvus:MilvusInstrumentor"),
    "lancedb": ("lancedb", "stores.lancedb:LanceDBInstrumentor"),
    "faiss-cpu": ("faiss", "stores.faiss:FaissInstrumentor"),
    "psycopg": ("psycopg", "stores.psycopg:PsycopgInstrumentor"),
    "SQLAlchemy": ("sqlalchemy", "stores.sqlalchemy:SQLAlchemyInstrumentor"),
    "redis": ("redis", "stores.redis:RedisInstrumentor"),
    "elasticsearch": ("elasticsearch", "stores.elastic:ElasticsearchInstrumentor"),
    "opensearch-py": ("opensearchpy", "stores.elastic:OpenSearchInstrumentor"),
}
"""By the name of the package: what it is imported as, and the module and instrumentor here."""


@dataclass(frozen=True, slots=True)
class IntegrationStatus:
    """What is known of one integration: the package found, the versions it takes, and whether it is on."""

    name: str
    requires: str
    installed: str | None
    instrumented: bool
    problem: str | None


def instrument(names: Iterable[str], **providers: Any) -> list[str]:
    """Turn integrations on; `auto` stands for all whose package is installed. Returns the names that are on.

    A package that is missing or of another version is logged in one line and left alone. Raises `ConfigError` for a
    name nobody knows. Those that are on already record with the given providers from the next call on.
    """
    on = []
    for name in chosen(names):
        status = integration_status(name)
        if status.problem is not None:
            _log.warning("%s is not instrumented: %s", name, status.problem)
            continue
        try:
            instrumentor = load(name)
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.follow(**providers)
            else:
                instrumentor.instrument(skip_dep_check=True, **providers)
            if not instrumentor.broken:
                on.append(name)
        except Exception as error:  # noqa: BLE001 - a client that moved something must not stop the application
            _log.warning("%s is not instrumented: this version is laid out differently (%r)", name, error)
    return on


def chosen(names: Iterable[str]) -> list[str]:
    """The integrations that names stand for, each once. Raises `ConfigError` for a name nobody knows."""
    return list(dict.fromkeys(expanded for name in names for expanded in _expand(name)))


def uninstrument(names: Iterable[str] = ()) -> None:
    """Turn integrations off again, all of them without names; the clients are as they were."""
    for name in names or INTEGRATIONS:
        if _is_installed(name):
            instrumentor = load(name)
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()


def integration_status(name: str) -> IntegrationStatus:
    """What is installed, what is on, and what stands in the way."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    instrumentor = load(name)
    try:
        installed = version(name)
    except PackageNotFoundError:
        return IntegrationStatus(name, instrumentor.requires, None, False, f"the package {name!r} is not installed")
    problem = None
    if not Requirement(instrumentor.requires).specifier.contains(installed, prereleases=True):
        problem = f"{name} {installed} is installed, aicost takes {instrumentor.requires}"
    return IntegrationStatus(
        name, instrumentor.requires, installed, instrumentor.is_instrumented_by_opentelemetry, problem
    )


def load(name: str) -> PackageInstrumentor:
    """The instrumentor of one integration, without importing the client it wraps."""
    module, _, attribute = INTEGRATIONS[name][1].partition(":")
    made: PackageInstrumentor = getattr(importlib.import_module(f".{module}", __name__), attribute)()
    return made


def _expand(name: str) -> list[str]:
    if name == "auto":
        return [known for known in INTEGRATIONS if _is_installed(known)]
    if name not in INTEGRATIONS:
        raise ConfigError(f"no integration called {name!r}; known: auto, {', '.join(INTEGRATIONS)}")
    return [name]


def _is_installed(name: str) -> bool:
    """Whether the package can be imported; nothing of it is, save for the `google` namespace."""
    try:
        return find_spec(INTEGRATIONS[name][0]) is not None
    except ModuleNotFoundError:
        return False
