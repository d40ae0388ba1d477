"""The google-genai client under the instrumentation that the first argument names."""

import contextlib
import sys

from common import EMULATOR, tracing
from google import genai
from google.genai import errors, types

provider = tracing()
match sys.argv[1]:
    case "upstream":
        from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor

        GoogleGenAiSdkInstrumentor().instrument()
    case "openinference":
        from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor

        GoogleGenAIInstrumentor().instrument()
client = genai.Client(api_key="test", http_options=types.HttpOptions(base_url=f"{EMULATOR}/gemini"))
model = "gemini-2.5-flash"

client.models.generate_content(model=model, contents="cached question")
client.models.generate_content(model=model, contents="hard question")
for _ in client.models.generate_content_stream(model=model, contents="streamed question"):
    pass
client.models.embed_content(model="gemini-embedding-001", contents="plain question")
with contextlib.suppress(errors.ClientError):
    client.models.generate_content(model=model, contents="bad question")
provider.shutdown()
