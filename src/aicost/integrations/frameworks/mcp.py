"""mcp: tools called by clients and executed by servers. Read in mcp 1.20, 1.30 and 2.3.

From 2.0 on, mcp emits spans and sends the trace along in `_meta` itself; its server's spans are adopted. Before that,
both are done here. Who the work is for goes along if `mcp` is among the hosts that baggage may go to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate

from aicost.integrations._activities import open_frames
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._traced_methods import Execution, is_under_way
from aicost.scopes import propagation
from aicost.scopes.scope import with_scope
from aicost.telemetry import guard
from aicost.telemetry.state import Source

HOST = "mcp"
"""What stands for MCP among the hosts that baggage may go to."""


class ToolError(Exception):
    """A tool's result says that it failed."""


def _call_tool(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    async def call_tool(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001
        around = None
        try:
            name = str(args[0] if args else kwargs["name"])
            if not is_under_way("tool", name):
                around = Execution(open_frames("tool", name))
        except Exception as error:  # noqa: BLE001 - the application's call comes first
            guard.failed("begin a tool", error)
        if around is None:
            return await wrapped(*args, **kwargs)
        with around:
            result = await wrapped(*args, **kwargs)
            if getattr(result, "is_error", None) or getattr(result, "isError", None):
                around.failed = ToolError()
        return result

    return call_tool


def _send_request(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    async def send_request(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001
        try:
            if args and type(getattr(args[0], "root", None)).__name__ == "CallToolRequest":
                args = (_with_meta(args[0]), *args[1:])
        except Exception as error:  # noqa: BLE001 - the application's request comes first
            guard.failed("send the context along", error)
        return await wrapped(*args, **kwargs)

    return send_request


def _with_meta(request: Any) -> Any:
    """The request, in a copy, with the context in its `_meta`."""
    params = request.root.params
    meta: dict[str, Any] = params.meta.model_dump(by_alias=True, exclude_none=True) if params.meta is not None else {}
    propagate.inject(meta)
    propagation.inject(meta, host=HOST)
    if not meta:
        return request
    kind = type(params).model_fields["meta"].annotation.__args__[0]
    params = params.model_copy(update={"meta": kind(**meta)})
    return type(request)(request.root.model_copy(update={"params": params}))


def _handle_request(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    async def handle(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001
        request = args[1] if len(args) > 1 else kwargs.get("req")
        if type(request).__name__ != "CallToolRequest":
            return await wrapped(*args, **kwargs)
        around = None
        try:
            meta = (request.params.meta.model_extra or {}) if request.params.meta is not None else {}
            context = with_scope(propagation.received(meta), propagate.extract(meta, otel_context.get_current()))
            around = Execution(open_frames("tool", str(request.params.name), context))
        except Exception as error:  # noqa: BLE001 - the application's tool comes first
            guard.failed("take the context of a request", error)
        if around is None:
            return await wrapped(*args, **kwargs)
        with around:
            return await wrapped(*args, **kwargs)

    return handle


def _inject(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    def inject(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001
        wrapped(*args, **kwargs)
        try:
            propagation.inject(args[0] if args else kwargs["meta"], host=HOST)
        except Exception as error:  # noqa: BLE001 - the application's request comes first
            guard.failed("send the context along", error)

    return inject


def _extract(source: Source) -> Callable[..., Any]:  # noqa: ARG001 - what a Method's wrapper is made from
    def extract(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG001
        context = wrapped(*args, **kwargs)
        try:
            meta: Mapping[str, Any] | None = args[0] if args else kwargs["meta"]
            if context is not None and meta:
                return with_scope(propagation.received(meta), context)
        except Exception as error:  # noqa: BLE001 - the application's tool comes first
            guard.failed("take the context of a request", error)
        return context

    return extract


class MCPInstrumentor(PackageInstrumentor):
    """Instruments every client session and server of mcp."""

    name = "mcp"
    requires = "mcp >= 1.20, < 3"
    methods = (
        Method("mcp.client.session", "ClientSession.call_tool", wrapper=_call_tool),
        Method("mcp.shared.session", "BaseSession.send_request", wrapper=_send_request, optional=True),
        Method("mcp.server.lowlevel.server", "Server._handle_request", wrapper=_handle_request, optional=True),
        Method("mcp.shared.jsonrpc_dispatcher", "inject_trace_context", wrapper=_inject, optional=True),
        Method("mcp.server._otel", "extract_trace_context", wrapper=_extract, optional=True),
    )
