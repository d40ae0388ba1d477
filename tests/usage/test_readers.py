"""Provider usage objects become disjoint meters, and nothing odd goes unsaid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost import UsageError
from aicost.usage.meters import direction_of
from aicost.usage.providers._openai_tools import count_tool_calls
from aicost.usage.readers import read_response, read_usage

TABLE: list[tuple[str, str, dict[str, Any], dict[str, int], tuple[str, ...]]] = [
    (
        "chat: plain",
        "chat",
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        {"input": 10, "output": 2},
        (),
    ),
    (
        "chat: cached and reasoning are inside their totals",
        "chat",
        {
            "prompt_tokens": 1200,
            "completion_tokens": 80,
            "total_tokens": 1280,
            "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": 64, "rejected_prediction_tokens": 5},
        },
        {"input": 176, "input_cache_read": 1024, "output": 16, "output_reasoning": 64},
        (),
    ),
    (
        "chat: audio both ways and cache writes",
        "chat",
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "prompt_tokens_details": {"audio_tokens": 40, "cache_write_tokens": 10},
            "completion_tokens_details": {"audio_tokens": 30},
        },
        {"input": 50, "input_audio": 40, "input_cache_write": 10, "output": 20, "output_audio": 30},
        (),
    ),
    (
        "chat: more cached than prompt is flagged, not hidden",
        "chat",
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 11}},
        {"input_cache_read": 11, "output": 1},
        ("input_tokens_exceeded",),
    ),
    (
        "chat: a total that does not add up is flagged",
        "chat",
        {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 99},
        {"input": 10, "output": 1},
        ("total_tokens_mismatch",),
    ),
    (
        "chat: a negative count is left out and flagged",
        "chat",
        {"prompt_tokens": -5, "completion_tokens": 1},
        {"output": 1},
        ("invalid_count:prompt_tokens",),
    ),
    (
        "chat: text for a count is left out and flagged",
        "chat",
        {"prompt_tokens": "ten", "completion_tokens": True},
        {},
        ("invalid_count:prompt_tokens", "invalid_count:completion_tokens"),
    ),
    (
        "chat: a new field with a value is flagged, an empty one is not",
        "chat",
        {"prompt_tokens": 1, "completion_tokens": 1, "shiny_tokens": 3, "dull_tokens": 0, "none": None},
        {"input": 1, "output": 1},
        ("unknown_field:shiny_tokens",),
    ),
    (
        "chat: a new nested field is flagged with its path",
        "chat",
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"video_tokens": 1}},
        {"input": 1, "output": 1},
        ("unknown_field:prompt_tokens_details.video_tokens",),
    ),
    (
        "responses: cache writes by TTL",
        "responses",
        {
            "input_tokens": 1000,
            "output_tokens": 100,
            "total_tokens": 1100,
            "input_tokens_details": {
                "cached_tokens": 200,
                "cache_write_tokens": 300,
                "cache_write_tokens_details": {"ttl_30m_tokens": 100, "ttl_12h_tokens": 150},
            },
            "output_tokens_details": {"reasoning_tokens": 60},
        },
        {
            "input": 500,
            "input_cache_read": 200,
            "input_cache_write": 50,
            "input_cache_write_30m": 100,
            "input_cache_write_12h": 150,
            "output": 40,
            "output_reasoning": 60,
        },
        ("assumed_cache_ttl:default",),
    ),
    ("embeddings", "embeddings", {"prompt_tokens": 7, "total_tokens": 7}, {"input": 7}, ()),
    (
        "messages: input excludes the cache",
        "messages",
        {
            "input_tokens": 100,
            "cache_creation_input_tokens": 200,
            "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150},
            "cache_read_input_tokens": 1000,
            "output_tokens": 80,
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
            "output_tokens_details": {"thinking_tokens": 30},
        },
        {
            "input": 100,
            "input_cache_read": 1000,
            "input_cache_write_5m": 50,
            "input_cache_write_1h": 150,
            "output": 50,
            "output_reasoning": 30,
            "tool_web_search": 2,
            "tool_web_fetch": 1,
        },
        (),
    ),
    (
        "messages: writes without a split are five-minute ones",
        "messages",
        {"input_tokens": 1, "cache_creation_input_tokens": 20, "output_tokens": 1},
        {"input": 1, "input_cache_write_5m": 20, "output": 1},
        (),
    ),
    (
        "messages: what a split leaves of its total is kept five minutes, and flagged",
        "messages",
        {
            "input_tokens": 1,
            "cache_creation_input_tokens": 20,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 5},
            "output_tokens": 1,
        },
        {"input": 1, "input_cache_write_5m": 15, "input_cache_write_1h": 5, "output": 1},
        ("assumed_cache_ttl:5m",),
    ),
    (
        "messages: a split of more than its total is flagged",
        "messages",
        {
            "input_tokens": 1,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 5},
            "output_tokens": 1,
        },
        {"input": 1, "input_cache_write_5m": 5, "input_cache_write_1h": 5, "output": 1},
        ("cache_write_tokens_exceeded",),
    ),
    (
        "messages: a split without a total is the total",
        "messages",
        {"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 5}, "output_tokens": 1},
        {"input": 1, "input_cache_write_1h": 5, "output": 1},
        (),
    ),
]


@pytest.mark.parametrize(("api", "raw", "usage", "flags"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_usage_becomes_disjoint_meters(
    api: str, raw: dict[str, Any], usage: dict[str, int], flags: tuple[str, ...]
) -> None:
    reading = read_usage(raw, api=api)
    assert dict(reading.usage) == usage
    assert reading.flags == flags


@pytest.mark.parametrize(
    ("raw", "provider", "usage"),
    [
        ({"prompt_tokens": 3}, None, {"input": 3}),
        ({"input_tokens": 3, "output_tokens": 1}, "anthropic", {"input": 3, "output": 1}),
        ({"input_tokens": 3, "output_tokens": 1}, "openai", {"input": 3, "output": 1}),
        (
            {"usage": {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 9}},
            None,
            {"input": 3, "input_cache_read": 9, "output": 1},
        ),
    ],
    ids=["chat", "messages by provider", "responses by provider", "a whole response, messages by field"],
)
def test_the_api_is_guessed(raw: dict[str, Any], provider: str | None, usage: dict[str, int]) -> None:
    assert dict(read_usage(raw, provider=provider).usage) == usage


@pytest.mark.parametrize("raw", [None, 3, "tokens", [1]], ids=repr)
def test_what_is_no_object_is_refused(raw: object) -> None:
    with pytest.raises(UsageError, match="usage must be"):
        read_usage(raw)


def test_an_object_of_no_known_api_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"pass api= one of batch, cached_content, chat, completions"):
        read_usage({"tokensOfTomorrow": 3})


def test_typed_objects_of_the_clients_are_read_like_json() -> None:
    from anthropic.types import Usage
    from openai.types import CompletionUsage

    chat = CompletionUsage(prompt_tokens=12, completion_tokens=3, total_tokens=15)
    assert dict(read_usage(chat).usage) == {"input": 12, "output": 3}
    messages = Usage.model_construct(input_tokens=5, output_tokens=2, cache_read_input_tokens=7, shiny=4)
    reading = read_usage(messages, provider="anthropic")
    assert dict(reading.usage) == {"input": 5, "input_cache_read": 7, "output": 2}
    assert reading.flags == ("unknown_field:shiny",)


def test_conditions_in_the_usage_are_read() -> None:
    raw = {"input_tokens": 1, "output_tokens": 1, "service_tier": "batch", "inference_geo": "us", "speed": "fast"}
    reading = read_usage(raw, api="messages")
    assert (reading.service_tier, reading.region, reading.speed) == ("batch", "us", "fast")
    raw = {
        "input_tokens": 1,
        "output_tokens": 1,
        "service_tier": "standard",
        "inference_geo": "global",
        "speed": "standard",
    }
    reading = read_usage(raw, api="messages")
    assert (reading.service_tier, reading.region, reading.speed) == (None, None, None)


def test_only_tools_that_ran_are_counted() -> None:
    output = [
        {"type": "web_search_call"},
        {"type": "web_search_call"},
        {"type": "file_search_call"},
        {"type": "code_interpreter_call", "container_id": "c1"},
        {"type": "code_interpreter_call", "container_id": "c1"},
        {"type": "message"},
        {"type": "mcp_call"},
    ]
    assert count_tool_calls({"output": output}).usage == {
        "tool_web_search": 2,
        "tool_file_search": 1,
        "tool_code_interpreter": 1,
    }
    body = {"usage": {"input_tokens": 1, "output_tokens": 1}, "output": [], "tools": [{"type": "web_search"}]}
    view = read_response(body, api="responses")
    assert view.reading is not None
    assert "tool_web_search" not in view.reading.usage


@given(
    st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9)
)
def test_meters_always_add_up_to_what_the_provider_said(
    fresh: int, cached: int, written: int, said: int, thought: int
) -> None:
    prompt, completion = fresh + cached + written, said + thought
    chat = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    reading = read_usage(chat, api="chat")
    assert reading.flags == ()
    assert sum(n for meter, n in reading.usage.items() if direction_of(meter) == "input") == prompt
    assert sum(n for meter, n in reading.usage.items() if direction_of(meter) == "output") == completion
