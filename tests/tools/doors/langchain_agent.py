"""LangChain: an agent with a tool, models alone and embeddings, under what the arguments name."""

import sys
from contextlib import suppress

from common import instrument
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from opentelemetry import trace

finish = instrument(sys.argv[1], *sys.argv[2:])


def search(query: str) -> str:
    """Search for something."""
    return f"What there is about {query}."


gpt = ChatOpenAI(model="gpt-4o", max_retries=0)
claude = ChatAnthropic(model="claude-sonnet-4-5", max_tokens=1000, max_retries=0)
with trace.get_tracer("application").start_as_current_span("GET /answer"):
    create_agent(gpt, [search]).invoke({"messages": [{"role": "user", "content": "tool question"}]})
(ChatPromptTemplate.from_template("{kind} question") | gpt).invoke({"kind": "cached"})
ChatOpenAI(model="o3").invoke("hard question")
ChatOpenAI(model="gpt-5", use_responses_api=True).invoke("cached question")
claude.invoke("written question")
for _ in claude.stream("streamed question"):
    pass
for _ in ChatOpenAI(model="gpt-4o", stream_usage=True).stream("streamed question"):
    pass
OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False).embed_query("plain question")
with suppress(Exception):  # whichever the version raises
    gpt.invoke("bad question")
finish()
