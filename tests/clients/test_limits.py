"""What a request says of the most that its answer can use, read from what the real clients are asked.

The gate sees what every call asks for, and refuses it, so that nothing leaves.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import aicost
from aicost.testing import ProviderEmulator
from tests.conftest import App

from .doors import CLIENTS, DOORS

pytestmark = pytest.mark.clients

HELLO: Any = [{"role": "user", "content": "hello"}]
_FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
FUNCTION = {"type": "function", "function": _FUNCTION}
NO_THOUGHTS = {"thinking_config": {"thinking_budget": 0}}


def _given(method: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """The arguments as this version of a client takes them: what it does not know yet goes into the body as it is."""
    known = inspect.signature(method).parameters
    body = {**asked.get("extra_body", {}), **{name: value for name, value in asked.items() if name not in known}}
    own = {name: value for name, value in asked.items() if name in known and name != "extra_body"}
    return {**own, "extra_body": body} if body else own


def completion(model: str, **asked: Any) -> Callable[[Any], Any]:
    def ask(c: Any) -> Any:
        create = c.chat.completions.create
        return create(model=model, messages=HELLO, **_given(create, asked))

    return ask


def _response(**asked: Any) -> Callable[[Any], Any]:
    body = {"model": "gpt-5", "input": "x", "max_output_tokens": 64, **asked}
    return lambda c: c.post("/responses", body=body, cast_to=object)  # which the oldest have no method for


def message(limit: int, **asked: Any) -> Callable[[Any], Any]:
    def ask(c: Any) -> Any:
        create = c.messages.create
        return create(model="claude-sonnet-4-5", max_tokens=limit, messages=HELLO, **_given(create, asked))

    return ask


def _invoke(body: dict[str, Any]) -> Callable[[Any], Any]:
    claude = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    return lambda c: c.invoke_model(modelId=claude, body=json.dumps({"messages": HELLO, **body}))


def _generate(**config: Any) -> Callable[[Any], Any]:
    return lambda c: c.models.generate_content(model="gemini-2.5-flash", contents="hello", config=config)


def _converse(**asked: Any) -> Callable[[Any], Any]:
    said: Any = [{"role": "user", "content": [{"text": "hello"}]}]
    return lambda c: c.converse(modelId="us.amazon.nova-pro-v1:0", messages=said, **asked)


def _lite(model: str, **asked: Any) -> Callable[[Any], Any]:
    def ask(c: Any) -> Any:
        import litellm

        return litellm.completion(
            model=model, messages=HELLO, api_base=c.emulator.base_url(), api_key="k", max_retries=0, **asked
        )

    return ask


# Client, one of its doors, what is asked, and the most output tokens of it.
ASKED: list[tuple[str, str, str, Callable[[Any], Any], int | None]] = [
    ("openai", "chat", "no limit", completion("gpt-4o"), None),
    ("openai", "chat", "a limit", completion("gpt-4o", max_completion_tokens=100), 100),
    ("openai", "chat", "the old name of it", completion("gpt-4o", max_tokens=90), 90),
    ("openai", "chat", "in a stream", completion("gpt-4o", max_tokens=90, stream=True), 90),
    ("openai", "chat", "three choices", completion("gpt-4o", max_tokens=100, n=3), 300),
    ("openai", "chat", "tools of one's own", completion("gpt-4o", max_tokens=100, tools=[FUNCTION]), 100),
    ("openai", "chat", "a model that searches", completion("gpt-4o-search-preview", max_tokens=100), None),
    ("openai", "chat", "searching", completion("gpt-4o", max_tokens=100, extra_body={"web_search_options": {}}), None),
    ("openai", "chat", "a field of tomorrow", completion("gpt-4o", max_tokens=100, extra_body={"encore": 3}), None),
    ("openai", "chat", "over it", completion("gpt-4o", max_tokens=100, extra_body={"max_tokens": 700}), 700),
    ("openai", "chat", "a tier of its own", completion("gpt-4o", max_tokens=9, service_tier="priority"), None),
    (
        "openai",
        "chat",
        "the best of four for each of two prompts",
        lambda c: c.completions.create(
            model="gpt-3.5-turbo-instruct", prompt=["a", "b"], max_tokens=10, n=2, best_of=4
        ),
        80,
    ),
    (
        "openai",
        "chat",
        "tokens as a prompt",
        lambda c: c.completions.create(model="gpt-3.5-turbo-instruct", prompt=[1, 2, 3], max_tokens=10),
        10,
    ),
    ("openai", "chat", "responses", _response(), 64),
    (
        "openai",
        "chat",
        "responses with hosted tools",
        _response(tools=[{"type": "web_search"}]),
        None,
    ),
    ("openai", "chat", "vectors", lambda c: c.embeddings.create(model="text-embedding-3-small", input="x"), 0),
    (
        "openai",
        "chat",
        "pictures",
        lambda c: c.images.generate(model="gpt-image-1", prompt="x", n=2),
        None,
    ),
    *(
        ("anthropic", "messages", name, message(2000, **more), most)
        for name, more, most in [
            ("a limit", {}, 2000),
            ("thoughts", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, 2000),
            ("thoughts beyond", {"thinking": {"type": "enabled", "budget_tokens": 5000}}, None),
            ("a hosted tool", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, None),
            ("a tool", {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, 2000),
            ("a place of its own", {"extra_body": {"inference_geo": "us"}}, None),
        ]
    ),
    ("google-genai", "generate", "thoughts may be beside it", _generate(max_output_tokens=50), None),
    ("google-genai", "generate", "no thoughts", _generate(max_output_tokens=50, **NO_THOUGHTS), 50),
    ("google-genai", "generate", "two", _generate(max_output_tokens=50, candidate_count=2, **NO_THOUGHTS), 100),
    (
        "google-genai",
        "generate",
        "searching",
        _generate(max_output_tokens=50, tools=[{"google_search": {}}], **NO_THOUGHTS),
        None,
    ),
    ("boto3", "converse", "a limit", _converse(inferenceConfig={"maxTokens": 70}), 70),
    (
        "boto3",
        "converse",
        "a guardrail, which bills for itself",
        _converse(
            inferenceConfig={"maxTokens": 70}, guardrailConfig={"guardrailIdentifier": "g1", "guardrailVersion": "1"}
        ),
        None,
    ),
    ("boto3", "converse", "invoked", _invoke({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 40}), 40),
    ("boto3", "converse", "invoked in another form", _invoke({"max_gen_len": 40}), None),
    (
        "mistralai",
        "chat",
        "two choices",
        lambda c: c.chat.complete(model="mistral-large-latest", messages=HELLO, max_tokens=30, n=2),
        60,
    ),
    (
        "mistralai",
        "chat",
        "a model that reasons",
        lambda c: c.chat.complete(model="magistral-medium-latest", messages=HELLO, max_tokens=30),
        None,
    ),
    (
        "cohere",
        "chat",
        "a limit",
        lambda c: c.client.chat(model="command-a-03-2025", messages=HELLO, max_tokens=20),
        20,
    ),
    (
        "cohere",
        "chat",
        "over it",
        lambda c: c.client.chat(
            model="command-a-03-2025",
            messages=HELLO,
            max_tokens=20,
            request_options={"additional_body_parameters": {"max_tokens": 400}},
        ),
        400,
    ),
    ("groq", "chat", "a limit", completion("llama-3.3-70b-versatile", max_completion_tokens=25), 25),
    ("groq", "chat", "a system that searches", completion("groq/compound", max_completion_tokens=25), None),
    ("together", "chat", "two choices", completion("meta-llama/Llama-3.3-70B", max_tokens=25, n=2), 50),
    (
        "ollama",
        "chat",
        "a limit",
        lambda c: c.chat(model="llama3.2", messages=HELLO, options={"num_predict": 15}),
        15,
    ),
    (
        "ollama",
        "chat",
        "without end",
        lambda c: c.chat(model="llama3.2", messages=HELLO, options={"num_predict": -1}),
        None,
    ),
    ("voyageai", "embed", "vectors", lambda c: c.embed(["x"], model="voyage-3.5"), 0),
    ("huggingface_hub", "chat", "whoever serves it", lambda c: c.chat_completion(HELLO, max_tokens=10), None),
    ("litellm", "anthropic", "its own way", _lite("anthropic/claude-sonnet-4-5", max_tokens=33), 33),
]


@pytest.mark.parametrize(
    ("client", "door", "ask", "most"),
    [pytest.param(*row[:2], *row[3:], id=f"{row[0]}: {row[2]}") for row in ASKED if row[0] in CLIENTS],
)
def test_a_request_says_the_most_that_it_can_get(
    app: App,
    emulator: ProviderEmulator,
    gate: Any,
    client: str,
    door: str,
    ask: Callable[[Any], Any],
    most: int | None,
) -> None:
    policy = gate(aicost.CallRefused("only asking"))
    [one] = [one for one in DOORS if one.id == f"{client}-{door}"]
    with suppress(Exception):  # litellm makes an error of its own of a refusal
        ask(one.connect(emulator))
    assert [asked.max_output() for asked in policy.asked] == [most]


def test_every_client_that_is_tested_has_a_row() -> None:
    assert set(CLIENTS) <= {row[0] for row in ASKED}
