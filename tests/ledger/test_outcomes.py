"""Outcomes are read from every store as they were recorded, and add up by whom they were for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from aicost import LedgerError
from aicost.ledger.outcomes import outcome_sums
from aicost.ledger.query import Filter

from .charges import ns
from .stores import Where

TOLD = [  # name, units, run, tenant, day, worth
    ("ticket", 3, "run-a", "t", "2026-11-01", ("74.70", "USD")),
    ("ticket", 1, None, "u", "2026-11-03", None),
    ("ticket", 2, "run-b", "t", "2026-11-03", ("0.000000000000000001", "USD")),
    ("page", 5, "run-b", None, "2026-12-01", ("2.5", "points")),
]


@pytest.fixture
def told(where: Where) -> Where:
    ledger = where.ledger()
    ledger.start_run("run-a", workflow="w", started_ns=0)
    for name, units, run, tenant, day, worth in TOLD:
        value, unit = worth or (None, None)
        owners = {} if tenant is None else {"tenant_id": tenant, "label:k": "v"}
        ledger.record_outcome(name, count=units, run_id=run, attribution=owners, at_ns=ns(day), value=value, unit=unit)
    ledger.close()
    return where


def test_they_add_up_by_whom_they_were_for(told: Where) -> None:
    with told.reader() as reader:
        rows = reader.outcomes()
        november = Filter(since_ns=ns("2026-11-01"), until_ns=ns("2026-12-01"))
        within = reader.outcomes(november)
    assert sorted((row.name, row.units, row.run_id, row.workflow) for row in rows if row.run_id) == [
        ("page", 5, "run-b", None),
        ("ticket", 2, "run-b", None),
        ("ticket", 3, "run-a", "w"),
    ]
    whole = {one.name: (one.count, one.worth, one.valued) for one in outcome_sums(rows)}
    assert whole == {
        "ticket": (6, {"USD": Decimal("74.700000000000000001")}, {"USD": 5}),
        "page": (5, {"points": Decimal("2.5")}, {"points": 5}),
    }
    for by, found in {
        "tenant": {"t": 5, "u": 1},
        "label:k": {"v": 6},
        "workflow": {"w": 3, None: 3},
        "run": {"run-a": 3, "run-b": 2, None: 1},
    }.items():
        sums = outcome_sums(within, (by,), november)
        assert {one.keys[0]: one.count for one in sums} == found
    by_day = outcome_sums(within, (), november, "day")
    assert [(one.start.day, one.count) for one in by_day if one.start is not None] == [(1, 3), (3, 3)]


@pytest.mark.parametrize(
    ("where_", "count"),
    [
        (Filter(tenant_id="t"), 5),
        (Filter(tenant_id="t", workflow="w"), 3),
        (Filter(run_id="run-b"), 2),
        (Filter(since_ns=ns("2026-11-03"), until_ns=ns("2026-11-03") + 1), 3),
        (Filter(until_ns=ns("2026-11-03")), 3),
        (Filter(tenant_id="nobody"), 0),
    ],
    ids=["tenant", "tenant and workflow", "run", "since", "until", "nobody"],
)
def test_they_are_narrowed_as_entries_are(told: Where, where_: Filter, count: int) -> None:
    with told.reader() as reader:
        found = outcome_sums(reader.outcomes(where_), (), where_)
    assert sum(one.count for one in found if one.name == "ticket") == count


def test_what_no_outcome_says_of_itself_is_refused() -> None:
    for ask in (lambda: outcome_sums([], ("model",)), lambda: outcome_sums([], (), Filter(step="s"))):
        with pytest.raises(LedgerError, match="it has owners, labels, a run and a workflow"):
            ask()
