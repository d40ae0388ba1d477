"""Who is asked for what, and where, as each client's reader tells it from a request. No client is needed for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aicost.integrations._hosts import provider_at
from aicost.integrations.clients import anthropic, bedrock, google, huggingface, litellm, openai
from aicost.integrations.frameworks import dspy
from aicost.telemetry.call import Target

_VERTEX = "https://{}aiplatform.googleapis.com/v1/projects/p/locations/{}/publishers/google/models/gemini-3.5-flash"
_GLOBAL = _VERTEX.format("", "global") + ":generateContent"
_EUROPE = _VERTEX.format("europe-west1-", "europe-west1") + ":generateContent"
_HF = "https://router.huggingface.co"


def of_google(url: str) -> Target:
    ask = google._call_request(SimpleNamespace(vertexai=True), (SimpleNamespace(url=url, method="post", data={}),), {})
    assert ask is not None
    return ask.target


def of_litellm(url: str, model: str = "m", said: str | None = None) -> Target:
    details = {"model": f"{said}/{model}", "custom_llm_provider": said}
    call = {"json": {"model": model}, "logging_obj": SimpleNamespace(model_call_details=details)}
    ask = litellm._call_request(None, (url,), call)
    assert ask is not None
    return ask.target


def of_huggingface(url: str, model: str, chosen: str | None) -> Target:
    request = SimpleNamespace(url=url, task="conversational", json={"model": model}, model=None)
    ask = huggingface._call_request(SimpleNamespace(provider=chosen), (request,), {})
    assert ask is not None
    return ask.target


def of_bedrock(model: str, region: str) -> Target:
    about = SimpleNamespace(service_name="bedrock-runtime")
    url = f"https://bedrock-runtime.{region}.amazonaws.com"
    meta = SimpleNamespace(service_model=about, endpoint_url=url, region_name=region)
    ask = bedrock._call_request(SimpleNamespace(meta=meta), ("Converse", {"modelId": model}), {})
    assert ask is not None
    return ask.target


NOVA = "amazon.nova-lite-v1:0"
GPT_OSS = "openai/gpt-oss-120b"
COMPLETIONS = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("target", "provider", "model", "region"),
    [
        (of_google(_GLOBAL), "gcp.vertex_ai", "gemini-3.5-flash", None),
        (of_google(_EUROPE), "gcp.vertex_ai", "gemini-3.5-flash", "europe-west1"),
        (of_litellm(_GLOBAL), "gcp.vertex_ai", "gemini-3.5-flash", None),
        (of_litellm(_EUROPE), "gcp.vertex_ai", "gemini-3.5-flash", "europe-west1"),
        (
            of_litellm(_VERTEX.format("", "us").replace("googleapis", "us.rep.googleapis") + ":generateContent"),
            "gcp.vertex_ai", "gemini-3.5-flash", "us",
        ),
        (of_bedrock(NOVA, "us-east-1"), "aws.bedrock", NOVA, None),
        (of_bedrock(NOVA, "eu-west-2"), "aws.bedrock", NOVA, "eu-west-2"),
        (of_bedrock(f"eu.{NOVA}", "eu-west-2"), "aws.bedrock", f"eu.{NOVA}", None),
        (
            of_litellm(f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{NOVA}/converse"),
            "aws.bedrock", NOVA, None,
        ),
        (
            of_litellm(f"https://bedrock-runtime.eu-west-2.amazonaws.com/model/{NOVA}/converse"),
            "aws.bedrock", NOVA, "eu-west-2",
        ),
        (of_litellm(f"https://api.groq.com/openai{COMPLETIONS}", "m", "groq"), "groq", "m", None),
        (of_litellm(f"https://llm.internal{COMPLETIONS}", "m", "fireworks_ai"), "fireworks", "m", None),
        (of_litellm(f"{_HF}/together{COMPLETIONS}", GPT_OSS, "huggingface"), "huggingface_together", GPT_OSS, None),
        (of_huggingface(f"{_HF}/groq/openai{COMPLETIONS}", GPT_OSS, "groq"), "huggingface_groq", GPT_OSS, None),
        (of_huggingface(f"{_HF}{COMPLETIONS}", f"{GPT_OSS}:groq", "auto"), "huggingface_groq", GPT_OSS, None),
        (of_huggingface(f"{_HF}{COMPLETIONS}", GPT_OSS, "auto"), "huggingface", GPT_OSS, None),
        (of_huggingface(f"https://api.groq.com/openai{COMPLETIONS}", GPT_OSS, "groq"), "groq", GPT_OSS, None),
    ],
)  # fmt: skip
def test_a_request_says_who_is_asked_and_where_only_if_that_is_a_place(
    target: Target, provider: str, model: str, region: str | None
) -> None:
    assert (target.provider, target.model, target.region) == (provider, model, region)


def client(kind: str, host: str, path: str = "/v1/", **more: Any) -> Any:
    return type(kind, (), {"base_url": SimpleNamespace(host=host, port=None, path=path), **more})()


@pytest.mark.parametrize(
    ("module", "instance", "provider"),
    [
        (openai, client("OpenAI", "api.openai.com"), "openai"),
        (openai, client("AzureOpenAI", "llm.internal"), "azure.ai.openai"),
        (openai, client("OpenAI", "router.huggingface.co", "/groq/openai/v1/"), "huggingface_groq"),
        (openai, client("OpenAI", "bedrock-mantle.us-east-1.api.aws"), "bedrock_mantle"),
        (anthropic, client("Anthropic", "api.anthropic.com"), "anthropic"),
        (anthropic, client("Anthropic", "llm.internal"), "anthropic"),
        (anthropic, client("Anthropic", "api.deepseek.com", "/anthropic/"), "deepseek"),
        (anthropic, client("AsyncAnthropicVertex", "llm.internal"), "gcp.vertex_ai"),
        (anthropic, client("AnthropicBedrock", "llm.internal"), "aws.bedrock"),
        (anthropic, client("AnthropicFoundry", "llm.internal"), "azure.ai.inference"),
    ],
)
def test_a_client_object_says_who_answers(module: Any, instance: Any, provider: str) -> None:
    assert module._provider_of(instance) == provider


@pytest.mark.parametrize(
    ("port", "default", "provider"),
    [(11434, "openai", "ollama"), (11434, "anthropic", "ollama"), (8000, "openai", "vllm"), (8000, "groq", "groq")],
)
def test_a_port_says_who_answers_where_others_speak_the_api(port: int, default: str, provider: str) -> None:
    assert provider_at("localhost", port, default) == provider


@pytest.mark.parametrize(
    ("instance", "region"),
    [
        (client("AnthropicVertex", "h", region="global"), None),
        (client("AnthropicVertex", "h", region="us-east5"), "us-east5"),
        (client("AnthropicBedrock", "h", aws_region="us-west-2"), None),
        (client("AnthropicBedrock", "h", aws_region="eu-west-2"), "eu-west-2"),
        (client("Anthropic", "api.anthropic.com"), None),
    ],
)
def test_claude_on_a_cloud_is_in_a_region_or_in_none(instance: Any, region: str | None) -> None:
    assert anthropic._region_of(instance, "claude-sonnet-4-5") == region


@pytest.mark.parametrize(
    ("model", "provider", "bare"),
    [
        ("gemini/gemini-2.5-pro", "gcp.gemini", "gemini-2.5-pro"),
        ("ollama_chat/llama3.1", "ollama", "llama3.1"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("meta-llama/Llama-3.3-70B", "unknown", "meta-llama/Llama-3.3-70B"),
    ],
)
def test_a_model_of_dspy_s_begins_with_its_provider(model: str, provider: str, bare: str) -> None:
    target = dspy._target(None, (SimpleNamespace(model=model),), {})
    assert (target.provider, target.model) == (provider, bare)
