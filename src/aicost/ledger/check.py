"""Whether a ledger holds what it promises: each invariant is asked of the file, and names the row that breaks it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from aicost._errors import LedgerError

from .columns import AMOUNTS, CONTEXT, SUBJECT, digest_of, whole
from .connection import as_ledger_error, connect_read_only
from .ingest import READ_TIMEOUT_S
from .records import layout_of
from .rows import NO_LAYOUT, quantities_of
from .sql_dialects import QUANTITY_COLUMNS, SQLITE


class Broken(NamedTuple):
    """A row that breaks an invariant. `row` is what to look for it by: an id, or a digest."""

    invariant: str
    row: str
    why: str


_SAME = ("context", "subject", "layout", "charge_start", "run_id", "step_id", "span_id", "trace_id", "book")
_OPPOSITE = ("n", *QUANTITY_COLUMNS, *SQLITE.amount_columns)

_MONTH = "strftime('%Y-%m', e.charge_start / 1000000000, 'unixepoch')"
_QUESTIONS = {
    "an id is 16 bytes": "SELECT id, 'it has ' || length(id) FROM entries WHERE length(id) <> 16",
    "an entry counts 1, and a reversal -1": (
        "SELECT id, 'it counts ' || n FROM entries WHERE n NOT IN (1, -1) OR (n = -1 AND corrects IS NULL)"
    ),
    "an entry is corrected by its reversal once, and by a replacement once at most": (
        "SELECT corrects, 'it is corrected by ' || COUNT(*) || ' rows' FROM entries WHERE corrects IS NOT NULL "
        "GROUP BY corrects HAVING SUM(n = -1) <> 1 OR SUM(n = 1) > 1"
    ),
    "what is corrected is there": (
        "SELECT e.id, 'it corrects ' || lower(hex(e.corrects)) FROM entries e LEFT JOIN entries o ON o.id = e.corrects "
        "WHERE e.corrects IS NOT NULL AND o.id IS NULL"
    ),
    "a reversal is the negative of what it corrects": (
        "SELECT r.id, 'it is not that of ' || lower(hex(o.id)) FROM entries r JOIN entries o ON o.id = r.corrects "
        "WHERE r.n = -1 AND NOT ("
        + " AND ".join(
            [*(f"r.{name} IS -o.{name}" for name in _OPPOSITE), *(f"r.{name} IS o.{name}" for name in _SAME)]
        )
        + ")"
    ),
    "an entry names its context, subject and layout": (
        "SELECT e.id, 'one is missing' FROM entries e LEFT JOIN contexts c ON c.id = e.context "
        "LEFT JOIN subjects s ON s.id = e.subject LEFT JOIN layouts l ON l.id = e.layout "
        "WHERE c.id IS NULL OR (e.subject IS NOT NULL AND s.id IS NULL) OR (e.layout IS NOT NULL AND l.id IS NULL)"
    ),
    "an amount is of one sign, its parts below one": (
        "SELECT id, 'its amounts are not' FROM entries WHERE "
        + " OR ".join(
            f"abs({name}_nano) >= 1000000000 OR abs({name}_atto) >= 1000000000 "
            f"OR (({name}_units > 0 OR {name}_nano > 0 OR {name}_atto > 0) "
            f"AND ({name}_units < 0 OR {name}_nano < 0 OR {name}_atto < 0)) "
            f"OR (({name}_units IS NULL) + ({name}_nano IS NULL) + ({name}_atto IS NULL) NOT IN (0, 3))"
            for name in AMOUNTS
        )
    ),
    "an unpriced entry has no amount, and a priced one has": (
        "SELECT e.id, 'it is ' || c.charge_status FROM entries e JOIN contexts c ON c.id = e.context "
        "WHERE (c.charge_status = 'unpriced') <> (e.amount_units IS NULL)"
    ),
    "what counts elsewhere does not count here": (
        "SELECT e.id, s.kind FROM sightings s JOIN entries e ON e.id = s.event OR e.event = s.event "
        "WHERE s.kind <> 'contradiction' AND e.n = 1 AND NOT EXISTS (SELECT 1 FROM entries r WHERE r.corrects = e.id)"
    ),
    "what is billed in a later month is of one that was closed": (
        "SELECT e.id, 'it is posted to ' || e.posted_period FROM entries e WHERE e.posted_period IS NOT NULL "
        f"AND (e.posted_period <= {_MONTH} OR {_MONTH} NOT IN (SELECT month FROM closed_periods))"
    ),
    "the transfers of an allocation sum to zero": (
        "SELECT COALESCE(e.event, e.id), 'they sum to ' || SUM(e.amount_units) FROM entries e WHERE e.book = 2 "
        "GROUP BY 1 HAVING SUM(e.amount_units) <> 0 OR SUM(e.amount_nano) <> 0 OR SUM(e.amount_atto) <> 0"
    ),
}


def check(path: Path) -> Iterator[Broken]:
    """Every row that breaks an invariant of the ledger; none, if all is well. Reads one moment, and changes nothing.

    Raises `LedgerError` for what is no ledger. Where the file itself is damaged, that is all it says.
    """
    try:
        with as_ledger_error(f"cannot read ledger {path}", "restore a copy, or try `sqlite3 FILE .recover`"):
            yield from _broken(path)
    except LedgerError as error:
        cause = error.__cause__
        # Text that is none is said by the same error as a file that cannot be opened.
        is_closed = isinstance(cause, sqlite3.OperationalError) and "decode" not in str(cause)
        if cause is None or is_closed or isinstance(cause, OSError):
            raise
        yield Broken("the file is whole", str(path), str(error))


def _broken(path: Path) -> Iterator[Broken]:
    with closing(connect_read_only(path, timeout_s=READ_TIMEOUT_S)) as db:
        for (said,) in db.execute("PRAGMA integrity_check").fetchall():
            if said != "ok":
                yield Broken("the file is whole", str(path), said)
        for invariant, question in _QUESTIONS.items():
            for row, why in db.execute(question):
                yield Broken(invariant, row.hex() if isinstance(row, bytes) else str(row), str(why))
        yield from _digests(db)
        yield from _lines(db)
        yield from _groupings(db)


def _digests(db: sqlite3.Connection) -> Iterator[Broken]:
    for table, columns in (("contexts", CONTEXT), ("layouts", ("meters",))):
        for number, *values in db.execute(f"SELECT id, {', '.join(columns)} FROM {table}"):
            if digest_of(columns, values) != number:
                yield Broken(
                    "an id of what is interned is a digest of it", f"{table} {number}", "it is of something else"
                )
    for number, *values in db.execute(f"SELECT id, {', '.join(SUBJECT)} FROM subjects"):
        is_forgotten = all(value is None for value in values)
        if not is_forgotten and digest_of(SUBJECT, values) != number:
            yield Broken("an id of what is interned is a digest of it", f"subjects {number}", "it is of something else")


def _lines(db: sqlite3.Connection) -> Iterator[Broken]:
    """The lines of an entry sum to its amount, unless a provider's own cost is the amount, or no line has a price."""
    quantities = ", ".join(f"e.{name}" for name in QUANTITY_COLUMNS)
    rows = db.execute(
        "SELECT e.id, e.n, e.amount_units, e.amount_nano, e.amount_atto, c.charge_status, e.quantities, e.details, "
        f"l.meters, {quantities} FROM entries e JOIN contexts c ON c.id = e.context "
        "LEFT JOIN layouts l ON l.id = e.layout"
    )
    for identity, _, units, nano, rest, status, text, details, meters, *columns in rows:
        try:
            dict(json.loads(details or "{}"))
            layout = layout_of(meters or NO_LAYOUT)
            told = quantities_of(text) if text is not None else columns[: len(layout)]
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            yield Broken("an entry can be read", identity.hex(), repr(error))
            continue
        amount = whole(units, nano, rest)
        if any(quantity is None for quantity in told):
            yield Broken("an entry has a quantity for each meter of its layout", identity.hex(), "one is missing")
            continue
        known = [atto for atto in layout.amounts(told) if atto is not None]
        if status == "provider_reported" or amount is None or not known:
            continue
        if sum(known) != amount:
            yield Broken(
                "the lines of an entry sum to its amount", identity.hex(), f"{sum(known)} and {amount} (1e-18)"
            )


def _groupings(db: sqlite3.Connection) -> Iterator[Broken]:
    """Every breakdown of one selection has the same total."""
    sums = ", ".join(f"SUM(e.{name}) AS {name}" for name in ("n", "amount_units", "amount_nano", "amount_atto"))
    totals = {}
    for by in (
        "c.currency",
        "c.currency, e.run_id",
        "c.currency, e.context",
        "c.currency, e.charge_start / 3600000000000",
    ):
        found: dict[str, list[int]] = {}
        for currency, *values in db.execute(
            f"SELECT c.currency, {sums} FROM entries e JOIN contexts c ON c.id = e.context GROUP BY {by}"
        ):
            of = found.setdefault(currency, [0, 0])
            of[0] += values[0]
            of[1] += whole(*values[1:]) or 0
        totals[by] = found
    for by, found in totals.items():
        if found != totals["c.currency"]:
            yield Broken("every breakdown of one selection has the same total", by, f"{found}")
