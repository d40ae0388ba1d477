"""A ledger open for questions, on a connection that cannot write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from aicost._errors import LedgerError
from aicost._ledger_url import LedgerUrl
from aicost._money import to_text
from aicost.pricing.charge import Layout
from aicost.pricing.kernel import Inquiry
from aicost.usage.event import Chargeable
from aicost.usage.meters import Quantity

from .answers import EntryRow, Gap, Recorded, RunRow, Sightings, StepRow
from .columns import entry_id
from .connection import as_ledger_error
from .ingest import READ_TIMEOUT_S, take_in
from .query import EVERYTHING, AlikeEntries, Filter, Part, Query, Sums, start_of, summed
from .records import ChargeRecord, layout_of
from .rows import NO_LAYOUT, quantities_of, record_of
from .schema import COUNTS
from .selection import conditions_of, groups_sql, key_in, where_sql
from .sql_dialects import QUANTITY_COLUMNS, Kind
from .store import Snapshot
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
    """A ledger file open for questions. Use it as a context manager.

    All its answers are from the same moment, so that parts add up to totals while charges still come in. They raise
    `LedgerError` when the file turns out to be damaged.
    """

    def __init__(self, path: str | PathLike[str] | LedgerUrl) -> None:
        """Take in what waits in the journal, then open. Raises `LedgerError` for what is no ledger.

        Where it may not be written, what waits stays there: `waiting` says how many bytes.
        """
        self._layouts: dict[int, Layout] = {}
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
        return summed(query, self._groups(query))

    @_answer
    def gaps(self, where: Filter = EVERYTHING) -> list[Gap]:
        """Every reason for which an amount is not fully known, the most frequent first."""
        condition, values = where_sql(where, self._dialect)
        rows = self._rows(
            f"WITH g AS (SELECT e.context, SUM(e.n) AS n FROM entries e {condition} GROUP BY 1) "
            "SELECT provider, model, charge_status, chargeable, COALESCE(reason, '') AS why, SUM(g.n) AS n FROM g "
            "JOIN contexts c ON c.id = g.context "
            "WHERE charge_status IN ('unpriced', 'partial') OR chargeable = 'possibly' "
            "GROUP BY 1, 2, 3, 4, 5 HAVING SUM(g.n) <> 0",
            values,
        )
        gaps = [
            Gap(row["provider"], row["model"], row["charge_status"], row["chargeable"], row["why"], int(row["n"]))
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
    def charges(self, where: Filter = EVERYTHING) -> list[ChargeRecord]:
        """What counts, in the order it began, one record per attempt."""
        return sorted(self._records(where), key=lambda one: (one.started_ns, one.attempt))

    def recorded(self, where: Filter = EVERYTHING) -> Iterator[Recorded]:
        """Every attempt with its usage, as it can be priced again, in the order they began."""
        with self._reading():
            for one in self._records(where, "ORDER BY e.charge_start, e.id"):
                yield _recorded(one)

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

    def _records(self, where: Filter, order: str = "") -> Iterator[ChargeRecord]:
        condition, values = where_sql(where, self._dialect)
        with self._reading():
            for row in self._snapshot.stream(f"{READ_ENTRY} {condition} AND {COUNTS.format('e')} {order}", values):
                yield self._record(row)

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
            named = self._rows("SELECT workflow FROM runs WHERE run_id = ?", (row["run_id"],))
            record = record._replace(workflow=named[0]["workflow"] if named else None)
        if record.step is None and record.step_id is not None:
            named = self._rows("SELECT name FROM steps WHERE step_id = ?", (row["step_id"],))
            record = record._replace(step=named[0]["name"] if named else None)
        return record

    def _groups(self, query: Query) -> Iterator[AlikeEntries]:
        for row in self._snapshot.rows(*groups_sql(query, self._snapshot)):
            self._check_context(row)
            yield AlikeEntries(
                tuple([key_in(name, row, self._dialect) for name in query.group_by]),
                None if query.bucket is None else start_of(query.bucket, row["hour"]),
                row["currency"],
                row["status"],
                row["chargeable"],
                row["charge_status"],
                bool(row["failed"]) or row["status"] != "success",
                bool(row["known"]),
                int(row["n"]),
                int(row["app_retries"]),
                int(row["fallbacks"]),
                self._dialect.atto(row, "amount") or 0,
                self._dialect.atto(row, "at_most"),
                int(row["bounded"]),
                self._parts(row),
            )

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
