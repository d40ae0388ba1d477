"""A usage event is a value: nobody changes it, and it does not change with what it was made from."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from decimal import Decimal
from typing import Any

import pytest

from aicost import UsageEvent
from aicost.usage.event import Chargeable, Origin, RequestStatus

# A value of its own for each field, by the field's type.
_SAMPLES: dict[str, Any] = {
    "int": 7,
    "bool": True,
    "tuple[str, ...]": ("flag",),
    "RequestStatus": RequestStatus.TIMEOUT,
    "Billed": Chargeable.POSSIBLY,
    "Origin": Origin(host="h"),
    "Mapping[str, str]": {"team": "t"},
    "Mapping[str, Quantity] | None": {"input": 1, "seconds": Decimal("1.5")},
}
FIELDS = dataclasses.fields(UsageEvent)
VALUES = {field.name: _SAMPLES.get(str(field.type), f"a {field.name}") for field in FIELDS}


def test_each_field_is_where_its_name_says_whichever_way_it_is_made() -> None:
    by_name, by_position = UsageEvent(**VALUES), UsageEvent(*VALUES.values())
    assert {field.name: getattr(by_name, field.name) for field in FIELDS} == VALUES
    assert by_name == by_position
    assert type(by_name) is UsageEvent


def test_what_is_not_said_has_its_usual_value() -> None:
    plain = UsageEvent("e", "p", "chat", "m", None, 1, 2)
    assert (plain.status, plain.chargeable, plain.attempt, plain.complete) == (
        RequestStatus.SUCCESS,
        Chargeable.YES,
        1,
        True,
    )
    assert (plain.attribution, plain.flags, plain.provider_currency, plain.origin) == ({}, (), "USD", Origin())
    with pytest.raises(TypeError):
        UsageEvent("e", "p", "chat", "m", None, 1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        UsageEvent(**VALUES, colour="red")


def test_it_is_equal_hashed_copied_pickled_and_replaced_by_value() -> None:
    event = UsageEvent(**VALUES)
    assert UsageEvent(**VALUES) == event
    assert {event: 1}[UsageEvent(**VALUES)] == 1
    for again in (
        copy.copy(event),
        copy.deepcopy(event),
        pickle.loads(pickle.dumps(event)),
        dataclasses.replace(event),
    ):
        assert type(again) is UsageEvent
        assert again == event
    for field in FIELDS:
        other = dataclasses.replace(event, **{field.name: None if field.name == "usage" else {}})
        assert other != event
    assert "a workflow" in repr(event)


@pytest.mark.parametrize("name", [*VALUES, "anything"])
def test_nothing_of_it_can_be_set(name: str) -> None:
    event = UsageEvent(**VALUES)
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        setattr(event, name, 1)
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        delattr(event, name)
    assert event == UsageEvent(**VALUES)


def test_it_keeps_what_it_was_made_from_when_that_is_changed() -> None:
    usage, owners = {"input": 1}, {"team": "t"}
    event = UsageEvent("e", "p", "chat", "m", usage, 1, 2, attribution=owners)
    usage["input"], owners["team"] = 2, "another"
    assert event.usage == {"input": 1}
    assert event.attribution == {"team": "t"}
    assert (
        UsageEvent("e", "p", "chat", "m", {}, 1, 2).attribution
        is not UsageEvent("f", "p", "c", "m", {}, 1, 2).attribution
    )
