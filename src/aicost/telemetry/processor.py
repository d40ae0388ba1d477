"""The span processor: ownership, run and step on every span in scope, and what others report of models, once."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.trace import get_current_span

from aicost.scopes.scope import hand_down

from . import adoption, guard
from .pipeline import Pipeline


class AttributionProcessor(SpanProcessor):
    """Copies the scope in force onto each span as it starts, and adopts those of agents and models.

    Spans of aicost itself carry their scope from the start already, so that samplers see it.
    """

    def __init__(self, source: Callable[[], Pipeline | None]) -> None:
        """`source` says where inferences that only others report are counted; None while aicost is shut down."""
        self._source = source

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp the span; attributes it was started with win."""
        pipeline = self._source()
        if pipeline is None:
            return
        try:
            origin = span.instrumentation_scope
            if origin is not None and origin.name == "aicost":
                hand_down(get_current_span(parent_context), span)
                return
            stamp = adoption.started(span, parent_context, pipeline).stamp
            if stamp:
                present = span.attributes or {}
                span.set_attributes({key: value for key, value in stamp.items() if key not in present})
        except Exception as error:  # noqa: BLE001 - the application's span comes first
            guard.failed("stamp a span", error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the signature is upstream's
        """Nothing waits here. (The SDK's own default returns None before 1.31, which counts as a failure.)"""
        return True
