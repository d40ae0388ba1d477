"""Runs, steps and outcomes as finished spans tell of them: in any order, more than once, and by several writers.

A process writes its runs and steps to its ledger as they begin and end. A collector hears of each only when it has
ended, maybe twice, its children first, and maybe beside the process itself. So every row is decided by what it holds:
what began first says what it is, what ended last says how it ended, and nothing known gives way to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .schema import OUTCOMES, RUNS, STEPS, LedgerTable

StateRow = dict[str, Any]
"""A row of `runs`, `steps` or `outcomes`."""

Identify = Callable[[str | None], Any]
"""An id as it is stored."""


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


def with_run(known: StateRow | None, run: ToldRun, stored: Identify) -> StateRow:
    """What is known of a run with what a span tells of it."""
    ids = {name: stored(getattr(run, name)) for name in ("run_id", "root_run_id", "parent_run_id", "parent_step_id")}
    said = {"workflow": run.workflow, "version": run.version, "attribution": _json(run.attribution)}
    return _joined(known, {**ids, **said, **_end(run)})


def with_step(known: StateRow | None, step: ToldStep, stored: Identify) -> StateRow:
    """What is known of a step with what a span tells of it."""
    ids = {name: stored(getattr(step, name)) for name in ("step_id", "run_id", "parent_step_id")}
    return _joined(known, {**ids, "name": step.name, "kind": step.kind, **_end(step)})


def _end(told: ToldRun | ToldStep) -> StateRow:
    return {
        "status": "failed" if told.failed else "ok",
        "started_ns": told.started_ns,
        "ended_ns": told.ended_ns,
    }


def _joined(known: StateRow | None, told: StateRow) -> StateRow:
    if known is None:
        return told
    first, second = (told, known) if told["started_ns"] < known["started_ns"] else (known, told)
    joined = {name: second[name] if value is None else value for name, value in first.items()}
    last = told if known["ended_ns"] is None or told["ended_ns"] > known["ended_ns"] else known
    return {
        **joined,
        "status": last["status"],
        "started_ns": first["started_ns"],
        "ended_ns": max(known["ended_ns"] or 0, told["ended_ns"]),
    }


def with_outcome(known: StateRow | None, outcome: ToldOutcome, stored: Identify) -> StateRow:
    """Units of value. Tried twice, or told again by a span, they count once, as they were recorded first.

    Of one moment by whoever knows what it is worth, and then so that no order matters.
    """
    told = {
        "id": stored(outcome.outcome_id),
        "name": outcome.name,
        "count": outcome.units,
        "run_id": stored(outcome.run_id),
        "at_ns": outcome.at_ns,
        "attribution": _json(outcome.attribution),
        "value": outcome.value,
        "unit": outcome.unit,
    }
    return told if known is None or _precedence(told) < _precedence(known) else known


def _precedence(outcome: StateRow) -> tuple[Any, ...]:
    value, unit = outcome["value"], outcome["unit"]
    return outcome["at_ns"], value is None, outcome["count"], value or "", unit or ""


def begun(known: StateRow | None, table: LedgerTable, values: Sequence[Any], stored: Identify) -> StateRow:
    """A run or step that began, by the values of its columns, ids first. A run begun before goes on, under its name."""
    if known is not None:
        return {**known, "status": "running"} if table is RUNS else known
    columns, ids = _BEGAN[table.name]
    said = {
        name: stored(value) if n < ids else value for n, (name, value) in enumerate(zip(columns, values, strict=True))
    }
    return {**said, "status": "running", "ended_ns": None}


_BEGAN = {
    "runs": (
        (
            "run_id",
            "root_run_id",
            "parent_run_id",
            "parent_step_id",
            "workflow",
            "version",
            "started_ns",
            "attribution",
        ),
        4,
    ),
    "steps": (("step_id", "run_id", "parent_step_id", "name", "kind", "started_ns"), 3),
}
"""The values that each begins with, and how many of them are ids."""

STATES_TOLD = {table.name: table for table in (RUNS, STEPS, OUTCOMES)}


def _json(attribution: Mapping[str, str]) -> str:
    return json.dumps(dict(attribution))
