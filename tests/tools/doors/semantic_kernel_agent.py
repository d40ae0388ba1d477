"""Services and an agent of semantic-kernel, with the diagnostics of its models on."""

import asyncio
import contextlib
import os

os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"] = "true"

from common import tracing
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.anthropic import AnthropicChatCompletion
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.exceptions import ServiceException
from semantic_kernel.functions import kernel_function

provider = tracing()


def agent(model: str = "gpt-4o") -> ChatCompletionAgent:
    return ChatCompletionAgent(service=OpenAIChatCompletion(ai_model_id=model), name="helper")


@kernel_function(name="search")
def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


async def main() -> None:
    await agent().get_response(messages="cached question")
    await agent("o3").get_response(messages="hard question")
    writer = AnthropicChatCompletion(ai_model_id="claude-sonnet-4-5")
    await ChatCompletionAgent(service=writer, name="writer").get_response(messages="written question")
    async for _ in agent().invoke_stream(messages="streamed question"):
        pass
    with_tool = agent()
    with_tool.kernel.add_function("tools", search)
    await with_tool.get_response(messages="tool question")
    with contextlib.suppress(ServiceException):
        await agent().get_response(messages="bad question")


asyncio.run(main())
provider.shutdown()
