"""Runs, steps and outcomes as finished spans tell of them: in any order, more than once, and by several writers.

A process writes its runs and steps to its ledger as they begin and end. A collector hears of each only when it has
ended, maybe twice, its children first, and maybe beside the process itself. So every row is decided by what it holds:
what began first says what it is, what ended last says how it ended, and nothing known gives way to nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from .rows import storable


class ToldRun(NamedTuple):
    """A run that has ended. Times are nanoseconds since the epoch."""

    run_id: str
    root_run_id: str
    parent_run_id: str | None
    parent_step_id: str | None
    workflow: str
    version: str | None
    failed: bool
    started_ns: int
    ended_ns: int
    attribution: Mapping[str, str]


class ToldStep(NamedTuple):
    """A step that has ended. Outside any run, `run_id` is the trace."""

    step_id: str
    run_id: str
    parent_step_id: str | None
    name: str
    kind: str
    failed: bool
    started_ns: int
    ended_ns: int


class ToldOutcome(NamedTuple):
    """Units of value, under the id they were recorded with."""

    outcome_id: str
    name: str
    units: int
    run_id: str | None
    at_ns: int
    attribution: Mapping[str, str]


class Told(NamedTuple):
    """What the spans of one request tell of, beside charges."""

    runs: list[ToldRun]
    steps: list[ToldStep]
    outcomes: list[ToldOutcome]


def _said_first(column: str) -> str:
    """The value of what began first; what it does not say, the other may."""
    return (
        f"{column} = CASE WHEN excluded.started_ns < started_ns THEN COALESCE(excluded.{column}, {column}) "
        f"ELSE COALESCE({column}, excluded.{column}) END"
    )


_ENDED_LAST = (
    "status = CASE WHEN ended_ns IS NULL OR excluded.ended_ns > ended_ns THEN excluded.status ELSE status END, "
    "started_ns = MIN(started_ns, excluded.started_ns), ended_ns = MAX(COALESCE(ended_ns, 0), excluded.ended_ns)"
)
_RUN = ("root_run_id", "parent_run_id", "parent_step_id", "workflow", "version", "attribution")
_PUT_RUN = (
    f"INSERT INTO runs (run_id, {', '.join(_RUN)}, status, started_ns, ended_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    f"ON CONFLICT (run_id) DO UPDATE SET {', '.join(map(_said_first, _RUN))}, {_ENDED_LAST}"
)
_STEP = ("run_id", "parent_step_id", "name", "kind")
_PUT_STEP = (
    f"INSERT INTO steps (step_id, {', '.join(_STEP)}, status, started_ns, ended_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    f"ON CONFLICT (step_id) DO UPDATE SET {', '.join(map(_said_first, _STEP))}, {_ENDED_LAST}"
)
_PUT_OUTCOME = "INSERT OR IGNORE INTO outcomes (id, name, count, run_id, at_ns, attribution) VALUES (?, ?, ?, ?, ?, ?)"
NAME_CHARGES = (
    "UPDATE charges SET workflow = (SELECT workflow FROM runs WHERE run_id = ?1) "
    "WHERE run_id = ?1 AND workflow IS NOT (SELECT workflow FROM runs WHERE run_id = ?1)"
)
"""Calls of a run, by its id, may have come before it: they are called as it is."""
_NAME_CHARGE = (
    "UPDATE charges SET workflow = (SELECT workflow FROM runs r WHERE r.run_id = charges.run_id) "
    "WHERE event_id = ? AND workflow IS NULL"
)


def put_told(db: sqlite3.Connection, told: Told, nameless: list[str]) -> None:
    """Keep them. `nameless` are events that were told without a workflow: their run may be known by now."""
    for run in told.runs:
        status = "failed" if run.failed else "ok"
        attribution = json.dumps(dict(run.attribution))
        said = (run.run_id, run.root_run_id, run.parent_run_id, run.parent_step_id, run.workflow, run.version)
        db.execute(_PUT_RUN, storable((*said, attribution, status, run.started_ns, run.ended_ns)))
    for run_id in dict.fromkeys(run.run_id for run in told.runs):
        db.execute(NAME_CHARGES, storable((run_id,)))
    for step in told.steps:
        status = "failed" if step.failed else "ok"
        db.execute(_PUT_STEP, storable((*step[:5], status, step.started_ns, step.ended_ns)))
    for one in told.outcomes:
        attribution = json.dumps(dict(one.attribution))
        said_of = (outcome_key(one.outcome_id), one.name, one.units, one.run_id, one.at_ns, attribution)
        db.execute(_PUT_OUTCOME, storable(said_of))
    db.executemany(_NAME_CHARGE, [(event_id,) for event_id in nameless])


def outcome_key(outcome_id: str) -> int:
    """The key that an outcome's id, 32 hex digits, is in a ledger: as many of its bits as SQLite's integers hold."""
    return int(outcome_id[:16], 16) >> 1
