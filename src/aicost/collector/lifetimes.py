"""Runs, steps and outcomes that finished spans tell of, for a collector's ledger.

aicost's own spans say by their operation what they are. A span of somebody else is what it began in its process, where
aicost has adopted it and says so. Elsewhere the trace is the run, and its outermost span says how that is called and
ended, if it is a workflow or an agent; agents, tools, steps and workflows in it are steps. There a step's id is made of
its span's, and a call is in the step that its parent would be: so neither has to wait for the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from aicost._bounded import short
from aicost.ledger.told import Told, ToldOutcome, ToldRun, ToldStep
from aicost.scopes.ids import derived_id
from aicost.scopes.owners import span_owners
from aicost.semconv import attributes as a
from aicost.telemetry.dialects import SpanRole, role_of
from aicost.usage.reading import MAX_COUNT, PLAUSIBLE
from aicost.usage.worth import worth_of

from . import wire

OUTCOME = b"aicost.outcome"
"""In the encoding of every span that tells of an outcome."""
BEGINS = a.AICOST_BEGINS.encode()
_ERROR = 2
_HEX = re.compile(r"[0-9a-f]{32}")
_MOST_ID = 256
_OWN_STEPS = {"invoke_agent": "agent", "execute_tool": "tool"}
_STEP_KINDS = {"agent": "agent", "tool": "tool", "step": "step", "workflow": "step"}
_Owners = Callable[[], Mapping[str, str]]


class Lifetimes:
    """What the spans of one request tell of."""

    def __init__(self) -> None:
        self.told = Told([], [], [])
        self._between: dict[bytes, bytes] = {}
        """Spans that are no step, by trace and span: their parent's."""
        self._waiting: list[tuple[int, bytes]] = []
        """Steps whose parent is told by its span, and that."""
        self._calls: list[tuple[list[Any], bytes]] = []
        """What a ledger keeps of a call, and the span around it."""

    def __bool__(self) -> bool:
        return any(self.told)

    def own(self, span: Any, owners: _Owners) -> None:
        """A span of aicost's own, which is a run, a step, or neither."""
        get = wire.DecodedAttributes(span.attributes).get
        operation = get(a.GEN_AI_OPERATION_NAME)
        failed = span.status.code == _ERROR and a.ERROR_TYPE in span.attributes
        if operation == "invoke_workflow":
            self._run(span, get(a.GEN_AI_WORKFLOW_NAME), failed, owners)
        elif operation in _OWN_STEPS:
            self._step(span, _OWN_STEPS[operation], failed)
        elif operation is None and span.name.startswith(b"step "):
            self._step(span, "step", failed)

    def of_another(self, span: Any, owners: _Owners) -> None:
        """A span of somebody else that is no inference."""
        attributes = wire.DecodedAttributes(span.attributes)
        begins, failed = attributes.get(a.AICOST_BEGINS), span.status.code == _ERROR
        adopted = a.AICOST_RUN_ID in attributes or a.AICOST_STEP_ID in attributes
        role = role_of(str(span.name, "utf-8", "replace"), attributes) if begins or not adopted else None
        if role is None or role.kind == "inference":
            self._between[span.trace_id + span.span_id] = span.trace_id + span.parent_span_id
        elif begins:
            if begins in ("run", "run_and_step"):
                self._run(span, role.name, failed, owners)
            if begins in ("step", "run_and_step"):
                self._step(span, _STEP_KINDS[role.kind], failed)
        elif any(span.trace_id) and any(span.span_id):
            self._of_trace(span, role, failed, owners)

    def outcomes(self, encoded: bytes, owners: Mapping[str, str]) -> None:
        """The outcomes among a span's events. `owners` are the span's; the event says who it was at that moment."""
        span = Span.FromString(encoded)
        around = dict(wire.plain_attributes(span))
        for number, event in enumerate(span.events):
            said = dict(wire.plain_attributes(event)) if event.name == "aicost.outcome" else {}
            name, count = said.get(a.AICOST_OUTCOME_NAME), said.get(a.AICOST_OUTCOME_COUNT)
            if not isinstance(name, str) or type(count) is not int or not 0 <= count <= PLAUSIBLE:
                continue
            outcome_id, run = said.get(a.AICOST_OUTCOME_ID), said.get(a.AICOST_RUN_ID)
            if not isinstance(outcome_id, str) or not _HEX.fullmatch(outcome_id):  # of a version that said less
                parts = (span.trace_id.hex(), span.span_id.hex(), event.time_unix_nano, number)
                outcome_id, run = derived_id("outcome", *parts), run or around.get(a.AICOST_RUN_ID)
            at_ns = min(event.time_unix_nano, MAX_COUNT)
            own = span_owners(said, owners)
            worth = _worth(said.get(a.AICOST_OUTCOME_VALUE), said.get(a.AICOST_OUTCOME_UNIT))
            self.told.outcomes.append(ToldOutcome(outcome_id, short(name), count, _id(run), at_ns, own, *worth))

    def step_around(self, key: bytes) -> str:
        """The id of the step that the span of that trace and id is, or the nearest one around it that is none."""
        # Each span is gone over once: what was found is where it leads from now on. A circle ends in itself.
        way = []
        while (outer := self._between.get(key, key)) != key:
            way.append(key)
            self._between[key] = key
            key = outer
        self._between.update(dict.fromkeys(way, key))
        return derived_id("step", key[:16].hex(), key[16:].hex()) if len(key) > 16 else ""

    def place(self, entries: Any, span: Any) -> None:
        """A call in nobody's run: its step may be told by the span around it."""
        if entries and any(span.parent_span_id) and any(span.trace_id):
            self._calls.append((entries, span.trace_id + span.parent_span_id))

    def settle(self) -> None:
        """Once all spans of the request are read: find the steps that steps and calls are in."""
        for entries, around in self._calls:
            step_id = self.step_around(around) or None
            entries[:] = [(replace(event, step_id=step_id), charge) for event, charge in entries]
        for place, parent in self._waiting:
            self.told.steps[place] = self.told.steps[place]._replace(parent_step_id=self.step_around(parent) or None)
        self._waiting.clear()

    def _run(self, span: Any, workflow: object, failed: bool, owners: _Owners) -> None:
        get = wire.DecodedAttributes(span.attributes).get
        run_id = _id(get(a.AICOST_RUN_ID))
        if run_id is None:
            return
        root, parent, step = (
            _id(get(name)) for name in (a.AICOST_RUN_ROOT_ID, a.AICOST_RUN_PARENT_ID, a.AICOST_RUN_PARENT_STEP_ID)
        )
        called, version = short(workflow) if isinstance(workflow, str) else "", _id(get(a.AICOST_WORKFLOW_VERSION))
        self.told.runs.append(
            ToldRun(run_id, root or run_id, parent, step, called, version, failed, *_times(span), owners())
        )

    def _step(self, span: Any, kind: str, failed: bool) -> None:
        get = wire.DecodedAttributes(span.attributes).get
        step_id, name = _id(get(a.AICOST_STEP_ID)), get(a.AICOST_STEP_NAME)
        if step_id is None or not isinstance(name, str):
            return
        run = _id(get(a.AICOST_RUN_ID)) or span.trace_id.hex()
        parent = _id(get(a.AICOST_STEP_PARENT_ID))
        self.told.steps.append(ToldStep(step_id, run, parent, short(name), kind, failed, *_times(span)))

    def _of_trace(self, span: Any, role: SpanRole, failed: bool, owners: _Owners) -> None:
        trace = span.trace_id.hex()
        outermost = not any(span.parent_span_id)
        if outermost and role.kind in ("workflow", "agent"):
            self.told.runs.append(
                ToldRun(trace, trace, None, None, short(role.name), None, failed, *_times(span), owners())
            )
            if role.kind == "workflow":
                return
        step_id = derived_id("step", trace, span.span_id.hex())
        if not outermost:
            self._waiting.append((len(self.told.steps), span.trace_id + span.parent_span_id))
        self.told.steps.append(
            ToldStep(step_id, trace, None, short(role.name), _STEP_KINDS[role.kind], failed, *_times(span))
        )


def _worth(value: object, unit: object) -> tuple[str | None, str | None]:
    try:
        return worth_of(value, unit)
    except ValueError:  # the outcome counts without it
        return None, None


def _times(span: Any) -> tuple[int, int]:
    return min(span.start, MAX_COUNT), min(span.end, MAX_COUNT)


def _id(said: object) -> str | None:
    return said if isinstance(said, str) and 0 < len(said) <= _MOST_ID else None
