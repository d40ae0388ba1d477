"""The questions a ledger answers, on a connection that cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from aicost._errors import LedgerError
from aicost.usage.meters import INPUT_TOKENS, OUTPUT_TOKENS, group_of

from .rows import NANO

DIMENSIONS: Mapping[str, str] = {
    "tenant": "tenant_id",
    "customer": "customer_id",
    "feature": "feature_id",
    "workflow": "workflow",
    "step": "step",
    "agent": "agent",
    "model": "model",
    "provider": "provider",
    "team": "team",
    "product": "product",
    "environment": "environment",
    "status": "status",
}
"""What a breakdown can go by, and the column it reads."""

# What a failed step spent bought nothing; nor did a call that failed after it was billed.
_FAILED_STEPS = """
WITH RECURSIVE failed(step_id) AS (
    SELECT step_id FROM steps WHERE status = 'failed'
    UNION SELECT s.step_id FROM steps s JOIN failed f ON s.parent_step_id = f.step_id
)
"""
_WASTED = "(c.status <> 'success' OR c.step_id IN (SELECT step_id FROM failed))"

_SUMS = f"""
    c.currency,
    SUM(c.status <> 'retry') AS calls,
    COUNT(*) AS attempts,
    SUM(c.status = 'retry') AS retries,
    SUM(c.nano) AS nano, SUM(c.atto_rest) AS rest,
    SUM(CASE WHEN {_WASTED} THEN c.nano END) AS wasted_nano,
    SUM(CASE WHEN {_WASTED} THEN c.atto_rest END) AS wasted_rest,
    SUM(c.billed = 'yes' AND c.charge_status = 'unpriced') AS unpriced,
    SUM(c.billed = 'yes' AND c.charge_status = 'partial') AS partial,
    SUM(c.billed = 'possibly') AS possibly_billed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which charges a question is about; what is None does not narrow it. Times are nanoseconds since the epoch."""

    since_ns: int | None = None
    until_ns: int | None = None
    run_id: str | None = None
    span_id: str | None = None
    event_id: str | None = None
    tenant_id: str | None = None
    customer_id: str | None = None
    feature_id: str | None = None
    workflow: str | None = None
    model: str | None = None
    provider: str | None = None
    team: str | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over some charges of one currency. `atto` and `wasted_atto` are in 1e-18 of it."""

    key: str | None
    currency: str
    calls: int
    attempts: int
    retries: int
    atto: int
    wasted_atto: int
    unpriced: int
    partial: int
    possibly_billed: int
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Charges whose amount is not, or not fully, known: which model, why, how many."""

    provider: str
    model: str
    status: str
    billed: str
    reason: str
    count: int


class LedgerReader:
    """A ledger file open for questions. Use it as a context manager."""

    def __init__(self, path: str | Path) -> None:
        file = Path(path).expanduser()
        if not file.is_file():
            raise LedgerError(
                f"no ledger at {file}; run something with AICOST_LEDGER={file} first, or name another one"
            )
        try:
            self._db = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
            self._db.row_factory = sqlite3.Row
            self._db.execute("SELECT 1 FROM charges LIMIT 1")
        except sqlite3.Error as error:
            raise LedgerError(f"{file} is not an aicost ledger: {error}") from error

    def __enter__(self) -> LedgerReader:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._db.close()

    def breakdown(self, by: str | None, where: Filter = Filter()) -> list[Sums]:
        """Sums per value of a dimension, the dearest first; without `by`, per currency.

        What has no value for the dimension has the key None and is never left out. Raises `LedgerError` for a
        dimension nobody knows.
        """
        column = "NULL" if by is None else f"c.{_column(by)}"
        condition, values = _where(where)
        groups = f"{column}, c.currency"
        sums = self._db.execute(
            f"{_FAILED_STEPS} SELECT {column} AS key, {_SUMS} FROM charges c {condition} GROUP BY {groups}", values
        ).fetchall()
        tokens = self._tokens(column, condition, values)
        made = [_sums(row, tokens.get((row["key"], row["currency"]), {})) for row in sums]
        return sorted(made, key=lambda s: (-s.atto, s.key is None, s.key or "", s.currency))

    def gaps(self, where: Filter = Filter()) -> list[Gap]:
        """Every reason for which an amount is not fully known, the most frequent first."""
        condition, values = _where(where)
        unknown = "(c.charge_status IN ('unpriced', 'partial') OR c.billed = 'possibly')"
        rows = self._db.execute(
            "SELECT provider, model, charge_status, billed, COALESCE(reason, '') AS reason, COUNT(*) AS n "
            f"FROM charges c {condition} {'AND' if condition else 'WHERE'} {unknown} "
            "GROUP BY 1, 2, 3, 4, 5 ORDER BY n DESC, model",
            values,
        )
        return [Gap(r["provider"], r["model"], r["charge_status"], r["billed"], r["reason"], r["n"]) for r in rows]

    def charges(self, where: Filter = Filter()) -> list[sqlite3.Row]:
        """The charges themselves in the order they began, one row per attempt."""
        condition, values = _where(where)
        return self._db.execute(
            f"SELECT c.* FROM charges c {condition} ORDER BY started_ns, attempt",
            values,
        ).fetchall()

    def lines(self, event_ids: Sequence[str]) -> dict[str, list[sqlite3.Row]]:
        """The lines of charges, with what is known of each rate, by event id."""
        found: dict[str, list[sqlite3.Row]] = {event_id: [] for event_id in event_ids}
        for event_id in event_ids:
            found[event_id] = self._db.execute(
                "SELECT l.*, r.about FROM charge_lines l JOIN charges c USING (event_id) "
                "LEFT JOIN rates r ON r.rate_card = c.rate_card AND r.rate_id = l.rate_id "
                "WHERE l.event_id = ? ORDER BY position",
                (event_id,),
            ).fetchall()
        return found

    def runs(self, root_or_run: str) -> list[sqlite3.Row]:
        """A run and all runs inside it."""
        return self._db.execute(
            "WITH RECURSIVE tree(run_id) AS (SELECT ? UNION "
            "SELECT r.run_id FROM runs r JOIN tree t ON r.parent_run_id = t.run_id) "
            "SELECT r.* FROM runs r JOIN tree USING (run_id) ORDER BY started_ns",
            (root_or_run,),
        ).fetchall()

    def steps(self, run_ids: Sequence[str]) -> list[sqlite3.Row]:
        """The steps of runs in the order they began."""
        marks = ", ".join("?" * len(run_ids))
        return self._db.execute(
            f"SELECT * FROM steps WHERE run_id IN ({marks}) ORDER BY started_ns",
            tuple(run_ids),
        ).fetchall()

    def resolve(self, identifier: str) -> tuple[str, str]:
        """What an id, or the start of one (6 characters or more), names: ("run" | "span" | "event", full id).

        Raises `LedgerError` when it names nothing, or more than one thing.
        """
        if len(identifier) < 6:
            raise LedgerError(f"{identifier!r} is too short; give at least 6 characters of a run, span or event id")
        pattern = identifier.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        found: set[tuple[str, str]] = set()
        for kind, column in (("run", "run_id"), ("span", "span_id"), ("event", "event_id")):
            rows = self._db.execute(
                f"SELECT DISTINCT {column} FROM charges WHERE {column} LIKE ? ESCAPE '\\' LIMIT 6",
                (pattern,),
            )
            found.update((kind, row[0]) for row in rows)
        with closing(
            self._db.execute("SELECT run_id FROM runs WHERE run_id LIKE ? ESCAPE '\\' LIMIT 6", (pattern,))
        ) as c:
            found.update(("run", row[0]) for row in c)
        exact = [pair for pair in found if pair[1] == identifier]
        if len(exact) == 1 or len(found) == 1:
            return (exact or list(found))[0]
        if not found:
            raise LedgerError(f"no run, span or event starts with {identifier!r} in this ledger")
        raise LedgerError(f"{identifier!r} is ambiguous: " + ", ".join(sorted(f"{k} {i}" for k, i in found)[:6]))

    def _tokens(self, column: str, condition: str, values: Sequence[Any]) -> dict[tuple[Any, str], dict[str, int]]:
        rows = self._db.execute(
            f"SELECT {column} AS key, c.currency, l.meter, SUM(CAST(l.quantity AS INTEGER)) AS n "
            f"FROM charges c JOIN charge_lines l USING (event_id) {condition} GROUP BY 1, 2, 3",
            values,
        )
        tokens: dict[tuple[Any, str], dict[str, int]] = {}
        for row in rows:
            tokens.setdefault((row["key"], row["currency"]), {})[row["meter"]] = row["n"]
        return tokens


def _column(by: str) -> str:
    try:
        return DIMENSIONS[by]
    except KeyError:
        raise LedgerError(f"cannot break down by {by!r}; choose one of {', '.join(DIMENSIONS)}") from None


def _where(where: Filter) -> tuple[str, list[Any]]:
    parts, values = [], []
    for field in fields(where):
        value = getattr(where, field.name)
        if value is None:
            continue
        if field.name == "since_ns":
            parts.append("c.started_ns >= ?")
        elif field.name == "until_ns":
            parts.append("c.started_ns < ?")
        else:
            parts.append(f"c.{field.name} = ?")
        values.append(value)
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), values


def _sums(row: sqlite3.Row, meters: Mapping[str, int]) -> Sums:
    return Sums(
        key=row["key"],
        currency=row["currency"],
        calls=row["calls"],
        attempts=row["attempts"],
        retries=row["retries"],
        atto=_atto(row["nano"], row["rest"]) or 0,
        wasted_atto=_atto(row["wasted_nano"], row["wasted_rest"]) or 0,
        unpriced=row["unpriced"],
        partial=row["partial"],
        possibly_billed=row["possibly_billed"],
        input_tokens=sum(n for meter, n in meters.items() if meter in INPUT_TOKENS),
        output_tokens=sum(n for meter, n in meters.items() if meter in OUTPUT_TOKENS),
        cached_tokens=sum(n for meter, n in meters.items() if group_of(meter) == "cache_read"),
    )


def _atto(nano: int | None, rest: int | None) -> int | None:
    return None if nano is None else nano * NANO + (rest or 0)
