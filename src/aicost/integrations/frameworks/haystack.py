"""haystack: pipelines, components, agents and tools, by its tracing. Read in haystack-ai 3.4.

Everything haystack does goes through one proxy tracer, whichever tracer an application has set behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from aicost.integrations._activities import ActivityKind, open_frames
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._traced_methods import Execution, traced_method
from aicost.telemetry import guard
from aicost.telemetry.state import Source

_KINDS: Mapping[str, tuple[ActivityKind, str | None]] = {
    "haystack.pipeline.run": ("workflow", None),
    "haystack.async_pipeline.run": ("workflow", None),
    "haystack.agent.run": ("agent", None),
    "haystack.component.run": ("step", "haystack.component.name"),
}
"""What an operation is, and the tag that names it; the operation itself where there is none."""


def _trace(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    @contextmanager
    def trace(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Iterator[Any]:  # noqa: ARG001
        operation = args[0] if args else kwargs["operation_name"]
        with ExitStack() as stack:
            try:
                kind, tag = _KINDS.get(operation, ("part", None))
                tags = kwargs.get("tags") or (args[1] if len(args) > 1 else None) or {}
                if kind != "part":
                    name = tags.get(tag) if tag is not None else operation.split(".")[1]
                    stack.enter_context(Execution(open_frames(kind, str(name or operation))))
            except Exception as error:  # noqa: BLE001 - the framework's work comes first
                guard.failed("begin a component", error)
            yield stack.enter_context(wrapped(*args, **kwargs))

    return trace


def _tool(instance: Any, args: Any, kwargs: Any) -> str:  # noqa: ARG001
    return str(instance.name)


class HaystackInstrumentor(PackageInstrumentor):
    """Instruments every pipeline, component, agent and tool of haystack."""

    name = "haystack-ai"
    requires = "haystack-ai >= 2.18, < 4"
    methods = (
        Method("haystack.tracing.tracer", "ProxyTracer.trace", wrapper=_trace),
        # The span of a tool ends well however the tool ended.
        Method("haystack.tools.tool", "Tool.invoke", wrapper=traced_method("tool", _tool)),
        Method("haystack.tools.tool", "Tool.invoke_async", wrapper=traced_method("tool", _tool), optional=True),
    )
