"""Metrics of a collector: what the calls in it cost, and how it is doing itself.

Cost and tokens are counted here from every span that is priced, before anybody samples, and sent as OTLP where the
spans go. `/metrics` shows both for Prometheus. Sums are kept as whole numbers; series are bounded, and what no longer
fits is counted together as overflow.
"""

from __future__ import annotations

import time
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from aicost._money import ATTO
from aicost._version import __version__
from aicost.pricing.charge import ChargeStatus
from aicost.scopes.ids import opaque
from aicost.scopes.scope import ATTRIBUTES
from aicost.semconv import attributes as a
from aicost.semconv import metrics as m
from aicost.usage.event import Chargeable
from aicost.usage.meters import Quantity

from . import wire
from .config import CostMetrics
from .pricer import CountedCall, Priced

BOUNDS = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the histogram of what calls cost, in the currency."""

_ATTO_BOUNDS = [round(bound * ATTO) for bound in BOUNDS]
_MOST_KINDS = 50_000
_METERED = 200_000
_MOST_METERS = 64
_OTHER_METERS = "other"
"""What further meters of a series are counted as: there are about fifty, and those of models that a provider names."""
_LONGEST_KEY = 1024
_Labels = tuple[tuple[str, str], ...]
_OVERFLOW: _Labels = ((a.OTEL_METRIC_OVERFLOW, "true"),)
_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


class _Series:
    """Everything that is counted of the calls of one model, operation and owner."""

    __slots__ = ("attempts", "buckets", "cost", "labels", "possibly", "spent", "unpriced", "usage")

    def __init__(self, labels: _Labels) -> None:
        self.labels = labels
        self.attempts: Counter[str] = Counter()
        self.cost: Counter[tuple[str, str]] = Counter()
        self.usage: dict[str, Quantity] = {}
        self.unpriced: Counter[str] = Counter()
        self.possibly = 0
        self.buckets: dict[str, list[int]] = {}
        self.spent: Counter[str] = Counter()


class CostMeters:
    """Counts what calls cost. What was counted before is not counted again."""

    def __init__(self, config: CostMetrics) -> None:
        self._config = config
        self.owners = tuple(ATTRIBUTES[key] for key in config.attributes)
        self._series: dict[tuple[Any, ...], _Series] = {}
        self._by_labels: dict[_Labels, _Series] = {}
        self._metered: dict[str, None] = {}
        """Events that were counted: one may come again, or twice at a time."""
        self._instance = str(uuid.uuid4())
        self._since = self._started = time.time_ns()
        self._sent: dict[tuple[str, _Labels], Any] = {}
        self._sent_before, self._since_before = self._sent, self._since

    def count(self, priced: Priced) -> None:
        """Count the calls in a request."""
        series = self._series
        metered = self._metered
        for one in priced.counted:
            if one.prepriced or one.event_id in metered:
                continue
            metered[one.event_id] = None
            key = (one.labels, one.resource.digest, *map(_kept, one.owners))
            found = series.get(key)
            if found is None:
                found = self._begun(key, one)
            charge = one.charge
            found.attempts["failure" if one.failed else "success"] += 1
            usage = found.usage
            for meter, quantity in (one.usage or {}).items():
                if meter not in usage and len(usage) >= _MOST_METERS:
                    meter = _OTHER_METERS  # noqa: PLW2901 - providers name models in some
                usage[meter] = usage.get(meter, 0) + quantity
            if charge.atto is not None and one.usage is not None:
                found.cost[charge.currency, charge.status.value] += charge.atto
                found.spent[charge.currency] += charge.atto
                buckets = found.buckets.get(charge.currency)
                if buckets is None:
                    buckets = found.buckets[charge.currency] = [0] * (len(BOUNDS) + 1)
                buckets[bisect_left(_ATTO_BOUNDS, charge.atto)] += 1
            if one.chargeable is Chargeable.POSSIBLY:
                found.possibly += 1
            elif charge.status in (ChargeStatus.UNPRICED, ChargeStatus.PARTIAL):
                found.unpriced[(charge.reason or "").partition(":")[0]] += 1

        if len(metered) > 2 * _METERED:
            for old in list(islice(metered, len(metered) - _METERED)):
                del metered[old]

    def _begun(self, key: tuple[Any, ...], one: CountedCall) -> _Series:
        """The series for a kind of call that was not met yet; several kinds may share one."""
        kind, resource, own = one.labels, one.resource, one.owners
        named: dict[str, str] = {
            a.GEN_AI_OPERATION_NAME: kind.operation,
            a.GEN_AI_PROVIDER_NAME: kind.provider,
            a.GEN_AI_REQUEST_MODEL: kind.request_model[:200],
            **dict(_resource(resource.resource, self.owners)),
            **{name: _text(name, value) for name, value in zip(self.owners, own, strict=True) if value is not None},
        }
        labels = tuple(named.items())
        if labels not in self._by_labels and len(self._by_labels) >= self._config.max_series:
            labels = _OVERFLOW
        made = self._by_labels.setdefault(labels, _Series(labels))
        if len(self._series) > _MOST_KINDS:
            self._series.clear()
        self._series[key] = made
        return made

    def _points(self) -> Iterator[tuple[m.Metric, _Labels, Any]]:
        """Every sum there is: money in 1e-18 of its currency, histograms as (buckets, sum)."""
        for one in self._by_labels.values():
            for (currency, status), atto in one.cost.items():
                money = ((a.AICOST_COST_CURRENCY, currency), (a.AICOST_COST_STATUS, status))
                yield m.AICOST_COST, (*one.labels, *money), atto
            for meter, quantity in one.usage.items():
                yield m.AICOST_USAGE, (*one.labels, (a.AICOST_METER, meter)), quantity
            for status, count in one.attempts.items():
                yield m.AICOST_REQUEST_ATTEMPTS, (*one.labels, (a.AICOST_REQUEST_STATUS, status)), count
            for reason, count in one.unpriced.items():
                yield m.AICOST_REQUESTS_UNPRICED, (*one.labels, (a.AICOST_COST_REASON, reason)), count
            if one.possibly:
                yield m.AICOST_REQUESTS_POSSIBLY_BILLED, one.labels, one.possibly
            for currency, buckets in one.buckets.items():
                yield (
                    m.AICOST_REQUEST_COST,
                    (*one.labels, (a.AICOST_COST_CURRENCY, currency)),
                    (buckets, one.spent[currency]),
                )

    def request(self) -> bytes | None:
        """What was counted, as an ExportMetricsServiceRequest: since the start, or since the last one that was made."""
        delta, now = self._config.temporality == "delta", time.time_ns()
        self._sent_before, self._since_before = dict(self._sent), self._since
        request = ExportMetricsServiceRequest()
        of_resource = request.resource_metrics.add()
        for key, value in (("service.name", "aicost-collector"), ("service.instance.id", self._instance)):
            of_resource.resource.attributes.add(key=key).value.string_value = value
        of_scope = of_resource.scope_metrics.add()
        of_scope.scope.name, of_scope.scope.version = "aicost.collector", __version__
        metrics: dict[str, Any] = {}
        for metric, labels, value in self._points():
            if delta:
                value = self._news(metric.name, labels, value)  # noqa: PLW2901 - what is new of it
                if value is None:
                    continue
            made = metrics.get(metric.name)
            if made is None:
                made = metrics[metric.name] = of_scope.metrics.add(
                    name=metric.name, unit=metric.unit, description=metric.description
                )
                data = made.histogram if metric is m.AICOST_REQUEST_COST else made.sum
                data.aggregation_temporality = _DELTA if delta else _CUMULATIVE
                if metric is not m.AICOST_REQUEST_COST:
                    made.sum.is_monotonic = True
            _add_point(made, metric, labels, value, self._since if delta else self._started, now)
        if not metrics:
            return None
        self._since = now
        return bytes(request.SerializeToString())

    def take_back(self) -> None:
        """What the last request had was not delivered: the next one has it again."""
        self._sent, self._since = self._sent_before, self._since_before

    def _news(self, name: str, labels: _Labels, value: Any) -> Any:
        """What a sum has grown by since it was sent last; None if it has not."""
        before = self._sent.get((name, labels))
        if isinstance(value, tuple):
            self._sent[name, labels] = (list(value[0]), value[1])
            if before is None:
                return value
            grown = [now - then for now, then in zip(value[0], before[0], strict=True)]
            return (grown, value[1] - before[1]) if any(grown) else None
        self._sent[name, labels] = value
        return (value - (before or 0)) or None

    def families(self) -> Iterator[Any]:
        """The same for Prometheus, since the start."""
        found: dict[str, Any] = {}
        points = list(self._points())
        # A family of Prometheus's has one set of labels; where one is not known it is empty, which is the same to it.
        keys: dict[str, dict[str, None]] = {}
        for metric, labels, _ in points:
            keys.setdefault(metric.name, {}).update(dict.fromkeys(key for key, _ in labels))
        for metric, labels, value in points:
            family = found.get(metric.name)
            if family is None:
                kind: Any = HistogramMetricFamily if metric is m.AICOST_REQUEST_COST else CounterMetricFamily
                name = _prometheus(metric.name) + ("_USD" if metric.unit == "USD" else "")
                named = [_prometheus(key) for key in keys[metric.name]]
                family = found[metric.name] = kind(name, metric.description, labels=named)
            texts = dict(labels)
            values = [texts.get(key, "") for key in keys[metric.name]]
            if metric is m.AICOST_REQUEST_COST:
                buckets, total, sums = [], 0, value
                for bound, count in zip((*map(str, BOUNDS), "+Inf"), sums[0], strict=True):
                    total += count
                    buckets.append((bound, total))
                family.add_metric(values, buckets, sums[1] / ATTO)
            else:
                family.add_metric(values, value / ATTO if metric is m.AICOST_COST else float(value))
        return iter(found.values())


def _add_point(made: Any, metric: m.Metric, labels: _Labels, value: Any, since: int, now: int) -> None:
    if metric is m.AICOST_REQUEST_COST:
        point = made.histogram.data_points.add()
        point.bucket_counts.extend(value[0])
        point.explicit_bounds.extend(BOUNDS)
        point.count, point.sum = sum(value[0]), value[1] / ATTO
    else:
        point = made.sum.data_points.add()
        if metric is m.AICOST_COST or metric is m.AICOST_USAGE:
            point.as_double = value / ATTO if metric is m.AICOST_COST else float(value)
        else:
            point.as_int = value
    point.start_time_unix_nano, point.time_unix_nano = since, now
    for key, text in labels:
        point.attributes.add(key=key).value.string_value = text


def _prometheus(name: str) -> str:
    return name.replace(".", "_")


def _kept(said: bytes | None) -> bytes | None:
    """What an owner is known by; a long one by a digest."""
    return said if said is None or len(said) <= _LONGEST_KEY else blake2b(said, digest_size=16).digest()


def _resource(encoded: bytes, owners: tuple[str, ...]) -> _Labels:
    """The service a resource is of, and its owners."""
    try:
        attributes = wire.Resource.FromString(encoded).attributes
    except DecodeError:
        return ()
    return tuple((name, _text(name, attributes[name])) for name in ("service.name", *owners) if name in attributes)


def _text(name: str, value: bytes) -> str:
    return opaque(name, wire.decoded(value))


class Health:
    """How the collector is doing, in numbers."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """By signal, protocol and result."""
        self.spans: Counter[str] = Counter()
        """`received`, `rejected`."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Spans of models: by what became of them, and dialect or reason."""
        self.joined: Counter[tuple[str, str]] = Counter()
        """Views that are no money, by kind and reason."""
        self.joined_atto: Counter[tuple[str, str, str]] = Counter()
        """What they would have come to, by currency too."""
        self.in_flight = 0

    def count(self, priced: Priced) -> None:
        """Count a request of spans."""
        self.spans["received"] += priced.spans
        self.spans["rejected"] += priced.rejected
        self.outcomes.update(priced.seen)
        outcomes = self.outcomes
        for view in priced.joined:
            self.joined[view.kind, view.reason] += 1
            if view.charge.atto is not None:
                self.joined_atto[view.kind, view.reason, view.charge.currency] += view.charge.atto
        for one in priced.counted:
            outcomes["given" if one.prepriced else one.charge.status.value, one.labels.dialect] += 1
