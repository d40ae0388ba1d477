"""What is written to a ledger, each a transaction of its own that may be tried again without harm."""

from __future__ import annotations

import json
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aicost.pricing.charge import Charge
from aicost.usage.event import UsageEvent
from aicost.usage.meters import Quantity

from .rows import Row, charge_row, line_rows, payload_hash, storable, supersedes
from .schema import CHARGE_COLUMNS

_log = logging.getLogger("aicost.ledger")

_INSERT_CHARGE = (
    f"INSERT INTO charges ({', '.join(CHARGE_COLUMNS)}) VALUES ({', '.join('?' * len(CHARGE_COLUMNS))}) "
    "ON CONFLICT (event_id) DO NOTHING"
)
_REPLACE_CHARGE = (
    f"UPDATE charges SET {', '.join(f'{c} = ?' for c in CHARGE_COLUMNS[1:])}, revision = revision + 1 "
    "WHERE event_id = ?"
)
_INSERT_LINE = (
    "INSERT INTO charge_lines (event_id, position, meter, quantity, unit_price, per, rate_id, nano, atto_rest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Write:
    """One transaction. `charges` says how many are lost if it is given up."""

    apply: Callable[[sqlite3.Connection], object]
    charges: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    event: UsageEvent
    row: Row
    lines: Sequence[Row]


def put_charges(entries: Sequence[tuple[UsageEvent, Charge]], rates: Sequence[Row]) -> Write:
    """Keep charges, each event once, and the (card, rate id, about) of rates they are the first to use."""
    kept: list[_Kept] = []
    for event, charge in entries:
        row = storable(charge_row(event, charge))
        kept.append(_Kept(event, row, line_rows(row[0], charge)))
    about = [storable(rate) for rate in rates]

    def apply(db: sqlite3.Connection) -> None:
        for one in kept:
            if db.execute(_INSERT_CHARGE, one.row).rowcount:
                db.executemany(_INSERT_LINE, one.lines)
            else:
                _put_again(db, one)
        if about:
            db.executemany("INSERT OR IGNORE INTO rates VALUES (?, ?, ?)", about)

    return Write(apply, len(kept))


def put(sql: str, values: Sequence[Any]) -> Write:
    """One statement."""
    row = storable(tuple(values))
    return Write(lambda db: db.execute(sql, row))


def put_outcome(name: str, count: int, run_id: str | None, at_ns: int, attribution: Mapping[str, str]) -> Write:
    """Units of value. They have no identity of their own, so they are given one: tried twice, they count once."""
    return put(
        "INSERT OR IGNORE INTO outcomes (id, name, count, run_id, at_ns, attribution) VALUES (?, ?, ?, ?, ?, ?)",
        (random.getrandbits(63), name, count, run_id, at_ns, json.dumps(dict(attribution))),
    )


def _put_again(db: sqlite3.Connection, one: _Kept) -> None:
    event, event_id, digest = one.event, one.row[0], payload_hash(one.event)
    old_digest, complete = db.execute(
        "SELECT payload_hash, complete FROM charges WHERE event_id = ?", (event_id,)
    ).fetchone()
    if old_digest == digest:
        return
    old_usage = _usage(db, event_id)
    if supersedes(event, bool(complete), old_usage or None):
        db.execute(_REPLACE_CHARGE, (*one.row[1:], event_id))
        db.execute("DELETE FROM charge_lines WHERE event_id = ?", (event_id,))
        db.executemany(_INSERT_LINE, one.lines)
    elif event.usage is not None:
        # A lesser view that holds nothing the kept one lacks is no contradiction.
        if not event.complete and all(n <= old_usage.get(meter, 0) for meter, n in event.usage.items()):
            return
        db.execute(
            "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?)",
            (event_id, digest, time.time_ns(), json.dumps(dict(zip(CHARGE_COLUMNS, one.row, strict=True)))),
        )
        _log.warning("ledger: %s was seen twice with different usage; the first view counts", event_id)


def _usage(db: sqlite3.Connection, event_id: str) -> dict[str, Quantity]:
    """What a kept charge counts by meter. A meter has several lines where a threshold splits it."""
    usage: dict[str, Quantity] = {}
    for meter, text in db.execute("SELECT meter, quantity FROM charge_lines WHERE event_id = ?", (event_id,)):
        quantity = int(text) if text.lstrip("-").isdigit() else Decimal(text)
        usage[meter] = usage.get(meter, 0) + quantity
    return usage
