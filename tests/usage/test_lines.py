"""Files of lines: results of a batch are charged, a line a call; what else is kept in files is not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from tests.conftest import App

from aicost.usage.readers import is_result_line

_USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
_BODY = {"id": "chatcmpl-1", "model": "gpt-4o", "object": "chat.completion", "usage": _USAGE}
RESULTS: list[dict[str, Any]] = [
    {"id": "batch_req_1", "custom_id": "a", "response": {"status_code": 200, "request_id": "r", "body": _BODY}},
    {"id": "batch_req_2", "custom_id": "b", "response": {"status_code": 400, "body": {"error": {}}}, "error": None},
    {"custom_id": "a", "result": {"type": "succeeded", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}}},
    {"custom_id": "b", "result": {"type": "expired"}},
    {"key": "a", "response": {"candidates": [], "usageMetadata": {"promptTokenCount": 3}}},
    {"request": {"contents": []}, "status": "", "response": {"usageMetadata": {"promptTokenCount": 3}}},
    {"key": "a", "response": {"embedding": {"values": [0.1]}, "tokenCount": "3"}},
]
OTHERS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]},
    {"prompt": "hi", "completion": "ho"},
    {"prompt": "hi", "response": "ho"},
    {"input": {}, "preferred_output": [], "non_preferred_output": []},
    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o", "messages": []}},
    {"custom_id": "a", "response": None, "error": {"code": "batch_expired"}},
    _BODY,
    {"request": {}, "response": _BODY},
    {"item": {}, "result": {"score": 1, "usage": _USAGE}},
    {"usage": _USAGE},
]


@pytest.mark.parametrize("line", RESULTS, ids=lambda line: json.dumps(line)[:60])
def test_a_line_of_a_batch_s_results_is_one(line: dict[str, Any]) -> None:
    assert is_result_line(line)


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: json.dumps(line)[:60])
def test_any_other_line_is_none(line: dict[str, Any]) -> None:
    assert not is_result_line(line)


def _download(lines: list[dict[str, Any]]) -> None:
    content = "\n".join(map(json.dumps, lines)).encode()
    answer = httpx2.Response(200, content=content, headers={"content-type": "application/octet-stream"})
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    with openai.OpenAI(api_key="k", http_client=http) as client:
        assert client.files.content("file-1").read() == content


def test_a_downloaded_file_is_charged_only_for_a_batch_s_results(app: App) -> None:
    _download(OTHERS)
    assert app.charges() == []
    _download([*OTHERS, *RESULTS[:2]])
    assert app.ledger_total() == Decimal("0.00175"), "half of 0.0035: it is a batch"
    assert len(app.charges()) == 1
