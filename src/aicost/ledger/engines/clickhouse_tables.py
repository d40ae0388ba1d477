"""The ledger's tables as ClickHouse has them, and how its SQL differs.

Rows are never changed in place, so that whatever a server merges, and when, no answer depends on it. Each row has a
`block`: the number of the transaction that wrote it, and of the insert there. What is put once keeps the row of the
lowest block; of what is replaced every version stays, and a view shows the latest. So all that was written up to some
transaction can be read at any time later, by a condition on `block`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aicost.ledger.columns import CONTEXT, SUBJECT
from aicost.ledger.schema import (
    ENTRIES,
    OUTCOMES,
    PLACES,
    RUNS,
    SCHEMA_VERSION,
    SIGHTINGS,
    STEPS,
    TABLES,
    LedgerTable,
    StoredColumn,
)
from aicost.ledger.sql_dialects import Kind, SqlDialect

LOCK = "ingest_lock"
"""The table that whoever writes has: to make it is to have the lock, as only one can."""

SAID = f"aicost ledger, schema {SCHEMA_VERSION}"
"""The comment of the table of entries, once all of the ledger is there."""

BEING_MADE = "aicost ledger, being made"
"""Its comment until then."""

INSERTS_BITS = 12
"""Bits of a block that number the inserts of a transaction."""

STATES = (RUNS, STEPS, OUTCOMES, SIGHTINGS)
"""Tables whose rows are replaced. `places` is one, too: what ends a transaction writes to it, and the row of no segment
says which was the last."""

_TYPES: dict[Kind, str] = {
    "id": "FixedString(16)",
    "digest": "FixedString(12)",
    "bytes": "String",
    "whole": "Int64",
    "number": "Int64",
    "count": "Int32",
    "money": "Decimal(38, 18)",
    "text": "String",
    "json": "String",
    "identifier": "String",
}

_FROM, _UNTIL = 1_704_067_200_000, 2_335_219_200_000  # 2024 and 2044, in milliseconds

# A minted id begins with its time. A digest does with any: one in 450 seems to be of these 20 years, which are 240
# partitions at most. A day of an id must never change: an entry would no longer replace itself.
_POSTED_DAY = (
    "posted_day Date MATERIALIZED if(reinterpretAsUInt64(reverse(substring(id, 1, 6))) BETWEEN "
    f"{_FROM} AND {_UNTIL - 1}, toDate(intDiv(reinterpretAsUInt64(reverse(substring(id, 1, 6))), 86400000)), toDate(0))"
)
_SEARCHED = ("id", "event", "corrects", "run_id", "span_id")
_BLOCK = "block UInt64 CODEC(Delta, ZSTD), INDEX of_block block TYPE minmax GRANULARITY 1"
_END = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1 COMMENT '{0}'"


class ClickhouseDialect(SqlDialect):
    """ClickHouse: a question of many ids is as dear as one of few."""

    at_a_time = 10_000

    def rounded_down(self, column: str, by: int) -> str:
        return f"(intDiv({column}, {by}) - CASE WHEN {column} % {by} < 0 THEN 1 ELSE 0 END)"

    def label(self, column: str) -> str:
        return f"JSONExtract({column}, ?, 'Nullable(String)')"


CLICKHOUSE = ClickhouseDialect()


def type_of(table: LedgerTable, column: StoredColumn) -> str:
    """The type of a column."""
    kind = _TYPES[column.kind]
    if column.required:
        return kind
    is_shared = table.name == "contexts" and column.kind == "text"
    return f"LowCardinality(Nullable({kind}))" if is_shared else f"Nullable({kind})"


class Door(NamedTuple):
    """How rows of a table are sent: names and types of columns, and what the server makes of each."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    made: tuple[str, ...]


def door_of(columns: Sequence[StoredColumn]) -> Door:
    """Amounts are sent as whole numbers of 1e-18: of decimals the client makes text first."""
    types, made = [], []
    for column in columns:
        is_money = column.kind == "money"
        kind = "Int128" if is_money else _TYPES[column.kind]
        types.append(kind if column.required else f"Nullable({kind})")
        made.append(f"reinterpret({column.name}, 'Decimal(38, 18)')" if is_money else column.name)
    return Door(tuple(column.name for column in columns), tuple(types), tuple(made))


def physical(table: LedgerTable) -> str:
    """The name of the table that rows are in."""
    return f"{table.name}_told" if table in STATES or table is PLACES else table.name


def _created(table: LedgerTable) -> str:
    columns = [f"`{column.name}` {type_of(table, column)}" for column in table.columns]
    key, engine, partition = ", ".join(table.key), "ReplacingMergeTree(first)", ""
    about = table.about.replace("'", "\\'")
    columns.append(_BLOCK)
    if table is PLACES:
        engine = "ReplacingMergeTree(block, is_deleted)"
        columns.append("is_deleted UInt8")
    elif table in STATES:
        engine = "ReplacingMergeTree"
        key = f"{key}, block"
        columns.append("is_deleted UInt8")
    else:
        columns.append("first UInt64 MATERIALIZED 18446744073709551615 - block")
    if table is ENTRIES:
        key, partition, about = "posted_day, id", "PARTITION BY toYYYYMM(posted_day) ", BEING_MADE
        columns += [
            _POSTED_DAY,
            *(f"INDEX of_{name} {name} TYPE bloom_filter GRANULARITY 1" for name in _SEARCHED),
            "INDEX of_start charge_start TYPE minmax GRANULARITY 1",
        ]
    inside = ", ".join(columns)
    return (
        f"CREATE TABLE IF NOT EXISTS {physical(table)} ({inside}) ENGINE = {engine} {partition}ORDER BY ({key}) "
        + _END.format(about)
    )


def _latest(table: LedgerTable) -> str:
    key = ", ".join(table.key)
    names = ", ".join(f"`{column.name}`" for column in table.columns)
    return (
        f"CREATE VIEW IF NOT EXISTS {table.name} AS SELECT {names} FROM (SELECT * FROM {physical(table)} "
        f"ORDER BY {key}, block DESC LIMIT 1 BY {key}) WHERE is_deleted = 0"
    )


_ENDED = f"(SELECT bitShiftLeft(toUInt64(max(reached) + 1), {INSERTS_BITS}) FROM places_told FINAL WHERE segment = '')"

# What counts, one row per attempt, for whoever asks in SQL: exact, and of transactions that ended.
_CHARGES = (
    "CREATE VIEW IF NOT EXISTS charges AS SELECT COALESCE(w.name, lower(hex(COALESCE(e.event, e.id)))) AS event_id, "
    + ", ".join(f"c.{name} AS {name}" for name in CONTEXT)
    + ", "
    + ", ".join(f"s.{name} AS {name}" for name in SUBJECT)
    + ", e.charge_start AS started_ns, e.charge_start + e.charge_ns AS ended_ns, e.attempt AS attempt, "
    "e.retry_count AS retry_count, e.run_id AS run_id, e.step_id AS step_id, e.span_id AS span_id, "
    "e.request_id AS request_id, e.response_id AS response_id, e.amount AS amount, e.at_most AS at_most, "
    "fromUnixTimestamp64Nano(e.charge_start, 'UTC') AS started_at "
    "FROM entries AS e FINAL JOIN contexts AS c FINAL ON c.id = e.context "
    "LEFT JOIN subjects AS s FINAL ON s.id = e.subject "
    "LEFT JOIN names AS w FINAL ON w.id = COALESCE(e.event, e.id) "
    f"WHERE e.n = 1 AND e.block < {_ENDED} AND e.id NOT IN "
    f"(SELECT corrects FROM entries FINAL WHERE corrects IS NOT NULL AND block < {_ENDED}) "
    "SETTINGS join_use_nulls = 1"
)

# What failed, and what is inside of it. A step has one step around it, and a run one run: what failed itself is where
# a way down begins, and no way passes it, so that each is found once, and nothing for ever, whatever circle there is.
FAILED = """
WITH RECURSIVE failed_steps AS (
    SELECT step_id, run_id FROM steps WHERE status = 'failed'
    UNION ALL SELECT s.step_id, s.run_id FROM failed_steps AS f JOIN steps AS s
    ON s.run_id = f.run_id AND s.parent_step_id = f.step_id WHERE s.status <> 'failed'
),
runs_begun AS (
    SELECT run_id, parent_run_id,
        status = 'failed' OR COALESCE(parent_step_id IN (SELECT step_id FROM failed_steps), 0) AS is_failed FROM runs
),
failed_runs AS (
    SELECT run_id FROM runs_begun WHERE is_failed
    UNION ALL SELECT r.run_id FROM failed_runs AS f JOIN runs_begun AS r ON r.parent_run_id = f.run_id
    WHERE NOT r.is_failed
)
"""

CREATED = {
    **{physical(table): _created(table) for table in TABLES},
    **{table.name: _latest(table) for table in STATES},
    "places": (
        "CREATE VIEW IF NOT EXISTS places AS SELECT segment, reached, journal FROM places_told FINAL "
        "WHERE segment <> ''"
    ),
    "charges": _CHARGES,
}
"""The statements that make a ledger, by what each makes. Each can be run again."""

PLACES_DOOR = door_of((*PLACES.columns, StoredColumn("is_deleted", "count", True)))
