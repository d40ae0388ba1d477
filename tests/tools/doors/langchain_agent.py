"""LangChain's models and agents under the instrumentations that the arguments name."""

import contextlib
import sys

import openai
from common import tracing
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

provider = tracing()
for name in sys.argv[1:]:
    match name:
        case "openllmetry":
            from opentelemetry.instrumentation.langchain import LangchainInstrumentor

            LangchainInstrumentor().instrument()
        case "openllmetry-openai":
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor

            OpenAIInstrumentor().instrument()
chat = ChatOpenAI(model="gpt-4o", stream_usage=True, max_retries=0)


@tool
def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


chat.invoke("cached question")
ChatOpenAI(model="o3").invoke("hard question")
ChatOpenAI(model="gpt-5", use_responses_api=True).invoke("cached question")
writer = ChatAnthropic(model="claude-sonnet-4-5", max_tokens=100)
writer.invoke("written question")
for _ in chat.stream("streamed question"):
    pass
OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False).embed_query("plain question")
create_agent(chat, [search], name="helper").invoke({"messages": [("user", "tool question")]})
create_agent(writer, [], name="writer").invoke({"messages": [("user", "cached question")]})
with contextlib.suppress(openai.BadRequestError):
    chat.invoke("bad question")
provider.shutdown()
