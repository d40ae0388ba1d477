"""Where the answer to a question is: in sums that are kept, and for the rest in entries.

A question is split into sources that share nothing, so that their rows together are the answer. Sums of whole days
answer for most of it. Entries are asked for the ends of a stretch of time that are no whole days, and for those in
contexts that have no name yet for the run or step, which may have got one since. What failed is known of runs and
steps only, and later: the sums have it among what did not fail, and a source of entries says what is to be moved.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

from aicost.semconv.dimensions import LABEL

from .columns import MOST
from .query import COLUMNS, METER, RUN, SUBJECTS, Filter, Query
from .rollups import DAY_NS
from .schema import LedgerTable
from .store import Snapshot

LATE = {
    "workflow": "SELECT r.workflow FROM runs r WHERE r.run_id = e.run_id",
    "step": "SELECT s.name FROM steps s WHERE s.step_id = e.step_id",
}
"""What a run or step is called may be known only after what was called in it: then nothing names it there."""


class RowSource(NamedTuple):
    """Rows `e` that answer a part of a question."""

    table: str = "entries"
    where: Filter = Filter()
    """What of its filter narrows them."""
    conditions: Sequence[str] = ()
    """What else does."""
    values: Sequence[Any] = ()
    """Of the `?` in those."""
    kind: Literal["entries", "sums", "moved"] = "entries"
    """`moved` are entries that are in sums, as of what did not fail, and belong to what did."""

    @property
    def is_late(self) -> bool:
        """Whether what it finds may have got a name since."""
        return self.kind == "entries"


def sources_of(query: Query, snapshot: Snapshot, table: LedgerTable, *, facts: Collection[str]) -> list[RowSource]:
    """The sources of an answer from a table of sums, whose rows have these facts in common, or from entries alone."""
    where, names = query.where, (*query.group_by, *query.where.dimensions)
    days = _whole_days(where)
    has_run = any(column.name == "run_id" for column in table.columns)
    ids = (where.span_id, where.event_id, None if has_run else where.run_id)
    is_summed = all(
        COLUMNS[name] in facts if name in COLUMNS else name == METER or (name == RUN and has_run)
        for name in names
        if name not in SUBJECTS and not name.startswith(LABEL)
    ) and not any(name in SUBJECTS or name.startswith(LABEL) for name in names)
    if not snapshot.has_sums or not is_summed or any(ids) or query.bucket == "hour" or days is None:
        return [RowSource(where=where)]
    since, until = days
    named, unnamed = _by_name([name for name in names if name in LATE], snapshot)
    inside = where.within(None if since is None else since * DAY_NS, None if until is None else until * DAY_NS)
    bounds = [f"e.day >= {since}"] * (since is not None) + [f"e.day < {until}"] * (until is not None)
    always: dict[str, Any] = {"run_id": where.run_id, **where.dimensions}
    found = [RowSource(table.name, Filter(**always), (*bounds, *named), kind="sums")]
    found.append(RowSource(where=inside, conditions=named, kind="moved"))
    if unnamed:
        found.append(RowSource(where=inside, conditions=unnamed))
    if since is not None and where.since_ns is not None and where.since_ns < since * DAY_NS:
        found.append(RowSource(where=where.within(None, since * DAY_NS)))
    if until is not None and where.until_ns is not None and until * DAY_NS < where.until_ns:
        found.append(RowSource(where=where.within(until * DAY_NS, None)))
    return found


def _whole_days(where: Filter) -> tuple[int | None, int | None] | None:
    """The first of the days that are wholly in its time, and the one after the last; None if there is none."""
    since = None if where.since_ns is None else -(-where.since_ns // DAY_NS)
    until = None if where.until_ns is None or where.until_ns > MOST else where.until_ns // DAY_NS
    if since is not None and (since * DAY_NS > MOST or (until is not None and since >= until)):
        return None
    return since, until


def _by_name(names: Sequence[str], snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """What narrows to entries whose context has a name for all of these, and to the others; both empty if all have."""
    missing = " OR ".join(f"{name} IS NULL" for name in dict.fromkeys(names))
    if not missing or not list(snapshot.rows(f"SELECT id FROM contexts WHERE {missing} LIMIT 1")):
        return [], []
    unnamed = f"(SELECT id FROM contexts WHERE {missing})"
    return [f"e.context NOT IN {unnamed}"], [f"e.context IN {unnamed}"]
