"""The anthropic client under the instrumentation that the first argument names."""

import sys
from contextlib import suppress
from typing import Any

import anthropic
from common import instrument

finish = instrument(sys.argv[1], "anthropic")
client = anthropic.Anthropic(max_retries=0)


def question(words: str, model: str = "claude-sonnet-4-5") -> Any:
    return {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": words}]}


client.messages.create(**question("plain question", "claude-haiku-4-5"))
client.messages.create(**question("cached question"))
client.messages.create(**question("written question"))
client.messages.create(**question("hard question"))
with client.messages.stream(**question("streamed question")) as stream:
    for _ in stream.text_stream:
        pass
for _ in client.messages.create(**question("written question"), stream=True):
    pass
with suppress(anthropic.BadRequestError):
    client.messages.create(**question("bad question"))
finish()
