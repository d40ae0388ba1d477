"""A ledger's traffic priced again: with another card or date, on another model or tier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from os import PathLike

from aicost._ledger_url import LedgerUrl
from aicost.ledger.query import EVERYTHING, Filter
from aicost.ledger.reader import LedgerReader
from aicost.pricing import whatif
from aicost.pricing.card import RateCard
from aicost.pricing.charge import Charge
from aicost.pricing.kernel import Kernel
from aicost.pricing.rates import to_ns
from aicost.pricing.whatif import Scenario, ScenarioCost


@dataclass(frozen=True, slots=True)
class RepricedAttempt:
    """An attempt whose amount is another now. `before` is in 1e-18 of `currency`, None if it was not known."""

    event_id: str
    currency: str
    before: int | None
    after: Charge


@dataclass(frozen=True, slots=True)
class Repricing:
    """A ledger as it stands and as another card has it. Amounts are in 1e-18, by currency."""

    rate_card: str
    calls: int
    before: Mapping[str, int]
    after: Mapping[str, int]
    changes: tuple[RepricedAttempt, ...]


def reprice(
    ledger: str | PathLike[str] | LedgerUrl,
    rate_card: str | PathLike[str] | RateCard | None = None,
    *,
    at: datetime | None = None,
    where: Filter = EVERYTHING,
) -> Repricing:
    """What a ledger's calls cost with a card (default: the bundled one), each at its own time or all at `at`.

    Reads only: the ledger keeps what it has. With the card that priced it first nothing changes. Raises `LedgerError`
    and `RateCardError` for what cannot be read.

    >>> aicost.reprice("costs.sqlite", "contract-2027.json").after
    {'USD': 1250000000000000}
    """
    kernel = Kernel(_card(rate_card))
    at_ns = None if at is None else to_ns(at)
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    changes: list[RepricedAttempt] = []
    calls = 0
    with LedgerReader(ledger) as reader:
        for one in reader.recorded(where):
            calls += 1
            [charge] = whatif.reprice([one.inquiry], kernel, at_ns=at_ns)
            before[one.currency] += one.atto or 0
            after[charge.currency] += charge.atto or 0
            if (charge.currency, charge.atto) != (one.currency, one.atto):
                changes.append(RepricedAttempt(one.event_id, one.currency, one.atto, charge))
    return Repricing(kernel.card.key, calls, dict(before), dict(after), tuple(changes))


def compare(
    ledger: str | PathLike[str] | LedgerUrl,
    *scenarios: Scenario,
    rate_card: str | PathLike[str] | RateCard | None = None,
    where: Filter = EVERYTHING,
) -> list[ScenarioCost]:
    """What a ledger's traffic would have cost under each scenario; the first outcome is as it was used.

    What a scenario cannot price is counted as `unpriced` and is in no amount, so look there before comparing amounts.
    Raises `LedgerError` and `RateCardError` for what cannot be read.

    >>> as_used, batched = aicost.compare("costs.sqlite", aicost.Scenario("in batches", service_tier="batch"))
    """
    with LedgerReader(ledger) as reader:
        return whatif.compare((one.inquiry for one in reader.recorded(where)), scenarios, Kernel(_card(rate_card)))


def _card(given: str | PathLike[str] | RateCard | None) -> RateCard:
    if isinstance(given, RateCard):
        return given
    return RateCard.bundled() if given is None else RateCard.load(given)
