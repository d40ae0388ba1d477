"""What the instrumentors of all clients share: OpenTelemetry's own interface, done once."""

from __future__ import annotations

import logging
from collections.abc import Collection
from types import ModuleType
from typing import Any

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import unwrap

from aicost.telemetry.pipeline import Pipeline
from aicost.telemetry.state import pipeline_for

from ._stainless import StainlessClient, wrap_client

_log = logging.getLogger("aicost")


class ClientInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # upstream's names are not typed
    """Wraps one client package. Subclasses say which, and which versions of it were tested.

    The package is not imported for this: it is wrapped when the application imports it, or at once if it has.
    """

    client: StainlessClient
    requires: str

    _pipeline: Pipeline | None = None
    _patched: list[tuple[Any, str]]
    _waiting = False

    def instrumentation_dependencies(self) -> Collection[str]:
        """The package and the versions this wrapper was tested with."""
        return (self.requires,)

    def _instrument(self, **kwargs: Any) -> None:
        self._pipeline = kwargs.get("pipeline") or pipeline_for(
            tracer_provider=kwargs.get("tracer_provider"), meter_provider=kwargs.get("meter_provider")
        )
        self._patched = []
        if self._waiting:
            return
        self._waiting = True
        wrapt.register_post_import_hook(self._imported, f"{self.client.module}._base_client")

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the signature is upstream's
        self._pipeline = None
        for owner, name in self._patched:
            unwrap(owner, name)
        self._patched = []

    def _imported(self, base: ModuleType) -> None:
        self._waiting = False
        if self._pipeline is None:
            return
        try:
            self._patched = self._wrap(base, self._pipeline)
        except Exception as error:  # noqa: BLE001 - a client that moved something must not stop the application
            _log.warning("%s is not instrumented: this version is laid out differently (%r)", self.client.module, error)

    def _wrap(self, base: ModuleType, pipeline: Pipeline) -> list[tuple[Any, str]]:
        """Patch the client's base module; returns what was patched."""
        return wrap_client(base, self.client, pipeline)
