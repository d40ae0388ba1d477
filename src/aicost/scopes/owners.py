"""Owners: what an attribution may say, which attribute says it, and how it is made fit for export.

An attribution is one mapping: the keys of `OWNERS`, dimensions of the resource as defaults beneath them, and labels as
`label:K`. Which keys there are the semconv registry says.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from aicost._wellformed import as_text
from aicost.semconv import attributes as a
from aicost.semconv.dimensions import DIMENSIONS, LABEL, OWNERS

from .ids import opaque

_log = logging.getLogger("aicost")

OwnerValues = Mapping[str, object | None]
"""Owners, or labels, as an application gives them; None leaves one as it is."""

MOST_LABELS = 16
"""Labels of one scope, those of the scopes around it included: each is an attribute of every span."""

ATTRIBUTES: Mapping[str, str] = {dimension.key: dimension.attribute for dimension in OWNERS}
"""The span attribute of each owner key; `attribute_of` knows labels, too."""
_KEYS: Mapping[str, str] = {attribute: key for key, attribute in ATTRIBUTES.items()}

LABEL_ATTRIBUTE = f"{a.AICOST_LABEL}."
"""What the attribute of a label begins with."""

_OF_RESOURCE = tuple((each.key, attribute) for each in DIMENSIONS for attribute in (each.attribute, *each.others))
_SERVICE = next(each.key for each in DIMENSIONS if each.attribute == a.SERVICE_NAME)
_UNKNOWN_SERVICE = "unknown_service"
"""What the SDK calls a service that nobody named, followed by the program's name."""
_NOBODY: Mapping[str, str] = {}

_said = False


def attribute_of(key: str) -> str:
    """The span attribute of an owner key or a label.

    >>> attribute_of("tenant_id"), attribute_of("label:cohort")
    ('aicost.tenant.id', 'aicost.label.cohort')
    """
    return ATTRIBUTES.get(key) or LABEL_ATTRIBUTE + key.removeprefix(LABEL)


def is_owner(key: object) -> bool:
    """Whether an attribution may have this key."""
    return key in ATTRIBUTES or (isinstance(key, str) and key.startswith(LABEL) and key != LABEL)


def check_keys(attribution: Mapping[Any, object | None]) -> None:
    """Raise TypeError for a key that attribution does not have."""
    for key in attribution:
        if not is_owner(key):
            raise TypeError(f"unknown attribution key {key!r}; known: {', '.join(ATTRIBUTES)}; or label:KEY")


def with_labels(owners: OwnerValues, labels: OwnerValues | None) -> OwnerValues:
    """Owners and labels as one attribution. Raises TypeError for an owner that there is not.

    >>> with_labels({"team": "support"}, {"cohort": "beta"})
    {'team': 'support', 'label:cohort': 'beta'}
    """
    check_keys(owners)
    if labels is None:
        return owners
    if not isinstance(labels, Mapping):
        raise TypeError(f"labels: {labels!r:.80} is not a mapping of keys to values")
    named = {LABEL + as_text(key): value for key, value in labels.items()}
    named.pop(LABEL, None)
    return {**owners, **named}


def opaque_owners(given: OwnerValues, within: Mapping[str, str]) -> dict[str, str]:
    """What was given as it may be exported, inside a scope that is owned as `within` says.

    Ids are opaque. Of labels the first `MOST_LABELS` by name are kept, and the log says once if there were more.
    """
    added = {key: opaque(key, value) for key, value in given.items() if value is not None and key in ATTRIBUTES}
    if len(added) < len(given):
        added.update(_labels(given, within))
    return added


def _labels(given: OwnerValues, within: Mapping[str, str]) -> dict[str, str]:
    global _said
    room = MOST_LABELS - sum(key.startswith(LABEL) for key in within)
    kept: dict[str, str] = {}
    # In one order, since attributes come in any: of one span the same are kept wherever it is read.
    for said in sorted(key for key in given if key.startswith(LABEL)):
        value = given[said]
        if value is None:
            continue
        # The key is exported as well as the value.
        key = LABEL + opaque("a label", said.removeprefix(LABEL))
        if key not in within and key not in kept:
            room -= 1
            if room < 0:
                continue
        kept[key] = opaque("a label", value)
    if room < 0 and not _said:
        _said = True
        _log.warning("a scope has %d labels at most; what is beyond that is left out", MOST_LABELS)
    return kept


def resource_dimensions(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What the attributes of a resource say of all that the process does: where it runs, and whose it is.

    >>> resource_dimensions({"cloud.region": "eu-central-1", "k8s.job.name": "backfill", "process.pid": 7})
    {'cloud_region': 'eu-central-1', 'k8s_workload': 'backfill'}
    """
    found: dict[str, str] = {}
    for key, attribute in _OF_RESOURCE:
        if key not in found and attributes.get(attribute) not in (None, ""):
            found[key] = opaque(key, attributes[attribute])
    if found.get(_SERVICE, "").startswith(_UNKNOWN_SERVICE):
        del found[_SERVICE]
    labels = {key: attributes[name] for name in attributes if (key := _label_of(name))}
    return {**found, **opaque_owners(labels, found)} if labels else found


def span_owners(attributes: Mapping[str, Any], beneath: Mapping[str, str] = _NOBODY) -> Mapping[str, str]:
    """Whose a span or event is by its attributes, and `beneath` where they do not say.

    Where it runs is not asked of a span: `cloud.region` there is that of the service called.

    >>> span_owners({"user.id": "u-1", "aicost.label.cohort": "beta"}, {"cloud_region": "eu-central-1"})
    {'cloud_region': 'eu-central-1', 'user_id': 'u-1', 'label:cohort': 'beta'}
    """
    own = {key: value for name, value in attributes.items() if (key := _KEYS.get(name) or _label_of(name))}
    return {**beneath, **opaque_owners(own, beneath)} if own else beneath


def _label_of(attribute: object) -> str:
    """The key of the label that an attribute is; empty for one that is none. Not all are text, whoever sent them."""
    if isinstance(attribute, str) and attribute.startswith(LABEL_ATTRIBUTE) and attribute != LABEL_ATTRIBUTE:
        return LABEL + attribute.removeprefix(LABEL_ATTRIBUTE)
    return ""
