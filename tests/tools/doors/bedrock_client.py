"""Bedrock through boto3, under the upstream instrumentation of botocore."""

import contextlib
import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from common import EMULATOR, tracing
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor

provider = tracing()
BotocoreInstrumentor().instrument()
client = boto3.client(
    "bedrock-runtime",
    endpoint_url=f"{EMULATOR}/bedrock",
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
    config=Config(retries={"total_max_attempts": 1}),
)
model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def said(words: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"text": words}]}]


def body(words: str) -> str:
    messages = [{"role": "user", "content": words}]
    return json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": messages})


client.converse(modelId=model, messages=said("kept question"))
for _ in client.converse_stream(modelId=model, messages=said("streamed question"))["stream"]:
    pass
client.invoke_model(modelId=model, body=body("written question"))["body"].read()
for _ in client.invoke_model_with_response_stream(modelId=model, body=body("streamed question"))["body"]:
    pass
with contextlib.suppress(ClientError):
    client.converse(modelId=model, messages=said("bad question"))
provider.shutdown()
