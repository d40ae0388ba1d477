"""By every dimension one can group and narrow, whatever its values are, and every grouping has the same total."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicost import LedgerError
from aicost.ledger import Ledger
from aicost.ledger.query import BREAKDOWNS, BUCKETS, COLUMNS, SUBJECTS, Bucket, Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.sums import Sums, first_keys, with_other
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.event import Origin, UsageEvent

from .charges import EPOCH, event, priced, recorded
from .stories import ENTRIES, GROUPINGS, Told, additive, told_to


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


def totals(rows: Sequence[Sums], *, by_meter: bool = False) -> dict[str, dict[str, object]]:
    """What rows come to, by currency. At most: nobody can say of the whole what they cannot of a part.

    By meter a call counts with each, and which may come to more, nobody knows.
    """
    found: dict[str, dict[str, object]] = {}
    for currency in sorted({row.currency for row in rows}):
        mine = [row for row in rows if row.currency == currency]
        sums = [additive(row) for row in mine]
        names = [name for name in sums[0] if not by_meter or ("atto" in name and name != "more_atto")]
        found[currency] = {name: sum(one[name] for one in sums) for name in names}
        if not by_meter:
            most = [row.at_most_atto for row in mine]
            found[currency]["at_most"] = None if None in most else sum(one for one in most if one is not None)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ENTRIES, min_size=1, max_size=12),
    st.lists(st.tuples(GROUPINGS, st.sampled_from((None, *BUCKETS))), max_size=6),
)
def test_every_grouping_has_the_same_total(told: list[Told], asked: list[tuple[list[str], Bucket | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder, LedgerReader(told_to(Path(folder) / "l.sqlite", told)) as reader:
        whole = reader.answer(Query())
        assert len({row.currency for row in whole}) == len(whole)
        for by, bucket in asked:
            rows = reader.answer(Query(tuple(by), bucket=bucket))
            by_meter = "meter" in by
            assert totals(rows, by_meter=by_meter) == totals(whole, by_meter=by_meter), (by, bucket)
            assert len({(row.keys, row.start, row.currency) for row in rows}) == len(rows)


@settings(max_examples=40, deadline=None)
@given(st.lists(ENTRIES, max_size=12), GROUPINGS, st.sampled_from((None, *BUCKETS)), st.integers(0, 4))
def test_the_others_close_the_sums(told: list[Told], by: list[str], bucket: Bucket | None, n: int) -> None:
    with tempfile.TemporaryDirectory() as folder, LedgerReader(told_to(Path(folder) / "l.sqlite", told)) as reader:
        rows = reader.answer(Query(tuple(by), bucket=bucket))
    kept = first_keys(rows, n)
    shorter = with_other(rows, kept)
    assert totals(shorter) == totals(rows)
    assert sum(row.others or 1 for row in shorter) == len(rows)
    for currency in kept:
        keys = {row.keys for row in shorter if row.currency == currency and not row.others}
        assert len(keys) <= n
        there = {row.keys: 0 for row in rows if row.currency == currency}
        for row in rows:
            if row.currency == currency:
                there[row.keys] += row.atto
        assert all(there[one] >= there[other] for one in keys for other in there.keys() - keys), "the dearest stay"


@settings(max_examples=40, deadline=None)
@given(st.lists(ENTRIES, max_size=12), st.sampled_from([*COLUMNS, *SUBJECTS, 'label:"']), GROUPINGS)
def test_selections_by_a_value_are_the_rows_of_it(told: list[Told], name: str, by: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, LedgerReader(told_to(Path(folder) / "l.sqlite", told)) as reader:
        for row in reader.answer(Query((name,))):
            if row.key is not None:
                mine = reader.answer(Query(tuple(by), Filter(**{name: row.key})))
                whole = [one for one in mine if one.currency == row.currency]
                by_meter = "meter" in by
                assert totals(whole, by_meter=by_meter) == totals([row], by_meter=by_meter)
