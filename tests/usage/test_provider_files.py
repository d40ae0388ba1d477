"""What the files of `usage/providers/` have to keep to, so that each can be written without a look at the others."""

from __future__ import annotations

import ast
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import aicost
from aicost.usage import providers
from aicost.usage.provider import Provider
from aicost.usage.providers import PROVIDERS, others
from aicost.usage.readers import READERS, READERS_BY_PROVIDER, read_usage, stream_of

FILES = {
    file.stem: import_module(f"{providers.__name__}.{file.stem}")
    for file in sorted(Path(providers.__file__).parent.glob("[!_]*.py"))
}


def test_every_file_says_who_it_is_of_and_is_found() -> None:
    declared = [row for file in FILES.values() for row in file.PROVIDERS]
    assert all(isinstance(row, Provider) for row in declared)
    assert all(file.PROVIDERS for file in FILES.values())
    assert declared == list(PROVIDERS)
    assert max(Counter(row.name for row in declared).values()) == 1


def test_who_has_a_form_of_its_own_has_a_file_of_its_own() -> None:
    assert [row.name for row in others.PROVIDERS if row.apis or row.forms] == []


def test_what_several_are_called_loosely_is_in_one_file() -> None:
    """Which of them is meant first is the order in the file, never that of the files."""
    said = {(name, stem) for stem, file in FILES.items() for row in file.PROVIDERS for name in row.loosely}
    assert [name for name, count in Counter(name for name, _ in said).items() if count > 1] == []


def test_an_api_is_one_provider_s_and_a_form_is_of_one() -> None:
    declared = Counter(api for row in PROVIDERS for api in row.apis)
    assert [api for api, count in declared.items() if count > 1] == []
    assert {api for _, api in READERS_BY_PROVIDER} <= READERS.keys()
    assert {api for row in PROVIDERS for pair in row.usual.items() for api in pair} <= READERS.keys()


def test_what_tells_an_api_tells_one() -> None:
    every = [*READERS.values(), *READERS_BY_PROVIDER.values()]
    fields = Counter(name for reader in every for name in reader.told_by)
    assert [name for name, count in fields.items() if count > 1] == []
    called = Counter(reader.called for reader in every if reader.called is not None)
    assert [name for name, count in called.items() if count > 1] == []


@pytest.mark.parametrize(
    ("provider", "api", "stream"),
    [
        ("openai", "chat", "ChatStream"),
        ("groq", "completions", "ChatStream"),
        ("gcp.gemini", "chat", "ChatStream"),
        ("our_vllm", "responses", "ResponsesStream"),
        ("cohere", "chat", "CohereStream"),
        ("ollama", "chat", "OllamaStream"),
        ("aws.bedrock", "invoke_model", "InvokeModelStream"),
        ("bedrock_mantle", "messages", "MessagesStream"),
        ("openai", "embeddings", None),
        ("cohere", "embeddings", None),
        ("chroma", "vector", None),
    ],
)
def test_a_stream_is_collected_in_the_form_of_who_sends_it(provider: str, api: str, stream: str | None) -> None:
    found = stream_of(api, provider)
    assert (found and found.__name__) == stream


@pytest.mark.parametrize(
    ("provider", "usage", "counted"),
    [
        ("voyage", {"total_tokens": 3576, "text_tokens": 5, "image_pixels": 2_000_000},
         {"input": 5, "input_pixels": 2_000_000}),
        ("gcp.gemini", {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109},
         {"input": 35, "output": 12, "output_reasoning": 62}),
        ("anthropic", {"input_tokens": 35, "output_tokens": 12, "cache_read_input_tokens": 9},
         {"input": 35, "input_cache_read": 9, "output": 12}),
        ("groq", {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 47, "num_cached_tokens": 9},
         {"input": 26, "input_cache_read": 9, "output": 12}),
    ],
)  # fmt: skip
def test_a_line_of_a_batch_is_read_in_the_form_of_who_sends_it(
    provider: str, usage: dict[str, Any], counted: dict[str, int]
) -> None:
    line = {"custom_id": "one", "response": {"body": {"id": "x", "usage": usage}}}
    reading = read_usage(line, api="batch", provider=provider)
    assert (reading.usage, reading.service_tier, reading.flags) == (counted, "batch", ())


WHOLE_FOLDERS = ("usage/providers", "integrations/clients", "integrations/frameworks", "testing")
"""The files themselves; libraries that ask one provider; and the emulator of some."""
BY_NAME = {
    "cli/demo.py": "a logger of the client",
    "integrations/__init__.py": "packages and their files",
    "integrations/_hosts.py": "whom OpenAI's client asks where nobody says",
    "integrations/_limits.py": "whose requests are in which form, by the client that makes them",
    "integrations/_live.py": "google-genai's sessions, which are of one of two",
    "pricing/catalogue/dates.py": "whose price changes the lists tell of",
    "pricing/catalogue/genai_prices.py": "habits of that list",
    "pricing/catalogue/litellm.py": "habits of that list",
    "pricing/catalogue/sources.py": "which list is right of whom",
    "telemetry/dialect_table.py": "whose counts an instrumentation passes on unchanged",
    "telemetry/evidence.py": "what frameworks call whomever they ask by OpenAI's client",
    "usage/readers.py": "whose APIs are read where nobody says",
}
"""Where else a provider may be named, and why that is no fact about it."""


def test_nothing_else_knows_a_provider_by_its_name() -> None:
    names = {row.name for row in PROVIDERS} - {"meta"}  # a word of everybody's
    root = Path(aicost.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert {name for name in found if not name.startswith(WHOLE_FOLDERS)} == BY_NAME.keys()
