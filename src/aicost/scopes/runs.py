"""Runs and steps: one execution of a workflow, its named stages, and their live totals."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from aicost import _forks
from aicost._money import to_decimal
from aicost._wellformed import as_text
from aicost.usage.event import Billed, RequestStatus, UsageEvent
from aicost.usage.meters import Quantity

from .ids import new_id

_MAX_PENDING = 1000
_MAX_STEPS = 1000


class StepKind(str, Enum):
    """What a step is: a plain stage, an agent's turn, or a tool call."""

    STEP = "step"
    AGENT = "agent"
    TOOL = "tool"


@dataclass(slots=True)
class Totals:
    """What a run has used so far. Money is in 1e-18 of each currency; its owner's lock guards every change."""

    atto: Counter[str] = field(default_factory=Counter)
    by_step: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By step and currency."""
    wasted: Counter[str] = field(default_factory=Counter)
    usage: dict[str, Quantity] = field(default_factory=dict)
    calls: int = 0
    attempts: int = 0
    retries: int = 0
    unpriced: int = 0
    possibly_billed: int = 0
    app_retries: int = 0
    fallbacks: int = 0
    pending: dict[str, Billed] = field(default_factory=dict)
    """Events whose usage may still come, a job's or a stream's that was left: they are not counted again when it does,
    and how they stood."""


class Run:
    """One execution of a workflow, with totals that are live and exact in this process.

    Totals include those of child runs (a run opened inside this one), each amount once. All of it is safe to read
    from any thread while calls are still going on.
    """

    __slots__ = ("_lock", "_totals", "id", "parent", "version", "workflow")

    def __init__(
        self, workflow: str, *, run_id: str | None = None, version: str | None = None, parent: Run | None = None
    ):
        self.id = as_text(run_id) if run_id else new_id()
        self.workflow = as_text(workflow)
        self.version = None if version is None else as_text(version)
        self.parent = parent
        # One lock per tree of runs: a charge is added to a run and all above it in one go.
        self._lock: threading.RLock = parent._lock if parent else _forks.lock()
        self._totals = Totals()

    def __repr__(self) -> str:
        return f"<Run {self.workflow!r} {self.id} cost={self.cost}>"

    @property
    def root_id(self) -> str:
        """The id of the outermost run this one belongs to."""
        return self.parent.root_id if self.parent else self.id

    @property
    def cost(self) -> Decimal:
        """What the run has cost so far, exactly. With several currencies this is the first one's; see `costs`."""
        return next(iter(self.costs.values()), Decimal(0))

    @property
    def costs(self) -> Mapping[str, Decimal]:
        """Exact cost so far by currency."""
        with self._lock:
            return {currency: to_decimal(atto) for currency, atto in self._totals.atto.items()}

    @property
    def steps(self) -> Mapping[str, Decimal]:
        """Exact cost so far of what was called directly in each step, by its name; in the currency of `cost`.

        All of it together is `cost`. Of steps with more than 1,000 names the rest is under `other`.
        """
        with self._lock:
            currency = next(iter(self._totals.atto), None)
            return {step: to_decimal(atto) for (step, spent), atto in self._totals.by_step.items() if spent == currency}

    @property
    def waste(self) -> Decimal:
        """The part of `cost` that bought nothing: calls that failed after they were billed, and failed steps."""
        with self._lock:
            return to_decimal(next(iter(self._totals.wasted.values()), 0))

    @property
    def usage(self) -> Mapping[str, Quantity]:
        """Quantities used so far by meter."""
        with self._lock:
            return dict(self._totals.usage)

    @property
    def calls(self) -> int:
        """Calls the application made, however many attempts each took."""
        with self._lock:
            return self._totals.calls

    @property
    def attempts(self) -> int:
        """Requests that went out, retries included."""
        with self._lock:
            return self._totals.attempts

    @property
    def retries(self) -> int:
        """Attempts that failed and were tried again."""
        with self._lock:
            return self._totals.retries

    @property
    def app_retries(self) -> int:
        """Calls that the application made again after the same call had failed, beyond the client's own retries."""
        with self._lock:
            return self._totals.app_retries

    @property
    def fallbacks(self) -> int:
        """Calls that went to another model or provider after one had failed."""
        with self._lock:
            return self._totals.fallbacks

    @property
    def unpriced(self) -> int:
        """Billed attempts whose price is unknown; their cost is not in `cost`."""
        with self._lock:
            return self._totals.unpriced

    @property
    def possibly_billed(self) -> int:
        """Attempts the provider may have billed although their usage never came back."""
        with self._lock:
            return self._totals.possibly_billed

    def add(
        self, event: UsageEvent, *, atto: int | None, currency: str, step: Step | None = None, times: int = 1
    ) -> None:
        """Count one attempt in this run, all runs above it and the step it belongs to.

        `times` is -1 for one that is taken back, because something nearer to the wire tells of it.
        """
        wasted = event.status is not RequestStatus.SUCCESS or (step is not None and step.is_wasted())
        with self._lock:
            run: Run | None = self
            while run is not None:
                run._count(event, atto, currency, wasted, times)
                run = run.parent
            if step is not None and atto and not wasted:
                step._spend(currency, times * atto)

    def _count(self, event: UsageEvent, atto: int | None, currency: str, wasted: bool, times: int) -> None:
        totals = self._totals
        waited = totals.pending.pop(event.event_id, None)
        if waited is not None and times > 0:
            totals.possibly_billed -= waited is Billed.POSSIBLY
            totals.unpriced -= waited is not Billed.POSSIBLY
            totals.unpriced += atto is None
        else:
            totals.attempts += times
            totals.app_retries += times * (event.retry_of is not None)
            totals.fallbacks += times * (event.fallback_of is not None)
            if event.status is RequestStatus.RETRY:
                totals.retries += times
            else:
                totals.calls += times
            if event.billed is Billed.POSSIBLY:
                totals.possibly_billed += times
            elif atto is None:
                totals.unpriced += times
            may_come = event.usage is None and event.status is not RequestStatus.RETRY and event.billed is not Billed.NO
            if may_come and times > 0 and len(totals.pending) < _MAX_PENDING:
                totals.pending[event.event_id] = event.billed
        for meter, quantity in (event.usage or {}).items():
            totals.usage[meter] = totals.usage.get(meter, 0) + times * quantity
        if atto is not None:
            totals.atto[currency] += times * atto
            key = (event.step or event.operation, currency)
            if key not in totals.by_step and len(totals.by_step) >= _MAX_STEPS:
                key = ("other", currency)
            totals.by_step[key] += times * atto
            if wasted:
                totals.wasted[currency] += times * atto

    def _waste(self, spent: Mapping[str, int]) -> None:
        run: Run | None = self
        while run is not None:
            run._totals.wasted.update(spent)
            run = run.parent


class Step:
    """A named stage of a run. When it fails, what it spent is waste."""

    __slots__ = ("_spent", "failed", "id", "kind", "name", "parent", "run")

    def __init__(self, name: str, *, kind: StepKind = StepKind.STEP, run: Run | None, parent: Step | None):
        self.id = new_id()
        self.name = as_text(name)
        self.kind = kind
        self.run = run
        self.parent = parent
        self.failed = False
        self._spent: dict[str, int] = {}

    def fail(self) -> None:
        """Mark the step failed: what it and its inner steps spent, and will still spend, is waste, counted once."""
        if self.run is None:
            self.failed = True
            return
        with self.run._lock:
            self.failed = True
            spent, self._spent = self._spent, {}
            if spent:
                self.run._waste(spent)
            outer = self.parent
            while outer is not None:
                for currency, atto in spent.items():
                    outer._spent[currency] = outer._spent.get(currency, 0) - atto
                outer = outer.parent

    def is_wasted(self) -> bool:
        """Whether this step or one around it has failed."""
        step: Step | None = self
        while step is not None:
            if step.failed:
                return True
            step = step.parent
        return False

    def _spend(self, currency: str, atto: int) -> None:
        step: Step | None = self
        while step is not None:
            step._spent[currency] = step._spent.get(currency, 0) + atto
            step = step.parent
