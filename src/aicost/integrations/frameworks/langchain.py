"""langchain-core: chains, tools, retrievers and models, from its callbacks. Read in langchain-core 1.0 and 1.7.

The handler joins every callback manager through `register_configure_hook`, langchain's own way in. Its callbacks run
inline, in the caller's context. A body runs in a copy of that context which `_set_config_context` prepares, so that is
where a body's activity is made current: nothing has to be taken back, whoever abandons whichever generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partialmethod
from types import ModuleType
from typing import Any

from opentelemetry import context as otel_context

from aicost.integrations._activities import Activities, enter, leave
from aicost.integrations._instrumentor import Extension, Method, PackageInstrumentor, Undo
from aicost.semconv import attributes as a
from aicost.telemetry import guard
from aicost.telemetry.call import Target
from aicost.telemetry.state import Source
from aicost.usage.providers import normal_tier, provider_named
from aicost.usage.readers import ResponseView
from aicost.usage.reported import read_reported

RUN_ID = "aicost_run_id"
"""The key of a config's metadata that says which run this is."""

_HIDDEN = "langsmith:hidden"
_JOINTS = ("Runnable", "Channel", "Branch", "_")
"""How the names of langchain's own joints begin; a chain that somebody named is a step."""


class _Callbacks:
    """The callbacks, and the activities they tell of. Langchain's handler class is imported only with langchain."""

    def __init__(self, source: Source) -> None:
        self.activities = Activities(source, "langchain-core")

    def on_chain_start(
        self,
        serialized: Any,  # noqa: ARG002
        inputs: Any,  # noqa: ARG002
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        run_type: str | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        details, name = metadata or {}, name or "chain"
        nested = self.activities.get(parent_run_id) is not None
        tries, again = name.startswith("RunnableWithFallbacks"), _is_again(tags)
        if nested and (
            _HIDDEN in (tags or ())
            or run_type in ("prompt", "parser")
            or (name.startswith(_JOINTS) and name != details.get("langgraph_node"))
        ):
            self.activities.begin(run_id, "part", name, parent=parent_run_id, tries=tries, again=again)
            return
        kind = "agent" if details.get("lc_agent_name") == name else "step" if nested else "workflow"
        chosen = details.get(RUN_ID)
        self.activities.begin(
            run_id,
            kind,  # type: ignore[arg-type]
            name,
            parent=parent_run_id,
            run_id=chosen if isinstance(chosen, str) else None,
            tries=tries,
            again=again,
        )

    def on_chain_end(self, outputs: Any, *, run_id: Any, **_: Any) -> None:  # noqa: ARG002
        self.activities.end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        self.activities.end(run_id, None if _is_pause(error) else error)

    def on_tool_start(
        self,
        serialized: Any,
        input_str: Any,  # noqa: ARG002
        *,
        run_id: Any,
        parent_run_id: Any = None,
        name: str | None = None,
        tool_call_id: Any = None,
        **_: Any,
    ) -> None:
        named = name or (serialized or {}).get("name") or "tool"
        attributes = {a.GEN_AI_TOOL_CALL_ID: tool_call_id} if isinstance(tool_call_id, str) else {}
        self.activities.begin(run_id, "tool", named, parent=parent_run_id, attributes=attributes)

    on_tool_end = on_chain_end
    on_tool_error = on_chain_error

    def on_retriever_start(
        self,
        serialized: Any,
        query: Any,  # noqa: ARG002
        *,
        run_id: Any,
        parent_run_id: Any = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        named = name or (serialized or {}).get("name") or "retriever"
        attributes = {a.GEN_AI_OPERATION_NAME: "retrieval"}
        self.activities.begin(run_id, "step", named, parent=parent_run_id, attributes=attributes)

    on_retriever_end = on_chain_end
    on_retriever_error = on_chain_error

    def _ask(
        self,
        operation: str,
        serialized: Any,  # noqa: ARG002
        prompts: Any,  # noqa: ARG002
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        invocation_params: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        details, params = metadata or {}, invocation_params or {}
        provider = provider_named(str(details.get("ls_provider") or "")) or "unknown"
        model = details.get("ls_model_name") or params.get("model_name") or params.get("model") or "unknown"
        target = Target(provider, operation, "reported", str(model))
        enter(self.activities.ask(run_id, target, parent=parent_run_id, again=_is_again(tags)))

    on_chat_model_start = partialmethod(_ask, "chat")
    on_llm_start = partialmethod(_ask, "text_completion")

    def on_llm_new_token(self, token: Any, *, run_id: Any, **_: Any) -> None:  # noqa: ARG002
        # The request is out, and the next thing is a yield: what the application does there is not part of the call.
        activity = self.activities.get(run_id)
        if activity is not None:
            leave(activity)

    def on_llm_end(self, response: Any, *, run_id: Any, **_: Any) -> None:
        view, cached = _view(response)
        self.activities.answered(run_id, view, asked_nobody=cached)

    def on_llm_error(self, error: BaseException, *, run_id: Any, response: Any = None, **_: Any) -> None:
        self.activities.refused(run_id, error, _view(response)[0] if response is not None else None)


def _is_again(tags: Sequence[str] | None) -> bool:
    """Whether `with_retry` does it once more."""
    return any(tag.startswith("retry:attempt:") for tag in tags or ())


def _view(result: Any) -> tuple[ResponseView | None, bool]:
    """What langchain knows of the answer, and whether its cache gave it."""
    try:
        generations = [one for several in result.generations for one in several]
        message = next((one.message for one in generations if getattr(one, "message", None) is not None), None)
        usage = getattr(message, "usage_metadata", None)
        about = getattr(message, "response_metadata", None) or {}
        cached = usage is not None and usage.get("total_cost") == 0
        tier = about.get("service_tier")
        counts = _counts(usage) if usage else None
        return (
            ResponseView(
                reading=read_reported(counts) if counts is not None else None,
                response_id=about.get("id") if isinstance(about.get("id"), str) else None,
                model=about.get("model_name") or about.get("model"),
                service_tier=normal_tier(tier) if isinstance(tier, str) else None,
            ),
            cached,
        )
    except Exception as error:  # noqa: BLE001 - an answer of another shape has no counts we could read
        guard.failed("read langchain's answer", error)
        return None, False


def _counts(usage: Mapping[str, Any]) -> dict[str, Any]:
    """`UsageMetadata`: inclusive totals, with parts that langchain-openai prefixes with the tier that served them."""
    into, out = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    tier = next((f"{tier}_" for tier in ("flex", "priority") if tier in into), "")
    hour = into.get("ephemeral_1h_input_tokens") or 0
    written = (into.get("ephemeral_5m_input_tokens") or 0) + hour
    counts = {
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "cache_read_tokens": into.get(f"{tier}cache_read"),
        "cache_write_tokens": written or into.get(f"{tier}cache_creation"),
        "cache_write_1h_tokens": hour,
        "input_audio_tokens": into.get("audio"),
        "reasoning_tokens": out.get(f"{tier}reasoning"),
        "output_audio_tokens": out.get("audio"),
    }
    return {name: count for name, count in counts.items() if count}


def _is_pause(error: BaseException) -> bool:
    """Whether a graph stopped to ask somebody, or an application had enough of a stream: neither is a failure."""
    return isinstance(error, GeneratorExit) or any(c.__name__ == "GraphBubbleUp" for c in type(error).__mro__)


_callbacks: _Callbacks | None = None


def _listen(module: ModuleType, source: Source) -> Undo:
    """Join every callback manager that is configured from now on."""
    global _callbacks
    from langchain_core.callbacks.base import BaseCallbackHandler

    class AicostCallbackHandler(_Callbacks, BaseCallbackHandler):  # type: ignore[misc]
        """Tells aicost what langchain does."""

        run_inline = True

    handler = AicostCallbackHandler(source)
    variable: ContextVar[Any] = ContextVar("aicost_langchain", default=handler)
    module.register_configure_hook(variable, inheritable=True)
    hooks = module._configure_hooks
    _callbacks = handler

    def undo() -> None:
        global _callbacks
        _callbacks = None
        hooks[:] = [hook for hook in hooks if hook[0] is not variable]

    return undo


def make_current(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    """Wraps `_set_config_context`, which runs in the copy of the context that a body will run in."""

    def prepare(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001
        prepared = wrapped(*args, **kwargs)
        try:
            config = args[0] if args else kwargs["config"]
            run_id = getattr(config.get("callbacks"), "parent_run_id", None)
            activity = _callbacks.activities.get(run_id) if _callbacks is not None else None
            # This is asked twice for a step of a sequence; most of the time one is there already.
            if activity is not None and otel_context.get_current() is not activity.context:
                otel_context.attach(activity.context)
        except Exception as error:  # noqa: BLE001 - the application's body comes first
            guard.failed("enter a chain", error)
        return prepared

    return prepare


class LangChainInstrumentor(PackageInstrumentor):
    """Instruments every chain, tool, retriever and model of langchain."""

    name = "langchain-core"
    requires = "langchain-core >= 1.0, < 2"
    methods = (Method("langchain_core.runnables.config", "_set_config_context", wrapper=make_current),)
    extensions = (Extension("langchain_core.tracers.context", _listen),)
