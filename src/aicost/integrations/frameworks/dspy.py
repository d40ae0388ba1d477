"""dspy: modules are steps and tools are tools, by its callbacks; models are views, by their method. Read in dspy 3.4.

Callbacks run inline around the body. They are joined where dspy looks them up, for `dspy.configure(callbacks=...)`
replaces those that are there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aicost.integrations._activities import Activities, ActivityKind, enter
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._traced_methods import model_view, view_of_response
from aicost.telemetry.call import Target
from aicost.telemetry.state import Source
from aicost.usage.providers import split_model
from aicost.usage.readers import ResponseView


class _Callback:
    """A callback of dspy, by the names its dispatcher looks for."""

    def __init__(self, source: Source) -> None:
        self._activities = Activities(source, "dspy")

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Every `on_..._start` and `on_..._end` that is not of interest."""
        if name.startswith("on_"):
            return _ignore
        raise AttributeError(name)

    def _begin(self, call_id: str, kind: ActivityKind, name: str) -> None:
        enter(self._activities.begin(call_id, kind, name))

    def on_module_start(self, call_id: str, instance: Any, inputs: Any) -> None:  # noqa: ARG002
        name = type(instance).__name__
        outermost = instance.__class__.__module__.partition(".")[0] != "dspy"
        self._begin(call_id, "workflow" if outermost else "step", name)

    def on_module_end(self, call_id: str, outputs: Any = None, exception: BaseException | None = None) -> None:  # noqa: ARG002
        self._activities.end(call_id, exception)

    def on_tool_start(self, call_id: str, instance: Any, inputs: Any) -> None:  # noqa: ARG002
        self._begin(call_id, "tool", str(getattr(instance, "name", None) or "tool"))

    on_tool_end = on_module_end


def _ignore(*args: Any, **kwargs: Any) -> None:
    """What is of no interest."""


def _and_ours(source: Source) -> Callable[..., Any]:
    ours = _Callback(source)

    def get(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001
        found = wrapped(*args, **kwargs)
        return [*found, ours] if args and args[0] == "callbacks" else found

    return get


def _target(instance: Any, args: Any, kwargs: Any) -> Target:  # noqa: ARG001
    provider, model = split_model(str((args[0] if args else kwargs["lm"]).model))
    return Target(provider or "unknown", "chat", "reported", model)


def _view(result: Any) -> tuple[ResponseView | None, bool]:
    body = {"usage": dict(result.usage), "model": result.response_model}
    return view_of_response(body), bool(result.cache_hit)


class DSPyInstrumentor(PackageInstrumentor):
    """Instruments every module, tool and model of dspy. Versions before 3.4 ask models through litellm alone."""

    name = "dspy"
    requires = "dspy >= 3.0, < 4"
    methods = (
        Method("dspy.dsp.utils.settings", "Settings.get", wrapper=_and_ours),
        Method("dspy.clients.execution", "execute", wrapper=model_view("dspy", _target, _view), optional=True),
        Method("dspy.clients.execution", "aexecute", wrapper=model_view("dspy", _target, _view), optional=True),
    )
