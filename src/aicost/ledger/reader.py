"""A ledger open for questions, on a connection that cannot write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import wraps
from heapq import nsmallest
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from aicost._errors import LedgerError
from aicost._ledger_url import LedgerUrl
from aicost._money import to_text
from aicost.pricing.charge import Layout
from aicost.pricing.kernel import Inquiry
from aicost.usage.event import Chargeable
from aicost.usage.meters import Quantity

from .answers import Booked, EntryRow, Gap, Recorded, RunRow, Sightings, StepRow
from .closing import booked_sql, months_closed
from .columns import CONTEXT, entry_id
from .connection import as_ledger_error
from .ingest import READ_TIMEOUT_S, take_in
from .outcomes import OutcomeRow, outcome_of, outcomes_sql
from .quantiles import Listed
from .query import EVERYTHING, RUN, Filter, Query, start_of
from .records import ChargeRecord, layout_of
from .row_sources import RowSource, sources_of
from .rows import NO_LAYOUT, quantities_of, record_of
from .schema import COUNTS, SUMS_BY_DAY
from .selection import columns_of, conditions_of, groups_sql, key_in, source_sql, where_sql
from .sql_dialects import QUANTITY_COLUMNS, Kind
from .store import Snapshot
from .sums import (
    OTHER,
    AlikeEntries,
    Part,
    RowKey,
    Sums,
    Weights,
    first_keys,
    in_order,
    summed,
    with_other,
    without,
)
from .value_selection import runs_sql, values_of, values_sql
from .where import Where, open_snapshot, where_is
from .writing import READ_ENTRY

_IDS: tuple[tuple[str, str, str, Kind], ...] = (
    ("run", "runs", "run_id", "identifier"),
    ("run", "runs", "root_run_id", "identifier"),
    ("run", "entries", "run_id", "identifier"),
    ("span", "entries", "span_id", "identifier"),
    ("event", "entries", "id", "id"),
    ("event", "names", "name", "text"),
)

_FAILED_INSIDE: tuple[Literal["step", "run"] | None, ...] = (None, "run", "step")

_MAX_NAMES = 10_000
"""Names of runs and steps that a reader keeps in memory."""

Found = Mapping[str, Any]

P = ParamSpec("P")
R = TypeVar("R")


def _answer(
    method: Callable[Concatenate[LedgerReader, P], R],
) -> Callable[Concatenate[LedgerReader, P], R]:
    """A method that raises `LedgerError` for whatever a damaged file makes of it."""

    @wraps(method)
    def asked(self: LedgerReader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._reading():
            return method(self, *args, **kwargs)

    return asked


class LedgerReader:
    """A ledger, in a file or on a server, open for questions. Use it as a context manager.

    All its answers are from the same moment, so that parts add up to totals while charges still come in. They raise
    `LedgerError` when it turns out to be damaged.
    """

    def __init__(self, path: str | PathLike[str] | LedgerUrl) -> None:
        """Take in what waits in the journal, then open. Raises `LedgerError` for what is no ledger.

        Where it may not be written, what waits stays there: `waiting` says how many bytes.
        """
        self._layouts: dict[int, Layout] = {}
        self._names: dict[tuple[str, Any], str | None] = {}
        self.waiting: int | None = 0
        """Bytes of the journal beside it that could not be taken in, and are in no answer; None if nobody can say."""
        self._path = where_is(path)
        with self._reading():
            self._snapshot = self._opened(self._path)
        self._dialect = self._snapshot.dialect

    def _opened(self, where: Where) -> Snapshot:
        self.waiting = take_in(where)
        if isinstance(where, Path) and not where.is_file():
            raise LedgerError(
                f"no ledger at {where}; run something with AICOST_LEDGER={where} first, or name another one"
            )
        return open_snapshot(where, timeout_s=READ_TIMEOUT_S)

    def _reading(self) -> AbstractContextManager[None]:
        way_out = "restore a copy"
        if isinstance(self._path, Path):
            way_out += ", or try `sqlite3 FILE .recover`"
        return as_ledger_error(f"cannot read ledger {self._path}", way_out)

    def __enter__(self) -> LedgerReader:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._snapshot.close()

    @_answer
    def answer(self, query: Query) -> list[Sums]:
        """The sums that a question asks for, the dearest first, by stretch of time if it asks for that."""
        if query.top is not None and query.group_by == (RUN,) and query.bucket is None and not query.measures:
            return self._dearest_runs(query, query.top)
        sources = sources_of(query, self._snapshot, SUMS_BY_DAY, facts=CONTEXT)
        values = {measure: self._values(query, measure) for measure in query.measures}
        rows = summed(query, self._groups(query, sources), values)
        return rows if query.top is None else with_other(rows, first_keys(rows, query.top))

    @_answer
    def gaps(self, where: Filter = EVERYTHING) -> list[Gap]:
        """Every reason for which an amount is not fully known, the most frequent first."""
        dialect = self._dialect
        by = "provider, model, charge_status, chargeable, COALESCE(reason, '')"
        selects: list[str] = []
        values: list[Any] = []
        columns = ("n", *dialect.columns_of_money("amount"), *dialect.columns_of_money("at_most"))
        for source in sources_of(Query(where=where), self._snapshot, SUMS_BY_DAY, facts=CONTEXT):
            if source.kind != "moved":
                condition, more = source_sql(source, dialect, "metered")
                values += more
                said = columns_of(source, SUMS_BY_DAY, dialect)
                sums = ", ".join(f"SUM({said[name]}) AS {name}" for name in columns)
                selects.append(
                    f"SELECT e.context AS context, SUM({said['bounded']} * e.n) AS bounded, "
                    f"SUM({said['known']}) AS known, {sums} "
                    f"FROM {source.table} e {condition} GROUP BY e.context"
                )
        sums = ", ".join(dialect.sum_of_money(f"g.{name}", name) for name in ("amount", "at_most"))
        rows = self._rows(
            f"WITH g AS ({' UNION ALL '.join(selects)}) "
            f"SELECT {by} AS why, currency, SUM(g.n) AS n, SUM(g.bounded) AS bounded, SUM(g.known) AS known, {sums} "
            "FROM g JOIN contexts c ON c.id = g.context "
            "WHERE charge_status IN ('unpriced', 'partial') OR chargeable = 'possibly' "
            "GROUP BY 1, 2, 3, 4, 5, 6 HAVING SUM(g.n) <> 0",
            values,
        )
        gaps = [
            Gap(
                row["provider"],
                row["model"],
                row["charge_status"],
                row["chargeable"],
                row["why"],
                int(row["n"]),
                row["currency"],
                dialect.atto(row, "amount") if row["known"] else None,
                dialect.atto(row, "at_most") if row["bounded"] == row["n"] else None,
            )
            for row in rows
        ]
        return sorted(
            gaps, key=lambda gap: (-gap.count, gap.model, gap.provider, gap.reason, gap.status, gap.chargeable)
        )

    @_answer
    def sightings(self, where: Filter = EVERYTHING) -> list[Sightings]:
        """Views that are no money, by what they are and why, with what they would have come to."""
        condition, values = where_sql(where, self._dialect, book=None)
        rows = self._rows(
            "SELECT e.kind, e.reason, c.currency, COUNT(*) AS n, "
            f"SUM(CASE WHEN {self._dialect.is_known('e.amount')} THEN 1 ELSE 0 END) AS known, "
            f"{self._dialect.sum_of_money('e.amount', 'amount')} FROM sightings e JOIN contexts c ON c.id = e.context "
            f"{condition} GROUP BY 1, 2, 3 ORDER BY n DESC, 1, 2",
            values,
        )
        return [
            Sightings(
                r["kind"],
                r["reason"],
                r["currency"],
                r["n"],
                self._dialect.atto(r, "amount"),
                int(r["n"] - r["known"]),
            )
            for r in rows
        ]

    @_answer
    def outcomes(self, where: Filter = EVERYTHING) -> list[OutcomeRow]:
        """Outcomes of a stretch of time, as they are kept; by all else of `where`, `outcome_sums` goes."""
        rows = self._rows(*outcomes_sql(where.since_ns, where.until_ns))
        return [outcome_of(row, self._dialect.identifier_text(row["run_id"])) for row in rows]

    @_answer
    def charges(self, where: Filter = EVERYTHING) -> list[ChargeRecord]:
        """What counts, in the order it began, one record per attempt."""
        return sorted(self.records(where), key=lambda one: (one.started_ns, one.attempt))

    def records(self, where: Filter = EVERYTHING) -> Iterator[ChargeRecord]:
        """What counts, one record per attempt, in the order they began; it is read as it is asked for."""
        condition, values = where_sql(where, self._dialect)
        select = f"{READ_ENTRY} {condition} AND {COUNTS.format('e')} ORDER BY e.charge_start, e.id"
        with self._reading():
            for row in self._snapshot.stream(select, values):
                yield self._record(row)

    def booked(self, where: Filter = EVERYTHING) -> Iterator[Booked]:
        """What is billed in a stretch of time, in the order it began; it is read as it is asked for.

        That is what counts, but for months that were closed: those have what counted then, and what turned out
        otherwise is in the month it was posted to.
        """
        order = "ORDER BY e.charge_start, COALESCE(e.event, e.id), e.n"  # what is taken back, then what replaces it
        with self._reading():
            condition, values = booked_sql(where, months_closed(self._snapshot), self._dialect)
            for row in self._snapshot.stream(f"{READ_ENTRY} {condition} {order}", values):
                ids = [None, None] if row["corrects"] is None else [row["entry_id"].hex(), row["corrects"].hex()]
                yield Booked(self._record(row), int(row["n"]), row["posted_period"], *ids)

    def recorded(self, where: Filter = EVERYTHING) -> Iterator[Recorded]:
        """Every attempt with its usage, as it can be priced again, in the order they began."""
        yield from map(_recorded, self.records(where))

    @_answer
    def history(self, event_id: str) -> list[EntryRow]:
        """All entries of an event, each after what it corrects, and a replacement after the reversal."""
        identity = entry_id(event_id)
        rows = {row["entry_id"]: row for row in self._rows(f"{READ_ENTRY} WHERE e.id = ?", [identity])}
        rows |= {row["entry_id"]: row for row in self._rows(f"{READ_ENTRY} WHERE e.event = ?", [identity])}
        found = []
        after: list[bytes | None] = [None]
        while after:
            corrected = after.pop(0)
            made = [row for row in rows.values() if row["corrects"] == corrected]
            for row in sorted(made, key=lambda row: row["n"]):
                record = self._record(row)
                of = None if corrected is None else corrected.hex()
                found.append(EntryRow(row["entry_id"].hex(), row["n"], of, record.atto, record))
                after += [row["entry_id"]] if row["n"] > 0 else []
        return found

    @_answer
    def rate(self, rate_card: str | None, rate_id: str | None) -> dict[str, Any]:
        """What is known of where a rate came from, as it was when it was applied."""
        asked = "SELECT about FROM rates WHERE rate_card = ? AND rate_id = ?"
        rows = self._rows(asked, (rate_card, rate_id))
        return dict(json.loads(rows[0]["about"])) if rows else {}

    @_answer
    def runs(self, root_or_run: str) -> list[RunRow]:
        """A run and all runs inside it. The outermost one may be known by those alone, where its span never came."""
        asked = self._dialect.identifier(root_or_run)
        roots = [row["root_run_id"] for row in self._rows("SELECT root_run_id FROM runs WHERE run_id = ?", (asked,))]
        # The runs of one tree share its root, so only they are searched for children.
        family = self._rows("SELECT * FROM runs WHERE root_run_id = ?", roots or [asked])
        tree = inside = {asked}
        while inside:
            inside = {row["run_id"] for row in family if row["parent_run_id"] in tree} - tree
            tree = tree | inside
        return [self._run(row) for row in sorted(family, key=lambda row: row["started_ns"]) if row["run_id"] in tree]

    @_answer
    def steps(self, run_ids: Sequence[str]) -> list[StepRow]:
        """The steps of runs in the order they began."""
        select = "SELECT * FROM steps WHERE run_id = ?"
        stored = map(self._dialect.identifier, dict.fromkeys(run_ids))
        found = [self._step(row) for run_id in stored for row in self._rows(select, (run_id,))]
        return sorted(found, key=lambda row: row.started_ns)

    @_answer
    def resolve(self, identifier: str) -> tuple[str, str]:
        """What an id, or the start of one (6 characters or more), names: ("run" | "span" | "event", full id).

        Of an entry that is a correction it is the event. Raises `LedgerError` when it names nothing, or more than one
        thing.
        """
        if len(identifier) < 6:
            raise LedgerError(f"{identifier!r} is too short; give at least 6 characters of a run, span or event id")
        for is_whole in (True, False):
            found: set[tuple[str, str]] = set()
            for kind, table, column, holds in _IDS:
                for condition, values in conditions_of(self._dialect, column, holds, identifier, is_whole=is_whole):
                    of_entry = table == "entries" and kind == "event"
                    # First entries apart from corrections: of one event those may be more than the limit.
                    for which in (" AND event IS NULL", " AND event IS NOT NULL") if of_entry else ("",):
                        select = f"SELECT DISTINCT {column} AS found FROM {table} WHERE {condition}{which} LIMIT 6"
                        for row in self._rows(select, values):
                            stored = row["found"]
                            full = self._event_of(stored) if of_entry else self._dialect.identifier_text(stored)
                            found.add((kind, full or ""))
            found.discard(("run", ""))
            if len(found) == 1:
                kind, full = found.pop()
                if kind == "event" and not self.charges(Filter(event_id=full)):
                    self._refuse_sighting(full)
                return kind, full
            if found:
                listed = ", ".join(sorted(f"{kind} {full}" for kind, full in found)[:6])
                raise LedgerError(f"{identifier!r} is ambiguous: {listed}")
        self._refuse_sighting(identifier)
        raise LedgerError(f"no run, span or event starts with {identifier!r} in this ledger")

    def _refuse_sighting(self, identifier: str) -> None:
        named = [row["id"] for row in self._rows("SELECT id FROM names WHERE name = ?", (identifier,))]
        starts = self._dialect.beginning("event", identifier, "id")
        for condition, values in (*(("event = ?", (one,)) for one in named), *starts):
            asked = f"SELECT event, kind, reason, counted_by FROM sightings WHERE {condition} LIMIT 1"
            for seen in self._rows(asked, values):
                why = f"{seen['kind']}, {seen['reason']}" if seen["reason"] else seen["kind"]
                counted_by = seen["counted_by"] and self._name(entry_id(seen["counted_by"]))
                by = f"; aicost explain {counted_by}" if counted_by else ""
                raise LedgerError(f"{self._name(seen['event'])} is a view that is not counted ({why}){by}")

    def _event_of(self, identity: bytes) -> str:
        rows = self._rows("SELECT COALESCE(event, id) AS of_event FROM entries WHERE id = ?", (identity,))
        return self._name(rows[0]["of_event"])

    def _name(self, event: bytes) -> str:
        rows = self._rows("SELECT name FROM names WHERE id = ?", (event,))
        return str(rows[0]["name"]) if rows else event.hex()

    def _rows(self, select: str, values: Sequence[Any] = ()) -> list[Found]:
        return list(self._snapshot.rows(select, values))

    def _check_context(self, row: Found) -> None:
        """Raise `LedgerError` for entries whose context is gone: no sum may go without them."""
        if row["currency"] is None:
            raise LedgerError(f"cannot read ledger {self._path}: its context {row['context']} is gone; restore a copy")

    def _record(self, row: Found) -> ChargeRecord:
        self._check_context(row)
        event = row["event"] or row["entry_id"]
        record = record_of(row, row["name"] or event.hex(), row["meters"] or NO_LAYOUT, self._dialect)
        layout_of(record.layout)  # or whoever asks for its lines would find out that it is none
        if record.workflow is None and record.run_id is not None:
            named = self._named("SELECT workflow AS name FROM runs WHERE run_id = ?", row["run_id"])
            record = record._replace(workflow=named)
        if record.step is None and record.step_id is not None:
            record = record._replace(step=self._named("SELECT name FROM steps WHERE step_id = ?", row["step_id"]))
        return record

    def _named(self, select: str, identifier: Any) -> str | None:
        """What a run or step is called, asked once for the many calls in it: a server is far away."""
        known = self._names.get((select, identifier), "")
        if known == "":
            rows = self._rows(select, (identifier,))
            known = rows[0]["name"] if rows else None
            if len(self._names) >= _MAX_NAMES:
                self._names.clear()
            self._names[select, identifier] = known
        return known

    def _dearest_runs(self, query: Query, top: int) -> list[Sums]:
        """The dearest runs, in full, and all others together: the total without those."""
        totals = {row.currency: row for row in self.answer(replace(query, group_by=(), top=None))}
        runs: dict[str, list[tuple[int, bool, str]]] = {currency: [] for currency in totals}
        in_runs = dict.fromkeys(totals, 0)
        for row in self._snapshot.rows(*runs_sql(query, self._snapshot)):
            self._check_context(row)
            atto, n = self._dialect.atto(row, "amount") or 0, int(row["n"])
            if n or atto:
                in_runs[row["currency"]] += n
                runs[row["currency"]].append((-atto, False, self._dialect.identifier_text(row["run_id"]) or ""))
        for currency, total in totals.items():
            rest = total.atto + sum(run[0] for run in runs[currency])
            if rest or total.attempts != in_runs[currency]:  # what is in no run
                runs[currency].append((-rest, True, ""))
        kept = {
            currency: [(None if is_none else run_id,) for _, is_none, run_id in nsmallest(top, some)]
            for currency, some in runs.items()
        }
        stored = {self._dialect.identifier(run) for keys in kept.values() for (run,) in keys if run is not None}
        condition, values = self._dialect.among("e.run_id", list(stored)) if stored else ("1 = 0", [])
        if any((None,) in keys for keys in kept.values()):
            condition = f"({condition} OR e.run_id IS NULL)"
        entries = RowSource(where=query.where, conditions=(condition,), values=values)
        found = {(row.currency, row.keys): row for row in summed(query, self._groups(query, [entries]))}
        rows = []
        for currency, total in totals.items():
            mine = [found[currency, keys] for keys in kept.get(currency, ()) if (currency, keys) in found]
            rows += mine
            if len(mine) < len(runs[currency]):
                other = without(total, mine, (OTHER,))
                other.others = len(runs[currency]) - len(mine)
                rows.append(other)
        return in_order(rows)

    def _groups(self, query: Query, sources: Iterable[RowSource]) -> Iterator[AlikeEntries]:
        for source in sources:
            is_moved = source.kind == "moved"
            for row in self._with_layouts(self._snapshot.rows(*groups_sql(query, source, self._snapshot))):
                self._check_context(row)
                group = self._group(query, row, is_moved=is_moved)
                yield group
                if is_moved:  # from what did not fail, where the sums have it
                    parts = [Part(meter, -many, None if atto is None else -atto) for meter, many, atto in group.parts]
                    gone = group._replace(n=-group.n, app_retries=-group.app_retries, atto=-group.atto, parts=parts)
                    yield gone._replace(failed_inside=None)

    def _group(self, query: Query, row: Found, *, is_moved: bool) -> AlikeEntries:
        is_bounded = bool(row["bounded"]) and not is_moved
        return AlikeEntries(
            tuple([key_in(name, row, self._dialect) for name in query.group_by]),
            None if query.bucket is None else start_of(query.bucket, row["hour"]),
            row["currency"],
            row["status"],
            row["chargeable"],
            row["charge_status"],
            row["confidence"],
            _FAILED_INSIDE[row["failed"]],
            bool(row["is_fallback"]),
            bool(row["known"]),
            int(row["n"]),
            int(row["app_retries"]),
            self._dialect.atto(row, "amount") or 0,
            self._dialect.atto(row, "at_most") if is_bounded else None,
            int(row["n"]) if is_bounded else 0,
            self._parts(row),
        )

    def _values(self, query: Query, measure: str) -> Mapping[RowKey, Weights | Listed]:
        rows = self._snapshot.rows(*values_sql(query, measure, self._snapshot))
        return values_of(query, measure, self._dialect, rows)

    def _parts(self, row: Found) -> list[Part]:
        """The lines of a group, added up."""
        if row["layout"] is None:
            return []
        layout = self._layout(row["layout"])
        if row["quantities"] is not None:
            told: Sequence[Quantity] = quantities_of(row["quantities"])
            n = row["row_count"]
            amounts = [None if atto is None else atto * n for atto in layout.amounts(told)]
            return [Part(meter, one * n, atto) for meter, one, atto in zip(layout.meters, told, amounts, strict=True)]
        told = [int(row[name]) for name in QUANTITY_COLUMNS[: len(layout)]]
        return list(map(Part, layout.meters, told, layout.amounts(told)))

    def _with_layouts(self, rows: Iterable[Found]) -> Iterator[Found]:
        """Rows, with their layouts looked up many at a time: a server is far away."""
        left = iter(rows)
        while some := list(islice(left, self._dialect.at_a_time)):
            unknown = {row["layout"] for row in some} - self._layouts.keys() - {None}
            if unknown:
                condition, values = self._dialect.among("id", [*unknown])
                for row in self._rows(f"SELECT id, meters FROM layouts WHERE {condition}", values):
                    self._layouts[row["id"]] = layout_of(row["meters"])
            yield from some

    def _layout(self, number: int) -> Layout:
        known = self._layouts.get(number)
        if known is None:
            (row,) = self._rows("SELECT meters FROM layouts WHERE id = ?", (number,))
            known = self._layouts[number] = layout_of(row["meters"])
        return known

    def _run(self, row: Found) -> RunRow:
        ids = [self._dialect.identifier_text(row[name]) for name in RunRow._fields[:4]]
        said = [row[name] for name in RunRow._fields[4:9]]
        return RunRow._make([*ids, *said, json.loads(row["attribution"])])

    def _step(self, row: Found) -> StepRow:
        ids = [self._dialect.identifier_text(row[name]) for name in StepRow._fields[:3]]
        return StepRow._make([*ids, *(row[name] for name in StepRow._fields[3:])])


def _recorded(one: ChargeRecord) -> Recorded:
    is_reported = one.charge_status == "provider_reported" and one.atto is not None
    usage = {meter: int(n) if n == int(n) else n for meter, n in one.usage.items()}
    inquiry = Inquiry(
        one.provider,
        one.model,
        usage if one.is_counted else None,
        one.started_ns,
        one.service_tier,
        one.region,
        one.speed,
        one.complete,
        tuple(one.flags),
        Chargeable(one.chargeable),
        one.estimated,
        to_text(one.atto) if is_reported and one.atto is not None else None,
        one.currency,
        one.request_model,
    )
    return Recorded(one.event_id, inquiry, one.currency, one.atto)
