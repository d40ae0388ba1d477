"""crewai: crews, tasks, agents and tools, by their methods: its event bus calls from other threads. Read in 1.15."""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._traced_methods import traced_method


def _crew(instance: Any, args: Any, kwargs: Any) -> str:  # noqa: ARG001
    return str(instance.name or "crew")


def _flow(instance: Any, args: Any, kwargs: Any) -> str | None:  # noqa: ARG001
    if type(instance).__module__.startswith("crewai."):  # what executes an agent is a flow itself
        return None
    return str(getattr(instance, "name", None) or type(instance).__name__)


def _task(instance: Any, args: Any, kwargs: Any) -> str:  # noqa: ARG001
    return str(instance.name or "task")


def _agent(instance: Any, args: Any, kwargs: Any) -> str:  # noqa: ARG001
    return str(instance.role).strip()


def _tool(instance: Any, args: Any, kwargs: Any) -> str:  # noqa: ARG001
    return str(instance.name)


class CrewAIInstrumentor(PackageInstrumentor):
    """Instruments every crew, flow, task, agent and tool of crewai."""

    name = "crewai"
    requires = "crewai >= 1.10, < 2"
    methods = (
        Method("crewai.crew", "Crew.kickoff", wrapper=traced_method("workflow", _crew)),
        Method("crewai.crew", "Crew.akickoff", wrapper=traced_method("workflow", _crew), optional=True),
        Method("crewai.flow.flow", "Flow.kickoff_async", wrapper=traced_method("workflow", _flow), optional=True),
        Method("crewai.task", "Task._execute_core", wrapper=traced_method("step", _task)),
        Method("crewai.task", "Task._aexecute_core", wrapper=traced_method("step", _task), optional=True),
        Method("crewai.agent.core", "Agent.execute_task", wrapper=traced_method("agent", _agent)),
        Method("crewai.agent.core", "Agent.aexecute_task", wrapper=traced_method("agent", _agent), optional=True),
        Method("crewai.agent.core", "Agent.kickoff", wrapper=traced_method("agent", _agent), optional=True),
        Method("crewai.agent.core", "Agent.kickoff_async", wrapper=traced_method("agent", _agent), optional=True),
        Method("crewai.tools.base_tool", "BaseTool.run", wrapper=traced_method("tool", _tool)),
        Method("crewai.tools.base_tool", "BaseTool.arun", wrapper=traced_method("tool", _tool), optional=True),
        Method("crewai.tools.base_tool", "Tool.run", wrapper=traced_method("tool", _tool)),
        Method("crewai.tools.base_tool", "Tool.arun", wrapper=traced_method("tool", _tool), optional=True),
        Method("crewai.tools.structured_tool", "CrewStructuredTool.invoke", wrapper=traced_method("tool", _tool)),
        Method("crewai.tools.structured_tool", "CrewStructuredTool.ainvoke", wrapper=traced_method("tool", _tool)),
    )
