"""The pipeline of this process: what `init()` set up, or what the environment says if nobody called it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.trace import TracerProvider

from aicost import _forks
from aicost._errors import ConfigError, LedgerError
from aicost._settings import Settings, load
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel, put_in_force
from aicost.scopes import frames, id_key, propagation, runs, scope
from aicost.scopes.owners import check_keys, with_labels
from aicost.scopes.runs import Run, Step

from . import guard
from .call_options import Redact, Tokenizer, tokenizer_named
from .instruments import Metrics
from .pipeline import Pipeline
from .processor import AttributionProcessor
from .profiles import CostProfile

if TYPE_CHECKING:
    from aicost.ledger import Ledger

_log = logging.getLogger("aicost")
_lock = _forks.lock()
_stamped = "_aicost_stamped"


@dataclass(slots=True)
class State:
    """What is set up in this process."""

    settings: Settings
    pipeline: Pipeline
    ledger: Ledger | None
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    others: list[tuple[TracerProvider | None, MeterProvider | None, Pipeline]] = field(default_factory=list)
    """Pipelines for providers that were given to some integrations: all else about them is the same."""

    def providers(self) -> list[object]:
        """Every provider that spans and metrics of ours go through; each once."""
        tracing, metering = (
            self.tracer_provider or trace.get_tracer_provider(),
            self.meter_provider or get_meter_provider(),
        )
        others = [provider for known in self.others for provider in known[:2] if provider is not None]
        return list(dict.fromkeys([tracing, metering, *others]))

    def pipeline_for(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> Pipeline:
        """The pipeline, with providers of one's own in place of its."""
        tracing, metering = tracer_provider or self.tracer_provider, meter_provider or self.meter_provider
        if (tracing, metering) == (self.tracer_provider, self.meter_provider):
            return self.pipeline
        for known in self.others:
            if known[:2] == (tracing, metering):
                return known[2]
        base = self.pipeline
        made = Pipeline(
            base.kernel,
            metrics=base.metrics if meter_provider is None else _metrics_of(meter_provider, self.settings),
            store=base.store,
            tracer_provider=tracing,
            profiles=base.profiles,
            settings=base.settings,
            redact=base.redact,
            tokenizer=base.tokenizer,
            beside=base,
        )
        self.others.append((tracing, metering, made))
        return made


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
    """Set up the process's pipeline from settings. Raises `ConfigError`, and changes nothing, for one of no use.

    A ledger that cannot be opened is logged and left out: the application goes on without one.
    """
    global _state
    with _lock:
        card = RateCard.load(settings.rate_card) if settings.rate_card else RateCard.bundled()
        kernel = Kernel(card)
        counts = tokenizer or tokenizer_named(settings.tokenizer)
        propagation.check(settings.baggage_keys)
        try:
            check_keys(settings.attribution)
        except TypeError as error:
            raise ConfigError(f"setting attribution: {error}") from None
        ledger = _open_ledger(settings, kernel)
        metrics = _metrics_of(meter_provider, settings)
        pipeline = Pipeline(
            kernel,
            metrics=metrics,
            store=ledger,
            tracer_provider=tracer_provider,
            profiles=[CostProfile(name) for name in settings.cost_profiles],
            settings=settings,
            redact=redact,
            tokenizer=counts,
        )
        id_key.use(settings.secret_id_key)
        _own(settings, tracer_provider)
        propagation.allow(settings.baggage_keys, settings.baggage_hosts)
        frames.use_tracer_provider(tracer_provider)
        frames.use_listener(_LedgerListener(ledger) if ledger is not None else None)
        replaced, _state = _state, State(settings, pipeline, ledger, tracer_provider, meter_provider)
        _stamp_spans_of(tracer_provider or trace.get_tracer_provider())
        put_in_force(kernel)
        runs.set_up(True)
        if replaced is not None and replaced.ledger is not None:
            replaced.ledger.close()
        return _state


def with_providers(tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> State:
    """What is set up, from the environment if need be. Spans of runs go to the given provider, and its are stamped."""
    with _lock:
        state = _state or configure(load(), tracer_provider=tracer_provider, meter_provider=meter_provider)
        if tracer_provider is not None:
            frames.use_tracer_provider(tracer_provider)
            _stamp_spans_of(tracer_provider)
            _own(state.settings, tracer_provider)
        return state


def _in_child() -> None:
    """What is in use counts from zero; what an earlier set-up left behind counts nothing any more."""
    if _state is not None:
        for pipeline in (_state.pipeline, *(known[2] for known in _state.others)):
            if pipeline.metrics is not None:
                pipeline.metrics.begin_anew()


_forks.in_child(_in_child)

Source = Callable[[], Pipeline]
"""Gives the pipeline in force. Hooks are handed this, since what is in force may change after they are put in."""


class PipelineSource:
    """The pipeline for those who may have been given providers of their own: that of now, whatever it was before."""

    __slots__ = ("_known", "_meter_provider", "_tracer_provider")

    def __init__(self) -> None:
        self.use(None, None)

    def use(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        """With these providers from now on, or with the process's."""
        self._tracer_provider, self._meter_provider = tracer_provider, meter_provider
        self._known: tuple[State, Pipeline] | None = None

    def __call__(self) -> Pipeline:
        """The pipeline in force. What ends after everything was shut down still has the one it began with."""
        known = self._known
        if known is not None and (known[0] is _state or _state is None):
            return known[1]
        with _lock:
            state = _state or configure(
                load(), tracer_provider=self._tracer_provider, meter_provider=self._meter_provider
            )
            if self._tracer_provider is not None:
                _stamp_spans_of(self._tracer_provider)
            elif state.tracer_provider is None and _resource_of(None) is not None:  # set since then
                _own(state.settings, None)
            pipeline = state.pipeline_for(self._tracer_provider, self._meter_provider)
            self._known = state, pipeline
            return pipeline


def reset() -> None:
    """Forget everything that is set up; the ledger is closed."""
    global _state
    with _lock:
        if _state is not None and _state.ledger is not None:
            _state.ledger.close()
        _state = None
        put_in_force(None)
        runs.set_up(False)
        scope.set_defaults({})
        propagation.allow((), ())
        frames.use_tracer_provider(None)
        frames.use_listener(None)


def _open_ledger(settings: Settings, kernel: Kernel) -> Ledger | None:
    if settings.ledger is None:
        return None
    from aicost.ledger import Ledger

    try:
        return Ledger.open(
            settings.ledger,
            rates=kernel,
            durability=settings.ledger_durability,
            max_bytes=settings.journal_max_bytes,
            segment_bytes=settings.journal_segment_bytes,
            owners=settings.owners,
        )
    except LedgerError as error:
        _log.error("%s; going on without a ledger", error)
        return None


# An SDK keeps the first callbacks of an instrument and drops those of its second making: one Metrics for each provider.
_global_metrics: Metrics | None = None
_metrics: WeakKeyDictionary[MeterProvider, Metrics] = WeakKeyDictionary()


def _metrics_of(provider: MeterProvider | None, settings: Settings) -> Metrics:
    """The instruments of a meter provider, made once. A proxy for the global one and that one are the same."""
    global _global_metrics
    if provider is None or provider is get_meter_provider():
        if _global_metrics is None:
            _global_metrics = Metrics(provider, ledger_lost=_ledger_lost)
        made = _global_metrics
    else:
        made = _metrics.get(provider) or Metrics(provider, ledger_lost=_ledger_lost)
        _metrics[provider] = made
    made.by_owner(settings.metric_attributes)
    return made


def _ledger_lost() -> int:
    return _state.ledger.lost if _state is not None and _state.ledger is not None else 0


def _stamp_spans_of(provider: TracerProvider) -> None:
    """Stamp the provider's spans with the scope, once per provider. A provider without an SDK has no spans."""
    add: Callable[[Any], None] | None = getattr(provider, "add_span_processor", None)
    if add is not None and not hasattr(provider, _stamped):
        add(AttributionProcessor(lambda: _state.pipeline if _state is not None else None))
        setattr(provider, _stamped, True)


def _own(settings: Settings, provider: TracerProvider | None) -> None:
    """Whose everything is that no scope says otherwise of: as the settings say, and beneath them the resource.

    That is the resource of the spans, or, without an SDK, what the environment says.
    """
    resource = _resource_of(provider) or OTELResourceDetector().detect()
    scope.set_defaults(with_labels(settings.attribution, settings.labels), resource.attributes)


def _resource_of(provider: TracerProvider | None) -> Resource | None:
    found = getattr(provider or trace.get_tracer_provider(), "resource", None)
    return found if isinstance(found, Resource) else None


class _LedgerListener:
    """Writes runs and steps to the ledger as they begin and end."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def run_started(self, run: Run, attribution: Mapping[str, str], at_ns: int) -> None:
        """A run began."""
        try:
            self._ledger.start_run(
                run.id,
                workflow=run.workflow or "",
                version=run.version,
                root_run_id=run.root_id,
                parent_run_id=run.parent.id if run.parent else None,
                parent_step_id=run.parent_step.id if run.parent_step else None,
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

    def step_started(self, step: Step, run_id: str, at_ns: int) -> None:
        """A step began."""
        try:
            self._ledger.start_step(
                step.id,
                run_id=run_id,
                parent_step_id=step.parent.id if step.parent else None,
                name=step.name,
                kind=step.kind.value,
                started_ns=at_ns,
            )
        except Exception as error:  # noqa: BLE001 - the application's step comes first
            guard.failed("write a step to the ledger", error)

    def step_ended(self, step: Step, at_ns: int, *, failed: bool) -> None:
        """A step ended."""
        try:
            self._ledger.end_step(step.id, status="failed" if failed else "ok", ended_ns=at_ns)
        except Exception as failure:  # noqa: BLE001 - the application's step comes first
            guard.failed("write a step to the ledger", failure)
