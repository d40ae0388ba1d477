"""A ledger's traffic priced again."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

import aicost
from aicost import Scenario, UsageEvent
from aicost.ledger import Ledger
from aicost.pricing.card import RateCard
from aicost.pricing.charge import ATTO
from aicost.pricing.kernel import Kernel
from aicost.usage.event import Chargeable
from tests.pricing.cards import document, rate

NOW = 1_795_000_000 * 10**9
FIRST = UsageEvent("e1", "p", "chat", "m", {"input": 10, "input_cache_read": 5, "output": 1}, NOW, NOW + 1)
EVENTS = [
    FIRST,
    replace(FIRST, event_id="e2", usage={"input": 3, "audio_seconds": Decimal("1.5")}, started_ns=NOW + 1),
    replace(FIRST, event_id="e3", usage=None, chargeable=Chargeable.POSSIBLY, started_ns=NOW + 2),
    replace(FIRST, event_id="e4", usage=None, chargeable=Chargeable.NO, started_ns=NOW + 3),
    replace(FIRST, event_id="e5", usage={"input": 2}, provider_cost="0.5", started_ns=NOW + 4),
    replace(FIRST, event_id="e6", model="unknown", usage={"input": 2}, started_ns=NOW + 5),
    replace(FIRST, event_id="e7", usage={}, started_ns=NOW + 6),
    replace(FIRST, event_id="e8", usage={"input": 1}, complete=False, flags=("x_exceeded",), started_ns=NOW + 7),
]
RATES = [rate("input", "2", 1), rate("input_cache_read", "1", 1), rate("output", "4", 1)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "costs.sqlite"
    kept = Ledger.open(path)
    kernel = Kernel(RateCard(document(*RATES)))
    kept.record([(event, kernel.price(event)) for event in EVENTS])
    kept.close()
    return path


def test_with_the_card_that_priced_it_nothing_changes(ledger: Path) -> None:
    again = aicost.reprice(ledger, RateCard(document(*RATES)))
    assert (again.calls, again.changes) == (8, ())
    assert again.before == again.after


def test_another_card_changes_what_it_prices_otherwise(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "new.json").write_text(json.dumps(document(rate("input", "3", 1), *RATES[1:])))
    again = aicost.reprice(ledger, tmp_path / "new.json")
    assert {change.event_id for change in again.changes} == {"e1", "e2", "e8"}
    assert again.after["USD"] - again.before["USD"] == (10 + 3 + 1) * ATTO


def test_a_scenario_over_a_ledger(ledger: Path) -> None:
    as_used, uncached = aicost.compare(ledger, Scenario("no cache", cache="none"), rate_card=RateCard(document(*RATES)))
    assert as_used.atto == {"USD": int(Decimal("37.5") * ATTO)}
    assert uncached.atto == {"USD": int(Decimal(46) * ATTO)}
    assert (uncached.calls, uncached.unpriced, uncached.partial) == (8, 2, 2)
