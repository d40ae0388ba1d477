"""llama-index: workflows, agents, tools and queries, by its dispatcher. Read in llama-index-core 0.14.

A span starts and ends around a function, in its context. What `Workflow.run` returns ends elsewhere, and so do streams:
those are never made current by their span.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from aicost.integrations._activities import Activities, ActivityKind, enter, leave
from aicost.integrations._instrumentor import Extension, PackageInstrumentor, Undo
from aicost.integrations._traced_methods import view_of_response
from aicost.telemetry.call import Target
from aicost.telemetry.state import Source
from aicost.usage.providers import provider_in, provider_named

_RUNS = {"run", "query", "aquery", "chat", "achat", "stream_chat", "astream_chat", "retrieve", "aretrieve"}
_QUERIES = {"BaseQueryEngine": "workflow", "BaseRetriever": "step", "BaseChatEngine": "workflow"}


class _Spans:
    """A span handler: functions of interest are activities, and all others parts of them."""

    def __init__(self, activities: Activities) -> None:
        self._activities = activities

    def span_enter(
        self,
        id_: str,
        bound_args: Any,  # noqa: ARG002
        instance: Any = None,
        parent_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        qualified = id_.partition("-")[0]
        owner, _dot, method = qualified.rpartition(".")
        kind, name = _what(owner, method, instance, tags or {}, outermost=parent_id is None)
        activity = self._activities.begin(id_, kind, name, parent=parent_id)
        if not (method == "run" and kind != "tool"):
            enter(activity)

    def span_exit(self, id_: str, bound_args: Any, instance: Any = None, result: Any = None, **_: Any) -> None:  # noqa: ARG002
        self._activities.end(id_)

    def span_drop(
        self,
        id_: str,
        bound_args: Any,  # noqa: ARG002
        instance: Any = None,  # noqa: ARG002
        err: BaseException | None = None,
        **_: Any,
    ) -> None:
        if err is not None:
            self._activities.refused(("model", id_), err)
        self._activities.end(id_, err)


def _what(
    owner: str, method: str, instance: Any, tags: Mapping[str, Any], *, outermost: bool
) -> tuple[ActivityKind, str]:
    bases = [base.__name__ for base in type(instance).__mro__]
    if "BaseTool" in bases and method in ("call", "acall"):
        return "tool", str(instance.metadata.name)
    if method == "run" and "Workflow" in bases:
        is_agent = "BaseWorkflowAgent" in bases
        return ("agent", str(instance.name)) if is_agent else ("workflow", type(instance).__name__)
    if instance is None and "llamaindex.run_id" in tags and not owner.endswith(("WorkflowAgent", "AgentWorkflow")):
        return "step", method
    known = next((_QUERIES[base] for base in bases if base in _QUERIES), None)
    if known is not None and method in _RUNS:
        return known if outermost else "step", owner  # type: ignore[return-value]
    return "part", method


class _Events:
    """An event handler: what a model was asked and answered."""

    def __init__(self, activities: Activities) -> None:
        self._activities = activities

    def handle(self, event: Any, **_: Any) -> None:
        name, key = type(event).__name__, ("model", event.span_id)
        if name in ("LLMChatStartEvent", "LLMCompletionStartEvent"):
            about = event.model_dict
            kind = str(about.get("class_name", ""))
            provider = provider_in(kind) or provider_named(kind) or "unknown"
            operation = "chat" if name == "LLMChatStartEvent" else "text_completion"
            model = str(about.get("model") or about.get("model_name") or "unknown")
            target = Target(provider, operation, "reported", model)
            enter(self._activities.ask(key, target, parent=event.span_id))
        elif name in ("LLMChatInProgressEvent", "LLMCompletionInProgressEvent"):
            activity = self._activities.get(key)
            if activity is not None:
                leave(activity)
        elif name in ("LLMChatEndEvent", "LLMCompletionEndEvent"):
            self._activities.answered(key, view_of_response(getattr(event.response, "raw", None)))


def _listen(module: ModuleType, source: Source) -> Undo:
    """Join the root dispatcher."""
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
    from llama_index.core.instrumentation.span_handlers import BaseSpanHandler

    activities = Activities(source, "llama-index-core")
    spans, events = _Spans(activities), _Events(activities)

    class AicostSpanHandler(BaseSpanHandler[Any]):  # type: ignore[misc]
        """Tells aicost of spans."""

        def span_enter(self, *args: Any, **kwargs: Any) -> None:
            spans.span_enter(*args, **kwargs)

        def span_exit(self, *args: Any, **kwargs: Any) -> None:
            spans.span_exit(*args, **kwargs)

        def span_drop(self, *args: Any, **kwargs: Any) -> None:
            spans.span_drop(*args, **kwargs)

        def new_span(self, *args: Any, **kwargs: Any) -> None:
            """Nothing is kept here."""

        prepare_to_exit_span = prepare_to_drop_span = new_span

    class AicostEventHandler(BaseEventHandler):  # type: ignore[misc]
        """Tells aicost of events."""

        def handle(self, event: Any, **kwargs: Any) -> None:
            events.handle(event, **kwargs)

    root = module.get_dispatcher()
    ours: tuple[Any, Any] = (AicostSpanHandler(), AicostEventHandler())
    root.add_span_handler(ours[0])
    root.add_event_handler(ours[1])

    def undo() -> None:
        root.span_handlers = [other for other in root.span_handlers if other is not ours[0]]
        root.event_handlers = [other for other in root.event_handlers if other is not ours[1]]

    return undo


class LlamaIndexInstrumentor(PackageInstrumentor):
    """Instruments every workflow, agent, tool, query engine and model of llama-index."""

    name = "llama-index-core"
    requires = "llama-index-core >= 0.13, < 1"
    extensions = (Extension("llama_index.core.instrumentation", _listen),)
