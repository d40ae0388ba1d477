"""What an amount is divided by: `--per run`, `--per outcome:ticket`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from aicost._errors import LedgerError
from aicost.ledger.query import METER, REQUEST, check_dimension
from aicost.ledger.sums import Keys, Sums
from aicost.semconv.dimensions import LABEL

_OUTCOME = "outcome:"
_COMPLETED = "completed-workflow"
_TOKENS = "1M-tokens"
_FORMS = f"{REQUEST}, run, {_COMPLETED}, {_TOKENS}, {_OUTCOME}NAME, or a dimension"

OfRow = tuple[Keys, datetime | None, bool]
"""Which row something is of: its keys, its stretch of time, and whether it is the one of all others."""


@dataclass(frozen=True, slots=True)
class PerUnit:
    """What an amount is divided by. Raises `LedgerError` for what nobody knows."""

    name: str

    def __post_init__(self) -> None:
        if self.outcome == "":
            raise LedgerError(f"{_OUTCOME}NAME needs the name of an outcome")
        if self.outcome is None and self.name not in (REQUEST, _COMPLETED, _TOKENS):
            if self.name == METER:
                raise LedgerError(f"nothing costs something per meter; give {_FORMS}")
            try:
                check_dimension(self.name)
            except LedgerError as error:
                raise LedgerError(
                    f"{error}; or divide by {REQUEST}, {_COMPLETED}, {_TOKENS} or {_OUTCOME}NAME"
                ) from None

    @property
    def outcome(self) -> str | None:
        """The name of the outcome, if it is one."""
        return self.name.removeprefix(_OUTCOME) if self.name.startswith(_OUTCOME) else None

    @property
    def plural(self) -> str:
        """How many of what a column says."""
        name = self.outcome or self.name.removeprefix(LABEL)
        said = {_TOKENS: "M tokens", _COMPLETED: "completed", REQUEST: "requests"}
        return said.get(self.name, f"{name}s")

    @property
    def measures(self) -> tuple[str, ...]:
        """What a query has to be asked for."""
        if self.name == _COMPLETED:
            return ("runs",)
        return () if self.name == _TOKENS or self.outcome is not None else ("cost_each",)

    @property
    def of_query(self) -> str:
        """What `cost_each` is of."""
        return self.name if self.measures == ("cost_each",) else REQUEST

    def count(self, sums: Sums, outcomes: Mapping[OfRow, int]) -> Fraction | None:
        """How many units a row has; None where nobody can say, as of different runs in a row for all others."""
        if self.outcome is not None:
            return Fraction(outcomes.get((sums.keys, sums.start, bool(sums.others)), 0))
        if self.name == _TOKENS:
            return Fraction(sums.all_tokens) / 10**6
        if self.name == REQUEST:
            return Fraction(sums.calls)
        found = sums.completed_runs if self.name == _COMPLETED else sums.units
        return None if found is None else Fraction(found)
