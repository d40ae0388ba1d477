"""The doors of Amazon Bedrock through `boto3`."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.config import Config

from aicost.testing import ProviderEmulator

from .door import NO_CACHE, NO_REASONING, PROMPT_ONLY, Door

CLAUDE, NOVA = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0"
TITAN, TITAN_EMBED = "amazon.titan-text-express-v1", "amazon.titan-embed-text-v2:0"
LLAMA, MISTRAL, COHERE = "meta.llama3-3-70b-instruct-v1:0", "mistral.mistral-large-2402-v1:0", "cohere.command-text-v14"


def connect(emulator: ProviderEmulator, *, timeout: float = 5.0, retries: int = 2, api_key: str = "secret") -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=emulator.base_url("bedrock"),
        aws_access_key_id="AKIAXXXXXXXXXXXXXXXX",
        aws_secret_access_key=api_key,
        config=Config(
            retries={"total_max_attempts": retries + 1, "mode": "standard"}, read_timeout=timeout, connect_timeout=2
        ),
    )


def _messages(ask: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": ask}]}]


def converse(c: Any, ask: str) -> Any:
    return c.converse(modelId=NOVA, messages=_messages(ask))


def converse_claude(c: Any, ask: str) -> Any:
    return c.converse(modelId=CLAUDE, messages=_messages(ask))


def converse_by_arn(c: Any, ask: str) -> Any:
    arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}"
    return c.converse(modelId=arn, messages=_messages(ask))


def converse_stream(c: Any, ask: str) -> Any:
    return c.converse_stream(modelId=NOVA, messages=_messages(ask))["stream"]


def _invoke(c: Any, model: str, body: dict[str, Any]) -> Any:
    answer = c.invoke_model(modelId=model, body=json.dumps(body), contentType="application/json")
    return json.loads(answer["body"].read())


def _invoke_stream(c: Any, model: str, body: dict[str, Any]) -> Any:
    return c.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))["body"]


def _claude(ask: str) -> dict[str, Any]:
    said = [{"role": "user", "content": ask}]
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": said}


def invoke_claude(c: Any, ask: str) -> Any:
    return _invoke(c, CLAUDE, _claude(ask))


def invoke_nova(c: Any, ask: str) -> Any:
    return _invoke(c, NOVA, {"messages": _messages(ask)})


def invoke_titan(c: Any, ask: str) -> Any:
    return _invoke(c, TITAN, {"inputText": ask})


def invoke_titan_embed(c: Any, ask: str) -> Any:
    return _invoke(c, TITAN_EMBED, {"inputText": ask})


def invoke_llama(c: Any, ask: str) -> Any:
    return _invoke(c, LLAMA, {"prompt": ask})


def invoke_mistral(c: Any, ask: str) -> Any:
    return _invoke(c, MISTRAL, {"prompt": ask})


def invoke_cohere(c: Any, ask: str) -> Any:
    return _invoke(c, COHERE, {"prompt": ask})


def invoke_claude_stream(c: Any, ask: str) -> Any:
    return _invoke_stream(c, CLAUDE, _claude(ask))


def invoke_llama_stream(c: Any, ask: str) -> Any:
    return _invoke_stream(c, LLAMA, {"prompt": ask})


def _door(way: Any, **more: Any) -> Door:
    more.setdefault("connect", connect)
    more.setdefault("model", NOVA)
    more.setdefault("reply", NO_CACHE)
    more.setdefault("response_id", False)
    return Door("boto3", way, **more)


DOORS = [
    _door(converse, reply=NO_REASONING), _door(converse_claude, model=CLAUDE, reply=NO_REASONING),
    _door(converse_by_arn, model=CLAUDE, reply=NO_REASONING),
    _door(converse_stream, kind="stream", reply=NO_REASONING),
    _door(invoke_claude, model=CLAUDE, reply=NO_REASONING, response_id=True),
    _door(invoke_nova, reply=NO_REASONING), _door(invoke_titan, model=TITAN),
    _door(invoke_titan_embed, model=TITAN_EMBED, reply=PROMPT_ONLY, operation="embeddings"),
    _door(invoke_llama, model=LLAMA), _door(invoke_mistral, model=MISTRAL), _door(invoke_cohere, model=COHERE),
    _door(
        invoke_claude_stream, model=CLAUDE, kind="stream", reply=NO_REASONING, response_id=True, partial=True
    ),
    _door(invoke_llama_stream, model=LLAMA, kind="stream"),
]  # fmt: skip
