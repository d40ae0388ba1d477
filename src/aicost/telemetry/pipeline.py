"""The pipeline: attempts of a finished call -> charges -> span, metrics, run totals and ledger.

One place prices and one place writes, so no sink can disagree with another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from opentelemetry.trace import Span, Tracer, TracerProvider, get_tracer
from opentelemetry.util.types import AttributeValue

from aicost._settings import Settings
from aicost._version import __version__
from aicost.pricing.charge import Charge
from aicost.pricing.kernel import Kernel
from aicost.pricing.sighting import Sighting, SightingKind
from aicost.scopes.runs import Run, Step
from aicost.usage.event import UsageEvent

from . import guard
from .call_options import Redact, Tokenizer
from .deduplication import Covered, Deduplicator
from .instruments import Metrics
from .profiles import CostProfile, span_attributes

_DEFAULTS = Settings()


class ChargeStore(Protocol):
    """Where charges are kept; the ledger is one. What `record` was given is kept when it returns."""

    def record(
        self,
        entries: Sequence[tuple[UsageEvent, Charge]],
        *,
        sightings: Sequence[Sighting] = (),
        replaces: Sequence[str] = (),
    ) -> object: ...


_MOST_REPLACEABLE = 2_000


class _Counted(NamedTuple):
    """What was counted for a view that something nearer to the wire may yet replace."""

    event: UsageEvent
    charge: Charge
    run: Run | None
    step: Step | None
    metrics: Metrics | None


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
        settings: Settings = _DEFAULTS,
        redact: Redact | None = None,
        tokenizer: Tokenizer | None = None,
        beside: Pipeline | None = None,
    ) -> None:
        """`redact` says what may be recorded of content, `tokenizer` counts tokens where a stream reported none.

        `beside` is a pipeline whose calls this one's may be other views of.
        """
        self.kernel = kernel
        self.metrics = metrics
        self.store = store
        self.tracer: Tracer = get_tracer("aicost", __version__, tracer_provider)
        self.profiles = tuple(profiles)
        self.settings, self.redact, self.tokenizer = settings, redact, tokenizer
        self.counted: Deduplicator = Deduplicator() if beside is None else beside.counted
        self._replaceable: OrderedDict[str, _Counted] = OrderedDict() if beside is None else beside._replaceable

    def settle(
        self,
        attempts: Sequence[UsageEvent],
        *,
        run: Run | None = None,
        step: Step | None = None,
        span: Span | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        replaces: Sequence[str] = (),
        is_nearest: bool = True,
    ) -> Charge:
        """Price the attempts of one call, the last one being its outcome, and tell every sink. Returns its charge.

        `attributes` go on the span together with those of the charge, since each setting of attributes costs.
        `replaces` are events of the same call that were counted for views further from the wire; `is_nearest` is False
        for such a view.
        """
        price = self.kernel.price
        entries = [(event, price(event).plausible()) for event in attempts]
        last, charge = entries[-1]
        try:
            if self.store is not None:
                self.store.record(entries, replaces=replaces)
        except Exception as error:  # noqa: BLE001 - a sink's failure is ours
            guard.failed("write to the ledger", error)
        try:
            for event_id in replaces:
                self._take_back(event_id)
            fresh = [(*entry, news) for entry in entries if (news := self.counted.news(entry[0]))]
            if not is_nearest:
                self._replaceable[last.event_id] = _Counted(last, charge, run, step, self.metrics)
                if len(self._replaceable) > _MOST_REPLACEABLE:
                    self._replaceable.popitem(last=False)
            if run is not None:
                for event, priced, _ in fresh:
                    run.add(event, atto=priced.atto, currency=priced.currency, step=step)
            if self.metrics is not None and fresh:
                for event, priced, news in fresh:
                    self.metrics.attempt(event, priced, attempts=int(news == "event"))
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

    def join(self, event: UsageEvent, covered: Covered, observer: str, *, differs: bool = False) -> None:
        """Keep a view of a call that is counted elsewhere: it is no money, but what it would have been is shown."""
        if self.store is None:
            return
        try:
            kind: SightingKind = "differs" if differs else "joined"
            sighting = Sighting(kind, covered.reason, covered.by, observer, event, self.kernel.price(event).plausible())
            self.store.record((), sightings=(sighting,))
        except Exception as error:  # noqa: BLE001 - a sink's failure is ours
            guard.failed("write to the ledger", error)

    def _take_back(self, event_id: str) -> None:
        """Take out of the live totals and metrics what was counted for a view that is replaced."""
        found = self._replaceable.pop(event_id, None)
        if found is None:
            return
        event, charge, run, step, metrics = found
        if run is not None:
            run.add(event, atto=charge.atto, currency=charge.currency, step=step, times=-1)
        if metrics is not None:
            metrics.attempt(event, charge, times=-1)
