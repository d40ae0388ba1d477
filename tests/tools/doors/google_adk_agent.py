"""An agent of google-adk with Gemini, under its own spans and those of the instrumentation that the argument names."""

import asyncio
import contextlib
import os
import sys

from common import EMULATOR, tracing

provider = tracing()
match sys.argv[1:]:
    case ["openinference"]:
        from openinference.instrumentation.google_adk import GoogleADKInstrumentor

        GoogleADKInstrumentor().instrument()
    case ["upstream"]:
        from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor

        GoogleGenAiSdkInstrumentor().instrument()
os.environ["GOOGLE_API_KEY"] = "test"
os.environ["GOOGLE_GEMINI_BASE_URL"] = f"{EMULATOR}/gemini"

from google.adk.agents import Agent  # noqa: E402
from google.adk.agents.run_config import RunConfig, StreamingMode  # noqa: E402
from google.adk.runners import InMemoryRunner  # noqa: E402
from google.genai import errors, types  # noqa: E402


def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


async def ask(words: str, mode: StreamingMode = StreamingMode.NONE) -> None:
    agent = Agent(name="helper", model="gemini-2.5-flash", tools=[search])
    runner = InMemoryRunner(agent=agent, app_name="tea")
    session = await runner.session_service.create_session(app_name="tea", user_id="u")
    asked = types.Content(role="user", parts=[types.Part(text=words)])
    async for _ in runner.run_async(
        user_id="u", session_id=session.id, new_message=asked, run_config=RunConfig(streaming_mode=mode)
    ):
        pass


async def main() -> None:
    await ask("cached question")
    await ask("hard question")
    await ask("streamed question", StreamingMode.SSE)
    await ask("tool question")
    with contextlib.suppress(errors.ClientError):
        await ask("bad question")


asyncio.run(main())
provider.shutdown()
