"""Stream events add up to a response: cumulative usage overwrites, and placeholders are not counts."""

from __future__ import annotations

import json

from aicost.usage.providers.anthropic import MessagesStream
from aicost.usage.providers.openai import ChatStream, ResponsesStream


def test_a_later_cumulative_usage_replaces_an_earlier_one() -> None:
    stream = MessagesStream()
    stream.add(
        {
            "type": "message_start",
            "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 10, "output_tokens": 1}},
        }
    )
    stream.add({"type": "message_delta", "usage": {"output_tokens": 30}})
    stream.add(
        {"type": "message_delta", "usage": {"input_tokens": 10, "output_tokens": 80, "cache_read_input_tokens": None}}
    )
    stream.add({"type": "message_stop"})
    assert stream.body == {"id": "msg_1", "model": "m", "usage": {"input_tokens": 10, "output_tokens": 80}}
    assert stream.complete
    assert stream.finished


def test_the_output_of_a_message_start_is_a_placeholder() -> None:
    stream = MessagesStream()
    stream.add({"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 10, "output_tokens": 1}}})
    assert stream.body["usage"] == {"input_tokens": 10}
    assert not stream.complete


def test_a_chat_stream_knows_its_usage_when_a_chunk_carries_it() -> None:
    stream = ChatStream()
    stream.add({"id": "c1", "model": "m", "usage": None})
    assert not stream.complete
    stream.add({"id": "c1", "choices": [], "usage": {"prompt_tokens": 1}, "service_tier": "flex"})
    assert stream.complete
    assert stream.body == {"id": "c1", "model": "m", "usage": {"prompt_tokens": 1}, "service_tier": "flex"}


def test_a_failed_response_keeps_its_usage_and_says_why() -> None:
    stream = ResponsesStream()
    stream.add({"type": "response.created", "response": {"id": "r1", "usage": None}})
    failed = {"id": "r1", "usage": {"input_tokens": 5, "output_tokens": 1}, "error": {"code": "server_error"}}
    stream.add({"type": "response.failed", "response": failed})
    assert stream.complete
    assert stream.error_type == "server_error"
    assert stream.body["usage"] == {"input_tokens": 5, "output_tokens": 1}


def test_an_error_event_names_its_kind() -> None:
    stream = MessagesStream()
    stream.add({"type": "error", "error": {"type": "overloaded_error", "message": "x"}})
    assert stream.error_type == "overloaded_error"


def test_a_chat_stream_may_have_its_usage_in_a_choice() -> None:
    stream = ChatStream()
    last = (
        b'{"id":"c1","choices":[{"index":0,"finish_reason":"stop","usage":{"prompt_tokens":9,"completion_tokens":2}}]}'
    )
    assert stream.matters(last)
    assert not stream.hidden(last), "it has the end of the answer, too"
    stream.add(json.loads(last))
    assert stream.complete
    assert stream.body["usage"] == {"prompt_tokens": 9, "completion_tokens": 2}
