"""The registry is the one source: generated files match it, code agrees with it, and the checker enforces it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aicost.pricing.charge import ChargeStatus
from aicost.semconv import attributes
from aicost.testing import assert_conforms, check_spans
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.meters import METERS

ROOT = Path(__file__).resolve().parents[2]
OURS = yaml.safe_load((ROOT / "semconv/registry/aicost/registry.yaml").read_text())["attributes"]
THEIRS = yaml.safe_load((ROOT / "semconv/registry/upstream.yaml").read_text())["attributes"]
CHECKED = json.loads((ROOT / "src/aicost/semconv/registry.json").read_text())
SIGNALS = [
    (name, rules) for section in ("spans", "events", "metrics") for name, rules in sorted(CHECKED[section].items())
]


def test_generated_files_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "semconv/generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_generated_file_changed_by_hand_is_named(tmp_path: Path) -> None:
    for part in ("semconv", "src/aicost", "docs/semconv"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    generate = [sys.executable, tmp_path / "semconv/generate.py"]
    with (tmp_path / "docs/semconv/metrics.md").open("a") as page:
        page.write("One more line.\n")
    (tmp_path / "src/aicost/semconv/attributes.py").unlink()

    # What runs is a copy of the sources: measured with ours, it would count as code that no test reaches.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*generate, *arguments], capture_output=True, text=True, env=unmeasured)

    stale = run("--check")
    assert stale.returncode == 1
    assert "out of date: src/aicost/semconv/attributes.py, docs/semconv/metrics.md;" in stale.stdout
    assert not (tmp_path / "src/aicost/semconv/attributes.py").exists(), "a check writes nothing"

    assert run().returncode == 0
    assert run("--check").returncode == 0
    for made in ("docs/semconv/metrics.md", "src/aicost/semconv/attributes.py"):
        assert (tmp_path / made).read_bytes() == (ROOT / made).read_bytes()


@pytest.mark.parametrize("entry", [*OURS, *THEIRS], ids=lambda entry: entry["key"])
def test_every_attribute_is_described(entry: dict[str, Any]) -> None:
    assert entry["key"].startswith("aicost.") == (entry in OURS)
    assert entry["brief"].endswith(".")
    assert entry["stability"] == "development" or entry in THEIRS
    assert entry.get("examples") or entry["type"]["members"]


def test_no_name_is_defined_twice() -> None:
    keys = [entry["key"] for entry in [*OURS, *THEIRS]]
    assert sorted(keys) == sorted(set(keys))


@pytest.mark.parametrize(("name", "rules"), SIGNALS, ids=[name for name, _ in SIGNALS])
def test_what_a_signal_demands_it_also_allows(name: str, rules: dict[str, Any]) -> None:
    demanded = {*rules["required"], *(part for rule in rules["when"] for part in (rule["ref"], rule["attribute"]))}
    assert demanded <= set(rules["allowed"])
    for rule in rules["when"]:
        values = CHECKED["attributes"][rule["attribute"]]["values"]
        assert (
            rule.get("present") is True or rule.get("absent") is True or (rule["in"] and set(rule["in"]) <= set(values))
        ), rule


@pytest.mark.parametrize("name", sorted(CHECKED["metrics"]))
def test_no_metric_allows_what_is_new_with_every_call(name: str) -> None:
    assert set(CHECKED["metrics"][name]["allowed"]).isdisjoint(CHECKED["unbounded"])


@pytest.mark.parametrize("meter", METERS)
def test_every_meter_is_documented(meter: str) -> None:
    page = (ROOT / "docs/semconv/attributes.md").read_text()
    assert f"| `{meter}` | `{METERS[meter].unit}` | {METERS[meter].group} |" in page


@pytest.mark.parametrize("page", ["attributes", "spans", "metrics"])
def test_no_table_says_two_things_of_one_name(page: str) -> None:
    for table in (ROOT / f"docs/semconv/{page}.md").read_text().split("\n\n"):
        names = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
        assert len(names) == len(set(names)), table


@pytest.mark.parametrize(
    ("key", "enum"),
    [
        ("aicost.request.status", RequestStatus),
        ("aicost.request.billed", Chargeable),
        ("aicost.cost.status", ChargeStatus),
    ],
)
def test_code_and_registry_agree_on_the_values(key: str, enum: Any) -> None:
    (entry,) = (entry for entry in OURS if entry["key"] == key)
    assert [member["value"] for member in entry["type"]["members"]] == [member.value for member in enum]


def test_no_attribute_is_defined_and_never_used() -> None:
    code = "".join(p.read_text() for p in (ROOT / "src/aicost").rglob("*.py") if p.parent.name != "semconv")
    constants = {name: value for name, value in vars(attributes).items() if name.startswith("AICOST_")}
    assert [value for name, value in constants.items() if f"a.{name}" not in code] == []


def span(name: str, scope: str = "aicost", **given: Any) -> ReadableSpan:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer(scope).start_span(name, attributes=given.get("attributes")).end()
    return exporter.get_finished_spans()[0]


GOOD = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "aicost.run.id": "r",
    "aicost.run.root_id": "r",
    "aicost.step.name": "chat",
    "aicost.event.id": "e",
    "aicost.request.status": "success",
    "aicost.request.retry_count": 0,
    "aicost.request.billed": "yes",
    "aicost.usage.source": "none",
    "aicost.cost.status": "unpriced",
    "aicost.cost.reason": "usage_not_reported",
}


def test_a_conforming_span_has_no_violations() -> None:
    assert check_spans([span("chat m", attributes=GOOD)]) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"aicost.cost.colour": "red"}, "aicost.cost.colour: is no attribute the registry has"),
        ({"gen_ai.usage.vibes": 1}, "gen_ai.usage.vibes: is no attribute the registry has"),
        ({"aicost.request.retry_count": "0"}, "aicost.request.retry_count: is str '0', not int"),
        ({"aicost.request.retry_count": True}, "aicost.request.retry_count: is bool True, not int"),
        ({"aicost.request.status": "fine"}, "aicost.request.status: is 'fine', not one of"),
        ({"aicost.usage.meter.input": "1.5"}, "aicost.usage.meter.input: is str '1.5', not double"),
        ({"aicost.outcome.name": "x"}, "aicost.outcome.name: does not belong here"),
        ({"aicost.run.id": None}, "aicost.run.id: is required and missing"),
        ({"aicost.cost.reason": None}, "aicost.cost.reason: is required when aicost.cost.status is one of"),
        ({"aicost.cost.status": "priced"}, "aicost.cost.amount: is required when"),
        ({"aicost.request.status": "timeout"}, "error.type: is required when"),
    ],
)
def test_each_kind_of_violation_is_found(change: dict[str, Any], problem: str) -> None:
    changed = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    found = [str(violation) for violation in check_spans([span("chat m", attributes=changed)])]
    assert any(problem in line for line in found), found
    with pytest.raises(AssertionError, match="not as the registry says"):
        assert_conforms([span("chat m", attributes=changed)])


def test_foreign_spans_are_judged_only_by_our_names() -> None:
    foreign = {"gen_ai.usage.vibes": 1, "gen_ai.operation.name": 7, "aicost.tenant.id": 5}
    found = [str(violation) for violation in check_spans([span("x", "other", attributes=foreign)])]
    assert len(found) == 1
    assert "aicost.tenant.id" in found[0]
