"""A dimension is one entry of the registry, and everything else about it follows."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml

from aicost.semconv.dimensions import (
    BY_KEY,
    BY_NAME,
    DIMENSIONS,
    METRIC_OWNERS,
    OWNERS,
    RESOURCE,
    MetricOwner,
)
from aicost.semconv.dimensions import Owners as OwnerFields

ROOT = Path(__file__).resolve().parents[2]

RELIED_ON = {
    "tenant_id": "aicost.tenant.id",
    "customer_id": "aicost.customer.id",
    "feature_id": "aicost.feature.id",
    "product": "aicost.product",
    "team": "aicost.team",
    "business_unit": "aicost.business_unit",
    "cost_center": "aicost.cost_center",
    "plan_tier": "aicost.plan_tier",
    "phase": "aicost.phase",
    "project_id": "aicost.project.id",
    "forecast_category": "aicost.forecast_category",
    "environment": "deployment.environment.name",
    "service": "service.name",
    "user_id": "user.id",
    "session_id": "session.id",
    "conversation_id": "gen_ai.conversation.id",
    "cloud_provider": "cloud.provider",
    "cloud_account": "cloud.account.id",
    "cloud_region": "cloud.region",
    "k8s_cluster": "k8s.cluster.name",
    "k8s_namespace": "k8s.namespace.name",
    "k8s_workload": "k8s.deployment.name",
    "host_type": "host.type",
}
"""Written by hand once more: applications, dashboards and ledgers have these names."""


def test_the_names_that_others_rely_on_stay() -> None:
    assert {dimension.key: dimension.attribute for dimension in DIMENSIONS} == RELIED_ON


def test_nothing_stands_for_two_dimensions() -> None:
    attributes = [name for dimension in DIMENSIONS for name in (dimension.attribute, *dimension.others)]
    assert len(set(attributes)) == len(attributes)
    assert len(BY_KEY) == len(BY_NAME) == len(DIMENSIONS)
    assert {*OWNERS, *RESOURCE} == set(DIMENSIONS)


def test_types_and_options_are_of_the_same_entries() -> None:
    assert set(get_type_hints(OwnerFields)) == {dimension.key for dimension in OWNERS}
    # A person or a conversation is new all the time, which a metric cannot bear.
    assert list(get_args(MetricOwner)) == [each.key for each in DIMENSIONS if each.source == "owner"]
    assert set(METRIC_OWNERS) < set(get_args(MetricOwner))


LISTED_BY_HAND = {
    "ledger/schema.py": "the columns of schemas that are in use: what they have does not follow the registry",
    "ledger/query.py": "what can be asked of those columns",
}
ENOUGH = 3
"""Names of dimensions in one list that are no coincidence: an application gives two or so of its own."""


def lists_of_names(tree: ast.AST) -> Iterator[list[object]]:
    """What is written down one after another: values, keys, parameters, fields."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            yield [each.value for each in node.elts if isinstance(each, ast.Constant)]
        elif isinstance(node, ast.Dict):
            yield [each.value for each in node.keys if isinstance(each, ast.Constant)]
        elif isinstance(node, ast.arguments):
            yield [each.arg for each in (*node.posonlyargs, *node.args, *node.kwonlyargs)]
        elif isinstance(node, ast.ClassDef):
            yield [
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            ]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):  # options of a command
            calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
            yield [
                str(arg.value).removeprefix("--")
                for call in calls
                for arg in call.args
                if isinstance(arg, ast.Constant)
            ]


def constants_in_a_row(tree: ast.AST) -> Iterator[list[object]]:
    """Constants of the registry, as `a.AICOST_TEAM`, in one display."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
            values = node.values if isinstance(node, ast.Dict) else node.elts
            yield [each.attr for each in values if isinstance(each, ast.Attribute)]


def test_no_file_lists_owners_by_hand() -> None:
    names = {*BY_KEY, *BY_NAME, *RELIED_ON.values(), *(name.replace(".", "_").upper() for name in RELIED_ON.values())}
    found = {
        path.relative_to(ROOT / "src/aicost").as_posix()
        for path in (ROOT / "src/aicost").rglob("*.py")
        if path.parent.name != "semconv"
        for tree in [ast.parse(path.read_text("utf-8"))]
        for listed in (*lists_of_names(tree), *constants_in_a_row(tree))
        if len(names.intersection(listed)) >= ENOUGH
    }
    assert found <= set(LISTED_BY_HAND)


@pytest.mark.parametrize(
    "listing",
    [
        'OWNERS = ("tenant_id", "team", "phase")',
        'ATTRIBUTES = {"tenant_id": 1, "team": 2, "phase": 3}',
        "def attribution(*, tenant_id=None, team=None, phase=None): ...",
        "class Filter:\n    tenant_id: str\n    team: str\n    phase: str",
        '@option("--tenant")\n@option("--team")\n@option("--phase")\ndef command(): ...',
        'Key = Literal["tenant_id", "team", "phase"]',
        "NAMES = {1: a.AICOST_TENANT_ID, 2: a.AICOST_TEAM, 3: a.AICOST_PHASE}",
    ],
)
def test_each_way_to_list_them_is_seen(listing: str) -> None:
    names = {"tenant_id", "team", "phase", "tenant", "AICOST_TENANT_ID", "AICOST_TEAM", "AICOST_PHASE"}
    tree = ast.parse(listing)
    assert any(len(names.intersection(listed)) == 3 for listed in (*lists_of_names(tree), *constants_in_a_row(tree)))


# --- a copy of the tree with one more owner

ENTRY = """
  - key: aicost.squad
    type: string
    stability: development
    brief: "The squad that is on call."
    examples: [s-7]
    annotations: {dimension: {key: squad_id, name: squad, source: owner}}
"""

FOLLOWS = """
import json
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
import aicost
from aicost import _owner_rules, _settings
from aicost.scopes import propagation
from aicost.scopes.owners import resource_dimensions, span_owners
from aicost.scopes.scope import current_scope
from aicost.semconv.dimensions import BY_NAME, OWNERS

settings = _settings.load(metric_attributes="squad_id", attribution={"squad_id": "s-1"})
propagation.check(("squad_id",))
with aicost.run_scope("w", squad_id="s-7"):
    scope = current_scope()
rule = _owner_rules.OwnerRule(match={"team": "t"}, squad_id="s-9")
print(json.dumps({
    "attribution": dict(scope.attribution),
    "span": scope.stamp["aicost.squad"],
    "resource": resource_dimensions({"aicost.squad": "s-7"}),
    "foreign span": dict(span_owners({"aicost.squad": "s-7"})),
    "metric option": settings.metric_attributes,
    "name": BY_NAME["squad"].key,
    "mapped": _owner_rules.OwnerTable([rule]).mapped({"team": "t"}, 0).owners,
}))
"""


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with one more owner in the registry, generated anew."""
    copy = tmp_path_factory.mktemp("tree")
    for part in ("semconv", "src/aicost", "docs/semconv"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    registry = copy / "semconv/registry/aicost/registry.yaml"
    text = registry.read_text("utf-8")
    registry.write_text(text.replace("  # --- run and step\n", f"{ENTRY}\n  # --- run and step\n"), "utf-8")
    done = in_copy(copy, str(copy / "semconv/generate.py"))
    assert done.returncode == 0, done.stderr
    return copy


def in_copy(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # What runs is a copy of the sources: measured with ours, it would count as code that no test reaches.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment = {**unmeasured, "PYTHONPATH": str(copy / "src")}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=copy)


def test_a_new_owner_is_followed_by_all_code(copied: Path) -> None:
    done = in_copy(copied, "-c", FOLLOWS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "attribution": {"squad_id": "s-7"},
        "span": "s-7",
        "resource": {"squad_id": "s-7"},
        "foreign span": {"squad_id": "s-7"},
        "metric option": ["squad_id"],
        "name": "squad_id",
        "mapped": {"squad_id": "s-9"},
    }


def test_a_new_owner_is_in_the_docs_and_the_checker(copied: Path) -> None:
    table = (copied / "docs/semconv/dimensions.md").read_text("utf-8")
    assert "| `squad` | `squad_id` | `aicost.squad` | owner | The squad that is on call. |" in table
    for page, times in (("attributes", 1), ("spans", 7), ("metrics", 9)):
        assert (copied / f"docs/semconv/{page}.md").read_text("utf-8").count("| `aicost.squad` |") >= times, page
    checked = json.loads((copied / "src/aicost/semconv/registry.json").read_text("utf-8"))
    for span, rules in checked["spans"].items():
        assert ("aicost.squad" in rules["allowed"]) == ("aicost.team" in rules["allowed"]), span
    groups = yaml.safe_load((copied / "semconv/registry/aicost/owners.yaml").read_text("utf-8"))["attribute_groups"]
    assert [{"ref": "aicost.squad"}.items() <= {**a}.items() for g in groups for a in g["attributes"]].count(True) == 2


def test_nothing_but_the_registry_was_changed_for_it(copied: Path) -> None:
    changed = {
        path.relative_to(copied).as_posix()
        for path in copied.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
        if path.read_bytes() != (ROOT / path.relative_to(copied)).read_bytes()
    }
    assert changed - {"semconv/registry/aicost/registry.yaml"} == {
        "semconv/registry/aicost/owners.yaml",
        "src/aicost/semconv/attributes.py",
        "src/aicost/semconv/dimensions.py",
        "src/aicost/semconv/registry.json",
        "docs/semconv/attributes.md",
        "docs/semconv/dimensions.md",
        "docs/semconv/spans.md",
        "docs/semconv/metrics.md",
    }


@pytest.mark.parametrize(
    "annotation",
    [
        "{key: squad_id, name: squad, source: nobody}",
        "{key: squad_id, name: squad, source: owner, colour: red}",
        "{key: squad_id, name: squad}",
        "{key: team, name: squad, source: owner}",
        "{key: squad_id, name: team, source: owner}",
        "{key: squad_id, name: squad, source: owner, on_metrics: always}",
        "{key: squad_id, name: squad, source: subject, on_metrics: recommended}",
    ],
)
def test_an_entry_that_is_no_dimension_is_refused(copied: Path, tmp_path: Path, annotation: str) -> None:
    for part in ("semconv", "src/aicost"):
        shutil.copytree(copied / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    registry = tmp_path / "semconv/registry/aicost/registry.yaml"
    text = registry.read_text("utf-8")
    registry.write_text(text.replace("{key: squad_id, name: squad, source: owner}", annotation), "utf-8")
    done = in_copy(tmp_path, str(tmp_path / "semconv/generate.py"), "--check")
    assert done.returncode == 1
    assert "aicost.squad" in done.stderr
