"""Runs and steps: one execution of a workflow, its named stages, and their live totals."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from aicost import _forks
from aicost._money import to_decimal
from aicost._wellformed import as_text
from aicost.usage.event import Chargeable, RequestStatus, UsageEvent
from aicost.usage.meters import Quantity

from .ids import new_id

NO_STEP = "(none)"
"""What calls outside any step are listed under."""

_MAX_PENDING = 1000
_MAX_STEPS = 1000


_is_set_up = False


def set_up(is_set_up: bool) -> None:
    """Say whether calls are recorded in this process from now on: what nobody saw has not cost nothing."""
    global _is_set_up
    _is_set_up = is_set_up


class StepKind(str, Enum):
    """What a step is: a plain stage, an agent's turn, or a tool call."""

    STEP = "step"
    AGENT = "agent"
    TOOL = "tool"


def is_waste(event: UsageEvent, around: RunOrStep | None) -> bool:
    """Whether what an attempt cost bought nothing: it failed after it was billed, or something it was made in failed.

    `around` is the innermost step or run it was made in. What is around that counts as well: the steps and the run
    around a step, the step or run in which a run was opened, and so on. The ledger says the same in SQL
    (`aicost.ledger.selection`).
    """
    return event.status is not RequestStatus.SUCCESS or is_in_failed(around)


def is_in_failed(around: RunOrStep | None) -> bool:
    """Whether this step or run, or one around it, has failed."""
    while around is not None:
        if around.failed:
            return True
        around = around.around
    return False


@dataclass(slots=True)
class Spent:
    """What some attempts came to, in 1e-18 of each currency, and of how many of them that is known."""

    atto: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    chargeable: int = 0
    """Attempts that were, or may have been, billed."""

    def add(self, atto: int | None, currency: str, times: int) -> None:
        """Count one attempt that was, or may have been, billed; `times` is -1 to take it out again."""
        self.chargeable += times
        if atto is not None:
            self.atto[currency] += times * atto
            self.known[currency] += times

    def less(self, other: Spent | None) -> Spent:
        """What is left without `other`, which is a part of this."""
        if other is None:
            return self
        left = Spent(Counter(self.atto), Counter(self.known), self.chargeable - other.chargeable)
        left.atto.subtract(other.atto)
        left.known.subtract(other.known)
        return left

    @property
    def currency(self) -> str | None:
        """The first currency in which anything is known."""
        return next((currency for currency, known in self.known.items() if known > 0), None)

    def amount(self, currency: str | None) -> Decimal | None:
        """The amount in a currency: a lower bound where some of it is unknown, None where nothing is known."""
        if currency is not None and self.known[currency] > 0:
            return to_decimal(self.atto[currency])
        return None if self.chargeable > sum(self.known.values()) else Decimal(0)


class _Waiting(NamedTuple):
    """How an attempt stood whose usage may still come, a job's or a stream's that was left, and where it was made."""

    event: UsageEvent
    atto: int | None
    currency: str
    run: Run
    step: Step | None


@dataclass(slots=True)
class Totals:
    """What a run has used so far, with all runs inside it; its owner's lock guards every change."""

    spent: Spent = field(default_factory=Spent)
    by_step: dict[str, Spent] = field(default_factory=dict)
    usage: dict[str, Quantity] = field(default_factory=dict)
    calls: int = 0
    attempts: int = 0
    retries: int = 0
    unpriced: int = 0
    possibly_billed: int = 0
    app_retries: int = 0
    fallbacks: int = 0
    pending: dict[str, _Waiting] = field(default_factory=dict)
    """Of the outermost run only: attempts that are not counted again when their usage comes."""


class Run:
    """One execution of a workflow, with totals that are live and exact in this process.

    Totals include those of child runs (a run opened inside this one), each amount once. All of it is safe to read
    from any thread while calls are still going on. `workflow` is None for a run of another process that did not say.
    """

    __slots__ = (
        "_is_seen",
        "_lock",
        "_sound",
        "_totals",
        "failed",
        "id",
        "parent",
        "parent_step",
        "version",
        "workflow",
    )

    def __init__(
        self,
        workflow: str | None,
        *,
        run_id: str | None = None,
        version: str | None = None,
        parent: Run | None = None,
        parent_step: Step | None = None,
    ):
        self.id = as_text(run_id) if run_id else new_id()
        self.workflow = None if workflow is None else as_text(workflow)
        self.version = None if version is None else as_text(version)
        self.parent = parent
        self.parent_step = parent_step
        """The step in which the run was opened."""
        self.failed = False
        # One lock per tree of runs: a charge is added to a run and all above it in one go.
        self._lock: threading.RLock = parent._lock if parent else _forks.lock()
        self._totals = Totals()
        self._sound: Spent | None = None
        self._is_seen = _is_set_up

    def __repr__(self) -> str:
        return f"<Run {self.workflow!r} {self.id} cost={self.cost}>"

    @property
    def root_id(self) -> str:
        """The id of the outermost run this one belongs to."""
        return self._root.id

    @property
    def around(self) -> RunOrStep | None:
        """The step or run in which the run was opened."""
        return self.parent_step or self.parent

    @property
    def cost(self) -> Decimal | None:
        """What the run has cost so far, exactly; None when calls were billed and no amount is known.

        It is None, too, where nothing was set up to record calls when the run began, and none was. Where some amounts
        are unknown it is what is known, at least: see `unpriced` and `possibly_billed`. With several currencies it is
        the first one's; see `costs`.
        """
        with self._lock:
            spent = self._totals.spent
            return spent.amount(spent.currency) if self.is_recorded else None

    @property
    def costs(self) -> Mapping[str, Decimal]:
        """Exact cost so far by currency; those of which nothing is known are not in it."""
        with self._lock:
            spent = self._totals.spent
            return {currency: to_decimal(atto) for currency, atto in spent.atto.items() if spent.known[currency] > 0}

    @property
    def steps(self) -> Mapping[str, Decimal | None]:
        """Exact cost so far of what was called directly in each step, by its name; in the currency of `cost`.

        All of it together is `cost`, and None is of unknown cost. What was called outside any step is under `(none)`;
        of steps with more than 1,000 names the rest is under `other`.
        """
        with self._lock:
            currency = self._totals.spent.currency
            return {step: spent.amount(currency) for step, spent in self._totals.by_step.items() if spent.chargeable}

    @property
    def waste(self) -> Decimal | None:
        """The part of `cost` that bought nothing: what failed after it was billed, and all that was spent in a step or
        run that failed. None when something was wasted and no amount of it is known.
        """
        with self._lock:
            spent = self._totals.spent
            wasted = spent if is_in_failed(self) else spent.less(self._sound)
            return wasted.amount(spent.currency) if self.is_recorded else None

    @property
    def is_recorded(self) -> bool:
        """Whether calls were recorded when the run began, by `aicost.init()` or `instrument()`, or any was since."""
        return self._is_seen or self._totals.attempts > 0

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
        """Billed attempts whose price is unknown; what they cost is not in `cost`."""
        with self._lock:
            return self._totals.unpriced

    @property
    def possibly_billed(self) -> int:
        """Attempts the provider may have billed although their usage never came back."""
        with self._lock:
            return self._totals.possibly_billed

    def fail(self) -> None:
        """Mark the run failed: everything that was and will be spent in it is waste."""
        _fail(self)

    def add(
        self, event: UsageEvent, *, atto: int | None, currency: str, step: Step | None = None, times: int = 1
    ) -> None:
        """Count one attempt in this run, all runs above it and the step it belongs to.

        `times` is -1 for one that is taken back, because something nearer to the wire tells of it. One whose usage was
        missing is not counted again when it comes: it stays where it was made, with what is known now.
        """
        run = self
        with self._lock:
            pending = self._root._totals.pending
            waited = pending.pop(event.event_id, None)
            if waited is not None and times > 0:
                before, run, step = waited.event, waited.run, waited.step
                run._change(before, waited.atto, waited.currency, step, -1)
                event = replace(
                    event,
                    step=before.step,
                    step_id=before.step_id,
                    retry_of=before.retry_of or event.retry_of,
                    fallback_of=before.fallback_of or event.fallback_of,
                )
            run._change(event, atto, currency, step, times)
            may_come = (
                event.usage is None
                and event.status is not RequestStatus.RETRY
                and event.chargeable is not Chargeable.NO
            )
            if may_come and times > 0 and len(pending) < _MAX_PENDING:
                pending[event.event_id] = _Waiting(event, atto, currency, run, step)

    def _change(self, event: UsageEvent, atto: int | None, currency: str, step: Step | None, times: int) -> None:
        run: Run | None = self
        while run is not None:
            run._count(event, atto, currency, times)
            run = run.parent
        around: RunOrStep | None = self if step is None else step
        if event.chargeable is Chargeable.NO or is_waste(event, around):
            return
        while around is not None and around._lock is not None:
            if around._sound is None:
                around._sound = Spent()
            around._sound.add(atto, currency, times)
            around = around.around

    def _count(self, event: UsageEvent, atto: int | None, currency: str, times: int) -> None:
        totals = self._totals
        totals.attempts += times
        totals.app_retries += times * (event.retry_of is not None)
        totals.fallbacks += times * (event.fallback_of is not None)
        if event.status is RequestStatus.RETRY:
            totals.retries += times
        else:
            totals.calls += times
        if event.chargeable is Chargeable.POSSIBLY:
            totals.possibly_billed += times
        elif atto is None:
            totals.unpriced += times
        for meter, quantity in (event.usage or {}).items():
            totals.usage[meter] = totals.usage.get(meter, 0) + times * quantity
        if event.chargeable is Chargeable.NO:
            return
        totals.spent.add(atto, currency, times)
        key = NO_STEP if event.step is None else event.step
        if key not in totals.by_step:
            key = key if len(totals.by_step) < _MAX_STEPS else "other"
            totals.by_step.setdefault(key, Spent())
        totals.by_step[key].add(atto, currency, times)

    @property
    def _root(self) -> Run:
        run = self
        while run.parent is not None:
            run = run.parent
        return run


class Step:
    """A named stage of a run. When it fails, what was spent in it is waste."""

    __slots__ = ("_lock", "_sound", "failed", "id", "kind", "name", "parent", "run")

    def __init__(self, name: str, *, kind: StepKind = StepKind.STEP, run: Run | None, parent: Step | None):
        self.id = new_id()
        self.name = as_text(name)
        self.kind = kind
        self.run = run
        self.parent = parent
        self.failed = False
        self._lock: threading.RLock | None = None if run is None else run._lock
        self._sound: Spent | None = None

    @property
    def around(self) -> RunOrStep | None:
        """The step around this one in its run, or the run."""
        return self.parent or self.run

    def fail(self) -> None:
        """Mark the step failed: everything that was and will be spent in it is waste, also in runs opened in it."""
        _fail(self)


RunOrStep = Run | Step
"""What an attempt, a step or a run is in."""


def _fail(what: RunOrStep) -> None:
    """What was sound in it so far is so no longer, for everything around it; once, whatever else fails later."""
    if what._lock is None:  # a step in no run: nothing above it counts
        what.failed = True
        return
    with what._lock:
        was_waste = is_in_failed(what)
        what.failed = True
        if was_waste or what._sound is None:
            return
        around = what.around
        while around is not None:
            if around._sound is not None:
                around._sound = around._sound.less(what._sound)
            around = around.around
        what._sound = None
