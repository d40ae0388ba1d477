"""A ledger of any size, made fast: what an agent platform of many tenants has after some months.

    python -m tests.tools.big_ledger FILE --entries 2000000

Its rows are made by the same builders as any other's, and written through the store; only what all calls of one kind
share is worked out once. In it is what makes sums hard: calls that failed, were made again, have no price or only part
of one, corrections, and runs and steps that failed.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aicost.ledger.columns import derived
from aicost.ledger.engines.sqlite import SqliteStore
from aicost.ledger.records import ChargeRecord, charge_fields, charge_of
from aicost.ledger.rollups import make_anew
from aicost.ledger.rows import Interner, entry_row, names_of_entry, reversal_row
from aicost.ledger.schema import ENTRIES, RUNS, STEPS
from aicost.ledger.sql_dialects import SqlDialect
from aicost.ledger.store import Row, Store
from aicost.ledger.writing import put_interned
from aicost.pricing.card import RateCard
from aicost.pricing.kernel import Kernel
from aicost.usage.event import Chargeable, RequestStatus, UsageEvent

DAYS = 75
START_NS = 1_790_000_000_000_000_000
CALLS_PER_RUN = 10
_DAY_NS = 86_400 * 10**9
_TENANTS, _FEATURES, _USERS, _STEPS = 25, 6, 5_000, 3
_MODELS = (
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-mini-2024-07-18"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("openai", "gpt-4.1-mini"),
)
_VARIANTS = 5
_AT_A_TIME = 20_000


@dataclass
class Kind:
    """Calls that have a context in common, as rows that lack only what is each one's own."""

    rows: list[Row] = field(default_factory=list)


class Maker:
    """Makes entries, runs and steps; the same for the same seed."""

    def __init__(self, dialect: SqlDialect, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.dialect = dialect
        self.interner = Interner("aicost")
        self.price = Kernel(RateCard.bundled()).price
        self.kinds: dict[tuple[Any, ...], Kind] = {}
        self.subjects = [self.interner.subject({"user_id": f"u-{n}"}) for n in range(_USERS)]
        names = names_of_entry(dialect)
        self.at = {name: names.index(name) for name in names}

    def kind(self, tenant: int, feature: int, step: int, model: int, what: str) -> Kind:
        """Calls of one kind; `what` is `retry`, `failed`, `unpriced`, `partial`, or nothing special."""
        key = (tenant, feature, step, model, what)
        if key not in self.kinds:
            self.kinds[key] = Kind([self._row(*key) for _ in range(_VARIANTS)])
        return self.kinds[key]

    def _row(self, tenant: int, feature: int, step: int, model: int, what: str) -> Row:
        provider, name = _MODELS[model]
        usage: dict[str, int] | None = {
            "input": 200 + self.random.randrange(4_000),
            "input_cache_read": self.random.randrange(2_000),
            "output": 20 + self.random.randrange(900),
        }
        if what == "partial" and usage is not None:
            usage["pages"] = 3
        if what == "failed":
            usage = None
        status = {"retry": RequestStatus.RETRY, "failed": RequestStatus.FAILURE}.get(what, RequestStatus.SUCCESS)
        event = UsageEvent(
            "e",
            provider,
            "chat",
            f"{name}-unheard-of" if what == "unpriced" else name,
            usage,
            START_NS,
            START_NS + 1,
            request_model=name,
            api="chat.completions",
            status=status,
            chargeable=Chargeable.POSSIBLY if what == "failed" else Chargeable.YES,
            run_id="r",
            root_run_id="r",
            trace_id="r",
            workflow=f"workflow-{feature % 4}",
            step=f"step-{step}",
            attribution={"tenant_id": f"t-{tenant}", "feature_id": f"feature-{feature}", "team": f"team-{tenant % 5}"},
        )
        record: ChargeRecord = charge_of(charge_fields(event, self.price(event)))
        return entry_row(record, self.interner, bytes(16), self.dialect, corrects=None, event=None)

    def runs(self, entries: int) -> Iterator[tuple[Row, list[Row], list[Row]]]:
        """A run with its steps and entries, again and again, in the order of time."""
        many = max(1, entries // CALLS_PER_RUN)
        for number in range(many):
            began = START_NS + number * DAYS * _DAY_NS // many
            yield self._run(began, min(CALLS_PER_RUN, entries))

    def _run(self, began: int, calls: int) -> tuple[Row, list[Row], list[Row]]:
        draw, chance = self.random.randrange, self.random.random
        tenant, feature, subject = min(draw(_TENANTS), draw(_TENANTS)), draw(_FEATURES), self.subjects[draw(_USERS)]
        run = self.random.randbytes(16)
        stored = self.dialect.identifier
        run_id, steps = stored(run.hex()), [stored(self.random.randbytes(16).hex()) for _ in range(_STEPS)]
        length = 2 * 10**9 * calls
        status = "failed" if chance() < 0.05 else "ok"
        run_row = (run_id, run_id, None, None, f"workflow-{feature % 4}", None, status, began, began + length, "{}")
        step_rows = [
            (one, run_id, None, f"step-{n}", "step", "failed" if chance() < 0.01 else "ok", began, began + length)
            for n, one in enumerate(steps)
        ]
        model = draw(len(_MODELS))
        entries: list[Row] = []
        for number in range(calls):
            step, luck = number % _STEPS, chance()
            rare = "unpriced" if luck < 0.01 else "partial" if luck < 0.02 else "failed" if luck < 0.03 else ""
            what = "retry" if 0.03 <= luck < 0.06 else rare
            # Rare kinds are of few tenants, so that there are about 3,000 contexts.
            kind = self.kind(tenant if not what else tenant % 4, feature, step, model, what)
            at = began + number * 2 * 10**9
            identity = (at // 10**6).to_bytes(6, "big") + self.random.randbytes(10)
            row = list(kind.rows[draw(_VARIANTS)])
            row[0] = identity
            for name, value in (
                ("charge_start", at),
                ("charge_ns", 200_000_000 + draw(4_000_000_000)),
                ("subject", subject),
                ("run_id", run_id),
                ("root_run_id", self.dialect.beside(run.hex(), run.hex())),
                ("trace_id", self.dialect.beside(run.hex(), run.hex())),
                ("step_id", steps[step]),
                ("span_id", stored(self.random.randbytes(8).hex())),
            ):
                row[self.at[name]] = value
            first = tuple(row)
            entries.append((*first, 1, number))
            if chance() < 0.01:  # it turned out that it was more
                taken_back = reversal_row(first, derived("reversal", identity), identity, self.dialect)
                again = list(kind.rows[draw(_VARIANTS)])
                anew = [again[n] if name in self.own_of_usage else value for n, (name, value) in self._named(row)]
                anew[0], anew[self.at["corrects"]], anew[self.at["event"]] = (
                    derived("replacement", identity),
                    identity,
                    identity,
                )
                entries += [(*taken_back, 1, number), (*anew, 1, number)]
        return run_row, step_rows, entries

    def _named(self, row: list[Any]) -> Iterator[tuple[int, tuple[str, Any]]]:
        return enumerate(zip(names_of_entry(self.dialect), row, strict=True))

    @property
    def own_of_usage(self) -> frozenset[str]:
        """The columns of an entry that what was used makes."""
        return _of_usage(self.dialect)


def _of_usage(dialect: SqlDialect) -> frozenset[str]:
    return frozenset((*(f"q{n}" for n in range(8)), "quantities", "layout", "details", *dialect.amount_columns))


def fill(store: Store, entries: int, *, seed: int = 1) -> None:
    """Put so many entries, more or less, into a store, in one transaction for each few thousand.

    Where sums are kept, they are made at the end, as that is faster.
    """
    made = Maker(store.dialect, seed)
    runs: list[Row] = []
    steps: list[Row] = []
    some: list[Row] = []

    def put() -> None:
        with store.transaction(time.monotonic() + 60):
            put_interned(store.put, made.interner)
            store.put(RUNS, runs)
            store.put(STEPS, steps)
            store.put(ENTRIES, some)
        for rows in (runs, steps, some):
            rows.clear()

    for run, inside, of_run in made.runs(entries):
        runs.append(run)
        steps += inside
        some += of_run
        if len(some) >= _AT_A_TIME:
            put()
    put()
    if store.has_sums:
        with store.transaction(time.monotonic() + 60):
            make_anew(store)


def make_file(path: Path, entries: int, *, seed: int = 1) -> Path:
    """A ledger of so many entries. Its indexes are made at the end, as that is faster."""
    from aicost.ledger.engines.sqlite_tables import CREATED, statements

    store = SqliteStore(path, synchronous="OFF", timeout_s=60)
    for name, *_ in ENTRIES.indexes:
        store.db.execute(f"DROP INDEX {name}")
    store.db.execute("PRAGMA cache_size = -400000")
    fill(store, entries, seed=seed)
    for statement in statements(CREATED):
        store.db.execute(statement)
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--entries", type=int, default=2_000_000)
    asked = parser.parse_args()
    began = time.perf_counter()
    make_file(asked.file, asked.entries)
    print(f"{asked.file}: {asked.file.stat().st_size / 2**20:,.0f} MiB in {time.perf_counter() - began:.0f} s")
