"""Any ledger as FOCUS is valid, exact to the last digit, and of the report's totals."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicost._money import ATTO
from aicost.demo.runner import run_emulated
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.reports.focus import focus_columns
from aicost.reports.focus_charges import Every
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.event import STORAGE_API, Chargeable, Origin, UsageEvent
from tests.ledger.charges import event, multiplied, ns, recorded

from .exported import assert_sound, charge, line, rounded, rows_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.sqlite"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ledger = tmp_path_factory.mktemp("focus") / "demo.sqlite"
    run_emulated(ledger, lambda _: None)
    return ledger


@pytest.mark.clients
@pytest.mark.parametrize("every", [None, "hour", "day", "month"])
def test_the_demo_is_valid_and_of_the_report_s_total(demo: Path, every: Every | None) -> None:
    rows = rows_of(demo, every=every)
    assert len(rows) > 10
    assert_sound(demo, rows)
    assert {row["x_TenantId"] for row in rows} == {"acme", "globex", "initech"}
    assert {"Input Tokens", "Output Tokens", "Input Cache Read Tokens"} <= {row["SkuMeter"] for row in rows}


# What a rate can be, exact or not: prices of many digits, of a third, per anything.
PRICES = st.one_of(
    st.decimals(0, 10**4, places=2).map(str),
    st.decimals(0, 10, places=12).map(lambda price: format(price, "f")),
    st.sampled_from(["1/3", "0.1234567890123456789", "0", "2/7"]),
)
QUANTITIES = st.one_of(
    st.integers(0, 10**7), st.decimals(0, 10**4, places=3), st.sampled_from([Decimal("1e-19"), 10**21])
)
TEXTS = st.one_of(st.sampled_from(["acme", "=1+1", "a\nb", '"', "日本", "\U0001f600", " ", ""]), st.text(max_size=20))
OWNERS = st.dictionaries(
    st.sampled_from([*(one.key for one in DIMENSIONS), f"{LABEL}cohort", f"{LABEL}=x"]), TEXTS, max_size=4
)


@st.composite
def charges(draw: st.DrawFn) -> tuple[UsageEvent, Charge]:
    usage: dict[str, Any] = {}
    lines = []
    meters = [
        "input",
        "output",
        "input_cache_read",
        "other_model/input",
        "pages",
        "nobody_knows",
        "input_audio_seconds",
    ]
    for meter in draw(st.lists(st.sampled_from(meters), unique=True, max_size=3)):
        quantity, per = draw(QUANTITIES), draw(st.sampled_from([1, 7, 60, 1_000, 1_000_000]))
        price = draw(st.one_of(st.none(), PRICES))
        usage[meter] = quantity
        atto = None if price is None else rounded(quantity, price, per)
        if atto and quantity and price is not None and draw(st.booleans()):
            atto += draw(st.integers(0, 2))  # whoever priced it rounded otherwise
        lines.append(
            ChargeLine(meter, quantity, price, per if price is not None else 1, atto, price and f"p/m/{meter}@always")
        )
    known = [line.atto for line in lines if line.atto is not None]
    currency = draw(st.sampled_from(["USD", "USD", "EUR"]))
    kind = draw(st.sampled_from(["priced"] * 4 + ["reported", "told", "unseen"]))
    at_most: int | None = None
    if kind == "unseen":
        status, atto, lines, usage_told = ChargeStatus.UNPRICED, None, [], None
        at_most = draw(st.one_of(st.none(), st.integers(0, ATTO)))
    elif kind == "reported":
        status, atto, usage_told = ChargeStatus.PROVIDER_REPORTED, draw(st.integers(0, 10**20)), usage
    elif kind == "told":  # by a process whose card nobody has: an amount, and no prices
        status, atto, usage_told = ChargeStatus.PRICED, draw(st.integers(0, 10**20)), usage
        lines = [line._replace(unit_price=None, per=1, atto=None, rate_id=None) for line in lines]
    elif len(known) == len(lines):
        status, atto, usage_told = ChargeStatus.PRICED, sum(known), usage
    else:
        atto = sum(known) if known else None
        status = ChargeStatus.PARTIAL if known else ChargeStatus.UNPRICED
        usage_told = usage
    made = Charge.of_lines(status, currency, atto, lines, rate_card="t@1", at_most_atto=at_most)
    started = draw(
        st.sampled_from([ns("2026-10-31T23:59:59.999999"), ns("2026-11-01"), ns("2026-11-25T12"), -1, 2**62])
    )
    seen = UsageEvent(
        draw(st.uuids()).hex,
        draw(st.sampled_from(["openai", "p", " ", "=cmd"])),
        "chat",
        draw(TEXTS),
        usage_told,
        started,
        started + draw(st.sampled_from([0, 1, 10**9, 10**12])),
        api=draw(st.sampled_from([None, "chat", STORAGE_API])),
        chargeable=Chargeable.POSSIBLY if kind == "unseen" else Chargeable.YES,
        workflow=draw(st.one_of(st.none(), TEXTS)),
        region=draw(st.sampled_from([None, "eu-west-1"])),
        attribution=draw(OWNERS),
        origin=Origin(host="api.openai.com", organization=draw(st.sampled_from([None, "org-1", ""]))),
    )
    return seen, made


@settings(deadline=None, max_examples=60)
@given(st.lists(charges(), max_size=8), st.sampled_from([None, "hour", "day", "month"]))
def test_any_ledger_is_valid_and_of_the_report_s_total(
    told: list[tuple[UsageEvent, Charge]], every: Every | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = recorded(Path(folder) / "l.sqlite", *told)
        rows = rows_of(ledger, every=every)
        assert_sound(ledger, rows)
        assert all(set(row) == {column.name for column in focus_columns("1.4", every)} for row in rows)
        if every is None:
            known = {seen.event_id for seen, charge in told if charge.atto is not None}
            assert {row["x_EntryId"] for row in rows} <= known, "what is not known has no row, and is no zero"


@pytest.mark.timeout(300)
def test_a_hundred_thousand_rows_are_valid_and_of_the_report_s_total(path: Path) -> None:
    owners = ({"tenant_id": f"t-{n}", "team": "search", f"{LABEL}cohort": "beta"} for n in range(5))
    lines = line("input", 620, "0.4", 10**6), line("input_cache_read", 7, "0.04", 10**6), line("output", 24, "1/3", 1)
    told = [(event(str(n), started_ns=ns("2026-11-01"), attribution=of), charge(*lines)) for n, of in enumerate(owners)]
    recorded(path, *told)
    multiplied(path, 6_700)
    rows = rows_of(path)
    assert len(rows) == 5 * 3 * 6_700
    assert_sound(path, rows)
    added = rows_of(path, every="day")
    assert len(added) == 5 * 3
    assert_sound(path, added)
