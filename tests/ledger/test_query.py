"""What is asked of a ledger is answered without inventing a zero."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction

import pytest

from aicost import LedgerError
from aicost.ledger.query import BUCKETS, Bucket, Filter, Query, start_of
from aicost.ledger.sums import TOKEN_KINDS, added
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.usage.event import Chargeable, RequestStatus
from aicost.usage.meters import METERS

from .charges import FREE, UNSEEN, event, ns, priced, unpriced
from .stores import Where

REFUSED = event("refused", status=RequestStatus.RETRY, chargeable=Chargeable.NO, usage=None)
CUT = event("cut", status=RequestStatus.TIMEOUT, chargeable=Chargeable.POSSIBLY, usage=None)


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
    where: Where, entries: list[tuple[object, Charge]], is_known: bool
) -> None:
    ledger = where.ledger()
    ledger.record(entries)  # type: ignore[arg-type]
    ledger.close()
    with where.reader() as reader:
        assert [row.is_known for by in (None, "model") for row in reader.answer(Query((by,) if by else ()))] == [
            is_known
        ] * 2


@pytest.fixture
def metered(where: Where) -> Where:
    """Charges with lines, without, split by a threshold, in part without a rate, and with the provider's own cost."""
    split = (ChargeLine("input", 5, "2", 1, 20, "above"), ChargeLine("input", 5, "1", 1, 5, "below"))
    no_rate = (ChargeLine("input", 10, "1", 1, 7, "r"), ChargeLine("pages", 3, None, 1, None, None))
    ledger = where.ledger()
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
    return where


def test_by_meter_amounts_add_up_and_name_what_no_meter_explains(metered: Where) -> None:
    with metered.reader() as reader:
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


def test_currencies_are_never_added_together(metered: Where) -> None:
    with metered.reader() as reader:
        assert {row.currency: row.atto for row in reader.answer(Query())} == {"USD": 262, "EUR": 3}


def test_a_filter_applies_to_meters_too(metered: Where) -> None:
    with metered.reader() as reader:
        assert reader.answer(Query(("meter",), Filter(tenant_id="nobody"))) == []


def test_a_whole_id_wins_over_longer_ones_that_begin_with_it(where: Where) -> None:
    ledger = where.ledger()
    ledger.record([(event(name, run_id=None), priced(1)) for name in ("span:a:1", "span:a:10", "SPAN:A:2")])
    ledger.close()
    with where.reader() as reader:
        assert reader.resolve("span:a:1") == ("event", "span:a:1")
        assert reader.resolve("SPAN:A") == ("event", "SPAN:A:2"), "ids differ by case"
        with pytest.raises(LedgerError, match="ambiguous: event span:a:1, event span:a:10"):
            reader.resolve("span:a")


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_ids_are_found_by_index_however_large_the_ledger(metered: Where) -> None:
    with metered.reader() as reader:
        asked: list[str] = []
        reader._snapshot.db.set_trace_callback(asked.append)
        reader.resolve("run-00")
        reader._snapshot.db.set_trace_callback(None)
        plans = [reader._snapshot.db.execute(f"EXPLAIN QUERY PLAN {select}").fetchall() for select in asked]
    steps = [row["detail"] for plan in plans for row in plan]
    assert len(steps) >= 8
    assert [step for step in steps if not step.startswith("SEARCH")] == []


def test_a_recorded_call_can_be_priced_again_as_the_model_that_was_asked_for(where: Where) -> None:
    known = event(model="m:v2", request_model="m", usage={"input": 10, "output": 10})
    ledger = where.ledger()
    ledger.record([(known, priced(5))])
    ledger.close()
    with where.reader() as reader:
        [recorded] = reader.recorded()
    assert (recorded.inquiry.model, recorded.inquiry.request_model) == ("m:v2", "m")


@pytest.mark.parametrize(
    ("at", "hour", "day", "week", "month"),
    [
        ("2026-11-25T14:59:59.999999", "2026-11-25T14", "2026-11-25", "2026-11-23", "2026-11-01"),
        ("2026-11-23T00:00:00", "2026-11-23T00", "2026-11-23", "2026-11-23", "2026-11-01"),
        ("2026-11-22T23:59:59.999999", "2026-11-22T23", "2026-11-22", "2026-11-16", "2026-11-01"),
        ("2026-11-01T00:00:00", "2026-11-01T00", "2026-11-01", "2026-10-26", "2026-11-01"),
        ("2026-10-31T23:59:59.999999", "2026-10-31T23", "2026-10-31", "2026-10-26", "2026-10-01"),
        ("2028-02-29T12:00:00", "2028-02-29T12", "2028-02-29", "2028-02-28", "2028-02-01"),
        ("2027-01-01T00:30:00", "2027-01-01T00", "2027-01-01", "2026-12-28", "2027-01-01"),
        ("1970-01-01T00:00:00", "1970-01-01T00", "1970-01-01", "1969-12-29", "1970-01-01"),
        ("1969-12-31T23:59:59.999999", "1969-12-31T23", "1969-12-31", "1969-12-29", "1969-12-01"),
        ("1969-12-31T23:00:00", "1969-12-31T23", "1969-12-31", "1969-12-29", "1969-12-01"),
        ("1700-03-01T05:00:00", "1700-03-01T05", "1700-03-01", "1700-03-01", "1700-03-01"),
        ("2262-04-11T23:47:00", "2262-04-11T23", "2262-04-11", "2262-04-07", "2262-04-01"),
    ],
)
def test_a_stretch_of_time_begins_in_utc_and_a_week_on_monday(
    where: Where, at: str, hour: str, day: str, week: str, month: str
) -> None:
    where.recorded((event(started_ns=ns(at), ended_ns=ns(at)), priced(5)))
    with where.reader() as reader:
        found = [reader.answer(Query(bucket=bucket)) for bucket in BUCKETS]
    expected = [datetime.fromisoformat(text + (":00" if "T" in text else "")) for text in (hour, day, week, month)]
    assert [[row.start for row in rows] for rows in found] == [[one.replace(tzinfo=timezone.utc)] for one in expected]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_time_that_no_calendar_has_is_in_its_first_or_last_stretch(bucket: Bucket) -> None:
    """Other stores hold times further off than SQLite's 64 bits of nanoseconds do."""
    first, last = start_of(bucket, -(10**12)), start_of(bucket, 10**12)
    assert (first.year, first.month, first.day) == (1, 1, 1)
    assert (last.year, last.month) == (9999, 12)


def test_stretches_come_in_their_order_and_the_dearest_first_in_each(where: Where) -> None:
    days = ("1969-12-31", "2026-11-24", "2026-11-25")
    made = [
        (event(f"{day}-{model}", started_ns=ns(day), ended_ns=ns(day), model=model), priced(amount))
        for day in reversed(days)
        for model, amount in (("cheap", 1), ("dear", 9))
    ]
    where.recorded(*made)
    with where.reader() as reader:
        rows = reader.answer(Query(("model",), bucket="day"))
    assert [(f"{row.start:%Y-%m-%d}", row.key) for row in rows] == [
        (day, key) for day in days for key in ("dear", "cheap")
    ]


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (None, None, ["a", "b", "c"]),
        (ns("2026-11-01"), ns("2026-12-01"), ["b"]),
        (ns("2026-11-01"), None, ["b", "c"]),
        (None, ns("2026-11-01"), ["a"]),
        (-(10**30), 10**30, ["a", "b", "c"]),
        (None, 2**63 - 1, ["a", "b"]),
        (2**63 - 1, None, ["c"]),
        (10**30, None, []),
        (None, -(10**30), []),
    ],
    ids=str,
)
def test_a_period_of_any_length_is_asked_for(
    where: Where, since: int | None, until: int | None, found: list[str]
) -> None:
    times = {"a": ns("1969-07-20"), "b": ns("2026-11-01"), "c": 2**63 - 1}
    where.recorded(*((event(name, model=name, started_ns=at, ended_ns=at), priced(1)) for name, at in times.items()))
    with where.reader() as reader:
        within = Filter(since_ns=since, until_ns=until)
        assert sorted(str(row.key) for row in reader.answer(Query(("model",), within))) == found
        assert sorted(one.event_id for one in reader.charges(within)) == found


@pytest.mark.parametrize(
    ("chargeable", "charge", "certain"),
    [
        (Chargeable.YES, priced(7), 7),
        (Chargeable.YES, priced(7, status=ChargeStatus.PROVIDER_REPORTED), 7),
        (Chargeable.YES, priced(7, status=ChargeStatus.ESTIMATED), 0),
        (Chargeable.YES, priced(7, status=ChargeStatus.PARTIAL), 0),
        (Chargeable.YES, unpriced(), 0),
        (Chargeable.POSSIBLY, priced(7), 0),
        (Chargeable.NO, FREE, 0),
    ],
    ids=["priced", "reported", "estimated", "partial", "unpriced", "possibly", "free"],
)
def test_certain_is_what_was_billed_for_sure_at_a_sure_price(
    where: Where, chargeable: Chargeable, charge: Charge, certain: int
) -> None:
    where.recorded((event(chargeable=chargeable), charge))
    with where.reader() as reader:
        for by in ((), ("meter",), ("model",)):
            assert sum(row.certain_atto for row in reader.answer(Query(by))) == certain


def test_what_fallbacks_cost_is_a_part_of_the_amount_and_no_waste(where: Where) -> None:
    where.recorded(
        (event("a", status=RequestStatus.FAILURE), priced(1)),
        (event("b", model="n", fallback_of="a"), priced(20, 300)),
        (event("c", status=RequestStatus.RETRY), priced(4000)),
    )
    with where.reader() as reader:
        for by in ((), ("meter",), ("model",)):
            rows = reader.answer(Query(by))
            assert sum(row.fallback_atto for row in rows) == 320
            assert sum(row.waste["retry"] for row in rows) == 4000
            assert sum(row.waste["failed_call"] for row in rows) == 1
        (row,) = reader.answer(Query())
    assert (row.fallbacks, row.wasted_atto, row.atto) == (1, 4001, 4321)


def test_tokens_of_each_kind_are_told_apart_and_are_all_tokens(where: Where) -> None:
    meters = [meter for meter in METERS.values() if meter.direction is not None]
    assert {meter.group for meter in meters} == set(TOKEN_KINDS)
    usage = {meter.id: 10**n for n, meter in enumerate(meters)}
    lines = [ChargeLine(meter, n, "1", 1, 0, "r") for meter, n in usage.items()]
    where.recorded((event(usage=usage), Charge.of_lines(ChargeStatus.PRICED, "USD", 0, lines)))
    with where.reader() as reader:
        (row,) = reader.answer(Query())
    for kind in TOKEN_KINDS:
        assert row.tokens[kind] == sum(usage[meter.id] for meter in meters if meter.group == kind)
    assert row.all_tokens == sum(usage.values()) == row.input_tokens + row.output_tokens


@pytest.mark.parametrize("parts", [[0.1, 0.2], [1, 0.5, 0.5], [-0.25, 1], [10**30, 0.001], []])
def test_parts_of_a_token_add_up_exactly(parts: list[float]) -> None:
    exact = [Decimal(str(one)) if isinstance(one, float) else one for one in parts]
    found = added(exact)
    assert Fraction(found) == sum(map(Fraction, exact))
    assert isinstance(found, int) is (Fraction(found).denominator == 1)
