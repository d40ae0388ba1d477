"""Services and an agent of semantic-kernel, with the diagnostics of its models on."""

import asyncio
import os

os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"] = "true"

from common import tracing  # noqa: E402
from semantic_kernel.agents import ChatCompletionAgent  # noqa: E402
from semantic_kernel.connectors.ai.anthropic import AnthropicChatCompletion  # noqa: E402
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion  # noqa: E402
from semantic_kernel.exceptions import ServiceException  # noqa: E402
from semantic_kernel.functions import kernel_function  # noqa: E402

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
    try:
        await agent().get_response(messages="bad question")
    except ServiceException:
        pass


asyncio.run(main())
provider.shutdown()
