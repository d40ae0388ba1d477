"""Records as rows of entries, and rows as records again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from aicost.pricing.charge import Layout
from aicost.semconv.dimensions import LABEL
from aicost.usage.event import Origin
from aicost.usage.meters import Quantity

from .columns import (
    CONTEXT,
    DIMENSION_KEYS,
    FACTS,
    MAX_COLUMN,
    MOST,
    QUANTITIES,
    SUBJECT,
    SUBJECT_KEYS,
    digest_of,
)
from .records import ChargeRecord, layout_of
from .schema import ENTRIES
from .sql_dialects import QUANTITY_COLUMNS, SAME_AS_RUN, SqlDialect
from .store import Row

_PLACE_OF = {key: n for n, key in enumerate(DIMENSION_KEYS)}
_OWN = frozenset((*DIMENSION_KEYS, *SUBJECT_KEYS))
CONFIDENCE = {"priced": "exact", "provider_reported": "exact", "partial": "estimated", "estimated": "estimated"}
"""How sure an amount is, by the status of its charge; of what has none nobody says."""
_NO_QUANTITIES = (None,) * QUANTITIES
_MAX_INTERNED = 5_000
NO_LAYOUT = Layout().key()


class Interner:
    """Numbers for contexts, subjects and layouts, and which of them a store has still to be told of.

    `new_*` hold what came since they were taken last.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._contexts: dict[Row, int] = {}
        self._subjects: dict[Row, int] = {}
        self._layouts: dict[str, int] = {}
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
        owners: list[str | None] = [None] * len(DIMENSION_KEYS)
        for key, value in record.attribution.items():
            if key in _PLACE_OF:
                owners[_PLACE_OF[key]] = value
        host, organization, project, credential, gateway = _NOWHERE if record.origin is None else _place(record.origin)
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
            CONFIDENCE.get(record.charge_status),
            record.rate_card,
            record.evidence,
            *owners,
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

    def layout(self, key: str) -> int:
        """The number of a combination of meters and prices."""
        known = self._layouts.get(key)
        if known is None:
            known = digest_of(("meters",), (key,))
            self.new_layouts.append((known, key))
            _remember(self._layouts, key, known)
        return known


_NOWHERE = (None, None, None, None, None)
_NOBODY = (None,) * len(SUBJECT)


def _place(origin: Origin) -> Row:
    gateway = "declared" if origin.gateway else None
    return origin.host, origin.organization, origin.project, origin.credential, gateway


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _MAX_INTERNED:
        known.clear()  # the store keeps them; told again, they are nothing new
    known[key] = value


def names_of_entry(dialect: SqlDialect) -> tuple[str, ...]:
    """The columns of an entry without its writer."""
    return ENTRIES.names(dialect)[:-2]


def entry_row(
    record: ChargeRecord,
    interner: Interner,
    identity: bytes,
    dialect: SqlDialect,
    *,
    corrects: bytes | None,
    event: bytes | None,
) -> Row:
    """An entry, without its writer, of a record that counts."""
    layout, quantities, more = _quantities(record, interner)
    origin = record.origin
    stored, run_id = dialect.identifier, record.run_id
    none = dialect.money(None)
    return (
        identity,
        1,
        corrects,
        event,
        0,
        record.started_ns,
        min(max(record.ended_ns - record.started_ns, 0), MOST),
        None,
        interner.context(record),
        interner.subject(record.attribution),
        layout,
        *quantities,
        *none,
        *none,
        *dialect.money(record.atto),
        *none,
        *dialect.money(record.at_most_atto),
        record.attempt,
        record.retry_count or None,
        record.backoff_ns or None,
        stored(record.retry_of),
        stored(record.fallback_of),
        stored(run_id),
        dialect.beside(run_id, record.root_run_id),
        stored(record.step_id),
        dialect.beside(run_id, record.trace_id),
        stored(record.span_id),
        None if origin is None else origin.request_id,
        record.response_id,
        None,
        None,
        more,
        _details(record),
    )


@cache
def _negated(dialect: SqlDialect) -> frozenset[int]:
    names = names_of_entry(dialect)
    return frozenset(names.index(name) for name in ("n", *QUANTITY_COLUMNS, *dialect.amount_columns))


def reversal_row(row: Row, identity: bytes, event: bytes | None, dialect: SqlDialect) -> Row:
    """The row that takes back another."""
    negated, more = _negated(dialect), names_of_entry(dialect).index("quantities")
    values = [(-value if n in negated and value is not None else value) for n, value in enumerate(row)]
    values[0], values[2], values[3] = identity, row[0], event
    if values[more] is not None:
        values[more] = _text_of([-quantity for quantity in quantities_of(row[more])])
    return tuple(values)


def _quantities(record: ChargeRecord, interner: Interner) -> tuple[int | None, Row, str | None]:
    """The layout of a record, its quantities in columns, or as text where those cannot hold them."""
    quantities = record.quantities
    if not quantities:
        return None, _NO_QUANTITIES, None
    number = interner.layout(record.layout)
    fits = len(quantities) <= QUANTITIES and layout_of(record.layout).is_whole
    if fits and all([type(one) is int and -MAX_COLUMN <= one <= MAX_COLUMN for one in quantities]):  # noqa: C419
        return number, (*quantities, *_NO_QUANTITIES[len(quantities) :]), None
    return number, _NO_QUANTITIES, _text_of(quantities)


def _text_of(quantities: Sequence[Quantity]) -> str:
    return json.dumps([one if type(one) is int else str(one) for one in quantities], separators=(",", ":"))


def quantities_of(text: str) -> list[Quantity]:
    """Quantities that columns could not hold."""
    return [Decimal(one) if isinstance(one, str) else one for one in json.loads(text)]


def _details(record: ChargeRecord) -> str | None:
    said: dict[str, Any] = {}
    if record.is_counted != bool(record.quantities):
        said["is_counted"] = record.is_counted
    if record.computed_atto is not None:
        said["computed"] = str(record.computed_atto)
    if record.origin is not None:
        said |= {name: value for name in _DETAILS if (value := getattr(record.origin, name)) is not None}
    return json.dumps(said, separators=(",", ":")) if said else None


_DETAILS = ("gateway_call_id", "upstream_id")


def record_of(row: Mapping[str, Any], event_id: str, layout: str, dialect: SqlDialect) -> ChargeRecord:
    """The record that an entry was made of; `row` has the columns of its context and subject, too.

    Raises `LookupError`, `TypeError` or `ValueError` for one that is damaged.
    """
    if row["currency"] is None:
        raise LookupError(f"the context of {event_id} is gone")
    if row["quantities"] is not None:
        quantities = quantities_of(row["quantities"])
    else:
        quantities = [row[name] for name in QUANTITY_COLUMNS[: len(layout_of(layout).meters)]]
    if None in quantities:
        raise LookupError(f"a quantity of {event_id} is gone")
    details = dict(json.loads(row["details"])) if row["details"] else {}
    text_of = dialect.identifier_text
    run = text_of(row["run_id"])
    labels = dict(json.loads(row["labels"])) if row["labels"] else {}
    attribution = {key: row[key] for key in (*DIMENSION_KEYS, *SUBJECT_KEYS) if row[key] is not None}
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
        is_counted=details.get("is_counted", bool(quantities)),
        complete=row["complete"] == "yes",
        estimated=row["estimated"] == "yes",
        flags=json.loads(row["flags"]) if row["flags"] else [],
        attempt=row["attempt"],
        retry_count=row["retry_count"] or 0,
        backoff_ns=row["backoff_ns"] or 0,
        retry_of=text_of(row["retry_of"]),
        fallback_of=text_of(row["fallback_of"]),
        run_id=run,
        root_run_id=run if row["root_run_id"] == SAME_AS_RUN else text_of(row["root_run_id"]),
        step_id=text_of(row["step_id"]),
        trace_id=run if row["trace_id"] == SAME_AS_RUN else text_of(row["trace_id"]),
        span_id=text_of(row["span_id"]),
        response_id=row["response_id"],
        attribution=attribution,
        origin=origin if any(origin) else None,
        atto=dialect.atto(row, "amount"),
        computed_atto=None if computed is None else int(computed),
        layout=layout,
        quantities=quantities,
        at_most_atto=dialect.atto(row, "at_most"),
        evidence=row["evidence"],
        **{name: row[name] for name in _AS_THEY_ARE},
    )


_AS_THEY_ARE = tuple(name for name in FACTS if name in {*ChargeRecord._fields} - {"complete", "estimated", "flags"})
