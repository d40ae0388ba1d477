"""What is asked of a ledger is answered without inventing a zero."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicost import LedgerError
from aicost.ledger import Ledger
from aicost.ledger.query import Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.usage.event import Chargeable, RequestStatus

from .charges import FREE, UNSEEN, event, priced, unpriced

REFUSED = event("refused", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None)
CUT = event("cut", status=RequestStatus.TIMEOUT, chargeable=Chargeable.POSSIBLY, usage=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.mark.parametrize(
    ("entries", "is_known"),
    [
        ([(event(), priced(5))], True),
        ([(event(), priced(0))], True),
        ([(REFUSED, FREE)], True),
        ([(event(), unpriced())], False),
        ([(CUT, UNSEEN)], False),
        ([(REFUSED, FREE), (CUT, UNSEEN)], False),
        ([(event(), priced(5)), (CUT, UNSEEN)], True),
    ],
    ids=["priced", "priced at nothing", "refused", "unpriced", "unseen", "refused, then unseen", "priced and unseen"],
)
def test_a_sum_says_whether_anything_of_it_is_known(
    path: Path, entries: list[tuple[object, Charge]], is_known: bool
) -> None:
    ledger = Ledger.open(path)
    ledger.record(entries)  # type: ignore[arg-type]
    ledger.close()
    with LedgerReader(path) as reader:
        assert [row.is_known for by in (None, "model") for row in reader.answer(Query((by,) if by else ()))] == [
            is_known
        ] * 2


@pytest.fixture
def metered(path: Path) -> Path:
    """Charges with lines, without, split by a threshold, in part without a rate, and with the provider's own cost."""
    split = (ChargeLine("input", 5, "2", 1, 20, "above"), ChargeLine("input", 5, "1", 1, 5, "below"))
    no_rate = (ChargeLine("input", 10, "1", 1, 7, "r"), ChargeLine("pages", 3, None, 1, None, None))
    ledger = Ledger.open(path)
    ledger.start_run("run-000001", workflow="w", started_ns=0)
    ledger.start_step("s-1", run_id="run-000001", name="bad", kind="step", started_ns=0)
    ledger.end_step("s-1", status="failed", ended_ns=1)
    ledger.record([(REFUSED, FREE), (event("e-1", attempt=2), priced(100, 40))])
    ledger.record([(event("e-2", step_id="s-1"), Charge.of_lines(ChargeStatus.PRICED, "USD", 25, split, None, "t@1"))])
    ledger.record([(event("e-3"), Charge.of_lines(ChargeStatus.PARTIAL, "USD", 7, no_rate, "no_rate:pages", "t@1"))])
    ledger.record([(event("e-4"), priced(100, 40, status=ChargeStatus.PROVIDER_REPORTED, atto=90))])
    ledger.record([(CUT, UNSEEN)])
    ledger.record([(event("e-5"), priced(3, currency="EUR"))])
    ledger.close()
    return path


def test_by_meter_amounts_add_up_and_name_what_no_meter_explains(metered: Path) -> None:
    with LedgerReader(metered) as reader:
        rows = {(row.key, row.currency): row for row in reader.answer(Query(("meter",)))}
        totals = {row.currency: row for row in reader.answer(Query())}
    assert {key: row.atto for key, row in rows.items()} == {
        ("input", "USD"): 100 + 25 + 7,
        ("output", "USD"): 40,
        (None, "USD"): 90,
        ("pages", "USD"): 0,
        ("input", "EUR"): 3,
    }
    for currency, total in totals.items():
        mine = [row for (_, of), row in rows.items() if of == currency]
        assert sum(row.atto for row in mine) == total.atto
        assert sum(row.wasted_atto for row in mine) == total.wasted_atto
    assert totals["USD"].wasted_atto == 25
    assert (rows["input", "USD"].calls, rows["input", "USD"].input_tokens) == (3, 30)
    assert (rows["pages", "USD"].is_known, rows["pages", "USD"].unpriced) == (False, 1)


def test_currencies_are_never_added_together(metered: Path) -> None:
    with LedgerReader(metered) as reader:
        assert {row.currency: row.atto for row in reader.answer(Query())} == {"USD": 262, "EUR": 3}


def test_a_filter_applies_to_meters_too(metered: Path) -> None:
    with LedgerReader(metered) as reader:
        assert reader.answer(Query(("meter",), Filter(tenant_id="nobody"))) == []


def test_a_whole_id_wins_over_longer_ones_that_begin_with_it(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.record([(event(name, run_id=None), priced(1)) for name in ("span:a:1", "span:a:10", "SPAN:A:2")])
    ledger.close()
    with LedgerReader(path) as reader:
        assert reader.resolve("span:a:1") == ("event", "span:a:1")
        assert reader.resolve("SPAN:A") == ("event", "SPAN:A:2"), "ids differ by case"
        with pytest.raises(LedgerError, match="ambiguous: event span:a:1, event span:a:10"):
            reader.resolve("span:a")


def test_ids_are_found_by_index_however_large_the_ledger(metered: Path) -> None:
    with LedgerReader(metered) as reader:
        asked: list[str] = []
        reader._db.set_trace_callback(asked.append)
        reader.resolve("run-00")
        reader._db.set_trace_callback(None)
        plans = [reader._db.execute(f"EXPLAIN QUERY PLAN {select}").fetchall() for select in asked]
    steps = [row["detail"] for plan in plans for row in plan]
    assert len(steps) >= 8
    assert [step for step in steps if not step.startswith("SEARCH")] == []


def test_a_recorded_call_can_be_priced_again_as_the_model_that_was_asked_for(path: Path) -> None:
    known = event(model="m:v2", request_model="m", usage={"input": 10, "output": 10})
    ledger = Ledger.open(path)
    ledger.record([(known, priced(5))])
    ledger.close()
    with LedgerReader(path) as reader:
        [recorded] = reader.recorded()
    assert (recorded.inquiry.model, recorded.inquiry.request_model) == ("m:v2", "m")
