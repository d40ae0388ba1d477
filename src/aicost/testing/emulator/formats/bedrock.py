"""Amazon Bedrock's wire formats: converse, and the models' own bodies under invoke_model.

Event streams are framed as botocore 1.44 parses them (`eventstream.py`). Bodies as in AWS's documentation of each
family; token counts of invoke_model are in headers and, in streams, in `amazon-bedrock-invocationMetrics`.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from aicost.testing.emulator.script import Reply

from .anthropic import messages_body, messages_stream
from .route import EmulatedRequest, Event, Generated, Route, Usage, always, pieces, prompt_only, tokens


def aws_message(event_type: str, payload: bytes, *, kind: str = "event") -> bytes:
    """One message of an AWS event stream."""
    headers = b""
    named = {":message-type": kind, f":{kind}-type": event_type, ":content-type": "application/json"}
    for name, value in named.items():
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _converse_usage(made: Generated) -> dict[str, Any]:
    usage = made.usage
    read, written = usage.get("input_cache_read", 0), usage.get("input_cache_write_5m", 0)
    return {
        "inputTokens": usage.get("input", 0),
        "outputTokens": made.completion,
        "totalTokens": made.prompt + made.completion,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
    }


def _converse(made: Generated, _request: EmulatedRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": [{"text": made.reply.text}]}},
        "stopReason": "end_turn",
        "metrics": {"latencyMs": 300},
    }
    if not made.reply.omit_usage:
        body["usage"] = made.reply.raw_usage or _converse_usage(made)
    return body


def _converse_stream(made: Generated, _request: EmulatedRequest) -> Iterator[Event]:
    def event(name: str, value: dict[str, Any], usage: Usage | None = None) -> Event:
        return Event(aws_message(name, json.dumps(value).encode()), usage)

    yield event("messageStart", {"role": "assistant"})
    for piece in pieces(made.reply):
        yield event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
    yield event("contentBlockStop", {"contentBlockIndex": 0})
    yield event("messageStop", {"stopReason": "end_turn"})
    metadata = {"usage": made.reply.raw_usage or _converse_usage(made), "metrics": {"latencyMs": 300}}
    if not made.reply.omit_usage:
        yield event("metadata", metadata, made.usage)


def _invoke(made: Generated, request: EmulatedRequest) -> dict[str, Any]:
    family = _family(request)
    text, into, out = made.reply.text, made.prompt, made.completion
    if family == "anthropic":
        return messages_body(made, request)
    if family == "nova":
        usage = {"inputTokens": made.usage.get("input", 0), "outputTokens": out, "totalTokens": into + out}
        usage["cacheReadInputTokenCount"] = made.usage.get("input_cache_read", 0)
        usage["cacheWriteInputTokenCount"] = 0
        message = {"role": "assistant", "content": [{"text": text}]}
        return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}
    if family == "embed":
        return {"embedding": [0.25, -0.5], "inputTextTokenCount": into}
    if family == "titan":
        result = {"tokenCount": out, "outputText": text, "completionReason": "FINISH"}
        return {"inputTextTokenCount": into, "results": [result]}
    if family == "meta":
        return {
            "generation": text,
            "prompt_token_count": into,
            "generation_token_count": out,
            "stop_reason": "stop",
        }
    if family == "mistral":
        return {"outputs": [{"text": text, "stop_reason": "stop"}]}
    return {"text": text, "generation_id": made.call_id, "finish_reason": "COMPLETE"}


def _invoke_stream(made: Generated, request: EmulatedRequest) -> Iterator[Event]:
    family = _family(request)
    counted = {"inputTokenCount": made.usage.get("input", 0), "outputTokenCount": made.completion}
    counted |= {"invocationLatency": 300, "firstByteLatency": 100}
    if family == "anthropic":
        for event in messages_stream(made, request):
            inner = event.data.partition(b"data: ")[2].strip()
            if json.loads(inner)["type"] == "message_stop":
                inner = json.dumps({"type": "message_stop", "amazon-bedrock-invocationMetrics": counted}).encode()
            yield Event(_chunk(inner), event.usage)
        return
    for piece in pieces(made.reply):
        said = {"generation": piece} if family == "meta" else {"outputText": piece, "text": piece}
        yield Event(_chunk(json.dumps(said).encode()))
    yield Event(_chunk(json.dumps({"amazon-bedrock-invocationMetrics": counted}).encode()), made.usage)


def _chunk(inner: bytes) -> bytes:
    payload = {"bytes": base64.b64encode(inner).decode(), "p": "abcdefgh"}
    return aws_message("chunk", json.dumps(payload).encode())


def _family(request: EmulatedRequest) -> str:
    model = unquote(request.model)
    if "embed" in model:
        return "embed"
    for family in ("anthropic", "nova", "titan", "meta", "mistral"):
        if family in model:
            return family
    return "cohere"


def invoked_tokens(reply: Reply, request: EmulatedRequest) -> Usage:
    """As for the others; only Anthropic's and Nova's models have caches."""
    return prompt_only(reply, request) if _family(request) == "embed" else tokens(reply, request)


_MODEL = r"/bedrock/model/(?P<model>.+)"
ROUTES: tuple[Route, ...] = (
    Route(f"{_MODEL}/converse", "aws.bedrock", "converse", "br-", _converse),
    Route(
        f"{_MODEL}/converse-stream", "aws.bedrock", "converse", "br-", _converse, stream=_converse_stream,
        streams=always, stream_type="application/vnd.amazon.eventstream",
    ),
    Route(
        f"{_MODEL}/invoke", "aws.bedrock", "invoke_model", "br-", _invoke, usage=invoked_tokens,
        counts_in_headers=True,
    ),
    Route(
        f"{_MODEL}/invoke-with-response-stream", "aws.bedrock", "invoke_model", "br-", _invoke, stream=_invoke_stream,
        streams=always, stream_type="application/vnd.amazon.eventstream", usage=invoked_tokens,
    ),
)  # fmt: skip
