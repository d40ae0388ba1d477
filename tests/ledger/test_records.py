"""What is written down comes back as it was: from the journal, and from the store."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost._wellformed import wellformed
from aicost.ledger.check import check
from aicost.ledger.columns import pack, unpack
from aicost.ledger.records import ChargeRecord, Charges, charge_fields, charges_record, read_record
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.scopes.ids import derived_id
from aicost.usage.event import Chargeable, Origin, RequestStatus, UsageEvent

from .charges import event, priced
from .stores import Where

TEXT = st.one_of(st.text(max_size=6), st.sampled_from(["é株", "\ud800", "a\0b", '"\\', "0" * 16, "ab" * 16, "AB" * 16]))
MAYBE = st.one_of(st.none(), TEXT)
COUNTS = st.one_of(st.integers(0, 2**70), st.decimals(0, 10**6, places=3), st.integers(2**31 - 2, 2**31 + 1))
OWNERS = st.dictionaries(st.sampled_from(["tenant_id", "team", "user_id", "session_id", "phase", "label:x"]), TEXT)


@st.composite
def events(draw: st.DrawFn) -> UsageEvent:
    usage = draw(st.one_of(st.none(), st.dictionaries(st.sampled_from([f"m{n}" for n in range(12)]), COUNTS)))
    origin = draw(st.one_of(st.just(Origin()), st.builds(Origin, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE)))
    started = draw(st.integers(0, 2**61))
    return UsageEvent(
        draw(st.one_of(TEXT.filter(bool), st.just(derived_id("x")))),
        draw(TEXT),
        draw(TEXT),
        draw(TEXT),
        usage,
        started,
        started + draw(st.integers(0, 2**61)),
        draw(MAYBE),
        draw(MAYBE),
        draw(MAYBE),
        draw(MAYBE),
        status=draw(st.sampled_from(RequestStatus)),
        chargeable=draw(st.sampled_from(Chargeable)),
        error_type=draw(MAYBE),
        attempt=draw(st.integers(1, 9)),
        retry_count=draw(st.integers(0, 9)),
        backoff_ns=draw(st.integers(0, 2**40)),
        complete=draw(st.booleans()),
        estimated=draw(st.booleans()),
        flags=tuple(draw(st.lists(TEXT, max_size=2))),
        trace_id=draw(MAYBE),
        span_id=draw(MAYBE),
        run_id=draw(MAYBE),
        root_run_id=draw(MAYBE),
        workflow=draw(TEXT),
        step=draw(TEXT),
        step_id=draw(MAYBE),
        agent=draw(MAYBE),
        retry_of=draw(MAYBE),
        fallback_of=draw(MAYBE),
        attribution=draw(OWNERS),
        origin=origin,
    )


def charged(event: UsageEvent) -> Charge:
    """A third of a unit of 1e-18 for each of what has an even number, and no rate for the rest."""
    lines = []
    for meter, count in (event.usage or {}).items():
        known = int(meter[1:]) % 2 == 0
        atto = round(Decimal(count) / 3) if known and count else None
        lines.append(ChargeLine(meter, count, "0.1" if atto is not None else None, 3, atto, "r" if known else None))
    known_amounts = [line.atto for line in lines if line.atto is not None]
    status = ChargeStatus.PARTIAL if known_amounts else ChargeStatus.UNPRICED
    atto = sum(known_amounts) if known_amounts else None
    return Charge.of_lines(status, "USD", atto, lines, "no_rate:x", "t@1", None, 7 if atto is None else None)


def test_an_attempt_comes_back_as_it_was(where: Where) -> None:
    def law(event: UsageEvent) -> None:
        charge = charged(event).plausible()
        record = read_record(charges_record([(event, charge)]))
        assert isinstance(record, Charges)
        (told,) = record.charges
        assert told == ChargeRecord(*_sound(charge_fields(event, charge), told))
        where.recorded((event, charge))
        assert list(check(where.location)) == []
        with where.reader() as reader:
            (kept,) = reader.charges()
        assert kept == told

    where.law(law, events())


def _sound(fields: list[object], told: ChargeRecord) -> list[object]:
    """What was given, as every store can hold it."""
    sound = json.loads(json.dumps(fields), object_hook=lambda d: {wellformed(k): wellformed(v) for k, v in d.items()})
    made = [wellformed(one) if isinstance(one, str) else one for one in sound]
    by_name = dict(zip(ChargeRecord._fields, made, strict=True))
    by_name["flags"] = [wellformed(flag) for flag in by_name["flags"]]
    if by_name["origin"] is not None:
        by_name["origin"] = Origin(*(wellformed(one) if isinstance(one, str) else one for one in by_name["origin"]))
    by_name["quantities"] = [Decimal(one) if isinstance(one, str) else one for one in by_name["quantities"]]
    return list(by_name.values())


@given(MAYBE)
def test_an_id_comes_back_as_it_was(identifier: str | None) -> None:
    assert unpack(pack(identifier)) == identifier


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'["charges",1,[]]', [[], [], []]),
        (b'["charges",7,[],[],[],null,[],"of tomorrow"]', [[], [], []]),
        (b'["of tomorrow",1,2]', None),
    ],
)
def test_records_of_other_versions_are_read_as_far_as_they_are_known(data: bytes, said: object) -> None:
    read = read_record(data)
    assert (None if read is None else [*map(list, (read.charges, read.sightings, read.rates))]) == said


def test_a_record_of_an_older_version_lacks_what_came_since() -> None:
    fields = json.loads(charges_record([(event(), priced(20))]))[2][0]
    older = json.dumps(["charges", 1, [fields[: ChargeRecord._fields.index("at_most_atto")]]]).encode()
    newer = json.dumps(["charges", 9, [[*fields, "of tomorrow"]]]).encode()
    assert read_record(older) == read_record(newer)
