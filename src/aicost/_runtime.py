"""The public functions that set aicost up in a process and record what no integration sees."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import TracerProvider

from . import _forks, _signals, integrations
from ._bounded import short
from ._errors import ConfigError, RateCardError
from ._ledger_url import LedgerUrl
from ._settings import load as load_settings
from ._wellformed import as_text
from .pricing.card import RateCard
from .scopes.ids import derived_id, new_id
from .scopes.runs import Run
from .scopes.scope import current_scope
from .semconv import attributes as a
from .telemetry import guard, sdk_setup, state
from .telemetry.call import Call, CallResult, Target
from .telemetry.call_options import Redact, Tokenizer
from .usage.meters import Quantity
from .usage.providers import canonical_provider, normal_tier
from .usage.readers import ResponseView
from .usage.reading import PLAUSIBLE
from .usage.reported import read_meters
from .usage.worth import worth_of

_log = logging.getLogger("aicost")
_lock = _forks.lock()
_handle: Handle | None = None


@dataclass(frozen=True, slots=True)
class Handle:
    """What `init()` set up: the providers in use, the ledger's path, and the integrations that are on."""

    tracer_provider: TracerProvider | None
    meter_provider: MeterProvider | None
    ledger: Path | LedgerUrl | None
    instrumented: tuple[str, ...]

    def use_rate_card(self, rate_card: str | PathLike[str] | None) -> str:
        """Price with another rate card from the next call on, or with the bundled one; returns its `id@version`.

        The card is read and checked first, and put in place at once. Raises `RateCardError` for one that cannot be
        used: the one in force then stays.
        """
        current = state.current()
        if current is None:
            raise RateCardError("aicost is shut down; call aicost.init(rate_card=...) to start with a card")
        card = RateCard.bundled() if rate_card is None else RateCard.load(rate_card)
        current.pipeline.kernel.use(card)
        return card.key

    def flush(self, timeout: float = 5.0) -> bool:
        """See `aicost.flush`."""
        return flush(timeout)

    def shutdown(self) -> None:
        """See `aicost.shutdown`."""
        shutdown()


def init(
    service_name: str | None = None,
    *,
    attribution: Mapping[str, object] | None = None,
    labels: Mapping[str, object] | None = None,
    rate_card: str | PathLike[str] | None = None,
    exporter: str | SpanExporter | None = None,
    ledger: str | PathLike[str] | bool | None = None,
    instrument: str | Iterable[str] | None = None,
    capture_content: bool | None = None,
    redact: Redact | None = None,
    tokenizer: Tokenizer | str | None = None,
) -> Handle:
    """Start tracking costs in this process; one line at start-up is all an application needs.

    Finds the clients that are installed (`instrument="auto"`) and wraps them. Sets up OpenTelemetry only where the
    application has not: a tracer provider that is set already is kept, and ownership is stamped on its spans.
    `exporter` is `"otlp"`, `"console"`, `"none"` or a SpanExporter; unset, OTLP is used if an
    OTEL_EXPORTER_OTLP_*ENDPOINT is set. `ledger` is a path, a URL, or True for the user's state directory; there
    is none by default. Waits for no network: what goes to a server goes there from threads. What is not given comes
    from `AICOST_*` variables and `aicost.toml`.

    `attribution` and `labels` say whose everything is that no scope says otherwise of; beneath them is what the
    resource says (`cloud.*`, `k8s.*`, `service.name`, and owners by their attributes).

    Prompts and answers are recorded only with `capture_content=True`, as `gen_ai.input.messages` and
    `gen_ai.output.messages`; `redact` is given the messages first and returns what may be recorded. `tokenizer` counts
    tokens where a stream reports none: `"tiktoken"`, or a function of model and text; such a cost is `estimated`.

    A second call changes nothing and says so in the log. Raises `ConfigError` for a setting that cannot be used,
    `RateCardError` if that is the rate card; nothing is set up then, and it may be called again.

    Where a signal would end the process at once (SIGTERM, unless the application handles it), what was recorded is
    sent first; that takes 5 seconds at most. Call this in the main thread: Python sets no handlers in others.

    >>> aicost.init(service_name="support-agent", attribution={"team": "support"})
    """
    global _handle
    with _lock:
        if _handle is not None:
            _log.warning("aicost.init() was called before; this call changes nothing. Call aicost.shutdown() first.")
            return _handle
        try:
            _handle = _set_up(
                {
                    "service_name": service_name,
                    "attribution": attribution,
                    "labels": labels,
                    "rate_card": rate_card,
                    "exporter": exporter if isinstance(exporter, str) else None,
                    "ledger": ledger,
                    "instrument": (instrument,) if isinstance(instrument, str) else instrument,
                    "capture_content": capture_content,
                    "tokenizer": tokenizer if isinstance(tokenizer, str) else None,
                },
                exporter,
                redact,
                tokenizer,
            )
        except ConfigError:
            raise
        except Exception as error:
            # What nobody thought of is still a setting or a variable that this environment cannot use.
            raise ConfigError(f"aicost cannot be set up: {type(error).__name__}: {error}") from error
        return _handle


def _set_up(
    arguments: dict[str, Any],
    exporter: str | SpanExporter | None,
    redact: Redact | None,
    tokenizer: Tokenizer | str | None,
) -> Handle:
    _check_kinds(arguments["attribution"], arguments["labels"], exporter, redact, tokenizer)
    for name in ("attribution", "labels"):
        if arguments[name] is not None:
            arguments[name] = {key: as_text(value) for key, value in arguments[name].items()}
    settings = load_settings(**arguments)
    # Whatever may be refused is refused before anything is changed.
    integrations.chosen(settings.instrument)
    made = sdk_setup.set_up(
        settings.exporter if exporter is None or isinstance(exporter, str) else exporter,
        settings.service_name,
        settings.surroundings,
    )
    before = state.current()
    try:
        configured = state.configure(
            settings,
            tracer_provider=made.tracer_provider,
            meter_provider=made.meter_provider,
            redact=redact,
            tokenizer=tokenizer if callable(tokenizer) else None,
        )
        if settings.propagate_threads:
            _follow_threads()
        on = integrations.instrument(settings.instrument)
    except BaseException:
        made.discard()
        if state.current() is not before:
            integrations.uninstrument()
            state.reset()
        raise
    made.put_in_force()
    _finish_at_end()
    kept = settings.ledger if configured.ledger is not None else None
    return Handle(made.tracer_provider, made.meter_provider, kept, tuple(on))


def _check_kinds(attribution: object, labels: object, exporter: object, redact: object, tokenizer: object) -> None:
    """Raise `ConfigError` for an argument of a kind that there is not: nothing would come of it, unsaid."""
    kinds = (
        ("attribution", attribution, isinstance(attribution, Mapping), "a mapping of owner keys to ids"),
        ("labels", labels, isinstance(labels, Mapping), "a mapping of keys of your own to ids"),
        ("exporter", exporter, isinstance(exporter, (str, SpanExporter)), "'otlp', 'console', 'none' or an exporter"),
        ("redact", redact, callable(redact), "a function of messages"),
        ("tokenizer", tokenizer, isinstance(tokenizer, str) or callable(tokenizer), "'tiktoken' or a function"),
    )
    for name, value, fits, expected in kinds:
        if value is not None and not fits:
            raise ConfigError(f"init({name}=...): {value!r:.80} is not {expected}")


def instrument(
    *names: str, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> list[str]:
    """Wrap clients and nothing else, for applications with an OpenTelemetry set-up of their own.

    Without names, all clients that are installed. Spans and metrics go to the given providers, or to the global
    ones. It may be called before `init()` or after it: clients that are wrapped already follow the last of both.
    Returns the names of the integrations that are on. Raises `ConfigError` for a name nobody knows.

    >>> aicost.instrument("openai", "anthropic")
    ['openai', 'anthropic']
    """
    chosen = integrations.chosen(names or ("auto",))
    current = state.with_providers(tracer_provider, meter_provider)
    if current.settings.propagate_threads:
        _follow_threads()
    _finish_at_end()
    return integrations.instrument(chosen, tracer_provider=tracer_provider, meter_provider=meter_provider)


def uninstrument() -> None:
    """Unwrap every client: they are as if aicost had never been there."""
    integrations.uninstrument()


def record_usage(
    *,
    provider: str,
    model: str,
    operation: str,
    usage: Mapping[str, Quantity],
    response_id: str | None = None,
    service_tier: str | None = None,
    idempotency_key: str | None = None,
) -> None:
    """Record a call that no integration sees: a span, a charge and a ledger entry like any other.

    `usage` holds disjoint quantities by meter (`input`, `output`, `input_cache_read`, ...; see
    `aicost.usage.meters`), whole numbers or `Decimal`. Each call of this is a charge of its own, unless
    `idempotency_key` says that it is one that was recorded before: the same key of the same provider is one charge, in
    any process. Never raises, and never loses the call: a quantity that is no such number of at least 0 is left out and
    flagged. `{}` says that nothing was used; what is no mapping, or None, that the call reported nothing.

    >>> aicost.record_usage(provider="acme", model="m", operation="chat", usage={"input": 120, "output": 40})
    """
    try:
        provider, model, operation = str(provider), str(model), str(operation)
        reading = read_meters(usage)
        flags = ("invalid_field:usage",) if reading is None else reading.flags
        if flags:
            _log.warning("record_usage(%s/%s): left out %s: not a count of at least 0", provider, model, flags)
        call = Call(_pipeline(), Target(canonical_provider(provider), operation, "custom", model))
        call.attempt_started()
        if idempotency_key is not None:
            call.identify(derived_id("idempotency_key", provider, idempotency_key))
        tier = normal_tier(service_tier, provider) if isinstance(service_tier, str) else None
        view = ResponseView(reading, response_id if isinstance(response_id, str) else None, model, tier)
        call.finish(view, CallResult(complete=not flags))
    except Exception as error:  # noqa: BLE001 - the application comes first
        guard.failed("record usage", error)


def record_outcome(
    name: str,
    count: int = 1,
    *,
    idempotency_key: str | None = None,
    value: int | Decimal | str | None = None,
    unit: str | None = None,
) -> None:
    """Count units of value, the denominator of cost per unit: a document processed, a ticket resolved.

    The outcome belongs to the run and owner in scope. One recorded twice with one `idempotency_key` counts once, as it
    was recorded first. `value` is what all `count` of them are worth together, exactly, in `unit`: a currency such as
    "USD", or any word.

    Never raises. What is no count between 0 and a trillion is left out, and logged. So is a value that is none, or has
    no unit; the outcome counts without it.

    >>> aicost.record_outcome("document")
    >>> aicost.record_outcome("ticket", 3, value=Decimal("74.70"), unit="USD", idempotency_key="tickets-2026-11-25")
    """
    try:
        name, scope, now = short(as_text(name)), current_scope(), time.time_ns()
        if type(count) is not int or not 0 <= count <= PLAUSIBLE:
            _log.warning("record_outcome(%r): left out %r: not a count between 0 and %d", name, count, PLAUSIBLE)
            return
        try:
            worth, unit = worth_of(value, unit)
        except ValueError as error:
            _log.warning("record_outcome(%r): left out what it is worth: %s", name, error)
            worth = unit = None
        outcome_id = new_id() if idempotency_key is None else derived_id("outcome", name, idempotency_key)
        span = trace.get_current_span()
        if span.is_recording():
            said: dict[str, Any] = {a.AICOST_OUTCOME_NAME: name, a.AICOST_OUTCOME_COUNT: count}
            said[a.AICOST_OUTCOME_ID] = outcome_id
            if worth is not None:
                said |= {a.AICOST_OUTCOME_VALUE: worth, a.AICOST_OUTCOME_UNIT: unit}
            # Whose it is now, which the span may have begun without.
            run = {} if scope.run is None else {a.AICOST_RUN_ID: scope.run.id}
            span.add_event("aicost.outcome", {**said, **run, **scope.owners}, timestamp=now)
        current = state.current()
        if current is not None and current.ledger is not None:
            current.ledger.record_outcome(
                name,
                count=count,
                run_id=scope.run.id if scope.run else None,
                attribution=scope.attribution,
                at_ns=now,
                outcome_id=outcome_id,
                value=worth,
                unit=unit,
            )
    except Exception as error:  # noqa: BLE001 - the application comes first
        guard.failed("record an outcome", error)


def current_run() -> Run | None:
    """The run in scope, or None."""
    return current_scope().run


def flush(timeout: float = 5.0) -> bool:
    """Write and export everything recorded so far. Returns whether all of it was done within `timeout` seconds.

    What is not done by then goes on meanwhile. Call it before a process is frozen, or ends without `atexit`.
    """
    from .integrations._ending import flush

    return flush(timeout)


def shutdown() -> None:
    """Flush, unwrap the clients and close what `init()` opened. Safe to call twice; `init()` may follow."""
    global _handle
    with _lock:
        from .integrations._ending import shut_down

        _signals.leave()
        uninstrument()
        shut_down(_signals.GRACE_S)
        _handle = None


def _pipeline() -> Any:
    return state.with_providers(None, None).pipeline


def _follow_threads() -> None:
    from opentelemetry.instrumentation.threading import ThreadingInstrumentor

    instrumentor = ThreadingInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument()


def _finish_at_end() -> None:
    from .integrations._ending import finish_at_end

    finish_at_end()
