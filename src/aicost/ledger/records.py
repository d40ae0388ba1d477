"""What is written to the journal: one JSON array a record, its kind and version first.

A record is made on the call, so making it is cheap: it holds what is known as it is, and whoever ingests it finds out
what it means. Fields are only ever added, at the end: a record of an older version lacks them, and of a newer one they
are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from aicost._owner_rules import MAPPED, OwnerTable
from aicost._wellformed import wellformed
from aicost.pricing.charge import Charge, ChargeLine, Layout
from aicost.pricing.sighting import Sighting
from aicost.usage.event import Origin, UsageEvent
from aicost.usage.meters import Quantity

from .columns import LONGEST_TEXT, MOST, fitting
from .told import Told, ToldOutcome, ToldRun, ToldStep

RECORD_VERSION = 1

# Text that is no valid Unicode is escaped, and so is everything that is not ASCII.
_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


class ChargeRecord(NamedTuple):
    """An attempt and its charge, as one observer tells of them. Ids are text; times nanoseconds, amounts 1e-18."""

    event_id: str
    started_ns: int
    ended_ns: int
    provider: str
    model: str
    request_model: str | None
    operation: str
    api: str | None
    service_tier: str | None
    region: str | None
    speed: str | None
    status: str
    chargeable: str
    error_type: str | None
    complete: bool
    estimated: bool
    flags: Sequence[str]
    is_counted: bool
    """Whether any usage was told, be it none at all."""
    attempt: int
    retry_count: int
    backoff_ns: int
    retry_of: str | None
    fallback_of: str | None
    run_id: str | None
    root_run_id: str | None
    workflow: str | None
    step: str | None
    step_id: str | None
    agent: str | None
    trace_id: str | None
    span_id: str | None
    response_id: str | None
    attribution: Mapping[str, str]
    origin: Origin | None
    """None where nothing is known of it."""
    charge_status: str
    reason: str | None
    currency: str
    atto: int | None
    computed_atto: int | None
    rate_card: str | None
    layout: str
    """The key of its layout: which meters, at which rates."""
    quantities: Sequence[Quantity]
    """How much of each line of the layout."""
    at_most_atto: int | None = None
    evidence: str | None = None
    """Why the owners are who they are, where the work itself does not say: `mapped` by the user's table of owners."""

    @property
    def lines(self) -> tuple[ChargeLine, ...]:
        """One line per meter, or several where a threshold splits it."""
        layout = layout_of(self.layout)
        amounts = layout.amounts(self.quantities)
        return tuple(
            map(ChargeLine, layout.meters, self.quantities, layout.unit_prices, layout.per, amounts, layout.rate_ids)
        )

    @property
    def usage(self) -> dict[str, Quantity]:
        """What is counted by meter. A meter has several lines where a threshold splits it."""
        usage: dict[str, Quantity] = {}
        for meter, quantity in zip(layout_of(self.layout).meters, self.quantities, strict=True):
            usage[meter] = usage.get(meter, 0) + quantity
        return usage


def charge_fields(event: UsageEvent, charge: Charge, table: OwnerTable | None = None) -> list[Any]:
    """The fields of a `ChargeRecord`, as JSON can hold them. Whose it is that does not say so, the table may."""
    attribution, evidence = event.attribution, None
    if table is not None:
        origin = event.origin
        billed_to = {
            "credential": origin.credential,
            "provider_project": origin.project,
            "provider_organization": origin.organization,
        }
        if mapped := table.mapped({**billed_to, **attribution}, event.started_ns).owners:
            attribution, evidence = {**attribution, **mapped}, MAPPED
    return [
        event.event_id,
        event.started_ns,
        event.ended_ns,
        event.provider,
        event.model,
        event.request_model,
        event.operation,
        event.api,
        event.service_tier,
        event.region,
        event.speed,
        event.status.value,
        event.chargeable.value,
        event.error_type,
        event.complete,
        event.estimated,
        event.flags,
        event.usage is not None,
        event.attempt,
        event.retry_count,
        event.backoff_ns,
        event.retry_of,
        event.fallback_of,
        event.run_id,
        event.root_run_id,
        event.workflow,
        event.step,
        event.step_id,
        event.agent,
        event.trace_id,
        event.span_id,
        event.response_id,
        attribution,
        event.origin if any(event.origin) else None,
        charge.status.value,
        charge.reason,
        charge.currency,
        charge.atto,
        charge.computed_atto,
        charge.rate_card,
        _key(charge.layout),
        charge.quantities if _are_whole(charge.quantities) else [_plain(one) for one in charge.quantities],
        charge.at_most_atto,
        evidence,
    ]


def _are_whole(quantities: Sequence[Quantity]) -> bool:
    return all([type(one) is int for one in quantities])  # noqa: C419 - a generator takes twice as long


def _plain(quantity: Quantity) -> int | str:
    return quantity if type(quantity) is int else str(quantity)


_MAX_LAYOUTS = 2_000
_keys: dict[int, tuple[Layout, str]] = {}
_layouts: dict[str, Layout] = {}


def _key(layout: Layout) -> str:
    """The key of a layout, made once: a kernel makes few of them and gives them out again and again."""
    found = _keys.get(id(layout))
    if found is not None and found[0] is layout:
        return found[1]
    if len(_keys) >= _MAX_LAYOUTS:
        _keys.clear()
    key = layout.key()
    _keys[id(layout)] = layout, key
    return key


def layout_of(key: str) -> Layout:
    """The layout that has this key. Raises `ValueError` for what is none."""
    found = _layouts.get(key)
    if found is None:
        if len(_layouts) >= _MAX_LAYOUTS:
            _layouts.clear()
        found = _layouts[key] = Layout.parse(key)
    return found


class Charges(NamedTuple):
    """The charges of one call, and what else its door told in one breath."""

    charges: Sequence[ChargeRecord]
    sightings: Sequence[SightingRecord] = ()
    replaces: Sequence[str] = ()
    told: Told | None = None
    rates: Sequence[tuple[str, str, str]] = ()
    """Rates that were applied for the first time: card, rate id, and what is known of it as JSON."""


class SightingRecord(NamedTuple):
    """A view that is no money."""

    kind: str
    reason: str
    by: str | None
    observer: str
    charge: ChargeRecord


class Began(NamedTuple):
    """A run or a step that began: the columns of its table, in their order."""

    table: Literal["runs", "steps"]
    values: Sequence[Any]


class Ended(NamedTuple):
    """How a run or a step ended."""

    table: Literal["runs", "steps"]
    id: str
    status: str
    ended_ns: int


JournalRecord = Charges | Began | Ended | ToldOutcome


def charges_record(
    entries: Sequence[tuple[UsageEvent, Charge]],
    sightings: Sequence[Sighting] = (),
    replaces: Sequence[str] = (),
    told: Told | None = None,
    rates: Sequence[tuple[str, str, str]] = (),
    owners: OwnerTable | None = None,
) -> bytes:
    """The record of a call. Raises for what no ledger can hold."""
    made: list[Any] = [
        "charges",
        RECORD_VERSION,
        [charge_fields(event, charge.plausible(), owners) for event, charge in entries],
    ]
    if sightings or replaces or told is not None or rates:
        seen = [
            (kind, reason, by, observer, charge_fields(event, charge.plausible(), owners))
            for kind, reason, by, observer, event, charge in sightings
        ]
        made += [seen, replaces, told, rates]
    return _encode(made).encode()


def record(kind: str, values: Sequence[Any]) -> bytes:
    """The record of anything else: `began`, `ended` or `outcome`."""
    return _encode([kind, RECORD_VERSION, *values]).encode()


def read_record(data: bytes) -> JournalRecord | None:
    """What a record says; None for a kind that this version does not know. Raises `ValueError` for no record."""
    kind, _, *values = json.loads(data)
    if _MAY_BE_ODD(data):
        values = _sound(values)
    is_long = len(data) > LONGEST_TEXT
    if kind == "charges":
        charges, *more = values
        seen, replaces, told, rates, *_ = more or ((), (), None, ())
        return Charges(
            [charge_of(fields, is_long=is_long) for fields in charges],
            [SightingRecord._make([*about, charge_of(fields, is_long=is_long)]) for *about, fields in seen],
            fitting(replaces),
            None if told is None else _told(fitting(told)),
            [(card, rate, about) for card, rate, about in rates],
        )
    if kind == "began":
        table, said, *_ = values
        return Began(table, [*fitting(said[:_RUN_ATTRIBUTION]), *said[_RUN_ATTRIBUTION:]])
    if kind == "ended":
        return Ended(*fitting(values[: len(Ended._fields)]))
    if kind == "outcome":
        return ToldOutcome(*fitting(values[: len(ToldOutcome._fields)]))
    return None


_QUANTITIES = ChargeRecord._fields.index("quantities")
_ORIGIN = ChargeRecord._fields.index("origin")
_FIELDS = len(ChargeRecord._fields)
_STARTED, _ENDED, _AMOUNT = map(ChargeRecord._fields.index, ("started_ns", "ended_ns", "atto"))
_RUN_ATTRIBUTION = 7
"""Of the values that a run begins with: JSON, of what was bounded before."""


def charge_of(fields: list[Any], *, is_long: bool = False) -> ChargeRecord:
    """The record that `charge_fields` has made. If it is long, some text in it may be."""
    if is_long or not -MOST <= fields[_STARTED] <= MOST or not -MOST <= fields[_ENDED] <= MOST:
        fields[:_AMOUNT] = fitting(fields[:_AMOUNT])
    quantities = fields[_QUANTITIES]
    if not _are_whole(quantities):
        fields[_QUANTITIES] = [Decimal(one) if isinstance(one, str) else one for one in quantities]
    origin = fields[_ORIGIN]
    if origin is not None:
        fields[_ORIGIN] = Origin(*origin)
    return ChargeRecord(*fields[:_FIELDS])


_MAY_BE_ODD = re.compile(rb"\\u(?:d[89a-f]|0000)").search
"""Whether a record may hold text that is no valid Unicode, or NUL, which not every store takes."""


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return wellformed(value)
    if isinstance(value, Mapping):
        return {_sound(key): _sound(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sound(one) for one in value]
    return value


def _told(told: Sequence[Any]) -> Told:
    runs, steps, outcomes = told
    return Told(
        [ToldRun(*run[: len(ToldRun._fields)]) for run in runs],
        [ToldStep(*step[: len(ToldStep._fields)]) for step in steps],
        [ToldOutcome(*one[: len(ToldOutcome._fields)]) for one in outcomes],
    )
