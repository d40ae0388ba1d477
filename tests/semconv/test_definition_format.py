"""The YAML has the shape that Weaver, OpenTelemetry's registry tool, reads; it refuses keys that it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

SEMCONV = Path(__file__).resolve().parents[2] / "semconv"
DOCUMENTS = sorted((SEMCONV / "registry").rglob("*.yaml"))

TEXT = {"type": "string", "minLength": 1}
STABILITY = {"enum": ["stable", "development", "alpha", "beta", "release_candidate"]}
CONDITION = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {"conditionally_required": TEXT, "recommended": TEXT, "opt_in": TEXT},
    "additionalProperties": False,
}
PRIMITIVE = "(string|int|double|boolean|any|(string|int|double|boolean)\\[\\])"


def shape(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def every(items: dict[str, Any]) -> dict[str, Any]:
    """A list of these."""
    return {"type": "array", "items": items}


ANNOTATIONS = {"type": "object"}
DESCRIBED = {"brief": TEXT, "stability": STABILITY}
MEMBER = shape({"id": TEXT, "value": TEXT, **DESCRIBED}, {"note": TEXT})
ATTRIBUTE = shape(
    {
        "key": TEXT,
        "type": {
            "anyOf": [
                {"type": "string", "pattern": f"^({PRIMITIVE}|template\\[{PRIMITIVE}\\])$"},
                shape({"members": every(MEMBER)}),
            ]
        },
        **DESCRIBED,
    },
    {"note": TEXT, "examples": {"type": "array", "minItems": 1}, "annotations": ANNOTATIONS},
)
LEVEL = {"anyOf": [{"enum": ["required", "recommended", "opt_in"]}, CONDITION]}
REFERENCE = shape({"ref": TEXT, "requirement_level": LEVEL}, {"note": TEXT, "annotations": ANNOTATIONS})
SPAN_REFERENCE = shape(
    {"ref": TEXT, "requirement_level": LEVEL},
    {"note": TEXT, "annotations": ANNOTATIONS, "sampling_relevant": {"type": "boolean"}},
)
GROUP_REFERENCE = shape({"ref_group": TEXT})
REFERENCES = every({"anyOf": [REFERENCE, GROUP_REFERENCE]})
SIGNAL_LEVEL = {"enum": ["recommended", "opt_in"]}  # unlike an attribute, a signal cannot be `required`
DOCUMENT = shape(
    {"file_format": {"const": "definition/2"}},
    {
        "attributes": every(ATTRIBUTE),
        "attribute_groups": every(
            {
                "anyOf": [
                    shape({"id": TEXT, "visibility": {"const": "internal"}, "attributes": REFERENCES}),
                    shape({"id": TEXT, "visibility": {"const": "public"}, "attributes": REFERENCES, **DESCRIBED}),
                ]
            }
        ),
        "spans": every(
            shape(
                {
                    "type": TEXT,
                    "kind": {"enum": ["client", "internal", "server", "producer", "consumer"]},
                    "name": shape({"note": TEXT}),
                    "attributes": every({"anyOf": [SPAN_REFERENCE, GROUP_REFERENCE]}),
                    **DESCRIBED,
                },
                {"note": TEXT},
            )
        ),
        "events": every(shape({"name": TEXT, "attributes": REFERENCES, **DESCRIBED}, {"note": TEXT})),
        "metrics": every(
            shape(
                {
                    "name": TEXT,
                    "instrument": {"enum": ["counter", "updowncounter", "gauge", "histogram"]},
                    "unit": TEXT,
                    **DESCRIBED,
                },
                {"attributes": REFERENCES, "requirement_level": SIGNAL_LEVEL, "annotations": ANNOTATIONS, "note": TEXT},
            )
        ),
        "metric_refinements": every(shape({"id": TEXT, "ref": TEXT, "attributes": REFERENCES})),
    },
)
MANIFEST = shape(
    {
        "file_format": {"const": "definition_manifest/2.0"},
        "schema_url": {"type": "string", "pattern": "^https?://.+/[0-9]+\\.[0-9]+\\.[0-9]+$"},
        "description": TEXT,
        "stability": STABILITY,
    },
    {"dependencies": every(shape({"schema_url": TEXT}, {"registry_path": TEXT}))},
)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(SEMCONV).as_posix())
def test_every_definition_file_has_the_registry_shape(path: Path) -> None:
    jsonschema.validate(read(path), DOCUMENT)


def test_the_manifest_is_that_of_a_registry_in_development() -> None:
    jsonschema.validate(read(SEMCONV / "manifest.yaml"), MANIFEST)


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("attributes", {"key": "a.b", "type": "text", "brief": "B.", "stability": "stable"}),
        ("attributes", {"key": "a.b", "type": "int", "brief": "B."}),
        ("metrics", {"name": "m", "instrument": "meter", "unit": "s", "brief": "B.", "stability": "stable"}),
        ("metric_refinements", {"id": "i", "ref": "m", "attributes": [{"ref": "a.b", "requirement_level": "always"}]}),
        ("events", {"name": "e", "brief": "B.", "stability": "stable", "attributes": [{"ref": "a.b", "when": {}}]}),
        ("attribute_groups", {"id": "g", "visibility": "public", "brief": "B.", "attributes": []}),
        ("span", {}),
    ],
    ids=[
        "unknown type",
        "no stability",
        "unknown instrument",
        "unknown level",
        "key of our own on a reference",
        "public group without stability",
        "unknown section",
    ],
)
def test_a_misshapen_definition_is_refused(section: str, entry: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"file_format": "definition/2", section: [entry]}, DOCUMENT)
