"""Agents of pydantic-ai, with the version of its span format that the first argument names."""

import asyncio
import contextlib
import sys

from common import tracing
from pydantic_ai import Agent, InstrumentationSettings, ModelHTTPError

provider = tracing()
Agent.instrument_all(InstrumentationSettings(version=int(sys.argv[1])))
chat, messages = "openai-chat:gpt-4o", "anthropic:claude-sonnet-4-5"


def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


async def stream(model: str) -> None:
    async with Agent(model).run_stream("streamed question") as streamed:
        async for _ in streamed.stream_text():
            pass


async def main() -> None:
    await Agent(chat).run("cached question")
    await Agent("openai-chat:o3").run("hard question")
    await Agent("openai-responses:gpt-5").run("hard question")
    await Agent(messages).run("written question")
    await stream(chat)
    await stream(messages)
    await Agent(chat, name="helper", tools=[search]).run("tool question")
    with contextlib.suppress(ModelHTTPError):
        await Agent(chat).run("bad question")


asyncio.run(main())
provider.shutdown()
