"""Checking emitted telemetry against the semantic-convention registry.

aicost runs it over everything its own tests emit; use it in yours to keep hand-written spans in line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from opentelemetry.sdk.metrics.export import ExponentialHistogram, Histogram, Metric, MetricsData, Sum
from opentelemetry.sdk.trace import Event, ReadableSpan

_OURS = ("aicost.", "gen_ai.", "db.")
_INFERENCE = {"chat", "text_completion", "generate_content", "embeddings"}
_BY_OPERATION = {"invoke_workflow": "aicost.workflow", "invoke_agent": "aicost.agent", "execute_tool": "aicost.tool"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "double": (float, int),
    "boolean": (bool,),
    "string[]": (list, tuple),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is not as the registry says."""

    where: str
    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.name}: {self.problem}"


def check_spans(spans: Iterable[ReadableSpan]) -> list[Violation]:
    """What is wrong with spans: unknown `aicost.*` or `gen_ai.*` names, wrong types or values, missing attributes.

    Of spans whose instrumentation scope is not aicost's, only the `aicost.*` attributes and events are judged: the
    rest is for their own conventions to say.

    >>> check_spans(exporter.get_finished_spans())
    []
    """
    return [violation for span in spans for violation in _check_span(span)]


def check_metrics(data: MetricsData | None) -> list[Violation]:
    """What is wrong with metrics: unknown names, wrong units, instruments or attributes, ids that are new every call.

    Of metrics whose instrumentation scope is not aicost's, only `aicost.*` names are judged.
    """
    return [
        violation
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for violation in _check_metric(metric, scope.scope.name)
    ]


def assert_conforms(spans: Iterable[ReadableSpan] = (), metrics: MetricsData | None = None) -> None:
    """Raise AssertionError listing everything that is not as the registry says."""
    found = [*check_spans(spans), *check_metrics(metrics)]
    if found:
        raise AssertionError("not as the registry says:\n" + "\n".join(f"  {violation}" for violation in found))


def _check_span(span: ReadableSpan) -> Iterator[Violation]:
    scope = span.instrumentation_scope.name if span.instrumentation_scope is not None else ""
    where = f"span {span.name!r} of {scope or '?'}"
    attributes = _judged(scope, span.attributes)
    yield from _check_values(where, attributes)
    if _is_ours(scope):
        kind = _kind(span.name, attributes)
        if kind is None:
            yield Violation(where, "gen_ai.operation.name", "is of no span type the registry has")
        else:
            yield from _check_rules(where, attributes, _registry()["spans"][kind])
    for event in span.events:
        yield from _check_event(f"{where}, event {event.name!r}", event, scope)


def _check_event(where: str, event: Event, scope: str) -> Iterator[Violation]:
    if not event.name.startswith("aicost."):
        yield from _check_values(where, _judged(scope, event.attributes))
        return
    attributes = dict(event.attributes or {})
    yield from _check_values(where, attributes)
    rules = _registry()["events"].get(event.name)
    if rules is None:
        yield Violation(where, event.name, "is no event the registry has")
    else:
        yield from _check_rules(where, attributes, rules)


def _check_metric(metric: Metric, scope: str) -> Iterator[Violation]:
    where = f"metric {metric.name!r}"
    points: Iterable[Any] = metric.data.data_points
    if not _is_ours(scope) and not metric.name.startswith("aicost."):
        for point in points:
            attributes = _judged(scope, point.attributes)
            yield from _check_values(where, attributes)
            yield from _check_cardinality(where, attributes)
        return
    rules = _registry()["metrics"].get(metric.name)
    if rules is None:
        if metric.name.startswith(_OURS):
            yield Violation(where, metric.name, "is no metric the registry has")
        return
    if metric.unit != rules["unit"]:
        yield Violation(where, metric.name, f"has unit {metric.unit!r}, not {rules['unit']!r}")
    instrument = _instrument(metric)
    if instrument != rules["instrument"]:
        yield Violation(where, metric.name, f"comes from the instrument {instrument}, not {rules['instrument']}")
    for point in points:
        attributes = dict(point.attributes or {})
        if "otel.metric.overflow" not in attributes:
            yield from _check_point(where, attributes, rules)


def _check_point(where: str, attributes: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Violation]:
    yield from _check_values(where, attributes)
    yield from _check_cardinality(where, attributes)
    bounded = {name: value for name, value in attributes.items() if name not in _registry()["unbounded"]}
    yield from _check_rules(where, bounded, rules)
    for name in bounded:
        if not name.startswith(_OURS) and name not in rules["allowed"]:
            yield Violation(where, name, "does not belong here")


def _check_cardinality(where: str, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    for name in attributes:
        if name in _registry()["unbounded"]:
            yield Violation(where, name, "has new values all the time, which a metric cannot bear")


def _check_rules(where: str, attributes: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Violation]:
    for name in attributes:
        key = _registered(name)
        if name.startswith(_OURS) and key is not None and key not in rules["allowed"]:
            yield Violation(where, name, "does not belong here")
    for name in rules["required"]:
        if name not in attributes:
            yield Violation(where, name, "is required and missing")
    for rule in rules["when"]:
        if rule["ref"] in attributes or (rule["attribute"] in attributes) is bool(rule.get("absent")):
            continue
        if rule.get("absent"):
            yield Violation(where, rule["ref"], f"is required without {rule['attribute']}")
        elif "in" not in rule:
            yield Violation(where, rule["ref"], f"is required beside {rule['attribute']}")
        elif attributes[rule["attribute"]] in rule["in"]:
            yield Violation(where, rule["ref"], f"is required when {rule['attribute']} is one of {rule['in']}")


def _check_values(where: str, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    for name, value in attributes.items():
        key = _registered(name)
        if key is None:
            if name.startswith(_OURS):
                yield Violation(where, name, "is no attribute the registry has")
            continue
        entry = _registry()["attributes"][key]
        kind = entry["type"].removeprefix("template[").removesuffix("]") if _is_template(entry) else entry["type"]
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield Violation(where, name, f"is {type(value).__name__} {value!r:.60}, not {kind}")
        elif kind == "string[]" and not all(isinstance(item, str) for item in attributes[name]):
            yield Violation(where, name, f"holds more than strings: {value!r:.60}")
        elif entry["values"] and value not in entry["values"]:
            yield Violation(where, name, f"is {value!r}, not one of {entry['values']}")


def _is_ours(scope: str) -> bool:
    return scope.startswith("aicost")


def _judged(scope: str, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """The attributes the registry has a say in: all of ours, and what foreign telemetry carries in our name."""
    carried = dict(attributes or {})
    return carried if _is_ours(scope) else {name: v for name, v in carried.items() if name.startswith("aicost.")}


def _kind(name: str, attributes: Mapping[str, Any]) -> str | None:
    operation = attributes.get("gen_ai.operation.name")
    if "aicost.covered.reason" in attributes:
        return "aicost.view"
    if "db.system.name" in attributes:
        return "aicost.storage"
    if operation in _BY_OPERATION:
        return _BY_OPERATION[operation]
    if operation is None and name.startswith("step "):
        return "aicost.step"
    return "aicost.inference" if operation in _INFERENCE or "aicost.cost.status" in attributes else None


def _instrument(metric: Metric) -> str:
    match metric.data:
        case Histogram() | ExponentialHistogram():
            return "histogram"
        case Sum(is_monotonic=monotonic):
            return "counter" if monotonic else "updowncounter"
        case _:
            return "gauge"


def _registered(name: str) -> str | None:
    """The key of the registry that covers a name: its own, or that of a template of which it is one."""
    if name in _registry()["attributes"] and name not in _templates():
        return name
    return next((template for template in _templates() if name.startswith(f"{template}.")), None)


def _is_template(entry: Mapping[str, Any]) -> bool:
    return str(entry["type"]).startswith("template[")


@lru_cache(maxsize=1)
def _templates() -> tuple[str, ...]:
    return tuple(key for key, entry in _registry()["attributes"].items() if _is_template(entry))


@lru_cache(maxsize=1)
def _registry() -> dict[str, Any]:
    registry: dict[str, Any] = json.loads(files("aicost.semconv").joinpath("registry.json").read_bytes())
    return registry
