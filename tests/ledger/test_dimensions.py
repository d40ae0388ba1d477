"""By every dimension one can group and narrow, whatever its values are, and every grouping has the same total."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicost import LedgerError
from aicost.ledger import Ledger
from aicost.ledger.query import BREAKDOWNS, BUCKETS, Bucket, Filter, Query, Sums
from aicost.ledger.reader import LedgerReader
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.event import Chargeable, Origin, RequestStatus, UsageEvent

from .charges import EPOCH, FREE, UNSEEN, event, ns, priced, recorded, unpriced


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


ODD = ["a.b", 'a"b', "a'b", "a\\b", "$", "[0]", "#-1", "日本", "\U0001f600", " ", "a\nb", "a\\u00e9", "%", "NULL"]
"""Texts that a path of JSON, a pattern or a statement of SQL would take for something else."""

ORIGIN = {"host": "host", "account": "organization", "provider_project": "project", "credential": "credential"}
GIVEN = {
    **{name: name for name in ("workflow", "step", "agent", "model", "provider", "operation", "region")},
    "tier": "service_tier",
}


def with_dimension(name: str, value: str) -> UsageEvent:
    """An event that has this value in a dimension."""
    if name in ORIGIN:
        return event("one", origin=Origin(**{ORIGIN[name]: value}))
    return event("one", **({GIVEN[name]: value} if name in GIVEN else {"attribution": {KEYS.get(name, name): value}}))


KEYS = {one.name: one.key for one in DIMENSIONS}
FIXED = {"source": "aicost", "category": "usage", "rate_card": "t@1", "status": "success"}
"""What `event` and `priced` say of themselves, and no test chooses."""


@pytest.mark.parametrize("value", ["v", *ODD])
@pytest.mark.parametrize(
    "name",
    [*(name for name in BREAKDOWNS if name not in {"meter", "run", *FIXED}), *(LABEL + key for key in ("k", *ODD))],
)
def test_every_dimension_groups_and_filters_by_whatever_value(tmp_path: Path, name: str, value: str) -> None:
    other = event("other", attribution={"label:z": value})
    path = recorded(tmp_path / "l.sqlite", (with_dimension(name, value), priced(7)), (other, priced(1)))
    with LedgerReader(path) as reader:
        assert {row.key: row.atto for row in reader.answer(Query((name,)))}[value] == 7
        for key in {name, KEYS.get(name, name)}:
            assert [row.atto for row in reader.answer(Query(where=Filter(**{key: value})))] == [7]
        assert reader.answer(Query(where=Filter(**{name: value + "x"}))) == []


@pytest.mark.parametrize("name", FIXED)
def test_what_an_entry_says_of_itself_groups_and_filters_too(path: Path, name: str) -> None:
    recorded(path, (event(), priced(7)))
    with LedgerReader(path) as reader:
        assert [row.key for row in reader.answer(Query((name,)))] == [FIXED[name]]
        assert [row.atto for row in reader.answer(Query(where=Filter(**{name: FIXED[name]})))] == [7]


def test_every_dimension_is_in_one_of_these_tests() -> None:
    assert {*BREAKDOWNS} == {*KEYS, *GIVEN, *ORIGIN, *FIXED, "meter", "run"}


def test_a_run_or_step_that_was_named_later_is_filtered_by_its_name_as_it_is_grouped(path: Path) -> None:
    recorded(path, (event(step_id="s-1"), priced(7)), (event("e-2", run_id=None), priced(1)))
    ledger = Ledger.open(path)
    ledger.start_run("run-000001", workflow="late", started_ns=0)
    ledger.start_step("s-1", run_id="run-000001", name="late", kind="step", started_ns=0)
    ledger.close()
    with LedgerReader(path) as reader:
        for name in ("workflow", "step"):
            assert {row.key: row.atto for row in reader.answer(Query((name,)))} == {"late": 7, None: 1}
            assert [row.atto for row in reader.answer(Query(where=Filter(**{name: "late"})))] == [7]
            assert reader.sightings(Filter(**{name: "late"})) == []


def test_several_dimensions_are_grouped_by_at_once(path: Path) -> None:
    made = [
        (event(f"{n}", model=model, attribution={"tenant_id": tenant, "label:k": "v"}), priced(n, 10 * n))
        for n, (model, tenant) in enumerate([("m", "a"), ("m", "b"), ("n", "a"), ("m", "a")], 1)
    ]
    recorded(path, *made)
    with LedgerReader(path) as reader:
        rows = reader.answer(Query(("tenant", "meter", "label:k", "model"), bucket="month"))
    assert {row.keys: row.atto for row in rows} == {
        (tenant, meter, "v", model): n * times
        for (tenant, model), n in {("a", "m"): 5, ("b", "m"): 2, ("a", "n"): 3}.items()
        for meter, times in {"input": 1, "output": 10}.items()
    }
    assert {row.start for row in rows} == {EPOCH}


def test_what_is_metered_is_in_no_other_book(path: Path) -> None:
    recorded(path, (event(), priced(7)))
    with LedgerReader(path) as reader:
        found = {
            book: [row.atto for row in reader.answer(Query(book=book))] for book in ("metered", "invoiced", "allocated")
        }
    assert found == {"metered": [7], "invoiced": [], "allocated": []}


@pytest.mark.parametrize("name", ["tennant", "label:", "", "e.id; DROP TABLE entries", "currency", "Model"])
def test_a_dimension_nobody_knows_is_refused_with_those_there_are(name: str) -> None:
    for ask in (lambda: Query((name,)), lambda: Query(("model", name)), lambda: Filter(**{name: "v"})):
        with pytest.raises(LedgerError) as refused:
            ask()
        assert repr(name) in str(refused.value)
        assert all(known in str(refused.value) for known in (*BREAKDOWNS, "label:KEY"))


def test_a_stretch_of_time_or_book_nobody_knows_is_refused_with_those_there_are() -> None:
    with pytest.raises(LedgerError, match="'year'; choose one of hour, day, week, month"):
        Query(bucket="year")  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="'billed'; choose one of metered, invoiced, allocated"):
        Query(book="billed")  # type: ignore[arg-type]
    for name, way_out in (("meter", "group by it"), ("run", "`run_id`")):
        with pytest.raises(LedgerError, match=way_out):
            Filter(**{name: "v"})
    with pytest.raises(LedgerError, match=r"\('tenant',\)"):
        Query("tenant")  # type: ignore[arg-type]


def some_charge(status: str, amount: int) -> Charge:
    """A charge of that status: with lines, with a most, with a currency of its own."""
    lines = (ChargeLine("input", 10, "1", 1, amount, "r"), ChargeLine("pages", 3, None, 1, None, None))
    return {
        "priced": lambda: priced(amount, 2 * amount),
        "free": lambda: FREE,
        "unpriced": unpriced,
        "unseen": lambda: UNSEEN,
        "at most": lambda: UNSEEN._replace(at_most_atto=amount),
        "partial": lambda: Charge.of_lines(ChargeStatus.PARTIAL, "USD", amount, lines, "no_rate:pages", "t@1"),
        "reported": lambda: priced(amount, status=ChargeStatus.PROVIDER_REPORTED, atto=3 * amount),
        "euro": lambda: priced(amount, currency="EUR"),
    }[status]()


SOME_TIMES = [
    -1,
    0,
    ns("2026-11-30T23:59:59"),
    ns("2026-12-01"),
    ns("2026-12-06T23:59:59"),
    ns("2026-12-07"),
    2**63 - 1,
]
ENTRIES = st.tuples(
    st.sampled_from(("e-1", "e-2", "e-3", "e-4", "e-5")),
    st.sampled_from(("priced", "free", "unpriced", "unseen", "at most", "partial", "reported", "euro")),
    st.sampled_from((0, 1, 7, 10**18, 10**27)),
    st.fixed_dictionaries(
        {"started_ns": st.sampled_from(SOME_TIMES), "model": st.sampled_from("mn")},
        optional={
            "run_id": st.sampled_from((None, "run-000001", "run-000002")),
            "step_id": st.sampled_from(("s-1", "s-2")),
            "status": st.sampled_from((RequestStatus.SUCCESS, RequestStatus.RETRY, RequestStatus.FAILURE)),
            "attribution": st.fixed_dictionaries(
                {},
                optional={
                    "tenant_id": st.sampled_from("ab"),
                    "user_id": st.sampled_from("uv"),
                    'label:"': st.just("x"),
                },
            ),
            "retry_of": st.just("e-0"),
            "service_tier": st.just("flex"),
        },
    ),
)
GROUPINGS = st.lists(st.sampled_from((*BREAKDOWNS, 'label:"', "label:none")), min_size=1, max_size=4, unique=True)
COUNTED = [one.name for one in fields(Sums) if one.type == "int"]


def totals(rows: Sequence[Sums], names: Sequence[str]) -> dict[str, dict[str, object]]:
    """What rows come to, by currency. At most: nobody can say of the whole what they cannot of a part."""
    found: dict[str, dict[str, object]] = {}
    for currency in sorted({row.currency for row in rows}):
        mine = [row for row in rows if row.currency == currency]
        most = [row.at_most_atto for row in mine]
        found[currency] = {name: sum(getattr(row, name) for row in mine) for name in names}
        if "calls" in names:
            found[currency]["at_most"] = None if None in most else sum(one for one in most if one is not None)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ENTRIES, min_size=1, max_size=12),
    st.lists(st.tuples(GROUPINGS, st.sampled_from((None, *BUCKETS))), max_size=6),
)
def test_every_grouping_has_the_same_total(
    told: list[tuple[str, str, int, dict[str, object]]], asked: list[tuple[list[str], Bucket | None]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "l.sqlite")
        ledger.start_run("run-000001", workflow="w", started_ns=0)
        ledger.start_step("s-1", run_id="run-000001", name="bad", kind="step", started_ns=0)
        ledger.end_step("s-1", status="failed", ended_ns=1)
        for n, (name, status, amount, known) in enumerate(told):
            chargeable = {"free": Chargeable.NO, "unseen": Chargeable.POSSIBLY, "at most": Chargeable.POSSIBLY}
            usage = None if status in chargeable else {"input": 10, "output": n}
            more = {
                "chargeable": chargeable.get(status, Chargeable.YES),
                "usage": usage,
                "ended_ns": known["started_ns"],
            }
            ledger.record([(event(name, **{**known, **more}), some_charge(status, amount))])
        ledger.close()
        with LedgerReader(ledger.where) as reader:
            whole = reader.answer(Query())
            assert len({row.currency for row in whole}) == len(whole)
            for by, bucket in asked:
                names = ["atto", "wasted_atto"] if "meter" in by else COUNTED
                rows = reader.answer(Query(tuple(by), bucket=bucket))
                assert totals(rows, names) == totals(whole, names), (by, bucket)
                assert len({(row.keys, row.start, row.currency) for row in rows}) == len(rows)
