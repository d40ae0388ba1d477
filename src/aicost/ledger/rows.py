"""Records as rows of entries, and rows as records again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, NamedTuple

from aicost._money import ATTO
from aicost.usage.event import Origin
from aicost.usage.meters import Quantity

from .columns import (
    CONTEXT,
    FACTS,
    LABEL,
    MAX_COLUMN,
    OWNER_KEYS,
    QUANTITIES,
    RESOURCE_KEYS,
    SUBJECT,
    SUBJECT_KEYS,
    digest_of,
    limbs,
    pack,
    unpack,
    whole,
)
from .records import ChargeRecord, Line
from .schema import AMOUNT_COLUMNS, ENTRY, QUANTITY_COLUMNS, SAME_AS_RUN

Row = tuple[Any, ...]

_DIMENSIONS = (*OWNER_KEYS, *RESOURCE_KEYS)
_OWN = frozenset((*_DIMENSIONS, *SUBJECT_KEYS))
_CONFIDENCE = {"priced": "exact", "provider_reported": "exact", "partial": "estimated", "estimated": "estimated"}
_NO_QUANTITIES = (None,) * QUANTITIES
_NO_AMOUNT = (None, None, None)
_MAX_INTERNED = 50_000


class Meter(NamedTuple):
    """One position of a layout. `num / den` is the price of one in 1e-18; None without a rate."""

    meter: str
    unit_price: str | None
    per: int
    rate_id: str | None
    num: int | None
    den: int


class Interner:
    """Numbers for contexts, subjects and layouts, and which of them a store has still to be told of.

    `new_*` hold what came since they were taken last.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._contexts: dict[Row, int] = {}
        self._subjects: dict[Row, int] = {}
        self._layouts: dict[Row, tuple[int, tuple[Meter, ...]]] = {}
        self.new_contexts: list[Row] = []
        self.new_subjects: list[Row] = []
        self.new_layouts: list[Row] = []

    def forget(self) -> None:
        """Begin anew, as for another store."""
        for known in (self._contexts, self._subjects, self._layouts):
            known.clear()
        for new in (self.new_contexts, self.new_subjects, self.new_layouts):
            new.clear()

    def context(self, record: ChargeRecord) -> int:
        """The number of what a record says of itself."""
        owner = record.attribution
        host, organization, project, credential, gateway = _NOWHERE if record.origin is None else _of(record.origin)
        values = (
            record.currency,
            "usage",
            self._source,
            record.provider,
            host,
            organization,
            project,
            credential,
            gateway,
            record.model,
            record.request_model,
            record.operation,
            record.api,
            record.service_tier,
            record.region,
            record.speed,
            record.workflow,
            record.step,
            record.agent,
            record.status,
            record.chargeable,
            record.error_type,
            "yes" if record.complete else "no",
            "yes" if record.estimated else "no",
            json.dumps(record.flags) if record.flags else None,
            record.charge_status,
            record.reason,
            _CONFIDENCE.get(record.charge_status),
            record.rate_card,
            None,
            *[owner.get(key) for key in _DIMENSIONS],
        )
        known = self._contexts.get(values)
        if known is None:
            known = digest_of(CONTEXT, values)
            self.new_contexts.append((known, *values))
            _remember(self._contexts, values, known)
        return known

    def subject(self, attribution: Mapping[str, str]) -> int | None:
        """The number of whom a record is about; None for nobody in particular."""
        if attribution.keys() <= _OWN:
            labels = None
        else:
            of = {key.removeprefix(LABEL): attribution[key] for key in sorted(attribution) if key not in _OWN}
            labels = json.dumps(of)
        values = (*[attribution.get(key) for key in SUBJECT_KEYS], labels)
        if values == _NOBODY:
            return None
        known = self._subjects.get(values)
        if known is None:
            known = digest_of(SUBJECT, values)
            self.new_subjects.append((known, *values))
            _remember(self._subjects, values, known)
        return known

    def layout(self, lines: Sequence[Line]) -> tuple[int, tuple[Meter, ...]]:
        """The number of a combination of meters and prices, and what it says."""
        key = tuple([(line.meter, line.unit_price, line.per, line.rate_id) for line in lines])
        known = self._layouts.get(key)
        if known is None:
            meters = tuple(_meter(*one) for one in key)
            text = json.dumps(meters, separators=(",", ":"))
            known = digest_of(("meters",), (text,)), meters
            self.new_layouts.append((known[0], text))
            _remember(self._layouts, key, known)
        return known


_NOWHERE = (None, None, None, None, None)
_NOBODY = (None,) * len(SUBJECT)


def _of(origin: Sequence[Any]) -> Row:
    known = Origin(*origin)
    gateway = "declared" if known.gateway else None
    return known.host, known.organization, known.project, known.credential, gateway


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _MAX_INTERNED:
        known.clear()  # the store keeps them; told again, they are nothing new
    known[key] = value


def _meter(meter: str, unit_price: str | None, per: int, rate_id: str | None) -> Meter:
    try:
        price = None if unit_price is None else Fraction(Decimal(unit_price)) * ATTO / per
    except (InvalidOperation, ValueError, OverflowError, ZeroDivisionError):
        price = None
    num, den = (None, 1) if price is None else (price.numerator, price.denominator)
    return Meter(meter, unit_price, per, rate_id, num, den)


def line_amount(quantity: Quantity, meter: Meter) -> int | None:
    """What a quantity comes to in a layout: rounded half-even where the price of one is finer than 1e-18."""
    if meter.num is None:
        return None
    if meter.den == 1 and type(quantity) is int:
        return quantity * meter.num
    return round(Fraction(quantity) * meter.num / meter.den)


def entry_row(
    record: ChargeRecord, interner: Interner, identity: bytes, *, corrects: bytes | None, event: bytes | None
) -> Row:
    """The values of `ENTRY`, without its writer, of a record that counts."""
    layout, quantities, lines = _layout(record.lines, interner)
    run = pack(record.run_id)
    origin = record.origin
    return (
        identity,
        1,
        corrects,
        event,
        0,
        record.started_ns,
        max(record.ended_ns - record.started_ns, 0),
        None,
        interner.context(record),
        interner.subject(record.attribution),
        layout,
        *quantities,
        *_NO_AMOUNT,
        *_NO_AMOUNT,
        *limbs(record.atto),
        *_NO_AMOUNT,
        *limbs(record.at_most_atto),
        record.attempt,
        record.retry_count or None,
        record.backoff_ns or None,
        pack(record.retry_of),
        pack(record.fallback_of),
        run,
        SAME_AS_RUN if record.root_run_id is not None and record.root_run_id == record.run_id else pack(record.root_run_id),
        pack(record.step_id),
        SAME_AS_RUN if record.trace_id is not None and record.trace_id == record.run_id else pack(record.trace_id),
        pack(record.span_id),
        None if origin is None else origin[_REQUEST_ID],
        record.response_id,
        None,
        None,
        lines,
        _details(record),
    )


_REQUEST_ID = Origin._fields.index("request_id")
_NEGATED = frozenset(ENTRY.index(name) for name in ("n", *QUANTITY_COLUMNS, *AMOUNT_COLUMNS))
_LINES = ENTRY.index("lines")


def reversal_row(row: Row, identity: bytes, event: bytes) -> Row:
    """The row that takes back another."""
    values = [(-value if n in _NEGATED and value is not None else value) for n, value in enumerate(row)]
    values[0], values[2], values[3] = identity, row[0], event
    if values[_LINES] is not None:
        values[_LINES] = _lines_text([(-quantity, None if atto is None else -atto) for quantity, atto in lines_of(row[_LINES])])
    return tuple(values)


def _layout(lines: Sequence[Line], interner: Interner) -> tuple[int | None, Row, str | None]:
    """The layout of lines, their quantities, and what the columns cannot say of them."""
    if not lines:
        return None, _NO_QUANTITIES, None
    number, meters = interner.layout(lines)
    fit = len(lines) <= QUANTITIES
    quantities: list[int | None] = []
    for line, meter in zip(lines, meters, strict=True):
        quantity = line.quantity
        fits = type(quantity) is int and -MAX_COLUMN <= quantity <= MAX_COLUMN and meter.den == 1
        if not fits or line_amount(quantity, meter) != line.atto:
            fit = False
            break
        quantities.append(quantity)
    if fit:
        return number, (*quantities, *_NO_QUANTITIES[len(quantities) :]), None
    return number, _NO_QUANTITIES, _lines_text([(line.quantity, line.atto) for line in lines])


def _lines_text(lines: Sequence[tuple[Quantity, int | None]]) -> str:
    said = [(q if type(q) is int else str(q), None if atto is None else str(atto)) for q, atto in lines]
    return json.dumps(said, separators=(",", ":"))


def lines_of(text: str) -> list[tuple[Quantity, int | None]]:
    """Quantities and amounts that columns could not hold."""
    return [
        (Decimal(q) if isinstance(q, str) else q, None if atto is None else int(atto)) for q, atto in json.loads(text)
    ]


def _details(record: ChargeRecord) -> str | None:
    said: dict[str, Any] = {}
    if record.is_counted != bool(record.lines):
        said["is_counted"] = record.is_counted
    if record.computed_atto is not None:
        said["computed"] = str(record.computed_atto)
    if record.origin is not None:
        origin = Origin(*record.origin)
        said |= {name: value for name in _DETAILS if (value := getattr(origin, name)) is not None}
    return json.dumps(said, separators=(",", ":")) if said else None


_DETAILS = ("gateway_call_id", "upstream_id")


def meters_of(text: str) -> tuple[Meter, ...]:
    """The meters of a stored layout."""
    return tuple(Meter(*one) for one in json.loads(text))


def lines_in(row: Mapping[str, Any], meters: Sequence[Meter]) -> list[Line]:
    """The lines of an entry."""
    if row["lines"] is not None:
        told = lines_of(row["lines"])
    else:
        quantities = [row[name] for name in QUANTITY_COLUMNS[: len(meters)]]
        told = [(quantity, line_amount(quantity, meter)) for quantity, meter in zip(quantities, meters, strict=True)]
    return [
        Line(meter.meter, quantity, meter.unit_price, meter.per, atto, meter.rate_id)
        for meter, (quantity, atto) in zip(meters, told, strict=True)
    ]


def amount_of(row: Mapping[str, Any], name: str = "amount") -> int | None:
    """An amount of an entry in 1e-18."""
    return whole(row[f"{name}_units"], row[f"{name}_nano"], row[f"{name}_atto"])


def record_of(row: Mapping[str, Any], event_id: str, meters: Sequence[Meter]) -> ChargeRecord:
    """The record that an entry was made of; `row` has the columns of its context and subject, too."""
    details = json.loads(row["details"]) if row["details"] else {}
    run = unpack(row["run_id"])
    lines = lines_in(row, meters)
    labels = json.loads(row["labels"]) if row["labels"] else {}
    attribution = {key: row[key] for key in (*_DIMENSIONS, *SUBJECT_KEYS) if row[key] is not None}
    attribution |= {LABEL + key: value for key, value in labels.items()}
    origin = Origin(
        row["host"],
        row["provider_organization"],
        row["provider_project"],
        row["credential"],
        row["request_id"],
        details.get("gateway_call_id"),
        row["gateway"] is not None,
        details.get("upstream_id"),
    )
    computed = details.get("computed")
    return ChargeRecord(
        event_id=event_id,
        started_ns=row["charge_start"],
        ended_ns=row["charge_start"] + row["charge_ns"],
        is_counted=details.get("is_counted", bool(lines)),
        complete=row["complete"] == "yes",
        estimated=row["estimated"] == "yes",
        flags=json.loads(row["flags"]) if row["flags"] else [],
        attempt=row["attempt"],
        retry_count=row["retry_count"] or 0,
        backoff_ns=row["backoff_ns"] or 0,
        retry_of=unpack(row["retry_of"]),
        fallback_of=unpack(row["fallback_of"]),
        run_id=run,
        root_run_id=run if row["root_run_id"] == SAME_AS_RUN else unpack(row["root_run_id"]),
        step_id=unpack(row["step_id"]),
        trace_id=run if row["trace_id"] == SAME_AS_RUN else unpack(row["trace_id"]),
        span_id=unpack(row["span_id"]),
        response_id=row["response_id"],
        attribution=attribution,
        origin=list(origin) if any(origin) else None,
        atto=amount_of(row),
        computed_atto=None if computed is None else int(computed),
        lines=lines,
        at_most_atto=amount_of(row, "at_most"),
        **{name: row[name] for name in _AS_THEY_ARE},
    )


_AS_THEY_ARE = tuple(name for name in FACTS if name in ChargeRecord._fields and name not in ("complete", "estimated", "flags"))
