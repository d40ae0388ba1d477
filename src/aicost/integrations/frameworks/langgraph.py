"""langgraph: graphs are runs and nodes are steps, told by langchain's callbacks. Read in langgraph 1.0 and 1.2.

A graph that stops for somebody's answer goes on later, perhaps in another process. Its checkpoints therefore carry the
id of the run, in their metadata, where langgraph keeps what a config's metadata says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from aicost.integrations import instrument
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.scopes.ids import new_id
from aicost.scopes.scope import current_scope
from aicost.telemetry import guard
from aicost.telemetry.state import Source

from .langchain import RUN_ID, make_current


def _goes_on(asked: Any) -> bool:
    """Whether the input continues what stopped."""
    return asked is None or getattr(asked, "resume", None) is not None


def _needs_id(graph: Any, config: Any) -> bool:
    return (
        current_scope().run is None
        and bool(getattr(graph, "checkpointer", None))
        and "thread_id" in ((config or {}).get("configurable") or {})
        and RUN_ID not in ((config or {}).get("metadata") or {})
    )


def _with_id(config: Any, saved: Any) -> Any:
    """The config, in a copy, that says which run it is: the one the checkpoint is of, or a new one."""
    before = ((saved.metadata or {}) if saved is not None else {}).get(RUN_ID)
    return {**config, "metadata": {**(config.get("metadata") or {}), RUN_ID: before or new_id()}}


def _stream(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    def stream(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Iterator[Any]:
        asked, config, rest, named = _split(args, kwargs)
        try:
            if _needs_id(instance, config):
                saved = instance.checkpointer.get_tuple(config) if _goes_on(asked) else None
                config = _with_id(config, saved)
        except Exception as error:  # noqa: BLE001 - the application's graph comes first
            guard.failed("find the run of a checkpoint", error)
        yield from wrapped(asked, config, *rest, **named)

    return stream


def _astream(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    async def astream(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> AsyncIterator[Any]:
        asked, config, rest, named = _split(args, kwargs)
        try:
            if _needs_id(instance, config):
                saved = await instance.checkpointer.aget_tuple(config) if _goes_on(asked) else None
                config = _with_id(config, saved)
        except Exception as error:  # noqa: BLE001 - the application's graph comes first
            guard.failed("find the run of a checkpoint", error)
        stream = wrapped(asked, config, *rest, **named)
        try:
            async for item in stream:
                yield item
        finally:
            await stream.aclose()

    return astream


def _split(args: Any, kwargs: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    named = dict(kwargs)
    asked = args[0] if args else named.pop("input")
    config = args[1] if len(args) > 1 else named.pop("config", None)
    return asked, config, args[2:], named


class LangGraphInstrumentor(PackageInstrumentor):
    """Instruments every graph of langgraph; langchain-core's callbacks tell of its nodes."""

    name = "langgraph"
    requires = "langgraph >= 1.0, < 2"
    methods = (
        Method("langgraph._internal._runnable", "_set_config_context", wrapper=make_current),
        Method("langgraph.pregel.main", "Pregel.stream", wrapper=_stream),
        Method("langgraph.pregel.main", "Pregel.astream", wrapper=_astream),
    )

    def follow(self, **providers: Any) -> None:
        """Record with these providers, and so does langchain-core, whose callbacks see the nodes."""
        super().follow(**providers)
        instrument(("langchain-core",), **providers)
