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

from opentelemetry.sdk.metrics.export import Histogram, MetricsData, Sum
from opentelemetry.sdk.trace import ReadableSpan

_OURS = ("aicost.", "gen_ai.")
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

    Spans of other instrumentations are checked only for the types of the names they share with us.

    >>> check_spans(exporter.get_finished_spans())
    []
    """
    return [violation for span in spans for violation in _check_span(span)]


def check_metrics(data: MetricsData | None) -> list[Violation]:
    """What is wrong with metrics: unknown names, wrong units, instruments or attributes."""
    found: list[Violation] = []
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found.extend(_check_metric(metric))
    return found


def assert_conforms(spans: Iterable[ReadableSpan] = (), metrics: MetricsData | None = None) -> None:
    """Raise AssertionError listing everything that is not as the registry says."""
    found = [*check_spans(spans), *check_metrics(metrics)]
    if found:
        raise AssertionError("not as the registry says:\n" + "\n".join(f"  {violation}" for violation in found))


def _check_span(span: ReadableSpan) -> Iterator[Violation]:
    registry = _registry()
    attributes = dict(span.attributes or {})
    scope = span.instrumentation_scope.name if span.instrumentation_scope is not None else ""
    where = f"span {span.name!r} of {scope or '?'}"
    if not scope.startswith("aicost"):
        yield from (v for v in _check_values(where, attributes) if v.name.startswith("aicost."))
        return
    yield from _check_values(where, attributes)
    kind = _kind(span.name, attributes)
    if kind is None:
        yield Violation(where, "gen_ai.operation.name", "is of no span type the registry has")
    else:
        yield from _check_rules(where, attributes, registry["spans"][kind])
    for event in span.events:
        rules = registry["events"].get(event.name)
        place = f"{where}, event {event.name!r}"
        if rules is None:
            if event.name.startswith("aicost."):
                yield Violation(place, event.name, "is no event the registry has")
            continue
        carried = dict(event.attributes or {})
        yield from _check_values(place, carried)
        yield from _check_rules(place, carried, rules)


def _check_metric(metric: Any) -> Iterator[Violation]:
    rules = _registry()["metrics"].get(metric.name)
    where = f"metric {metric.name!r}"
    if rules is None:
        if metric.name.startswith(_OURS):
            yield Violation(where, metric.name, "is no metric the registry has")
        return
    if metric.unit != rules["unit"]:
        yield Violation(where, metric.name, f"has unit {metric.unit!r}, not {rules['unit']!r}")
    kind = "histogram" if isinstance(metric.data, Histogram) else "counter" if isinstance(metric.data, Sum) else "gauge"
    if kind != rules["instrument"]:
        yield Violation(where, metric.name, f"is a {kind}, not a {rules['instrument']}")
    points: Iterable[Any] = metric.data.data_points
    for point in points:
        carried = dict(point.attributes or {})
        if "otel.metric.overflow" in carried:
            continue
        yield from _check_values(where, carried)
        yield from _check_rules(where, carried, rules)


def _check_rules(where: str, attributes: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[Violation]:
    for name in attributes:
        if name.startswith(_OURS) and _template(name) not in rules["allowed"] and name not in rules["allowed"]:
            yield Violation(where, name, "does not belong here")
    for name in rules["required"]:
        if name not in attributes:
            yield Violation(where, name, "is required and missing")
    for rule in rules["when"]:
        if attributes.get(rule["attribute"]) in rule["in"] and rule["ref"] not in attributes:
            yield Violation(where, rule["ref"], f"is required when {rule['attribute']} is one of {rule['in']}")


def _check_values(where: str, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    known = _registry()["attributes"]
    for name, value in attributes.items():
        entry = known.get(name) or known.get(_template(name))
        if entry is None:
            if name.startswith(_OURS):
                yield Violation(where, name, "is no attribute the registry has")
            continue
        kind = (
            entry["type"].removeprefix("template[").removesuffix("]") if "template" in entry["type"] else entry["type"]
        )
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield Violation(where, name, f"is {type(value).__name__} {value!r:.60}, not {kind}")
        elif kind == "string[]" and not all(isinstance(item, str) for item in attributes[name]):
            yield Violation(where, name, f"holds more than strings: {value!r:.60}")
        elif entry["values"] and value not in entry["values"]:
            yield Violation(where, name, f"is {value!r}, not one of {entry['values']}")


def _kind(name: str, attributes: Mapping[str, Any]) -> str | None:
    operation = attributes.get("gen_ai.operation.name")
    if operation is None:
        return "aicost.step" if name.startswith("step ") else None
    if operation in _BY_OPERATION:
        return _BY_OPERATION[operation]
    return "aicost.inference" if operation in _INFERENCE or "aicost.cost.status" in attributes else None


def _template(name: str) -> str:
    return name.rpartition(".")[0]


@lru_cache(maxsize=1)
def _registry() -> dict[str, Any]:
    registry: dict[str, Any] = json.loads(files("aicost.semconv").joinpath("registry.json").read_bytes())
    return registry
