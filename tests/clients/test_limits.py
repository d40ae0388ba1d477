"""What a request says of the most that its answer can use, read from what the real clients are asked; and what follows.

The gate sees what every call asks for, and refuses it, so that nothing leaves.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

import aicost
from aicost._money import to_decimal
from aicost.telemetry import state
from aicost.testing import Drop, Hang, ProviderEmulator
from aicost.usage.event import Limits
from tests.conftest import App

from .doors import CLIENTS, DOORS
from .doors.door import NO_REASONING

pytestmark = pytest.mark.clients

HELLO: Any = [{"role": "user", "content": "hello"}]
_FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
FUNCTION = {"type": "function", "function": _FUNCTION}
NO_THOUGHTS = {"thinking_config": {"thinking_budget": 0}}


def _completion(model: str, **asked: Any) -> Callable[[Any], Any]:
    return lambda c: c.chat.completions.create(model=model, messages=HELLO, **asked)


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
    ("openai", "chat", "no limit", _completion("gpt-4o"), None),
    ("openai", "chat", "a limit", _completion("gpt-4o", max_completion_tokens=100), 100),
    ("openai", "chat", "the old name of it", _completion("gpt-4o", max_tokens=90), 90),
    ("openai", "chat", "in a stream", _completion("gpt-4o", max_tokens=90, stream=True), 90),
    ("openai", "chat", "three choices", _completion("gpt-4o", max_tokens=100, n=3), 300),
    ("openai", "chat", "tools of one's own", _completion("gpt-4o", max_tokens=100, tools=[FUNCTION]), 100),
    ("openai", "chat", "a model that searches", _completion("gpt-4o-search-preview", max_tokens=100), None),
    ("openai", "chat", "searching", _completion("gpt-4o", max_tokens=100, extra_body={"web_search_options": {}}), None),
    ("openai", "chat", "a field of tomorrow", _completion("gpt-4o", max_tokens=100, extra_body={"encore": 3}), None),
    ("openai", "chat", "over it", _completion("gpt-4o", max_tokens=100, extra_body={"max_tokens": 700}), 700),
    ("openai", "chat", "a tier of its own", _completion("gpt-4o", max_tokens=9, service_tier="priority"), None),
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
    ("openai", "chat", "responses", lambda c: c.responses.create(model="gpt-5", input="x", max_output_tokens=64), 64),
    (
        "openai",
        "chat",
        "responses with hosted tools",
        lambda c: c.responses.create(model="gpt-5", input="x", max_output_tokens=64, tools=[{"type": "web_search"}]),
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
        (
            "anthropic",
            "messages",
            name,
            lambda c, more=more: c.messages.create(  # type: ignore[misc]
                model="claude-sonnet-4-5", max_tokens=2000, messages=HELLO, **more
            ),
            most,
        )
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
    ("groq", "chat", "a limit", _completion("llama-3.3-70b-versatile", max_completion_tokens=25), 25),
    ("groq", "chat", "a system that searches", _completion("groq/compound", max_completion_tokens=25), None),
    ("together", "chat", "two choices", _completion("meta-llama/Llama-3.3-70B", max_tokens=25, n=2), 50),
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


class _Kept:
    """A store that keeps what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[aicost.UsageEvent, aicost.Charge]] = []

    def record(self, entries: Any, *, sightings: Any = (), replaces: Any = ()) -> None:
        self.entries += entries


@pytest.fixture
def kept(app: App) -> _Kept:
    """What the pipeline tells its store."""
    current = state.current()
    assert current is not None
    current.pipeline.store = store = _Kept()
    return store


def _door(client: str, name: str) -> Any:
    return next(door for door in DOORS if door.id == f"{client}-{name}")


def _ask(client: str, limit: int, **more: Any) -> Callable[[Any], Any]:
    if client == "openai":
        return _completion("gpt-4o", max_completion_tokens=limit, **more)
    return lambda c: c.messages.create(model="claude-sonnet-4-5", max_tokens=limit, messages=HELLO, **more)


WIRED = [(client, name) for client, name in (("openai", "chat"), ("anthropic", "messages")) if client in CLIENTS]


@pytest.mark.parametrize(("client", "name"), WIRED)
def test_what_was_sent_with_a_lost_attempt_is_known_from_the_one_that_came_through(
    emulator: ProviderEmulator, kept: _Kept, client: str, name: str
) -> None:
    door = _door(client, name)
    emulator.on().then(Hang(bill=NO_REASONING), NO_REASONING)
    _ask(client, 100)(door.connect(emulator, timeout=0.5, retries=1))
    [(lost, lost_charge), (answered, charge)] = kept.entries
    assert lost.limits == Limits(100, 1200)
    assert answered.limits is None
    chargeable = emulator.bill.calls[0].amount
    assert lost_charge.atto is None
    assert lost_charge.at_most_atto is not None
    assert to_decimal(lost_charge.at_most_atto) >= chargeable
    assert charge.at_most_atto is None


@pytest.mark.parametrize(("client", "name"), WIRED)
@pytest.mark.parametrize("last", ["lost", "served otherwise"])
def test_without_an_answer_to_the_same_request_nobody_knows_what_was_sent(
    emulator: ProviderEmulator, kept: _Kept, client: str, name: str, last: str
) -> None:
    door = _door(client, name)
    reply = Hang() if last == "lost" else replace(NO_REASONING, service_tier="priority")
    emulator.on().then(Hang(), reply)
    with suppress(Exception):
        _ask(client, 100)(door.connect(emulator, timeout=0.5, retries=1))
    lost, charge = kept.entries[0]
    assert lost.limits == Limits(100)
    assert charge.at_most_atto is None


@pytest.mark.skipif("anthropic" not in CLIENTS, reason="its streams say first what was sent")
def test_a_stream_that_was_cut_costs_what_came_at_least_and_the_limit_at_most(
    emulator: ProviderEmulator, kept: _Kept
) -> None:
    emulator.on().then(Drop(after_chunks=3, bill=NO_REASONING))
    with suppress(Exception):
        list(_ask("anthropic", 100, stream=True)(_door("anthropic", "messages").connect(emulator, retries=0)))
    [(event, charge)] = kept.entries
    assert not event.complete
    assert event.limits == Limits(100)
    assert charge.atto is not None
    assert charge.at_most_atto is not None
    assert to_decimal(charge.atto) <= emulator.bill.calls[0].amount <= to_decimal(charge.at_most_atto)
