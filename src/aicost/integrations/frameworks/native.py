"""Frameworks that emit OpenTelemetry spans themselves. Those are adopted (`telemetry/adoption.py`), not added to.

Read in pydantic-ai 2.68, semantic-kernel 1.45, google-adk 2.13, strands-agents 1.62, agent-framework 1.23 and
autogen-core 0.7. The first two emit nothing until they are told to.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType

from aicost.integrations._instrumentor import Extension, PackageInstrumentor, Undo
from aicost.telemetry.state import Source


def _spans_of_pydantic_ai(module: ModuleType, source: Source) -> Undo:
    """All agents that the application has not instrumented itself emit spans, with content only where it is wanted."""
    agent, before = module.Agent, module.Agent._instrument_default
    if before:
        return lambda: None
    # What is wanted of content is asked each time: `init()` may say so after this.
    wanted = property(lambda _: source().settings.capture_content, lambda _, _value: None)
    agent.instrument_all(type("AicostSettings", (module.InstrumentationSettings,), {"include_content": wanted})())
    return partial(agent.instrument_all, before)


def _spans_of_semantic_kernel(module: ModuleType, source: Source) -> Undo:  # noqa: ARG001 - content is its own switch
    settings = module.MODEL_DIAGNOSTICS_SETTINGS
    before = settings.enable_otel_diagnostics
    settings.enable_otel_diagnostics = True
    return partial(setattr, settings, "enable_otel_diagnostics", before)


_SEMANTIC_KERNEL = "semantic_kernel.utils.telemetry"


class PydanticAIInstrumentor(PackageInstrumentor):
    """Turns on the spans of pydantic-ai."""

    name = "pydantic-ai-slim"
    requires = "pydantic-ai-slim >= 2.30, < 3"
    extensions = (Extension("pydantic_ai", _spans_of_pydantic_ai),)


class SemanticKernelInstrumentor(PackageInstrumentor):
    """Turns on the spans of semantic-kernel."""

    name = "semantic-kernel"
    requires = "semantic-kernel >= 1.39, < 2"
    extensions = (
        Extension(f"{_SEMANTIC_KERNEL}.agent_diagnostics.decorators", _spans_of_semantic_kernel),
        Extension(f"{_SEMANTIC_KERNEL}.model_diagnostics.decorators", _spans_of_semantic_kernel),
        Extension(f"{_SEMANTIC_KERNEL}.model_diagnostics.function_tracer", _spans_of_semantic_kernel),
    )


class GoogleADKInstrumentor(PackageInstrumentor):
    """google-adk emits its spans by itself."""

    name = "google-adk"
    requires = "google-adk >= 2.10, < 3"


class StrandsInstrumentor(PackageInstrumentor):
    """strands-agents emits its spans by itself."""

    name = "strands-agents"
    requires = "strands-agents >= 1.40, < 2"


class AgentFrameworkInstrumentor(PackageInstrumentor):
    """agent-framework emits its spans by itself, unless ENABLE_INSTRUMENTATION is false."""

    name = "agent-framework-core"
    requires = "agent-framework-core >= 1.12, < 2"


class AutoGenInstrumentor(PackageInstrumentor):
    """autogen emits spans of agents and tools by itself; of models it has none."""

    name = "autogen-core"
    requires = "autogen-core >= 0.7, < 1"
