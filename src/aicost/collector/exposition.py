"""`/metrics`: how a collector is doing, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from aicost._money import ATTO
from aicost.ledger import Ledger

from .card_watch import CardWatch
from .cost_metrics import Health
from .delivery import Lane
from .exporters import Exporter
from .spool import Spool

_NAME = "aicost_collector_"


def families(
    health: Health,
    cards: CardWatch,
    ledger: Ledger | None,
    exporters: Sequence[Exporter],
    lanes: Sequence[Lane],
    spools: Mapping[str, Spool],
) -> Iterator[Any]:
    """Everything that is counted of the collector itself."""
    yield _counter(
        f"{_NAME}requests",
        "Requests received.",
        ("signal", "protocol", "result"),
        health.requests.items(),
    )
    yield _counter(
        f"{_NAME}spans",
        "Spans received, and spans left out because they cannot be decoded.",
        ("what",),
        [((what,), count) for what, count in health.spans.items()],
    )
    yield _counter(
        f"{_NAME}inferences",
        "Spans of models, by what became of them and by dialect or reason.",
        ("outcome", "detail"),
        health.outcomes.items(),
    )
    yield _counter(
        f"{_NAME}joined_views",
        "Views of calls that are counted elsewhere, by kind (`differs`: with other counts) and reason.",
        ("kind", "reason"),
        health.joined.items(),
    )
    yield _counter(
        f"{_NAME}joined_amount",
        "What those views would have come to, had they been counted.",
        ("kind", "reason", "currency"),
        [(key, atto / ATTO) for key, atto in health.joined_atto.items()],
    )
    yield _gauge(f"{_NAME}in_flight_bytes", "Of requests under way.", health.in_flight)
    yield _gauge(f"{_NAME}rate_card_info", "The rate card in force.", 1, rate_card=cards.version)
    yield _gauge(f"{_NAME}rate_card_age_seconds", "Since it was put in force.", cards.age)
    yield _counter(
        f"{_NAME}rate_card_reloads",
        "Attempts to reload it after it changed.",
        ("result",),
        [(("ok",), cards.reloads), (("failed",), cards.failures)],
    )
    if ledger is not None:
        yield _counter(f"{_NAME}ledger_lost", "Charges that no ledger could hold.", (), [((), ledger.lost)])
    yield _counter(
        f"{_NAME}refused_items",
        "What endpoints left out of requests they accepted.",
        ("exporter",),
        [((exporter.name,), exporter.refused_items) for exporter in exporters],
    )
    yield _counter(
        f"{_NAME}retried_requests",
        "Attempts after which a request is kept, and tried again.",
        ("exporter", "signal"),
        [((lane.exporter.name, lane.signal), lane.retried) for lane in lanes],
    )
    yield _counter(
        f"{_NAME}rejected_requests",
        "Requests, or parts of them, that an endpoint will never take: `unwanted` if it takes none of the signal.",
        ("exporter", "signal", "reason"),
        [
            ((lane.exporter.name, lane.signal, reason), count)
            for lane in lanes
            for reason, count in lane.refused.items()
        ],
    )
    if spools:
        kept = spools.items()
        yield _gauges(f"{_NAME}spool_bytes", "On disk.", "signal", [(one, spool.size) for one, spool in kept])
        yield _gauges(
            f"{_NAME}spool_waiting_bytes",
            "Not delivered to every exporter yet.",
            "signal",
            [(one, spool.waiting) for one, spool in kept],
        )
        yield _counter(
            f"{_NAME}spool_damaged_bytes",
            "Found damaged, and left out.",
            ("signal",),
            [((one,), spool.lost_bytes) for one, spool in kept],
        )
        yield _counter(
            f"{_NAME}spool_left_behind_bytes",
            "Left out for an exporter that takes nothing, so that others can go on.",
            ("signal", "exporter"),
            [((one, each.name), each.left_behind) for one, spool in kept for each in spool.readers.values()],
        )


class Exposition(Collector):
    """Everything for `/metrics`."""

    def __init__(self, parts: Iterable[Any]) -> None:
        self._parts = tuple(parts)

    def collect(self) -> Iterator[Any]:
        """Families of metrics, as prometheus_client wants them."""
        for part in self._parts:
            yield from part()


def _counter(name: str, about: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]) -> Any:
    """A family of counters."""
    family = CounterMetricFamily(name, about, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _gauge(name: str, about: str, value: float, **labels: str) -> Any:
    """One gauge."""
    family = GaugeMetricFamily(name, about, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family


def _gauges(name: str, about: str, label: str, values: Iterable[tuple[str, float]]) -> Any:
    """A family of gauges."""
    family = GaugeMetricFamily(name, about, labels=(label,))
    for key, value in values:
        family.add_metric((key,), value)
    return family
