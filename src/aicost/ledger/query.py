"""The questions a ledger answers, on a connection that cannot write."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import Any

from aicost._errors import LedgerError
from aicost._money import to_text
from aicost.pricing.kernel import Inquiry
from aicost.usage.event import Chargeable
from aicost.usage.meters import Quantity, direction_of, group_of

from .connection import connect_read_only
from .rows import NANO, storable

BREAKDOWNS: Mapping[str, str] = {
    "tenant": "tenant_id",
    "customer": "customer_id",
    "feature": "feature_id",
    "workflow": "workflow",
    # Of a call in no step, ledgers of old say the operation; one in a step that was told of later names none.
    "step": "CASE WHEN c.step_id IS NOT NULL OR c.step <> c.operation "
    "THEN COALESCE(c.step, (SELECT s.name FROM steps s WHERE s.step_id = c.step_id)) END",
    "agent": "agent",
    "model": "model",
    "provider": "provider",
    "team": "team",
    "product": "product",
    "environment": "environment",
    "status": "status",
    "meter": "meter",
}
"""What a breakdown can go by, and the column, or expression over the charge `c`, that it reads."""

_IDS = (
    ("run", "runs", "run_id"),
    ("run", "runs", "root_run_id"),
    ("run", "charges", "run_id"),
    ("span", "charges", "span_id"),
    ("event", "charges", "event_id"),
)

READ_TIMEOUT_S = 5.0
"""How long a question waits for a file that is locked."""

# What bought nothing: a call that failed after it was billed, and what was called in a step or run that failed, or is
# inside of one that did. `is_waste` in `aicost.scopes.runs` says the same of a run that is going on. Steps are found
# by their run, which has an index: a step is in the run of the one around it.
_FAILED = """
WITH RECURSIVE failed_steps(step_id, run_id) AS (
    SELECT step_id, run_id FROM steps WHERE status = 'failed'
    UNION SELECT s.step_id, s.run_id FROM failed_steps f CROSS JOIN steps s
    ON s.run_id = f.run_id AND s.parent_step_id = f.step_id
),
failed_runs(run_id) AS (
    SELECT run_id FROM runs
    WHERE status = 'failed' OR parent_step_id IN (SELECT step_id FROM failed_steps)
    UNION SELECT r.run_id FROM failed_runs f CROSS JOIN runs r ON r.parent_run_id = f.run_id
)
"""
_WASTED = (
    "(c.status <> 'success' OR c.step_id IN (SELECT step_id FROM failed_steps) "
    "OR c.run_id IN (SELECT run_id FROM failed_runs))"
)


def _split(value: str, name: str) -> str:
    """A sum that cannot overflow: SQLite's integers have 64 bits, and two large values may already be more.

    The upper and the lower 32 bits are added apart; `_whole` puts them together. Good for two billion rows.
    """
    return f"SUM(({value}) >> 32) AS {name}_upper, SUM(({value}) & 4294967295) AS {name}_lower"


def _whole(row: sqlite3.Row, name: str) -> int | None:
    """What `_split` has added; None where there was nothing to add."""
    upper, lower = row[f"{name}_upper"], row[f"{name}_lower"]
    return None if upper is None else (upper << 32) + lower


_SUMS = f"""
    c.currency,
    {_WASTED} AS wasted,
    SUM(c.status <> 'retry') AS calls,
    COUNT(*) AS attempts,
    SUM(c.status = 'retry') AS retries,
    SUM(c.retry_of IS NOT NULL) AS app_retries, SUM(c.fallback_of IS NOT NULL) AS fallbacks,
    {_split("c.nano", "nano")}, SUM(c.atto_rest) AS rest,
    SUM(c.billed <> 'no') AS billed, SUM(c.billed <> 'no' AND c.nano IS NOT NULL) AS known,
    SUM(c.billed = 'yes' AND c.charge_status = 'unpriced') AS unpriced,
    SUM(c.billed = 'yes' AND c.charge_status = 'partial') AS partial,
    SUM(c.billed = 'possibly') AS possibly_billed
"""


# A provider's own cost replaces what its lines come to, so it is not theirs to divide; nor is an amount that a process
# has told a collector without a card the collector has.
_BY_METER = f"""
{_FAILED}, parts AS (
    SELECT c.*, l.meter, CAST(l.quantity AS INTEGER) AS quantity,
        CASE WHEN l.event_id IS NULL THEN c.nano ELSE l.nano END AS part_nano,
        CASE WHEN l.event_id IS NULL THEN c.atto_rest ELSE l.atto_rest END AS part_rest
    FROM charges c
    LEFT JOIN charge_lines l ON l.event_id = c.event_id AND c.charge_status <> 'provider_reported'
        AND (l.nano IS NOT NULL OR c.nano IS NULL OR (c.charge_status = 'partial' AND EXISTS (
            SELECT 1 FROM charge_lines o WHERE o.event_id = c.event_id AND o.nano IS NOT NULL)))
    {{condition}}
)
SELECT c.meter AS key, c.currency, {_WASTED} AS wasted, {_split("c.quantity", "quantity")},
    COUNT(DISTINCT CASE WHEN c.status <> 'retry' THEN c.event_id END) AS calls,
    COUNT(DISTINCT c.event_id) AS attempts,
    COUNT(DISTINCT CASE WHEN c.status = 'retry' THEN c.event_id END) AS retries,
    COUNT(DISTINCT CASE WHEN c.retry_of IS NOT NULL THEN c.event_id END) AS app_retries,
    COUNT(DISTINCT CASE WHEN c.fallback_of IS NOT NULL THEN c.event_id END) AS fallbacks,
    {_split("c.part_nano", "nano")}, SUM(c.part_rest) AS rest,
    SUM(c.billed <> 'no') AS billed, SUM(c.billed <> 'no' AND c.part_nano IS NOT NULL) AS known,
    COUNT(DISTINCT CASE WHEN c.billed = 'yes' AND c.part_nano IS NULL THEN c.event_id END) AS unpriced,
    COUNT(DISTINCT CASE WHEN c.billed = 'yes' AND c.part_nano IS NOT NULL AND c.charge_status = 'partial'
        THEN c.event_id END) AS partial,
    COUNT(DISTINCT CASE WHEN c.billed = 'possibly' THEN c.event_id END) AS possibly_billed
FROM parts c GROUP BY c.meter, c.currency, wasted
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
    app_retries: int = 0
    """Calls that the application made again after the same call had failed."""
    fallbacks: int = 0
    """Calls that went to another model or provider after one had failed."""
    cached_tokens: int = 0
    is_known: bool = True
    """False when something was, or may have been, billed and no amount of it is known: `atto` is then no answer."""
    is_waste_known: bool = True
    """The same of what was wasted, and `wasted_atto`."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Charges whose amount is not, or not fully, known: which model, why, how many."""

    provider: str
    model: str
    status: str
    chargeable: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Sightings:
    """Views of one kind that are no money: how many, and what they would have come to in 1e-18 of the currency.

    `kind` is `joined`, `differs`, `replaced` or `contradiction` (`aicost.pricing.sighting`).
    """

    kind: str
    reason: str
    currency: str
    count: int
    atto: int | None
    unknown: int = 0
    """Of how many it is not known what they would have come to."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An attempt as it was recorded: the question of its price, and the answer it got then."""

    event_id: str
    inquiry: Inquiry
    currency: str
    atto: int | None


class LedgerReader:
    """A ledger file open for questions. Use it as a context manager.

    All its answers are from the same moment, so that parts add up to totals while charges still come in. They raise
    `LedgerError` when the file turns out to be damaged.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        file = Path(path).expanduser()
        if not file.is_file():
            raise LedgerError(
                f"no ledger at {file}; run something with AICOST_LEDGER={file} first, or name another one"
            )
        self._path = file
        self._db = connect_read_only(file, timeout_s=READ_TIMEOUT_S)

    def __enter__(self) -> LedgerReader:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._db.close()

    def breakdown(self, by: str | None, where: Filter = Filter()) -> list[Sums]:
        """Sums per value of a dimension, the dearest first; without `by`, per currency.

        What has no value for the dimension has the key None and is never left out. By `meter` the amounts add up to
        the total, and a call counts with each of its meters; None is what no meter explains, such as a cost that the
        provider reported. Raises `LedgerError` for a dimension nobody knows.
        """
        condition, values = _where(where)
        if by == "meter":
            groups = self._rows(_BY_METER.format(condition=condition), values)
            tokens: dict[tuple[Any, str], dict[str, int]] = {}
            for row in groups:
                if row["key"]:
                    counted = tokens.setdefault((row["key"], row["currency"]), Counter())
                    counted[row["key"]] += _whole(row, "quantity") or 0
        else:
            column = "NULL" if by is None else _column(by)
            select = f"SELECT {column} AS key, {_SUMS} FROM charges c {condition} GROUP BY {column}, c.currency, wasted"
            groups = self._rows(f"{_FAILED} {select}", values)
            tokens = self._tokens(column, condition, values)
        of_key: dict[tuple[Any, str], list[sqlite3.Row]] = {}
        for row in groups:
            of_key.setdefault((row["key"], row["currency"]), []).append(row)
        made = [_sums(*key, rows, tokens.get(key, {})) for key, rows in of_key.items()]
        return sorted(made, key=lambda s: (-s.atto, s.key is None, s.key or "", s.currency))

    def gaps(self, where: Filter = Filter()) -> list[Gap]:
        """Every reason for which an amount is not fully known, the most frequent first."""
        condition, values = _where(where)
        unknown = "(c.charge_status IN ('unpriced', 'partial') OR c.billed = 'possibly')"
        rows = self._rows(
            "SELECT provider, model, charge_status, billed, COALESCE(reason, '') AS reason, COUNT(*) AS n "
            f"FROM charges c {condition} {'AND' if condition else 'WHERE'} {unknown} "
            "GROUP BY 1, 2, 3, 4, 5 ORDER BY n DESC, model",
            values,
        )
        return [Gap(r["provider"], r["model"], r["charge_status"], r["billed"], r["reason"], r["n"]) for r in rows]

    def sightings(self, where: Filter = Filter()) -> list[Sightings]:
        """Views that are no money, by what they are and why, with what they would have come to."""
        condition, values = _where(where)
        of_payload = re.sub(r"\bc\.(\w+)", r"json_extract(s.payload, '$.\1')", condition)
        rows = self._rows(
            "SELECT s.kind, s.reason, COALESCE(s.currency, '') AS currency, COUNT(*) AS n, COUNT(s.nano) AS known, "
            f"{_split('s.nano', 'nano')}, SUM(s.atto_rest) AS rest "
            f"FROM sightings s {of_payload} GROUP BY 1, 2, 3 ORDER BY n DESC, 1, 2",
            values,
        )
        return [
            Sightings(
                r["kind"], r["reason"], r["currency"], r["n"], _atto(_whole(r, "nano"), r["rest"]), r["n"] - r["known"]
            )
            for r in rows
        ]

    def charges(self, where: Filter = Filter()) -> list[sqlite3.Row]:
        """The charges themselves in the order they began, one row per attempt."""
        condition, values = _where(where)
        return self._rows(f"SELECT c.* FROM charges c {condition} ORDER BY started_ns, attempt", values)

    def recorded(self, where: Filter = Filter()) -> Iterator[Recorded]:
        """Every attempt with its usage, as it can be priced again, in the order they began."""
        condition, values = _where(where)
        rows = self._cursor(
            "SELECT c.*, l.meter, l.quantity FROM charges c LEFT JOIN charge_lines l USING (event_id) "
            f"{condition} ORDER BY c.started_ns, c.event_id, l.position",
            values,
        )
        for _, lines in groupby(rows, key=itemgetter("event_id")):
            yield _recorded(list(lines))

    def lines(self, event_ids: Sequence[str]) -> dict[str, list[sqlite3.Row]]:
        """The lines of charges, with what is known of each rate, by event id."""
        select = (
            "SELECT l.*, r.about FROM charge_lines l JOIN charges c USING (event_id) "
            "LEFT JOIN rates r ON r.rate_card = c.rate_card AND r.rate_id = l.rate_id "
            "WHERE l.event_id = ? ORDER BY position"
        )
        return {event_id: self._rows(select, (event_id,)) for event_id in event_ids}

    def runs(self, root_or_run: str) -> list[sqlite3.Row]:
        """A run and all runs inside it. The outermost one may be known by those alone, where its span never came."""
        # The runs of one tree share its root, so only they are searched for children.
        return self._rows(
            "WITH RECURSIVE family AS MATERIALIZED (SELECT * FROM runs WHERE root_run_id = "
            "COALESCE((SELECT root_run_id FROM runs WHERE run_id = ?1), ?1)), tree(run_id) AS (SELECT ?1 UNION "
            "SELECT r.run_id FROM family r JOIN tree t ON r.parent_run_id = t.run_id) "
            "SELECT r.* FROM family r JOIN tree USING (run_id) ORDER BY started_ns",
            (root_or_run,),
        )

    def steps(self, run_ids: Sequence[str]) -> list[sqlite3.Row]:
        """The steps of runs in the order they began."""
        select = "SELECT * FROM steps WHERE run_id = ?"
        found = [row for run_id in dict.fromkeys(run_ids) for row in self._rows(select, (run_id,))]
        return sorted(found, key=lambda row: int(row["started_ns"]))

    def resolve(self, identifier: str) -> tuple[str, str]:
        """What an id, or the start of one (6 characters or more), names: ("run" | "span" | "event", full id).

        Raises `LedgerError` when it names nothing, or more than one thing.
        """
        if len(identifier) < 6:
            raise LedgerError(f"{identifier!r} is too short; give at least 6 characters of a run, span or event id")
        for condition, values in (("= ?", (identifier,)), (">= ? AND {0} < ?", _range(identifier))):
            found: set[tuple[str, str]] = set()
            for kind, table, column in _IDS:
                select = f"SELECT DISTINCT {column} FROM {table} WHERE {column} {condition.format(column)} LIMIT 6"
                found.update((kind, row[0]) for row in self._rows(select, values))
            if len(found) == 1:
                return found.pop()
            if found:
                listed = ", ".join(sorted(f"{kind} {full}" for kind, full in found)[:6])
                raise LedgerError(f"{identifier!r} is ambiguous: {listed}")
        for seen in self._rows(
            "SELECT event_id, kind, reason, counted_by FROM sightings WHERE event_id >= ? AND event_id < ? LIMIT 1",
            _range(identifier),
        ):
            why = f"{seen['kind']}, {seen['reason']}" if seen["reason"] else seen["kind"]
            by = f"; aicost explain {seen['counted_by']}" if seen["counted_by"] else ""
            raise LedgerError(f"{seen['event_id']} is a view that is not counted ({why}){by}")
        raise LedgerError(f"no run, span or event starts with {identifier!r} in this ledger")

    def _rows(self, select: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        return list(self._cursor(select, values))

    def _cursor(self, select: str, values: Sequence[Any]) -> Iterator[sqlite3.Row]:
        try:
            yield from self._db.execute(select, storable(tuple(values)))  # as such text is stored
        except sqlite3.Error as error:
            raise LedgerError(
                f"cannot read ledger {self._path}: {error}; restore a copy, or try `sqlite3 FILE .recover`"
            ) from error

    def _tokens(self, column: str, condition: str, values: Sequence[Any]) -> dict[tuple[Any, str], dict[str, int]]:
        rows = self._rows(
            f"SELECT {column} AS key, c.currency, l.meter, {_split('CAST(l.quantity AS INTEGER)', 'n')} "
            f"FROM charges c JOIN charge_lines l USING (event_id) {condition} GROUP BY 1, 2, 3",
            values,
        )
        tokens: dict[tuple[Any, str], dict[str, int]] = {}
        for row in rows:
            tokens.setdefault((row["key"], row["currency"]), {})[row["meter"]] = _whole(row, "n") or 0
        return tokens


def _column(by: str) -> str:
    try:
        said = BREAKDOWNS[by]
    except KeyError:
        raise LedgerError(f"cannot break down by {by!r}; choose one of {', '.join(BREAKDOWNS)}") from None
    return f"c.{said}" if said.isidentifier() else said


def _range(start: str) -> tuple[str, str]:
    """Between which two texts all lie that begin with `start`; unlike LIKE, an index can serve it."""
    return start, start + "\U0010ffff"


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


def _recorded(lines: Sequence[sqlite3.Row]) -> Recorded:
    row = lines[0]
    usage: dict[str, Quantity] = {}
    for line in lines:
        if line["meter"] is not None:
            number = Decimal(line["quantity"])
            usage[line["meter"]] = usage.get(line["meter"], 0) + (int(number) if number == int(number) else number)
    nothing_known = not usage and (row["charge_status"] != "priced" or row["billed"] == "no")
    atto = _atto(row["nano"], row["atto_rest"])
    reported = row["charge_status"] == "provider_reported" and atto is not None
    inquiry = Inquiry(
        row["provider"],
        row["model"],
        None if nothing_known else usage,
        row["started_ns"],
        row["service_tier"],
        row["region"],
        row["speed"],
        bool(row["complete"]),
        tuple(json.loads(row["flags"])),
        Chargeable(row["billed"]),
        bool(row["estimated"]),
        to_text(atto) if reported and atto is not None else None,
        row["currency"],
        row["request_model"],
    )
    return Recorded(row["event_id"], inquiry, row["currency"], atto)


def _sums(key: str | None, currency: str, rows: Sequence[sqlite3.Row], meters: Mapping[str, int]) -> Sums:
    """The sums over rows of what was wasted and of what was not."""
    wasted = [row for row in rows if row["wasted"]]
    counts = ("calls", "attempts", "retries", "app_retries", "fallbacks", "unpriced", "partial", "possibly_billed")
    return Sums(
        key=key,
        currency=currency,
        atto=_added(rows),
        wasted_atto=_added(wasted),
        input_tokens=sum(n for meter, n in meters.items() if direction_of(meter) == "input"),
        output_tokens=sum(n for meter, n in meters.items() if direction_of(meter) == "output"),
        cached_tokens=sum(n for meter, n in meters.items() if group_of(meter) == "cache_read"),
        is_known=_is_known(rows),
        is_waste_known=_is_known(wasted),
        **{name: sum(row[name] for row in rows) for name in counts},
    )


def _added(rows: Sequence[sqlite3.Row]) -> int:
    return sum(_atto(_whole(row, "nano"), row["rest"]) or 0 for row in rows)


def _is_known(rows: Sequence[sqlite3.Row]) -> bool:
    """Whether any amount is known, or nothing was billed at all."""
    return any(row["known"] for row in rows) or not any(row["billed"] for row in rows)


def _atto(nano: int | None, rest: int | None) -> int | None:
    return None if nano is None else nano * NANO + (rest or 0)
