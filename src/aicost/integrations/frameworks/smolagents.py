"""smolagents: agents and tools, by their methods: it tells of a step only when that is over. Read in 1.26."""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._traced_methods import traced_method


def _agent(instance: Any, args: Any, kwargs: Any) -> str:  # noqa: ARG001
    return str(instance.name or type(instance).__name__)


def _tool(instance: Any, args: Any, kwargs: Any) -> str:  # noqa: ARG001
    return str(instance.name)


class SmolagentsInstrumentor(PackageInstrumentor):
    """Instruments every agent and tool of smolagents."""

    name = "smolagents"
    requires = "smolagents >= 1.24, < 2"
    methods = (
        Method("smolagents.agents", "MultiStepAgent.run", wrapper=traced_method("agent", _agent)),
        Method("smolagents.tools", "Tool.__call__", wrapper=traced_method("tool", _tool)),
    )
