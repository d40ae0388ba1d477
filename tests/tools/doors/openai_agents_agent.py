"""An agent of openai-agents under the instrumentation that the first argument names."""

import asyncio
import contextlib
import sys

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, function_tool, set_trace_processors
from common import tracing
from openai import AsyncOpenAI, BadRequestError

set_trace_processors([])  # not OpenAI's own, which would send them to OpenAI
provider = None
match sys.argv[1]:
    case "openinference":
        from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

        provider = tracing()
        OpenAIAgentsInstrumentor().instrument()
    case "upstream":
        from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor

        provider = tracing()
        OpenAIAgentsInstrumentor().instrument()
    case "logfire":
        import logfire

        provider = logfire
        logfire.configure(send_to_logfire=False, console=False)  # it exports to OTEL_EXPORTER_OTLP_ENDPOINT by itself
        logfire.instrument_openai_agents()


@function_tool
def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


def agent(model: object, **options: object) -> Agent:
    return Agent(name="helper", model=model, model_settings=ModelSettings(include_usage=True), **options)


async def main() -> None:
    client = AsyncOpenAI(max_retries=0)
    chat = OpenAIChatCompletionsModel("gpt-4o", client)
    await Runner.run(agent(chat), "cached question")
    await Runner.run(agent("gpt-5"), "hard question")
    async for _ in Runner.run_streamed(agent(chat), "streamed question").stream_events():
        pass
    async for _ in Runner.run_streamed(agent("gpt-5"), "streamed question").stream_events():
        pass
    await Runner.run(agent("gpt-5", tools=[search]), "tool question")
    with contextlib.suppress(BadRequestError):
        await Runner.run(agent(chat), "bad question")


asyncio.run(main())
provider.shutdown()
