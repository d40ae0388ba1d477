"""The ledger's tables, in SQLite.

An entry is never changed nor deleted: what turns out otherwise is reversed, by a row with the same numbers negated, and
entered anew. So each sum over rows is the sum over what counts, and each count is `SUM(n)`. An amount is three whole
numbers of one sign, units, 1e-9 and 1e-18 of the currency, so that SQL adds amounts exactly and cannot overflow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from aicost._errors import LedgerError

from .columns import AMOUNTS, CONTEXT, QUANTITIES, SUBJECT

SCHEMA_VERSION = 5

BOOKS = ("metered", "invoiced", "allocated")
"""What `entries.book` counts from 0."""

SAME_AS_RUN = b""
"""What stands for a trace, or an outermost run, that has the id of the run."""


def _columns(names: tuple[str, ...], kind: str) -> str:
    return "".join(f"    {name} {kind},\n" for name in names)


QUANTITY_COLUMNS = tuple(f"q{n}" for n in range(QUANTITIES))
AMOUNT_COLUMNS = tuple(f"{name}_{limb}" for name in AMOUNTS for limb in ("units", "nano", "atto"))

ENTRY = (
    "id",
    "n",
    "corrects",
    "event",
    "book",
    "charge_start",
    "charge_ns",
    "posted_period",
    "context",
    "subject",
    "layout",
    *QUANTITY_COLUMNS,
    *AMOUNT_COLUMNS,
    "attempt",
    "retry_count",
    "backoff_ns",
    "retry_of",
    "fallback_of",
    "run_id",
    "root_run_id",
    "step_id",
    "trace_id",
    "span_id",
    "request_id",
    "response_id",
    "resource_id",
    "invoice_id",
    "quantities",
    "details",
    "writer",
    "writer_seq",
)
"""The columns of an entry, in their order."""

TABLES = f"""
-- The facts that many entries share. The id is a digest of them.
CREATE TABLE IF NOT EXISTS contexts (
    id INTEGER PRIMARY KEY,
{_columns(CONTEXT, "TEXT").rstrip().rstrip(",")}
);

-- Whom an entry is about. What is forgotten is NULL, and the entries stay.
CREATE TABLE IF NOT EXISTS subjects (
    id INTEGER PRIMARY KEY,
{_columns(SUBJECT, "TEXT").rstrip().rstrip(",")}
);

-- A combination of meters with their prices: [[meter, unit price, per, rate id, "a/b"], ...], where a/b is the price of
-- one in 1e-18. Quantities stand in the entries, in this order.
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, meters TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,           -- 16 bytes
    n INTEGER NOT NULL,                -- 1, or -1 of a reversal
    corrects BLOB,                     -- of a reversal or replacement: what it corrects
    event BLOB,                        -- the first entry of the same event, where that is another
    book INTEGER NOT NULL,             -- 0 metered, 1 invoiced, 2 allocated
    charge_start INTEGER NOT NULL,     -- nanoseconds since the epoch
    charge_ns INTEGER NOT NULL,
    posted_period TEXT,                -- YYYY-MM, where it is not the month of charge_start
    context INTEGER NOT NULL,
    subject INTEGER,
    layout INTEGER,
{_columns(QUANTITY_COLUMNS, "INTEGER")}{_columns(AMOUNT_COLUMNS, "INTEGER")}\
    attempt INTEGER NOT NULL,
    retry_count INTEGER,
    backoff_ns INTEGER,
    retry_of,
    fallback_of,
    run_id,
    root_run_id,                       -- empty: the same as run_id
    step_id,
    trace_id,                          -- empty: the same as run_id
    span_id,
    request_id TEXT,
    response_id TEXT,
    resource_id TEXT,
    invoice_id TEXT,
    quantities TEXT,                   -- a JSON array, where the columns cannot hold them
    details TEXT,                      -- a JSON object: what few entries say
    writer INTEGER,
    writer_seq INTEGER
);
CREATE INDEX IF NOT EXISTS entries_corrects ON entries (corrects) WHERE corrects IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_event ON entries (event) WHERE event IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_start ON entries (charge_start);
CREATE INDEX IF NOT EXISTS entries_run ON entries (run_id);
CREATE INDEX IF NOT EXISTS entries_span ON entries (span_id);

-- The ids of events that are no 16 bytes.
CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY, id BLOB NOT NULL UNIQUE) WITHOUT ROWID;

-- What further views told of an event: what counts is decided from all of them.
CREATE TABLE IF NOT EXISTS views (
    event BLOB NOT NULL, digest BLOB NOT NULL, record TEXT NOT NULL, PRIMARY KEY (event, digest)
) WITHOUT ROWID;

-- Views that are no money, and what they would have been: of what is counted elsewhere, or contradicting it.
CREATE TABLE IF NOT EXISTS sightings (
    event BLOB NOT NULL,
    digest BLOB NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    counted_by TEXT,
    observer TEXT NOT NULL,
    seen_ns INTEGER NOT NULL,
    context INTEGER NOT NULL,
    subject INTEGER,
    charge_start INTEGER NOT NULL,
    run_id,
    span_id,
    units INTEGER,
    nano INTEGER,
    atto INTEGER,
    PRIMARY KEY (event, digest)
) WITHOUT ROWID;

-- By what else an event is known: the attempt of a caller that it is the work of.
CREATE TABLE IF NOT EXISTS aliases (
    alias TEXT NOT NULL,
    event BLOB NOT NULL,
    evidence TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    PRIMARY KEY (alias, event)
) WITHOUT ROWID;

-- Where each rate that was ever applied came from, as it was then.
CREATE TABLE IF NOT EXISTS rates (
    rate_card TEXT NOT NULL, rate_id TEXT NOT NULL, about TEXT NOT NULL, PRIMARY KEY (rate_card, rate_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS runs (
    run_id PRIMARY KEY NOT NULL,
    root_run_id NOT NULL,
    parent_run_id,
    parent_step_id,
    workflow TEXT NOT NULL,
    version TEXT,
    status TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER,
    attribution TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_root ON runs (root_run_id);
CREATE INDEX IF NOT EXISTS runs_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS steps (
    step_id PRIMARY KEY NOT NULL,
    run_id NOT NULL,
    parent_step_id,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS steps_inside ON steps (run_id, parent_step_id);

CREATE TABLE IF NOT EXISTS outcomes (
    id PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    run_id,
    at_ns INTEGER NOT NULL,
    attribution TEXT NOT NULL,
    value TEXT,
    unit TEXT
) WITHOUT ROWID;

-- How far each segment of the journal was taken in: written in the transaction that takes it in.
CREATE TABLE IF NOT EXISTS places (segment TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
-- Records of the journal that could not be read, as they were.
CREATE TABLE IF NOT EXISTS unread (
    writer TEXT NOT NULL, number INTEGER NOT NULL, record BLOB NOT NULL, why TEXT NOT NULL, PRIMARY KEY (writer, number)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS writers (number INTEGER PRIMARY KEY, writer TEXT NOT NULL UNIQUE);
"""

_CONTEXT_OF = ", ".join(f"c.{name}" for name in CONTEXT)
_SUBJECT_OF = ", ".join(f"s.{name}" for name in SUBJECT)

VIEWS = f"""
-- What counts, one row per attempt, for whoever asks in SQL. Ids are text; `amount` is for the eye, and no exact sum.
CREATE VIEW IF NOT EXISTS charges AS
SELECT COALESCE(w.name, lower(hex(COALESCE(e.event, e.id)))) AS event_id,
    {_CONTEXT_OF}, {_SUBJECT_OF},
    e.charge_start AS started_ns, e.charge_start + e.charge_ns AS ended_ns, e.attempt, e.retry_count,
    CASE typeof(e.run_id) WHEN 'blob' THEN lower(hex(e.run_id)) ELSE e.run_id END AS run_id,
    CASE typeof(e.step_id) WHEN 'blob' THEN lower(hex(e.step_id)) ELSE e.step_id END AS step_id,
    CASE typeof(e.span_id) WHEN 'blob' THEN lower(hex(e.span_id)) ELSE e.span_id END AS span_id,
    e.request_id, e.response_id, e.amount_units, e.amount_nano, e.amount_atto,
    e.amount_units + e.amount_nano / 1e9 + e.amount_atto / 1e18 AS amount
FROM entries e JOIN contexts c ON c.id = e.context LEFT JOIN subjects s ON s.id = e.subject
    LEFT JOIN names w ON w.id = COALESCE(e.event, e.id)
WHERE e.n = 1 AND NOT EXISTS (SELECT 1 FROM entries r WHERE r.corrects = e.id);
"""


_OURS = ({"charges", "charge_lines"}, {"entries", "contexts"})
"""What is in a ledger: of schemas 1 to 4, and of those since."""


def version_of(db: sqlite3.Connection, path: Path) -> int | None:
    """The schema version of the ledger, or None for an empty file. Raises `LedgerError` for what is no ledger."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if not any(tables >= ours for ours in _OURS):
        raise LedgerError(
            f"{path} is a database but not an aicost ledger (it has table {min(tables)!r}); choose another path"
        )
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"ledger {path} was written by a newer aicost (schema {version}, this one knows {SCHEMA_VERSION}); upgrade"
        )
    return version


def missing_columns(db: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of dimensions that a ledger has not yet, by table."""
    missing: dict[str, list[str]] = {}
    for table, columns in (("contexts", CONTEXT), ("subjects", SUBJECT)):
        there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        missing[table] = [name for name in columns if name not in there]
    return missing


def statements(script: str) -> Iterator[str]:
    """The statements of a script. `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
