"""LiteLLM with the OpenTelemetry callback of its own, for models of OpenAI and Anthropic."""

import os
import time
from contextlib import suppress
from typing import Any

from common import ENDPOINT

os.environ |= {"OTEL_EXPORTER": "otlp_http", "OTEL_ENDPOINT": ENDPOINT, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

import litellm

litellm.callbacks = ["otel"]


def ask(model: str, words: str, **options: Any) -> Any:
    return litellm.completion(model=model, messages=[{"role": "user", "content": words}], max_retries=0, **options)


ask("openai/gpt-4o", "plain question")
ask("openai/gpt-4o", "cached question")
ask("openai/o3", "hard question")
for _ in ask("openai/gpt-4o", "streamed question", stream=True, stream_options={"include_usage": True}):
    pass
litellm.responses(model="openai/gpt-5", input="cached question")
litellm.embedding(model="openai/text-embedding-3-small", input=["plain question"])
ask("anthropic/claude-sonnet-4-5", "written question")
ask("anthropic/claude-sonnet-4-5", "hard question")
for _ in ask("anthropic/claude-sonnet-4-5", "written question", stream=True):
    pass
for _ in ask("openai/gpt-4o", "streamed question", stream=True):
    pass
with suppress(litellm.BadRequestError):
    ask("openai/gpt-4o", "bad question")
time.sleep(8)  # its callbacks run in threads, and its exporter sends what it has every five seconds
