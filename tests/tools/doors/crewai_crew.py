"""A crew of crewai under the instrumentation of OpenInference."""

import os

os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"  # its own tells crewai of each crew, and of no usage

from common import tracing
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from openinference.instrumentation.crewai import CrewAIInstrumentor

provider = tracing()
CrewAIInstrumentor().instrument()


@tool("search")
def search(query: str) -> str:
    """Search."""
    return "Tea costs 4."


def ask(words: str, model: str = "openai/gpt-4o", **options: object) -> None:
    agent = Agent(role="helper", goal="To help.", backstory="Long.", llm=LLM(model=model), **options)
    task = Task(description=words, expected_output="A price.", agent=agent, name="ask")
    Crew(agents=[agent], tasks=[task], name="tea").kickoff()


ask("cached question")
ask("hard question", "openai/o3")
ask("tool question", tools=[search])
try:
    ask("bad question")
except Exception as error:
    print("failed as asked:", type(error).__name__)
provider.shutdown()
