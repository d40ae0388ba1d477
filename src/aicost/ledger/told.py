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

from .columns import pack


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
    value: str | None = None
    """What they are worth together, as a decimal string in `unit`."""
    unit: str | None = None


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
_OUTCOME = ("name", "count", "run_id", "at_ns", "attribution", "value", "unit")
_PUT_OUTCOME = (
    f"INSERT INTO outcomes (id, {', '.join(_OUTCOME)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in _OUTCOME)} "
    # As it was said first; of one moment by whoever knows what it is worth, and then so that no order matters.
    "WHERE (excluded.at_ns, excluded.value IS NULL, excluded.count, COALESCE(excluded.value, ''), "
    "COALESCE(excluded.unit, '')) < (at_ns, value IS NULL, count, COALESCE(value, ''), COALESCE(unit, ''))"
)


def put_told(db: sqlite3.Connection, told: Told) -> None:
    """Keep them."""
    for run in told.runs:
        ids = map(pack, (run.run_id, run.root_run_id, run.parent_run_id, run.parent_step_id))
        said = (*ids, run.workflow, run.version, _json(run.attribution), "failed" if run.failed else "ok")
        db.execute(_PUT_RUN, (*said, run.started_ns, run.ended_ns))
    for step in told.steps:
        ids = map(pack, (step.step_id, step.run_id, step.parent_step_id))
        said = (*ids, step.name, step.kind, "failed" if step.failed else "ok")
        db.execute(_PUT_STEP, (*said, step.started_ns, step.ended_ns))
    for outcome in told.outcomes:
        put_outcome(db, outcome)


def put_outcome(db: sqlite3.Connection, outcome: ToldOutcome) -> None:
    """Keep units of value. Tried twice, or told again by a span, they count once, as they were recorded first."""
    key, run = pack(outcome.outcome_id), pack(outcome.run_id)
    said = (key, outcome.name, outcome.units, run, outcome.at_ns, _json(outcome.attribution))
    db.execute(_PUT_OUTCOME, (*said, outcome.value, outcome.unit))


_RUN_BEGAN = (
    "INSERT INTO runs (run_id, root_run_id, parent_run_id, parent_step_id, workflow, version, started_ns, attribution, "
    "status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'running') ON CONFLICT (run_id) DO UPDATE SET status = 'running'"
)
_STEP_BEGAN = (
    "INSERT OR IGNORE INTO steps (step_id, run_id, parent_step_id, name, kind, started_ns, status) "
    "VALUES (?, ?, ?, ?, ?, ?, 'running')"
)
_BEGAN = {"runs": (_RUN_BEGAN, 4), "steps": (_STEP_BEGAN, 3)}
"""How each is noted, and how many of its values are ids."""
_ENDED = {
    "runs": "UPDATE runs SET status = ?, ended_ns = ? WHERE run_id = ?",
    "steps": "UPDATE steps SET status = ?, ended_ns = ? WHERE step_id = ?",
}


def put_began(db: sqlite3.Connection, table: str, values: list[object]) -> None:
    """Note that a run or step began; its ids come first. A run begun before goes on, under the name it has."""
    insert, ids = _BEGAN[table]
    db.execute(insert, (*(pack(value) for value in values[:ids]), *values[ids:]))  # type: ignore[arg-type]


def put_ended(db: sqlite3.Connection, table: str, identifier: str, status: str, ended_ns: int) -> None:
    """Note how a run or step ended."""
    db.execute(_ENDED[table], (status, ended_ns, pack(identifier)))


def _json(attribution: Mapping[str, str]) -> str:
    return json.dumps(dict(attribution))
