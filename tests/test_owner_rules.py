"""Owner rules: what a table says of work is the same however it is written, and never against the work itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aicost._errors import ConfigError
from aicost._owner_rules import MappedOwners, OwnerRule, OwnerTable
from aicost._settings import load
from aicost.semconv.dimensions import DIMENSIONS

TABLE = """
[[owners]]
match = {feature_id = "smart_search"}
team = "search"
business_unit = "consumer"
contact = "search-oncall@example.com"
since = 2026-01-01
until = 2026-07-01

[[owners]]
match = {feature_id = "smart_search"}
team = "discovery"
since = 2026-07-01

[[owners]]
match = {k8s_namespace = "search"}
team = "platform"
cost_center = "cc-7"
contact = "platform@example.com"

[[owners]]
match = {k8s_namespace = "search", k8s_cluster = "lab"}
team = "research"

[[owners]]
match = {credential = "c:a2f60c7c5bd6f05e"}
business_unit = "labs"

[[owners]]
match = {"label:app" = "faq"}
product = "help-centre"
"""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()) * 10**9


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnerTable:
    (tmp_path / "aicost.toml").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    return OwnerTable(load().owners)


SEARCH = {"team": "search", "business_unit": "consumer"}
PLATFORM = {"team": "platform", "cost_center": "cc-7"}


@pytest.mark.parametrize(
    ("known", "when", "owners", "contact", "rules"),
    [
        ({"feature_id": "smart_search"}, "2026-03-01", SEARCH, "search-oncall@example.com", (0,)),
        ({"feature_id": "smart_search"}, "2026-01-01", SEARCH, "search-oncall@example.com", (0,)),
        ({"feature_id": "smart_search"}, "2025-12-31T23:59:59", {}, None, ()),
        ({"feature_id": "smart_search"}, "2026-06-30T23:59:59", SEARCH, "search-oncall@example.com", (0,)),
        ({"feature_id": "smart_search"}, "2026-07-01", {"team": "discovery"}, None, (1,)),
        ({"feature_id": "other"}, "2026-03-01", {}, None, ()),
        ({}, "2026-03-01", {}, None, ()),
        ({"k8s_namespace": None}, "2026-03-01", {}, None, ()),
        # What the application said stays, the rest is filled in.
        ({"feature_id": "smart_search", "team": "x"}, "2026-08-01", {}, None, ()),
        (
            {"feature_id": "smart_search", "team": "x"},
            "2026-03-01",
            {"business_unit": "consumer"},
            "search-oncall@example.com",
            (0,),
        ),
        # Of several rules the nearest to the work wins, owner by owner: what it is for, before where it runs.
        (
            {"k8s_namespace": "search", "feature_id": "smart_search"},
            "2026-08-01",
            {"team": "discovery", "cost_center": "cc-7"},
            "platform@example.com",
            (1, 2),
        ),
        ({"k8s_namespace": "search", "k8s_cluster": "prod"}, "2026-08-01", PLATFORM, "platform@example.com", (2,)),
        # One that names more wins over one that names less.
        (
            {"k8s_namespace": "search", "k8s_cluster": "lab"},
            "2026-08-01",
            {**PLATFORM, "team": "research"},
            "platform@example.com",
            (2, 3),
        ),
        ({"credential": "c:a2f60c7c5bd6f05e"}, "2026-08-01", {"business_unit": "labs"}, None, (4,)),
        ({"label:app": "faq"}, "1970-01-01", {"product": "help-centre"}, None, (5,)),
    ],
)
def test_work_is_mapped(
    table: OwnerTable,
    known: Mapping[str, str | None],
    when: str,
    owners: Mapping[str, str],
    contact: str | None,
    rules: tuple[int, ...],
) -> None:
    assert table.mapped(known, at(when)) == MappedOwners(owners, contact, rules)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ('team = "x"', r"owners\.0\.match: Field required"),
        ('match = {}\nteam = "x"', r"owners\.0\.match: Dictionary should have at least 1 item"),
        (
            'match = {colour = "red"}\nteam = "x"',
            r"owners\.0: .*match: 'colour' is unknown; known: tenant_id, .*label:KEY",
        ),
        ('match = {"label:" = "red"}\nteam = "x"', r"owners\.0: .*match: 'label:' is unknown"),
        ('match = {team = "x"}\nteam = "y"', r"owners\.0: .*'team' is what the rule is about"),
        ('match = {team = "x"}\nuser_id = "y"', r"owners\.0: .*'user_id' is no owner that a rule can fill in"),
        ('match = {team = "x"}\ncloud_region = "y"', r"owners\.0: .*'cloud_region' is no owner"),
        ('match = {team = "x"}\nproduct = ""', r"owners\.0\.product: String should have at least 1"),
        ('match = {team = "x"}\nproduct = 7', r"owners\.0\.product: Input should be a valid string \(got 7"),
        ('match = {team = 7}\nproduct = "y"', r"owners\.0\.match\.team: Input should be a valid string \(got 7"),
        ('match = {team = "x"}', r"owners\.0: .*it says nothing"),
        ('match = {team = "x"}\nproduct = "y"\nsince = 20260101', r"owners\.0\.since: .*write it as a date"),
        ('match = {team = "x"}\nproduct = "y"\nsince = "1767225600"', r"owners\.0\.since: .*write it as a date"),
        ('match = {team = "x"}\nproduct = "y"\nuntil = "soon"', r"owners\.0\.until: .*write it as a date"),
        (
            'match = {team = "x"}\nproduct = "y"\nsince = 2026-02-01\nuntil = 2026-02-01',
            r"owners\.0: .*until: 2026-02-01 00:00 is not after since",
        ),
    ],
)
def test_a_rule_that_cannot_work_is_refused_by_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, problem: str
) -> None:
    (tmp_path / "aicost.toml").write_text(f"[[owners]]\n{rule}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=problem):
        load()


ONE = {"match": {"feature_id": "f", "team": "t"}, "product": "a", "since": "2026-01-01", "until": "2026-07-01"}


@pytest.mark.parametrize(
    ("other", "is_contradiction"),
    [
        ({"product": "b"}, True),
        ({"product": "b", "since": "2026-06-30"}, True),
        ({"product": "b", "until": "2026-01-01T00:00:01"}, True),
        ({"product": "a", "contact": "x"}, False),
        ({"business_unit": "b"}, False),
        ({"product": "b", "since": "2026-07-01"}, False),
        ({"product": "b", "until": "2026-01-01"}, False),
        ({"product": "b", "since": "2026-07-01T02:00:00+02:00"}, False),
        ({"product": "b", "match": {"feature_id": "f"}}, False),
        ({"product": "b", "match": {"feature_id": "g", "team": "t"}}, False),
    ],
)
def test_two_rules_that_contradict_each_other_are_refused(other: dict[str, Any], is_contradiction: bool) -> None:
    two = {"match": {"team": "t", "feature_id": "f"}, **other}
    for rules in ([ONE, two], [two, ONE]):
        if is_contradiction:
            with pytest.raises(
                ValueError, match=r"owners\.0 and owners\.1: product of feature_id=f, team=t is '[ab]' and"
            ):
                OwnerTable([OwnerRule.model_validate(rule) for rule in rules])
        else:
            OwnerTable([OwnerRule.model_validate(rule) for rule in rules])


def test_a_file_with_a_contradiction_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aicost.toml").write_text(
        TABLE.replace("2026-07-01", "2026-06-01", 1).replace("= 2026-07-01", "= 2026-05-01")
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"owners\.0 and owners\.1: team of feature_id=smart_search is 'search' and"):
        load()


def test_a_rule_keeps_what_was_written() -> None:
    rule = OwnerRule.model_validate({"match": {"team": " t "}, "product": "p", "since": "2026-01-01"})
    assert (rule.match, rule.owners) == ({"team": "t"}, {"product": "p"})
    assert OwnerRule.model_validate_json(rule.model_dump_json()) == rule
    with pytest.raises(ValidationError):
        rule.match = {}


KEYS = ("feature_id", "team", "label:app", "credential", "k8s_namespace", "cloud_account")
FILLED = ("team", "product", "business_unit", "cost_center")
VALUES = st.sampled_from(["a", "b"])


@st.composite
def rules(draw: st.DrawFn) -> list[OwnerRule]:
    """A table without contradictions."""
    found: list[OwnerRule] = []
    for _ in range(draw(st.integers(0, 12))):
        match = draw(st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=3))
        owners = draw(st.dictionaries(st.sampled_from(FILLED), VALUES, min_size=1))
        since, until = draw(st.sampled_from([(None, None), (1, None), (None, 1), (1, 2), (2, None)]))
        said = {"match": match, **{key: value for key, value in owners.items() if key not in match}}
        said |= {k: f"2026-01-0{day}" for k, day in (("since", since), ("until", until)) if day is not None}
        try:
            rule = OwnerRule.model_validate(said)
            OwnerTable([*found, rule])
        except ValueError:
            continue
        found.append(rule)
    return found


@given(
    rules(),
    st.dictionaries(st.sampled_from((*KEYS, *FILLED)), VALUES),
    st.sampled_from(["2025-12-31", "2026-01-01", "2026-01-02"]),
    st.randoms(),
)
def test_the_order_of_rules_makes_no_difference(
    table: list[OwnerRule], known: dict[str, str], when: str, random: Any
) -> None:
    before = dict(known)
    found = OwnerTable(table).mapped(known, at(when))
    shuffled = list(table)
    random.shuffle(shuffled)
    again = OwnerTable(shuffled).mapped(known, at(when))
    assert (again.owners, again.contact) == (found.owners, found.contact)
    assert known == before
    assert found.owners.keys().isdisjoint(known)
    # Every owner comes from a rule that is about this work and in force, and each rule that is named gave one.
    for key, value in found.owners.items():
        assert any(table[place].owners.get(key) == value for place in found.rules)
    for place in found.rules:
        assert table[place].match.items() <= known.items()
    # What no rule is about stays unknown.
    about = [rule for rule in table if rule.match.items() <= known.items()]
    assert found.owners.keys() <= {key for rule in about for key in rule.owners}


@given(rules(), st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_a_rule_about_other_work_changes_nothing(table: list[OwnerRule], known: dict[str, str]) -> None:
    about = [rule for rule in table if rule.match.items() <= known.items()]
    assert (
        OwnerTable(about).mapped(known, at("2026-01-01"))[:2] == OwnerTable(table).mapped(known, at("2026-01-01"))[:2]
    )


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.key)
def test_a_rule_may_be_about_any_dimension(dimension: Any) -> None:
    rule = OwnerRule(match={dimension.key: "x"}, contact="somebody")
    assert OwnerTable([rule]).mapped({dimension.key: "x"}, 0).contact == "somebody"
