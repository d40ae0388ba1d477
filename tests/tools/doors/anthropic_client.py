"""The anthropic client, which from version 2 on has spans of its own, with no instrumentation at all."""

import contextlib

import anthropic
from common import tracing

provider = tracing()
client = anthropic.Anthropic(max_retries=0)


def ask(words: str, **options: object) -> object:
    messages = [{"role": "user", "content": words}]
    return client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages, **options)


ask("plain question")
ask("written question")
for _ in ask("streamed question", stream=True):
    pass
with client.messages.stream(
    model="claude-haiku-4-5", max_tokens=100, messages=[{"role": "user", "content": "written question"}]
) as stream:
    stream.get_final_message()
for _ in ask("streamed question", stream=True):
    break  # a stream that nobody reads to its end
with contextlib.suppress(anthropic.BadRequestError):
    ask("bad question")
provider.shutdown()
