"""The openai client under the instrumentation that the first argument names."""

import sys

import openai
from common import tracing

provider = tracing()
match sys.argv[1]:
    case "upstream":
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

        OpenAIInstrumentor().instrument()
    case "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument()
client = openai.OpenAI(max_retries=0)


def ask(words: str, **options: object) -> object:
    return client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": words}], **options)


ask("plain question")
ask("cached question")
for _ in ask("streamed question", stream=True, stream_options={"include_usage": True}):
    pass
client.chat.completions.create(model="o3", messages=[{"role": "user", "content": "hard question"}])
client.responses.create(model="gpt-5", input="cached question")
client.embeddings.create(model="text-embedding-3-small", input="plain question")
try:
    ask("bad question")
except openai.BadRequestError:
    pass
provider.shutdown()
