"""Ledgers of schemas 1 to 4 become one of today: in one transaction, with the totals proven equal before and after.

Those had a row per attempt that was changed in place, and a row per line. Whoever is interrupted leaves the ledger as
it was; whoever comes while another migrates waits for it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from aicost._errors import LedgerError
from aicost._money import to_atto
from aicost.pricing.charge import Charge, ChargeLine, ChargeStatus
from aicost.usage.event import Origin

from .columns import DIMENSION_KEYS, SUBJECT_KEYS, entry_id, limbs, pack, whole
from .deciding import view_digest
from .engines.sqlite_tables import CREATED, VIEWS, SqliteTables, inserted, missing_columns, statements
from .records import ChargeRecord
from .rollups import make_anew
from .rows import Interner, entry_row
from .schema import ENTRIES, SCHEMA_VERSION, SIGHTINGS, LedgerTable
from .sql_dialects import SQLITE
from .store import Row
from .writing import put_interned

_log = logging.getLogger("aicost.ledger")

_NANO = 10**9
_FIRST_OF_ENTRIES = 5
"""The first schema that has entries."""
_RENAMED = (
    ("sightings", "units", "amount_units"),
    ("sightings", "nano", "amount_nano"),
    ("sightings", "atto", "amount_atto"),
    ("places", "offset", "reached"),
)
"""Columns that schema 5 had under another name."""
_AT_A_TIME = 1000
_OLD = ("meta", "charges", "charge_lines", "rates", "runs", "steps", "outcomes", "sightings", "aliases", "quarantine")
_ORIGIN = (
    "host",
    "provider_organization",
    "provider_project",
    "credential",
    "request_id",
    "gateway_call_id",
    "gateway_declared",
    "upstream_id",
)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Make the ledger one of this schema, if it is older. Raises `LedgerError` if its totals would not be the same."""
    db.execute("BEGIN IMMEDIATE")
    try:
        # Looked at again: another process may have done it while this one waited. Only a question to a table makes
        # SQLite see that: `DROP VIEW` goes by the tables it knows of.
        db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        known = db.execute("PRAGMA user_version").fetchone()[0]
        if known < _FIRST_OF_ENTRIES:
            _log.info("ledger %s is of an older version and is migrated; this may take a while", path)
            try:
                _migrate(db, known, path)
            except (ValueError, LookupError, TypeError, ArithmeticError) as error:
                way_out = "restore a copy, or go on in another file"
                raise LedgerError(f"ledger {path} cannot be migrated: it is damaged ({error!r}); {way_out}") from error
        else:
            if known == _FIRST_OF_ENTRIES:
                for table, before, now in _RENAMED:
                    db.execute(f"ALTER TABLE {table} RENAME COLUMN {before} TO {now}")
            _add_what_is_new(db)
        make_anew(SqliteTables(db))
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _add_what_is_new(db: sqlite3.Connection) -> None:
    """Tables that were no part of it yet, and columns of what has become a dimension: no number changes by those."""
    db.execute("DROP VIEW IF EXISTS charges")
    for table, columns in missing_columns(db).items():
        for name in columns:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {name} TEXT")
    for statement in statements(CREATED + VIEWS):
        db.execute(statement)


def _migrate(db: sqlite3.Connection, version: int, path: Path) -> None:
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for (index,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall():
        db.execute(f"DROP INDEX {index}")
    for table in _OLD:
        if table in there:
            db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in statements(CREATED):
        db.execute(statement)
    _copy_runs(db)
    before = _copy_charges(db, Interner("aicost"), version)
    _copy_sightings(db, Interner("aicost"), there)
    db.execute("INSERT OR IGNORE INTO rates SELECT rate_card, rate_id, about FROM old_rates")
    if "aliases" in there:
        _copy_aliases(db)
    after = totals(db)
    if before != after:
        raise LedgerError(f"ledger {path} cannot be migrated: its totals are {before}, and would be {after}")
    for table in _OLD:
        db.execute(f"DROP TABLE IF EXISTS old_{table}")
    for statement in statements(VIEWS):
        db.execute(statement)


def totals(db: sqlite3.Connection) -> dict[str, tuple[int, int, int]]:
    """What the entries come to by currency: how many, how many with an amount, and their amount in 1e-18."""
    rows = db.execute(
        "SELECT c.currency, SUM(e.n), SUM(CASE WHEN e.amount_units IS NOT NULL THEN e.n ELSE 0 END), "
        "SUM(e.amount_units), SUM(e.amount_nano), SUM(e.amount_atto) "
        "FROM entries e JOIN contexts c ON c.id = e.context GROUP BY 1"
    )
    return {currency: (n, known, whole(*sums) or 0) for currency, n, known, *sums in rows}


def _copy_runs(db: sqlite3.Connection) -> None:
    runs = ("run_id", "root_run_id", "parent_run_id", "parent_step_id")
    more = ("workflow", "version", "status", "started_ns", "ended_ns", "attribution")
    _copy(db, "runs", (*runs, *more), len(runs))
    steps = ("step_id", "run_id", "parent_step_id")
    _copy(db, "steps", (*steps, "name", "kind", "status", "started_ns", "ended_ns"), len(steps))
    db.executemany(
        "INSERT INTO outcomes (id, name, count, run_id, at_ns, attribution) VALUES (?, ?, ?, ?, ?, ?)",
        (
            (key, name, count, pack(run), at_ns, attribution)
            for key, name, count, run, at_ns, attribution in db.execute(
                "SELECT id, name, count, run_id, at_ns, attribution FROM old_outcomes"
            )
        ),
    )


def _copy(db: sqlite3.Connection, table: str, columns: Sequence[str], ids: int) -> None:
    rows = db.execute(f"SELECT {_selected(db, f'old_{table}', columns)} FROM old_{table}")
    insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    db.executemany(insert, ((*map(pack, row[:ids]), *row[ids:]) for row in rows))


def _selected(db: sqlite3.Connection, table: str, columns: Sequence[str]) -> str:
    """The columns that an older table has, and NULL for the others."""
    there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    return ", ".join(name if name in there else f"NULL AS {name}" for name in columns)


_CHARGE = (
    *ChargeRecord._fields[: ChargeRecord._fields.index("is_counted")],
    "billed",
    "attempt",
    "retry_count",
    "backoff_ns",
    "retry_of",
    "fallback_of",
    "run_id",
    "root_run_id",
    "workflow",
    "step",
    "step_id",
    "agent",
    "trace_id",
    "span_id",
    "response_id",
    "charge_status",
    "reason",
    "currency",
    "nano",
    "atto_rest",
    "computed_amount",
    "rate_card",
    *_ORIGIN,
    *DIMENSION_KEYS,
    *SUBJECT_KEYS,
)
_COLUMNS = tuple(name for name in _CHARGE if name != "chargeable")


def _copy_charges(db: sqlite3.Connection, interner: Interner, version: int) -> dict[str, tuple[int, int, int]]:
    """Enter every charge; returns their totals."""
    counted: dict[str, list[int]] = {}
    names = dict(db.execute("SELECT run_id, workflow FROM old_runs").fetchall()) if version < 4 else {}
    told = db.execute(f"SELECT {_selected(db, 'old_charges', _COLUMNS)} FROM old_charges ORDER BY event_id")
    line_rows = db.execute(
        "SELECT event_id, meter, quantity, unit_price, per, nano, atto_rest, rate_id FROM old_charge_lines "
        "ORDER BY event_id, position"
    )
    lines_by_event = groupby(line_rows, key=itemgetter(0))
    waiting = next(lines_by_event, None)
    entries: list[Row] = []
    hashed: list[tuple[str, bytes]] = []
    for values in told:
        row = dict(zip(_COLUMNS, values, strict=True))
        event_id = row["event_id"]
        found: list[Row] = []
        while waiting is not None and waiting[0] <= event_id:
            if waiting[0] == event_id:
                found = list(waiting[1])
            waiting = next(lines_by_event, None)
        if row["workflow"] == "remote":  # what went on elsewhere, where the name of its run had not been sent along
            row["workflow"] = names.get(row["run_id"], "remote")
        record = _record(row, found)
        sums = counted.setdefault(record.currency, [0, 0, 0])
        sums[0] += 1
        sums[1] += record.atto is not None
        sums[2] += record.atto or 0
        identity = entry_id(event_id)
        if identity.hex() != event_id:
            hashed.append((event_id, identity))
        entries.append((*entry_row(record, interner, identity, SQLITE, corrects=None, event=None), None, None))
        if len(entries) >= _AT_A_TIME:
            _enter(db, interner, entries, hashed)
    _enter(db, interner, entries, hashed)
    return {currency: (n, known, atto) for currency, (n, known, atto) in counted.items()}


def _enter(db: sqlite3.Connection, interner: Interner, entries: list[Row], names: list[tuple[str, bytes]]) -> None:
    put_interned(partial(_put, db), interner)
    _put(db, ENTRIES, entries)
    db.executemany("INSERT INTO names (name, id) VALUES (?, ?)", names)
    entries.clear()
    names.clear()


def _put(db: sqlite3.Connection, table: LedgerTable, rows: Sequence[Row]) -> None:
    db.executemany(inserted(table), rows)


def _record(row: dict[str, Any], lines: Sequence[Row]) -> ChargeRecord:
    """A charge of old. What a column does not say it does not know."""
    charge = _charge(row, lines)
    # A column of text, where `False` was written as '0'; in the payload of a sighting it is no text.
    declared = {"gateway_declared": str(row.get("gateway_declared")) in ("1", "True")}
    origin = Origin._make((row | declared).get(name) for name in _ORIGIN)
    status, chargeable = row["charge_status"], row["billed"]
    # Of a call in no step, the operation stood in.
    in_step = row.get("step_id") is not None or row.get("step") != row["operation"]
    said = {name: row.get(name) for name in ChargeRecord._fields if name in row}
    return ChargeRecord(
        **{
            **said,
            "chargeable": chargeable,
            "complete": bool(row.get("complete", 1)),
            "estimated": bool(row.get("estimated", 0)),
            "flags": json.loads(row.get("flags") or "[]"),
            "is_counted": bool(lines) or (status == "priced" and chargeable != "no"),
            "attempt": row.get("attempt") or 1,
            "retry_count": row.get("retry_count") or 0,
            "backoff_ns": row.get("backoff_ns") or 0,
            "step": row.get("step") if in_step else None,
            "attribution": {key: row[key] for key in (*DIMENSION_KEYS, *SUBJECT_KEYS) if row.get(key) is not None},
            "origin": origin if any(origin) else None,
            "atto": charge.atto,
            "computed_atto": charge.computed_atto,
            "layout": charge.layout.key(),
            "quantities": list(charge.quantities),
        }
    )


def _charge(row: Mapping[str, Any], rows: Sequence[Row]) -> Charge:
    computed = row.get("computed_amount")
    lines = [
        ChargeLine(meter, _number(quantity), unit_price, per, _atto(nano, rest), rate_id)
        for _, meter, quantity, unit_price, per, nano, rest, rate_id in rows
    ]
    about = (ChargeStatus(row["charge_status"]), row["currency"], _atto(row.get("nano"), row.get("atto_rest")))
    more = (row.get("reason"), row.get("rate_card"), None if computed is None else to_atto(computed))
    try:
        return Charge.of_lines(*about, lines, *more)
    except ValueError:  # an amount of no quantity: no price of one gives it
        bare = [one._replace(unit_price=None, per=1, atto=None, rate_id=None) for one in lines]
        return Charge.of_lines(*about, bare, *more)


def _number(text: str) -> int | Decimal:
    number = Decimal(text)
    return int(number) if number == int(number) else number


def _atto(nano: int | None, rest: int | None) -> int | None:
    return None if nano is None else nano * _NANO + (rest or 0)


def _copy_sightings(db: sqlite3.Connection, interner: Interner, there: set[str]) -> None:
    if "sightings" in there:
        told = "SELECT event_id, kind, reason, counted_by, observer, seen_ns, currency, nano, atto_rest, payload"
        rows = db.execute(f"{told} FROM old_sightings").fetchall()
    elif "quarantine" in there:
        told = "SELECT event_id, 'contradiction', '', event_id, '', seen_ns, NULL, NULL, NULL, payload"
        rows = db.execute(f"{told} FROM old_quarantine").fetchall()
    else:
        return
    seen = []
    for event_id, kind, reason, by, observer, seen_ns, currency, nano, rest, payload in rows:
        said = _payload(payload)
        nothing = {"provider": "", "model": "", "operation": "", "status": "success", "billed": "yes"}
        times = {"started_ns": 0, "ended_ns": 0, "charge_status": "unpriced"}
        said = {**nothing, **times, **said, "event_id": event_id, "currency": currency or said.get("currency") or ""}
        if nano is not None:
            said |= {"nano": nano, "atto_rest": rest}
        record = _record(dict.fromkeys(_COLUMNS) | said, [])
        identity = entry_id(event_id)
        db.execute(
            "INSERT OR IGNORE INTO names (name, id) SELECT ?, ? WHERE ? <> ?",
            (event_id, identity, identity.hex(), event_id),
        )
        about = (interner.context(record), interner.subject(record.attribution), record.started_ns)
        ids = (pack(record.run_id), pack(record.span_id))
        seen.append(
            (identity, view_digest(record), kind, reason, by, observer, seen_ns, *about, *ids, *limbs(record.atto))
        )
    put_interned(partial(_put, db), interner)
    _put(db, SIGHTINGS, seen)


def _payload(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return {name: value for name, value in said.items() if value is not None} if isinstance(said, dict) else {}


def _copy_aliases(db: sqlite3.Connection) -> None:
    rows = db.execute(
        "SELECT a.alias, a.event_id, a.evidence, COALESCE(c.started_ns, 0) FROM old_aliases a "
        "LEFT JOIN old_charges c ON c.event_id = a.event_id"
    )
    db.executemany(
        "INSERT OR IGNORE INTO aliases (alias, event, evidence, started_ns) VALUES (?, ?, ?, ?)",
        ((alias, entry_id(event), evidence, started) for alias, event, evidence, started in rows),
    )
