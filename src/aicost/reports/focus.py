"""The ledger as a FOCUS data set, Cost and Usage, of version 1.2 or 1.4: each column is a row of a table.

Read in FOCUS 1.4 (focus-data-toolkit 0.14.1, `focus_1_4_model.json` and its lint) and 1.2 (focus-validator 2.2.1).
docs/focus.md says what each column is made of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from aicost.ledger.answers import Booked
from aicost.ledger.rows import CONFIDENCE
from aicost.semconv.dimensions import DIMENSIONS
from aicost.usage.event import STORAGE_API
from aicost.usage.meters import declared, direction_of, group_of
from aicost.usage.providers import provider_at

from .flat_files import ColumnKind, FileColumn, FileRow, decimal_text
from .focus_charges import Charged, Every, PricedLine, billing_month, by_time, pricing_unit, singly

FocusVersion = Literal["1.2", "1.4"]
FOCUS_VERSIONS: tuple[FocusVersion, ...] = ("1.2", "1.4")
BOTH = frozenset(FOCUS_VERSIONS)

_UNKNOWN = "unknown"  # where FOCUS wants a name and the ledger has none: an account that no response named

ChargeValue = Callable[[Charged], str | None]
LineValue = Callable[[PricedLine], str | None]


class FocusColumn(NamedTuple):
    """A column, in which versions it is, and what makes its value: of a charge, or of one line of it."""

    name: str
    of_charge: ChargeValue | None
    of_line: LineValue | None
    about: str
    kind: ColumnKind = "text"
    versions: frozenset[FocusVersion] = BOTH
    is_single: bool = False
    """Whether it says something of one charge alone, so that charges added up have no such column."""


def _charge(name: str, value: ChargeValue, about: str, **more: Any) -> FocusColumn:
    return FocusColumn(name, value, None, about, **more)


def _line(name: str, value: LineValue, about: str, **more: Any) -> FocusColumn:
    return FocusColumn(name, None, value, about, **more)


def _only(version: FocusVersion) -> frozenset[FocusVersion]:
    return frozenset((version,))


def _amount(one: PricedLine) -> str | None:
    return decimal_text(one.atto)


def _price(one: PricedLine) -> str | None:
    return decimal_text(one.price)


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _named(text: str | None) -> str:
    return text if text and text.strip() else _UNKNOWN


def _host(one: Charged) -> str:
    origin = one.record.origin
    seen = provider_at(origin.host) if origin is not None and origin.host else None
    return seen or _named(one.record.provider)


def _is_storage(one: Charged) -> bool:
    return one.record.api == STORAGE_API


def _resource(one: Charged) -> str | None:
    return f"{one.record.provider}/{one.record.model}" if _is_storage(one) else None


def _model_and_meter(one: PricedLine) -> tuple[str, str | None]:
    """The model that did it, which a meter may name, and the meter."""
    if one.line is None:
        return one.charged.record.model, None
    model, _, meter = one.line.meter.rpartition("/")
    is_qualified = bool(model) and declared(meter) is not None
    return (model, meter) if is_qualified else (one.charged.record.model, one.line.meter)


def _sku(one: PricedLine) -> str:
    model, meter = _model_and_meter(one)
    return "/".join(part for part in (one.charged.record.provider, model, meter) if part is not None)


def _sku_price(one: PricedLine) -> str:
    """Of one SkuId alone, as FOCUS wants it: a rate may be that of several models or meters."""
    rate_id = None if one.line is None else one.line.rate_id
    return _sku(one) if rate_id is None else f"{_sku(one)}#{rate_id}"


def _meter(one: PricedLine) -> str | None:
    """A meter in words: `input_cache_read` is `Input Cache Read Tokens`."""
    _, meter = _model_and_meter(one)
    if meter is None:
        return None
    words = " ".join(word.capitalize() for word in meter.split("_") if word)
    is_token = direction_of(meter) is not None
    return f"{words} Tokens" if is_token else words


def _details(one: PricedLine) -> str:
    """What the price depends on; keys that FOCUS 1.4 does not define begin with `x_`."""
    record, line = one.charged.record, one.line
    model, meter = _model_and_meter(one)
    direction = None if meter is None else direction_of(meter)
    cache = None if meter is None else _CACHE.get(group_of(meter))
    said = {
        "x_ModelId": model,
        "x_TokenDirection": direction and direction.capitalize(),
        "x_TokenCacheAction": cache if direction == "input" else None,
        "x_ServiceTier": record.service_tier,
        "x_Region": record.region,
        "x_Speed": record.speed,
    }
    if line is not None and not one.is_by_rate:
        said |= {"x_UnitPrice": line.unit_price, "x_PricingUnit": pricing_unit(line)}
    return _json({key: value for key, value in said.items() if value is not None})


_CACHE = {"input": "Uncached", "cache_read": "Read", "cache_write": "Write"}


def _description(one: PricedLine) -> str:
    model, _ = _model_and_meter(one)
    if one.line is not None:
        return f"{_meter(one)} of {model}"
    said = "as the provider reported" if one.charged.record.charge_status == "provider_reported" else "as it was told"
    return f"{model}, {said}"


def _consumed(one: PricedLine) -> str | None:
    return None if one.consumed is None else decimal_text(one.consumed)


def _consumer(one: Charged) -> str | None:
    return one.owners.get("customer_id") or one.owners.get("tenant_id")


def _origin(name: str) -> ChargeValue:
    def value(one: Charged) -> str | None:
        origin = one.record.origin
        found: str | None = None if origin is None else getattr(origin, name)
        return found

    return value


def _fact(name: str) -> ChargeValue:
    def value(one: Charged) -> str | None:
        found: str | None = getattr(one.record, name)
        return found

    return value


def _owner(key: str) -> ChargeValue:
    return lambda one: one.owners.get(key)


def _camel(key: str) -> str:
    return "".join(word.capitalize() for word in key.split("_"))


def _json(said: Mapping[str, Any]) -> str:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


_account = _origin("organization")
_SERVICES = {False: ("AI and Machine Learning", "Generative AI"), True: ("Databases", "Other (Databases)")}

_PARTIES = (
    _charge("HostProviderName", _host, "whose host answered, else the provider", versions=_only("1.4")),
    _charge("InvoiceIssuerName", lambda one: _named(one.record.provider), "the provider, who sends the bill"),
    _charge("ProviderName", lambda one: _named(one.record.provider), "the provider", versions=_only("1.2")),
    _charge("PublisherName", lambda one: _named(one.record.provider), "the provider", versions=_only("1.2")),
    _charge("ServiceProviderName", lambda one: _named(one.record.provider), "the provider", versions=_only("1.4")),
)

_COLUMNS = (
    *_PARTIES,
    _line("BilledCost", _amount, "the amount in the ledger", kind="decimal"),
    _charge("BillingAccountId", lambda one: _named(_account(one)), "the organization at the provider, else `unknown`"),
    _charge("BillingAccountName", lambda _: None, "nothing: nobody says"),
    _charge("BillingCurrency", _fact("currency"), "the currency of the amount"),
    _charge("BillingPeriodEnd", lambda one: _time(billing_month(one.booked)[1]), "end of that month", kind="time"),
    _charge(
        "BillingPeriodStart",
        lambda one: _time(billing_month(one.booked)[0]),
        "the month (UTC) the charge began in; of a correction the one it is posted in",
        kind="time",
    ),
    _charge("ChargeCategory", lambda _: "Usage", "`Usage`"),
    _charge(
        "ChargeClass",
        lambda one: None if one.booked.posted is None else "Correction",
        "`Correction` of what belongs to a month that was closed",
    ),
    _line("ChargeDescription", _description, "meter and model"),
    _charge("ChargeFrequency", lambda _: "Usage-Based", "`Usage-Based`"),
    _charge("ChargePeriodEnd", lambda one: _time(one.until), "its end, or that of the stretch of time", kind="time"),
    _charge("ChargePeriodStart", lambda one: _time(one.since), "when the attempt began, in whole seconds", kind="time"),
    _line("ConsumedQuantity", _consumed, "what was used", kind="decimal"),
    _line("ConsumedUnit", lambda one: None if one.consumed is None else one.consumed_unit, "its unit"),
    _line("ContractedCost", _amount, "the same as ListCost", kind="decimal"),
    _line("ContractedUnitPrice", _price, "the same as ListUnitPrice", kind="decimal"),
    _line("EffectiveCost", _amount, "the amount in the ledger", kind="decimal"),
    _charge("InvoiceId", lambda _: None, "nothing: no invoice is in the ledger"),
    _line("ListCost", _amount, "ListUnitPrice x PricingQuantity, which is the amount in the ledger", kind="decimal"),
    _line("ListUnitPrice", _price, "the price of the rate card, the user's own terms included", kind="decimal"),
    _charge("PricingCategory", lambda _: "Standard", "`Standard`"),
    _line("PricingQuantity", lambda one: decimal_text(one.quantity), "how many PricingUnits", kind="decimal"),
    _line("PricingUnit", lambda one: one.unit, "what the price is for: `1000000 Tokens`; `Charges` where it is none"),
    _charge("RegionId", _fact("region"), "the region, where it decides the price"),
    _charge("RegionName", _fact("region"), "the same"),
    _charge("ResourceId", _resource, "the collection of a vector database"),
    _charge("ResourceName", lambda one: one.record.model if _is_storage(one) else None, "its name"),
    _charge("ResourceType", lambda one: "Collection" if _is_storage(one) else None, "`Collection`"),
    _charge("ServiceCategory", lambda one: _SERVICES[_is_storage(one)][0], "AI and Machine Learning, or Databases"),
    _charge("ServiceName", lambda one: f"{_named(one.record.provider)} API", "the provider's API"),
    _charge("ServiceSubcategory", lambda one: _SERVICES[_is_storage(one)][1], "Generative AI, or Other (Databases)"),
    _line("SkuId", _sku, "provider/model/meter"),
    _line("SkuMeter", _meter, "the meter in words: `Input Cache Read Tokens`; none where no line explains the cost"),
    _line("SkuPriceDetails", _details, "what the price depends on, as JSON"),
    _line("SkuPriceId", _sku_price, "SkuId#rate; SkuId where there is no rate"),
    _charge("SubAccountId", _origin("project"), "the project or workspace at the provider"),
    _charge("SubAccountName", lambda _: None, "nothing: nobody says"),
    _charge("Tags", lambda one: _json(one.owners) if one.owners else None, "owners, resource and labels, as JSON"),
)

_EXTENSIONS = (
    _charge("x_AgentName", _fact("agent"), "the agent"),
    _charge("x_ChargeReason", _fact("reason"), "why the amount is not simply priced"),
    _charge("x_ChargeStatus", _fact("charge_status"), "priced, partial, estimated or provider_reported"),
    _charge("x_Confidence", lambda one: CONFIDENCE.get(one.record.charge_status), "exact or estimated"),
    _charge("x_ConsumerId", _consumer, "the customer, else the tenant"),
    _charge("x_CorrectsEntryId", lambda one: one.booked.corrects, "what a correction corrects", is_single=True),
    _charge("x_CredentialId", _origin("credential"), "the digest of the API key"),
    _charge("x_EntryId", lambda one: one.booked.entry_id or one.record.event_id, "explain it by this", is_single=True),
    _charge("x_Operation", _fact("operation"), "chat, embeddings, ..."),
    _charge("x_RateCard", _fact("rate_card"), "the rate card that priced it"),
    _line("x_RateId", lambda one: one.line and one.line.rate_id, "the rate of the line"),
    _charge("x_RequestId", _origin("request_id"), "the provider's id of the request", is_single=True),
    _charge("x_RunId", _fact("run_id"), "the run", is_single=True),
    _charge("x_Status", _fact("status"), "success, failure, retry, ..."),
    _charge("x_StepName", _fact("step"), "the step"),
    _charge("x_WorkflowName", _fact("workflow"), "the workflow"),
    *(
        _charge(f"x_{_camel(one.key)}", _owner(one.key), one.brief, is_single=one.source == "subject")
        for one in DIMENSIONS
    ),
)

FOCUS_COLUMNS: tuple[FocusColumn, ...] = (
    *sorted(_COLUMNS, key=lambda column: column.name),
    *sorted(_EXTENSIONS, key=lambda column: column.name),
)
"""Every column of every version, those of FOCUS first."""


def focus_columns(version: FocusVersion, every: Every | None = None) -> tuple[FocusColumn, ...]:
    """The columns of a file of this version, of charges one by one or added up over stretches of time."""
    return tuple(
        column
        for column in FOCUS_COLUMNS
        if version in column.versions and not (every is not None and column.is_single)
    )


def focus_header(columns: Iterable[FocusColumn]) -> list[FileColumn]:
    """Columns as a file has them."""
    return [FileColumn(column.name, column.kind, column.about) for column in columns]


def focus_rows(
    charges: Iterable[Booked], columns: Sequence[FocusColumn], every: Every | None = None
) -> Iterator[FileRow]:
    """One row per line of each charge, or of those that are alike within each hour, day or month.

    Charges come in the order they began. What is not known has no row.
    """
    of_charge = [(n, column.of_charge) for n, column in enumerate(columns) if column.of_charge is not None]
    of_line = [(n, column.of_line) for n, column in enumerate(columns) if column.of_line is not None]

    def said(charged: Charged) -> list[str | None]:
        return [value(charged) for _, value in of_charge]

    for charged, lines in singly(charges) if every is None else by_time(charges, every, said):
        common: list[str | None] = [None] * len(columns)
        for n, value in of_charge:
            common[n] = value(charged)
        for one in lines:
            row = common.copy()
            for n, of in of_line:
                row[n] = of(one)
            yield row
