"""What is written to a ledger, each a transaction of its own that may be tried again without harm."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aicost.pricing.charge import Charge
from aicost.pricing.sighting import Sighting
from aicost.usage.event import SKEW_NS, Chargeable, Origin, UsageEvent
from aicost.usage.meters import Quantity

from .rows import Row, charge_row, line_rows, payload_hash, storable, supersedes
from .schema import CHARGE_COLUMNS, ORIGIN, OWNER_COLUMNS
from .told import NAME_CHARGES, Told, outcome_key, put_told

_log = logging.getLogger("aicost.ledger")

# The work of an attempt begins while it is under way, as far as two clocks agree: an id that was kept and sent along
# later is no proof.
_BELOW = (
    "SELECT a.event_id FROM aliases a JOIN charges d ON d.event_id = a.event_id "
    "WHERE a.alias IN (?, ?) AND a.evidence <> 'caller' AND d.started_ns BETWEEN ? AND ?"
)
_LATEST_NS = 2**63 - 1 - SKEW_NS
"""What SQLite's integers hold."""
# One run has one name, however a process that goes on with it calls it.
_RUN, _WORKFLOW = (CHARGE_COLUMNS.index(name) for name in ("run_id", "workflow"))
_VALUES = ["?"] * len(CHARGE_COLUMNS)
_VALUES[_WORKFLOW] = f"COALESCE((SELECT workflow FROM runs WHERE run_id = ?{_RUN + 1}), ?{_WORKFLOW + 1})"
_INSERT_CHARGE = (
    f"INSERT INTO charges ({', '.join(CHARGE_COLUMNS)}) SELECT {', '.join(_VALUES)} "
    "WHERE NOT EXISTS (SELECT 1 FROM sightings WHERE event_id = ? AND kind <> 'contradiction') "
    f"AND NOT EXISTS ({_BELOW}) ON CONFLICT (event_id) DO NOTHING"
)
"""One charge, unless it is there, or another counts it: then follow its id, and the values of `_BELOW`."""
# Whose work it was is known where it was asked for, and not where somebody comes back for the answer.
_KEPT = frozenset(
    ("run_id", "root_run_id", "workflow", "step", "step_id", "agent", *OWNER_COLUMNS, "retry_of", "fallback_of")
)
_REPLACE_CHARGE = (
    "UPDATE charges SET "
    + ", ".join(f"{name} = COALESCE({name}, ?)" if name in _KEPT else f"{name} = ?" for name in CHARGE_COLUMNS[1:])
    + ", revision = revision + 1 WHERE event_id = ?"
)
_INSERT_LINE = (
    "INSERT INTO charge_lines (event_id, position, meter, quantity, unit_price, per, rate_id, nano, atto_rest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


_INSERT_RUN = (
    "INSERT INTO runs (run_id, root_run_id, parent_run_id, parent_step_id, workflow, version, status, started_ns, "
    "attribution) VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?) ON CONFLICT (run_id) DO UPDATE SET status = 'running'"
)


@dataclass(frozen=True, slots=True)
class Write:
    """One transaction. `charges` says how many are lost if it is given up."""

    apply: Callable[[sqlite3.Connection], object]
    charges: int = 0
    rows: Sequence[Row] = ()
    """What it writes, for `measure`."""
    size: int = 0
    """What it counts for while it waits."""

    def measure(self) -> int:
        """The characters in it, which are most of what it takes up."""
        return sum(len(value) for row in self.rows for value in row if isinstance(value, str))


@dataclass(frozen=True, slots=True)
class _Kept:
    event: UsageEvent
    row: Row
    lines: Sequence[Row]


_INSERT_SIGHTING = "INSERT OR IGNORE INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def put_charges(
    entries: Sequence[tuple[UsageEvent, Charge]],
    rates: Sequence[Row],
    sightings: Sequence[Sighting] = (),
    replaces: Sequence[str] = (),
    told: Told | None = None,
) -> Write:
    """Keep charges, each event once, and the (card, rate id, about) of rates they are the first to use.

    `sightings` are views that are no money; `replaces` are events that the last entry tells of from nearer to the
    wire, which become sightings; `told` is what the same spans tell of runs, steps and outcomes.
    """
    kept: list[_Kept] = []
    for event, priced in entries:
        charge = priced.plausible()
        row = storable(charge_row(event, charge))
        kept.append(_Kept(event, row, line_rows(row[0], charge)))
    about = [storable(rate) for rate in rates]

    def apply(db: sqlite3.Connection) -> None:
        for one in kept:
            event_id, gateway = one.row[0], one.event.origin.gateway
            call = _gateway_name(one.row) if gateway else event_id
            event = one.event
            under_way = (event_id, call, event.started_ns - SKEW_NS, min(event.ended_ns, _LATEST_NS) + SKEW_NS)
            if db.execute(_INSERT_CHARGE, (*one.row, event_id, *under_way)).rowcount:
                db.executemany(_INSERT_LINE, one.lines)
            elif (counted_by := _counted_by(db, event_id, under_way)) is not None:
                _put_sighting(db, one.row, "joined", "downstream", counted_by, "aicost")
                continue
            else:
                _put_again(db, one)
            if gateway or one.event.origin.upstream_id is not None:
                _put_aliases(db, one)
        for event_id in replaces:
            _replace(db, event_id, kept[-1].row[0], "replaced", "")
        for kind, reason, by, observer, event, charge in sightings:
            _put_sighting(db, storable(charge_row(event, charge.plausible())), kind, reason, by, observer)
        if about:
            db.executemany("INSERT OR IGNORE INTO rates VALUES (?, ?, ?)", about)
        if told is not None:
            put_told(db, told, [one.row[0] for one in kept if one.event.workflow is None])

    return Write(apply, len(kept), [*(one.row for one in kept), *(line for one in kept for line in one.lines)])


def put(sql: str, values: Sequence[Any]) -> Write:
    """One statement."""
    row = storable(tuple(values))
    return Write(lambda db: db.execute(sql, row), rows=(row,))


def put_run(row: Row) -> Write:
    """A run, by its id, root, parents, workflow, version, start and attribution. One that is there goes on.

    What was called in it before it was known here is called as the run is.
    """
    run = storable(row)

    def apply(db: sqlite3.Connection) -> None:
        db.execute(_INSERT_RUN, run)
        db.execute(NAME_CHARGES, run[:1])

    return Write(apply)


def put_outcome(
    outcome_id: str, name: str, count: int, run_id: str | None, at_ns: int, attribution: Mapping[str, str]
) -> Write:
    """Units of value. Tried twice, or told again by a span, they count once."""
    return put(
        "INSERT OR IGNORE INTO outcomes (id, name, count, run_id, at_ns, attribution) VALUES (?, ?, ?, ?, ?, ?)",
        (outcome_key(outcome_id), name, count, run_id, at_ns, json.dumps(dict(attribution))),
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
        _put_sighting(db, one.row, "contradiction", "", event_id, "")
        _log.warning("ledger: %s was seen twice with different usage; the first view counts", event_id)


def _put_sighting(db: sqlite3.Connection, row: Row, kind: str, reason: str, by: str | None, observer: str) -> None:
    """Keep a view that is no money, with what it would have been."""
    said = dict(zip(CHARGE_COLUMNS, row, strict=True))
    payload = json.dumps({name: value for name, value in said.items() if value is not None})
    amount = (said["currency"], said["nano"], said["atto_rest"])
    key = (said["event_id"], said["payload_hash"])
    db.execute(_INSERT_SIGHTING, storable((*key, kind, reason, by, observer, time.time_ns(), *amount, payload)))


def _replace(db: sqlite3.Connection, event_id: str, by: str, kind: str, reason: str) -> None:
    """A charge was told of by something nearer to the wire: it is a sighting from now on."""
    row = db.execute(f"SELECT {', '.join(CHARGE_COLUMNS)} FROM charges WHERE event_id = ?", (event_id,)).fetchone()
    if row is None or event_id == by:
        return
    _put_sighting(db, row, kind, reason, by, "")
    db.execute("DELETE FROM charges WHERE event_id = ?", (event_id,))
    db.execute("DELETE FROM charge_lines WHERE event_id = ?", (event_id,))


def _counted_by(db: sqlite3.Connection, event_id: str, under_way: Row) -> str | None:
    """The event that counts this one, if another does: that of a process further down, or of a nearer view."""
    found = db.execute(
        "SELECT COALESCE(counted_by, '') FROM sightings WHERE event_id = ? AND kind <> 'contradiction' "
        f"UNION ALL {_BELOW}",
        (event_id, *under_way),
    ).fetchone()
    return None if found is None else str(found[0])


def _gateway_name(row: Row) -> str:
    """What a process behind a gateway calls the attempt that reached it."""
    return f"gateway:{_origin(row).gateway_call_id}"


def _origin(row: Row) -> Origin:
    """The origin of a row, as a ledger can hold it."""
    return Origin(*row[-len(ORIGIN) :])


def _put_aliases(db: sqlite3.Connection, one: _Kept) -> None:
    """Remember whose work an attempt is, and under which name a process further down may tell of it."""
    origin, event_id = _origin(one.row), one.row[0]
    if origin.gateway and origin.gateway_call_id is not None:
        db.execute("INSERT OR IGNORE INTO aliases VALUES (?, ?, 'caller')", (_gateway_name(one.row), event_id))
    upstream = origin.upstream_id
    if upstream is None or one.event.chargeable is Chargeable.NO:
        return
    evidence = "gateway_call" if upstream.startswith("gateway:") else "propagated"
    caller = db.execute("SELECT event_id FROM aliases WHERE alias = ? AND evidence = 'caller'", (upstream,)).fetchone()
    name, began = caller[0] if caller is not None else upstream, one.event.started_ns
    under_way = db.execute(
        "SELECT 1 FROM charges WHERE event_id = ? AND ? BETWEEN started_ns - ? AND ended_ns + ?",
        (name, began, SKEW_NS, SKEW_NS),
    ).fetchone()
    if under_way is not None:
        _replace(db, name, event_id, "joined", "downstream")
    db.execute(
        "INSERT INTO aliases VALUES (?, ?, ?) ON CONFLICT (alias) DO UPDATE "
        "SET event_id = excluded.event_id, evidence = excluded.evidence WHERE evidence = 'caller'",
        (upstream, event_id, evidence),
    )


def _usage(db: sqlite3.Connection, event_id: str) -> dict[str, Quantity]:
    """What a kept charge counts by meter. A meter has several lines where a threshold splits it."""
    usage: dict[str, Quantity] = {}
    for meter, text in db.execute("SELECT meter, quantity FROM charge_lines WHERE event_id = ?", (event_id,)):
        quantity = int(text) if text.lstrip("-").isdigit() else Decimal(text)
        usage[meter] = usage.get(meter, 0) + quantity
    return usage
