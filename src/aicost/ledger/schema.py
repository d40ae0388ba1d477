"""The ledger's tables.

An amount is two whole numbers, so that SQL can add amounts exactly: `nano` counts 1e-9 of a currency unit and
`atto_rest` what is left of it in 1e-18. `SUM(nano) * 10**9 + SUM(atto_rest)` is the exact sum. `nano` is added in two
halves (`query.py`): of amounts of a billion units ten are more than 64 bits can hold.
"""

from __future__ import annotations

VERSION = 4

OWNER_COLUMNS = (
    "tenant_id",
    "customer_id",
    "feature_id",
    "product",
    "team",
    "cost_center",
    "plan_tier",
    "environment",
    "project_id",
    "user_id",
    "session_id",
)
"""Attribution keys, each a column."""

ORIGIN = (
    "host",
    "provider_organization",
    "provider_project",
    "credential",
    "request_id",
    "gateway_call_id",
    "gateway_declared",
    "upstream_id",
)
"""Where an attempt was answered, and what a bill can be joined by: the fields of `Origin`, each a column."""

_ORIGIN_COLUMNS = ",\n".join(f"    {name} TEXT" for name in ORIGIN)
_OWNER_COLUMNS = ",\n".join(f"    {name} TEXT" for name in OWNER_COLUMNS)

_SIGHTINGS = """
-- Views that are no money, and what they would have been: of what is counted elsewhere, or contradicting it.
CREATE TABLE IF NOT EXISTS sightings (
    event_id TEXT NOT NULL,
    payload_hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    counted_by TEXT,
    observer TEXT NOT NULL,
    seen_ns INTEGER NOT NULL,
    currency TEXT,
    nano INTEGER,
    atto_rest INTEGER,
    payload TEXT NOT NULL,
    PRIMARY KEY (event_id, payload_hash)
) WITHOUT ROWID;

-- By what else an event is known: the attempt of a caller that it is the work of.
CREATE TABLE IF NOT EXISTS aliases (
    alias TEXT PRIMARY KEY,
    event_id TEXT NOT NULL,
    evidence TEXT NOT NULL
) WITHOUT ROWID;
"""

TABLES = f"""
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- One row per attempt: the unit in which a provider bills.
CREATE TABLE IF NOT EXISTS charges (
    event_id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL DEFAULT 1,
    payload_hash TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    request_model TEXT,
    response_id TEXT,
    operation TEXT NOT NULL,
    api TEXT,
    service_tier TEXT,
    region TEXT,
    speed TEXT,
    status TEXT NOT NULL,
    billed TEXT NOT NULL,
    error_type TEXT,
    attempt INTEGER NOT NULL,
    retry_count INTEGER NOT NULL,
    backoff_ns INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    flags TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    trace_id TEXT,
    span_id TEXT,
    run_id TEXT,
    root_run_id TEXT,
    workflow TEXT,
    step TEXT,
    step_id TEXT,
    agent TEXT,
{_OWNER_COLUMNS},
    charge_status TEXT NOT NULL,
    reason TEXT,
    currency TEXT NOT NULL,
    nano INTEGER,
    atto_rest INTEGER,
    computed_amount TEXT,
    rate_card TEXT,
    retry_of TEXT,
    fallback_of TEXT,
{_ORIGIN_COLUMNS}
);
CREATE INDEX IF NOT EXISTS charges_started ON charges (started_ns);
CREATE INDEX IF NOT EXISTS charges_run ON charges (run_id);
CREATE INDEX IF NOT EXISTS charges_span ON charges (span_id);

-- One row per meter of a charge: quantity x unit price = amount.
CREATE TABLE IF NOT EXISTS charge_lines (
    event_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    meter TEXT NOT NULL,
    quantity TEXT NOT NULL,
    unit_price TEXT,
    per INTEGER NOT NULL,
    rate_id TEXT,
    nano INTEGER,
    atto_rest INTEGER,
    PRIMARY KEY (event_id, position)
) WITHOUT ROWID;

-- Where each rate that was ever applied came from, as it was then.
CREATE TABLE IF NOT EXISTS rates (
    rate_card TEXT NOT NULL,
    rate_id TEXT NOT NULL,
    about TEXT NOT NULL,
    PRIMARY KEY (rate_card, rate_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    root_run_id TEXT NOT NULL,
    parent_run_id TEXT,
    workflow TEXT NOT NULL,
    version TEXT,
    status TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER,
    attribution TEXT NOT NULL,
    parent_step_id TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_root ON runs (root_run_id);
CREATE INDEX IF NOT EXISTS runs_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS steps (
    step_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    parent_step_id TEXT,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS steps_inside ON steps (run_id, parent_step_id);

CREATE TABLE IF NOT EXISTS outcomes (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    run_id TEXT,
    at_ns INTEGER NOT NULL,
    attribution TEXT NOT NULL
);

{_SIGHTINGS}
"""

_QUARANTINED = """
SELECT event_id, payload_hash, 'contradiction' AS kind, '' AS reason, event_id AS counted_by, '' AS observer, seen_ns,
    json_extract(said, '$.currency') AS currency, json_extract(said, '$.nano') AS nano,
    json_extract(said, '$.atto_rest') AS atto_rest, said AS payload
FROM (SELECT *, CASE WHEN json_valid(payload) THEN payload ELSE '{}' END AS said FROM quarantine)
"""
"""What schema 2 kept of contradictions."""

_NO_ORIGIN = ", ".join(f"NULL AS {name}" for name in ORIGIN)

UPGRADES = {
    1: "ALTER TABLE charges ADD COLUMN retry_of TEXT; ALTER TABLE charges ADD COLUMN fallback_of TEXT;",
    2: "".join(f"ALTER TABLE charges ADD COLUMN {name} TEXT; " for name in ORIGIN)
    + _SIGHTINGS
    + f"INSERT INTO sightings {_QUARANTINED}; DROP TABLE quarantine;",
    # What went on in another process was called "remote", where the name of its run had not been sent along.
    3: "ALTER TABLE runs ADD COLUMN parent_step_id TEXT; "
    "CREATE INDEX IF NOT EXISTS runs_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL; "
    "DROP INDEX IF EXISTS steps_run; CREATE INDEX IF NOT EXISTS steps_inside ON steps (run_id, parent_step_id); "
    "UPDATE charges SET workflow = (SELECT workflow FROM runs WHERE runs.run_id = charges.run_id) "
    "WHERE workflow = 'remote' AND run_id IN (SELECT run_id FROM runs);",
}
"""What turns a ledger of each older schema into one of the next."""

_NO_PARENT_STEP = "CREATE TEMP VIEW runs AS SELECT *, NULL AS parent_step_id FROM main.runs"

READ_AS_IF = {
    1: "CREATE TEMP VIEW charges AS SELECT *, NULL AS retry_of, NULL AS fallback_of, "
    f"{_NO_ORIGIN} FROM main.charges; CREATE TEMP VIEW sightings AS {_QUARANTINED}; {_NO_PARENT_STEP}",
    2: f"CREATE TEMP VIEW charges AS SELECT *, {_NO_ORIGIN} FROM main.charges; "
    f"CREATE TEMP VIEW sightings AS {_QUARANTINED}; {_NO_PARENT_STEP}",
    3: _NO_PARENT_STEP,
}
"""What makes an older ledger, that may only be read, answer like one of this schema."""

CHARGE_COLUMNS = (
    "event_id",
    "payload_hash",
    "provider",
    "model",
    "request_model",
    "response_id",
    "operation",
    "api",
    "service_tier",
    "region",
    "speed",
    "status",
    "billed",
    "error_type",
    "attempt",
    "retry_count",
    "backoff_ns",
    "complete",
    "estimated",
    "flags",
    "started_ns",
    "ended_ns",
    "trace_id",
    "span_id",
    "run_id",
    "root_run_id",
    "workflow",
    "step",
    "step_id",
    "agent",
    *OWNER_COLUMNS,
    "charge_status",
    "reason",
    "currency",
    "nano",
    "atto_rest",
    "computed_amount",
    "rate_card",
    "retry_of",
    "fallback_of",
    *ORIGIN,
)
