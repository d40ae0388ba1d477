"""Random ledgers: charges of every kind, with and without each thing that can be known of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from aicost.ledger import Ledger
from aicost.ledger.query import BREAKDOWNS
from aicost.ledger.sums import ADDITIVE, Sums
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.usage.event import Chargeable, RequestStatus

from .charges import FREE, UNSEEN, event, ns, priced, unpriced

Told = tuple[str, str, int, dict[str, Any]]


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
            "run_id": st.sampled_from((None, "run-000001", "run-000002", "run-000003")),
            "took_ns": st.integers(0, 9),
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
            "fallback_of": st.just("e-0"),
            "service_tier": st.just("flex"),
        },
    ),
)
GROUPINGS = st.lists(st.sampled_from((*BREAKDOWNS, 'label:"', "label:none")), min_size=1, max_size=4, unique=True)


def additive(row: Sums) -> dict[str, Any]:
    """Everything in a row that adds up."""
    return {
        **{name: getattr(row, name) for name in ADDITIVE},
        **{f"wasted_atto {cause}": atto for cause, atto in row.waste.items()},
        **{f"tokens {kind}": tokens for kind, tokens in row.tokens.items()},
    }


def told_to(path: Path, told: list[Told]) -> Path:
    """A file that was told of all this."""
    tell(Ledger.open(path), told)
    return path


def tell(ledger: Ledger, told: list[Told]) -> None:
    """Tell a ledger of all this, of a run with a failed step, of one that failed and one that did not; and close it."""
    ledger.start_run("run-000001", workflow="w", started_ns=0)
    ledger.start_step("s-1", run_id="run-000001", name="bad", kind="step", started_ns=0)
    ledger.end_step("s-1", status="failed", ended_ns=1)
    ledger.start_run("run-000002", workflow="v", started_ns=0)
    ledger.end_run("run-000002", status="failed", ended_ns=1)
    ledger.start_run("run-000003", workflow="w", started_ns=0)
    ledger.end_run("run-000003", status="ok", ended_ns=1)
    for n, (name, status, amount, known) in enumerate(told):
        chargeable = {"free": Chargeable.NO, "unseen": Chargeable.POSSIBLY, "at most": Chargeable.POSSIBLY}
        usage = None if status in chargeable else {"input": 10, "output": n}
        ended = known["started_ns"] + known.get("took_ns", 0)
        more = {"chargeable": chargeable.get(status, Chargeable.YES), "usage": usage, "ended_ns": ended}
        said = {key: value for key, value in known.items() if key != "took_ns"}
        ledger.record([(event(name, **{**said, **more}), some_charge(status, amount))])
    ledger.close()
