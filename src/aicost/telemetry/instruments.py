"""Metrics: money, usage, attempts and durations, exact whatever the traces' sampler does.

Sums are kept here and read by observable counters when the reader collects, because adding to a plain dict costs a
twentieth of a synchronous counter's `add` in the request path. Money stays a whole number until it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from weakref import ref

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter_provider

from aicost import _forks
from aicost._bounded import LONGEST_NAME
from aicost._money import ATTO
from aicost._version import __version__
from aicost.pricing.charge import Charge, ChargeStatus
from aicost.scopes.frames import SCOPE_NAME
from aicost.scopes.scope import ATTRIBUTES
from aicost.semconv import attributes as a
from aicost.semconv import metrics as m
from aicost.usage.event import Chargeable, RequestStatus, UsageEvent
from aicost.usage.meters import token_sums

from . import guard, sdk_in_child

MAX_SERIES = 2_000
"""Most combinations of attributes one counter keeps; further ones are counted together as overflow."""

_OVERFLOW: tuple[tuple[str, str], ...] = (("otel.metric.overflow", "true"),)
_TOKEN_BUCKETS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
_SECOND_BUCKETS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]

_Series = tuple[tuple[str, str], ...]


class _Sums:
    """Running sums by series, bounded."""

    def __init__(self, lock: AbstractContextManager[Any], scale: int = 1) -> None:
        self._values: dict[_Series, Any] = {}
        self._lock = lock
        self._scale = scale

    def add(self, series: _Series, amount: Any) -> None:
        values = self._values
        if series not in values and (len(values) >= MAX_SERIES or any(len(text) > LONGEST_NAME for _, text in series)):
            series = _OVERFLOW
        values[series] = values.get(series, 0) + amount

    def clear(self) -> None:
        self._values.clear()

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            items = list(self._values.items())
        # Money is a double on the wire; counts stay whole numbers.
        return [Observation(v / self._scale if self._scale != 1 else v, dict(series)) for series, v in items]


_MODEL_NAMES = (a.GEN_AI_OPERATION_NAME, a.GEN_AI_PROVIDER_NAME, a.GEN_AI_REQUEST_MODEL)
_DB_NAMES = (a.DB_OPERATION_NAME, a.DB_SYSTEM_NAME, a.DB_COLLECTION_NAME)


class Metrics:
    """The instruments of one meter provider."""

    def __init__(
        self,
        provider: MeterProvider | None = None,
        *,
        owner_keys: tuple[str, ...] = ("feature_id", "team"),
        ledger_lost: Callable[[], int] = lambda: 0,
    ) -> None:
        self.by_owner(owner_keys)
        self._lock = _forks.lock()
        self._cost = _Sums(self._lock, ATTO)
        self._usage, self._attempts, self._retries = _Sums(self._lock), _Sums(self._lock), _Sums(self._lock)
        self._unpriced, self._possibly = _Sums(self._lock), _Sums(self._lock)
        self._unknown_fields = _Sums(self._lock)
        self._provider: Callable[[], MeterProvider | None] = ref(provider) if provider is not None else lambda: None
        meter = (provider or get_meter_provider()).get_meter(SCOPE_NAME, __version__)
        counters = (
            (m.AICOST_COST, self._cost),
            (m.AICOST_USAGE, self._usage),
            (m.AICOST_REQUEST_ATTEMPTS, self._attempts),
            (m.AICOST_REQUEST_RETRIES, self._retries),
            (m.AICOST_REQUESTS_UNPRICED, self._unpriced),
            (m.AICOST_REQUESTS_POSSIBLY_BILLED, self._possibly),
            (m.AICOST_USAGE_UNKNOWN_FIELDS, self._unknown_fields),
        )
        self._sums = tuple(sums for _, sums in counters)
        for metric, sums in counters:
            meter.create_observable_counter(metric.name, [sums.observe], metric.unit, metric.description)
        meter.create_observable_counter(
            m.AICOST_INTERNAL_ERRORS.name,
            [_own_errors],
            m.AICOST_INTERNAL_ERRORS.unit,
            m.AICOST_INTERNAL_ERRORS.description,
        )
        lost = m.AICOST_LEDGER_LOST
        meter.create_observable_counter(
            lost.name, [lambda _: [Observation(ledger_lost())]], lost.unit, lost.description
        )
        tokens, duration = m.GEN_AI_CLIENT_TOKEN_USAGE, m.GEN_AI_CLIENT_OPERATION_DURATION
        self._tokens = meter.create_histogram(
            tokens.name, tokens.unit, tokens.description, explicit_bucket_boundaries_advisory=_TOKEN_BUCKETS
        )
        db = m.DB_CLIENT_OPERATION_DURATION
        self._db_duration = meter.create_histogram(
            db.name, db.unit, db.description, explicit_bucket_boundaries_advisory=_SECOND_BUCKETS
        )
        self._duration = meter.create_histogram(
            duration.name, duration.unit, duration.description, explicit_bucket_boundaries_advisory=_SECOND_BUCKETS
        )

    def begin_anew(self) -> None:
        """Count from zero: what was counted so far belongs to the process that forked."""
        for sums in self._sums:
            sums.clear()
        sdk_in_child.begin_anew(self._provider() or get_meter_provider(), SCOPE_NAME)

    def by_owner(self, keys: tuple[str, ...]) -> None:
        """Tell these owners apart from now on."""
        self._owner_keys = tuple((key, ATTRIBUTES[key]) for key in keys)

    def attempt(self, event: UsageEvent, charge: Charge, *, attempts: int = 1, times: int = 1) -> None:
        """Count an attempt and its charge. `attempts` is 0 for one that is known, whose charge has come since.

        `times` is -1 for one that is taken back, because something nearer to the wire tells of it.
        """
        base = self._base(event)
        with self._lock:
            if attempts:
                self._attempts.add((*base, (a.AICOST_REQUEST_STATUS, event.status.value)), times * attempts)
            if event.status is RequestStatus.RETRY:
                self._retries.add(base, times)
            for meter, quantity in (event.usage or {}).items():
                self._usage.add(
                    (*base, (a.AICOST_METER, meter)), times * (quantity if type(quantity) is int else float(quantity))
                )
            for flag in event.flags:
                kind, _, field = flag.partition(":")
                if kind == "unknown_field":
                    self._unknown_fields.add((*base, (a.AICOST_USAGE_FIELD, field)), times)
            if charge.atto:
                money = ((a.AICOST_COST_CURRENCY, charge.currency), (a.AICOST_COST_STATUS, charge.status.value))
                self._cost.add((*base, *money), times * charge.atto)
            if event.chargeable is Chargeable.POSSIBLY:
                self._possibly.add(base, times)
            elif charge.status in (ChargeStatus.UNPRICED, ChargeStatus.PARTIAL):
                self._unpriced.add((*base, (a.AICOST_COST_REASON, (charge.reason or "").partition(":")[0])), times)

    def call(self, event: UsageEvent, started_ns: int) -> None:
        """Record the duration of a finished call and its tokens, if known. `event` is its last attempt."""
        attributes = dict(self._base(event))
        if event.error_type is not None:
            attributes[a.ERROR_TYPE] = event.error_type
        seconds = (event.ended_ns - started_ns) / 1e9
        if event.is_storage:
            self._db_duration.record(seconds, attributes)
            return
        self._duration.record(seconds, attributes)
        self.tokens(event, attributes)

    def tokens(self, event: UsageEvent, attributes: Mapping[str, str] | None = None) -> None:
        """Record the tokens of a finished call, if known."""
        if attributes is None:
            attributes = dict(self._base(event))
        usage = event.usage
        if usage:
            inputs, outputs = token_sums(usage)
            self._tokens.record(inputs, {**attributes, a.GEN_AI_TOKEN_TYPE: "input"})
            if outputs or event.operation != "embeddings":
                self._tokens.record(outputs, {**attributes, a.GEN_AI_TOKEN_TYPE: "output"})

    def _base(self, event: UsageEvent) -> _Series:
        names = _DB_NAMES if event.is_storage else _MODEL_NAMES
        series = list(zip(names, (event.operation, event.provider, event.request_model or event.model), strict=True))
        owner = event.attribution
        series.extend((attribute, owner[key]) for key, attribute in self._owner_keys if key in owner)
        return tuple(series)


def _own_errors(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(count, {a.ERROR_TYPE: kind}) for (_where, kind), count in guard.errors().items()]
