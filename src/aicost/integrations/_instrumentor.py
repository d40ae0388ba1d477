"""What the instrumentors of both clients share: OpenTelemetry's own interface, done once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import unwrap

from aicost.telemetry.pipeline import Pipeline
from aicost.telemetry.state import pipeline_for

from ._stainless import StainlessClient, wrap_client


class ClientInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # upstream's names are not typed
    """Wraps one client package. Subclasses say which, and which versions of it were tested."""

    client: StainlessClient
    requires: str

    _patched: list[tuple[Any, str]]

    def instrumentation_dependencies(self) -> Collection[str]:
        """The package and the versions this wrapper was tested with."""
        return (self.requires,)

    def _instrument(self, **kwargs: Any) -> None:
        pipeline: Pipeline = kwargs.get("pipeline") or pipeline_for(
            tracer_provider=kwargs.get("tracer_provider"), meter_provider=kwargs.get("meter_provider")
        )
        self._patched = wrap_client(self.client, pipeline)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the signature is upstream's
        for owner, name in self._patched:
            unwrap(owner, name)
        self._patched = []
