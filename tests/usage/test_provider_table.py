"""One table of providers: whatever name, host, tier or place anybody writes is understood by it, and by it alone."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import aicost
from aicost.pricing.card import RateCard
from aicost.usage.provider import as_word
from aicost.usage.providers import (
    APIS,
    NOBODY,
    PROVIDERS,
    canonical_provider,
    has_weak_ids,
    normal_region,
    normal_tier,
    provider_at,
    provider_in,
    provider_named,
    same_provider,
    served_by,
    split_model,
)
from aicost.usage.readers import read_response

SOURCE = Path(aicost.__file__).parent


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("OpenAI", "openai"),
        ("openai.responses", "openai"),  # Vercel AI SDK
        ("openai/gpt-4o", "openai"),  # litellm
        ("azure", "azure.ai.openai"),
        ("Azure OpenAI", "azure.ai.openai"),
        ("azure-openai.chat", "azure.ai.openai"),
        ("az.ai.openai", "azure.ai.openai"),  # OpenTelemetry before 1.37
        ("az.ai.inference", "azure.ai.inference"),
        ("azure_ai", "azure.ai.inference"),
        ("anthropic.messages", "anthropic"),
        ("gemini", "gcp.gemini"),
        ("google", "gcp.gemini"),
        ("gcp.gen_ai", "gcp.gemini"),
        ("gcp.vertex.agent", "gcp.gemini"),
        ("google.generative-ai", "gcp.gemini"),
        ("google_genai", "gcp.gemini"),  # langchain
        ("google-gla", "gcp.gemini"),  # pydantic-ai
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("vertex.anthropic.messages", "gcp.vertex_ai"),
        ("google_anthropic_vertex", "gcp.vertex_ai"),
        ("vertex_ai-anthropic_models", "gcp.vertex_ai"),  # litellm's price map
        ("vertexai", "gcp.vertex_ai"),
        ("amazon-bedrock", "aws.bedrock"),
        ("bedrock_converse", "aws.bedrock"),
        ("aws", "aws.bedrock"),
        ("bedrock-mantle", "bedrock_mantle"),
        ("mistralai", "mistral_ai"),
        ("mistral.chat", "mistral_ai"),
        ("codestral", "mistral_ai"),
        ("xai", "x_ai"),
        ("x-ai", "x_ai"),
        ("grok", "x_ai"),
        ("together_ai", "together"),
        ("fireworks_ai", "fireworks"),
        ("fireworks-ai", "fireworks"),
        ("moonshotai", "moonshot"),
        ("watsonx", "ibm.watsonx.ai"),
        ("hosted_vllm", "vllm"),
        ("ollama_chat", "ollama"),
        ("huggingface_fireworks-ai", "huggingface_fireworks_ai"),
        ("Our-Gateway", "our-gateway"),
        ("langchain", None),
        ("microsoft.agent_framework", None),
        ("strands-agents", None),
        ("None", None),
        ("", None),
        (None, None),
    ],
)
def test_whatever_a_provider_is_called_it_is_the_same_provider(said: str | None, meant: str | None) -> None:
    assert provider_named(said) == meant


def test_no_name_means_two_providers_without_saying_so() -> None:
    words = Counter(word for row in PROVIDERS for word in {as_word(name) for name in (row.name, *row.aliases)})
    assert [word for word, count in words.items() if count > 1] == []
    exact = set(words) - {"aws_bedrock"}  # which may be its Mantle endpoint, and is priced as Bedrock
    assert not exact & {as_word(name) for row in PROVIDERS for name in row.loosely}
    assert not exact & NOBODY
    assert all(name == as_word(name) for row in PROVIDERS for name in (*row.aliases, *row.loosely))
    hosts = Counter(host for row in PROVIDERS for host in row.hosts)
    assert max(hosts.values()) == 1
    assert all(host.count("*") <= 1 and host == host.lower() for host in hosts)


def test_every_provider_of_the_bundled_card_is_found_by_its_own_name() -> None:
    names = RateCard.bundled().providers()
    assert [canonical_provider(name) for name in names] == names
    assert [provider_named(name) for name in names] == names


@pytest.mark.parametrize(
    ("host", "port", "path", "provider"),
    [
        ("api.openai.com", 443, "", "openai"),
        ("eu.api.openai.com", 443, "", "openai"),
        ("our.openai.azure.com", 443, "", "azure.ai.openai"),
        ("our.services.ai.azure.com", 443, "", "azure.ai.openai"),
        ("our.eastus.models.ai.azure.com", 443, "", "azure.ai.inference"),
        ("API.Groq.com", 443, "", "groq"),
        ("aiplatform.googleapis.com", 443, "", "gcp.vertex_ai"),
        ("europe-west1-aiplatform.googleapis.com", 443, "", "gcp.vertex_ai"),
        ("aiplatform.eu.rep.googleapis.com", 443, "", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", 443, "", "gcp.gemini"),
        ("bedrock-runtime.us-east-1.amazonaws.com", 443, "", "aws.bedrock"),
        ("bedrock-runtime.us-east-1.api.aws", 443, "", "aws.bedrock"),
        ("bedrock-mantle.us-east-1.api.aws", 443, "/v1", "bedrock_mantle"),
        ("api.voyageai.com", 443, "", "voyage"),
        ("codestral.mistral.ai", 443, "", "mistral_ai"),
        ("router.huggingface.co", 443, "/v1", "huggingface"),
        ("router.huggingface.co", 443, "/groq/openai/v1/chat/completions", "huggingface_groq"),
        ("router.huggingface.co", 443, "/fireworks-ai/inference/v1", "huggingface_fireworks_ai"),
        ("router.huggingface.co", 443, "/hf-inference/models/x", "huggingface"),
        ("localhost", 11434, "/v1", "ollama"),
        ("127.0.0.1", 1234, "/v1", "lm_studio"),
        ("localhost", 9, "/v1", None),
        ("llm.internal", 11434, "/v1", None),
        ("notopenai.com", 443, "", None),
    ],
)
def test_a_host_says_who_answers(host: str, port: int, path: str, provider: str | None) -> None:
    assert provider_at(host, port, path) == provider


@pytest.mark.parametrize(
    ("provider", "defaults", "others"),
    [
        ("openai", ("default", "auto", "standard"), {"flex": "flex", "fast": "priority", "scale": "scale"}),
        ("azure.ai.openai", ("default", "auto"), {"priority": "priority"}),
        ("anthropic", ("standard", "default"), {"priority": "priority", "batch": "batch"}),
        ("groq", ("on_demand", "auto", "default"), {"flex": "flex", "performance": "performance"}),
        ("gcp.gemini", ("standard", "unspecified", "ON_DEMAND"), {"flex": "flex", "priority": "priority"}),
        ("gcp.vertex_ai", ("standard", "TRAFFIC_TYPE_UNSPECIFIED", "on_demand"), {"priority": "priority"}),
        ("google", ("unspecified",), {}),
        ("aws.bedrock", ("default", "standard"), {"priority": "priority", "reserved": "reserved"}),
        ("x_ai", ("default",), {"priority": "priority"}),
        ("mistral_ai", ("default",), {"batch": "batch"}),
        ("openrouter", ("default", "standard"), {"flex": "flex"}),
        ("our_vllm", ("default", "on_demand"), {"priority": "priority"}),
        (None, ("default", "on_demand", "unspecified"), {"flex": "flex"}),
    ],
)
def test_every_word_for_the_default_tier_is_the_default(
    provider: str | None, defaults: tuple[str, ...], others: dict[str, str]
) -> None:
    assert [normal_tier(word, provider) for word in (*defaults, None)] == [None] * (len(defaults) + 1)
    assert {word: normal_tier(word, provider) for word in others} == others


def test_what_is_default_to_one_is_no_default_to_another() -> None:
    assert normal_tier("on_demand", "openai") == "on_demand"


def test_groq_s_own_word_for_its_default_is_read_as_that() -> None:
    body = {
        "id": "chatcmpl-7a1d",
        "model": "llama-3.3-70b-versatile",
        "service_tier": "on_demand",
        "usage": {"prompt_tokens": 21, "completion_tokens": 8, "total_tokens": 29},
    }
    assert read_response(body, api="chat", provider="groq").service_tier is None


@pytest.mark.parametrize(
    ("region", "provider", "model", "priced"),
    [
        ("global", "gcp.vertex_ai", "gemini-3.5-flash", None),
        ("global", "vertex_ai", "claude-sonnet-4-5", None),
        ("GLOBAL", None, "", None),
        ("europe-west1", "gcp.vertex_ai", "gemini-3.5-flash", "europe-west1"),
        ("us", "gcp.vertex_ai", "claude-sonnet-4-5", "us"),
        ("not_available", "anthropic", "", None),
        ("us", "anthropic", "", "us"),
        ("global-standard", "azure", "gpt-4o", None),
        ("eu", "azure", "gpt-4o", "eu"),
        ("us-east-1", "aws.bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", None),
        ("eu-west-2", "bedrock", "amazon.nova-lite-v1:0", "eu-west-2"),
        ("eu-west-2", "bedrock", "eu.amazon.nova-lite-v1:0", None),
        ("us-gov-west-1", "bedrock", "us-gov.openai.gpt-oss-20b-1:0", None),
        ("eu-west-2", "bedrock", "arn:aws:bedrock:eu-west-2:1:inference-profile/eu.amazon.nova-lite-v1:0", None),
        ("us-east-1", "openai", "gpt-4o", "us-east-1"),
        ("", "openai", "gpt-4o", None),
        (None, None, "", None),
    ],
)
def test_a_place_that_costs_nothing_more_is_no_region(
    region: str | None, provider: str | None, model: str, priced: str | None
) -> None:
    assert normal_region(region, provider, model) == priced


SAME = [
    ("openai", "OpenAI.chat"),
    ("openai", None),
    (None, None),
    ("openai", "langchain"),
    ("unknown", "anthropic"),
    ("gcp.gen_ai", "gcp.gemini"),
    ("gcp.gen_ai", "gcp.vertex_ai"),
    ("gcp.vertex.agent", "gcp.vertex_ai"),
    ("google", "gcp.vertex_ai"),
    ("google", "google_genai"),
    ("google.chat", "gcp.vertex_ai"),
    ("azure/gpt-4o", "azure.ai.inference"),
    ("azure", "azure.ai.openai"),
    ("azure", "azure.ai.inference"),
    ("aws", "aws.bedrock"),
    ("aws.bedrock", "bedrock_mantle"),
    ("huggingface", "huggingface_groq"),
    ("mistral", "mistral_ai"),
    ("our-gateway", "Our-Gateway"),
]
DIFFERENT = [
    ("openai", "azure.ai.openai"),
    ("openai", "anthropic"),
    ("openai", "our-gateway"),
    ("gcp.gemini", "gcp.vertex_ai"),
    ("gcp.gen_ai", "openai"),
    ("groq", "huggingface_groq"),
    ("huggingface_groq", "huggingface_together"),
    ("azure.ai.openai", "azure.ai.inference"),
    ("openai", "together"),
]


@pytest.mark.parametrize(
    ("one", "other", "same"), [(*pair, True) for pair in SAME] + [(*pair, False) for pair in DIFFERENT]
)
def test_two_observers_may_mean_one_provider_or_cannot(one: str | None, other: str | None, same: bool) -> None:
    assert same_provider(one, other) is same_provider(other, one) is same


@pytest.mark.parametrize(
    ("kind", "provider"),
    [
        ("openai_llm", "openai"),
        ("openai_like_llm", None),
        ("OpenAILike", None),
        ("LiteLLM", None),
        ("azure_openai_llm", "azure.ai.openai"),
        ("AzureOpenAI", "azure.ai.openai"),
        ("AnthropicVertex", "gcp.vertex_ai"),
        ("Anthropic_LLM", "anthropic"),
        ("Bedrock_Converse_LLM", "aws.bedrock"),
        ("GenAI", "gcp.gemini"),
        ("MistralAI_LLM", "mistral_ai"),
        ("ollama_llm", "ollama"),
        ("TogetherLLM", "together"),
        ("fireworks_llm", "fireworks"),
        ("HuggingFaceLLM", "huggingface"),
        ("SambaNovaCloud", "sambanova"),
        ("MockLLM", None),
        ("", None),
    ],
)
def test_the_name_of_a_class_says_whose_it_is(kind: str, provider: str | None) -> None:
    assert provider_in(kind) == provider


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("fireworks_ai/accounts/fireworks/models/x", ("fireworks", "accounts/fireworks/models/x")),
        ("gpt-4o", ("openai", "gpt-4o")),
        ("meta-llama/Llama-3.3-70B-Instruct", (None, "meta-llama/Llama-3.3-70B-Instruct")),
        ("some-model", (None, "some-model")),
    ],
)
def test_a_model_s_name_may_begin_with_its_provider(model: str, found: tuple[str | None, str]) -> None:
    assert split_model(model) == found


@pytest.mark.parametrize(
    ("provider", "model", "served"),
    [
        ("huggingface", "openai/gpt-oss-120b:groq", ("huggingface_groq", "openai/gpt-oss-120b")),
        ("huggingface", "Qwen/Qwen3-32B:fireworks-ai", ("huggingface_fireworks_ai", "Qwen/Qwen3-32B")),
        ("huggingface", "Qwen/Qwen3-32B:fastest", ("huggingface", "Qwen/Qwen3-32B:fastest")),
        ("huggingface", "Qwen/Qwen3-32B", ("huggingface", "Qwen/Qwen3-32B")),
        ("ollama", "gpt-oss:groq", ("ollama", "gpt-oss:groq")),
    ],
)
def test_a_router_s_model_says_whom_it_goes_to(provider: str, model: str, served: tuple[str, str]) -> None:
    assert served_by(provider, model) == served


@pytest.mark.parametrize(
    ("provider", "weak"), [("openai", False), ("anthropic", False), ("ollama", True), ("our_vllm", True), (None, True)]
)
def test_ids_are_weak_where_they_are_known_to_come_again_or_nothing_is_known(provider: str | None, weak: bool) -> None:
    assert has_weak_ids(provider) is weak


ELSEWHERE = {
    "integrations/__init__.py": "names of packages and of the integrations of them",
    "telemetry/dialect_table.py": "whose counts a dialect passes on unchanged; scopes",
    "testing/emulator/formats/bedrock.py": "families of models at Bedrock",
    "usage/providers": "the providers",
}
"""Files that may name three providers in one literal, and what that is."""


def test_no_other_file_knows_what_providers_are_called_or_where_they_are() -> None:
    words = {as_word(name) for row in PROVIDERS for name in (row.name, *row.aliases, *row.loosely)}
    hosts = {host.strip("*.-") for row in PROVIDERS for host in row.hosts}
    canonical = {row.name for row in PROVIDERS}

    def told(node: ast.AST) -> set[str]:
        texts = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
        said = {text for text in texts if (text == text.lower() and as_word(text) in words) or text in hosts}
        # Facts about providers by the names of the table are no names for them.
        return said if said - canonical else set()

    found: dict[str, list[str]] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.Dict, ast.Set, ast.Tuple, ast.List)) and len(said := told(node)) >= 3:
                where = (file.parent if file.parent.name == "providers" else file).relative_to(SOURCE).as_posix()
                found.setdefault(where, []).append(f"line {node.lineno}: {sorted(said)}")
    assert {name: said for name, said in found.items() if name not in ELSEWHERE} == {}
    assert ELSEWHERE.keys() - found.keys() == set()


def test_what_vercel_appends_is_no_provider() -> None:
    assert not {as_word(api) for api in APIS} & {
        as_word(name) for row in PROVIDERS for name in (row.name, *row.aliases, *row.loosely)
    }
