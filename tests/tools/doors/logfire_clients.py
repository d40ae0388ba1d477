"""The openai and anthropic clients under logfire's instrumentation."""

import contextlib

import anthropic
import logfire
import openai

logfire.configure(send_to_logfire=False, console=False)  # it exports to OTEL_EXPORTER_OTLP_ENDPOINT by itself
logfire.instrument_openai()
logfire.instrument_anthropic()
openai_client, anthropic_client = openai.OpenAI(max_retries=0), anthropic.Anthropic(max_retries=0)


def ask(words: str, model: str = "gpt-4o", **options: object) -> object:
    messages = [{"role": "user", "content": words}]
    return openai_client.chat.completions.create(model=model, messages=messages, **options)


def write(words: str, **options: object) -> object:
    messages = [{"role": "user", "content": words}]
    return anthropic_client.messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=messages, **options)


ask("cached question")
ask("hard question", "o3")
openai_client.responses.create(model="gpt-5", input="hard question")
openai_client.embeddings.create(model="text-embedding-3-small", input="plain question")
write("written question")
for _ in ask("streamed question", stream=True, stream_options={"include_usage": True}):
    pass
for _ in openai_client.responses.create(model="gpt-5", input="streamed question", stream=True):
    pass
for _ in write("streamed question", stream=True):
    pass
for ask_badly in (ask, write):
    with contextlib.suppress(openai.BadRequestError, anthropic.BadRequestError):
        ask_badly("bad question")
logfire.shutdown()
