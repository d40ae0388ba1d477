"""The pipeline: attempts of a finished call -> charges -> span, metrics, run totals and ledger.

One place prices and one place writes, so no sink can disagree with another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from opentelemetry.trace import Span, Tracer, TracerProvider, get_tracer
from opentelemetry.util.types import AttributeValue

from aicost._version import __version__
from aicost.pricing.charge import Charge
from aicost.pricing.kernel import Kernel
from aicost.scopes.runs import Run, Step
from aicost.usage.event import UsageEvent

from . import guard
from .metrics import Metrics
from .once import WIRE, Counted
from .options import CallOptions
from .profiles import CostProfile, span_attributes

_DEFAULT_OPTIONS = CallOptions()


class ChargeStore(Protocol):
    """Where charges are kept; the ledger is one. `record` is one transaction and returns when it is durable."""

    def record(self, entries: Sequence[tuple[UsageEvent, Charge]]) -> None: ...


class Pipeline:
    """Prices attempts and hands the charges to every sink. Each sink fails by itself, never the caller."""

    def __init__(
        self,
        kernel: Kernel,
        *,
        metrics: Metrics | None = None,
        store: ChargeStore | None = None,
        tracer_provider: TracerProvider | None = None,
        profiles: Sequence[CostProfile] = (),
        options: CallOptions = _DEFAULT_OPTIONS,
    ) -> None:
        self.kernel = kernel
        self.metrics = metrics
        self.store = store
        self.tracer: Tracer = get_tracer("aicost", __version__, tracer_provider)
        self.profiles = tuple(profiles)
        self.options = options
        self.counted = Counted()

    def settle(
        self,
        attempts: Sequence[UsageEvent],
        *,
        run: Run | None = None,
        step: Step | None = None,
        span: Span | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        observer: str = WIRE,
    ) -> Charge:
        """Price the attempts of one call, the last one being its outcome, and tell every sink. Returns its charge.

        `attributes` go on the span together with those of the charge, since each setting of attributes costs.
        `observer` is who saw the call.
        """
        price = self.kernel.price
        entries = [(event, price(event)) for event in attempts]
        last, charge = entries[-1]
        try:
            if self.store is not None:
                self.store.record(entries)
        except Exception as error:  # noqa: BLE001 - a sink's failure is ours
            guard.failed("write to the ledger", error)
        try:
            fresh = [(*entry, news) for entry in entries if (news := self.counted.news(entry[0], observer))]
            if run is not None:
                for event, priced, _ in fresh:
                    run.add(event, atto=priced.atto, currency=priced.currency, step=step)
            if self.metrics is not None and fresh:
                for event, priced, news in fresh:
                    self.metrics.attempt(event, priced, known=news == "usage")
                if fresh[-1][2] == "usage":
                    self.metrics.tokens(last)
                else:
                    self.metrics.call(last, entries[0][0].started_ns)
        except Exception as error:  # noqa: BLE001 - a sink's failure is ours
            guard.failed("record metrics", error)
        try:
            if span is not None and span.is_recording():
                span.set_attributes({**(attributes or {}), **span_attributes(entries, self.profiles)})
        except Exception as error:  # noqa: BLE001 - a sink's failure is ours
            guard.failed("set cost attributes", error)
        return charge
