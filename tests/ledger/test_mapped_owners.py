"""The table of owners reaches entries, through every door, with its evidence; what the work says itself stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest

import aicost
from aicost._owner_rules import OwnerRule
from aicost.ledger import Ledger
from aicost.ledger.check import check
from aicost.ledger.query import Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.usage.event import Origin
from tests.collector.conftest import backend
from tests.collector.running import Backend, InProcess, a_request, a_span, chat, post, settings

from .charges import event, priced

__all__ = ["backend"]

TOML = """
[[owners]]
match = {feature_id = "smart_search"}
team = "search"
business_unit = "consumer"
until = 2100-01-01

[[owners]]
match = {feature_id = "smart_search"}
team = "not yet"
since = 2100-01-01
"""
RULES = [
    OwnerRule(match={"feature_id": "smart_search"}, team="search", business_unit="consumer", until="2100-01-01"),
    OwnerRule(match={"feature_id": "smart_search"}, team="not yet", since="2100-01-01"),
]
MAPPED = {"feature_id": "smart_search", "team": "search", "business_unit": "consumer"}
SAID = {"feature_id": "smart_search", "team": "my own", "business_unit": "mine"}
WORK = [
    ({"feature_id": "smart_search"}, MAPPED, "mapped"),
    ({"feature_id": "smart_search", "team": "my own"}, {**MAPPED, "team": "my own"}, "mapped"),
    (SAID, SAID, None),
    ({"feature_id": "another"}, {"feature_id": "another"}, None),
    ({}, {}, None),
]
"""What the work says, whose it is in the ledger, and by what evidence."""

Door = Callable[[Path, dict[str, str]], None]


def by_ledger(path: Path, said: dict[str, str]) -> None:
    ledger = Ledger.open(path, owners=RULES)
    ledger.record([(event(attribution=said, started_ns=10**18, ended_ns=10**18), priced(7))])
    ledger.close()


@pytest.fixture
def by_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aicost.toml").write_text(TOML)

    def use(path: Path, said: dict[str, str]) -> None:
        aicost.init(ledger=path, exporter="none", instrument=())
        with aicost.attribution(**said):
            aicost.record_usage(provider="openai", model="gpt-4o", operation="chat", usage={"input": 100})
        aicost.flush()

    yield use
    aicost.shutdown()


@pytest.fixture
def by_collector(backend: Backend) -> Door:
    def use(path: Path, said: dict[str, str]) -> None:
        running = InProcess(settings(backend, ledger=str(path)), owners=tuple(RULES))
        names = {"feature_id": "aicost.feature.id", "team": "aicost.team", "business_unit": "aicost.business_unit"}
        request = a_request([a_span({**chat(1), **{names[key]: value for key, value in said.items()}})])
        assert post(running.http, request.SerializeToString())[0] == 200
        running.stop()

    return use


@pytest.fixture(params=["ledger", "init", "collector"])
def door(request: pytest.FixtureRequest) -> Door:
    """Something that records a call whose owners it is told."""
    return by_ledger if request.param == "ledger" else request.getfixturevalue(f"by_{request.param}")


@pytest.mark.parametrize(
    ("said", "owners", "evidence"), WORK, ids=["mapped", "in part", "said", "of no row", "nothing"]
)
def test_the_table_fills_in_what_the_work_does_not_say(
    door: Door, tmp_path: Path, said: dict[str, str], owners: dict[str, str], evidence: str | None
) -> None:
    path = tmp_path / "l.sqlite"
    door(path, said)
    with LedgerReader(path) as reader:
        [charge] = reader.charges()
        found = {key: value for key, value in charge.attribution.items() if key in SAID}
        assert (found, charge.evidence) == (owners, evidence)
        for key in SAID:
            assert [row.key for row in reader.answer(Query((key.removesuffix("_id"),)))] == [owners.get(key)]
        assert len(reader.charges(Filter(**owners))) == 1


def test_a_credential_an_account_and_where_it_runs_are_mapped_too(tmp_path: Path) -> None:
    rules = [
        OwnerRule(match={"credential": "c:1"}, team="by key"),
        OwnerRule(match={"provider_organization": "org-1"}, cost_center="by account"),
        OwnerRule(match={"k8s_namespace": "search"}, business_unit="by namespace", team="too far off"),
        OwnerRule(match={"label:app": "faq"}, product="by label"),
    ]
    ledger = Ledger.open(tmp_path / "l.sqlite", owners=rules)
    said = {"k8s_namespace": "search", "label:app": "faq"}
    ledger.record([(event(attribution=said, origin=Origin(credential="c:1", organization="org-1")), priced(7))])
    ledger.close()
    with LedgerReader(ledger.where) as reader:
        [charge] = reader.charges()
    assert charge.attribution == {
        **said,
        "team": "by key",
        "cost_center": "by account",
        "product": "by label",
        "business_unit": "by namespace",
    }
    assert charge.evidence == "mapped"


VIEWS = [
    (True, 1, {"feature_id": "smart_search"}),
    (False, 1, {"feature_id": "smart_search"}),
    (False, 5, {"feature_id": "smart_search", "team": "my own", "label:cohort": "beta"}),
]
"""Views of one attempt: told by who has the table or has not, when, and what they say."""


@pytest.mark.parametrize("told", [*permutations(range(len(VIEWS)))], ids=str)
def test_what_another_view_says_itself_is_not_overridden_in_any_order(tmp_path: Path, told: tuple[int, ...]) -> None:
    path = tmp_path / "l.sqlite"
    for number in (*told, *told):
        has_table, at, said = VIEWS[number]
        ledger = Ledger.open(path, owners=RULES if has_table else ())
        ledger.record([(event(attribution=said, started_ns=at, ended_ns=9), priced(7))])
        ledger.close()
    with LedgerReader(path) as reader:
        [charge] = reader.charges()
    assert dict(charge.attribution) == {**MAPPED, "team": "my own", "label:cohort": "beta"}
    assert charge.evidence == "mapped", "the business unit is"
    assert list(check(path)) == []
