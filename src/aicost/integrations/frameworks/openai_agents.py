"""openai-agents: traces are runs, agents and tools are steps, told by its tracing. Read in openai-agents 0.24.

A trace's spans start and end inline, in the task that does the work, so that is where an activity is made current.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from aicost.integrations._activities import Activities, ActivityKind, enter
from aicost.integrations._instrumentor import Extension, Method, PackageInstrumentor, Undo
from aicost.semconv import attributes as a
from aicost.telemetry import guard
from aicost.telemetry.call import Target
from aicost.telemetry.state import Source
from aicost.usage.readers import ResponseView, read_response
from aicost.usage.reported import read_reported

_KINDS: Mapping[str, ActivityKind] = {"agent": "agent", "function": "tool", "guardrail": "step", "custom": "step"}
_MODELS = {"response", "generation"}
_MAX_HANDOFFS = 1000


class SpanError(Exception):
    """What a span says went wrong; its class is what the error is called."""


class _Processor:
    """A trace processor: each trace and span is an activity."""

    def __init__(self, source: Source) -> None:
        self._activities = Activities(source, "openai-agents")
        self._handoffs: OrderedDict[tuple[str, str], str] = OrderedDict()

    def on_trace_start(self, trace: Any) -> None:
        self._activities.begin(trace.trace_id, "workflow", trace.name)

    def on_trace_end(self, trace: Any) -> None:
        self._activities.end(trace.trace_id)

    def on_span_start(self, span: Any) -> None:
        data, parent = span.span_data, span.parent_id or span.trace_id
        if data.type in _MODELS:
            model = getattr(data, "model", None)
            target = Target("openai", "chat", "reported", model if isinstance(model, str) else "unknown")
            enter(self._activities.ask(span.span_id, target, parent=parent))
            return
        kind = "part" if "sdk_span_type" in (data.export() or {}) else _KINDS.get(data.type, "part")
        name = getattr(data, "name", None) or data.type
        own_attributes = {}
        if kind == "agent":
            handed = self._handoffs.pop((span.trace_id, name), None)
            own_attributes = {a.AICOST_HANDOFF_FROM: handed} if handed is not None else {}
        enter(self._activities.begin(span.span_id, kind, name, parent=parent, attributes=own_attributes))

    def on_span_end(self, span: Any) -> None:
        data, error = span.span_data, span.error
        failed = SpanError(str(error.get("message"))) if error else None
        if data.type in _MODELS:
            view = _view(data)
            if failed is not None and (view is None or view.reading is None):
                self._activities.refused(span.span_id, failed, view)
            else:
                self._activities.answered(span.span_id, view)
            return
        if data.type == "handoff" and data.from_agent and data.to_agent:
            self._handoffs[span.trace_id, data.to_agent] = data.from_agent
            if len(self._handoffs) > _MAX_HANDOFFS:
                self._handoffs.popitem(last=False)
        self._activities.end(span.span_id, failed)

    def shutdown(self, timeout: float | None = None) -> None:
        """Nothing is open here that aicost itself does not close."""

    def force_flush(self) -> None:
        """Nothing waits here."""


def _view(data: Any) -> ResponseView | None:
    """What the span of a model knows of its answer."""
    try:
        response = getattr(data, "response", None)
        if response is not None:
            return read_response({**vars(response)}, api="responses", provider="openai")
        usage, model = data.usage, getattr(data, "model", None)
        if not usage:
            return None
        into, out = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
        counts = {
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "cache_read_tokens": into.get("cached_tokens"),
            "cache_write_tokens": into.get("cache_write_tokens"),
            "reasoning_tokens": out.get("reasoning_tokens"),
        }
        return ResponseView(read_reported({name: n for name, n in counts.items() if n}), None, model, None)
    except Exception as error:  # noqa: BLE001 - an answer of another shape has no counts we could read
        guard.failed("read an answer of openai-agents", error)
        return None


_processor: Any = None


def _listen(module: ModuleType, source: Source) -> Undo:
    """Join the trace processors."""
    global _processor
    ours = _processor = type("AicostProcessor", (_Processor, module.TracingProcessor), {})(source)
    module.add_trace_processor(ours)

    def undo() -> None:
        global _processor
        _processor = None
        multi = module.get_trace_provider()._multi_processor
        multi.set_processors([other for other in multi._processors if other is not ours])

    return undo


def _and_ours(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    """`set_trace_processors` replaces those that are there, and other vendors tell their users to call it."""

    def set_processors(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001
        chosen: list[Any] = args[0] if args else kwargs["processors"]
        return wrapped([*chosen, _processor] if _processor is not None and _processor not in chosen else chosen)

    return set_processors


class OpenAIAgentsInstrumentor(PackageInstrumentor):
    """Instruments every agent of openai-agents."""

    name = "openai-agents"
    requires = "openai-agents >= 0.5, < 1"
    methods = (Method("agents.tracing.provider", "DefaultTraceProvider.set_processors", wrapper=_and_ours),)
    extensions = (Extension("agents.tracing", _listen),)
