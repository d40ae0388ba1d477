"""What is written: whatever a charge holds it is kept, and what cannot be kept holds nothing else up."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from aicost.ledger import Ledger
from aicost.ledger.query import Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.records import read_record, record
from aicost.ledger.told import ToldOutcome
from aicost.ledger.writing import Writer
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.usage.event import UsageEvent

from .charges import event, priced


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def rows(path: Path, select: str) -> list[Any]:
    with sqlite3.connect(path) as db:
        return db.execute(select).fetchall()


def total(path: Path) -> int:
    with LedgerReader(path) as reader:
        return sum(row.atto for row in reader.answer(Query()))


@pytest.mark.parametrize(
    ("odd", "charge"),
    [
        (event("e-odd", attribution={"tenant_id": "caf\udce9"}), priced(1)),
        (event("e-odd", model="m\ud800"), priced(1)),
        (event("e-\ud800"), priced(1)),
        (event("e-odd", usage={"m\ud800": 1}), priced(1, meters=("m\ud800",))),
    ],
    ids=["tenant", "model", "event id", "meter"],
)
def test_text_that_is_no_valid_unicode_costs_no_charge(path: Path, odd: UsageEvent, charge: Charge) -> None:
    ledger = Ledger.open(path)
    for _ in range(2):
        ledger.record([(odd, charge)])
    ledger.record([(event("e-next"), priced(1))])
    ledger.close()
    assert (ledger.lost, total(path)) == (0, 2)


def test_ids_in_any_script_are_kept_as_they_are(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event(attribution={"tenant_id": "株式会社-é"}), priced(1))])
    ledger.close()
    assert rows(path, "SELECT tenant_id FROM charges") == [("株式会社-é",)]


def test_an_amount_that_no_event_can_cost_is_not_known_and_holds_nothing_up(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event("e-huge"), priced(10**40)), (event("e-with"), priced(1))])
    ledger.record([(event("e-next"), priced(1))])
    ledger.close()
    assert (ledger.lost, total(path)) == (0, 2)
    assert rows(path, "SELECT charge_status, reason, amount FROM charges WHERE event_id = 'e-huge'") == [
        ("unpriced", "implausible_amount", None)
    ]


def test_an_interrupted_batch_is_taken_in_again_and_counted_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.open(path)
    put_places, seen = Writer.put_places, []

    def interrupted(store: Writer, journal: str, places: Mapping[str, int]) -> None:
        seen.append(places)
        if len(seen) == 1:
            raise KeyboardInterrupt
        put_places(store, journal, places)

    monkeypatch.setattr(Writer, "put_places", interrupted)
    ledger.record_outcome("document", count=1, run_id=None, attribution={}, at_ns=1)
    ledger.record([(event(), priced(1))])
    with pytest.raises(KeyboardInterrupt):
        ledger.flush()
    ledger.record([(event("e-2"), priced(1))])
    ledger.close()
    assert rows(path, "SELECT name, count FROM outcomes") == [("document", 1)]
    assert total(path) == 2


def test_a_record_that_nobody_can_read_holds_nothing_up_and_is_kept(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event("e-1"), priced(1))])
    for odd in (b"no record", b'["charges",1,[[]]]', b'["of tomorrow",9]', b'["ended",1,"runs"]'):
        ledger._journal.append(odd)
    ledger.record([(event("e-2"), priced(1))])
    ledger.close()
    assert total(path) == 2
    assert [record for (record,) in rows(path, "SELECT record FROM unread ORDER BY number")] == [
        b"no record", b'["charges",1,[[]]]', b'["of tomorrow",9]', b'["ended",1,"runs"]',
    ]  # fmt: skip
    assert "kept in its table `unread`" in caplog.text


def test_a_charge_recorded_in_the_midst_of_another_is_kept_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.open(path)
    inner, write = [event("e-inner")], os.write

    def finalizer(file: int, data: bytes) -> int:
        if inner and b"e-outer" in data:
            ledger.record([(inner.pop(), priced(1))])
        return write(file, data)

    monkeypatch.setattr(os, "write", finalizer)
    ledger.record([(event("e-outer"), priced(1))])
    ledger.close()
    assert ledger.lost == 0
    assert sorted(rows(path, "SELECT event_id FROM charges")) == [("e-inner",), ("e-outer",)]


def split(low: int, high: int) -> Charge:
    """One meter in two lines, as a marginal threshold makes them."""
    lines = (ChargeLine("input", high, "2", 1, 2 * high, "above"), ChargeLine("input", low, "1", 1, low, "below"))
    return Charge.of_lines(ChargeStatus.PARTIAL, "USD", low + 2 * high, lines, "usage_incomplete", "t@1")


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "late"])
def test_a_lesser_view_never_replaces_one_whose_meter_a_threshold_split(path: Path, reverse: bool) -> None:
    views = [
        (event(usage={"input": 250}, complete=False), split(200, 50)),
        (event(usage={"input": 272}, complete=False), split(200, 72)),
    ]
    ledger = Ledger.open(path)
    for view in reversed(views) if reverse else views:
        ledger.record([view])
    ledger.close()
    assert total(path) == 344
    assert rows(path, "SELECT COUNT(*) FROM sightings") == [(0,)]


class Rates:
    """A source of rates that fails as told."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def describe(self, rate_id: str) -> Mapping[str, str] | None:
        if self.fails:
            raise KeyError(rate_id)
        return {"source": f"https://prices.example/{rate_id}"}


def test_the_source_of_a_rate_is_kept_even_if_its_first_charge_could_not_be(path: Path) -> None:
    ledger = Ledger.open(path, rates=Rates())
    ledger.record([(event("e-1"), priced(1)), (event("e-huge"), priced(10**40))])
    ledger.record([(event("e-2"), priced(1))])
    ledger.close()
    ((about,),) = rows(path, "SELECT about FROM rates")
    assert json.loads(about) == {"source": "https://prices.example/p/m/input@always"}


def test_a_charge_is_kept_when_the_source_of_its_rate_cannot_be_read(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger.open(path, rates=Rates(fails=True))
    for n in range(3):
        ledger.record([(event(f"e-{n}"), priced(1))])
    ledger.close()
    assert total(path) == 3
    assert caplog.text.count("where rate p/m/input@always comes from could not be read") >= 1


def test_charges_after_close_are_counted_as_lost_and_said_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger.open(path)
    ledger.close()
    for n in range(3):
        ledger.record([(event(f"e-{n}"), priced(1)), (event(f"f-{n}"), priced(1))])
    assert ledger.lost == 6
    assert caplog.text.count("it is closed") == 1


def test_every_kind_of_failure_is_said_once_until_it_is_over(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger.open(path)
    assert ledger.flush()
    store = ledger._ingester._writer.store
    assert store is not None
    for outage in range(2):
        store.db.execute("PRAGMA query_only = ON")
        for n in range(3):
            ledger.record([(event(f"e-{outage}-{n}"), priced(1))])
            assert not ledger.flush()
        store.db.execute("PRAGMA query_only = OFF")
        assert ledger.flush()
    ledger.close()
    said = [record.message.partition(" (")[0].rpartition(" ledger.sqlite")[2] for record in caplog.records]
    assert [("cannot be written" in m, "writable again" in m) for m in said] == [(True, False), (False, True)] * 2
    assert total(path) == 6


TOLD = [
    {"at_ns": 5, "count": 3, "value": "74.7", "unit": "USD"},
    {"at_ns": 5, "count": 3},
    {"at_ns": 5, "count": 2, "value": "80", "unit": "USD"},
    {"at_ns": 6, "count": 1, "value": "99", "unit": "EUR"},
]
"""One outcome, as it may be told: by a version that knew no values, and under a key that was used again."""


@pytest.mark.parametrize("told", [*permutations(TOLD)], ids=lambda told: str([TOLD.index(one) for one in told]))
def test_of_one_id_the_outcome_that_was_recorded_first_counts_in_any_order(path: Path, told: Any) -> None:
    ledger = Ledger.open(path)
    for one in (*told, *reversed(told)):
        ledger.record_outcome("ticket", run_id=None, attribution={}, outcome_id="o-1", **one)
    ledger.close()
    assert rows(path, "SELECT at_ns, count, value, unit FROM outcomes") == [(5, 2, "80", "USD")]


def test_an_outcome_of_a_version_that_knew_no_values_is_taken_in() -> None:
    said = ("o-1", "ticket", 3, None, 5, {})
    assert read_record(record("outcome", said)) == ToldOutcome(*said)
