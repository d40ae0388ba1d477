"""The openai client under the instrumentation that the first argument names."""

import sys
from contextlib import suppress
from typing import Any

import openai
from common import instrument

finish = instrument(sys.argv[1], "openai")
client = openai.OpenAI(max_retries=0)
if sys.argv[1] == "langsmith":
    from langsmith.wrappers import wrap_openai

    client = wrap_openai(client)


def ask(words: str, model: str = "gpt-4o", **options: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": words}], **options)


ask("plain question")
ask("cached question")
for _ in ask("streamed question", stream=True, stream_options={"include_usage": True}):
    pass
ask("hard question", model="o3")
client.responses.create(model="gpt-5", input="cached question")
client.embeddings.create(model="text-embedding-3-small", input="plain question")
with suppress(openai.BadRequestError):
    ask("bad question")
for _ in client.responses.create(model="gpt-5", input="streamed question", stream=True):
    pass
for _ in ask("streamed question", stream=True):  # its usage is never sent, and it is billed
    pass
finish()
