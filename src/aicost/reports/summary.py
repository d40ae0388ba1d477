"""The report: what was spent, by any dimensions, against before, with what is wasted and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

from aicost._errors import LedgerError
from aicost._ledger_url import LedgerUrl
from aicost.ledger.answers import Gap, Sightings
from aicost.ledger.outcomes import OutcomeSums, can_tell, check_outcomes_by, outcome_sums
from aicost.ledger.query import EVERYTHING, METER, REQUEST, RUN, Bucket, Filter, Query
from aicost.ledger.reader import LedgerReader
from aicost.ledger.sums import OTHER, Keys, Sums, combined, first_keys, with_other
from aicost.pricing.card import RateCard

from .comparison import Change, Volume, change
from .conversion import day_or_hour, in_currency
from .per_unit import OfRow, PerUnit
from .periods import ALL_TIMES, Period

_COMPARED_BY = ("provider", "model", "status")


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a report is asked for."""

    by: tuple[str, ...] = ()
    """Dimensions, together one table."""
    where: Filter = EVERYTHING
    period: Period = ALL_TIMES
    every: Bucket | None = None
    per: PerUnit | None = None
    top: int | None = None
    """How many of the dearest rows; the others are one more."""
    compare: bool = False
    """Whether each row is compared with before, and the change explained."""
    measures: tuple[str, ...] = ()
    """Which of `aicost.ledger.query.MEASURES` are wanted."""
    currency: str | None = None
    """Into which amounts are converted."""
    card: RateCard | None = None
    """Whose exchange rates they are converted by."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the report, or its total."""

    sums: Sums
    count: Fraction | None
    """How many of what an amount is divided by, calls if nobody said; None where nobody can say."""
    each: int | None
    """What one costs, in 1e-18, rounded half-even; None where that is not known, or there is none."""
    before: Sums | None = None
    """The same of the time before; None if nobody asked."""


@dataclass(frozen=True, slots=True)
class Report:
    """Totals per currency, the table asked for, every gap in what is known, and views that are no money."""

    asked: ReportRequest
    now: datetime
    totals: tuple[Line, ...]
    rows: tuple[Line, ...]
    previous: Period | None
    """What it is compared with: as long, and just before."""
    changes: tuple[Change, ...]
    outcomes: tuple[OutcomeSums, ...] | None
    """None where the selection is by what no outcome says of itself."""
    gaps: tuple[Gap, ...]
    unconverted: Mapping[str, int]
    """Attempts in a currency that no exchange rate leads out of."""
    sightings: tuple[Sightings, ...]
    waiting: int | None
    """Bytes of the ledger's journal that are in none of the amounts; None if nobody can say."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come to the period."""
        return self.asked.period.until is not None and self.asked.period.until <= self.now

    @property
    def is_partial(self) -> bool:
        """Whether the period is not over."""
        since, until = self.asked.period.since, self.asked.period.until
        return until is not None and until > self.now and (since is None or since < self.now)

    @property
    def is_future(self) -> bool:
        """Whether the period has not begun."""
        return self.asked.period.since is not None and self.asked.period.since > self.now


def build_report(path: str | Path | LedgerUrl, asked: ReportRequest, now: datetime | None = None) -> Report:
    """Read a report from a ledger. Raises `LedgerError` for a file or dimension that is not there."""
    now = datetime.now(timezone.utc) if now is None else now
    with LedgerReader(path) as ledger:
        return _Builder(ledger, asked, now).report()


class _Builder:
    def __init__(self, ledger: LedgerReader, asked: ReportRequest, now: datetime) -> None:
        self.ledger = ledger
        self.asked = asked
        self.now = now
        self.where = asked.where.within(asked.period.since_ns, asked.period.until_ns)
        self.unconverted: dict[str, int] = {}
        if asked.per is not None and asked.per.outcome is not None:
            check_outcomes_by((*asked.by, *asked.where.dimensions))
        counted = (
            *asked.measures,
            *(asked.per.measures if asked.per is not None and asked.per.name != REQUEST else ()),
        )
        if asked.currency is not None and counted:
            raise LedgerError(
                "what is converted has no count of runs or of a dimension, and no latency: leave out the currency, or "
                "give --per request, 1M-tokens or outcome:NAME"
            )

    def report(self) -> Report:
        asked, ledger = self.asked, self.ledger
        rows: list[Sums] = []
        if self.is_cut_by_store:
            rows = ledger.answer(Query(asked.by, self.where, top=asked.top))
        elif asked.by or asked.every is not None:
            rows = self.sums(asked.by, self.where, asked.every)
        totals = self.totals(rows)
        total_gap = dict(self.unconverted)
        has_begun = asked.period.since is not None and asked.period.since < self.now
        previous = asked.period.so_far(self.now).before() if has_begun else None
        if asked.compare and previous is None:
            raise LedgerError("a comparison needs a period that has begun: give --period, or --since")
        where_before = EVERYTHING if previous is None else asked.where.within(previous.since_ns, previous.until_ns)
        totals_before = None if previous is None else self.sums((), where_before, None, plain=True)
        if asked.compare:
            totals = _with_missing(totals, {}, totals_before)
        outcomes = self.outcomes((), None)
        return Report(
            asked=asked,
            now=self.now,
            totals=tuple(self.lines(totals, self.counts((), None), totals_before)),
            rows=tuple(self.table(rows, where_before)),
            previous=previous,
            changes=tuple(self.changes(where_before)) if asked.compare else (),
            outcomes=None if outcomes is None else tuple(outcomes),
            gaps=tuple(ledger.gaps(self.where)),
            unconverted=total_gap,
            sightings=tuple(ledger.sightings(self.where)),
            waiting=ledger.waiting,
        )

    def sums(self, by: tuple[str, ...], where: Filter, bucket: Bucket | None, *, plain: bool = False) -> list[Sums]:
        """The rows of a selection, in the currency asked for; `plain` are sums alone."""
        asked = self.asked
        if asked.currency is not None and asked.card is not None:
            daily = self.ledger.answer(Query(by, where, day_or_hour(bucket)))
            found, self.unconverted = in_currency(daily, asked.currency, asked.card, bucket)
            return sorted(found, key=lambda row: (row.start is not None and row.start, -row.atto))
        per = asked.per
        measures = () if plain else tuple(dict.fromkeys((*asked.measures, *(per.measures if per is not None else ()))))
        unit = REQUEST if per is None else per.of_query
        return self.ledger.answer(Query(by, where, bucket, measures=measures, unit=unit))

    def totals(self, rows: Sequence[Sums]) -> list[Sums]:
        """What all rows come to: added up, unless there is more to it than sums."""
        per, asked = self.asked.per, self.asked
        is_sum = not asked.measures and (per is None or not per.measures) and METER not in asked.by
        if not rows or not is_sum:
            return self.sums((), self.where, None)
        currencies = dict.fromkeys(row.currency for row in rows)
        mine = [combined([one for one in rows if one.currency == each], (), None, each) for each in currencies]
        return sorted(mine, key=lambda row: (-row.atto, row.currency))

    def table(self, rows: list[Sums], where_before: Filter) -> Iterable[Line]:
        asked = self.asked
        if not asked.by and asked.every is None:
            return ()
        counts = self.counts(asked.by, asked.every)
        before = self.sums(asked.by, where_before, None, plain=True) if self.is_row_by_row else None
        rows = _with_missing(rows, counts, before)
        if asked.top is not None and not self.is_cut_by_store:
            kept = first_keys(rows, asked.top)
            counts = _with_other_counts(counts, kept)
            rows = with_other(rows, kept)
            before = None if before is None else with_other(before, kept)
        return self.lines(rows, counts, before)

    @property
    def is_cut_by_store(self) -> bool:
        """Whether the dearest runs are all that is asked for: runs are many, and nothing else needs each of them."""
        asked = self.asked
        is_plain = asked.per is None and not asked.measures and not asked.compare and asked.currency is None
        return asked.by == (RUN,) and asked.every is None and asked.top is not None and is_plain

    @property
    def is_row_by_row(self) -> bool:
        """Whether rows are compared, and not only totals: those of a stretch of time have none before."""
        return self.asked.compare and self.asked.every is None

    def lines(self, rows: Iterable[Sums], counts: Mapping[OfRow, int], before: Sequence[Sums] | None) -> Iterable[Line]:
        per = self.asked.per or PerUnit(REQUEST)
        then = {(row.keys, bool(row.others), row.currency): row for row in before or ()}
        for row in rows:
            count = per.count(row, counts)
            each = round(Fraction(row.atto) / count) if count and row.is_known else None
            nothing = Sums(row.keys, None, row.currency) if before is not None else None
            yield Line(row, count, each, then.get((row.keys, bool(row.others), row.currency), nothing))

    def outcomes(self, by: tuple[str, ...], bucket: Bucket | None) -> list[OutcomeSums] | None:
        if not all(map(can_tell, (*by, *self.where.dimensions))):
            return None
        return outcome_sums(self.ledger.outcomes(self.where), by, self.where, bucket)

    def counts(self, by: tuple[str, ...], bucket: Bucket | None) -> dict[OfRow, int]:
        """How many outcomes of the name asked for each row has."""
        name = self.asked.per.outcome if self.asked.per is not None else None
        if name is None:
            return {}
        return {(one.keys, one.start, False): one.count for one in self.outcomes(by, bucket) or () if one.name == name}

    def changes(self, where_before: Filter) -> Iterable[Change]:
        """From before to now, by currency."""
        sides = [self.volumes(where_before), self.volumes(self.where)]
        for currency in dict.fromkeys((*sides[1], *sides[0])):
            yield change(currency, *(side.get(currency, ()) for side in sides))

    def volumes(self, where: Filter) -> dict[str, list[Volume]]:
        found: dict[str, list[Volume]] = {}
        for row in self.sums(_COMPARED_BY, where, None, plain=True):
            is_retry = row.keys[-1] == "retry"
            amounts = (0, row.atto) if is_retry else (row.atto, 0)
            volume = Volume(row.keys[:-1], row.calls, 0 if is_retry else row.all_tokens, *amounts)
            found.setdefault(row.currency, []).append(volume)
        return found


def _with_missing(rows: list[Sums], counts: Mapping[OfRow, int], before: Sequence[Sums] | None) -> list[Sums]:
    """Rows for what cost nothing now, and did before or delivered something, so that all columns add up."""
    there = {(row.keys, row.start, row.currency) for row in rows}
    currencies = dict.fromkeys(row.currency for row in rows)
    missing = [(keys, start, currency) for keys, start, _ in counts for currency in currencies]
    missing += [(row.keys, None, row.currency) for row in before or ()]
    return [*rows, *(Sums(*key) for key in dict.fromkeys(missing) if key not in there)]


def _with_other_counts(counts: Mapping[OfRow, int], kept: Mapping[str, Sequence[Keys]]) -> dict[OfRow, int]:
    """The same with what the row of all others has."""
    stay = {keys for mine in kept.values() for keys in mine}
    found = dict(counts)
    for (keys, start, _), count in counts.items():
        if keys not in stay:
            other = ((OTHER,) * len(keys), start, True)
            found[other] = found.get(other, 0) + count
    return found
