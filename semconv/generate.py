"""Writes the constants, the docs tables and the checker's registry from the YAML registry beside this file.

python semconv/generate.py           write everything
python semconv/generate.py --check   exit 1 and name the files that are out of date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "src"))

SOURCES = ("owner", "subject", "resource")
"""Who may say a dimension."""
LABEL = "aicost.label"
"""The attribute that labels are under."""


def read_registry() -> dict[str, Any]:
    """The registry with references resolved: attributes by key, and the spans, events and metrics that use them."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((HERE / "registry").rglob("*.yaml"))]
    own_keys = {a["key"] for a in _registry("aicost/registry.yaml")["attributes"]}
    attributes = {a["key"]: _attribute(a) for document in files for a in document.get("attributes", ())}
    dimensions = _dimensions(attributes.values())
    groups = {g["id"]: g["attributes"] for document in files for g in document.get("attribute_groups", ())}
    groups |= {g["id"]: g["attributes"] for g in _owner_groups(dimensions)}
    upstream = {m["name"]: m for m in _registry("upstream.yaml")["metrics"]}
    ours = _registry("aicost/metrics.yaml")
    refined = [{**upstream[r["ref"]], "attributes": r["attributes"]} for r in ours["metric_refinements"]]
    return {
        "attributes": attributes,
        "own": sorted(own_keys),
        "dimensions": dimensions,
        "spans": [_resolved(s, groups, attributes) for s in _registry("aicost/spans.yaml")["spans"]],
        "events": [_resolved(e, groups, attributes) for e in _registry("aicost/events.yaml")["events"]],
        "metrics": [_resolved(m, groups, attributes) for m in [*ours["metrics"], *refined]],
    }


def render(registry: dict[str, Any]) -> dict[Path, str]:
    """Every generated file with its content."""
    from aicost.usage.meters import METERS

    env = Environment(  # noqa: S701 - Python and Markdown, not HTML
        loader=FileSystemLoader(HERE / "templates"), undefined=StrictUndefined, trim_blocks=False, lstrip_blocks=True
    )
    env.filters.update(constant=_constant, kind=_kind, example=_example, level=_level)
    lines = env.overlay(trim_blocks=True)
    attributes = [registry["attributes"][key] for key in sorted(registry["attributes"])]
    own = [a for a in attributes if a["key"] in set(registry["own"])]
    values = {
        "attributes": attributes,
        "own": own,
        "upstream": [a for a in attributes if a["key"] not in set(registry["own"])],
        "meters": list(METERS.values()),
        **{name: registry[name] for name in ("dimensions", "spans", "events", "metrics")},
    }
    code, docs = ROOT / "src/aicost/semconv", ROOT / "docs/semconv"
    made = {
        code / "attributes.py": env.get_template("attributes.py.j2").render(values),
        code / "dimensions.py": lines.get_template("dimensions.py.j2").render(values),
        code / "metrics.py": env.get_template("metrics.py.j2").render(values),
        code / "registry.json": json.dumps(_for_checker(registry), indent=1, sort_keys=True) + "\n",
        HERE / "registry/aicost/owners.yaml": lines.get_template("owners.yaml.j2").render(
            groups=_owner_groups(registry["dimensions"])
        ),
        docs / "attributes.md": env.get_template("attributes.md.j2").render(values),
        docs / "dimensions.md": lines.get_template("dimensions.md.j2").render(values),
        docs / "spans.md": env.get_template("spans.md.j2").render(values),
        docs / "metrics.md": env.get_template("metrics.md.j2").render(values),
    }
    return {path: text.rstrip() + "\n" for path, text in made.items()}


def main(arguments: list[str]) -> int:
    """Write or check; returns the exit status."""
    stale = []
    for path, text in render(read_registry()).items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.relative_to(ROOT).as_posix())
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"out of date: {', '.join(stale)}; run python semconv/generate.py")
        return 1
    print(f"wrote {', '.join(stale)}" if stale else "semconv: everything is up to date")
    return 0


def _registry(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((HERE / "registry" / name).read_text(encoding="utf-8"))
    return document


def _attribute(raw: dict[str, Any]) -> dict[str, Any]:
    members = raw["type"].get("members", []) if isinstance(raw["type"], dict) else []
    kind = "string" if members else raw["type"]
    return {**raw, "type": kind, "members": members}


def _dimensions(attributes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What costs can be told apart by: owners, then subjects, then what is of the resource."""
    found: dict[str, dict[str, Any]] = {}
    for attribute in attributes:
        said = attribute.get("annotations", {}).get("dimension")
        if said is None:
            continue
        made = {"on_metrics": "opt_in", **said}
        # Only of the resource may several attributes say the same: a scope writes an owner under one.
        twins = [d for d in found.values() if d["key"] == made.get("key") or d["name"] == made.get("name")]
        is_again = len(twins) == 1 and made.get("source") == "resource" and made.items() <= twins[0].items()
        if not _is_dimension(made) or (twins and not is_again):
            raise SystemExit(f"{attribute['key']}: not a dimension, or another one is called so: {said}")
        if is_again:
            twins[0]["others"].append(attribute["key"])
        else:
            found[made["key"]] = {**made, "attribute": attribute["key"], "brief": attribute["brief"], "others": []}
    return sorted(found.values(), key=lambda dimension: SOURCES.index(dimension["source"]))


def _is_dimension(said: dict[str, Any]) -> bool:
    levels = ("opt_in", "recommended") if said.get("source") == "owner" else ("opt_in",)
    return said.keys() == {"key", "name", "source", "on_metrics"} and (
        said["source"] in SOURCES and said["on_metrics"] in levels
    )


def _owner_groups(dimensions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups of attributes that spans and metrics have of the dimensions."""
    in_scope = {"conditionally_required": "when in scope"}
    given = [d for d in dimensions if d["source"] != "resource"]
    on_spans = [{"ref": name, "requirement_level": in_scope} for name in [*(d["attribute"] for d in given), LABEL]]
    levels = {"recommended": {"recommended": "when in scope"}, "opt_in": "opt_in"}
    on_metrics = [
        {"ref": d["attribute"], "requirement_level": levels[d["on_metrics"]]} for d in given if d["source"] == "owner"
    ]
    return [
        {"id": "aicost.owners", "attributes": on_spans},
        {"id": "aicost.metric.owners", "attributes": on_metrics},
    ]


def _flat(attributes: list[dict[str, Any]], groups: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """References by name, those of groups in their place; what is said outside of a group refines it."""
    refs: dict[str, dict[str, Any]] = {}
    for attribute in attributes:
        if "ref_group" not in attribute:
            refs[attribute["ref"]] = attribute
            continue
        for name, included in _flat(groups[attribute["ref_group"]], groups).items():
            refs.setdefault(name, included)
    return refs


def _resolved(entry: dict[str, Any], groups: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    refs = _flat(entry["attributes"], groups)
    unknown = [ref for ref in refs if ref not in attributes]
    if unknown:
        raise SystemExit(f"{entry.get('ref') or entry.get('name') or entry['type']}: unknown attributes {unknown}")
    return {**entry, "attributes": list(refs.values())}


def _for_checker(registry: dict[str, Any]) -> dict[str, Any]:
    def rules(entry: dict[str, Any]) -> dict[str, Any]:
        required = [a["ref"] for a in entry["attributes"] if a["requirement_level"] == "required"]
        when = [
            {"ref": a["ref"], **a["annotations"]["when"]}
            for a in entry["attributes"]
            if "when" in a.get("annotations", {})
        ]
        return {"allowed": sorted({a["ref"] for a in entry["attributes"]}), "required": required, "when": when}

    return {
        "attributes": {
            key: {"type": a["type"], "values": [m["value"] for m in a["members"]]}
            for key, a in registry["attributes"].items()
        },
        "unbounded": sorted(
            key
            for key, a in registry["attributes"].items()
            if a.get("annotations", {}).get("cardinality") == "unbounded"
        ),
        "spans": {span["type"]: rules(span) for span in registry["spans"]},
        "events": {event["name"]: rules(event) for event in registry["events"]},
        "metrics": {
            m["name"]: {"unit": m["unit"], "instrument": m["instrument"], **rules(m)} for m in registry["metrics"]
        },
    }


def _constant(key: str) -> str:
    return key.replace(".", "_").upper()


def _kind(attribute: dict[str, Any]) -> str:
    return "enum" if attribute["members"] else attribute["type"].replace("[", "\\[").replace("]", "\\]")


def _example(attribute: dict[str, Any]) -> str:
    return ", ".join(f"`{example}`" for example in attribute.get("examples", [])) or "-"


def _level(attribute: dict[str, Any]) -> str:
    level = attribute["requirement_level"]
    if isinstance(level, dict):
        name, when = next(iter(level.items()))
        return f"{name.replace('_', ' ')} {when}"
    return str(level).replace("_", " ")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
