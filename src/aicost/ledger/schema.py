"""The ledger's tables: one definition, of which every store makes its own.

An entry is never changed nor deleted: what turns out otherwise is reversed, by a row with the same numbers negated, and
entered anew. So each sum over rows is the sum over what counts, and each count is `SUM(n)`.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .columns import AMOUNTS, CONTEXT, DIMENSION_KEYS, SUBJECT
from .sql_dialects import QUANTITY_COLUMNS, Kind, SqlDialect

SCHEMA_VERSION = 6

BOOKS = ("metered", "invoiced", "allocated")
"""What `entries.book` counts from 0."""


class StoredColumn(NamedTuple):
    """A column of a table."""

    name: str
    kind: Kind
    required: bool = False
    about: str = ""


class LedgerTable(NamedTuple):
    """A table. Of one key there is one row: what is put first, unless it is a table of states, which are replaced."""

    name: str
    about: str
    columns: tuple[StoredColumn, ...]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, str, str], ...] = ()
    """(name, column, condition) of what else is looked for."""

    def names(self, dialect: SqlDialect) -> tuple[str, ...]:
        """Its columns in a store, in their order."""
        return _names(self, dialect)


@cache
def _names(table: LedgerTable, dialect: SqlDialect) -> tuple[str, ...]:
    return tuple(
        name
        for column in table.columns
        for name in (dialect.columns_of_money(column.name) if column.kind == "money" else (column.name,))
    )


def _texts(names: tuple[str, ...]) -> tuple[StoredColumn, ...]:
    return tuple(StoredColumn(name, "text") for name in names)


CONTEXTS = LedgerTable(
    "contexts",
    "The facts that many entries share. The id is a digest of them.",
    (StoredColumn("id", "number", True), *_texts(CONTEXT)),
    ("id",),
)
PEOPLE = LedgerTable(
    "subjects",
    "Whom an entry is about. What is forgotten is NULL, and the entries stay.",
    (StoredColumn("id", "number", True), *_texts(SUBJECT)),
    ("id",),
)
LAYOUTS = LedgerTable(
    "layouts",
    'A combination of meters with their prices: [[meter, unit price, per, rate id, "a/b"], ...], where a/b is the '
    "price of one in 1e-18. Quantities stand in the entries, in this order.",
    (StoredColumn("id", "number", True), StoredColumn("meters", "text", True)),
    ("id",),
)
ENTRIES = LedgerTable(
    "entries",
    "What anything cost: one signed row each, never changed.",
    (
        StoredColumn("id", "id", True, "16 bytes"),
        StoredColumn("n", "count", True, "1, or -1 of a reversal"),
        StoredColumn("corrects", "id", about="of a reversal or replacement: what it corrects"),
        StoredColumn("event", "id", about="the first entry of the same event, where that is another"),
        StoredColumn("book", "count", True, "0 metered, 1 invoiced, 2 allocated"),
        StoredColumn("charge_start", "whole", True, "nanoseconds since the epoch"),
        StoredColumn("charge_ns", "whole", True),
        StoredColumn("posted_period", "text", about="YYYY-MM, where it is not the month of charge_start"),
        StoredColumn("context", "number", True),
        StoredColumn("subject", "number"),
        StoredColumn("layout", "number"),
        *(StoredColumn(name, "count") for name in QUANTITY_COLUMNS),
        *(StoredColumn(name, "money") for name in AMOUNTS),
        StoredColumn("attempt", "whole", True),
        StoredColumn("retry_count", "whole"),
        StoredColumn("backoff_ns", "whole"),
        StoredColumn("retry_of", "identifier"),
        StoredColumn("fallback_of", "identifier"),
        StoredColumn("run_id", "identifier"),
        StoredColumn("root_run_id", "identifier", about="in SQLite empty: the same as run_id"),
        StoredColumn("step_id", "identifier"),
        StoredColumn("trace_id", "identifier", about="in SQLite empty: the same as run_id"),
        StoredColumn("span_id", "identifier"),
        StoredColumn("request_id", "text"),
        StoredColumn("response_id", "text"),
        StoredColumn("resource_id", "text"),
        StoredColumn("invoice_id", "text"),
        StoredColumn("quantities", "json", about="an array, where the columns cannot hold them"),
        StoredColumn("details", "json", about="an object: what few entries say"),
        StoredColumn("writer", "number"),
        StoredColumn("writer_seq", "whole"),
    ),
    ("id",),
    (
        ("entries_corrects", "corrects", "corrects IS NOT NULL"),
        ("entries_event", "event", "event IS NOT NULL"),
        ("entries_start", "charge_start", ""),
        ("entries_run", "run_id", ""),
        ("entries_span", "span_id", ""),
        ("entries_step", "step_id", "step_id IS NOT NULL"),
    ),
)
NAMES = LedgerTable(
    "names",
    "The ids of events that are no 16 bytes.",
    (StoredColumn("name", "text", True), StoredColumn("id", "id", True)),
    ("name",),
    (("names_id", "id", ""),),
)
FURTHER_VIEWS = LedgerTable(
    "views",
    "What further views told of an event: what counts is decided from all of them.",
    (StoredColumn("event", "id", True), StoredColumn("digest", "digest", True), StoredColumn("record", "json", True)),
    ("event", "digest"),
)
SIGHTINGS = LedgerTable(
    "sightings",
    "Views that are no money, and what they would have been: of what is counted elsewhere, or contradicting it.",
    (
        StoredColumn("event", "id", True),
        StoredColumn("digest", "digest", True),
        StoredColumn("kind", "text", True),
        StoredColumn("reason", "text", True),
        StoredColumn("counted_by", "text"),
        StoredColumn("observer", "text", True),
        StoredColumn("seen_ns", "whole", True),
        StoredColumn("context", "number", True),
        StoredColumn("subject", "number"),
        StoredColumn("charge_start", "whole", True),
        StoredColumn("run_id", "identifier"),
        StoredColumn("span_id", "identifier"),
        StoredColumn("amount", "money"),
    ),
    ("event", "digest"),
)
ALIASES = LedgerTable(
    "aliases",
    "By what else an event is known: the attempt of a caller that it is the work of.",
    (
        StoredColumn("alias", "text", True),
        StoredColumn("event", "id", True),
        StoredColumn("evidence", "text", True),
        StoredColumn("started_ns", "whole", True),
    ),
    ("alias", "event"),
)
RATES = LedgerTable(
    "rates",
    "Where each rate that was ever applied came from, as it was then.",
    (
        StoredColumn("rate_card", "text", True),
        StoredColumn("rate_id", "text", True),
        StoredColumn("about", "json", True),
    ),
    ("rate_card", "rate_id"),
)
RUNS = LedgerTable(
    "runs",
    "What ran, in what, and how it ended.",
    (
        StoredColumn("run_id", "identifier", True),
        StoredColumn("root_run_id", "identifier", True),
        StoredColumn("parent_run_id", "identifier"),
        StoredColumn("parent_step_id", "identifier"),
        StoredColumn("workflow", "text", True),
        StoredColumn("version", "text"),
        StoredColumn("status", "text", True),
        StoredColumn("started_ns", "whole", True),
        StoredColumn("ended_ns", "whole"),
        StoredColumn("attribution", "json", True),
    ),
    ("run_id",),
    (
        ("runs_root", "root_run_id", ""),
        ("runs_parent", "parent_run_id", "parent_run_id IS NOT NULL"),
        ("runs_failed", "run_id", "status = 'failed'"),
    ),
)
STEPS = LedgerTable(
    "steps",
    "The steps of runs.",
    (
        StoredColumn("step_id", "identifier", True),
        StoredColumn("run_id", "identifier", True),
        StoredColumn("parent_step_id", "identifier"),
        StoredColumn("name", "text", True),
        StoredColumn("kind", "text", True),
        StoredColumn("status", "text", True),
        StoredColumn("started_ns", "whole", True),
        StoredColumn("ended_ns", "whole"),
    ),
    ("step_id",),
    (("steps_inside", "run_id, parent_step_id", ""), ("steps_failed", "run_id", "status = 'failed'")),
)
OUTCOMES = LedgerTable(
    "outcomes",
    "What was delivered.",
    (
        StoredColumn("id", "identifier", True),
        StoredColumn("name", "text", True),
        StoredColumn("count", "whole", True),
        StoredColumn("run_id", "identifier"),
        StoredColumn("at_ns", "whole", True),
        StoredColumn("attribution", "json", True),
        StoredColumn("value", "text"),
        StoredColumn("unit", "text"),
    ),
    ("id",),
)
PLACES = LedgerTable(
    "places",
    "How far each segment of the journal was taken in: written in the transaction that takes it in.",
    (
        StoredColumn("segment", "text", True),
        StoredColumn("reached", "whole", True),
        StoredColumn("journal", "text", about="the id of the journal; several machines may have one each"),
    ),
    ("segment",),
)
UNREAD = LedgerTable(
    "unread",
    "Records of the journal that could not be read, as they were.",
    (
        StoredColumn("writer", "text", True),
        StoredColumn("number", "whole", True),
        StoredColumn("record", "bytes", True),
        StoredColumn("why", "text", True),
    ),
    ("writer", "number"),
)
WRITERS = LedgerTable(
    "writers", "Who wrote.", (StoredColumn("writer", "text", True), StoredColumn("number", "number", True)), ("writer",)
)

CLOSED = LedgerTable(
    "closed_periods",
    "Months that were handed to finance: what belongs to one and comes later is posted to a later one.",
    (StoredColumn("month", "text", True, "YYYY-MM, in UTC"), StoredColumn("closed_ns", "whole", True)),
    ("month",),
)
SUMS_BY_DAY = LedgerTable(
    "sums_by_day",
    "Sums over entries that are alike, for each day in UTC: kept in the transaction that adds entries, and never more "
    "than what those say.",
    (
        StoredColumn("day", "whole", True, "days since the epoch"),
        StoredColumn("book", "count", True),
        StoredColumn("context", "number", True),
        StoredColumn("layout", "number", True, "-1 where there is none"),
        StoredColumn("known", "count", True, "whether there is an amount: 1, else 0"),
        StoredColumn("bounded", "count", True, "whether there is a most"),
        StoredColumn("is_fallback", "count", True),
        StoredColumn("alike", "number", True, "a digest of `quantities`; -1 where columns hold them"),
        StoredColumn("quantities", "json", about="of each of the entries, where the columns cannot hold them"),
        StoredColumn("n", "whole", True),
        StoredColumn("row_count", "whole", True),
        StoredColumn("app_retries", "whole", True),
        *(StoredColumn(name, "whole", True) for name in QUANTITY_COLUMNS),
        StoredColumn("amount", "money", True),
        StoredColumn("at_most", "money", True),
    ),
    ("day", "book", "context", "layout", "known", "bounded", "is_fallback", "alike"),
)
SUMS_BY_RUN = LedgerTable(
    "sums_by_run",
    "The same for each run and day, as far as entries are alike in who owns them (`OF_RUN`).",
    (
        StoredColumn("run_id", "identifier", True),
        StoredColumn("day", "whole", True),
        StoredColumn("book", "count", True),
        StoredColumn("context", "number", True, "any one of those that are alike in that"),
        StoredColumn("known", "count", True),
        StoredColumn("n", "whole", True),
        StoredColumn("amount", "money", True),
    ),
    ("run_id", "day", "book", "context", "known"),
)
OF_RUN = ("currency", "chargeable", "workflow", *DIMENSION_KEYS)
"""Facts that are mostly one for all of a run. What a question asks beside them, entries must answer."""

DERIVED = (SUMS_BY_DAY, SUMS_BY_RUN)
"""Tables that can be made anew from entries: a store may keep them as it takes in (`Snapshot.has_sums`)."""

TABLES = (
    CONTEXTS,
    PEOPLE,
    LAYOUTS,
    ENTRIES,
    NAMES,
    FURTHER_VIEWS,
    SIGHTINGS,
    ALIASES,
    RATES,
    RUNS,
    STEPS,
    OUTCOMES,
    PLACES,
    UNREAD,
    WRITERS,
    CLOSED,
)

COUNTS = "{0}.n = 1 AND NOT EXISTS (SELECT 1 FROM entries r WHERE r.corrects = {0}.id)"
"""Whether an entry counts."""
