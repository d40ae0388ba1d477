"""Pricing on the way out of a process: an OpenTelemetry exporter around another one."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from aicost.pricing.kernel import Kernel, kernel_in_force
from aicost.telemetry import guard
from aicost.telemetry.deduplication import WIRE
from aicost.telemetry.profiles import CostProfile

from . import wire
from .pricer import OWN_STATEMENTS, Pricer


class PricingExporter(SpanExporter):
    """Prices spans by the collector's rules, whoever made them, and hands them to another exporter.

    For applications that only export and do not call `aicost.init()`. A span that aicost priced already goes on as it
    is. What cannot be priced says why; a failure of pricing itself exports the spans as they came.

    >>> provider.add_span_processor(BatchSpanProcessor(PricingExporter(OTLPSpanExporter())))
    """

    def __init__(
        self, exporter: SpanExporter, *, kernel: Kernel | None = None, profiles: Sequence[CostProfile] = ()
    ) -> None:
        self._exporter = exporter
        self._pricer = Pricer(kernel or kernel_in_force(), profiles=profiles)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Price and export."""
        try:
            spans = self._priced(spans)
        except Exception as error:  # noqa: BLE001 - the application's spans come first
            guard.failed("price spans", error)
        return self._exporter.export(spans)

    def _priced(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        done = self._pricer.price(encode_spans(spans).SerializeToString())
        gained = {
            (span.trace_id, span.span_id): span
            for resource in ExportTraceServiceRequest.FromString(done.data).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }
        return [_with(span, gained) for span in spans]

    def shutdown(self) -> None:
        """Shut the other exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other exporter."""
        return self._exporter.force_flush(timeout_millis)


def _with(span: ReadableSpan, gained: dict[tuple[bytes, bytes], object]) -> ReadableSpan:
    context = span.context
    found = gained.get((context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")))
    present = span.attributes or {}
    more = {key: value for key, value in wire.plain_attributes(found) if present.get(key) != value}
    if not more:
        return span
    scope = span.instrumentation_scope
    if scope is None or scope.name != WIRE:
        present = {key: value for key, value in present.items() if not key.startswith(OWN_STATEMENTS)}
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=span.parent,
        resource=span.resource,
        attributes={**present, **more},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
