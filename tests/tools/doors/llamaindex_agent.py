"""LlamaIndex's models and agents under the instrumentation of OpenInference."""

import asyncio
import contextlib
import os

import openai
from common import tracing
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.openai import OpenAI
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

provider = tracing()
LlamaIndexInstrumentor().instrument()
address = os.environ["OPENAI_BASE_URL"]
with_usage = {"stream_options": {"include_usage": True}}


def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


def model(name: str = "gpt-4o", **options: object) -> OpenAI:
    return OpenAI(model=name, api_base=address, max_retries=0, **options)


async def main() -> None:
    await model().acomplete("cached question")
    await model("o3").acomplete("hard question")
    await Anthropic(model="claude-sonnet-4-5", base_url=os.environ["ANTHROPIC_BASE_URL"]).acomplete("written question")
    for options in ({"additional_kwargs": with_usage}, {}):
        async for _ in await model(**options).astream_complete("streamed question"):
            pass
    await OpenAIEmbedding(model="text-embedding-3-small", api_base=address).aget_text_embedding("plain question")
    await FunctionAgent(name="helper", tools=[search], llm=model(additional_kwargs=with_usage)).run("tool question")
    with contextlib.suppress(openai.BadRequestError):
        await model().acomplete("bad question")


asyncio.run(main())
provider.shutdown()
