"""The pipeline of this process: what `init()` set up, or what the environment says if nobody called it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from aicost._errors import LedgerError
from aicost._settings import Settings, load
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel, put_in_force
from aicost.scopes import frames, propagation, scope
from aicost.scopes.runs import Run, Step

from . import guard
from .metrics import Metrics
from .options import CallOptions, Redact, Tokenizer, tokenizer_named
from .pipeline import Pipeline
from .processor import AttributionProcessor
from .profiles import CostProfile

if TYPE_CHECKING:
    from aicost.ledger import Ledger

_log = logging.getLogger("aicost")
_lock = threading.RLock()
_stamped = "_aicost_stamped"
_processors: WeakSet[AttributionProcessor] = WeakSet()


@dataclass(slots=True)
class State:
    """What is set up in this process."""

    settings: Settings
    pipeline: Pipeline
    ledger: Ledger | None


_state: State | None = None


def current() -> State | None:
    """What is set up, or None."""
    return _state


def configure(
    settings: Settings,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    redact: Redact | None = None,
    tokenizer: Tokenizer | None = None,
) -> State:
    """Set up the process's pipeline from settings. Raises `RateCardError` for a bad rate card.

    A ledger that cannot be opened is logged and left out: the application goes on without one.
    """
    global _state
    with _lock:
        card = RateCard.load(settings.rate_card) if settings.rate_card else RateCard.bundled()
        kernel = Kernel(card)
        ledger = _open_ledger(settings, kernel)
        metrics = Metrics(
            meter_provider,
            owner_keys=settings.metric_attributes,
            ledger_lost=(lambda: ledger.lost) if ledger is not None else (lambda: 0),
        )
        pipeline = Pipeline(
            kernel,
            metrics=metrics,
            store=ledger,
            tracer_provider=tracer_provider,
            profiles=[CostProfile(name) for name in settings.cost_profiles],
            options=CallOptions(
                provider_hosts=settings.provider_hosts,
                gateway_hosts=settings.gateway_hosts,
                request_stream_usage=settings.request_stream_usage,
                tokenizer=tokenizer or tokenizer_named(settings.tokenizer),
                capture_content=settings.capture_content,
                redact=redact,
            ),
        )
        scope.set_defaults(settings.attribution)
        propagation.allow(settings.baggage_keys, settings.baggage_hosts)
        frames.use_tracer_provider(tracer_provider)
        frames.use_listener(_LedgerListener(ledger) if ledger is not None else None)
        _stamp_spans_of(tracer_provider or trace.get_tracer_provider(), pipeline)
        _state = State(settings, pipeline, ledger)
        put_in_force(kernel)
        return _state


def pipeline_for(*, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> Pipeline:
    """The process's pipeline, set up from the environment if need be, or one for the given providers."""
    with _lock:
        state = _state or configure(load(), tracer_provider=tracer_provider, meter_provider=meter_provider)
        return state.pipeline


def reset() -> None:
    """Forget everything that is set up; the ledger is closed."""
    global _state
    with _lock:
        if _state is not None and _state.ledger is not None:
            _state.ledger.close()
        _state = None
        put_in_force(None)
        scope.set_defaults({})
        propagation.allow((), ())
        frames.use_tracer_provider(None)
        frames.use_listener(None)
        for processor in _processors:
            processor.pipeline = None


def _open_ledger(settings: Settings, kernel: Kernel) -> Ledger | None:
    if settings.ledger is None:
        return None
    from aicost.ledger import Ledger

    try:
        return Ledger.open(settings.ledger, rates=kernel, durability=settings.ledger_durability)
    except LedgerError as error:
        _log.error("%s; going on without a ledger", error)
        return None


def _stamp_spans_of(provider: TracerProvider, pipeline: Pipeline) -> None:
    """Stamp the provider's spans with the scope, once per provider. A provider without an SDK has no spans."""
    add: Callable[[Any], None] | None = getattr(provider, "add_span_processor", None)
    present: AttributionProcessor | None = getattr(provider, _stamped, None)
    if present is not None:
        present.pipeline = pipeline
    elif add is not None:
        processor = AttributionProcessor(pipeline)
        add(processor)
        setattr(provider, _stamped, processor)
        _processors.add(processor)


class _LedgerListener:
    """Writes runs and steps to the ledger as they begin and end."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def run_started(self, run: Run, attribution: Mapping[str, str], at_ns: int) -> None:
        """A run began."""
        try:
            self._ledger.start_run(
                run.id,
                workflow=run.workflow,
                version=run.version,
                root_run_id=run.root_id,
                parent_run_id=run.parent.id if run.parent else None,
                attribution=attribution,
                started_ns=at_ns,
            )
        except Exception as error:  # noqa: BLE001 - the application's run comes first
            guard.failed("write a run to the ledger", error)

    def run_ended(self, run: Run, at_ns: int, *, failed: bool) -> None:
        """A run ended."""
        try:
            self._ledger.end_run(run.id, status="failed" if failed else "ok", ended_ns=at_ns)
        except Exception as failure:  # noqa: BLE001 - the application's run comes first
            guard.failed("write a run to the ledger", failure)

    def step_started(self, step: Step, at_ns: int) -> None:
        """A step began."""
        if step.run is None:
            return
        try:
            self._ledger.start_step(
                step.id,
                run_id=step.run.id,
                parent_step_id=step.parent.id if step.parent else None,
                name=step.name,
                kind=step.kind.value,
                started_ns=at_ns,
            )
        except Exception as error:  # noqa: BLE001 - the application's step comes first
            guard.failed("write a step to the ledger", error)

    def step_ended(self, step: Step, at_ns: int, *, failed: bool) -> None:
        """A step ended."""
        if step.run is None:
            return
        try:
            self._ledger.end_step(step.id, status="failed" if failed else "ok", ended_ns=at_ns)
        except Exception as failure:  # noqa: BLE001 - the application's step comes first
            guard.failed("write a step to the ledger", failure)
