"""Whether a ledger holds what it promises: each invariant is asked of the store, and names the row that breaks it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from aicost._errors import LedgerError
from aicost._ledger_url import LedgerUrl

from .closing import month_of, months_closed
from .columns import CONTEXT, SUBJECT, digest_of
from .connection import as_ledger_error
from .engines.sqlite import SqliteSnapshot
from .ingest import READ_TIMEOUT_S
from .records import layout_of
from .rollups import differences
from .rows import NO_LAYOUT, quantities_of
from .schema import COUNTS
from .selection import HOUR_NS
from .sql_dialects import QUANTITY_COLUMNS, SqlDialect
from .store import Snapshot
from .where import open_snapshot, where_is


class Broken(NamedTuple):
    """A row that breaks an invariant. `row` is what to look for it by: an id, or a digest."""

    invariant: str
    row: str
    why: str


_SAME = ("context", "subject", "layout", "charge_start", "run_id", "step_id", "span_id", "trace_id", "book")


def _questions(dialect: SqlDialect) -> dict[str, tuple[str, str]]:
    """For each invariant what to say, and what finds the rows that break it: an id, and what `{}` stands for."""
    opposite = ("n", *QUANTITY_COLUMNS, *dialect.amount_columns)
    is_reversal = [
        *(dialect.is_same(f"r.{name}", f"-o.{name}") for name in opposite),
        *(dialect.is_same(f"r.{name}", f"o.{name}") for name in _SAME),
    ]
    questions = {
        "an id is 16 bytes": ("it has {}", "SELECT id, length(id) AS said FROM entries WHERE length(id) <> 16"),
        "an entry counts 1, and a reversal -1": (
            "it counts {}",
            "SELECT id, n AS said FROM entries WHERE n NOT IN (1, -1) OR (n = -1 AND corrects IS NULL)",
        ),
        "an entry is corrected by its reversal once, and by a replacement once at most": (
            "it is corrected by {} rows",
            (
                "SELECT corrects AS id, COUNT(*) AS said FROM entries WHERE corrects IS NOT NULL GROUP BY corrects "
                "HAVING SUM(CASE WHEN n = -1 THEN 1 ELSE 0 END) <> 1 OR SUM(CASE WHEN n = 1 THEN 1 ELSE 0 END) > 1"
            ),
        ),
        "what is corrected is there": (
            "it corrects {}",
            (
                "SELECT e.id AS id, e.corrects AS said FROM entries e LEFT JOIN entries o ON o.id = e.corrects "
                "WHERE e.corrects IS NOT NULL AND o.id IS NULL"
            ),
        ),
        "a reversal is the negative of what it corrects": (
            "it is not that of {}",
            (
                "SELECT r.id AS id, o.id AS said FROM entries r JOIN entries o ON o.id = r.corrects "
                f"WHERE r.n = -1 AND NOT ({' AND '.join(is_reversal)})"
            ),
        ),
        "an entry names its context, subject and layout": (
            "one is missing",
            (
                "SELECT e.id AS id, 0 AS said FROM entries e LEFT JOIN contexts c ON c.id = e.context "
                "LEFT JOIN subjects s ON s.id = e.subject LEFT JOIN layouts l ON l.id = e.layout "
                "WHERE c.id IS NULL OR (e.subject IS NOT NULL AND s.id IS NULL) "
                "OR (e.layout IS NOT NULL AND l.id IS NULL)"
            ),
        ),
        "an unpriced entry has no amount, and a priced one has": (
            "it is {}",
            (
                "SELECT e.id AS id, c.charge_status AS said FROM entries e JOIN contexts c ON c.id = e.context "
                "WHERE CASE WHEN c.charge_status = 'unpriced' THEN 1 ELSE 0 END "
                f"<> CASE WHEN {dialect.is_known('e.amount')} THEN 0 ELSE 1 END"
            ),
        ),
        "what counts elsewhere does not count here": (
            "it was seen, and counts elsewhere",
            (
                "SELECT e.id AS id, 0 AS said FROM entries e WHERE e.n = 1 AND COALESCE(e.event, e.id) IN "
                f"(SELECT event FROM sightings WHERE kind <> 'contradiction') AND {COUNTS.format('e')}"
            ),
        ),
    }
    if dialect.is_uneven:
        questions["an amount is of one sign, its parts below one"] = (
            "its amounts are not",
            f"SELECT id, 0 AS said FROM entries WHERE {dialect.is_uneven}",
        )
    return questions


def check(where: Path | LedgerUrl | str) -> Iterator[Broken]:
    """Every row that breaks an invariant of the ledger; none, if all is well. Reads one moment, and changes nothing.

    Raises `LedgerError` for what is no ledger. Where the file itself is damaged, that is all it says.
    """
    where = where_is(where)
    if isinstance(where, LedgerUrl):
        with closing(open_snapshot(where, timeout_s=READ_TIMEOUT_S)) as snapshot:
            yield from _broken(snapshot)
        return
    try:
        with as_ledger_error(f"cannot read ledger {where}", "restore a copy, or try `sqlite3 FILE .recover`"):
            yield from _broken_in_file(where)
    except LedgerError as error:
        cause = error.__cause__
        # Text that is none is said by the same error as a file that cannot be opened.
        is_closed = isinstance(cause, sqlite3.OperationalError) and "decode" not in str(cause)
        if cause is None or is_closed or isinstance(cause, OSError):
            raise
        yield Broken("the file is whole", str(where), str(error))


def _broken_in_file(path: Path) -> Iterator[Broken]:
    with closing(SqliteSnapshot.open(path, timeout_s=READ_TIMEOUT_S)) as file:
        for (said,) in file.db.execute("PRAGMA integrity_check").fetchall():
            if said != "ok":
                yield Broken("the file is whole", str(path), said)
        yield from _broken(file)


def _broken(snapshot: Snapshot) -> Iterator[Broken]:
    for invariant, (said, question) in _questions(snapshot.dialect).items():
        for row in snapshot.rows(question):
            yield Broken(invariant, _text(row["id"]), said.format(_text(row["said"])))
    yield from _digests(snapshot)
    yield from _lines(snapshot)
    yield from _transfers(snapshot)
    yield from _posted(snapshot)
    yield from _groupings(snapshot)
    yield from _sums(snapshot)


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _digests(snapshot: Snapshot) -> Iterator[Broken]:
    for table, columns in (("contexts", CONTEXT), ("layouts", ("meters",)), ("subjects", SUBJECT)):
        for row in snapshot.stream(f"SELECT id, {', '.join(columns)} FROM {table}"):
            values = [row[name] for name in columns]
            is_forgotten = table == "subjects" and all(value is None for value in values)
            if not is_forgotten and digest_of(columns, values) != row["id"]:
                yield Broken(
                    "an id of what is interned is a digest of it", f"{table} {row['id']}", "it is of something else"
                )


def _lines(snapshot: Snapshot) -> Iterator[Broken]:
    """The lines of an entry sum to its amount, unless a provider's own cost is the amount, or no line has a price."""
    dialect = snapshot.dialect
    columns = (*QUANTITY_COLUMNS, *dialect.columns_of_money("amount"), "quantities", "details")
    rows = snapshot.stream(
        f"SELECT e.id AS id, c.charge_status AS status, l.meters AS meters, {_of('e', columns)} FROM entries e "
        "JOIN contexts c ON c.id = e.context LEFT JOIN layouts l ON l.id = e.layout"
    )
    for row in rows:
        identity = _text(row["id"])
        try:
            dict(json.loads(row["details"] or "{}"))
            layout = layout_of(row["meters"] or NO_LAYOUT)
            text = row["quantities"]
            told = quantities_of(text) if text is not None else [row[name] for name in QUANTITY_COLUMNS[: len(layout)]]
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            yield Broken("an entry can be read", identity, repr(error))
            continue
        amount = dialect.atto(row, "amount")
        if any(quantity is None for quantity in told):
            yield Broken("an entry has a quantity for each meter of its layout", identity, "one is missing")
            continue
        known = [atto for atto in layout.amounts(told) if atto is not None]
        if row["status"] == "provider_reported" or amount is None or not known:
            continue
        if sum(known) != amount:
            yield Broken("the lines of an entry sum to its amount", identity, f"{sum(known)} and {amount} (1e-18)")


def _of(alias: str, columns: tuple[str, ...]) -> str:
    return ", ".join(f"{alias}.{name} AS {name}" for name in columns)


def _transfers(snapshot: Snapshot) -> Iterator[Broken]:
    rows = snapshot.rows(
        f"SELECT COALESCE(e.event, e.id) AS of_event, {snapshot.dialect.sum_of_money('e.amount', 'amount')} "
        "FROM entries e WHERE e.book = 2 GROUP BY 1"
    )
    for row in rows:
        if amount := snapshot.dialect.atto(row, "amount"):
            said = f"they sum to {amount} (1e-18)"
            yield Broken("the transfers of an allocation sum to zero", _text(row["of_event"]), said)


def _sums(snapshot: Snapshot) -> Iterator[Broken]:
    for table, key in differences(snapshot):
        why = "they are not those of the entries; make them anew with `aicost ledger rebuild`"
        yield Broken("sums that are kept are those of the entries", f"{table} {key}", why)


def _posted(snapshot: Snapshot) -> Iterator[Broken]:
    closed = months_closed(snapshot)
    asked = "SELECT id, charge_start, posted_period FROM entries WHERE posted_period IS NOT NULL"
    for row in snapshot.stream(asked):
        month, posted = month_of(row["charge_start"]), row["posted_period"]
        if month not in closed or posted <= month:
            said = f"it is of {month}, and posted to {posted}"
            yield Broken("what is billed in a later month is of one that was closed", _text(row["id"]), said)


def _groupings(snapshot: Snapshot) -> Iterator[Broken]:
    """Every breakdown of one selection has the same total."""
    dialect = snapshot.dialect
    keys = ("", ", e.run_id", ", e.context", f", {dialect.rounded_down('e.charge_start', HOUR_NS)}")
    totals: dict[str, Mapping[str, list[int]]] = {}
    for by in keys:
        found: dict[str, list[int]] = {}
        for row in snapshot.rows(
            f"SELECT c.currency AS currency, SUM(e.n) AS n, {dialect.sum_of_money('e.amount', 'amount')} "
            f"FROM entries e JOIN contexts c ON c.id = e.context GROUP BY c.currency{by}"
        ):
            of = found.setdefault(row["currency"], [0, 0])
            of[0] += int(row["n"])
            of[1] += dialect.atto(row, "amount") or 0
        totals[by] = found
    for by, found_by in totals.items():
        if found_by != totals[""]:
            yield Broken("every breakdown of one selection has the same total", f"currency{by}", f"{found_by}")
