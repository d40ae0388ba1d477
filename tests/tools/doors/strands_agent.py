"""Agents of strands with OpenAI's and Anthropic's models."""

import asyncio
import os

from common import tracing
from strands import Agent, tool
from strands.models.anthropic import AnthropicModel
from strands.models.openai import OpenAIModel

provider = tracing()
key = {"api_key": "test"}
chat = OpenAIModel(client_args={**key, "base_url": os.environ["OPENAI_BASE_URL"], "max_retries": 0}, model_id="gpt-4o")
hard = OpenAIModel(client_args={**key, "base_url": os.environ["OPENAI_BASE_URL"]}, model_id="o3")
messages = AnthropicModel(client_args=key, model_id="claude-sonnet-4-5", max_tokens=100)


@tool
def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


async def main() -> None:
    await Agent(model=chat, callback_handler=None).invoke_async("cached question")
    await Agent(model=hard, callback_handler=None).invoke_async("hard question")
    await Agent(model=messages, callback_handler=None).invoke_async("written question")
    await Agent(model=chat, tools=[search], name="helper", callback_handler=None).invoke_async("tool question")
    try:
        await Agent(model=chat, callback_handler=None).invoke_async("bad question")
    except Exception as error:
        print("failed as asked:", type(error).__name__)


asyncio.run(main())
provider.shutdown()
