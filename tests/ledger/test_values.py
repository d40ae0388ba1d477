"""What is no sum (runs, latency, cost of one) is as a plain reference has it, whatever was asked and corrected."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st

from aicost import LedgerError
from aicost.ledger.quantiles import quantiles
from aicost.ledger.query import BREAKDOWNS, BUCKETS, MEASURES, REQUEST, Bucket, Query, start_of
from aicost.ledger.records import ChargeRecord
from aicost.semconv.dimensions import DIMENSIONS
from aicost.usage.event import RequestStatus

from .charges import event, priced
from .stores import Where
from .stories import ENTRIES, Told, tell

KEYS = {one.name: one.key for one in DIMENSIONS}
NAMES = [name for name in BREAKDOWNS if name != "meter"]
PLAIN = {"tier": "service_tier", "run": "run_id"}
ORIGIN = {"host": "host", "account": "organization", "provider_project": "project", "credential": "credential"}
FIXED = {"source": "aicost", "category": "usage"}
GROUPINGS = st.lists(st.sampled_from([*NAMES, 'label:"']), max_size=3, unique=True)


def value_of(one: ChargeRecord, name: str) -> str | None:
    if name in FIXED:
        return FIXED[name]
    if name in KEYS or name.startswith("label:"):
        return one.attribution.get(KEYS.get(name, name))
    if name in ORIGIN:
        return None if one.origin is None else getattr(one.origin, ORIGIN[name])
    found: str | None = getattr(one, PLAIN.get(name, name))
    return found


def reference(charges: Sequence[ChargeRecord], by: Sequence[str], bucket: Bucket | None, unit: str) -> dict[Any, Any]:
    """All three measures of each row, in the plainest way."""
    rows: dict[Any, list[ChargeRecord]] = defaultdict(list)
    for one in charges:
        start = None if bucket is None else start_of(bucket, one.started_ns // (3600 * 10**9))
        rows[tuple(value_of(one, name) for name in by), start, one.currency].append(one)
    found = {}
    for key, mine in rows.items():
        runs = {one.run_id for one in mine if one.run_id is not None}
        costs: list[int | None]
        if unit == REQUEST:
            costs = [one.atto for one in mine if one.status != "retry"]
        else:
            units: dict[str, list[ChargeRecord]] = defaultdict(list)
            for one in mine:
                if (name := value_of(one, unit)) is not None:
                    units[name].append(one)
            costs = [cost(some) for some in units.values()]
        found[key] = (
            len(runs),
            len(runs & {"run-000003"}),
            quantiles(Counter([one.ended_ns - one.started_ns for one in mine])),
            len(costs),
            quantiles(Counter([atto for atto in costs if atto is not None])),
        )
    return found


def cost(some: Sequence[ChargeRecord]) -> int | None:
    billed = [one for one in some if one.chargeable != "no"]
    if billed and all(one.atto is None for one in billed):
        return None
    return sum(one.atto or 0 for one in some)


QUESTIONS = st.tuples(
    st.lists(ENTRIES, min_size=1, max_size=12),
    GROUPINGS,
    st.sampled_from((None, *BUCKETS)),
    st.sampled_from([REQUEST, *NAMES, 'label:"']),
)


def test_they_are_as_a_plain_reference_has_them(where: Where) -> None:
    where.law(lambda asked: check_values(where, *asked), QUESTIONS)


def check_values(where: Where, told: list[Told], by: list[str], bucket: Bucket | None, unit: str) -> None:
    tell(where.ledger(), told)
    with where.reader() as reader:
        rows = reader.answer(Query(tuple(by), bucket=bucket, measures=tuple(MEASURES), unit=unit))
        charges = reader.charges()
        plain = reader.answer(Query(tuple(by), bucket=bucket))
    found = {
        (row.keys, row.start, row.currency): (row.runs, row.completed_runs, row.latency_ns, row.units, row.cost_each)
        for row in rows
    }
    assert found == reference(charges, by, bucket, unit)
    assert [(row.keys, row.atto, row.calls) for row in rows] == [(row.keys, row.atto, row.calls) for row in plain]
    assert all(row.runs is row.latency_ns is row.units is None for row in plain), "nobody asked"


def test_a_run_of_several_models_and_steps_is_one(where: Where) -> None:
    made = [
        (event(f"e-{n}", model=model, run_id="r-1", ended_ns=1 + n), priced(10**n)) for n, model in enumerate("mnmn")
    ]
    made.append((event("e-9", run_id=None, status=RequestStatus.RETRY), priced(7)))
    where.recorded(*made)
    with where.reader() as reader:
        (row,) = reader.answer(Query(measures=("runs", "latency", "cost_each"), unit="run"))
        assert (row.runs, row.completed_runs, row.units, row.cost_each) == (1, 0, 1, (1111, 1111))
        assert row.latency_ns == (1, 3)
        (row,) = reader.answer(Query(measures=("cost_each",)))
        assert (row.units, row.cost_each) == (4, (10, 1000)), "what was made again is no request"


def test_a_measure_nobody_knows_is_refused_with_those_there_are() -> None:
    with pytest.raises(LedgerError, match=r"'latencies'; did you mean 'latency'\? choose one of runs, latency"):
        Query(measures=("latencies",))
    with pytest.raises(LedgerError, match=r"\('runs',\)"):
        Query(measures="runs")  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="by meter there is no runs"):
        Query(("meter",), measures=("runs",))
    with pytest.raises(LedgerError, match="a meter is no unit"):
        Query(unit="meter")
    with pytest.raises(LedgerError, match="no dimension is called 'tenat'; did you mean 'tenant'"):
        Query(unit="tenat")
