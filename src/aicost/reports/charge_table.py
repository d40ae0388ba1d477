"""The charges of a ledger as a table to load elsewhere: one row per attempt that counts. docs/export.md lists it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple

from aicost.ledger.columns import MOST
from aicost.ledger.records import ChargeRecord
from aicost.semconv.dimensions import DIMENSIONS, LABEL
from aicost.usage.meters import token_sums

from .flat_files import ColumnKind, FileColumn, FileRow, decimal_text

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class ChargeColumn(NamedTuple):
    """A column of the table: what it is called, what it says of a charge, and what that is."""

    name: str
    value: Callable[[ChargeRecord], str | None]
    about: str
    kind: ColumnKind = "text"


def _time(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix('+00:00')}.{rest:09d}Z"


def _amount(atto: int | None) -> str | None:
    return None if atto is None else decimal_text(atto)


def _flag(is_so: bool) -> str:
    return "true" if is_so else "false"


def _whole(number: int) -> str | None:
    return str(number) if -MOST <= number <= MOST else None


def _usage(one: ChargeRecord) -> str | None:
    if not one.is_counted:
        return None
    exact = {meter: format(n, "f") if isinstance(n, Decimal) else str(n) for meter, n in one.usage.items()}
    return json.dumps(exact, ensure_ascii=False, sort_keys=True)


def _tokens(which: int) -> Callable[[ChargeRecord], str | None]:
    return lambda one: _whole(token_sums(one.usage)[which]) if one.is_counted else None


def _labels(one: ChargeRecord) -> str | None:
    labels = {key.removeprefix(LABEL): value for key, value in one.attribution.items() if key.startswith(LABEL)}
    return json.dumps(labels, ensure_ascii=False, sort_keys=True) if labels else None


def _fact(name: str, about: str, called: str | None = None) -> ChargeColumn:
    def value(one: ChargeRecord) -> str | None:
        found: str | None = getattr(one, name)
        return found

    return ChargeColumn(called or name, value, about)


def _origin(name: str, about: str, called: str | None = None) -> ChargeColumn:
    def value(one: ChargeRecord) -> str | None:
        found: str | None = None if one.origin is None else getattr(one.origin, name)
        return found

    return ChargeColumn(called or name, value, about)


def _owner(key: str, about: str) -> ChargeColumn:
    return ChargeColumn(key, lambda one: one.attribution.get(key), about)


CHARGE_COLUMNS: tuple[ChargeColumn, ...] = (
    _fact("event_id", "The attempt; `aicost explain` takes it."),
    ChargeColumn("started", lambda one: _time(one.started_ns), "When it began, UTC, to the nanosecond."),
    ChargeColumn("ended", lambda one: _time(one.ended_ns), "When it ended."),
    _fact("currency", "Of the amounts."),
    ChargeColumn("amount", lambda one: _amount(one.atto), "What it cost; nothing where that is not known.", "decimal"),
    ChargeColumn(
        "at_most",
        lambda one: _amount(one.at_most_atto),
        "The most it can have cost, where not all is known and somebody can say.",
        "decimal",
    ),
    ChargeColumn(
        "computed",
        lambda one: _amount(one.computed_atto),
        "What the rate card alone says, where the provider stated the cost.",
        "decimal",
    ),
    _fact("charge_status", "priced, partial, estimated, provider_reported or unpriced."),
    _fact("reason", "Why it is not simply priced."),
    _fact("chargeable", "Whether the provider billed it: yes, no or possibly.", "billed"),
    _fact("rate_card", "What priced it."),
    _fact("provider", "Who sends the bill."),
    _fact("model", "The model that answered; of a vector database the collection."),
    _fact("request_model", "The model that was asked for."),
    _fact("operation", "chat, embeddings, ..."),
    _fact("api", "Which API of the provider."),
    _fact("service_tier", "Where it is not the default one."),
    _fact("region", "Where it decides the price."),
    _fact("speed", "Where it is not the usual one."),
    _fact("status", "success, failure, retry, timeout, ..."),
    _fact("error_type", "What went wrong."),
    ChargeColumn("complete", lambda one: _flag(one.complete), "Whether all that was used is known.", "flag"),
    ChargeColumn("estimated", lambda one: _flag(one.estimated), "Whether what was used is estimated.", "flag"),
    ChargeColumn("flags", lambda one: json.dumps(one.flags) if one.flags else None, "What was odd, as a JSON array."),
    ChargeColumn("attempt", lambda one: _whole(one.attempt), "Its number within the call, from 1.", "whole"),
    ChargeColumn("input_tokens", _tokens(0), "Cached ones included; nothing where usage is not known.", "whole"),
    ChargeColumn("output_tokens", _tokens(1), "Reasoning included.", "whole"),
    ChargeColumn("usage", _usage, "All that was counted, by meter, as a JSON object of exact decimal strings."),
    _fact("workflow", "What the run is called."),
    _fact("step", "The step it was made in."),
    _fact("agent", "The agent that made it."),
    _fact("run_id", "The run."),
    _fact("root_run_id", "The outermost run."),
    _fact("step_id", "The step's id."),
    _fact("trace_id", "The trace."),
    _fact("span_id", "The span."),
    _fact("retry_of", "The failed call that the application made again."),
    _fact("fallback_of", "The failed call that it replaced by another model or provider."),
    _origin("request_id", "The provider's id of the request."),
    _fact("response_id", "The provider's id of the response."),
    _origin("host", "Who answered."),
    _origin("organization", "The account at the provider.", "provider_organization"),
    _origin("project", "The project or workspace there.", "provider_project"),
    _origin("credential", "The digest of the API key."),
    _fact("evidence", "Why the owners are who they are, where the work itself does not say."),
    *(_owner(one.key, one.brief) for one in DIMENSIONS),
    ChargeColumn("labels", _labels, "Every other owner, as a JSON object."),
)
"""In this order; a new one comes at the end of its kind, and none is renamed."""


def charge_header() -> list[FileColumn]:
    """The columns as a file has them."""
    return [FileColumn(column.name, column.kind, column.about) for column in CHARGE_COLUMNS]


def charge_rows(charges: Iterable[ChargeRecord]) -> Iterator[FileRow]:
    """A row for each charge, whether its amount is known or not."""
    values = [column.value for column in CHARGE_COLUMNS]
    return ([value(charge) for value in values] for charge in charges)
