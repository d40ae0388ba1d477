"""The span processor that stamps ownership, run and step on every span started in scope, ours or foreign."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from aicost.scopes.scope import current_scope

from . import guard


class AttributionProcessor(SpanProcessor):
    """Copies the scope in force onto each span as it starts.

    Spans of aicost itself carry it from the start already, so that samplers see it.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp the span; attributes it was started with win."""
        try:
            scope = span.instrumentation_scope
            if scope is not None and scope.name == "aicost":
                return
            stamp = current_scope(parent_context).stamp
            if stamp:
                present = span.attributes or {}
                span.set_attributes({key: value for key, value in stamp.items() if key not in present})
        except Exception as error:  # noqa: BLE001 - the application's span comes first
            guard.failed("stamp a span", error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the signature is upstream's
        """Nothing waits here. (The SDK's own default returns None before 1.31, which counts as a failure.)"""
        return True
